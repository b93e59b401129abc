//! Scrubbing: a running node reads what it has stored, slowly, and mends what is no longer there.
//!
//! ```text
//!   the log store ──a page at a time──▶ chain: each record readable, its head the one that follows
//!                                         │ not so
//!                                         ▼
//!                                      repair: the index comes from a peer, must follow from the last
//!                                         │    good head and lead back into what is stored here
//!                                         ▼
//!                             one synced write in place, or: named, and not served
//! ```
//!
//! Bytes on a disk that nobody reads can rot for years; the day they are needed is too late to ask
//! for them. A pass goes through the logs of all shards that are here, at home and copied, from
//! their first index to what is applied, and follows the audited chain from its genesis. So it finds
//! not only what cannot be read, but also what was changed in a right frame.
//!
//! Of what was moved into the archive some is fetched and opened in every pass.
//!
//! Then the newest snapshot is read, chunk by chunk. It can be made again from what is in memory, so
//! nobody is asked: the shard takes another.
//!
//! A node that starts reads what its replicas need before they take part (`admission`): they cannot
//! wait for a pass.
//!
//! Nothing a peer says is believed for itself: `repair` says what must hold before a byte is
//! written. What no peer can supply stays named in [`ScrubStatus::standing`], and neither its record
//! nor its head is served from the disk until a later pass finds it whole or mends it.

mod admission;
mod archived;
mod chain;
mod repair;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::copy::{Audit, CopyOptions};
use crate::log::{LogHub, ShardLog};
use crate::peer::Peers;
pub use admission::{Admission, Waits};
use chain::Chain;
pub use status::{Fault, Findings, Part, ScrubStatus};

/// How much is read at a time, in bytes of records.
const PAGE_BYTES: u64 = 256 << 10;

/// How slowly a node scrubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubOptions {
    /// How much it reads in a second, in bytes. Zero: it does not scrub.
    pub bytes_per_second: u64,
    /// From the beginning of a pass to that of the next, at least.
    pub interval: Duration,
    /// In what time every archived segment is fetched and opened once.
    pub archive_interval: Duration,
    /// Any number: with which segments a node begins. One that is often started again comes to all.
    pub begin: u64,
    /// How long a peer may take that is asked for what is damaged here.
    pub pull: CopyOptions,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self {
            bytes_per_second: 4 << 20,
            interval: Duration::from_secs(600),
            archive_interval: Duration::from_secs(30 * 24 * 3600),
            begin: 0,
            pull: CopyOptions::default(),
        }
    }
}

/// A shard whose log is scrubbed.
pub struct Scrubbed {
    /// Which.
    pub shard: u32,
    /// How far it is applied, or copied: what lies beyond may still change.
    pub served: watch::Receiver<u64>,
    /// Other nodes that may hold it, the nearest first.
    pub sources: Vec<u64>,
}

/// Scrubs the logs of a node.
pub struct Scrub {
    /// Which logs.
    pub shards: Vec<Scrubbed>,
    /// Where they are.
    pub hub: LogHub,
    /// The way to the sources.
    pub peers: Peers,
    /// How slowly.
    pub options: ScrubOptions,
    /// Where it is told what is found.
    pub findings: Findings,
}

impl Scrub {
    /// Passes through all logs again and again, for as long as the node runs.
    pub async fn run(self) {
        if self.options.bytes_per_second == 0 {
            return;
        }
        for pass in 0.. {
            let begun = Instant::now();
            for scrubbed in &self.shards {
                if let Err(error) = self.pass(scrubbed, pass).await {
                    let shard = scrubbed.shard;
                    tracing::error!(shard, %error, "a log or its snapshot cannot be read");
                    self.findings.unreadable(shard, &error);
                }
            }
            self.findings.passed();
            let rest = self.options.interval.saturating_sub(begun.elapsed());
            // Also where a pass takes no time at all, others come between.
            tokio::time::sleep(rest.max(Duration::from_millis(1))).await;
        }
    }

    /// One pass through a shard's log, as far as it is served now.
    async fn pass(&self, scrubbed: &Scrubbed, pass: u64) -> io::Result<()> {
        let shard = scrubbed.shard;
        let served = *scrubbed.served.borrow();
        if served == 0 {
            return Ok(());
        }
        // What is served may be on its way to the disk.
        self.hub.settle().await?;
        let log = self.hub.shard_log(shard)?;
        let mut chain = Chain::from_genesis(shard);
        while chain.next() <= served {
            let archived = log.archived_end();
            if chain.next() < archived {
                let last = log.archived_in(archived - 1);
                chain.skip_to(archived, last.map(|last| last.segment.after));
                continue;
            }
            let missing = log.missing().unwrap_or(0..0);
            if missing.contains(&chain.next()) {
                let head = self.hub.head(shard, missing.end - 1)?;
                chain.skip_to(missing.end, head);
                continue;
            }
            let mut end = served + 1;
            if missing.start > chain.next() {
                end = end.min(missing.start);
            }
            self.page(scrubbed, &log, &mut chain, end).await?;
        }
        self.look_at_archived(scrubbed, &log, pass).await;
        self.snapshot(shard).await?;
        self.findings.whole(shard);
        Ok(())
    }

    /// Reads the newest snapshot of a shard. What is damaged of it is stored again with the next
    /// one, which the shard then takes at once.
    async fn snapshot(&self, shard: u32) -> io::Result<()> {
        let log = self.hub.shard_log(shard)?;
        let mut damaged = None;
        for hash in self.hub.snapshot_chunks(shard)? {
            match self.hub.chunk_of_snapshot(shard, &hash) {
                Ok(chunk) => self.rest_after(chunk.len() as u64).await,
                Err(error) if log.damaged_chunks().contains(&hash) => {
                    damaged = damaged.or(Some(error));
                }
                Err(_) => break,
            }
        }
        damaged.map_or(Ok(()), Err)
    }

    /// Reads on from where the chain is, before `end`, and mends what it can.
    async fn page(
        &self,
        scrubbed: &Scrubbed,
        log: &Arc<ShardLog>,
        chain: &mut Chain,
        end: u64,
    ) -> io::Result<()> {
        let shard = scrubbed.shard;
        let first = chain.next();
        let rows = self.hub.rows(shard, first..end, PAGE_BYTES)?;
        let (mut bytes, mut records) = (0, 0);
        for row in &rows {
            let index = chain.next();
            bytes += row.bytes();
            records += 1;
            let Err(fault) = chain.follow(log, row) else {
                self.findings.sound(shard, index);
                log.release(index);
                continue;
            };
            if index < log.archived_end() {
                // It was moved while it was read.
                break;
            }
            tracing::error!(shard, index, %fault, "what is stored is not what was written");
            let before = chain.settled();
            let mended = self.mend(scrubbed, log, before, index..end, fault).await?;
            match mended {
                // What comes after was mended with it, or must be read again.
                Some(audit) => *chain = Chain::after(audit),
                None => {
                    log.distrust(index);
                    chain.pass_over(log, row);
                    continue;
                }
            }
            break;
        }
        self.findings.read(records, bytes);
        self.rest_after(bytes).await;
        Ok(())
    }

    /// As long as so many bytes may take.
    async fn rest_after(&self, bytes: u64) {
        let nanos = u128::from(bytes.max(1)) * 1_000_000_000;
        let nanos = nanos / u128::from(self.options.bytes_per_second);
        let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        tokio::time::sleep(pause).await;
    }

    /// Mends what is wrong from the first of `indexes` on, if a peer can tell it.
    async fn mend(
        &self,
        scrubbed: &Scrubbed,
        log: &Arc<ShardLog>,
        before: Option<Audit>,
        indexes: Range<u64>,
        mut fault: Fault,
    ) -> io::Result<Option<Audit>> {
        let (shard, index) = (scrubbed.shard, indexes.start);
        let Some(before) = before else {
            fault.tried = "nobody is asked: what comes before is not whole either".to_owned();
            self.findings.stands(fault);
            return Ok(None);
        };
        let mut tried = Vec::new();
        for source in &scrubbed.sources {
            let repair = repair::Repair {
                hub: &self.hub,
                log,
                peers: &self.peers,
                options: &self.options.pull,
            };
            match repair.fetch(*source, before, indexes.clone()).await {
                Ok(repaired) => {
                    let mended = repaired.rows.len();
                    self.hub.mend(shard, repaired.rows).await?;
                    tracing::warn!(shard, index, source, mended, "it is mended from a peer");
                    self.findings.mended(fault, *source);
                    return Ok(Some(repaired.after));
                }
                Err(left) => {
                    tracing::warn!(shard, index, source, %left, "a peer cannot mend it");
                    tried.push(format!("node {source}: {left}"));
                }
            }
        }
        fault.tried = tried.join("; ");
        self.findings.stands(fault);
        Ok(None)
    }
}

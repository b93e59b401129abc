//! Moving the old part of logs into the archive.
//!
//! ```text
//!   log: [ archived ][ old enough, full segments ][ the rest ]
//!                          │ sealed, or found in the archive: another node has sealed it
//!                          ▼
//!                 the object is read back and opened: hash, records, audited chain
//!                          │ it is what stands here
//!                          ▼
//!                 one write: the segment's row in, its records and heads out
//! ```
//!
//! Every node does this for itself, of all shards that it holds. Where a segment begins and ends depends on
//! the records alone, and its name on where the audited chain stands after it: so the first node that
//! comes to it seals it, and the others find it. Nothing leaves the log before the object in the archive
//! was read back and looked at as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{Entry, ShardId, chain};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::backup::SegmentRef;
use super::segment::{self, Opened, Size};
use super::shelf::object_of;
use crate::log::{ArchivedSegment, Head, Kind, LogHub, ShardLog};
use crate::world::{Archive, Clock};

/// How much of a log is read at a time.
const STEP_BYTES: usize = 256 << 10;
/// How long the archive may take to store an object, or to give one back.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is moved, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoverRules {
    /// An entry stays in the log for at least so long.
    pub keep: Duration,
    /// Where a segment ends. The same on all nodes that share an archive.
    pub size: Size,
    /// How often it is looked whether there is something to move.
    pub interval: Duration,
    /// How long another node is waited for to seal what is due: none at the node that is the first to.
    pub turn: Duration,
}

/// A shard whose log is moved.
pub struct Moved {
    /// Which.
    pub shard: u32,
    /// How far it is applied, or copied.
    pub served: watch::Receiver<u64>,
    /// Whether it lives here: then only what Raft has purged is moved.
    pub at_home: bool,
}

/// Moves what is old of a node's logs into the archive.
pub struct Mover {
    /// Which logs.
    pub shards: Vec<Moved>,
    /// Where they are.
    pub hub: LogHub,
    /// This node's clock.
    pub clock: Arc<dyn Clock>,
    /// What is moved, and when.
    pub rules: MoverRules,
}

/// Why a segment is not moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stays {
    #[error("this node has no archive")]
    None,
    #[error("the log: {0}")]
    Log(#[from] io::Error),
    #[error("the archive: {0}")]
    Archive(io::Error),
    #[error("the archive does not answer")]
    Late,
    #[error("the archive has not `{0}`, which was moved there last: is it the right one?")]
    Missing(String),
    #[error("it cannot be sealed: {0}")]
    Sealing(segment::Damage),
    #[error("what the archive has of it is not what stands here: {0}")]
    Another(String),
}

/// How far a log was looked through for where the next segment ends.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    first: u64,
    next: u64,
    bytes: u64,
    /// The time of the last entry before `next`, in nanoseconds since 1970.
    wall_nanos: u64,
    is_full: bool,
    /// Whether this node sealed the one before: nobody else does.
    seals: bool,
    /// Since when it is due.
    due: Option<Instant>,
}

impl Mover {
    /// Moves what is old enough, for as long as the node runs. Does nothing without an archive.
    pub async fn run(self) {
        let Some(archive) = self.hub.shelf().archive().cloned() else {
            return;
        };
        let mut measured: BTreeMap<u32, Measured> = BTreeMap::new();
        let mut failing = BTreeSet::new();
        loop {
            for moved in &self.shards {
                let shard = moved.shard;
                let measured = measured.entry(shard).or_default();
                loop {
                    match self.step(moved, measured, archive.as_ref()).await {
                        Ok(true) => {
                            failing.remove(&shard);
                        }
                        Ok(false) => break,
                        Err(error) => {
                            // Once, until it goes on: an archive that is away is away for all.
                            if failing.insert(shard) {
                                tracing::warn!(shard, %error, "old records stay in the log");
                            }
                            break;
                        }
                    }
                }
            }
            tokio::time::sleep(self.rules.interval).await;
        }
    }

    /// Moves the next segment of a shard, if there is one that is due.
    async fn step(
        &self,
        moved: &Moved,
        measured: &mut Measured,
        archive: &dyn Archive,
    ) -> Result<bool, Stays> {
        let log = self.hub.shard_log(moved.shard)?;
        let end = self.end(moved, &log);
        self.measure(&log, end, measured).await?;
        if !measured.is_full || !self.is_old(measured.wall_nanos) {
            return Ok(false);
        }
        let (shard, first, last) = (moved.shard, measured.first, measured.next - 1);
        let head = |index| {
            let head = self.hub.head(shard, index)?;
            head.ok_or_else(|| Stays::Another(format!("the head of index {index} is not here")))
        };
        let newest = first.checked_sub(1).and_then(|last| log.archived_in(last));
        if let Some(newest) = &newest {
            self.is_the_one(archive, shard, &newest.segment).await?;
        }
        let genesis = || chain::audit_genesis(ShardId(shard));
        let before = newest.map_or_else(genesis, |newest| newest.segment.after);
        let after = head(last)?;
        let object = object_of(shard, first, last, &after);
        let due = *measured.due.get_or_insert_with(Instant::now);
        let mut sealed = false;
        let segment = match self.found(archive, &object).await? {
            Some(found) => found,
            None if !measured.seals && due.elapsed() < self.rules.turn => return Ok(false),
            None => {
                sealed = true;
                self.seal(&log, (before, after), first..last + 1).await?
            }
        };
        let (segment, opened) = segment;
        let about = &opened.about;
        if (about.shard, about.indexes()) != (shard, first..=last)
            || (about.before, about.after) != (before, after)
        {
            return Err(Stays::Another(format!("`{object}` is of another history")));
        }
        let segment = ArchivedSegment::of(segment, &opened);
        self.hub.archive(shard, segment).await?;
        tracing::info!(
            shard,
            first,
            last,
            object,
            "old records were moved into the archive"
        );
        tracing::trace!(target: "situation", "old records were moved into the archive");
        *measured = Measured {
            seals: sealed,
            ..Measured::default()
        };
        Ok(true)
    }

    /// An archive that has not what was moved last is another one, or a mount that is missing: nothing is
    /// moved there.
    async fn is_the_one(
        &self,
        archive: &dyn Archive,
        shard: u32,
        newest: &SegmentRef,
    ) -> Result<(), Stays> {
        let name = object_of(shard, newest.first, newest.last, &newest.after);
        let got = timeout(PATIENCE, archive.get(&name)).await;
        let got = got.map_err(|_| Stays::Late)?.map_err(Stays::Archive)?;
        got.map(drop).ok_or(Stays::Missing(name))
    }

    /// The first index that stays in the log in any case. The last record always does, and what must
    /// still come from a peer is waited for.
    fn end(&self, moved: &Moved, log: &ShardLog) -> u64 {
        let served = *moved.served.borrow();
        let mut end = served;
        if moved.at_home {
            end = end.min(log.purged().map_or(0, |purged| purged.index + 1));
        }
        end.min(log.missing().map_or(end, |missing| missing.start))
    }

    /// Looks on for where the next segment ends, before `end`.
    async fn measure(
        &self,
        log: &ShardLog,
        end: u64,
        measured: &mut Measured,
    ) -> Result<(), Stays> {
        let first = log.archived_end();
        if measured.next == 0 || measured.first != first {
            *measured = Measured {
                first,
                next: first,
                seals: measured.seals,
                ..Measured::default()
            };
        }
        while !measured.is_full && measured.next < end && self.is_old(measured.wall_nanos) {
            let records = log.read(measured.next..end, STEP_BYTES)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                if record.kind == Kind::Entry
                    && let Ok(entry) = Entry::decode(&record.payload)
                {
                    measured.wall_nanos = entry.time.wall_nanos;
                }
                measured.bytes += record.record.len() as u64;
                measured.next = record.id.index + 1;
                let records = measured.next - first;
                if self.rules.size.is_reached(measured.bytes, records) {
                    measured.is_full = true;
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn is_old(&self, wall_nanos: u64) -> bool {
        let age = self.clock.wall_nanos().saturating_sub(wall_nanos);
        u128::from(age) >= self.rules.keep.as_nanos()
    }

    /// What the archive has under a name, if it is whole. What is damaged is sealed again.
    async fn found(
        &self,
        archive: &dyn Archive,
        name: &str,
    ) -> Result<Option<(SegmentRef, Opened)>, Stays> {
        let got = timeout(PATIENCE, archive.get(name)).await;
        let Some(object) = got.map_err(|_| Stays::Late)?.map_err(Stays::Archive)? else {
            return Ok(None);
        };
        match self.open(object).await? {
            Ok(found) => Ok(Some(found)),
            Err(damage) => {
                tracing::error!(object = name, %damage, "the archive's object is damaged");
                Ok(None)
            }
        }
    }

    async fn open(
        &self,
        object: Bytes,
    ) -> Result<Result<(SegmentRef, Opened), segment::Damage>, Stays> {
        let bytes = object.len() as u64;
        let opened = self.hub.shelf().unpack(object).await?;
        Ok(opened.map(|(hash, opened)| {
            let segment = SegmentRef::opened(&opened.about, hash, bytes);
            (segment, opened)
        }))
    }

    /// Seals records that are in the log and stores them. What is given is read back.
    async fn seal(
        &self,
        log: &ShardLog,
        heads: (Head, Head),
        indexes: Range<u64>,
    ) -> Result<(SegmentRef, Opened), Stays> {
        let mut records = Vec::new();
        let mut next = indexes.start;
        while next < indexes.end {
            let read = log.read(next..indexes.end, STEP_BYTES)?;
            next += read.len() as u64;
            if read.is_empty() {
                return Err(Stays::Another(format!("index {next} is not here")));
            }
            records.extend(read.into_iter().map(|record| record.record));
            tokio::task::yield_now().await;
        }
        store(&self.hub, log.shard(), heads, records).await
    }
}

/// Seals records that lead from the head `before` to `after`, stores them in the archive, and reads them back.
pub(crate) async fn store(
    hub: &LogHub,
    shard: u32,
    (before, after): (Head, Head),
    records: Vec<Bytes>,
) -> Result<(SegmentRef, Opened), Stays> {
    let archive = hub.shelf().archive().ok_or(Stays::None)?;
    let sealing = hub
        .shelf()
        .work(move || segment::seal(shard, before, &records));
    let sealed = sealing.await?.map_err(Stays::Sealing)?;
    if sealed.about.after != after {
        let what = "its records do not lead to the head that is kept after them";
        return Err(Stays::Another(what.to_owned()));
    }
    let segment = SegmentRef::of(&sealed);
    let name = object_of(shard, segment.first, segment.last, &segment.after);
    let put = timeout(PATIENCE, archive.put(&name, sealed.object)).await;
    put.map_err(|_| Stays::Late)?.map_err(Stays::Archive)?;
    let got = timeout(PATIENCE, archive.get(&name)).await;
    let got = got.map_err(|_| Stays::Late)?.map_err(Stays::Archive)?;
    let got = got.ok_or_else(|| Stays::Another(format!("`{name}` is not there")))?;
    let opened = hub.shelf().unpack(got).await?;
    let (hash, opened) = opened.map_err(|damage| Stays::Another(damage.to_string()))?;
    match hash == sealed.hash {
        true => Ok((segment, opened)),
        false => Err(Stays::Another(format!("`{name}` is another object"))),
    }
}

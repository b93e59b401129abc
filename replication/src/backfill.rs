//! History that a node skipped: it was given a snapshot, and the indexes before it come later.
//!
//! Any node that holds the shard can tell them, at home or abroad: what it says must lead, by the
//! audited chain, from the last index this node applied itself to the head that came with the
//! snapshot. The node serves from both sides of the gap meanwhile.

use std::ops::Range;
use std::sync::Arc;

use ledger_domain::ShardId;
use tokio::sync::watch;

use crate::copy::{Audit, CopyOptions, Unfit};
use crate::feed::{Failure, Pull};
use crate::log::LogHub;
use crate::peer::Peers;
use crate::proto::FeedRequest;
use crate::world::Entropy;

/// Whence the history of a shard can come, and by what patience.
pub struct Backfill {
    /// The shard.
    pub shard: ShardId,
    /// Other nodes that may hold it, the nearest first.
    pub sources: Vec<u64>,
    /// This node's log.
    pub hub: LogHub,
    /// The way to the sources.
    pub peers: Peers,
    /// For waits that are not everybody's.
    pub entropy: Arc<dyn Entropy>,
    /// Deadlines and pauses.
    pub options: CopyOptions,
}

/// Why a source was left.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error(transparent)]
    Feed(#[from] Failure),
    #[error("index {index} does not follow from what is here: {cause}")]
    Unfit { index: u64, cause: Unfit },
    #[error("its history ends at index {0} with another head than the snapshot's")]
    OtherHistory(u64),
    #[error("the log: {0}")]
    Log(#[from] std::io::Error),
}

impl Backfill {
    /// Fills in whatever is missing, whenever something is, for as long as the shard runs.
    pub async fn run(mut self, mut missing: watch::Receiver<Option<Range<u64>>>) {
        let mut failures = 0;
        loop {
            let Some(gap) = missing.borrow_and_update().clone() else {
                if missing.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Some(source) = self.sources.first().copied() else {
                return;
            };
            let (shard, from, until) = (self.shard.0, gap.start, gap.end);
            tracing::info!(shard, from, until, source, "history is fetched");
            match self.fill(source, gap).await {
                Ok(()) => failures = 0,
                Err(left) => {
                    failures += 1;
                    tracing::warn!(shard, source, failures, %left, "left a source of history");
                    self.sources.rotate_left(1);
                    let wait = self.options.backoff(failures, self.entropy.next_u64());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn fill(&self, source: u64, gap: Range<u64>) -> Result<(), Left> {
        let shard = self.shard.0;
        let head = |index| {
            let head = self.hub.head(shard, index)?;
            head.ok_or_else(|| {
                let what = format!("the audited head of index {index} is not here");
                std::io::Error::new(std::io::ErrorKind::InvalidData, what)
            })
        };
        let mut audit = match gap.start.checked_sub(1) {
            None => Audit::from_genesis(shard),
            Some(before) => Audit::after(before, head(before)?),
        };
        let arrives_at = head(gap.end - 1)?;
        let request = FeedRequest {
            shard,
            from: gap.start,
            heartbeat_millis: 0,
        };
        let (begin, silence) = (self.options.begin, self.options.silence);
        let mut pull = Pull::begin(&self.peers, source, request, begin, silence).await?;
        while audit.next() < gap.end {
            let mut fit = Vec::new();
            for record in pull.next().await?.records {
                let index = audit.next();
                if index == gap.end {
                    break;
                }
                let admitted = audit.admit(record);
                fit.push(admitted.map_err(|cause| Left::Unfit { index, cause })?);
            }
            if audit.next() == gap.end && fit.last().is_some_and(|last| last.head != arrives_at) {
                return Err(Left::OtherHistory(gap.end - 1));
            }
            self.hub.pace().space().room().await;
            self.hub.fill(shard, fit).await?;
        }
        Ok(())
    }
}

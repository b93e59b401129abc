//! Which entries of a log count.
//!
//! An entry counts if it belongs to the reign, follows the writer's chain, and has a later time
//! than every entry before. One that does not is void: it keeps its index and means nothing.
//! Every replica, copy, read model and verifier decides this by the same few values.

use bytes::Bytes;

use crate::{
    Entry, Hash, HybridTime, ShardId, chain,
    planted::{Bug, planted},
};

/// Where a shard's writer chain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Whose log.
    pub shard: ShardId,
    /// The reign.
    pub epoch: u64,
    /// The link of the last entry that counts.
    pub head: Hash,
    /// Its time: all times up to it are closed.
    pub time: HybridTime,
}

impl Fence {
    /// Before a shard's first entry.
    pub fn new(shard: ShardId, epoch: u64) -> Self {
        Self {
            shard,
            epoch,
            head: chain::writer_genesis(shard),
            time: HybridTime::ZERO,
        }
    }

    /// Does the entry count? Then the fence moves past it; otherwise nothing changes.
    pub fn admit(&mut self, entry: &Entry, stored: &Bytes) -> bool {
        let counts = entry.shard == self.shard
            && (entry.epoch == self.epoch || planted(Bug::EpochUnchecked))
            && entry.prev_hash == self.head
            && entry.time > self.time;
        if counts {
            self.head = Entry::link(stored);
            self.time = entry.time;
        }
        counts
    }
}

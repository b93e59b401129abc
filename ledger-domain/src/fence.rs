//! Which entries of a log count.
//!
//! An entry counts if it belongs to the reign that its log is written under, follows the writer's
//! chain, and has a later time than every entry before. One that does not is void: it keeps its index
//! and means nothing.
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

    /// The log is written under this reign from here on. It never goes back: Raft's logs do not.
    pub fn under(&mut self, epoch: u64) {
        self.epoch = epoch;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn entry(epoch: u64, before: &Fence) -> (Entry, Bytes) {
        let entry = Entry {
            shard: before.shard,
            epoch,
            time: HybridTime::from_millis(before.time.millis() + 1),
            business_date: "2026-11-23".parse().unwrap(),
            closed_through: None,
            prev_hash: before.head,
            causes: Vec::new(),
            outcomes: Vec::new(),
        };
        let stored = entry.encode(Format::NEWEST);
        (entry, stored)
    }

    #[test]
    fn an_entry_counts_under_the_reign_that_its_log_is_written_under_and_no_other() {
        let mut fence = Fence::new(ShardId(1), 1);
        let (first, stored) = entry(1, &fence);
        assert!(fence.admit(&first, &stored));
        let (next, stored) = entry(2, &fence);
        assert!(!fence.admit(&next, &stored), "its reign has not begun");
        fence.under(2);
        let (old, late) = entry(1, &fence);
        assert!(!fence.admit(&old, &late), "its reign has ended");
        assert!(fence.admit(&next, &stored));
    }
}

//! Who wrote a shard's log, in the words of the oracle of one writer.

use ledger_domain::Entry;
use replication::log::StoredRecord;

use crate::oracle::one_writer::{self, Link, Written};

/// One shard's log, index by index.
#[derive(Debug)]
pub struct Shard {
    /// The shard.
    pub shard: u32,
    /// The reign of its home.
    pub epoch: u64,
    /// Its log.
    pub log: Vec<Written>,
}

impl Shard {
    pub(super) fn new(shard: u32, epoch: u64) -> Self {
        let log = Vec::new();
        Shard { shard, epoch, log }
    }

    /// Notes the next record, and, where it is an entry, what it says and whether the ledger takes
    /// it to count.
    pub(super) fn note(&mut self, record: &StoredRecord, entry: Option<(&Entry, bool)>) {
        let entry = entry.map(|(entry, counts)| one_writer::Entry {
            epoch: entry.epoch,
            time: (entry.time.wall_nanos, entry.time.count),
            follows: entry.prev_hash,
            link: *blake3::hash(&record.payload).as_bytes(),
            counts,
        });
        self.log.push(Written {
            index: record.id.index,
            epoch: record.id.epoch,
            term: record.id.term,
            node: record.id.node,
            entry,
        });
    }

    /// How many entries mean nothing.
    pub(super) fn voids(&self) -> u64 {
        let entries = self.log.iter().filter_map(|written| written.entry.as_ref());
        entries.filter(|entry| !entry.counts).count() as u64
    }

    /// Where the chain of its writers begins, as the format says.
    pub(super) fn genesis(&self) -> Link {
        let context = "meridian writer chain genesis 2026-11";
        blake3::derive_key(context, &self.shard.to_be_bytes())
    }
}

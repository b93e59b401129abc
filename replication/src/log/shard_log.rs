mod open;
mod read;
mod survey;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use ledger_domain::frame;
use ledger_domain::planted::{Bug, planted};

use super::archived::Archived;
use super::record::{self, StoredRecord};
use super::tail::Tail;
use super::{AppliedMark, ChunkHash, keys};
use crate::proto;
use crate::raft::RecordId;
use crate::world::{Batch, Engine, Op};

/// One shard's log: its markers and its tail in memory, its records on disk.
///
/// A method that changes it returns the batch that stores the change. The caller queues batches in
/// the order of these calls, so memory is always ahead of the disk and never beside it.
pub(crate) struct ShardLog {
    shard: u32,
    engine: Arc<dyn Engine>,
    applied: AppliedMark,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    at_home: bool,
    vote: Option<proto::Ballot>,
    committed: Option<RecordId>,
    purged: Option<RecordId>,
    pub(super) last: Option<RecordId>,
    /// Where Raft's view begins: after what is purged, or where the log was begun.
    first: u64,
    tail: Tail,
    /// Indexes whose record or head on the disk is not believed, and so not served.
    distrusted: BTreeSet<u64>,
    /// Chunks of snapshots that were found to be damaged.
    damaged_chunks: BTreeSet<ChunkHash>,
    /// Where the records before the log are.
    pub(super) archived: Archived,
    /// Appends so far since opening, and how many of them are written.
    appends: u64,
    written: u64,
}

impl ShardLog {
    pub(crate) fn shard(&self) -> u32 {
        self.shard
    }

    pub(crate) fn applied(&self) -> AppliedMark {
        self.applied.clone()
    }

    pub(crate) fn vote(&self) -> Option<proto::Ballot> {
        self.lock().vote
    }

    pub(crate) fn committed(&self) -> Option<RecordId> {
        self.lock().committed
    }

    pub(crate) fn purged(&self) -> Option<RecordId> {
        self.lock().purged
    }

    pub(crate) fn last(&self) -> Option<RecordId> {
        self.lock().last
    }

    /// Whether an index is before Raft's view of the log.
    pub(crate) fn is_purged(&self, index: u64) -> bool {
        index < self.lock().first
    }

    /// From now on Raft writes this log, and nobody else.
    pub(crate) fn settle_here(&self) {
        self.lock().at_home = true;
    }

    pub(crate) fn is_at_home(&self) -> bool {
        self.lock().at_home
    }

    /// Accepts records at the end: readable from now on. Gives the batch and the number to call
    /// [`ShardLog::written`] with.
    pub(crate) fn append(&self, records: Vec<StoredRecord>) -> io::Result<(Batch, u64)> {
        let mut state = self.lock();
        let batch = self.batch(state.last, &records)?;
        state.appends += 1;
        let append = state.appends;
        if let (None, Some(first)) = (state.last, records.first()) {
            state.first = first.id.index;
        }
        state.last = records.last().map(|record| record.id).or(state.last);
        for record in records {
            state.tail.push(append, record);
        }
        let written = state.written;
        state.tail.trim(written);
        Ok((batch, append))
    }

    /// Takes in records of a copy that are stored already: they become readable.
    pub(crate) fn copied(&self, records: Vec<StoredRecord>) {
        let mut state = self.lock();
        state.last = records.last().map(|record| record.id).or(state.last);
        let written = state.written;
        for record in records {
            state.tail.push(written, record);
        }
        state.tail.trim(written);
    }

    pub(crate) fn written(&self, append: u64) {
        let mut state = self.lock();
        state.written = append;
        state.tail.trim(append);
    }

    /// The batch of records that follow what is stored. They do not become readable.
    pub(crate) fn batch(
        &self,
        after: Option<RecordId>,
        records: &[StoredRecord],
    ) -> io::Result<Batch> {
        let mut batch = Batch::with_capacity(records.len() + 1);
        let mut previous = after;
        for record in records {
            let id = record.id;
            if previous.is_some_and(|previous| previous.index + 1 != id.index) {
                return Err(self.out_of_order(previous, id.index));
            }
            batch.push(Op::Put(
                keys::record(self.shard, id.index),
                record.record.clone(),
            ));
            previous = Some(id);
        }
        if let Some(last) = records.last() {
            batch.push(put_id(keys::last(self.shard), last.id));
        }
        Ok(batch)
    }

    pub(crate) fn out_of_order(&self, last: Option<RecordId>, index: u64) -> io::Error {
        let shard = self.shard;
        let end = last.map_or_else(
            || "is empty".to_owned(),
            |id| format!("ends at {}", id.index),
        );
        let what = format!("index {index} cannot follow: the log of shard {shard} {end}");
        io::Error::new(io::ErrorKind::InvalidInput, what)
    }

    pub(crate) fn store_vote(&self, vote: proto::Ballot) -> Batch {
        vec![Op::Put(keys::vote(self.shard), frame::seal_message(&vote))]
    }

    pub(crate) fn set_vote(&self, vote: proto::Ballot) {
        self.lock().vote = Some(vote);
    }

    pub(crate) fn set_committed(&self, committed: Option<RecordId>) -> Batch {
        self.lock().committed = committed;
        vec![put_or_delete(keys::committed(self.shard), committed)]
    }

    /// Cuts off everything after `last`.
    pub(crate) fn truncate_after(&self, last: Option<RecordId>) -> Batch {
        let mut state = self.lock();
        let last = last.or(state.purged);
        let from = last.map_or(0, |id| id.index + 1);
        let end = state.last.map_or(0, |id| id.index + 1);
        if from >= end {
            return Batch::new();
        }
        state.tail.truncate_from(from);
        state.last = last;
        vec![
            put_or_delete(keys::last(self.shard), last),
            Op::DeleteRange(keys::records(self.shard, from..end)),
        ]
    }

    /// Moves the beginning of Raft's view. Gives the batch, which deletes the records it covers
    /// that were not applied here and remembers that they are missing, and the index to call
    /// [`ShardLog::forget_through`] with.
    pub(crate) fn purge(&self, through: RecordId) -> (Batch, Option<u64>) {
        let mut state = self.lock();
        // What an earlier purge covered was sifted then, perhaps by an earlier life of this node
        // that had applied more than this one has yet.
        let sifted = state.purged.map_or(0, |id| id.index + 1);
        let sifted = sifted.max(state.archived.end());
        let doubtful = self.applied.next().max(sifted)..through.index + 1;
        if index(state.purged) < Some(through.index) {
            state.purged = Some(through);
            state.first = through.index + 1;
        }
        let mut batch = vec![put_or_delete(keys::purged(self.shard), state.purged)];
        let beyond_the_end = index(state.last) <= Some(through.index);
        if beyond_the_end {
            state.last = Some(through);
            batch.push(put_id(keys::last(self.shard), through));
        }
        let forgets = beyond_the_end || !doubtful.is_empty();
        if !doubtful.is_empty() && !planted(Bug::StaleTailKept) {
            batch.push(Op::DeleteRange(keys::records(self.shard, doubtful.clone())));
            // The head of the last index came with a snapshot, and is what the rest must lead to.
            let heads = keys::heads(self.shard, doubtful.start..through.index);
            batch.push(Op::DeleteRange(heads));
            let missing = self.missing().map_or(doubtful.start, |old| old.start)..doubtful.end;
            batch.push(put_range(keys::missing(self.shard), &missing));
            self.applied.set_missing(Some(missing));
        }
        (batch, forgets.then_some(through.index))
    }

    /// The indexes below Raft's view that must still come from a peer.
    pub(crate) fn missing(&self) -> Option<Range<u64>> {
        self.applied.missing().borrow().clone()
    }

    /// The batch that fills in the first of what is missing. [`ShardLog::filled`] makes it known
    /// once it is stored.
    pub(crate) fn fill(&self, records: &[StoredRecord]) -> io::Result<Batch> {
        let missing = self.missing().unwrap_or(0..0);
        let mut batch = Batch::with_capacity(records.len() + 1);
        let mut next = missing.start;
        for record in records {
            let index = record.id.index;
            if index != next || index >= missing.end {
                let shard = self.shard;
                let what = format!("index {index} fills no gap: shard {shard} misses {missing:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let key = keys::record(self.shard, index);
            batch.push(Op::Put(key, record.record.clone()));
            next += 1;
        }
        batch.push(match next == missing.end {
            true => Op::Delete(keys::missing(self.shard)),
            false => put_range(keys::missing(self.shard), &(next..missing.end)),
        });
        Ok(batch)
    }

    /// What was missing is stored here up to and without `next`.
    pub(crate) fn filled(&self, next: u64) {
        let rest = self.missing().map(|missing| next..missing.end);
        self.applied
            .set_missing(rest.filter(|rest| !rest.is_empty()));
    }

    /// Whether the log here holds just this entry. Then it holds all before it that are not
    /// missing, as they were applied: Raft's logs that agree at an index agree up to it.
    pub(crate) fn holds(&self, id: RecordId) -> io::Result<bool> {
        if let Some(segment) = self.archived_in(id.index) {
            return Ok(segment.epoch_of(id.index) == Some(id.epoch));
        }
        let records = self.read(id.index..id.index + 1, 0)?;
        Ok(records.first().is_some_and(|record| record.id == id))
    }

    /// What the disk has of an index is not served from now on.
    pub(crate) fn distrust(&self, index: u64) {
        self.lock().distrusted.insert(index);
    }

    /// What the disk has of an index is as it should be.
    pub(crate) fn release(&self, index: u64) {
        self.lock().distrusted.remove(&index);
    }

    /// The first index of a range that is not served.
    pub(crate) fn distrusted(&self, indexes: Range<u64>) -> Option<u64> {
        if indexes.is_empty() {
            return None;
        }
        self.lock().distrusted.range(indexes).next().copied()
    }

    /// A chunk of a snapshot is damaged, or lost: it must be stored again.
    pub(crate) fn distrust_chunk(&self, hash: ChunkHash) {
        self.lock().damaged_chunks.insert(hash);
    }

    /// Chunks were stored again.
    pub(crate) fn release_chunks(&self, hashes: &BTreeSet<ChunkHash>) {
        self.lock()
            .damaged_chunks
            .retain(|hash| !hashes.contains(hash));
    }

    /// Chunks that are not what was stored.
    pub(crate) fn damaged_chunks(&self) -> BTreeSet<ChunkHash> {
        self.lock().damaged_chunks.clone()
    }

    /// After a purge is stored: the tail must not show what is deleted.
    pub(crate) fn forget_through(&self, index: u64) {
        self.lock().tail.forget_through(index);
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding this")
    }
}

fn index(id: Option<RecordId>) -> Option<u64> {
    id.map(|id| id.index)
}

fn put_id(key: Vec<u8>, id: RecordId) -> Op {
    Op::Put(key, frame::seal_message(&record::stored_id(id)))
}

fn put_range(key: Vec<u8>, range: &Range<u64>) -> Op {
    let (from, until) = (range.start, range.end);
    Op::Put(key, frame::seal_message(&proto::Range { from, until }))
}

/// What makes a stored log one that skipped these indexes: it has a snapshot of the end of `purged`.
#[cfg(test)]
pub(crate) fn skip(shard: u32, indexes: Range<u64>, purged: RecordId) -> Batch {
    vec![
        put_id(keys::purged(shard), purged),
        Op::DeleteRange(keys::records(shard, indexes.clone())),
        put_range(keys::missing(shard), &indexes),
    ]
}

fn put_or_delete(key: Vec<u8>, id: Option<RecordId>) -> Op {
    match id {
        Some(id) => put_id(key, id),
        None => Op::Delete(key),
    }
}

//! One shard's log as openraft sees it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use super::snapshot::Snapshots;
use super::types::{Entry, LeaderId, LogId, Term, Types, Vote};
use crate::log::record::{log_id, record_id};
use crate::log::{AppliedMark, Damage, LogHub, Pace, Place, ShardLog, StoredRecord};
use crate::proto;

/// What one call for replication or apply may return, so that a follower far behind is not sent
/// more than a peer accepts in one message.
const READ_BYTES: usize = 2 << 20;

/// One shard's log as Raft sees it. Cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    hub: LogHub,
    log: Arc<ShardLog>,
}

impl LogHub {
    /// The log of a shard that lives on this node. From now on it takes no copies.
    ///
    /// Fails where its last record cannot be read: what Raft would tell others of it, and write
    /// behind it, would rest on nothing.
    pub fn shard(&self, shard: u32) -> io::Result<LogStore> {
        let log = self.shard_log(shard)?;
        log.check_last()?;
        log.settle_here();
        Ok(LogStore {
            hub: self.clone(),
            log,
        })
    }
}

impl LogHub {
    /// Whether Raft has written the log of a shard here, and so promised something. A copy promises
    /// nothing.
    pub fn has_voted(&self, shard: u32) -> io::Result<bool> {
        Ok(self.shard_log(shard)?.vote().is_some())
    }
}

impl LogStore {
    /// The shard.
    pub fn shard(&self) -> u32 {
        self.log.shard()
    }

    /// How long synced writes take on this node.
    pub(super) fn pace(&self) -> &Pace {
        self.hub.pace()
    }

    /// Whether this replica has ever promised anything to anybody: voted, or followed a leader.
    pub(super) fn has_voted(&self) -> bool {
        self.log.vote().is_some()
    }

    /// The last index that was accepted here.
    pub(super) fn last(&self) -> Option<LogId> {
        self.log.last().map(log_id)
    }

    /// To be advanced at every index that is applied here from the log. A purge keeps what this
    /// covers.
    pub fn applied_mark(&self) -> AppliedMark {
        self.log.applied()
    }

    /// The shard's snapshots here.
    pub(super) fn snapshots(&self) -> io::Result<Snapshots> {
        Snapshots::open(self.hub.clone(), self.log.clone())
    }

    fn entries(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let records = self.log.read_in_view(range, max_bytes)?;
        self.decoded(&records)
    }

    fn decoded(&self, records: &[StoredRecord]) -> io::Result<Vec<Entry>> {
        let shard = self.log.shard();
        let entry = |record: &StoredRecord| {
            let place = Place::Record {
                shard,
                index: record.id.index,
            };
            record
                .entry()
                .map_err(|cause| Damage::from(cause).at(place))
        };
        records.iter().map(entry).collect()
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        // A copy that came to vote begins with what is in the archive.
        let archived = self.log.archived_end();
        let mut entries = Vec::new();
        let mut next = start;
        while next < end.min(archived) && !self.log.is_purged(next) {
            let shard = self.log.shard();
            let read = self
                .hub
                .read_through(shard, next..end.min(archived), usize::MAX);
            let read = self.decoded(&read.await?)?;
            next += read.len() as u64;
            entries.extend(read);
        }
        entries.extend(self.entries(next..end, usize::MAX)?);
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(|ballot| {
            let term = Term {
                epoch: ballot.epoch,
                term: ballot.term,
            };
            let leader_id = LeaderId {
                term,
                node_id: ballot.node,
            };
            Vote {
                leader_id,
                committed: ballot.committed,
            }
        }))
    }

    /// A follower that was away goes on being sent what follows its last entry, although that was purged
    /// meanwhile. Entries from the middle would be taken for those: it gets what is kept of them, or
    /// none until they have been fetched.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        if !self.log.is_purged(start) && start >= self.log.archived_end() {
            return self.entries(start..end, READ_BYTES);
        }
        let shard = self.log.shard();
        let kept = self.hub.read_through(shard, start..end, READ_BYTES).await;
        let kept = kept.and_then(|records| self.decoded(&records));
        Ok(kept.unwrap_or_else(|error| {
            tracing::warn!(shard, start, %error, "what was purged cannot be sent");
            Vec::new()
        }))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(log_id),
            last_log_id: self.log.last().map(log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let LeaderId { term, node_id } = vote.leader_id;
        let ballot = proto::Ballot {
            epoch: term.epoch,
            term: term.term,
            node: node_id,
            committed: vote.committed,
        };
        self.hub.write(self.log.store_vote(ballot)).await?;
        self.log.set_vote(ballot);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // In its place in the queue, though nobody waits: it must never name an entry that the
        // disk does not hold yet. openraft awaits this before each apply, so it must not sync.
        self.hub
            .write_later(self.log.set_committed(committed.as_ref().map(record_id)))
            .await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.committed().map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let records = entries
            .into_iter()
            .map(|entry| StoredRecord::of(&entry))
            .collect();
        let done = Box::new(move |outcome| callback.io_completed(outcome));
        self.hub.append(&self.log, records, done).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let last = last_log_id.as_ref().map(record_id);
        self.hub.write(self.log.truncate_after(last)).await
    }

    async fn purge(&mut self, through: LogId) -> io::Result<()> {
        let (batch, forget_through) = self.log.purge(record_id(&through));
        self.hub.write(batch).await?;
        if let Some(index) = forget_through {
            self.log.forget_through(index);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

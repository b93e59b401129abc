use std::collections::VecDeque;

use super::record::StoredRecord;

/// How many bytes of records a shard keeps in memory for replication, apply and feeds.
const CAPACITY: usize = 32 << 20;
/// What a record costs beside its bytes, roughly.
const OVERHEAD: usize = 128;

/// The end of one shard's log, in memory.
///
/// It is contiguous, ends where the log ends, and holds at least every record that is not yet
/// written: a reader who finds an index below the tail finds it on disk.
#[derive(Debug)]
pub(super) struct Tail {
    records: VecDeque<Held>,
    bytes: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Held {
    append: u64,
    record: StoredRecord,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            capacity: CAPACITY,
        }
    }
}

impl Tail {
    pub(super) fn first(&self) -> Option<u64> {
        self.records.front().map(|held| held.record.id.index)
    }

    /// Adds a record that the append numbered `append` will write.
    pub(super) fn push(&mut self, append: u64, record: StoredRecord) {
        if let Some(back) = self.records.back() {
            assert_eq!(
                back.record.id.index + 1,
                record.id.index,
                "the tail is contiguous"
            );
        }
        self.bytes += cost(&record);
        self.records.push_back(Held { append, record });
    }

    /// Forgets the oldest records beyond the capacity, of those written by `append` or before.
    pub(super) fn trim(&mut self, append: u64) {
        while self.bytes > self.capacity
            && self
                .records
                .front()
                .is_some_and(|held| held.append <= append)
        {
            self.pop_front();
        }
    }

    pub(super) fn truncate_from(&mut self, index: u64) {
        while self
            .records
            .back()
            .is_some_and(|held| held.record.id.index >= index)
        {
            if let Some(held) = self.records.pop_back() {
                self.bytes -= cost(&held.record);
            }
        }
    }

    pub(super) fn forget_through(&mut self, index: u64) {
        while self.first().is_some_and(|first| first <= index) {
            self.pop_front();
        }
    }

    /// The records from `index` on, which must not lie below the tail.
    pub(super) fn starting_at(&self, index: u64) -> impl Iterator<Item = &StoredRecord> {
        let first = self.first().unwrap_or(index);
        let skip = usize::try_from(index.saturating_sub(first)).unwrap_or(usize::MAX);
        self.records.iter().skip(skip).map(|held| &held.record)
    }

    fn pop_front(&mut self) {
        if let Some(held) = self.records.pop_front() {
            self.bytes -= cost(&held.record);
        }
    }
}

fn cost(record: &StoredRecord) -> usize {
    record.record.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::Kind;
    use crate::raft::RecordId;
    use bytes::Bytes;

    fn tail(capacity: usize, indexes: std::ops::Range<u64>) -> Tail {
        let mut tail = Tail {
            capacity,
            ..Tail::default()
        };
        for index in indexes {
            let id = RecordId {
                epoch: 1,
                term: 1,
                node: 1,
                index,
            };
            let record = Bytes::from(vec![0; 1000 - OVERHEAD]);
            let payload = Bytes::new();
            tail.push(
                index,
                StoredRecord {
                    id,
                    kind: Kind::Blank,
                    record,
                    payload,
                },
            );
        }
        tail
    }

    fn indexes(tail: &Tail, from: u64) -> Vec<u64> {
        tail.starting_at(from)
            .map(|record| record.id.index)
            .collect()
    }

    #[test]
    fn what_is_not_written_is_never_forgotten() {
        let mut tail = tail(2_000, 10..15);
        tail.trim(11);
        assert_eq!(indexes(&tail, 12), [12, 13, 14]);
        tail.trim(14);
        assert_eq!(indexes(&tail, 13), [13, 14]);
    }

    #[test]
    fn it_is_cut_at_both_ends() {
        let mut tail = tail(usize::MAX, 10..15);
        tail.truncate_from(14);
        tail.forget_through(10);
        assert_eq!(indexes(&tail, 11), [11, 12, 13]);
        assert_eq!(indexes(&tail, 13), [13]);
        assert_eq!(indexes(&tail, 14), Vec::<u64>::new());
        tail.truncate_from(0);
        assert_eq!((tail.first(), tail.bytes), (None, 0));
    }
}

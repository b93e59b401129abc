use std::io;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::ShardLog;
use crate::log::archived::InArchive;
use crate::log::damage::{Damage, Place};
use crate::log::keys;
use crate::log::record::StoredRecord;

impl ShardLog {
    /// The records that Raft may see of a range: all of them, or some of the first if they exceed
    /// `max_bytes`. A missing one is an error, as Raft would take it for the end.
    pub(crate) fn read_in_view(
        &self,
        range: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<StoredRecord>> {
        let (first, end) = {
            let state = self.lock();
            (state.first, state.last.map_or(0, |id| id.index + 1))
        };
        let range = range.start.max(first)..range.end.min(end);
        let records = self.read(range.clone(), max_bytes)?;
        let next = records
            .last()
            .map_or(range.start, |record| record.id.index + 1);
        let bytes: usize = records.iter().map(|record| record.record.len()).sum();
        if next < range.end && bytes < max_bytes {
            let place = Place::Record {
                shard: self.shard,
                index: next,
            };
            return Err(Damage::Missing.at(place));
        }
        Ok(records)
    }

    /// The records of a range in order without a gap, at least one if the first is here, until
    /// `max_bytes` are exceeded or an index is not here.
    pub(crate) fn read(
        &self,
        range: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<StoredRecord>> {
        let mut reading = Reading {
            next: range.start,
            bytes: 0,
            max_bytes,
            records: Vec::new(),
        };
        let (end, on_disk) = {
            let state = self.lock();
            let end = range.end.min(state.last.map_or(0, |id| id.index + 1));
            if range.start >= end {
                return Ok(Vec::new());
            }
            let tail = state.tail.first().unwrap_or(end);
            if range.start >= tail {
                let mut rest = state.tail.starting_at(range.start);
                while reading.next < end && reading.has_room() {
                    let Some(record) = rest.next() else { break };
                    reading.take(record.clone());
                }
                return Ok(reading.records);
            }
            if range.start < state.archived.end() {
                let (shard, index) = (self.shard, range.start);
                return Err(InArchive { shard, index }.into());
            }
            (end, range.start..tail.min(end))
        };
        self.read_disk(on_disk.clone(), &mut reading)?;
        // The tail may have moved on meanwhile; what it let go of is on disk now.
        if reading.next == on_disk.end && reading.next < end && reading.has_room() {
            let rest = self.read(reading.next..end, max_bytes - reading.bytes)?;
            reading.records.extend(rest);
        }
        Ok(reading.records)
    }

    fn read_disk(&self, range: Range<u64>, reading: &mut Reading) -> io::Result<()> {
        let mut failure = None;
        let distrusted = self.distrusted(range.clone());
        let bounds = keys::records(self.shard, range);
        self.engine
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                let index = keys::index_of(key);
                if index != reading.next || !reading.has_room() {
                    return ControlFlow::Break(());
                }
                if Some(index) == distrusted {
                    let shard = self.shard;
                    failure = Some(Damage::Doubtful.at(Place::Record { shard, index }));
                    return ControlFlow::Break(());
                }
                match self.parse(index, Bytes::copy_from_slice(value)) {
                    Ok(record) => {
                        reading.take(record);
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        failure.map_or(Ok(()), Err)
    }

    /// The first index at or after `from` that has a record on disk.
    pub(crate) fn first_stored(&self, from: u64) -> io::Result<Option<u64>> {
        let mut found = None;
        let bounds = keys::records(self.shard, from..u64::MAX);
        self.engine
            .scan(&bounds.start..&bounds.end, &mut |key, _| {
                found = Some(keys::index_of(key));
                ControlFlow::Break(())
            })?;
        Ok(found)
    }

    /// Reads what is stored of an index, where something must be.
    pub(crate) fn parse_row(&self, index: u64, stored: Option<Bytes>) -> io::Result<StoredRecord> {
        self.parse(index, stored.ok_or_else(|| self.is_missing(index))?)
    }

    pub(super) fn is_missing(&self, index: u64) -> io::Error {
        let shard = self.shard;
        Damage::Missing.at(Place::Record { shard, index })
    }

    /// Reads a stored record that must be the one of `index`.
    pub(super) fn parse(&self, index: u64, stored: Bytes) -> io::Result<StoredRecord> {
        let place = Place::Record {
            shard: self.shard,
            index,
        };
        let record = StoredRecord::parse(stored).map_err(|cause| Damage::from(cause).at(place))?;
        if record.id.index == index {
            return Ok(record);
        }
        let (found, expected) = (record.id.index.to_string(), index.to_string());
        Err(Damage::Disagrees { found, expected }.at(place))
    }
}

/// A read under way.
struct Reading {
    next: u64,
    bytes: usize,
    max_bytes: usize,
    records: Vec<StoredRecord>,
}

impl Reading {
    fn has_room(&self) -> bool {
        self.records.is_empty() || self.bytes < self.max_bytes
    }

    fn take(&mut self, record: StoredRecord) {
        self.next = record.id.index + 1;
        self.bytes += record.record.len();
        self.records.push(record);
    }
}

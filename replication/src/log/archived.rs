//! The old part of a log, which is in an archive and no more in the log store.
//!
//! A log that is archived up to an index has, in place of the records before, the list of the segments
//! that hold them, without a gap from index 0 on, and of the audited heads the one after each segment. What
//! is in memory or in the store is read at once ([`LogHub::read`]); what is in the archive has to be
//! fetched first ([`LogHub::read_through`]).

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use ledger_domain::frame;

use super::damage::{Damage, Place};
use super::record::{self, Malformed};
use super::shard_log::ShardLog;
use super::{Head, LogHub, StoredRecord, keys};
use crate::archive::backup::SegmentRef;
use crate::archive::segment::{self, Opened};
use crate::archive::shelf::object_of;
use crate::proto;
use crate::world::{Batch, Op};

/// Records that are in an archive, and no more in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedSegment {
    /// The segment.
    pub segment: SegmentRef,
    /// The audited chain's head before its first index.
    pub before: Head,
    /// How many outcomes its entries have.
    pub outcomes: u64,
    /// From which index on its records are of which epoch, by rising index; from its first on.
    pub epochs: Vec<(u64, u64)>,
}

impl ArchivedSegment {
    /// A sealed segment that was opened out of the archive.
    pub(crate) fn of(segment: SegmentRef, opened: &Opened) -> Self {
        let mut epochs: Vec<(u64, u64)> = Vec::new();
        for (record, _) in &opened.records {
            if epochs
                .last()
                .is_none_or(|(_, epoch)| *epoch != record.id.epoch)
            {
                epochs.push((record.id.index, record.id.epoch));
            }
        }
        Self {
            segment,
            before: opened.about.before,
            outcomes: opened.outcomes,
            epochs,
        }
    }

    /// Whether an opened object has its records: the audited chain says so, however they are packed.
    pub(crate) fn is(&self, shard: u32, opened: &Opened) -> bool {
        let about = &opened.about;
        let SegmentRef { first, last, .. } = self.segment;
        (about.shard, about.indexes()) == (shard, first..=last)
            && (about.before, about.after) == (self.before, self.segment.after)
    }

    /// Opens its object.
    pub(super) fn open_out_of(
        &self,
        shard: u32,
        object: &dyn Fn(&str) -> Option<Bytes>,
    ) -> io::Result<Opened> {
        let SegmentRef { first, last, .. } = self.segment;
        let place = Place::Segment { shard, first };
        let object = object(&object_of(shard, first, last, &self.segment.after));
        let object = object.ok_or_else(|| Damage::Missing.at(place))?;
        let opened = segment::open(&object, blake3::hash(&object).as_bytes());
        let opened = opened.map_err(|cause| Damage::Segment(cause).at(place))?;
        match self.is(shard, &opened) {
            true => Ok(opened),
            false => Err(Damage::Doubtful.at(place)),
        }
    }

    /// The epoch of an index in it.
    pub(super) fn epoch_of(&self, index: u64) -> Option<u64> {
        let begun = self.epochs.iter().rev();
        let mut begun = begun.skip_while(|(first, _)| *first > index);
        begun.next().map(|(_, epoch)| *epoch)
    }

    /// Its indexes.
    pub fn indexes(&self) -> Range<u64> {
        self.segment.first..self.segment.last + 1
    }

    fn stored(&self) -> Bytes {
        frame::seal_message(&proto::ArchivedSegment {
            segment: Some(self.segment.stored()),
            head_before: Bytes::copy_from_slice(&self.before),
            outcomes: self.outcomes,
            epochs: self
                .epochs
                .iter()
                .map(|&(index, epoch)| proto::EpochStart { index, epoch })
                .collect(),
        })
    }

    fn parsed(stored: &Bytes) -> Result<Self, Malformed> {
        let message: proto::ArchivedSegment = record::message(stored)?;
        let segment = message.segment.ok_or(Malformed::Missing("a segment"))?;
        let segment = SegmentRef::parsed(&segment)?;
        if segment.last < segment.first {
            return Err(Malformed::Missing("an index"));
        }
        Ok(Self {
            segment,
            before: segment::head(&message.head_before)?,
            outcomes: message.outcomes,
            epochs: message
                .epochs
                .iter()
                .map(|it| (it.index, it.epoch))
                .collect(),
        })
    }
}

/// The record of an index is in the archive: it has to be fetched before it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("index {index} of shard {shard} is in the archive")]
pub struct InArchive {
    /// The shard.
    pub shard: u32,
    /// The index.
    pub index: u64,
}

impl InArchive {
    /// Whether this is why something could not be read.
    pub fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl From<InArchive> for io::Error {
    fn from(place: InArchive) -> Self {
        Self::new(io::ErrorKind::WouldBlock, place)
    }
}

/// What the log knows of its archived part: segments by rising index, from the first on without a gap.
#[derive(Debug, Default)]
pub(super) struct Archived(Vec<Arc<ArchivedSegment>>);

impl Archived {
    /// The first index that is not archived.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |last| last.segment.last + 1)
    }

    fn find(&self, index: u64) -> Option<&Arc<ArchivedSegment>> {
        let place = self.0.partition_point(|it| it.segment.last < index);
        self.0.get(place)
    }
}

impl ShardLog {
    /// Reads which segments there are.
    pub(super) fn read_archived(&self) -> io::Result<Archived> {
        let mut found = Archived::default();
        let mut failure = None;
        let bounds = keys::all_archived(self.shard());
        self.engine()
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                let first = keys::index_of(key);
                let place = Place::Segment {
                    shard: self.shard(),
                    first,
                };
                match ArchivedSegment::parsed(&Bytes::copy_from_slice(value)) {
                    Ok(segment) if segment.segment.first == first && first == found.end() => {
                        found.0.push(Arc::new(segment));
                        ControlFlow::Continue(())
                    }
                    Ok(segment) => {
                        let disagrees = Damage::Disagrees {
                            found: format!("index {}", segment.segment.first),
                            expected: format!("index {}", found.end()),
                        };
                        failure = Some(disagrees.at(place));
                        ControlFlow::Break(())
                    }
                    Err(cause) => {
                        failure = Some(Damage::from(cause).at(place));
                        ControlFlow::Break(())
                    }
                }
            })?;
        failure.map_or(Ok(found), Err)
    }

    /// The segments that hold what was before the log.
    pub(crate) fn archived(&self) -> Vec<Arc<ArchivedSegment>> {
        self.lock().archived.0.clone()
    }

    /// The first index that is not in the archive.
    pub(crate) fn archived_end(&self) -> u64 {
        self.lock().archived.end()
    }

    /// The segment that an index is in, if it is in the archive.
    pub(crate) fn archived_in(&self, index: u64) -> Option<Arc<ArchivedSegment>> {
        self.lock().archived.find(index).cloned()
    }

    /// From now on the records of a segment are in the archive. Gives the batch that takes them out of
    /// the log.
    ///
    /// # Errors
    ///
    /// Where the segment is not what comes next.
    fn archive(&self, segment: ArchivedSegment) -> io::Result<Batch> {
        let (shard, indexes) = (self.shard(), segment.indexes());
        let mut state = self.lock();
        let goes_on = state.archived.end() == indexes.start;
        if !goes_on || state.last.is_none_or(|last| last.index < indexes.end) {
            return Err(self.out_of_order(state.last, indexes.start));
        }
        let last = segment.segment.last;
        let batch = vec![
            Op::Put(keys::archived(shard, indexes.start), segment.stored()),
            Op::DeleteRange(keys::records(shard, indexes.clone())),
            Op::DeleteRange(keys::heads(shard, indexes.start..last)),
        ];
        state.archived.0.push(Arc::new(segment));
        Ok(batch)
    }

    /// The object of an archived segment is another from now on.
    fn archive_again(&self, segment: ArchivedSegment) -> Batch {
        let key = keys::archived(self.shard(), segment.segment.first);
        let batch = vec![Op::Put(key, segment.stored())];
        let mut state = self.lock();
        let place = segment.segment.first;
        let there = state.archived.0.iter_mut();
        for kept in there.filter(|it| it.segment.first == place) {
            *kept = Arc::new(segment.clone());
        }
        batch
    }
}

impl LogHub {
    /// As [`LogHub::read`], and out of the archive where what is asked for is there.
    ///
    /// # Errors
    ///
    /// As [`LogHub::read`]; with [`Damaged`](super::Damaged) where the archive's segment is not what was sealed, or is
    /// gone; with [`NotReached`](crate::archive::shelf::NotReached) where the archive does not answer.
    pub async fn read_through(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<StoredRecord>> {
        match self.read(shard, indexes.clone(), max_bytes) {
            Err(error) if InArchive::is_cause(&error) => {
                let records = self.fetched(shard, indexes, max_bytes).await?;
                Ok(records.into_iter().map(|(record, _)| record).collect())
            }
            read => read,
        }
    }

    /// As [`LogHub::read_through`], each record with its audited head; those whose head is not here yet
    /// are left out, with all that follow.
    pub(crate) async fn read_audited(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<(StoredRecord, Head)>> {
        let log = self.shard_log(shard)?;
        let from = indexes.start;
        if from >= log.archived_end() {
            let audited = self.audited(shard, indexes.clone(), max_bytes);
            // It may have been moved between the one reading and the other.
            if from >= log.archived_end() {
                return audited;
            }
        }
        self.fetched(shard, indexes, max_bytes).await
    }

    fn audited(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<(StoredRecord, Head)>> {
        let from = indexes.start;
        let records = self.read(shard, indexes, max_bytes)?;
        let heads = self.heads(shard, from..from + records.len() as u64)?;
        let audited = records.into_iter().zip(heads);
        let audited = audited.take_while(|(record, (index, _))| record.id.index == *index);
        Ok(audited.map(|(record, (_, head))| (record, head)).collect())
    }

    /// Out of the segment that has the first of the indexes.
    async fn fetched(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<(StoredRecord, Head)>> {
        let segment = self.shard_log(shard)?.archived_in(indexes.start);
        let segment = segment.ok_or_else(|| {
            let index = indexes.start;
            io::Error::from(InArchive { shard, index })
        })?;
        let opened = self.shelf().open(shard, &segment).await?;
        let skipped = usize::try_from(indexes.start - segment.segment.first);
        let rest = opened.records.iter().skip(skipped.unwrap_or(usize::MAX));
        let mut bytes = 0;
        let mut found = Vec::new();
        for (record, head) in rest.take_while(|(record, _)| record.id.index < indexes.end) {
            if !found.is_empty() && bytes >= max_bytes {
                break;
            }
            bytes += record.record.len();
            found.push((record.clone(), *head));
        }
        self.shelf().counts().records.add(found.len() as u64);
        Ok(found)
    }

    /// The epoch that the record of an index is of; `None` where the log ends before it.
    ///
    /// # Errors
    ///
    /// As [`LogHub::read`], but for what is in the archive: its epochs are known here.
    pub fn epoch_at(&self, shard: u32, index: u64) -> io::Result<Option<u64>> {
        if let Some(segment) = self.shard_log(shard)?.archived_in(index) {
            return Ok(segment.epoch_of(index));
        }
        let records = self.read(shard, index..index.saturating_add(1), 1)?;
        Ok(records.first().map(|record| record.id.epoch))
    }

    /// The segments that a shard's log was moved to, by rising index.
    ///
    /// # Errors
    ///
    /// Where the log cannot be opened.
    pub fn archived(&self, shard: u32) -> io::Result<Vec<Arc<ArchivedSegment>>> {
        Ok(self.shard_log(shard)?.archived())
    }

    /// Takes the records of a segment that is in the archive, whole and looked at, out of the log. They
    /// are read there from now on.
    pub(crate) async fn archive(&self, shard: u32, segment: ArchivedSegment) -> io::Result<()> {
        let batch = self.shard_log(shard)?.archive(segment)?;
        self.write(batch).await
    }

    /// Keeps that a segment's object was written again.
    pub(crate) async fn archive_again(
        &self,
        shard: u32,
        segment: ArchivedSegment,
    ) -> io::Result<()> {
        let batch = self.shard_log(shard)?.archive_again(segment);
        self.write(batch).await
    }
}

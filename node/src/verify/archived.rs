//! The archived part of logs, read as if it were still in the store.
//!
//! What of a log is in the archive is said by rows of the store (`ArchivedSegment` in
//! `replication/proto/archive.proto`). Segments are opened by the code that sealed them; what comes out of them,
//! records and heads, is then read and recomputed like all else. That the head which the store keeps after a
//! segment is the one that its records lead to is looked at here.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::frame;
use prost::Message as _;
use replication::archive::segment::{self, Opened};
use replication::archive::shelf::object_of;
use replication::proto::{ArchivedSegment, SegmentRef};
use replication::world::{Archive, Batch, Durability, Engine, SortedRow, WriterHost};

use super::layout::{self, ARCHIVED, HEAD, RECORD};

/// A store, and the archive that its old part is in.
pub(super) struct WithArchive {
    engine: Arc<dyn Engine>,
    archive: Option<Arc<dyn Archive>>,
    shards: BTreeMap<u32, Vec<SegmentRef>>,
    /// The segment that was read last: readers go on where they were.
    opened: Mutex<Option<Last>>,
}

/// Of which shard, from which index on; and the segment.
type Last = ((u32, u64), Arc<Opened>);
/// Whoever looks at keys and values.
type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// A part of a range of keys, and where it is.
enum Piece {
    Store(Range<Vec<u8>>),
    Archive {
        kind: u8,
        shard: u32,
        indexes: Range<u64>,
    },
}

impl WithArchive {
    /// Reads which segments there are. Gives them up to the first that does not follow the one before.
    pub(super) fn open(
        engine: Arc<dyn Engine>,
        archive: Option<Arc<dyn Archive>>,
    ) -> io::Result<Self> {
        let mut shards: BTreeMap<u32, Vec<SegmentRef>> = BTreeMap::new();
        let mut failure = None;
        engine.scan(
            &[ARCHIVED]..&[ARCHIVED + 1],
            &mut |key, value| match row(key, value) {
                Some((shard, segment)) if segment.first == end(shards.get(&shard)) => {
                    shards.entry(shard).or_default().push(segment);
                    ControlFlow::Continue(())
                }
                _ => {
                    let key = super::stored::hex(key);
                    let what = format!("the row {key} of an archived segment cannot be read");
                    failure = Some(io::Error::new(io::ErrorKind::InvalidData, what));
                    ControlFlow::Break(())
                }
            },
        )?;
        let opened = Mutex::default();
        let all = Self {
            engine,
            archive,
            shards,
            opened,
        };
        failure.map_or(Ok(all), Err)
    }

    /// The first shard that has something in the archive, and its first index that has not.
    pub(super) fn first(&self) -> Option<(u32, u64)> {
        let (shard, segments) = self.shards.first_key_value()?;
        Some((*shard, end(Some(segments))))
    }

    pub(super) fn has_archive(&self) -> bool {
        self.archive.is_some()
    }

    fn pieces(&self, range: Range<&[u8]>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut from = range.start.to_vec();
        for kind in [RECORD, HEAD] {
            for (shard, segments) in &self.shards {
                let indexes = 0..end(Some(segments));
                let begin = layout::table(kind, *shard);
                let after = layout::indexed(kind, *shard, indexes.end);
                if after.as_slice() <= from.as_slice() || begin.as_slice() >= range.end {
                    continue;
                }
                if begin > from {
                    pieces.push(Piece::Store(from..begin.clone()));
                    from = begin;
                }
                let first = layout::index_of(&from).unwrap_or(0);
                let last = match after.as_slice() <= range.end {
                    true => indexes.end,
                    false => layout::index_of(range.end).unwrap_or(indexes.end),
                };
                pieces.push(Piece::Archive {
                    kind,
                    shard: *shard,
                    indexes: first..last,
                });
                from = after;
            }
        }
        if from.as_slice() < range.end {
            pieces.push(Piece::Store(from..range.end.to_vec()));
        }
        pieces
    }

    /// The stored value of an index that is in the archive.
    fn value(&self, kind: u8, shard: u32, index: u64) -> io::Result<Option<Bytes>> {
        let segments = self
            .shards
            .get(&shard)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let place = segments.partition_point(|it| it.last < index);
        let Some(segment) = segments.get(place) else {
            return Ok(None);
        };
        let opened = self.opened(shard, segment)?;
        let place = usize::try_from(index - segment.first).unwrap_or(usize::MAX);
        let value = opened.records.get(place).map(|(record, head)| match kind {
            RECORD => record.record.clone(),
            _ => frame::seal(head.len(), |out| out.extend_from_slice(head)),
        });
        Ok(value)
    }

    fn opened(&self, shard: u32, segment: &SegmentRef) -> io::Result<Arc<Opened>> {
        let mut last = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((place, opened)) = last.as_ref()
            && *place == (shard, segment.first)
        {
            return Ok(opened.clone());
        }
        let opened = self.look(shard, segment).map_err(|cause| {
            let (first, until) = (segment.first, segment.last);
            let what = format!("the archived indexes {first} to {until} of shard {shard}: {cause}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        let opened = Arc::new(opened);
        *last = Some(((shard, segment.first), opened.clone()));
        Ok(opened)
    }

    fn look(&self, shard: u32, segment: &SegmentRef) -> Result<Opened, String> {
        let archive = self.archive.as_ref().ok_or("no archive was given")?;
        let after = hash(&segment.head_after)?;
        let name = object_of(shard, segment.first, segment.last, &after);
        let object = fetch(archive.as_ref(), &name).map_err(|cause| cause.to_string())?;
        let object = object.ok_or_else(|| format!("the object `{name}` is not there"))?;
        let opened = segment::open(&object, blake3::hash(&object).as_bytes());
        let opened = opened.map_err(|cause| format!("the object `{name}`: {cause}"))?;
        let about = &opened.about;
        if (about.shard, about.indexes()) != (shard, segment.first..=segment.last) {
            return Err(format!("the object `{name}` has other indexes"));
        }
        let key = layout::indexed(HEAD, shard, segment.last);
        let kept = self.engine.get(&key).map_err(|cause| cause.to_string())?;
        let kept = kept.and_then(|kept| frame::open(&kept).ok());
        match kept.is_some_and(|kept| kept[..] == about.after[..]) {
            true => Ok(opened),
            false => Err(format!(
                "the object `{name}` does not arrive at the head that is kept here"
            )),
        }
    }
}

fn row(key: &[u8], value: &[u8]) -> Option<(u32, SegmentRef)> {
    let (shard, first) = (layout::shard_of(key)?, layout::index_of(key)?);
    let opened = frame::open(&Bytes::copy_from_slice(value)).ok()?;
    let row = ArchivedSegment::decode(opened).ok()?;
    let segment = row
        .segment
        .filter(|it| it.first == first && it.last >= first)?;
    Some((shard, segment))
}

fn end(segments: Option<&Vec<SegmentRef>>) -> u64 {
    let last = segments.and_then(|segments| segments.last());
    last.map_or(0, |last| last.last + 1)
}

fn hash(stored: &Bytes) -> Result<[u8; 32], String> {
    let hash = <[u8; 32]>::try_from(&stored[..]);
    hash.map_err(|_| "its row has no hash".to_owned())
}

/// Reads an object. Whoever asks may or may not be a task of a runtime: this has one of its own.
fn fetch(archive: &dyn Archive, name: &str) -> io::Result<Option<Bytes>> {
    let getting = archive.get(name);
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(getting)
        });
        let fetched = fetching.join();
        fetched.unwrap_or_else(|_| Err(io::Error::other("the archive's client failed")))
    })
}

impl Engine for WithArchive {
    fn write(&self, _: Batch, _: Durability) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn ingest(&self, _: Vec<SortedRow>) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let place = key
            .first()
            .zip(layout::shard_of(key))
            .zip(layout::index_of(key));
        match place {
            Some(((&kind, shard), index))
                if [RECORD, HEAD].contains(&kind) && index < end(self.shards.get(&shard)) =>
            {
                self.value(kind, shard, index)
            }
            _ => self.engine.get(key),
        }
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.walk(self.pieces(range), false, visit)
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut pieces = self.pieces(range);
        pieces.reverse();
        self.walk(pieces, true, visit)
    }

    fn writer_host(&self) -> WriterHost {
        self.engine.writer_host()
    }

    fn sync_time(&self) -> Duration {
        self.engine.sync_time()
    }
}

impl WithArchive {
    fn walk(&self, pieces: Vec<Piece>, backwards: bool, visit: Visit<'_>) -> io::Result<()> {
        let mut ended = false;
        for piece in pieces {
            let mut visited = |key: &[u8], value: &[u8]| {
                let flow = visit(key, value);
                ended = flow.is_break();
                flow
            };
            match piece {
                Piece::Store(keys) if backwards => {
                    self.engine
                        .scan_back(&keys.start..&keys.end, &mut visited)?;
                }
                Piece::Store(keys) => self.engine.scan(&keys.start..&keys.end, &mut visited)?,
                Piece::Archive {
                    kind,
                    shard,
                    indexes,
                } => {
                    let (mut forth, mut back) = (indexes.clone(), indexes.rev());
                    let next = || match backwards {
                        true => back.next(),
                        false => forth.next(),
                    };
                    for index in std::iter::from_fn(next) {
                        let Some(value) = self.value(kind, shard, index)? else {
                            break;
                        };
                        let key = layout::indexed(kind, shard, index);
                        if visited(&key, &value).is_break() {
                            break;
                        }
                    }
                }
            }
            if ended {
                break;
            }
        }
        Ok(())
    }
}

//! Segments out of the archive, opened, the last that were asked for kept in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::segment::{self, Opened};
use crate::hex::hex;
use crate::log::{ArchivedSegment, Damage, Place};
use crate::metrics::Counter;
use crate::world::{Archive, WriterHost};

/// How much is kept opened, in bytes, about; the segment that was asked for last is kept in any case.
const OPENED: u64 = 64 << 20;
/// What an opened record takes beside its bytes, about.
const RECORD: u64 = 256;
/// How many are fetched and opened at the same time.
const AT_ONCE: usize = 4;
/// How long the archive may take for an object.
const PATIENCE: Duration = Duration::from_secs(30);

/// The archive does not give what it should have. It may be asked again.
#[derive(Debug, thiserror::Error)]
#[error("the archive does not give indexes {first} to {last} of shard {shard}: {cause}")]
pub struct NotReached {
    /// The shard.
    pub shard: u32,
    /// The segment's first index.
    pub first: u64,
    /// Its last.
    pub last: u64,
    /// Why not.
    pub cause: String,
}

impl NotReached {
    /// Whether this is why something could not be read.
    pub fn is_cause(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

/// What is counted here.
#[derive(Debug, Default)]
pub(crate) struct ShelfCounts {
    /// Records that were read out of segments.
    pub(crate) records: Counter,
    /// Objects that were fetched and opened.
    pub(crate) fetched: Counter,
    /// Objects that were not what was sealed, or were gone.
    pub(crate) damaged: Counter,
    /// Objects that the archive did not give.
    pub(crate) not_reached: Counter,
}

/// The archive as a node reads it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shelf(Arc<Inner>);

struct Inner {
    archive: Option<Arc<dyn Archive>>,
    host: WriterHost,
    opened: Mutex<VecDeque<Slot>>,
    /// For those that are being fetched.
    places: Semaphore,
    counts: ShelfCounts,
}

#[derive(Clone)]
struct Slot {
    shard: u32,
    first: u64,
    bytes: u64,
    opened: Arc<OnceCell<Arc<Opened>>>,
}

/// The name of a segment's object: who has the records knows it without having sealed them.
pub fn object_of(shard: u32, first: u64, last: u64, after: &[u8; 32]) -> String {
    let head = hex(&after[..16]);
    format!("segments/{shard:010}/{first:020}-{last:020}-{head}")
}

impl Shelf {
    pub(crate) fn new(archive: Option<Arc<dyn Archive>>, host: WriterHost) -> Self {
        Self(Arc::new(Inner {
            archive,
            host,
            opened: Mutex::default(),
            places: Semaphore::new(AT_ONCE),
            counts: ShelfCounts::default(),
        }))
    }

    pub(crate) fn counts(&self) -> &ShelfCounts {
        &self.0.counts
    }

    /// The archive, where there is one.
    pub(crate) fn archive(&self) -> Option<&Arc<dyn Archive>> {
        self.0.archive.as_ref()
    }

    /// A segment with its records, which are what was sealed. Whoever wants the same one at the same time
    /// waits for the one fetch.
    pub(crate) async fn open(
        &self,
        shard: u32,
        segment: &ArchivedSegment,
    ) -> io::Result<Arc<Opened>> {
        let slot = self.slot(shard, segment);
        if let Some(opened) = slot.opened.get() {
            return Ok(opened.clone());
        }
        // It goes on where whoever asked has gone: the next to ask finds it.
        let (shelf, segment) = (self.clone(), segment.clone());
        let fetching = tokio::spawn(async move {
            let looking = || shelf.look(shard, &segment);
            let opened = slot.opened.get_or_try_init(looking).await;
            opened.cloned()
        });
        fetching.await.map_err(io::Error::other)?
    }

    /// The same, past what is kept in memory: for whoever looks whether the object still is what was
    /// sealed.
    pub(crate) async fn look(
        &self,
        shard: u32,
        archived: &ArchivedSegment,
    ) -> io::Result<Arc<Opened>> {
        let _place = self.0.places.acquire().await;
        let counts = &self.0.counts;
        let segment = &archived.segment;
        let (first, last) = (segment.first, segment.last);
        let not_reached = |cause: String| {
            counts.not_reached.increment();
            let not_reached = NotReached {
                shard,
                first,
                last,
                cause,
            };
            io::Error::other(not_reached)
        };
        let place = Place::Segment { shard, first };
        let Some(archive) = &self.0.archive else {
            return Err(not_reached("this node has none".to_owned()));
        };
        let object = object_of(shard, first, last, &segment.after);
        let got = timeout(PATIENCE, archive.get(&object)).await;
        let got = got.map_err(|_| not_reached(format!("no answer in {} s", PATIENCE.as_secs())))?;
        let object = got.map_err(|cause| not_reached(cause.to_string()))?;
        let damaged = |damage: Damage| {
            counts.damaged.increment();
            damage.at(place)
        };
        let object = object.ok_or_else(|| damaged(Damage::Missing))?;
        let opened = self.unpack(object).await?;
        let (_, opened) = opened.map_err(|cause| damaged(Damage::Segment(cause)))?;
        if !archived.is(shard, &opened) {
            return Err(damaged(Damage::Doubtful));
        }
        counts.fetched.increment();
        tracing::trace!(target: "situation", "archived records were fetched");
        Ok(Arc::new(opened))
    }

    /// Opens an object, away from where others wait for their turn: its hash, and what is in it. Another
    /// program may have packed it; what its records are, the audited chain says.
    pub(crate) async fn unpack(
        &self,
        object: Bytes,
    ) -> io::Result<Result<([u8; 32], Opened), segment::Damage>> {
        self.work(move || {
            let hash = *blake3::hash(&object).as_bytes();
            segment::open(&object, &hash).map(|opened| (hash, opened))
        })
        .await
    }

    /// Does what takes long, away from where others wait for their turn.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match self.0.host {
            WriterHost::Task => Ok(work()),
            WriterHost::Thread => {
                let done = tokio::task::spawn_blocking(work).await;
                done.map_err(io::Error::other)
            }
        }
    }

    fn slot(&self, shard: u32, segment: &ArchivedSegment) -> Slot {
        let segment = &segment.segment;
        let mut opened = self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let place = opened
            .iter()
            .position(|slot| (slot.shard, slot.first) == (shard, segment.first));
        let slot = match place.and_then(|place| opened.remove(place)) {
            Some(slot) => slot,
            None => Slot {
                shard,
                first: segment.first,
                bytes: segment.record_bytes + RECORD * (segment.last - segment.first + 1),
                opened: Arc::default(),
            },
        };
        opened.push_back(slot.clone());
        let mut bytes: u64 = opened.iter().map(|slot| slot.bytes).sum();
        while bytes > OPENED && opened.len() > 1 {
            bytes -= opened.pop_front().map_or(0, |slot| slot.bytes);
        }
        slot
    }
}

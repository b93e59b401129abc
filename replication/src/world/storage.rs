use std::{io, ops::ControlFlow, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

/// The databases of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// The logs and copies of all shards, with their markers. Every write is synced.
    Log,
    /// Read models. Hardly ever synced: what a crash takes is folded again from the log.
    Views,
    /// Read models as well: while some serve from one of the two stores, others are made in the
    /// other.
    ViewsBeside,
}

impl Store {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Log, Self::Views, Self::ViewsBeside];
}

/// When a write is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns.
    Synced,
    /// At some later time, or never. A crash loses a suffix of such writes, in order.
    Later,
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Stores `value` under `key`.
    Put(Vec<u8>, Bytes),
    /// Removes `key`.
    Delete(Vec<u8>),
    /// Removes every key in the half-open range.
    DeleteRange(Range<Vec<u8>>),
}

/// Changes that happen together or not at all, in order.
pub type Batch = Vec<Op>;

/// A key, and the value that is stored under it; `None` where it is removed.
pub type SortedRow = (Vec<u8>, Option<Bytes>);

/// Where the loop that writes a store runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterHost {
    /// On a thread of its own: a write blocks it for as long as a sync takes.
    Thread,
    /// On a task of the runtime: writes return at once (a simulated disk), and a sync takes as long
    /// as [`Engine::sync_time`] says.
    Task,
}

/// An ordered map from bytes to bytes that survives a crash: the only thing the log and the
/// views know of a disk.
#[allow(
    clippy::type_complexity,
    reason = "a visitor is clearer where it is used"
)]
pub trait Engine: Send + Sync + 'static {
    /// Applies a batch atomically. An error leaves it unknown whether the batch is stored.
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()>;
    /// Stores many rows, all or none, in rising order of their keys and each key once. Durable at some
    /// later time, as a suffix of what is written. A store may have a cheaper way for these than for
    /// a [`batch`].
    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()>;
    /// The value under a key.
    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>>;
    /// Visits the pairs of a half-open range in rising key order until the visitor breaks.
    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()>;
    /// Visits the pairs of a half-open range in falling key order until the visitor breaks.
    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()>;
    /// Where a loop that writes this store should run.
    fn writer_host(&self) -> WriterHost;
    /// How long the next synced write is to take where it returns at once: whoever writes on a task
    /// waits for so long before it. A disk that takes its time itself has nothing to say.
    fn sync_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// Rows as the changes of a batch.
pub fn batch(rows: Vec<SortedRow>) -> Batch {
    let rows = rows.into_iter();
    rows.map(|(key, value)| match value {
        Some(value) => Op::Put(key, value),
        None => Op::Delete(key),
    })
    .collect()
}

/// A node's disk.
pub trait Disk: Send + Sync + 'static {
    /// Opens a store, making it if it is not there.
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>>;
    /// Removes a store and everything in it. Fails while it is open.
    fn wipe(&self, store: Store) -> io::Result<()>;
    /// Whether there is such a store.
    fn has(&self, store: Store) -> bool;
    /// How much room there is; `None` where a disk has no such notion.
    fn room(&self) -> Option<Room> {
        None
    }
}

/// How much room a disk has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What the log takes.
    pub log: u64,
    /// What the views take.
    pub views: u64,
    /// What is left on the file system.
    pub free: u64,
}

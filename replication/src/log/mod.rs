//! The durable log of a node: every record of every shard it holds, in one store.
//!
//! A committed record is written here once and nowhere else. For a shard that lives here it is
//! Raft's log; for one that lives elsewhere it is a copy, under the same keys. [`LogHub`] is the
//! node's handle; [`crate::raft::LogStore`] is one shard of it as Raft sees it.
//!
//! ```text
//!  append, vote, markers of all shards          put_heads
//!        │ in order                                │ whenever
//!        ▼                                         ▼
//!   ┌─ writer: everything waiting ─▶ one batch ─▶ one synced write ─▶ all callbacks, in order
//!   │
//!   └─ an I/O error: the writer fails what waits and all that comes, and never writes again
//! ```
//!
//! A record is readable as soon as it is accepted, from the shard's tail in memory, and durable
//! when its callback says so. What lies below the tail is on disk.
//!
//! Raft's view of a log is `(purged, last]`, and both are stored markers, changed in the batch that
//! changes the records. A purge keeps the records that were applied here, so that feeds can go on
//! serving them, and deletes the others it covers: under a snapshot a follower can hold a tail
//! that the leader overruled. Reading for a feed ([`LogHub::read`]) therefore goes back further
//! than Raft's view does.

use std::{io, sync::Arc};

use bytes::Bytes;

use crate::world::Engine;

mod applied;
mod archived;
mod damage;
mod hub;
mod keys;
mod pace;
pub mod record;
mod refound;
mod rows;
mod shard_log;
mod snapshots;
mod space;
mod tail;
mod told;
mod writer;

pub use applied::AppliedMark;
pub use archived::{ArchivedSegment, InArchive};
pub use damage::{Damage, Damaged, NotHeld, Place};
pub use hub::{CopyRecord, Head, LogHub};
pub use pace::Pace;
pub use record::{Kind, Malformed, StoredRecord};
pub(crate) use rows::Row;
pub(crate) use shard_log::ShardLog;
#[cfg(test)]
pub(crate) use shard_log::skip;
pub(crate) use snapshots::{ChunkHash, snapshot_marker};
pub use space::Space;
pub use writer::WriterStopped;

/// All records of a shard in a store, from index 0 to the first that is not there: for whoever
/// looks into a disk from outside of its node.
///
/// # Errors
///
/// Where the store or what it holds cannot be read.
pub fn read_stored(engine: Arc<dyn Engine>, shard: u32) -> io::Result<Vec<StoredRecord>> {
    ShardLog::open(engine, shard)?.read(0..u64::MAX, usize::MAX)
}

/// The same of a log whose old part is in an archive, which gives an object by its name.
///
/// # Errors
///
/// Where the store, the archive or what they hold cannot be read.
pub fn read_stored_with(
    engine: Arc<dyn Engine>,
    shard: u32,
    object: &dyn Fn(&str) -> Option<Bytes>,
) -> io::Result<Vec<StoredRecord>> {
    let log = ShardLog::open(engine, shard)?;
    let mut records = Vec::new();
    for archived in log.archived() {
        let opened = archived.open_out_of(shard, object)?;
        records.extend(opened.records.into_iter().map(|(record, _)| record));
    }
    records.extend(log.read(log.archived_end()..u64::MAX, usize::MAX)?);
    Ok(records)
}

#[cfg(test)]
mod tests;

//! A shard's snapshot outside of nodes: the shortcut through a log that a backup has.
//!
//! It is told of as the shard's voters keep it, by the hashes of its chunks, and written into the store of
//! a node that has the whole log: what it says must be what that log comes to.

use std::io;

use bytes::Bytes;

use crate::log::{Head, LogHub, Malformed, record, snapshot_marker};
use crate::proto;
use crate::raft::RecordId;
use crate::shard::read_snapshot;

/// How much is handed to the disk at a time.
const PART_BYTES: usize = 1 << 20;

/// A snapshot by reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    stored: Bytes,
    shard: u32,
    /// The last record that it covers.
    pub last: RecordId,
    /// Its chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// A part of a snapshot by reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// BLAKE3 of what is in it.
    pub hash: [u8; 32],
    /// Its length.
    pub bytes: u64,
}

/// What is in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The audited chain's head after its last record.
    pub head: Head,
    /// The next index to be read of other shards' logs, by shard.
    pub follows: Vec<(u32, u64)>,
}

impl Snapshot {
    /// Reads how the voters of a shard refer to it.
    ///
    /// # Errors
    ///
    /// Where it is damaged, or another shard's.
    pub fn parse(shard: u32, stored: Bytes) -> Result<Self, Malformed> {
        let message: proto::Snapshot = record::message(&stored)?;
        if message.shard != shard {
            return Err(Malformed::Missing("the shard"));
        }
        let last = record::parsed_id(message.last.ok_or(Malformed::Missing("last"))?)?;
        let chunk = |it: &proto::SnapshotChunk| {
            let hash = it.hash[..].try_into();
            let hash = hash.map_err(|_| Malformed::Missing("the hash of a chunk"))?;
            let bytes = it.length;
            Ok(Chunk { hash, bytes })
        };
        let chunks = message.chunks.iter().map(chunk);
        Ok(Self {
            stored,
            shard,
            last,
            chunks: chunks.collect::<Result<_, Malformed>>()?,
        })
    }

    /// The bytes of all chunks.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|it| it.bytes).sum()
    }

    /// Reads its chunks.
    ///
    /// # Errors
    ///
    /// Where one cannot be had, or they are no snapshot of that shard and index.
    pub fn read(
        &self,
        chunks: &mut dyn Iterator<Item = io::Result<Bytes>>,
    ) -> io::Result<Contents> {
        let state = read_snapshot(chunks)?;
        let (of, at) = (state.book.shard().0, state.book.applied());
        if (of, at) != (self.shard, self.last.index) {
            let what = format!("it is the book of shard {of} at {at}");
            return Err(io::Error::other(what));
        }
        let follows = state.bookmarks.iter();
        Ok(Contents {
            head: state.audited,
            follows: follows.map(|it| (it.fence.shard.0, it.next)).collect(),
        })
    }

    /// As the voters keep it.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }
}

impl LogHub {
    /// Stores chunks of a shard's snapshot, which nothing names yet.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub async fn bring_chunks(
        &self,
        shard: u32,
        chunks: impl IntoIterator<Item = ([u8; 32], Bytes)>,
    ) -> io::Result<()> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for (hash, content) in chunks {
            bytes += content.len();
            part.push((hash, content));
            if bytes >= PART_BYTES {
                self.put_chunks(shard, std::mem::take(&mut part)).await?;
                bytes = 0;
            }
        }
        self.put_chunks(shard, part).await?;
        // What is queued cannot be read yet. This is behind it in the queue.
        self.write(Vec::new()).await
    }

    /// Reads a snapshot whose chunks were stored here.
    ///
    /// # Errors
    ///
    /// Where a chunk is missing or damaged, or they are no snapshot of that shard and index.
    pub fn look_into(&self, snapshot: &Snapshot) -> io::Result<Contents> {
        let shard = snapshot.shard;
        let chunk = |chunk: &Chunk| {
            let found = self.chunk(shard, &chunk.hash)?;
            found.ok_or_else(|| io::Error::other("a chunk is missing"))
        };
        snapshot.read(&mut snapshot.chunks.iter().map(chunk))
    }

    /// Makes a snapshot whose chunks were stored here the one that a node begins with.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub async fn begin_with(&self, snapshot: &Snapshot) -> io::Result<()> {
        let marker = snapshot_marker(snapshot.shard, snapshot.stored.clone());
        self.write(vec![marker]).await
    }
}

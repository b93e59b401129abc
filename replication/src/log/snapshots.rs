//! Snapshots in the log store: chunks under their hashes, and the one that is whole.
//!
//! Chunks are written without waiting, in the order of the queue; the marker that makes them a
//! snapshot is synced behind them. What no snapshot names is swept when the next one is stored, so
//! chunks of one that has not arrived in full are there when it is tried again.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::damage::{Damage, Place};
use super::{LogHub, keys, record};
use crate::proto;
use crate::world::{Batch, Op};

/// What a chunk is stored and asked for under: BLAKE3 of its bytes.
pub(crate) type ChunkHash = [u8; 32];

impl LogHub {
    /// The newest whole snapshot of a shard, in its frame.
    pub(crate) fn snapshot(&self, shard: u32) -> io::Result<Option<Bytes>> {
        Ok(self.stored_snapshot(shard)?.map(|(stored, _)| stored))
    }

    /// The chunks of the newest whole snapshot of a shard.
    pub(crate) fn snapshot_chunks(&self, shard: u32) -> io::Result<Vec<ChunkHash>> {
        let stored = self.stored_snapshot(shard)?;
        let chunks = stored.map(|(_, message)| message.chunks);
        let chunks = chunks.unwrap_or_default().into_iter();
        let hashes = chunks.map(|it| it.hash[..].try_into());
        hashes.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    fn stored_snapshot(&self, shard: u32) -> io::Result<Option<(Bytes, proto::Snapshot)>> {
        let Some(stored) = self.engine().get(&keys::snapshot(shard))? else {
            return Ok(None);
        };
        let message = record::message(&stored).map_err(|cause| {
            let name = "snapshot";
            Damage::from(cause).at(Place::Marker { shard, name })
        })?;
        Ok(Some((stored, message)))
    }

    /// A chunk of a snapshot, which is damaged if it is missing. Damage is remembered, so that the
    /// chunk is stored again with the next snapshot.
    pub(crate) fn chunk_of_snapshot(&self, shard: u32, hash: &ChunkHash) -> io::Result<Bytes> {
        let missing = || Damage::Missing.at(Place::Chunk { shard, hash: *hash });
        let chunk = self.chunk(shard, hash);
        let chunk = chunk.and_then(|found| found.ok_or_else(missing));
        // Of an older snapshot it may be swept already.
        if chunk.is_err() && self.snapshot_chunks(shard)?.contains(hash) {
            self.shard_log(shard)?.distrust_chunk(*hash);
        }
        chunk
    }

    /// A chunk that was put here, if it is still kept.
    pub(crate) fn chunk(&self, shard: u32, hash: &ChunkHash) -> io::Result<Option<Bytes>> {
        let Some(content) = self.engine().get(&keys::chunk(shard, hash))? else {
            return Ok(None);
        };
        let found = blake3::hash(&content);
        if found.as_bytes() == hash {
            return Ok(Some(content));
        }
        let place = Place::Chunk { shard, hash: *hash };
        let (found, expected) = (found.to_string(), blake3::Hash::from(*hash).to_string());
        Err(Damage::Disagrees { found, expected }.at(place))
    }

    /// Stores chunks, some time before whatever is stored after them.
    pub(crate) async fn put_chunks(
        &self,
        shard: u32,
        chunks: impl IntoIterator<Item = (ChunkHash, Bytes)>,
    ) -> io::Result<()> {
        let puts = chunks
            .into_iter()
            .map(|(hash, content)| Op::Put(keys::chunk(shard, &hash), content));
        self.write_later(puts.collect()).await
    }

    /// Deletes the chunks of a shard that none of these are.
    pub(crate) async fn sweep_chunks(
        &self,
        shard: u32,
        kept: &BTreeSet<ChunkHash>,
    ) -> io::Result<()> {
        let range = keys::chunks(shard);
        let mut stale = Batch::new();
        self.engine()
            .scan(&range.start..&range.end, &mut |key, _| {
                if !kept.contains(&keys::hash_of(key)) {
                    stale.push(Op::Delete(key.to_vec()));
                }
                ControlFlow::Continue(())
            })?;
        self.write_later(stale).await
    }
}

/// The change that makes stored chunks the shard's snapshot.
pub(crate) fn snapshot_marker(shard: u32, snapshot: Bytes) -> Op {
    Op::Put(keys::snapshot(shard), snapshot)
}

//! The snapshot of a shard in a backup: where a restored node begins, so that it need not fold all of its
//! log. It is never needed: what it says is what the log comes to.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use replication::archive::{
    backup::{BackupShard, SnapshotRef},
    snapshot::Snapshot,
};

use super::{Catalog, Error};
use crate::{client::Client, secrets::hex};

/// So many chunks are asked for at a time.
const AT_A_TIME: usize = 16;

/// Keeps the newest snapshot that a voter has. `None` where there is none, or where it cannot be had: a
/// backup goes on without.
pub(super) async fn keep(
    client: &Client,
    catalog: &Catalog,
    shard: u32,
) -> Result<Option<SnapshotRef>, Error> {
    let Ok(Some(stored)) = client.snapshot(shard).await else {
        return Ok(None);
    };
    let Ok(snapshot) = Snapshot::parse(shard, stored) else {
        return Ok(None);
    };
    let there = catalog.chunks(shard).await?;
    let missing = snapshot.chunks.iter();
    let missing = missing.filter(|hash| !there.contains_key(&object_of_chunk(shard, hash)));
    let fetched = stream::iter(missing).map(|hash| async move {
        let content = client.snapshot_chunk(shard, hash).await;
        let content = content
            .ok()
            .filter(|it| blake3::hash(it).as_bytes() == hash);
        match content {
            Some(content) => catalog.put_chunk(shard, hash, content).await.map(|()| true),
            // It is swept where a newer one was taken meanwhile.
            None => Ok(false),
        }
    });
    let mut fetched = fetched.buffer_unordered(AT_A_TIME);
    while let Some(is_there) = fetched.try_next().await? {
        if !is_there {
            return Ok(None);
        }
    }
    catalog.put_snapshot(shard, &snapshot).await.map(Some)
}

/// Looks at a snapshot and all its chunks, one after the other.
///
/// # Errors
///
/// Where one is missing, or is not what was kept.
pub(super) async fn open(
    catalog: &Catalog,
    shard: u32,
    it: &SnapshotRef,
    mut chunk: impl AsyncFnMut([u8; 32], Bytes) -> Result<(), Error>,
) -> Result<Snapshot, Error> {
    let object = object_of(shard, it);
    let stored = catalog.whole(&object, &it.hash).await?;
    let damaged = |cause: String| Error::Backup {
        object: object.clone(),
        cause,
    };
    let snapshot =
        Snapshot::parse(shard, stored).map_err(|malformed| damaged(malformed.to_string()))?;
    if snapshot.last.index != it.index {
        return Err(damaged(format!("it is of index {}", snapshot.last.index)));
    }
    let hashes = snapshot.chunks.clone();
    let chunks = stream::iter(hashes).map(|hash| async move {
        let object = object_of_chunk(shard, &hash);
        let content = catalog.whole(&object, &hash).await?;
        Ok::<_, Error>((hash, content))
    });
    let mut chunks = chunks.buffered(AT_A_TIME);
    while let Some((hash, content)) = chunks.try_next().await? {
        chunk(hash, content).await?;
    }
    Ok(snapshot)
}

/// The snapshot that is told of a shard: the one that was kept now, or that of the backup before, as far as
/// the segments go.
pub(super) fn chosen(
    new: Option<SnapshotRef>,
    before: Option<&BackupShard>,
    last: Option<u64>,
) -> Option<SnapshotRef> {
    let of_before = before.and_then(|it| it.snapshot);
    let all = new.into_iter().chain(of_before);
    let fits = |it: &SnapshotRef| last.is_some_and(|last| it.index <= last);
    all.filter(fits).max_by_key(|it| it.index)
}

impl Catalog {
    /// The chunks that are there, by name, each with its length.
    async fn chunks(&self, shard: u32) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.objects().list(&format!("chunks/{shard:010}")).await?)
    }

    async fn put_chunk(&self, shard: u32, hash: &[u8; 32], content: Bytes) -> Result<(), Error> {
        let object = object_of_chunk(shard, hash);
        self.objects().put(&object, content).await?;
        Ok(())
    }

    async fn put_snapshot(&self, shard: u32, snapshot: &Snapshot) -> Result<SnapshotRef, Error> {
        let stored = snapshot.stored().clone();
        let it = SnapshotRef {
            hash: *blake3::hash(&stored).as_bytes(),
            index: snapshot.last.index,
            bytes: snapshot.bytes,
        };
        self.objects().put(&object_of(shard, &it), stored).await?;
        Ok(it)
    }

    /// Reads an object that must have a hash.
    async fn whole(&self, object: &str, hash: &[u8; 32]) -> Result<Bytes, Error> {
        let content = self.objects().get(object).await?;
        let found = blake3::hash(&content);
        match found.as_bytes() == hash {
            true => Ok(content),
            false => Err(Error::Backup {
                object: object.to_owned(),
                cause: format!("its hash is {}", hex(found.as_bytes())),
            }),
        }
    }
}

fn object_of(shard: u32, it: &SnapshotRef) -> String {
    format!(
        "snapshots/{shard:010}/{:020}-{}.snapshot",
        it.index,
        hex(&it.hash)
    )
}

fn object_of_chunk(shard: u32, hash: &[u8; 32]) -> String {
    format!("chunks/{shard:010}/{}.chunk", hex(hash))
}

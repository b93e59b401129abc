//! The snapshot of a shard in a backup: where a restored node begins, so that it need not fold all of its
//! log. It is never needed: what it says is what the log comes to.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use replication::archive::{
    backup::{BackupShard, SnapshotRef},
    snapshot::{Chunk, Snapshot},
};

use super::{Catalog, Error};
use crate::{client::Client, secrets::hex};

/// So many chunks are asked for at a time.
const AT_A_TIME: usize = 16;
/// How often a snapshot is asked for where a newer one is taken meanwhile. What was kept of one before is
/// not asked for again.
const ATTEMPTS: usize = 4;

/// The snapshot that a backup has of a shard, or why it has none.
pub(super) type Kept = Result<SnapshotRef, String>;

/// Keeps the newest snapshot that a voter has. Where it cannot be had a backup goes on without.
///
/// # Errors
///
/// Where objects cannot be written.
pub(super) async fn keep(client: &Client, catalog: &Catalog, shard: u32) -> Result<Kept, Error> {
    for _ in 0..ATTEMPTS {
        let stored = match client.snapshot(shard).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Err("none was taken yet".to_owned())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let snapshot = match Snapshot::parse(shard, stored) {
            Ok(snapshot) => snapshot,
            Err(malformed) => return Ok(Err(malformed.to_string())),
        };
        match fetch(client, catalog, shard, &snapshot).await? {
            Ok(true) => return Ok(Ok(catalog.put_snapshot(shard, &snapshot).await?)),
            Ok(false) => {}
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    Ok(Err(
        "newer ones were taken faster than it was read".to_owned()
    ))
}

/// Keeps the chunks that are not kept yet. Whether all were to be had.
async fn fetch(
    client: &Client,
    catalog: &Catalog,
    shard: u32,
    snapshot: &Snapshot,
) -> Result<Result<bool, crate::client::Error>, Error> {
    let there = catalog.chunks(shard).await?;
    let missing = snapshot.chunks.iter();
    let missing = missing.filter(|chunk| !is_there(&there, shard, chunk));
    let fetched = stream::iter(missing).map(|chunk| async move {
        let content = match client.snapshot_chunk(shard, &chunk.hash).await {
            Ok(content) => content.filter(|it| *blake3::hash(it).as_bytes() == chunk.hash),
            Err(error) => return Ok(Err(error)),
        };
        let is_had = content.is_some();
        if let Some(content) = content {
            catalog.put_chunk(shard, &chunk.hash, content).await?;
        }
        Ok::<_, Error>(Ok(is_had))
    });
    let mut fetched = fetched.buffer_unordered(AT_A_TIME);
    while let Some(fetched) = fetched.try_next().await? {
        match fetched {
            Ok(true) => {}
            other => return Ok(other),
        }
    }
    Ok(Ok(true))
}

/// The snapshot that is told of a shard: the one that was kept now, or that of the backup before where all
/// of it is there still; as far as the segments go.
pub(super) async fn chosen(
    catalog: &Catalog,
    new: &Kept,
    before: Option<&BackupShard>,
    last: Option<u64>,
) -> Result<Option<SnapshotRef>, Error> {
    let fits = |it: &SnapshotRef| last.is_some_and(|last| it.index <= last);
    if let Some(new) = new.as_ref().ok().filter(|it| fits(it)) {
        return Ok(Some(*new));
    }
    let Some((shard, it)) = before.and_then(|it| Some((it.shard, it.snapshot.filter(fits)?)))
    else {
        return Ok(None);
    };
    let Ok(snapshot) = manifest(catalog, shard, &it).await else {
        return Ok(None);
    };
    let there = catalog.chunks(shard).await?;
    let mut chunks = snapshot.chunks.iter();
    Ok(chunks
        .all(|chunk| is_there(&there, shard, chunk))
        .then_some(it))
}

async fn manifest(catalog: &Catalog, shard: u32, it: &SnapshotRef) -> Result<Snapshot, Error> {
    let object = object_of(shard, it);
    let stored = catalog.whole(&object, &it.hash).await?;
    let damaged = |cause: String| Error::Backup {
        object: object.clone(),
        cause,
    };
    let snapshot = Snapshot::parse(shard, stored);
    let snapshot = snapshot.map_err(|malformed| damaged(malformed.to_string()))?;
    match snapshot.last.index == it.index {
        true => Ok(snapshot),
        false => Err(damaged(format!("it is of index {}", snapshot.last.index))),
    }
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
    let snapshot = manifest(catalog, shard, it).await?;
    let hashes: Vec<_> = snapshot.chunks.iter().map(|chunk| chunk.hash).collect();
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

fn is_there(there: &BTreeMap<String, u64>, shard: u32, chunk: &Chunk) -> bool {
    there.get(&object_of_chunk(shard, &chunk.hash)) == Some(&chunk.bytes)
}

impl Catalog {
    /// The chunks that are there, by name, each with its length.
    async fn chunks(&self, shard: u32) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.objects().list(&format!("chunks/{shard:010}")).await?)
    }

    async fn put_chunk(&self, shard: u32, hash: &[u8; 32], content: Bytes) -> Result<(), Error> {
        let object = object_of_chunk(shard, hash);
        if !self.objects().put(&object, content).await? {
            // It was there with another length, or somebody else has written it meanwhile.
            self.whole(&object, hash).await?;
        }
        Ok(())
    }

    async fn put_snapshot(&self, shard: u32, snapshot: &Snapshot) -> Result<SnapshotRef, Error> {
        let stored = snapshot.stored().clone();
        let it = SnapshotRef {
            hash: *blake3::hash(&stored).as_bytes(),
            index: snapshot.last.index,
            bytes: snapshot.bytes(),
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

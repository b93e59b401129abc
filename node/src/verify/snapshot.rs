//! The newest snapshot of a shard: that its chunks are here, whole, and say what the log comes to.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;

use bytes::Bytes;
use replication::world::Engine;

use super::chains::{Time, Writers};
use super::entry::State;
use super::finding::{Findings, Part};
use super::layout::{self, CHUNK};
use super::restored::Comparison;
use super::stored::{self, Hash, Read, hex, peer};

/// What the log comes to at a snapshot's index.
pub(super) struct Computed<'a> {
    pub(super) shard: u32,
    pub(super) index: u64,
    /// The audited head, if it could be computed or is stored.
    pub(super) audited: Option<Hash>,
    /// `None` where the log does not reach back to its beginning.
    pub(super) state: Option<(&'a State, &'a Writers)>,
}

/// How far another shard's log had been read for what it asks of this one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bookmark {
    /// Whose snapshot says so, at which index.
    pub(super) by: (u32, u64),
    /// Whose log was read.
    pub(super) shard: u32,
    /// The next index to read, and the writer's chain and the time before it.
    pub(super) next: u64,
    pub(super) head: Hash,
    pub(super) time: Time,
}

/// Every chunk of a shard is kept under its hash, and those of its snapshot are all here. Chunks
/// that no snapshot names are left over from one before, or are of one that has not come in full.
pub(super) fn check_chunks(
    engine: &dyn Engine,
    shard: u32,
    snapshot: Option<&peer::Snapshot>,
    findings: &mut Findings,
) -> io::Result<()> {
    let at = snapshot.and_then(index);
    let named: Vec<Read<Hash>> = chunks(snapshot);
    let mut found = BTreeSet::new();
    let (start, end) = (layout::table(CHUNK, shard), layout::end(CHUNK, shard));
    engine.scan(&start..&end, &mut |key, content| {
        let Some(hash) = layout::hash_of(key) else {
            let what = format!("key {} is none of the layout", hex(key));
            findings.add(shard, None, Part::Store, what);
            return ControlFlow::Continue(());
        };
        found.insert(hash);
        let computed = *blake3::hash(content).as_bytes();
        if computed != hash {
            let index = at.filter(|_| named.contains(&Ok(hash)));
            let (hash, computed) = (hex(&hash), hex(&computed));
            let what = format!("chunk {hash} has the hash {computed}");
            findings.add(shard, index, Part::Snapshot, what);
        }
        ControlFlow::Continue(())
    })?;
    for (number, hash) in named.iter().enumerate() {
        let what = match hash {
            Ok(hash) if found.contains(hash) => continue,
            Ok(hash) => format!("chunk {number}, {}, is missing", hex(hash)),
            Err(what) => format!("chunk {number} is named by {what}"),
        };
        findings.add(shard, at, Part::Snapshot, what);
    }
    Ok(())
}

/// The index that a snapshot covers last.
pub(super) fn index(snapshot: &peer::Snapshot) -> Option<u64> {
    snapshot.last.map(|last| last.index)
}

fn chunks(snapshot: Option<&peer::Snapshot>) -> Vec<Read<Hash>> {
    let chunks = snapshot.map(|it| it.chunks.as_slice()).unwrap_or_default();
    chunks.iter().map(|it| stored::hash(&it.hash)).collect()
}

/// What the marker says about its own place in the log.
pub(super) fn check_marker(
    shard: u32,
    snapshot: &peer::Snapshot,
    record: Option<&peer::LogId>,
) -> Read<()> {
    let last = snapshot
        .last
        .ok_or("it does not say which index it is of")?;
    if snapshot.shard != shard {
        return Err(format!("it is of shard {}", snapshot.shard));
    }
    if let Some(record) = record.filter(|record| **record != last) {
        return Err(format!("it names {last:?}, the record is {record:?}"));
    }
    let voters = snapshot.membership.as_ref().map(|it| it.configs.len());
    let known = snapshot
        .membership_id
        .is_none_or(|id| id.index <= last.index);
    if voters.unwrap_or_default() == 0 || !known {
        return Err("it has no voters, or later ones".to_owned());
    }
    Ok(())
}

/// Lays a snapshot beside what the log comes to at its index.
pub(super) fn compare(
    engine: &dyn Engine,
    snapshot: &peer::Snapshot,
    computed: &Computed<'_>,
    findings: &mut Findings,
) {
    let (shard, index) = (computed.shard, computed.index);
    let mut wrong = |what| findings.add(shard, index, Part::Snapshot, what);
    let mut comparison = Comparison::with(computed);
    for (number, (hash, named)) in chunks(Some(snapshot))
        .iter()
        .zip(&snapshot.chunks)
        .enumerate()
    {
        let stored = match chunk(engine, shard, hash) {
            Ok(stored) => stored,
            // Found already: what does not come whole is not compared.
            Err(()) => return,
        };
        if stored.len() as u64 != named.length {
            let (len, said) = (stored.len(), named.length);
            wrong(format!("chunk {number} has {len} bytes, not {said}"));
        }
        if let Err(what) = comparison.take(&stored) {
            return wrong(format!("chunk {number}: {what}"));
        }
    }
    comparison.finish().into_iter().for_each(wrong);
}

fn chunk(engine: &dyn Engine, shard: u32, hash: &Read<Hash>) -> Result<Bytes, ()> {
    let hash = hash.as_ref().map_err(drop)?;
    let stored = engine.get(&layout::chunk(shard, hash)).map_err(drop)?;
    stored
        .filter(|stored| blake3::hash(stored).as_bytes() == hash)
        .ok_or(())
}

/// The places in other shards' logs that a snapshot names, in its last chunk. What cannot be read is
/// found when the snapshot is compared.
pub(super) fn bookmarks(
    engine: &dyn Engine,
    shard: u32,
    snapshot: &peer::Snapshot,
) -> Vec<Bookmark> {
    let last = chunks(Some(snapshot)).pop();
    let stored = last.and_then(|hash| chunk(engine, shard, &hash).ok());
    let follows: Option<peer::Follows> = stored.and_then(|it| stored::framed(&it).ok());
    let follows = follows.map(|it| it.follows).unwrap_or_default().into_iter();
    let by = (shard, index(snapshot).unwrap_or_default());
    follows
        .filter_map(|follow| {
            Some(Bookmark {
                by,
                shard: follow.shard,
                next: follow.next,
                head: stored::hash(&follow.head).ok()?,
                time: (follow.wall_nanos, follow.count),
            })
        })
        .collect()
}

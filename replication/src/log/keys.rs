//! Every key of the log store.
//!
//! Numbers are big-endian, so that the order of the keys is the order of the log.
//!
//! | byte 0 | bytes 1–4 | bytes 5–12 | value |
//! |---|---|---|---|
//! | `0x10` | shard, u32 | index, u64 | a `LogRecord`, at home and in a copy alike |
//! | `0x11` | shard, u32 | index, u64 | the audited chain's head after this index, 32 bytes |
//! | `0x12` | shard, u32 | hash, 32 bytes | a chunk of a snapshot, under BLAKE3 of it |
//! | `0x13` | shard, u32 | index, u64 | an `ArchivedSegment` that begins with this index |
//! | `0x20` | shard, u32 | – | vote: a `Ballot` |
//! | `0x21` | shard, u32 | – | committed: a `LogId` at or below the last committed index |
//! | `0x22` | shard, u32 | – | purged: the `LogId` that Raft's view of the log begins after |
//! | `0x23` | shard, u32 | – | last: the `LogId` that the log ends with |
//! | `0x24` | shard, u32 | – | snapshot: the newest `Snapshot` of the shard that is whole here |
//! | `0x25` | shard, u32 | – | missing: the `Range` of indexes below `purged` that must still come from a peer |
//! | `0x26` | shard, u32 | – | told: `ToldHeads`, heads that the shard's home region has signed |
//! | `0x30` | node, u64 | – | the name of a node's disk, 16 bytes: this node's, and those of whom it has met |
//!
//! Every value is in a frame (`ledger_domain::frame`). A prefix byte is never given a new meaning.

use std::ops::Range;

const RECORD: u8 = 0x10;
const HEAD: u8 = 0x11;
const CHUNK: u8 = 0x12;
const ARCHIVED: u8 = 0x13;
const VOTE: u8 = 0x20;
const COMMITTED: u8 = 0x21;
const PURGED: u8 = 0x22;
const LAST: u8 = 0x23;
const SNAPSHOT: u8 = 0x24;
const MISSING: u8 = 0x25;
const TOLD: u8 = 0x26;
const DISK: u8 = 0x30;

/// Length of a key that ends with an index.
const INDEXED_LEN: usize = 13;

pub(super) fn record(shard: u32, index: u64) -> Vec<u8> {
    indexed(RECORD, shard, index)
}

pub(super) fn records(shard: u32, indexes: Range<u64>) -> Range<Vec<u8>> {
    record(shard, indexes.start)..record(shard, indexes.end)
}

pub(super) fn head(shard: u32, index: u64) -> Vec<u8> {
    indexed(HEAD, shard, index)
}

pub(super) fn heads(shard: u32, indexes: Range<u64>) -> Range<Vec<u8>> {
    head(shard, indexes.start)..head(shard, indexes.end)
}

pub(super) fn chunk(shard: u32, hash: &[u8; 32]) -> Vec<u8> {
    let mut key = marker(CHUNK, shard);
    key.extend(hash);
    key
}

/// Of a segment that begins with an index.
pub(super) fn archived(shard: u32, first: u64) -> Vec<u8> {
    indexed(ARCHIVED, shard, first)
}

/// All segments of a shard.
pub(super) fn all_archived(shard: u32) -> Range<Vec<u8>> {
    let mut end = archived(shard, u64::MAX);
    end.push(0);
    archived(shard, 0)..end
}

/// All chunks of a shard.
pub(super) fn chunks(shard: u32) -> Range<Vec<u8>> {
    let mut end = chunk(shard, &[0xff; 32]);
    end.push(0);
    marker(CHUNK, shard)..end
}

/// The hash at the end of a key of [`chunks`].
pub(super) fn hash_of(key: &[u8]) -> [u8; 32] {
    key[5..]
        .try_into()
        .expect("a chunk's key ends with its hash")
}

pub(super) fn vote(shard: u32) -> Vec<u8> {
    marker(VOTE, shard)
}

pub(super) fn committed(shard: u32) -> Vec<u8> {
    marker(COMMITTED, shard)
}

pub(super) fn purged(shard: u32) -> Vec<u8> {
    marker(PURGED, shard)
}

pub(super) fn last(shard: u32) -> Vec<u8> {
    marker(LAST, shard)
}

/// The ends of all logs.
pub(super) fn lasts() -> Range<Vec<u8>> {
    vec![LAST]..vec![LAST + 1]
}

/// The shard at the end of a key of [`lasts`].
pub(super) fn shard_of(key: &[u8]) -> u32 {
    u32::from_be_bytes(
        key[1..]
            .try_into()
            .expect("a marker's key ends with its shard"),
    )
}

pub(super) fn snapshot(shard: u32) -> Vec<u8> {
    marker(SNAPSHOT, shard)
}

pub(super) fn disk(node: u64) -> Vec<u8> {
    let mut key = vec![DISK];
    key.extend(node.to_be_bytes());
    key
}

/// All names of disks.
pub(super) fn disks() -> Range<Vec<u8>> {
    vec![DISK]..vec![DISK + 1]
}

/// The node at the end of a key of [`disks`].
pub(super) fn node_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(
        key[1..]
            .try_into()
            .expect("a disk's key ends with its node"),
    )
}

pub(super) fn missing(shard: u32) -> Vec<u8> {
    marker(MISSING, shard)
}

pub(super) fn told(shard: u32) -> Vec<u8> {
    marker(TOLD, shard)
}

/// The index at the end of a key of [`records`] or [`heads`].
pub(super) fn index_of(key: &[u8]) -> u64 {
    assert_eq!(
        key.len(),
        INDEXED_LEN,
        "a range of indexed keys holds only indexed keys"
    );
    u64::from_be_bytes(key[5..].try_into().expect("eight bytes"))
}

fn indexed(kind: u8, shard: u32, index: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(INDEXED_LEN);
    key.push(kind);
    key.extend(shard.to_be_bytes());
    key.extend(index.to_be_bytes());
    key
}

fn marker(kind: u8, shard: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(shard.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_fixed() {
        let expected = [0x10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(record(7, 258), expected);
        assert_eq!(vote(0x0102_0304), [0x20, 1, 2, 3, 4]);
        assert_eq!(index_of(&head(7, 258)), 258);
    }

    #[test]
    fn keys_rise_with_the_log_and_shards_do_not_overlap() {
        assert!(record(1, 255) < record(1, 256));
        assert!(record(1, u64::MAX) < record(2, 0));
        assert!(record(u32::MAX, u64::MAX) < head(0, 0));
    }
}

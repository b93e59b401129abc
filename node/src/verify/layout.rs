//! The keys of the log store, read as `replication/src/log/keys.rs` documents them.

/// The first bytes of all keys there are, in order: everything else is out of place.
pub(super) const RECORD: u8 = 0x10;
pub(super) const HEAD: u8 = 0x11;
pub(super) const CHUNK: u8 = 0x12;
pub(super) const ARCHIVED: u8 = 0x13;
const VOTE: u8 = 0x20;
const COMMITTED: u8 = 0x21;
const PURGED: u8 = 0x22;
const LAST: u8 = 0x23;
const SNAPSHOT: u8 = 0x24;
const MISSING: u8 = 0x25;
const TOLD: u8 = 0x26;
/// Names of disks, by node.
pub(super) const DISK: u8 = 0x30;

/// The ranges in which no key has any business.
pub(super) const NOWHERE: [(u8, Option<u8>); 4] = [
    (0x00, Some(RECORD)),
    (ARCHIVED + 1, Some(VOTE)),
    (TOLD + 1, Some(DISK)),
    (DISK + 1, None),
];
/// The range of all markers.
pub(super) const MARKERS: (u8, u8) = (VOTE, TOLD + 1);

/// A marker of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Vote,
    Committed,
    Purged,
    Last,
    Snapshot,
    Missing,
    Told,
}

/// Where a shard's part of a table begins.
pub(super) fn table(kind: u8, shard: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(shard.to_be_bytes());
    key
}

/// The key of an index.
pub(super) fn indexed(kind: u8, shard: u32, index: u64) -> Vec<u8> {
    let mut key = table(kind, shard);
    key.extend(index.to_be_bytes());
    key
}

/// The key of a chunk.
pub(super) fn chunk(shard: u32, hash: &[u8; 32]) -> Vec<u8> {
    let mut key = table(CHUNK, shard);
    key.extend(hash);
    key
}

/// The hash at the end of a chunk's key.
pub(super) fn hash_of(key: &[u8]) -> Option<[u8; 32]> {
    key.get(5..)?.try_into().ok()
}

/// Where a shard's part of a table ends.
pub(super) fn end(kind: u8, shard: u32) -> Vec<u8> {
    match shard.checked_add(1) {
        Some(next) => table(kind, next),
        None => vec![kind + 1],
    }
}

/// The index at the end of a key within a shard's part of a table.
pub(super) fn index_of(key: &[u8]) -> Option<u64> {
    let index = key.get(5..)?.try_into().ok()?;
    Some(u64::from_be_bytes(index))
}

/// The shard of any key.
pub(super) fn shard_of(key: &[u8]) -> Option<u32> {
    let shard = key.get(1..5)?.try_into().ok()?;
    Some(u32::from_be_bytes(shard))
}

/// Which marker a key is, and whose.
pub(super) fn marker_of(key: &[u8]) -> Option<(Marker, u32)> {
    let marker = match *key.first()? {
        VOTE => Marker::Vote,
        COMMITTED => Marker::Committed,
        PURGED => Marker::Purged,
        LAST => Marker::Last,
        SNAPSHOT => Marker::Snapshot,
        MISSING => Marker::Missing,
        TOLD => Marker::Told,
        _ => return None,
    };
    (key.len() == 5).then_some(())?;
    Some((marker, shard_of(key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_documented() {
        let key = [0x10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(indexed(RECORD, 7, 258), key);
        assert_eq!((shard_of(&key), index_of(&key)), (Some(7), Some(258)));
        assert_eq!(index_of(&[key.as_slice(), &[0]].concat()), None);
        assert_eq!(marker_of(&[0x23, 0, 0, 1, 0]), Some((Marker::Last, 256)));
        assert_eq!(marker_of(&[0x23, 0, 0, 1]), None);
        assert_eq!(end(HEAD, u32::MAX), [0x12]);
        let key = chunk(7, &[9; 32]);
        assert_eq!((shard_of(&key), hash_of(&key)), (Some(7), Some([9; 32])));
        assert_eq!(hash_of(&key[..36]), None);
    }
}

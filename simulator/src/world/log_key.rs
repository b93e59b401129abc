//! The keys of the log store, as its layout says: a byte, the shard, and the index of a record.

pub(super) const RECORD: u8 = 0x10;

/// The beginning of all keys of a kind and a shard.
pub(super) fn of(first: u8, shard: u32) -> Vec<u8> {
    [&[first][..], &shard.to_be_bytes()].concat()
}

/// The key of a record.
pub(super) fn record(shard: u32, index: u64) -> Vec<u8> {
    [&of(RECORD, shard)[..], &index.to_be_bytes()].concat()
}

/// Which shard's a key is, if it is of a kind.
pub(super) fn shard_of(key: &[u8], first: u8) -> Option<u32> {
    let (kind, rest) = key.split_first()?;
    let shard = rest.first_chunk().filter(|_| *kind == first)?;
    Some(u32::from_be_bytes(*shard))
}

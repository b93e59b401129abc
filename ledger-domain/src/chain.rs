//! The two chains.
//!
//! The **writer's chain** runs over the stored bytes of the writer's entries: an entry carries the
//! hash of the one before, and one that does not fit is void. It is the fence that keeps an entry
//! decided under one leadership out of the next.
//!
//! The **audited chain** runs over *every* index, blank, membership and void ones included, and is
//! computed again by each replica as it applies. Two histories that differ anywhere differ in
//! every later head, and a fork is named by an index and its head.

use crate::ShardId;

/// A link of either chain: BLAKE3, 32 bytes.
pub type Hash = [u8; 32];

/// Where a shard's writer chain begins.
pub fn writer_genesis(shard: ShardId) -> Hash {
    blake3::derive_key(
        "meridian writer chain genesis 2026-11",
        &shard.0.to_be_bytes(),
    )
}

/// The link that an entry's stored bytes make.
pub fn writer_link(stored: &[u8]) -> Hash {
    *blake3::hash(stored).as_bytes()
}

/// Where a shard's audited chain begins.
pub fn audit_genesis(shard: ShardId) -> Hash {
    blake3::derive_key(
        "meridian audited chain genesis 2026-11",
        &shard.0.to_be_bytes(),
    )
}

/// The identity of an index as Raft knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    /// The reign.
    pub epoch: u64,
    /// Raft's term within the reign.
    pub term: u64,
    /// The leader that proposed it.
    pub node: u64,
    /// The index.
    pub index: u64,
}

/// What an index of the log carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A new leader's first.
    Blank = 1,
    /// An entry of the shard's writer.
    Entry = 2,
    /// A change of the voters.
    Membership = 3,
}

/// The audited chain's next head: `H(head, identity, kind, payload)`, all fixed-width numbers
/// big-endian.
pub fn audit_link(head: &Hash, id: LogIdentity, kind: RecordKind, payload: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    for number in [id.epoch, id.term, id.node, id.index] {
        hasher.update(&number.to_be_bytes());
    }
    hasher.update(&[kind as u8]);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

//! What a backup consists of: by shard, the segments from index 0 on, and what its home had signed.

use bytes::Bytes;
use ledger_domain::frame;

use super::segment::{self, About, Sealed, Size};
use crate::log::{Head, Malformed, record};
use crate::proto;

/// All that a ledger had decided up to a moment, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backup {
    /// The ledger's name.
    pub ledger: String,
    /// When it was begun, in nanoseconds since 1970.
    pub wall_nanos: u64,
    /// By number.
    pub shards: Vec<BackupShard>,
}

/// What a backup has of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupShard {
    /// Which.
    pub shard: u32,
    /// Its home.
    pub region: String,
    /// From index 0 on, without a gap.
    pub segments: Vec<SegmentRef>,
    /// What its home had signed of it.
    pub heads: Vec<proto::SignedHead>,
    /// Where a restored node begins, if one was to be had: it is never needed.
    pub snapshot: Option<SnapshotRef>,
}

/// A snapshot by its name, and what is said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRef {
    /// BLAKE3 of how the shard's voters refer to it.
    pub hash: [u8; 32],
    /// The last index that it covers.
    pub index: u64,
    /// The bytes of its chunks.
    pub bytes: u64,
}

impl BackupShard {
    /// The last index.
    pub fn last(&self) -> Option<u64> {
        self.segments.last().map(|segment| segment.last)
    }
}

/// A segment by its name, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// BLAKE3 of the object.
    pub hash: [u8; 32],
    /// The object's length.
    pub bytes: u64,
    /// Its first index.
    pub first: u64,
    /// Its last.
    pub last: u64,
    /// The audited chain's head after it.
    pub after: Head,
    /// The time of its last entry, in nanoseconds since 1970; 0 where it has none.
    pub last_wall_nanos: u64,
    /// The bytes of its records, unpacked.
    pub record_bytes: u64,
}

impl SegmentRef {
    /// How a sealed segment is referred to.
    pub fn of(sealed: &Sealed) -> Self {
        Self::opened(&sealed.about, sealed.hash, sealed.object.len() as u64)
    }

    /// How an object of so many bytes, with this hash, is referred to.
    pub(crate) fn opened(about: &About, hash: [u8; 32], bytes: u64) -> Self {
        Self {
            hash,
            bytes,
            first: about.first.index,
            last: about.last.index,
            after: about.after,
            last_wall_nanos: about.last_wall_nanos,
            record_bytes: about.record_bytes,
        }
    }

    /// As it is stored.
    pub(crate) fn stored(&self) -> proto::SegmentRef {
        proto::SegmentRef {
            hash: Bytes::copy_from_slice(&self.hash),
            bytes: self.bytes,
            first: self.first,
            last: self.last,
            head_after: Bytes::copy_from_slice(&self.after),
            last_wall_nanos: self.last_wall_nanos,
            record_bytes: self.record_bytes,
        }
    }

    /// Reads what is stored.
    pub(crate) fn parsed(stored: &proto::SegmentRef) -> Result<Self, Malformed> {
        Ok(Self {
            hash: segment::head(&stored.hash)?,
            bytes: stored.bytes,
            first: stored.first,
            last: stored.last,
            after: segment::head(&stored.head_after)?,
            last_wall_nanos: stored.last_wall_nanos,
            record_bytes: stored.record_bytes,
        })
    }

    /// Whether nothing can be added to it: a later backup keeps it, and replaces a shorter one.
    pub fn is_full(&self) -> bool {
        Size::default().is_reached(self.record_bytes, self.last - self.first + 1)
    }
}

impl Backup {
    /// As it is stored, under its hash.
    pub fn encode(&self) -> Bytes {
        let shard = |shard: &BackupShard| proto::BackupShard {
            shard: shard.shard,
            region: shard.region.clone(),
            segments: shard.segments.iter().map(SegmentRef::stored).collect(),
            heads: shard.heads.clone(),
            snapshot: shard.snapshot.map(|it| proto::SnapshotRef {
                hash: Bytes::copy_from_slice(&it.hash),
                index: it.index,
                bytes: it.bytes,
            }),
        };
        frame::seal_message(&proto::Backup {
            ledger: self.ledger.clone(),
            wall_nanos: self.wall_nanos,
            shards: self.shards.iter().map(shard).collect(),
        })
    }

    /// Reads what is stored.
    ///
    /// # Errors
    ///
    /// Where it is damaged, or its segments leave out an index.
    pub fn decode(object: &Bytes) -> Result<Self, Malformed> {
        let message: proto::Backup = record::message(object)?;
        let shards = message.shards.into_iter().map(parsed);
        Ok(Self {
            ledger: message.ledger,
            wall_nanos: message.wall_nanos,
            shards: shards.collect::<Result<_, _>>()?,
        })
    }
}

fn parsed(shard: proto::BackupShard) -> Result<BackupShard, Malformed> {
    let mut next = 0;
    let mut segments = Vec::with_capacity(shard.segments.len());
    for segment in shard.segments {
        if segment.first != next || segment.last < segment.first {
            return Err(Malformed::Missing("an index"));
        }
        next = segment
            .last
            .checked_add(1)
            .ok_or(Malformed::Missing("an end"))?;
        segments.push(SegmentRef::parsed(&segment)?);
    }
    let snapshot = shard.snapshot.map(|it| {
        Ok::<_, Malformed>(SnapshotRef {
            hash: segment::head(&it.hash)?,
            index: it.index,
            bytes: it.bytes,
        })
    });
    Ok(BackupShard {
        shard: shard.shard,
        region: shard.region,
        segments,
        heads: shard.heads,
        snapshot: snapshot.transpose()?,
    })
}

//! Sealed segments.

use std::ops::RangeInclusive;

use bytes::Bytes;
use ledger_domain::{Entry, frame};
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, zstd_sys};

use super::shred;
use crate::copy::audited_head;
use crate::hex::hex;
use crate::log::{Head, Kind, Malformed, StoredRecord, record};
use crate::proto::{self, SegmentMethod};
use crate::raft::RecordId;

/// A segment has at most so many records, however short they are.
const MOST_RECORDS: u64 = 1 << 16;
/// What an unpacked segment may take: a full one, and one more record of the longest kind.
const MOST_UNPACKED: u64 = 256 << 20;
/// Beyond this a level costs much time and saves little.
const LEVEL: i32 = 15;
/// The reach of a match, as a power of two: a whole segment, up to this.
const WINDOW_LOG: u32 = 25;
/// The least there is.
const LEAST_WINDOW_LOG: u32 = 10;
/// The reach, as a power of two, beyond which matches far away are sought by other means.
const LONG_WINDOW_LOG: u32 = 22;
/// A part of this many bytes is packed by its own frequencies.
const OWN_BLOCK: usize = 512;

/// Why a segment cannot be sealed, or is not what was sealed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Damage {
    /// It is not the object that its name, or whoever names it, says.
    #[error("its hash is {found}, not {expected}")]
    Hash {
        /// What its bytes come to, hexadecimal.
        found: String,
        /// What they should, hexadecimal.
        expected: String,
    },
    /// What is around the records cannot be read.
    #[error("its head is {0}")]
    Head(Malformed),
    /// The records cannot be unpacked.
    #[error("its records cannot be unpacked: {0}")]
    Packed(String),
    /// A record cannot be read.
    #[error("index {index}: the record is {cause}")]
    Record {
        /// Which.
        index: u64,
        /// Why not.
        cause: Malformed,
    },
    /// An entry cannot be read.
    #[error("index {index}: the entry is damaged: {cause}")]
    Entry {
        /// Which.
        index: u64,
        /// Why not.
        cause: String,
    },
    /// Another index than the next.
    #[error("index {found} is where {expected} should be")]
    Index {
        /// What is there.
        found: u64,
        /// What should be.
        expected: u64,
    },
    /// The audited chain does not arrive where it should.
    #[error("the audited chain arrives at {computed} after index {index}, not at {expected}")]
    Chain {
        /// The last index.
        index: u64,
        /// Where it arrives, hexadecimal.
        computed: String,
        /// Where it should, hexadecimal.
        expected: String,
    },
    /// What its head says of the records is not so.
    #[error("its head says another {0} than its records")]
    Disagrees(&'static str),
    /// A segment has records.
    #[error("it has no records")]
    Empty,
}

/// What a segment is, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whose log.
    pub shard: u32,
    /// Its first record.
    pub first: RecordId,
    /// Its last.
    pub last: RecordId,
    /// The audited chain's head before the first index.
    pub before: Head,
    /// The audited chain's head after the last.
    pub after: Head,
    /// The time of its last entry, in nanoseconds since 1970; 0 where it has none.
    pub last_wall_nanos: u64,
    /// The bytes of its records, unpacked.
    pub record_bytes: u64,
}

impl About {
    /// The indexes it holds.
    pub fn indexes(&self) -> RangeInclusive<u64> {
        self.first.index..=self.last.index
    }
}

/// A segment as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it is.
    pub about: About,
    /// BLAKE3 of the object.
    pub hash: [u8; 32],
    /// The object.
    pub object: Bytes,
}

/// Where a segment ends: at the first record with which it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// It is full from so many bytes of records on.
    pub bytes: u64,
    /// Or of so many records, however short they are; 65,536 at most.
    pub records: u64,
}

impl Default for Size {
    /// 8 MiB, or 65,536 records.
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            records: MOST_RECORDS,
        }
    }
}

impl Size {
    /// Whether nothing is added to a segment of so many bytes of records, and so many of them.
    pub(super) fn is_reached(&self, bytes: u64, records: u64) -> bool {
        bytes >= self.bytes || records >= self.records.min(MOST_RECORDS)
    }
}

/// Records on their way into a segment. Where one ends depends on nothing but them.
#[derive(Debug, Default)]
pub struct Gathering {
    records: Vec<Bytes>,
    bytes: u64,
}

impl Gathering {
    /// Adds the next record. Whether the segment is full with it.
    pub fn add(&mut self, record: Bytes) -> bool {
        self.bytes += record.len() as u64;
        self.records.push(record);
        Size::default().is_reached(self.bytes, self.records.len() as u64)
    }

    /// The records so far; those that come now are another segment's.
    pub fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(self).records
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// A segment that was opened: everything in it is as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it is.
    pub about: About,
    /// Its records, each in its frame, with the audited chain's head after it.
    pub records: Vec<(StoredRecord, Head)>,
    /// How many outcomes its entries have.
    pub outcomes: u64,
}

/// Seals records that follow each other, the first after the head `before`. The same records give the
/// same bytes.
///
/// # Errors
///
/// Where there are none, one cannot be read, or they do not follow each other.
pub fn seal(shard: u32, before: Head, records: &[Bytes]) -> Result<Sealed, Damage> {
    let checked = check(shard, before, records)?;
    let mut method = SegmentMethod::Columns;
    let mut parts = shred::shred(records);
    // What cannot be put together again as it was is kept as it is.
    let joined = shred::join(parts.concat().into(), records.len());
    if joined.as_deref() != Ok(records) {
        method = SegmentMethod::Rows;
        parts = shred::rows(records);
    }
    let About {
        first,
        last,
        after,
        last_wall_nanos,
        record_bytes,
        ..
    } = checked.about;
    let message = proto::Segment {
        shard,
        first: Some(record::stored_id(first)),
        last: Some(record::stored_id(last)),
        head_before: Bytes::copy_from_slice(&before),
        head_after: Bytes::copy_from_slice(&after),
        first_wall_nanos: checked.first_wall_nanos,
        last_wall_nanos,
        method: method.into(),
        record_bytes,
        unpacked_bytes: parts.iter().map(|part| part.len() as u64).sum(),
        contents: pack(&parts).map_err(Damage::Packed)?.into(),
    };
    let object = frame::seal_message(&message);
    Ok(Sealed {
        about: checked.about,
        hash: *blake3::hash(&object).as_bytes(),
        object,
    })
}

/// Opens a segment and looks at all of it: that it is the object with the hash, and that its records
/// are whole and follow each other from the head before it to the head after.
///
/// # Errors
///
/// At the first thing that is not as it was sealed.
pub fn open(object: &Bytes, hash: &[u8; 32]) -> Result<Opened, Damage> {
    let found = blake3::hash(object);
    if found.as_bytes() != hash {
        return Err(Damage::Hash {
            found: hex(found.as_bytes()),
            expected: hex(hash),
        });
    }
    let message: proto::Segment = record::message(object).map_err(Damage::Head)?;
    let claimed = claimed(&message).map_err(Damage::Head)?;
    let number = claimed.last.index.checked_sub(claimed.first.index);
    let number = number
        .filter(|more| *more < MOST_RECORDS)
        .ok_or(Damage::Disagrees("range"))?;
    let number = usize::try_from(number + 1).map_err(|_| Damage::Disagrees("range"))?;
    let unpacked = unpack(&message.contents, message.unpacked_bytes).map_err(Damage::Packed)?;
    let records = match message.method() {
        SegmentMethod::Columns => shred::join(unpacked, number),
        SegmentMethod::Rows => shred::split(unpacked, number),
        SegmentMethod::Unspecified => {
            return Err(Damage::Head(Malformed::Missing("how it is packed")));
        }
    };
    let records = records.map_err(|cause| Damage::Packed(cause.to_string()))?;
    let checked = check(claimed.shard, claimed.before, &records)?;
    if checked.about.after != claimed.after {
        return Err(Damage::Chain {
            index: checked.about.last.index,
            computed: hex(&checked.about.after),
            expected: hex(&claimed.after),
        });
    }
    if checked.about != claimed || checked.first_wall_nanos != message.first_wall_nanos {
        return Err(Damage::Disagrees("beginning or end"));
    }
    Ok(Opened {
        about: checked.about,
        records: checked.records,
        outcomes: checked.outcomes,
    })
}

/// What the head of a segment says.
fn claimed(message: &proto::Segment) -> Result<About, Malformed> {
    let id =
        |id: Option<proto::LogId>, name| record::parsed_id(id.ok_or(Malformed::Missing(name))?);
    Ok(About {
        shard: message.shard,
        first: id(message.first, "the first record")?,
        last: id(message.last, "the last record")?,
        before: head(&message.head_before)?,
        after: head(&message.head_after)?,
        last_wall_nanos: message.last_wall_nanos,
        record_bytes: message.record_bytes,
    })
}

/// A head of a chain, or another hash, out of a message.
pub(crate) fn head(stored: &Bytes) -> Result<Head, Malformed> {
    Head::try_from(&stored[..]).map_err(|_| Malformed::HeadLength(stored.len()))
}

/// Records that follow each other.
struct Checked {
    about: About,
    first_wall_nanos: u64,
    outcomes: u64,
    records: Vec<(StoredRecord, Head)>,
}

fn check(shard: u32, before: Head, records: &[Bytes]) -> Result<Checked, Damage> {
    let (mut after, mut times, mut outcomes) = (before, (0, 0), 0);
    let mut read: Vec<(StoredRecord, Head)> = Vec::with_capacity(records.len());
    for stored in records {
        let expected = read.last().map(|(last, _)| last.id.index + 1);
        let index = expected.unwrap_or_default();
        let record =
            StoredRecord::parse(stored.clone()).map_err(|cause| Damage::Record { index, cause })?;
        let index = record.id.index;
        if let Some(expected) = expected.filter(|expected| *expected != index) {
            let found = index;
            return Err(Damage::Index { found, expected });
        }
        if record.kind == Kind::Entry {
            let entry = Entry::decode(&record.payload).map_err(|cause| Damage::Entry {
                index,
                cause: cause.to_string(),
            })?;
            outcomes += entry.outcomes.len() as u64;
            let nanos = entry.time.wall_nanos;
            times = (if times.0 == 0 { nanos } else { times.0 }, nanos);
        }
        after = audited_head(&after, &record);
        read.push((record, after));
    }
    let (Some((first, _)), Some((last, _))) = (read.first(), read.last()) else {
        return Err(Damage::Empty);
    };
    Ok(Checked {
        about: About {
            shard,
            first: first.id,
            last: last.id,
            before,
            after,
            last_wall_nanos: times.1,
            record_bytes: records.iter().map(|record| record.len() as u64).sum(),
        },
        first_wall_nanos: times.0,
        outcomes,
        records: read,
    })
}

fn failed(code: usize) -> String {
    zstd_safe::get_error_name(code).to_owned()
}

/// Packs parts one after the other, a long one by its own frequencies.
fn pack(parts: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let total: usize = parts.iter().map(Vec::len).sum();
    // What it is to hold is set up by the reach: a short segment is packed as quickly as it is short.
    let whole = total.next_power_of_two().ilog2();
    let window = whole.clamp(LEAST_WINDOW_LOG, WINDOW_LOG);
    let mut context = CCtx::create();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(window),
        CParameter::EnableLongDistanceMatching(window > LONG_WINDOW_LOG),
    ] {
        context.set_parameter(parameter).map_err(failed)?;
    }
    let pledged = Some(total as u64);
    context.set_pledged_src_size(pledged).map_err(failed)?;
    // A block of its own costs a few bytes.
    let room = zstd_safe::compress_bound(total) + parts.len() * 32 + 64;
    let mut packed = vec![0; room];
    let mut out = OutBuffer::around(&mut packed[..]);
    let mut give = |bytes: &[u8], how| -> Result<(), String> {
        let mut input = InBuffer::around(bytes);
        loop {
            let left = context
                .compress_stream2(&mut out, &mut input, how)
                .map_err(failed)?;
            let is_taken = input.pos() == bytes.len();
            let waits = how != zstd_sys::ZSTD_EndDirective::ZSTD_e_continue && left > 0;
            if is_taken && !waits {
                return Ok(());
            }
            if out.pos() == out.capacity() {
                return Err("there is no room".to_owned());
            }
        }
    };
    for part in parts {
        let alone = part.len() >= OWN_BLOCK;
        if alone {
            give(&[], zstd_sys::ZSTD_EndDirective::ZSTD_e_flush)?;
        }
        give(part, zstd_sys::ZSTD_EndDirective::ZSTD_e_continue)?;
        if alone {
            give(&[], zstd_sys::ZSTD_EndDirective::ZSTD_e_flush)?;
        }
    }
    give(&[], zstd_sys::ZSTD_EndDirective::ZSTD_e_end)?;
    let length = out.pos();
    packed.truncate(length);
    Ok(packed)
}

fn unpack(packed: &Bytes, length: u64) -> Result<Bytes, String> {
    if length > MOST_UNPACKED {
        return Err(format!("it would take {length} bytes"));
    }
    let mut context = DCtx::create();
    let widest = DParameter::WindowLogMax(WINDOW_LOG);
    context.set_parameter(widest).map_err(failed)?;
    let length = usize::try_from(length).map_err(|_| "it is too long".to_owned())?;
    let mut unpacked = vec![0; length];
    let found = context
        .decompress(&mut unpacked[..], packed)
        .map_err(failed)?;
    match found == length {
        true => Ok(unpacked.into()),
        false => Err(format!("it has {found} bytes, not {length}")),
    }
}

#[cfg(test)]
mod tests;

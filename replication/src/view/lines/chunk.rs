//! Lines of one account, packed.
//!
//! A chunk is a run of lines in the order in which they were booked. Its key has the version of the
//! first, its value is a frame around
//!
//! ```text
//! shard · epoch · posted before · front before                      once
//! tag · version · amount · days · ordinal · [entry] · [party] · [gap]      for each line
//! ```
//!
//! Numbers are varints, and signed ones are zigzag encoded, as in protobuf. A line says by how much its
//! version is above that of the line before, and by how many days its effective date differs from its
//! booking date; where it is of another entry, by how much index, time and booking date do. The first
//! differs from nothing, and its version from the key's.
//!
//! Lines that are late stand in chunks of their own as well, where they have gaps between them: there each
//! also says by how much its balance differs from the one before and its own amount, and by how many
//! days its front is after its date.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ledger_domain::{
    AccountId, Date, HybridTime, Position, RegionName, ShardId, TransactionId, frame,
    movement::{Counterparty, MovementKind},
};
use prost::encoding::{decode_varint, encode_varint};

use crate::view::{Line, keys, stored::Malformed};

/// The most lines of a chunk: a page is read out of few, and to find one line costs one.
pub(in crate::view) const MOST: usize = 256;

const CLOSED_DAY: u8 = 1 << 2;
const SAME_ENTRY: u8 = 1 << 3;
const WORDS: u8 = 1 << 7;
const PARTY: u8 = 0b11;
const KIND: u32 = 4;
const KINDS: u8 = 0b111;

/// Who is at the other end, in the low bits of a line's tag.
mod party {
    /// The same as in the line before.
    pub(super) const SAME: u8 = 0;
    /// A house account: the length of its code, and the code.
    pub(super) const HOUSE: u8 = 1;
    /// An account of the same region: its body.
    pub(super) const NEAR: u8 = 2;
    /// An account of any region, as in keys.
    pub(super) const FAR: u8 = 3;
}

/// Whether lines of the account lie between those of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) enum Gaps {
    /// It has all.
    None,
    /// It has those that are late.
    Some,
}

/// What a line is told by its difference from.
#[derive(Debug, Clone)]
struct Before {
    version: u64,
    posted: i64,
    booked_on: i32,
    index: u64,
    booked: HybridTime,
    party: Option<Counterparty>,
}

/// A chunk that lines are still added to.
#[derive(Debug, Clone)]
pub(in crate::view) struct Chunk {
    account: AccountId,
    first: u64,
    shard: ShardId,
    epoch: u64,
    gaps: Gaps,
    before: Before,
    lines: usize,
    packed: BytesMut,
}

impl Chunk {
    /// A chunk that begins with a line, before which the account's front was so.
    pub(in crate::view) fn begin(
        account: AccountId,
        line: &Line,
        front: Option<Date>,
        gaps: Gaps,
    ) -> Self {
        let Position { shard, epoch, .. } = line.transaction.position;
        let posted = line.posted.wrapping_sub(line.amount);
        let mut packed = BytesMut::with_capacity(64);
        encode_varint(u64::from(shard.0), &mut packed);
        encode_varint(epoch, &mut packed);
        encode_varint(zigzag(posted), &mut packed);
        encode_varint(zigzag(front.map_or(0, after_min)), &mut packed);
        let before = Before::of(line.version, posted);
        let mut chunk = Self {
            account,
            first: line.version,
            shard,
            epoch,
            gaps,
            before,
            lines: 0,
            packed,
        };
        chunk.pack(line);
        chunk
    }

    /// Adds a line, unless the chunk is full or of another reign.
    pub(in crate::view) fn add(&mut self, line: &Line) -> bool {
        let Position { shard, epoch, .. } = line.transaction.position;
        let fits = self.lines < MOST && (shard, epoch) == (self.shard, self.epoch);
        if fits {
            self.pack(line);
        }
        fits
    }

    /// The version of its first line.
    pub(in crate::view) fn first(&self) -> u64 {
        self.first
    }

    /// Bytes so far.
    pub(in crate::view) fn len(&self) -> usize {
        self.packed.len()
    }

    /// As it is stored.
    pub(in crate::view) fn seal(&self) -> Bytes {
        frame::seal(self.packed.len(), |out| out.put_slice(&self.packed))
    }

    fn pack(&mut self, line: &Line) {
        let (out, before) = (&mut self.packed, &mut self.before);
        let TransactionId { position, ordinal } = line.transaction;
        let same_entry = self.lines > 0 && position.index == before.index;
        let who = match &line.counterparty {
            same if before.party.as_ref() == Some(same) => party::SAME,
            Counterparty::House(_) => party::HOUSE,
            Counterparty::Account(id) if id.region() == self.account.region() => party::NEAR,
            Counterparty::Account(_) => party::FAR,
        };
        let mut tag = who | ((line.kind as u8) << KIND);
        if line.into_closed_day {
            tag |= CLOSED_DAY;
        }
        if same_entry {
            tag |= SAME_ENTRY;
        }
        if line.has_words {
            tag |= WORDS;
        }
        out.put_u8(tag);
        encode_varint(line.version.wrapping_sub(before.version), out);
        encode_varint(zigzag(line.amount), out);
        encode_varint(
            zigzag(days(line.effective_date, line.booked_on.days())),
            out,
        );
        encode_varint(u64::from(ordinal), out);
        if !same_entry {
            encode_varint(position.index.wrapping_sub(before.index), out);
            let elapsed = line
                .booked
                .wall_nanos
                .wrapping_sub(before.booked.wall_nanos);
            encode_varint(zigzag(elapsed.cast_signed()), out);
            encode_varint(u64::from(line.booked.count), out);
            encode_varint(zigzag(days(line.booked_on, before.booked_on)), out);
        }
        match &line.counterparty {
            _ if who == party::SAME => {}
            Counterparty::House(code) => {
                let code = code.to_string();
                encode_varint(code.len() as u64, out);
                out.put_slice(code.as_bytes());
            }
            Counterparty::Account(id) if who == party::NEAR => out.put_slice(id.body()),
            Counterparty::Account(id) => out.put_slice(&keys::account_bytes(id)),
        }
        if self.gaps == Gaps::Some {
            let skipped = line
                .posted
                .wrapping_sub(before.posted.wrapping_add(line.amount));
            encode_varint(zigzag(skipped), out);
            let ahead = days(line.front, line.effective_date.days());
            encode_varint(zigzag(ahead), out);
        }
        *before = Before {
            version: line.version,
            posted: line.posted,
            booked_on: line.booked_on.days(),
            index: position.index,
            booked: line.booked,
            party: Some(line.counterparty.clone()),
        };
        self.lines += 1;
    }
}

impl Before {
    fn of(version: u64, posted: i64) -> Self {
        Self {
            version,
            posted,
            booked_on: 0,
            index: 0,
            booked: HybridTime::ZERO,
            party: None,
        }
    }
}

/// The lines of a stored chunk, in the order in which they were booked.
#[derive(Debug)]
pub(in crate::view) struct Lines {
    region: RegionName,
    shard: ShardId,
    epoch: u64,
    before: Before,
    front: Option<Date>,
    gaps: Gaps,
    is_first: bool,
    packed: Bytes,
}

impl Lines {
    /// Opens a chunk as it is stored, whose first line has a version.
    pub(in crate::view) fn open(
        account: &AccountId,
        first: u64,
        stored: &Bytes,
        gaps: Gaps,
    ) -> Result<Self, Malformed> {
        let mut packed = frame::open(stored)?;
        let shard = narrow(varint(&mut packed, "shard")?, "shard")?;
        let epoch = varint(&mut packed, "epoch")?;
        let posted = unzigzag(varint(&mut packed, "posted")?);
        let front = match unzigzag(varint(&mut packed, "front")?) {
            0 => None,
            days => Some(date(days.saturating_add(i64::from(Date::MIN.days()) - 1))?),
        };
        Ok(Self {
            region: account.region(),
            shard: ShardId(shard),
            epoch,
            before: Before::of(first, posted),
            front,
            gaps,
            is_first: true,
            packed,
        })
    }

    fn unpack(&mut self) -> Result<Line, Malformed> {
        let (bytes, before) = (&mut self.packed, &self.before);
        let tag = bytes.try_get_u8().map_err(|_| Malformed::Field("tag"))?;
        let same_entry = tag & SAME_ENTRY != 0;
        if same_entry && self.is_first {
            return Err(Malformed::Field("tag"));
        }
        let version = before.version.wrapping_add(varint(bytes, "version")?);
        let amount = unzigzag(varint(bytes, "amount")?);
        let effective = unzigzag(varint(bytes, "effective_date")?);
        let ordinal = narrow(varint(bytes, "ordinal")?, "ordinal")?;
        let (index, booked, booked_on) = if same_entry {
            (before.index, before.booked, before.booked_on)
        } else {
            let index = before.index.wrapping_add(varint(bytes, "index")?);
            let elapsed = unzigzag(varint(bytes, "booked")?).cast_unsigned();
            let wall_nanos = before.booked.wall_nanos.wrapping_add(elapsed);
            let count = narrow(varint(bytes, "booked")?, "booked")?;
            let days = unzigzag(varint(bytes, "booked_on")?);
            let booked_on = date(days.saturating_add(i64::from(before.booked_on)))?;
            (index, HybridTime { wall_nanos, count }, booked_on.days())
        };
        let effective_date = date(effective.saturating_add(i64::from(booked_on)))?;
        let malformed = Malformed::Field("counterparty");
        let counterparty = match tag & PARTY {
            party::SAME => before.party.clone().ok_or(malformed)?,
            party::HOUSE => {
                let len = narrow(varint(bytes, "counterparty")?, "counterparty")?;
                let code = take(bytes, len as usize, "counterparty")?;
                let code = std::str::from_utf8(&code).map_err(|_| malformed.clone())?;
                Counterparty::House(code.parse().map_err(|_| malformed)?)
            }
            party::NEAR => {
                let body = take(bytes, AccountId::BODY_LEN, "counterparty")?;
                let body = body[..].try_into().map_err(|_| malformed)?;
                Counterparty::Account(AccountId::new(self.region, body))
            }
            _ => {
                let id = take(bytes, keys::ACCOUNT_LEN, "counterparty")?;
                Counterparty::Account(keys::account_from(&id).ok_or(malformed)?)
            }
        };
        let mut posted = before.posted.wrapping_add(amount);
        let mut front = self
            .front
            .max(Some(effective_date))
            .unwrap_or(effective_date);
        if self.gaps == Gaps::Some {
            posted = posted.wrapping_add(unzigzag(varint(bytes, "posted")?));
            let ahead = unzigzag(varint(bytes, "front")?);
            front = date(ahead.saturating_add(i64::from(effective_date.days())))?;
        }
        let kind = MovementKind::from_number(i32::from((tag >> KIND) & KINDS));
        let line = Line {
            version,
            amount,
            posted,
            booked,
            booked_on: date(i64::from(booked_on))?,
            effective_date,
            front,
            into_closed_day: tag & CLOSED_DAY != 0,
            has_words: tag & WORDS != 0,
            counterparty,
            kind: kind.ok_or(Malformed::Field("kind"))?,
            transaction: TransactionId {
                position: Position {
                    shard: self.shard,
                    epoch: self.epoch,
                    index,
                },
                ordinal,
            },
        };
        self.is_first = false;
        self.front = Some(front);
        self.before = Before {
            version,
            posted,
            booked_on,
            index,
            booked,
            party: Some(line.counterparty.clone()),
        };
        Ok(line)
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.packed.is_empty() {
            return None;
        }
        let line = self.unpack();
        if line.is_err() {
            self.packed.clear();
        }
        Some(line)
    }
}

/// How many days a date is after another.
pub(in crate::view) fn days(date: Date, after: i32) -> i64 {
    i64::from(date.days()) - i64::from(after)
}

/// Days since the day before the first there is, so that zero is none.
fn after_min(date: Date) -> i64 {
    i64::from(date.days()) - i64::from(Date::MIN.days()) + 1
}

fn date(days: i64) -> Result<Date, Malformed> {
    let days = i32::try_from(days).ok().and_then(Date::from_days);
    days.ok_or(Malformed::Field("date"))
}

pub(in crate::view) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(in crate::view) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

pub(in crate::view) fn varint(bytes: &mut Bytes, name: &'static str) -> Result<u64, Malformed> {
    decode_varint(bytes).map_err(|_| Malformed::Field(name))
}

pub(in crate::view) fn narrow(number: u64, name: &'static str) -> Result<u32, Malformed> {
    number.try_into().map_err(|_| Malformed::Field(name))
}

pub(in crate::view) fn take(
    bytes: &mut Bytes,
    len: usize,
    name: &'static str,
) -> Result<Bytes, Malformed> {
    if bytes.len() < len {
        return Err(Malformed::Field(name));
    }
    Ok(bytes.split_to(len))
}

//! States of one account, packed.
//!
//! A chunk is a run of states in the order in which they began. Its key has the index of the log at
//! which the first did, its value is a frame around
//!
//! ```text
//! shard · epoch · number of the first                                          once
//! tag · version · index · wall · count · days · [limit] · [held] · [sent]
//!     · [aside] · [restrictions]                                      for each state
//! ```
//!
//! Numbers are varints, and signed ones are zigzag encoded, as in protobuf. A state says what is
//! another than in the one before, the first what is another than of an account with nothing: it is the
//! snapshot, and the others come after it. What is posted is not in it: lines tell.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ledger_domain::{Account, Date, HybridTime, Limit, Position, ShardId, account::Status, frame};
use prost::encoding::encode_varint;

use super::{Restrictions, State};
use crate::view::lines::{days, narrow, take, unzigzag, varint, zigzag};
use crate::view::stored::{self, Malformed};

const LIMIT: u8 = 1;
const UNLIMITED: u8 = 1 << 1;
const HELD: u8 = 1 << 2;
const SENT: u8 = 1 << 3;
const ASIDE: u8 = 1 << 4;
const RESTRICTIONS: u8 = 1 << 5;
const CLOSED: u8 = 1 << 6;

/// What a state is told by its difference from.
#[derive(Debug, Clone)]
struct Before {
    version: u64,
    index: u64,
    time: HybridTime,
    booked_on: i32,
    limit: Limit,
    held: i64,
    sent: (u32, i64),
    aside: (i64, i64),
    restrictions: Restrictions,
}

impl Before {
    fn nothing() -> Self {
        Self {
            version: 0,
            index: 0,
            time: HybridTime::ZERO,
            booked_on: 0,
            limit: Limit::Overdraft(0),
            held: 0,
            sent: (0, 0),
            aside: (0, 0),
            restrictions: Restrictions::default(),
        }
    }

    fn of(state: &State) -> Self {
        let account = &state.account;
        Self {
            version: account.version,
            index: state.position.index,
            time: state.time,
            booked_on: state.booked_on.days(),
            limit: account.limit,
            held: account.held,
            sent: (account.under_way, account.outgoing),
            aside: (account.reserved, account.accepted),
            restrictions: state.restrictions.clone(),
        }
    }
}

/// A chunk that states are still added to.
#[derive(Debug, Clone)]
pub(in crate::view) struct Chunk {
    first: u64,
    shard: ShardId,
    epoch: u64,
    before: Before,
    states: usize,
    packed: BytesMut,
}

impl Chunk {
    /// A chunk that begins with a state.
    pub(in crate::view) fn begin(state: &State) -> Self {
        let Position {
            shard,
            epoch,
            index,
        } = state.position;
        let mut packed = BytesMut::with_capacity(48);
        encode_varint(u64::from(shard.0), &mut packed);
        encode_varint(epoch, &mut packed);
        encode_varint(state.number, &mut packed);
        let mut chunk = Self {
            first: index,
            shard,
            epoch,
            before: Before::nothing(),
            states: 0,
            packed,
        };
        chunk.pack(state);
        chunk
    }

    /// Adds a state, unless the chunk has that many already, or is of another reign.
    pub(in crate::view) fn add(&mut self, state: &State, most: usize) -> bool {
        let Position { shard, epoch, .. } = state.position;
        let fits = self.states < most && (shard, epoch) == (self.shard, self.epoch);
        if fits {
            self.pack(state);
        }
        fits
    }

    /// The index at which its first state began.
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

    fn pack(&mut self, state: &State) {
        let (before, after) = (&self.before, Before::of(state));
        let out = &mut self.packed;
        let mut tag = 0;
        for (is_other, bit) in [
            (after.limit != before.limit, LIMIT),
            (after.limit == Limit::Unlimited, UNLIMITED),
            (after.held != before.held, HELD),
            (after.sent != before.sent, SENT),
            (after.aside != before.aside, ASIDE),
            (after.restrictions != before.restrictions, RESTRICTIONS),
            (state.account.status == Status::Closed, CLOSED),
        ] {
            if is_other {
                tag |= bit;
            }
        }
        out.put_u8(tag);
        encode_varint(after.version.wrapping_sub(before.version), out);
        encode_varint(after.index.wrapping_sub(before.index), out);
        let elapsed = after.time.wall_nanos.wrapping_sub(before.time.wall_nanos);
        encode_varint(zigzag(elapsed.cast_signed()), out);
        encode_varint(u64::from(after.time.count), out);
        encode_varint(zigzag(days(state.booked_on, before.booked_on)), out);
        if let (LIMIT, Limit::Overdraft(limit)) = (tag & LIMIT, after.limit) {
            encode_varint(zigzag(limit), out);
        }
        if tag & HELD != 0 {
            encode_varint(zigzag(after.held), out);
        }
        if tag & SENT != 0 {
            encode_varint(u64::from(after.sent.0), out);
            encode_varint(zigzag(after.sent.1), out);
        }
        if tag & ASIDE != 0 {
            encode_varint(zigzag(after.aside.0), out);
            encode_varint(zigzag(after.aside.1), out);
        }
        if tag & RESTRICTIONS != 0 {
            let packed = stored::pack_restrictions(&after.restrictions);
            encode_varint(packed.len() as u64, out);
            out.put_slice(&packed);
        }
        self.before = after;
        self.states += 1;
    }
}

/// The states of a stored chunk, in the order in which they began. What never changes of an account
/// they take from `now`; nothing is posted in them.
pub(super) fn open(now: &Account, stored: &Bytes) -> Result<Vec<State>, Malformed> {
    let mut packed = frame::open(stored)?;
    let shard = ShardId(narrow(varint(&mut packed, "shard")?, "shard")?);
    let epoch = varint(&mut packed, "epoch")?;
    let mut number = varint(&mut packed, "number")?;
    let (mut before, mut states) = (Before::nothing(), Vec::new());
    while !packed.is_empty() {
        let state = unpack(&mut packed, now, (shard, epoch), number, &before)?;
        before = Before::of(&state);
        number = number.wrapping_add(1);
        states.push(state);
    }
    match states.is_empty() {
        true => Err(Malformed::Field("tag")),
        false => Ok(states),
    }
}

fn unpack(
    bytes: &mut Bytes,
    now: &Account,
    (shard, epoch): (ShardId, u64),
    number: u64,
    before: &Before,
) -> Result<State, Malformed> {
    let tag = bytes.try_get_u8().map_err(|_| Malformed::Field("tag"))?;
    let version = before.version.wrapping_add(varint(bytes, "version")?);
    let index = before.index.wrapping_add(varint(bytes, "index")?);
    let elapsed = unzigzag(varint(bytes, "time")?).cast_unsigned();
    let wall_nanos = before.time.wall_nanos.wrapping_add(elapsed);
    let count = narrow(varint(bytes, "time")?, "time")?;
    let days = unzigzag(varint(bytes, "booked_on")?).saturating_add(before.booked_on.into());
    let booked_on = i32::try_from(days).ok().and_then(Date::from_days);
    let limit = match (tag & LIMIT, tag & UNLIMITED) {
        (0, _) => before.limit,
        (_, 0) => Limit::Overdraft(unzigzag(varint(bytes, "limit")?)),
        _ => Limit::Unlimited,
    };
    let held = match tag & HELD {
        0 => before.held,
        _ => unzigzag(varint(bytes, "held")?),
    };
    let (under_way, outgoing) = match tag & SENT {
        0 => before.sent,
        _ => (
            narrow(varint(bytes, "under_way")?, "under_way")?,
            unzigzag(varint(bytes, "outgoing")?),
        ),
    };
    let (reserved, accepted) = match tag & ASIDE {
        0 => before.aside,
        _ => (
            unzigzag(varint(bytes, "reserved")?),
            unzigzag(varint(bytes, "accepted")?),
        ),
    };
    let restrictions = match tag & RESTRICTIONS {
        0 => before.restrictions.clone(),
        _ => {
            let len = narrow(varint(bytes, "restrictions")?, "restrictions")?;
            stored::unpack_restrictions(take(bytes, len as usize, "restrictions")?)?
        }
    };
    let status = match tag & CLOSED {
        0 => Status::Open,
        _ => Status::Closed,
    };
    Ok(State {
        number,
        position: Position {
            shard,
            epoch,
            index,
        },
        time: HybridTime { wall_nanos, count },
        booked_on: booked_on.ok_or(Malformed::Field("booked_on"))?,
        account: Account {
            limit,
            status,
            posted: 0,
            held,
            version,
            under_way,
            outgoing,
            reserved,
            accepted,
            ..*now
        },
        restrictions,
    })
}

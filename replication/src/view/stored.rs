//! Rows as stored: the messages of `proto/view.proto`, each in its frame.

use std::ops::RangeInclusive;

use bytes::Bytes;
use ledger_domain::{
    Account, AccountId, Code, Date, Fence, Freeze, Hold, HybridTime, Limit, Position, Rejection,
    ShardId, SpendingLimit, TransactionId,
    account::Status,
    command::{Channel, Kind},
    frame,
    freeze::{Arriving, Blocks, FreezeType},
    hold,
};
use prost::Message;

use super::keys;
use super::rows::{
    AccountRow, Cursor, Declined, Ended, Item, Label, LastDates, Opening, Restated, Reversal,
};
use super::states::Restrictions;

#[allow(missing_docs, clippy::all, rustdoc::all)]
mod proto {
    tonic::include_proto!("meridian.view.v1");
}

use proto::account_opening::Limit as OpeningLimit;

/// The format this program writes.
pub(super) const FORMAT: u32 = 7;
/// The formats this program can serve, and go on with, while it makes views of its own beside them.
/// What a later format has more, they answer as if there were none.
pub(super) const SERVED: RangeInclusive<u32> = 6..=FORMAT;
/// The first format that has the states of accounts.
pub(super) const WITH_STATES: u32 = 7;

/// Why a stored value is not a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The frame is damaged.
    #[error("damaged: {0}")]
    Frame(#[from] frame::Error),
    /// The frame holds something else.
    #[error("not the expected message: {0}")]
    Message(#[from] prost::DecodeError),
    /// A field holds what no version of this program writes.
    #[error("its field `{0}` holds what is never written")]
    Field(&'static str),
    /// The key is not one of this store.
    #[error("not a key of this store")]
    Key,
}

type Read<T> = Result<T, Malformed>;

fn message<M: Message + Default>(stored: &Bytes) -> Read<M> {
    Ok(M::decode(frame::open(stored)?)?)
}

fn field<T>(value: Option<T>, name: &'static str) -> Read<T> {
    value.ok_or(Malformed::Field(name))
}

fn array<const N: usize>(bytes: &[u8], name: &'static str) -> Read<[u8; N]> {
    field(bytes.try_into().ok(), name)
}

fn time(bytes: &[u8], name: &'static str) -> Read<HybridTime> {
    field(HybridTime::from_bytes(array(bytes, name)?), name)
}

fn date(days: i32, name: &'static str) -> Read<Date> {
    field(Date::from_days(days), name)
}

fn account(bytes: &[u8], name: &'static str) -> Read<AccountId> {
    field(keys::account_from(bytes), name)
}

fn account_bytes(id: &AccountId) -> Bytes {
    Bytes::copy_from_slice(&keys::account_bytes(id))
}

pub(super) fn seal_label(label: &Label) -> Bytes {
    frame::seal_message(&proto::Format {
        number: label.format,
        generation: label.generation,
        is_building: label.is_building,
    })
}

pub(super) fn open_label(stored: &Bytes) -> Read<Label> {
    let format: proto::Format = message(stored)?;
    Ok(Label {
        format: format.number,
        generation: format.generation,
        is_building: format.is_building,
    })
}

/// A cursor is stored once it has moved.
pub(super) fn seal_cursor(cursor: &Cursor) -> Bytes {
    let Fence {
        epoch, head, time, ..
    } = cursor.fence;
    frame::seal_message(&proto::Cursor {
        index: cursor.next - 1,
        audited_head: Bytes::copy_from_slice(&cursor.audited_head),
        epoch,
        writer_head: Bytes::copy_from_slice(&head),
        time: Bytes::copy_from_slice(&time.to_bytes()),
    })
}

pub(super) fn open_cursor(shard: ShardId, stored: &Bytes) -> Read<Cursor> {
    let cursor: proto::Cursor = message(stored)?;
    Ok(Cursor {
        next: field(cursor.index.checked_add(1), "index")?,
        audited_head: array(&cursor.audited_head, "audited_head")?,
        fence: Fence {
            shard,
            epoch: cursor.epoch,
            head: array(&cursor.writer_head, "writer_head")?,
            time: time(&cursor.time, "time")?,
        },
    })
}

pub(super) fn seal_account(row: &AccountRow, restrictions: Option<&Restrictions>) -> Bytes {
    let AccountRow {
        shard,
        account,
        last,
        restated,
    } = row;
    frame::seal_message(&proto::AccountRow {
        shard: shard.0,
        last: last.map(|last| proto::LastDates {
            booked_on: last.booked_on.days(),
            front: last.front.days(),
        }),
        currency: account.currency.to_string(),
        overdraft: match account.limit {
            Limit::Overdraft(limit) => Some(limit),
            Limit::Unlimited => None,
        },
        closed: account.status == Status::Closed,
        posted: account.posted,
        held: account.held,
        version: account.version,
        opened_on: account.opened_on.days(),
        under_way: account.under_way,
        outgoing: account.outgoing,
        reserved: account.reserved,
        accepted: account.accepted,
        restated: restated.map(|restated| proto::Restated {
            number: restated.number,
            booked_on: restated.booked_on.days(),
        }),
        restrictions: restrictions.map(restrictions_row),
    })
}

/// An account's row, and what it is restricted by.
pub(super) fn open_account(stored: &Bytes) -> Read<(AccountRow, Restrictions)> {
    let row: proto::AccountRow = message(stored)?;
    let account = Account {
        currency: field(row.currency.parse().ok(), "currency")?,
        limit: row.overdraft.map_or(Limit::Unlimited, Limit::Overdraft),
        status: if row.closed {
            Status::Closed
        } else {
            Status::Open
        },
        posted: row.posted,
        held: row.held,
        version: row.version,
        opened_on: date(row.opened_on, "opened_on")?,
        under_way: row.under_way,
        outgoing: row.outgoing,
        reserved: row.reserved,
        accepted: row.accepted,
    };
    let last = row.last.map(|last| {
        Ok::<_, Malformed>(LastDates {
            booked_on: date(last.booked_on, "booked_on")?,
            front: date(last.front, "front")?,
        })
    });
    let restated = row.restated.map(|restated| {
        Ok::<_, Malformed>(Restated {
            number: restated.number,
            booked_on: date(restated.booked_on, "restated")?,
        })
    });
    let restrictions = row.restrictions.map(restrictions).transpose()?;
    let row = AccountRow {
        shard: ShardId(row.shard),
        account,
        last: last.transpose()?,
        restated: restated.transpose()?,
    };
    Ok((row, restrictions.unwrap_or_default()))
}

fn restrictions_row(restrictions: &Restrictions) -> proto::Restrictions {
    let freezes = restrictions.freezes.iter().map(|freeze| proto::FreezeRow {
        r#type: freeze.kind as i32,
        blocks: freeze.blocks as i32,
        arriving: freeze.arriving as i32,
        until_ms: freeze.until_ms,
        reason: freeze.reason.clone(),
    });
    let limits = restrictions.spending.iter();
    let spending = limits.map(|(channel, limit)| proto::SpendingRow {
        channel: channel as i32,
        per_transaction: limit.per_transaction,
        per_day: limit.per_day,
    });
    proto::Restrictions {
        freezes: freezes.collect(),
        spending: spending.collect(),
    }
}

fn restrictions(row: proto::Restrictions) -> Read<Restrictions> {
    let mut restrictions = Restrictions::default();
    for freeze in row.freezes {
        restrictions.freezes.put(Freeze {
            kind: field(FreezeType::from_number(freeze.r#type), "type")?,
            blocks: field(Blocks::from_number(freeze.blocks), "blocks")?,
            arriving: field(Arriving::from_number(freeze.arriving), "arriving")?,
            until_ms: freeze.until_ms,
            reason: freeze.reason,
        });
    }
    for row in row.spending {
        let channel = field(Channel::from_number(row.channel), "channel")?;
        let limit = SpendingLimit {
            per_transaction: row.per_transaction,
            per_day: row.per_day,
        };
        restrictions.spending.set(channel, limit);
    }
    Ok(restrictions)
}

/// As it stands among other bytes.
pub(super) fn pack_restrictions(given: &Restrictions) -> Vec<u8> {
    restrictions_row(given).encode_to_vec()
}

pub(super) fn unpack_restrictions(packed: Bytes) -> Read<Restrictions> {
    restrictions(proto::Restrictions::decode(packed)?)
}

pub(super) fn seal_item(item: &Item) -> Bytes {
    frame::seal_message(&proto::ItemUnderWay {
        payer: account_bytes(&item.payer),
        payee: account_bytes(&item.payee),
        effective_date: item.effective_date.days(),
        amount: item.amount,
        sent: Some(place(&item.sent)),
    })
}

pub(super) fn open_item(shard: ShardId, stored: &Bytes) -> Read<Item> {
    let item: proto::ItemUnderWay = message(stored)?;
    Ok(Item {
        payer: account(&item.payer, "payer")?,
        payee: account(&item.payee, "payee")?,
        effective_date: date(item.effective_date, "effective_date")?,
        amount: item.amount,
        sent: transaction(shard, item.sent, "sent")?,
    })
}

fn place(at: &TransactionId) -> proto::OutcomePlace {
    proto::OutcomePlace {
        epoch: at.position.epoch,
        index: at.position.index,
        ordinal: at.ordinal,
    }
}

fn transaction(
    shard: ShardId,
    stored: Option<proto::OutcomePlace>,
    name: &'static str,
) -> Read<TransactionId> {
    let place = field(stored, name)?;
    let position = Position {
        shard,
        epoch: place.epoch,
        index: place.index,
    };
    Ok(TransactionId {
        position,
        ordinal: place.ordinal,
    })
}

pub(super) fn seal_ended(ended: &Ended) -> Bytes {
    frame::seal_message(&proto::ItemEnded {
        sent: Some(place(&ended.sent)),
        closed: Some(place(&ended.closed)),
    })
}

pub(super) fn open_ended(shard: ShardId, stored: &Bytes) -> Read<Ended> {
    let ended: proto::ItemEnded = message(stored)?;
    Ok(Ended {
        sent: transaction(shard, ended.sent, "sent")?,
        closed: transaction(shard, ended.closed, "closed")?,
    })
}

pub(super) fn seal_recorded(recorded: &TransactionId) -> Bytes {
    frame::seal_message(&proto::ItemRecorded {
        recorded: Some(place(recorded)),
    })
}

pub(super) fn open_recorded(shard: ShardId, stored: &Bytes) -> Read<TransactionId> {
    let row: proto::ItemRecorded = message(stored)?;
    transaction(shard, row.recorded, "recorded")
}

pub(super) fn seal_opening(opening: &Opening) -> Bytes {
    frame::seal_message(&proto::AccountOpening {
        opening: Some(place(&opening.transaction)),
        time: Bytes::copy_from_slice(&opening.time.to_bytes()),
        limit: opening.limit.map(|limit| match limit {
            Limit::Overdraft(limit) => OpeningLimit::Overdraft(limit),
            Limit::Unlimited => OpeningLimit::Unlimited(true),
        }),
    })
}

pub(super) fn open_opening(shard: ShardId, stored: &Bytes) -> Read<Opening> {
    let row: proto::AccountOpening = message(stored)?;
    Ok(Opening {
        transaction: transaction(shard, row.opening, "opening")?,
        time: time(&row.time, "time")?,
        limit: row.limit.map(|limit| match limit {
            OpeningLimit::Overdraft(limit) => Limit::Overdraft(limit),
            OpeningLimit::Unlimited(_) => Limit::Unlimited,
        }),
    })
}

/// A hold's place is known once it is folded.
pub(super) fn seal_hold(hold: &Hold) -> Bytes {
    frame::seal_message(&proto::HoldRow {
        shard: hold.placed.map_or(0, |placed| placed.position.shard.0),
        placed: hold.placed.as_ref().map(place),
        amount: hold.amount,
        captured: hold.captured,
        late: hold.late,
        expires: hold.expires,
        status: hold.status as i32,
    })
}

pub(super) fn open_hold(account: AccountId, stored: &Bytes) -> Read<Hold> {
    let row: proto::HoldRow = message(stored)?;
    Ok(Hold {
        account,
        placed: Some(transaction(ShardId(row.shard), row.placed, "placed")?),
        amount: row.amount,
        captured: row.captured,
        late: row.late,
        expires: row.expires,
        status: field(hold::Status::from_number(row.status), "status")?,
    })
}

pub(super) fn seal_declined(declined: &Declined) -> Bytes {
    frame::seal_message(&proto::DeclinedRow {
        shard: declined.transaction.position.shard.0,
        declined: Some(place(&declined.transaction)),
        time: Bytes::copy_from_slice(&declined.time.to_bytes()),
        kind: declined.kind as i32,
        code: declined.rejection.code as u32,
        figures: declined.rejection.figures.clone(),
        effective_date: declined.effective_date.days(),
        channel: declined.channel as i32,
        actor: declined.actor.clone(),
        privileged: declined.privileged,
        reason: declined.reason.clone(),
        correlation_id: declined.correlation_id.clone(),
    })
}

pub(super) fn open_declined(number: u64, stored: &Bytes) -> Read<Declined> {
    let row: proto::DeclinedRow = message(stored)?;
    Ok(Declined {
        number,
        transaction: transaction(ShardId(row.shard), row.declined, "declined")?,
        time: time(&row.time, "time")?,
        kind: field(Kind::from_number(row.kind), "kind")?,
        rejection: Rejection {
            code: field(Code::from_number(row.code), "code")?,
            figures: row.figures,
        },
        effective_date: date(row.effective_date, "effective_date")?,
        channel: field(Channel::from_number(row.channel), "channel")?,
        actor: row.actor,
        privileged: row.privileged,
        reason: row.reason,
        correlation_id: row.correlation_id,
    })
}

pub(super) fn seal_reversal(reversal: &Reversal) -> Bytes {
    frame::seal_message(&proto::ReversalRow {
        reversal: Some(place(&reversal.transaction)),
        amount: reversal.amount,
        journal: reversal.journal.unwrap_or(0),
    })
}

pub(super) fn open_reversal(shard: ShardId, stored: &Bytes) -> Read<Reversal> {
    let row: proto::ReversalRow = message(stored)?;
    Ok(Reversal {
        transaction: transaction(shard, row.reversal, "reversal")?,
        amount: row.amount,
        journal: (row.journal != 0).then_some(row.journal),
    })
}

pub(super) fn seal_journal(decided: &TransactionId) -> Bytes {
    frame::seal_message(&proto::JournalDecided {
        decided: Some(place(decided)),
    })
}

pub(super) fn open_journal(shard: ShardId, stored: &Bytes) -> Read<TransactionId> {
    let row: proto::JournalDecided = message(stored)?;
    transaction(shard, row.decided, "decided")
}

pub(super) fn seal_void() -> Bytes {
    frame::seal_message(&proto::VoidEntry {})
}

pub(super) fn open_void(stored: &Bytes) -> Read<()> {
    message::<proto::VoidEntry>(stored).map(|_| ())
}

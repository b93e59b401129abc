//! Between the domain's values and their stored messages. Nothing is decided here.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    AccountId, Amount, Currency, Damage, Date, Event, Format, Freeze, Hash, HouseCode, HybridTime,
    Limit, Position, Rejection, Sealed, ShardId, SpendingLimit, TransactionId,
    command::Channel,
    event::ChannelItem,
    freeze::{Arriving, Blocks, FreezeType},
    proto,
    rejection::Code,
};

mod consumer;
mod customer;
mod day;
mod entry;
mod event;
mod hold;
mod journal;
mod reference;
mod reversal;
mod said;
mod suspense;

pub(crate) use consumer::{consumer_from_proto, consumer_to_proto};
pub(crate) use customer::{
    customer_from_proto, customer_to_proto, profile_from_proto, profile_to_proto,
};
pub(crate) use entry::{entry_from_proto, entry_to_proto};
pub(crate) use journal::{journal_from_proto, journal_to_proto};

use said::Saying;

type Read<T> = Result<T, Damage>;

fn field<T>(value: Option<T>, name: &'static str) -> Read<T> {
    value.ok_or(Damage::Field(name))
}

pub(crate) fn hash(bytes: &Bytes, name: &'static str) -> Read<Hash> {
    bytes[..].try_into().map_err(|_| Damage::Field(name))
}

pub(crate) fn digest(bytes: &Bytes, name: &'static str) -> Read<[u8; 16]> {
    bytes[..].try_into().map_err(|_| Damage::Field(name))
}

pub(crate) fn currency(code: &str) -> Read<Currency> {
    code.parse().map_err(|_| Damage::Field("currency"))
}

pub(crate) fn amount(minor_units: u64) -> Read<Amount> {
    minor_units.try_into().map_err(|_| Damage::Field("amount"))
}

pub(crate) fn date(days: i32) -> Read<Date> {
    field(Date::from_days(days), "date")
}

pub(crate) fn house(code: &str) -> Read<HouseCode> {
    code.parse().map_err(|_| Damage::Field("house"))
}

pub(crate) fn position_to_proto(p: Position) -> proto::Position {
    proto::Position {
        shard: p.shard.0,
        epoch: p.epoch,
        index: p.index,
    }
}

pub(crate) fn position_from_proto(p: proto::Position) -> Position {
    Position {
        shard: ShardId(p.shard),
        epoch: p.epoch,
        index: p.index,
    }
}

/// A transaction's id, as its position and its ordinal are stored beside each other.
pub(crate) fn transaction_to_proto(id: &TransactionId) -> (Option<proto::Position>, u32) {
    (Some(position_to_proto(id.position)), id.ordinal)
}

/// The id that stands there; `name` is the position's field.
pub(crate) fn transaction_from_proto(
    (position, ordinal): (Option<proto::Position>, u32),
    name: &'static str,
) -> Read<TransactionId> {
    let position = position_from_proto(field(position, name)?);
    Ok(TransactionId { position, ordinal })
}

pub(crate) fn time_to_proto(time: HybridTime) -> proto::Time {
    proto::Time {
        wall_nanos: time.wall_nanos,
        count: time.count,
    }
}

pub(crate) fn time_from_proto(time: Option<proto::Time>) -> Read<HybridTime> {
    let time = field(time, "time")?;
    Ok(HybridTime {
        wall_nanos: time.wall_nanos,
        count: time.count,
    })
}

pub(crate) fn account_to_proto(id: AccountId) -> Option<proto::AccountId> {
    let body = Bytes::copy_from_slice(id.body());
    Some(proto::AccountId {
        region: id.region().to_string(),
        body,
        said: 0,
    })
}

pub(crate) fn account_from_proto(id: Option<proto::AccountId>) -> Read<AccountId> {
    let id = field(id, "account")?;
    if id.said != 0 {
        return Err(Damage::Field("account"));
    }
    let region = id.region.parse().map_err(|_| Damage::Field("region"))?;
    let body = id.body[..]
        .try_into()
        .map_err(|_| Damage::Field("account"))?;
    Ok(AccountId::new(region, body))
}

pub(crate) fn rejection_to_proto(r: &Rejection) -> proto::Rejection {
    proto::Rejection {
        code: r.code as u32,
        figures: r.figures.clone(),
    }
}

pub(crate) fn rejection_from_proto(r: proto::Rejection) -> Read<Rejection> {
    Ok(Rejection {
        code: field(Code::from_number(r.code), "code")?,
        figures: r.figures,
    })
}

fn sealed_to_proto(s: &Sealed) -> proto::Sealed {
    proto::Sealed {
        domain: s.domain.clone(),
        key_id: Bytes::copy_from_slice(&s.key_id),
        scheme: s.scheme,
        ephemeral: s.ephemeral.clone(),
        ciphertext: s.ciphertext.clone(),
    }
}

fn sealed_from_proto(s: proto::Sealed) -> Read<Sealed> {
    Ok(Sealed {
        domain: s.domain,
        key_id: s.key_id[..]
            .try_into()
            .map_err(|_| Damage::Field("key_id"))?,
        scheme: s.scheme,
        ephemeral: s.ephemeral,
        ciphertext: s.ciphertext,
    })
}

pub(crate) fn limit_to_proto(limit: Limit) -> Option<proto::Limit> {
    use proto::limit::Limit as L;
    let limit = match limit {
        Limit::Overdraft(minor_units) => L::Overdraft(minor_units),
        Limit::Unlimited => L::Unlimited(true),
    };
    Some(proto::Limit { limit: Some(limit) })
}

pub(crate) fn limit_from_proto(limit: Option<proto::Limit>) -> Read<Limit> {
    use proto::limit::Limit as L;
    Ok(match field(limit.and_then(|l| l.limit), "limit")? {
        L::Overdraft(minor_units) => Limit::Overdraft(minor_units),
        L::Unlimited(_) => Limit::Unlimited,
    })
}

pub(crate) fn channel(number: i32) -> Read<Channel> {
    field(Channel::from_number(number), "channel")
}

pub(crate) fn spending_limit_to_proto(
    channel: Channel,
    limit: SpendingLimit,
) -> proto::SpendingLimit {
    proto::SpendingLimit {
        channel: channel as i32,
        per_transaction: limit.per_transaction,
        per_day: limit.per_day,
    }
}

pub(crate) fn spending_limit_from_proto(
    limit: &proto::SpendingLimit,
) -> Read<(Channel, SpendingLimit)> {
    let (per_transaction, per_day) = (limit.per_transaction, limit.per_day);
    let of = channel(limit.channel)?;
    let limit = SpendingLimit {
        per_transaction,
        per_day,
    };
    Ok((of, limit))
}

pub(crate) fn freeze_to_proto(freeze: &Freeze) -> proto::Freeze {
    proto::Freeze {
        r#type: freeze.kind as i32,
        blocks: freeze.blocks as i32,
        arriving: freeze.arriving as i32,
        until_ms: freeze.until_ms,
        reason: freeze.reason.clone(),
    }
}

pub(crate) fn freeze_from_proto(freeze: Option<proto::Freeze>) -> Read<Freeze> {
    let freeze = field(freeze, "freeze")?;
    Ok(Freeze {
        kind: field(FreezeType::from_number(freeze.r#type), "type")?,
        blocks: field(Blocks::from_number(freeze.blocks), "blocks")?,
        arriving: field(Arriving::from_number(freeze.arriving), "arriving")?,
        until_ms: freeze.until_ms,
        reason: freeze.reason,
    })
}

/// An event by itself, as the stored format has it where accounts are named in full.
pub fn encode_event(event: &Event) -> Bytes {
    let message = event::event_to_proto(event, &mut Saying::new(Format::InFull));
    message.encode_to_vec().into()
}

/// The stored bytes of a channel's item: what its hash is taken over.
pub fn encode_item(i: &ChannelItem) -> Bytes {
    let item = proto::ChannelItem {
        source: i.source.0,
        source_epoch: i.source_epoch,
        destination: i.destination.0,
        number: i.number,
        payer: account_to_proto(i.payer),
        payee: account_to_proto(i.payee),
        currency: i.currency.to_string(),
        amount: i.amount.minor_units().unsigned_abs(),
        effective_date: i.effective_date.days(),
        memo: i.memo.as_ref().map(sealed_to_proto),
        correlation_id: i.correlation_id.clone(),
    };
    item.encode_to_vec().into()
}

pub(crate) fn decode_item(stored: &Bytes) -> Read<ChannelItem> {
    let i =
        proto::ChannelItem::decode(stored.clone()).map_err(|e| Damage::Message(e.to_string()))?;
    Ok(ChannelItem {
        source: ShardId(i.source),
        source_epoch: i.source_epoch,
        destination: ShardId(i.destination),
        number: i.number,
        payer: account_from_proto(i.payer)?,
        payee: account_from_proto(i.payee)?,
        currency: currency(&i.currency)?,
        amount: amount(i.amount)?,
        effective_date: date(i.effective_date)?,
        memo: i.memo.map(sealed_from_proto).transpose()?,
        correlation_id: i.correlation_id,
    })
}

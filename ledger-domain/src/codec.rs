//! Between the domain's values and their stored messages. Nothing is decided here.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    AccountId, Amount, Currency, Damage, Date, Entry, Event, Fingerprint, Hash, HouseCode,
    HybridTime, KeyDigest, Limit, Outcome, Position, Rejection, Sealed, ShardId,
    command::{Channel, CommandInfo, Kind},
    event::{After, ChannelItem, CommandRecord, ItemRef},
    proto,
    rejection::Code,
};

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

fn amount(minor_units: u64) -> Read<Amount> {
    minor_units.try_into().map_err(|_| Damage::Field("amount"))
}

pub(crate) fn date(days: i32) -> Read<Date> {
    field(Date::from_days(days), "date")
}

pub(crate) fn house(code: &str) -> Read<HouseCode> {
    code.parse().map_err(|_| Damage::Field("house"))
}

pub(crate) fn entry_to_proto(e: &Entry) -> proto::Entry {
    proto::Entry {
        shard: e.shard.0,
        epoch: e.epoch,
        time: Some(time_to_proto(e.time)),
        business_date: e.business_date.days(),
        prev_hash: Bytes::copy_from_slice(&e.prev_hash),
        causes: e.causes.iter().map(|p| position_to_proto(*p)).collect(),
        outcomes: e.outcomes.iter().map(outcome_to_proto).collect(),
    }
}

pub(crate) fn entry_from_proto(e: proto::Entry) -> Read<Entry> {
    Ok(Entry {
        shard: ShardId(e.shard),
        epoch: e.epoch,
        time: time_from_proto(e.time)?,
        business_date: date(e.business_date)?,
        prev_hash: hash(&e.prev_hash, "prev_hash")?,
        causes: e.causes.into_iter().map(position_from_proto).collect(),
        outcomes: e
            .outcomes
            .into_iter()
            .map(outcome_from_proto)
            .collect::<Read<_>>()?,
    })
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
    })
}

pub(crate) fn account_from_proto(id: Option<proto::AccountId>) -> Read<AccountId> {
    let id = field(id, "account")?;
    let region = id.region.parse().map_err(|_| Damage::Field("region"))?;
    let body = id.body[..]
        .try_into()
        .map_err(|_| Damage::Field("account"))?;
    Ok(AccountId::new(region, body))
}

fn outcome_to_proto(o: &Outcome) -> proto::Outcome {
    let (events, rejection) = match &o.result {
        Ok(events) => (events.iter().map(event_to_proto).collect(), None),
        Err(rejection) => (Vec::new(), Some(rejection_to_proto(rejection))),
    };
    proto::Outcome {
        command: o.command.as_ref().map(command_to_proto),
        events,
        rejection,
    }
}

fn outcome_from_proto(o: proto::Outcome) -> Read<Outcome> {
    let result = match o.rejection {
        Some(_) if !o.events.is_empty() => return Err(Damage::Field("rejection")),
        Some(rejection) => Err(rejection_from_proto(rejection)?),
        None => Ok(o
            .events
            .into_iter()
            .map(event_from_proto)
            .collect::<Read<_>>()?),
    };
    Ok(Outcome {
        command: o.command.map(command_from_proto).transpose()?,
        result,
    })
}

fn rejection_to_proto(r: &Rejection) -> proto::Rejection {
    proto::Rejection {
        code: r.code as u32,
        figures: r.figures.clone(),
    }
}

fn rejection_from_proto(r: proto::Rejection) -> Read<Rejection> {
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

fn command_to_proto(c: &CommandRecord) -> proto::CommandInfo {
    let info = &c.info;
    proto::CommandInfo {
        key: Bytes::copy_from_slice(&info.key.0),
        fingerprint: info.fingerprint.as_bytes().clone(),
        first_attempt_ms: info.first_attempt_ms,
        actor: info.actor.clone(),
        authenticated: info.authenticated,
        channel: info.channel as i32,
        reference: info
            .reference
            .map_or_else(Bytes::new, |r| Bytes::copy_from_slice(&r)),
        correlation_id: info.correlation_id.clone(),
        reason: info.reason.clone(),
        effective_date: c.effective_date.days(),
        memo: info.memo.as_ref().map(sealed_to_proto),
        external_reference: info.external_reference.as_ref().map(sealed_to_proto),
        kind: c.kind as i32,
        account: account_to_proto(c.account),
    }
}

fn command_from_proto(c: proto::CommandInfo) -> Read<CommandRecord> {
    let reference = match c.reference.len() {
        0 => None,
        _ => Some(
            c.reference[..]
                .try_into()
                .map_err(|_| Damage::Field("reference"))?,
        ),
    };
    let channel = [
        Channel::Teller,
        Channel::Atm,
        Channel::Batch,
        Channel::System,
    ]
    .into_iter()
    .find(|known| *known as i32 == c.channel);
    let effective_date = date(c.effective_date)?;
    Ok(CommandRecord {
        info: CommandInfo {
            key: KeyDigest(digest(&c.key, "key")?),
            fingerprint: field(Fingerprint::from_bytes(c.fingerprint), "fingerprint")?,
            first_attempt_ms: c.first_attempt_ms,
            actor: c.actor,
            authenticated: c.authenticated,
            channel: field(channel, "channel")?,
            reference,
            correlation_id: c.correlation_id,
            reason: c.reason,
            effective_date: Some(effective_date),
            memo: c.memo.map(sealed_from_proto).transpose()?,
            external_reference: c.external_reference.map(sealed_from_proto).transpose()?,
        },
        kind: field(Kind::from_number(c.kind), "kind")?,
        account: account_from_proto(c.account)?,
        effective_date,
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

fn after_to_proto(a: &After) -> Option<proto::After> {
    let account = account_to_proto(a.account);
    Some(proto::After {
        account,
        posted: a.posted,
        version: a.version,
    })
}

fn after_from_proto(a: Option<proto::After>) -> Read<After> {
    let a = field(a, "after")?;
    Ok(After {
        account: account_from_proto(a.account)?,
        posted: a.posted,
        version: a.version,
    })
}

fn item_ref_to_proto(i: &ItemRef) -> Option<proto::ItemRef> {
    Some(proto::ItemRef {
        source: i.source.0,
        source_epoch: i.source_epoch,
        number: i.number,
        hash: Bytes::copy_from_slice(&i.hash),
    })
}

fn item_ref_from_proto(i: Option<proto::ItemRef>) -> Read<ItemRef> {
    let i = field(i, "item")?;
    Ok(ItemRef {
        source: ShardId(i.source),
        source_epoch: i.source_epoch,
        number: i.number,
        hash: hash(&i.hash, "hash")?,
    })
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

fn event_to_proto(event: &Event) -> proto::Event {
    use proto::event::Event as E;
    let units = |a: &Amount| a.minor_units().unsigned_abs();
    let event = match event {
        Event::AccountOpened {
            account,
            currency,
            limit,
            opened_on,
        } => E::AccountOpened(proto::AccountOpened {
            account: account_to_proto(*account),
            currency: currency.to_string(),
            limit: limit_to_proto(*limit),
            opened_on: opened_on.days(),
        }),
        Event::HouseAccountOpened { code, currency } => {
            E::HouseAccountOpened(proto::HouseAccountOpened {
                code: code.to_string(),
                currency: currency.to_string(),
                r#type: code.house_type() as i32,
            })
        }
        Event::FundsDeposited {
            after,
            house,
            currency,
            amount,
        } => E::FundsDeposited(proto::FundsDeposited {
            after: after_to_proto(after),
            house: house.to_string(),
            currency: currency.to_string(),
            amount: units(amount),
        }),
        Event::FundsWithdrawn {
            after,
            house,
            currency,
            amount,
        } => E::FundsWithdrawn(proto::FundsWithdrawn {
            after: after_to_proto(after),
            house: house.to_string(),
            currency: currency.to_string(),
            amount: units(amount),
        }),
        Event::FundsTransferred {
            payer,
            payee,
            currency,
            amount,
        } => E::FundsTransferred(proto::FundsTransferred {
            payer: after_to_proto(payer),
            payee: after_to_proto(payee),
            currency: currency.to_string(),
            amount: units(amount),
        }),
        Event::TransferSent { payer, stored, .. } => E::TransferSent(proto::TransferSent {
            payer: after_to_proto(payer),
            item: stored.clone(),
        }),
        Event::TransferReceived {
            item,
            payee,
            payer,
            currency,
            amount,
            effective_date,
            memo,
            source_index,
            source_ordinal,
        } => E::TransferReceived(proto::TransferReceived {
            item: item_ref_to_proto(item),
            payee: after_to_proto(payee),
            payer: account_to_proto(*payer),
            currency: currency.to_string(),
            amount: units(amount),
            effective_date: effective_date.days(),
            memo: memo.as_ref().map(sealed_to_proto),
            source_index: *source_index,
            source_ordinal: *source_ordinal,
        }),
        Event::TransferRefused { item, rejection } => E::TransferRefused(proto::TransferRefused {
            item: item_ref_to_proto(item),
            rejection: Some(rejection_to_proto(rejection)),
            moved_to: 0,
        }),
        Event::TransferSettled {
            destination,
            number,
        } => E::TransferSettled(proto::TransferSettled {
            destination: destination.0,
            number: *number,
        }),
        Event::TransferReturned {
            destination,
            number,
            payer,
            rejection,
        } => E::TransferReturned(proto::TransferReturned {
            destination: destination.0,
            number: *number,
            payer: payer.as_ref().and_then(after_to_proto),
            rejection: Some(rejection_to_proto(rejection)),
        }),
        Event::AccountClosed {
            account,
            version,
            closed_on,
        } => E::AccountClosed(proto::AccountClosed {
            account: account_to_proto(*account),
            version: *version,
            closed_on: closed_on.days(),
        }),
        Event::ItemsForgotten { source, through } => E::ItemsForgotten(proto::ItemsForgotten {
            source: source.0,
            through: *through,
        }),
    };
    proto::Event { event: Some(event) }
}

fn event_from_proto(event: proto::Event) -> Read<Event> {
    use proto::event::Event as E;
    Ok(match event.event.ok_or(Damage::UnknownEvent)? {
        E::AccountOpened(e) => Event::AccountOpened {
            account: account_from_proto(e.account)?,
            currency: currency(&e.currency)?,
            limit: limit_from_proto(e.limit)?,
            opened_on: date(e.opened_on)?,
        },
        E::HouseAccountOpened(e) => Event::HouseAccountOpened {
            code: house(&e.code)?,
            currency: currency(&e.currency)?,
        },
        E::FundsDeposited(e) => Event::FundsDeposited {
            after: after_from_proto(e.after)?,
            house: house(&e.house)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::FundsWithdrawn(e) => Event::FundsWithdrawn {
            after: after_from_proto(e.after)?,
            house: house(&e.house)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::FundsTransferred(e) => Event::FundsTransferred {
            payer: after_from_proto(e.payer)?,
            payee: after_from_proto(e.payee)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::TransferSent(e) => Event::TransferSent {
            payer: after_from_proto(e.payer)?,
            item: decode_item(&e.item)?,
            stored: e.item,
        },
        E::TransferReceived(e) => Event::TransferReceived {
            item: item_ref_from_proto(e.item)?,
            payee: after_from_proto(e.payee)?,
            payer: account_from_proto(e.payer)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
            effective_date: date(e.effective_date)?,
            memo: e.memo.map(sealed_from_proto).transpose()?,
            source_index: e.source_index,
            source_ordinal: e.source_ordinal,
        },
        E::TransferRefused(e) => Event::TransferRefused {
            item: item_ref_from_proto(e.item)?,
            rejection: rejection_from_proto(field(e.rejection, "rejection")?)?,
        },
        E::TransferSettled(e) => Event::TransferSettled {
            destination: ShardId(e.destination),
            number: e.number,
        },
        E::TransferReturned(e) => Event::TransferReturned {
            destination: ShardId(e.destination),
            number: e.number,
            payer: e.payer.map(|p| after_from_proto(Some(p))).transpose()?,
            rejection: rejection_from_proto(field(e.rejection, "rejection")?)?,
        },
        E::AccountClosed(e) => Event::AccountClosed {
            account: account_from_proto(e.account)?,
            version: e.version,
            closed_on: date(e.closed_on)?,
        },
        E::ItemsForgotten(e) => Event::ItemsForgotten {
            source: ShardId(e.source),
            through: e.through,
        },
    })
}

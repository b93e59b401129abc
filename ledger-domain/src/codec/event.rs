//! Events.

use bytes::Bytes;

use super::{
    Read, amount, consumer, currency, customer, date, day, decode_item, field, freeze_from_proto,
    freeze_to_proto, hash,
    hold::{self, hold_from_proto, hold_to_proto},
    house, journal, limit_from_proto, limit_to_proto, reference, rejection_from_proto,
    rejection_to_proto, reversal,
    said::{Said, Saying},
    sealed_from_proto, sealed_to_proto, spending_limit_from_proto, spending_limit_to_proto,
    suspense,
};
use crate::{
    Amount, Damage, Event, HoldChange, ShardId,
    event::{After, ItemRef},
    freeze::FreezeType,
    proto,
};

pub(super) fn after_to_proto(a: &After, saying: &mut Saying) -> Option<proto::After> {
    let account = saying.account(a.account);
    Some(proto::After {
        account,
        posted: a.posted,
        version: a.version,
        held: a.held,
    })
}

pub(super) fn after_from_proto(a: Option<proto::After>, said: &Said) -> Read<After> {
    let a = field(a, "after")?;
    Ok(After {
        account: said.account(a.account)?,
        posted: a.posted,
        version: a.version,
        held: a.held,
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

pub(super) fn event_to_proto(event: &Event, saying: &mut Saying) -> proto::Event {
    use proto::event::Event as E;
    let units = |a: &Amount| a.minor_units().unsigned_abs();
    let event = match event {
        Event::AccountOpened {
            account,
            currency,
            limit,
            opened_on,
        } => E::AccountOpened(proto::AccountOpened {
            account: saying.account(*account),
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
            after: after_to_proto(after, saying),
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
            after: after_to_proto(after, saying),
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
            payer: after_to_proto(payer, saying),
            payee: after_to_proto(payee, saying),
            currency: currency.to_string(),
            amount: units(amount),
        }),
        Event::TransferSent { payer, stored, .. } => E::TransferSent(proto::TransferSent {
            payer: after_to_proto(payer, saying),
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
            payee: after_to_proto(payee, saying),
            payer: saying.account(*payer),
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
            payer: payer.as_ref().and_then(|p| after_to_proto(p, saying)),
            rejection: Some(rejection_to_proto(rejection)),
        }),
        Event::AccountClosed {
            account,
            version,
            closed_on,
        } => E::AccountClosed(proto::AccountClosed {
            account: saying.account(*account),
            version: *version,
            closed_on: closed_on.days(),
        }),
        Event::Hold(event) => hold_to_proto(event, saying),
        Event::AccountFrozen { after, freeze } => E::AccountFrozen(proto::AccountFrozen {
            after: after_to_proto(after, saying),
            freeze: Some(freeze_to_proto(freeze)),
        }),
        Event::AccountThawed { after, kind } => E::AccountThawed(proto::AccountThawed {
            after: after_to_proto(after, saying),
            r#type: *kind as i32,
        }),
        Event::LimitChanged { after, limit } => E::LimitChanged(proto::LimitChanged {
            after: after_to_proto(after, saying),
            limit: limit_to_proto(*limit),
        }),
        Event::SpendingLimitSet {
            after,
            channel,
            limit,
            date,
            spent,
        } => E::SpendingLimitSet(proto::SpendingLimitSet {
            after: after_to_proto(after, saying),
            limit: Some(spending_limit_to_proto(*channel, *limit)),
            date: date.days(),
            spent: *spent,
        }),
        Event::DayClosed { date, frozen } => E::DayClosed(proto::DayClosed {
            date: date.days(),
            frozen: frozen.iter().map(day::row_to_proto).collect(),
        }),
        Event::TransferSuspended {
            item,
            payee,
            payer,
            currency,
            amount,
            effective_date,
            memo,
            source_index,
            source_ordinal,
            rejection,
        } => E::TransferSuspended(proto::TransferSuspended {
            item: item_ref_to_proto(item),
            payee: saying.account(*payee),
            payer: saying.account(*payer),
            currency: currency.to_string(),
            amount: units(amount),
            effective_date: effective_date.days(),
            memo: memo.as_ref().map(sealed_to_proto),
            source_index: *source_index,
            source_ordinal: *source_ordinal,
            rejection: Some(rejection_to_proto(rejection)),
        }),
        Event::SuspenseCleared(event) => suspense::to_proto(event, saying),
        Event::Reversed(event) => E::TransactionReversed(reversal::reversed_to_proto(event)),
        Event::Journal(event) => journal::to_proto(event, saying),
        Event::Customer(event) => customer::to_proto(event, saying),
        Event::Consumer(event) => consumer::to_proto(event),
        Event::ReferenceClaimed(claim) => {
            E::ReferenceClaimed(reference::claimed_to_proto(claim, saying))
        }
        Event::ReferenceReleased(claim) => {
            E::ReferenceReleased(reference::released_to_proto(claim, saying))
        }
        Event::ItemsForgotten { source, through } => E::ItemsForgotten(proto::ItemsForgotten {
            source: source.0,
            through: *through,
        }),
    };
    proto::Event { event: Some(event) }
}

pub(super) fn event_from_proto(event: proto::Event, said: &Said) -> Read<Event> {
    use proto::event::Event as E;
    Ok(match event.event.ok_or(Damage::UnknownEvent)? {
        E::AccountOpened(e) => Event::AccountOpened {
            account: said.account(e.account)?,
            currency: currency(&e.currency)?,
            limit: limit_from_proto(e.limit)?,
            opened_on: date(e.opened_on)?,
        },
        E::HouseAccountOpened(e) => Event::HouseAccountOpened {
            code: house(&e.code)?,
            currency: currency(&e.currency)?,
        },
        E::FundsDeposited(e) => Event::FundsDeposited {
            after: after_from_proto(e.after, said)?,
            house: house(&e.house)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::FundsWithdrawn(e) => Event::FundsWithdrawn {
            after: after_from_proto(e.after, said)?,
            house: house(&e.house)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::FundsTransferred(e) => Event::FundsTransferred {
            payer: after_from_proto(e.payer, said)?,
            payee: after_from_proto(e.payee, said)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
        },
        E::TransferSent(e) => Event::TransferSent {
            payer: after_from_proto(e.payer, said)?,
            item: decode_item(&e.item)?,
            stored: e.item,
        },
        E::TransferReceived(e) => Event::TransferReceived {
            item: item_ref_from_proto(e.item)?,
            payee: after_from_proto(e.payee, said)?,
            payer: said.account(e.payer)?,
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
            payer: e
                .payer
                .map(|p| after_from_proto(Some(p), said))
                .transpose()?,
            rejection: rejection_from_proto(field(e.rejection, "rejection")?)?,
        },
        E::AccountClosed(e) => Event::AccountClosed {
            account: said.account(e.account)?,
            version: e.version,
            closed_on: date(e.closed_on)?,
        },
        E::HoldPlaced(e) => hold_from_proto(e.hold.clone(), hold::placed(&e), said)?,
        E::HoldRaised(e) => {
            let change = amount(e.by).map(|by| HoldChange::Raised { by });
            hold_from_proto(e.hold, change, said)?
        }
        E::HoldCaptured(e) => hold_from_proto(e.hold.clone(), hold::captured(&e), said)?,
        E::HoldReleased(e) => {
            let change = amount(e.released).map(|released| HoldChange::Released { released });
            hold_from_proto(e.hold, change, said)?
        }
        E::HoldExpired(e) => {
            let change = amount(e.released).map(|released| HoldChange::Expired { released });
            hold_from_proto(e.hold, change, said)?
        }
        E::HoldLate(e) => {
            let change = amount(e.amount).map(|amount| HoldChange::Late { amount });
            hold_from_proto(e.hold, change, said)?
        }
        E::AccountFrozen(e) => Event::AccountFrozen {
            after: after_from_proto(e.after, said)?,
            freeze: freeze_from_proto(e.freeze)?,
        },
        E::AccountThawed(e) => Event::AccountThawed {
            after: after_from_proto(e.after, said)?,
            kind: field(FreezeType::from_number(e.r#type), "type")?,
        },
        E::LimitChanged(e) => Event::LimitChanged {
            after: after_from_proto(e.after, said)?,
            limit: limit_from_proto(e.limit)?,
        },
        E::SpendingLimitSet(e) => {
            let (channel, limit) = spending_limit_from_proto(&field(e.limit, "limit")?)?;
            Event::SpendingLimitSet {
                after: after_from_proto(e.after, said)?,
                channel,
                limit,
                date: date(e.date)?,
                spent: e.spent,
            }
        }
        E::DayClosed(e) => Event::DayClosed {
            date: date(e.date)?,
            frozen: e
                .frozen
                .iter()
                .map(day::row_from_proto)
                .collect::<Read<_>>()?,
        },
        E::TransferSuspended(e) => Event::TransferSuspended {
            item: item_ref_from_proto(e.item)?,
            payee: said.account(e.payee)?,
            payer: said.account(e.payer)?,
            currency: currency(&e.currency)?,
            amount: amount(e.amount)?,
            effective_date: date(e.effective_date)?,
            memo: e.memo.map(sealed_from_proto).transpose()?,
            source_index: e.source_index,
            source_ordinal: e.source_ordinal,
            rejection: rejection_from_proto(field(e.rejection, "rejection")?)?,
        },
        E::SuspenseCleared(e) => Event::SuspenseCleared(suspense::from_proto(e, said)?),
        E::TransactionReversed(e) => Event::Reversed(reversal::reversed_from_proto(e)?),
        event @ (E::JournalBooked(_)
        | E::JournalOpened(_)
        | E::JournalReserved(_)
        | E::JournalRefused(_)
        | E::JournalAnswered(_)
        | E::JournalPosted(_)
        | E::JournalCancelled(_)) => Event::Journal(journal::from_proto(event, said)?),
        event @ (E::CustomerRegistered(_)
        | E::AccountAttached(_)
        | E::AccountDetached(_)
        | E::ProfileSet(_)
        | E::LegalHoldPlaced(_)
        | E::LegalHoldLifted(_)
        | E::CustomerErased(_)) => Event::Customer(customer::from_proto(event, said)?),
        e @ (E::ConsumerCreated(_)
        | E::ConsumerAdvanced(_)
        | E::ConsumerParked(_)
        | E::ConsumerResumed(_)
        | E::ConsumerMoved(_)
        | E::ConsumerRemoved(_)) => Event::Consumer(consumer::from_proto(e)?),
        E::ReferenceClaimed(e) => {
            Event::ReferenceClaimed(reference::from_proto(e.r#type, &e.digest, e.account, said)?)
        }
        E::ReferenceReleased(e) => {
            Event::ReferenceReleased(reference::from_proto(e.r#type, &e.digest, e.account, said)?)
        }
        E::ItemsForgotten(e) => Event::ItemsForgotten {
            source: ShardId(e.source),
            through: e.through,
        },
    })
}

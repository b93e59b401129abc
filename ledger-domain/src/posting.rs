//! What an event books, in full: every account and house account that it moves. Its postings come to
//! zero in each currency, as in any double-entry book.

use crate::{
    Amount, Currency, Event, HouseCode, JournalEvent, Party, ShardId,
    event::{After, ChannelItem},
    journal::{Clearing, Line},
    suspense::{Cleared, SuspenseCleared},
};

/// One account moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Whose.
    pub party: Party,
    /// In which currency.
    pub currency: Currency,
    /// Minor units, positive for a credit.
    pub units: i64,
    /// What a customer's account has after it, minor units. House accounts say nothing of that.
    pub posted: Option<i64>,
}

/// What an event books. How a transfer ended says nothing of what was sent: `sent` gives that, by
/// destination and number. Nothing where it does not know, or where nothing is booked.
pub fn postings(
    event: &Event,
    sent: impl Fn(ShardId, u64) -> Option<(Currency, Amount)>,
) -> Vec<Posting> {
    match event {
        Event::FundsDeposited {
            after,
            house,
            currency,
            amount,
        } => pair(house.clone().into(), after.into(), *currency, *amount),
        Event::FundsWithdrawn {
            after,
            house,
            currency,
            amount,
        } => pair(after.into(), house.clone().into(), *currency, *amount),
        Event::FundsTransferred {
            payer,
            payee,
            currency,
            amount,
        } => pair(payer.into(), payee.into(), *currency, *amount),
        Event::TransferSent { payer, item, .. } => send(payer.into(), item),
        Event::TransferReceived {
            item,
            payee,
            currency,
            amount,
            ..
        } => {
            let due = HouseCode::DueFrom(item.source);
            pair(due.into(), payee.into(), *currency, *amount)
        }
        Event::TransferSuspended {
            item,
            currency,
            amount,
            ..
        } => {
            let due = HouseCode::DueFrom(item.source);
            pair(due.into(), HouseCode::Suspense.into(), *currency, *amount)
        }
        Event::TransferSettled {
            destination,
            number,
        } => {
            let to = HouseCode::DueTo(*destination).into();
            end(*destination, to, sent(*destination, *number))
        }
        Event::TransferReturned {
            destination,
            number,
            payer,
            ..
        } => {
            let to = payer
                .as_ref()
                .map_or(HouseCode::Suspense.into(), Side::from);
            end(*destination, to, sent(*destination, *number))
        }
        Event::SuspenseCleared(cleared) => clear(cleared),
        Event::Journal(JournalEvent::Booked { lines, .. }) => journal(lines, &[]),
        Event::Journal(JournalEvent::Posted {
            lines, clearing, ..
        }) => journal(lines, clearing),
        Event::AccountOpened { .. }
        | Event::HouseAccountOpened { .. }
        | Event::TransferRefused { .. }
        | Event::AccountClosed { .. }
        | Event::Hold(_)
        | Event::ItemsForgotten { .. }
        | Event::AccountFrozen { .. }
        | Event::AccountThawed { .. }
        | Event::LimitChanged { .. }
        | Event::SpendingLimitSet { .. }
        | Event::DayClosed { .. }
        | Event::ReferenceClaimed(_)
        | Event::ReferenceReleased(_)
        | Event::Customer(_)
        | Event::Consumer(_)
        | Event::Reversed(_)
        | Event::Journal(_) => Vec::new(),
    }
}

/// Who gives or gets, and what that leaves.
struct Side(Party, Option<i64>);

impl From<&After> for Side {
    fn from(after: &After) -> Self {
        Self(Party::Account(after.account), Some(after.posted))
    }
}

impl From<HouseCode> for Side {
    fn from(code: HouseCode) -> Self {
        Self(Party::House(code), None)
    }
}

fn pair(from: Side, to: Side, currency: Currency, amount: Amount) -> Vec<Posting> {
    let units = amount.minor_units();
    [(from, -units), (to, units)]
        .map(|(Side(party, posted), units)| Posting {
            party,
            currency,
            units,
            posted,
        })
        .into()
}

fn send(from: Side, item: &ChannelItem) -> Vec<Posting> {
    let to = HouseCode::InTransit(item.destination);
    pair(from, to.into(), item.currency, item.amount)
}

fn end(destination: ShardId, to: Side, sent: Option<(Currency, Amount)>) -> Vec<Posting> {
    let from = HouseCode::InTransit(destination);
    sent.map_or_else(Vec::new, |(currency, amount)| {
        pair(from.into(), to, currency, amount)
    })
}

fn clear(cleared: &SuspenseCleared) -> Vec<Posting> {
    let from = HouseCode::Suspense.into();
    let to = match &cleared.to {
        Cleared::Account(after) => after.into(),
        Cleared::House(house) => house.clone().into(),
        Cleared::Sent { item, .. } => return send(from, item),
    };
    pair(from, to, cleared.currency, cleared.amount)
}

fn journal(lines: &[Line], clearing: &[Clearing]) -> Vec<Posting> {
    let lines = lines.iter().map(|Line { leg, after }| Posting {
        party: leg.party.clone(),
        currency: leg.currency,
        units: leg.units(),
        posted: after.map(|after| after.posted),
    });
    let clearing = clearing.iter().map(|it| Posting {
        party: Party::House(HouseCode::Clearing(it.shard)),
        currency: it.currency,
        units: it.units,
        posted: None,
    });
    lines.chain(clearing).collect()
}

//! Who gains and who loses by what is stored, in the words of the oracle of conservation.

use ledger_domain::{
    AccountId, Amount, Currency, Event, HoldChange, HoldEvent, HouseCode, JournalEvent, Limit,
    Outcome, Position, SuspenseCleared, suspense::Cleared,
};

use super::journals;
use crate::oracle::{
    conservation::{Item, Posting},
    no_overdraft::Change,
};

/// The customers' accounts that a command moved in its own entry.
pub(super) fn touched(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .flat_map(|event| match event {
            Event::FundsDeposited { after, .. }
            | Event::FundsWithdrawn { after, .. }
            | Event::AccountFrozen { after, .. }
            | Event::AccountThawed { after, .. }
            | Event::LimitChanged { after, .. }
            | Event::SpendingLimitSet { after, .. } => vec![after.account.to_string()],
            Event::FundsTransferred { payer, payee, .. } => {
                vec![payer.account.to_string(), payee.account.to_string()]
            }
            Event::TransferSent { payer, .. } => vec![payer.account.to_string()],
            Event::Hold(event) => vec![event.after.account.to_string()],
            Event::Journal(event) => journals::booked_on(event),
            Event::SuspenseCleared(SuspenseCleared {
                to: Cleared::Account(after),
                ..
            }) => vec![after.account.to_string()],
            _ => Vec::new(),
        })
        .collect()
}

pub(super) fn item_of(number: u64, currency: Currency, amount: Amount) -> Item {
    Item {
        number,
        currency: currency.to_string(),
        amount: amount.minor_units(),
    }
}

pub(super) fn moved(
    from: impl ToString,
    to: impl ToString,
    currency: Currency,
    amount: Amount,
) -> Vec<Posting> {
    both(
        from.to_string(),
        to.to_string(),
        &currency.to_string(),
        amount.minor_units(),
    )
}

pub(super) fn both(from: String, to: String, currency: &str, amount: i64) -> Vec<Posting> {
    [(from, -amount), (to, amount)]
        .map(|(account, delta)| Posting {
            account,
            currency: currency.to_owned(),
            delta,
        })
        .into()
}

/// Both sides of what a journal books in one book.
pub(super) fn booked(event: &JournalEvent) -> Vec<Posting> {
    let (lines, clearing) = match event {
        JournalEvent::Booked { lines, .. } => (&lines[..], &[][..]),
        JournalEvent::Posted {
            lines, clearing, ..
        } => (&lines[..], &clearing[..]),
        _ => return Vec::new(),
    };
    let legs = lines.iter().map(|line| Posting {
        account: line.leg.party.to_string(),
        currency: line.leg.currency.to_string(),
        delta: line.leg.units(),
    });
    let between = clearing.iter().map(|it| Posting {
        account: HouseCode::Clearing(it.shard).to_string(),
        currency: it.currency.to_string(),
        delta: it.units,
    });
    legs.chain(between).collect()
}

/// Whether money was taken whatever was available: by a privilege, or because it was set aside
/// before.
pub(super) fn is_forced(outcome: &Outcome) -> bool {
    let command = outcome.command.as_ref();
    let was_set_aside = |event: &Event| match event {
        Event::Hold(event) => matches!(event.change, HoldChange::Captured { .. }),
        Event::Journal(event) => matches!(event, JournalEvent::Posted { .. }),
        _ => false,
    };
    let mut events = outcome.result.iter().flatten();
    command.is_some_and(|it| it.info.privileged) || events.any(was_set_aside)
}

/// What becomes of what accounts have available where no money moves. It falls by what is held,
/// and rises by what is held no longer.
pub(super) fn controlled(position: &Position, event: &Event) -> Vec<Change> {
    let changes = match event {
        Event::Hold(event) => vec![(event.after.account, set_aside(event), None)],
        Event::LimitChanged { after, limit } => vec![(after.account, 0, Some(*limit))],
        Event::Journal(event) => {
            let debits = journals::debits(event).into_iter();
            debits.map(|(account, by)| (account, by, None)).collect()
        }
        _ => Vec::new(),
    };
    let is_forced = matches!(
        event,
        Event::Journal(
            JournalEvent::Opened { forced: true, .. } | JournalEvent::Reserved { forced: true, .. }
        )
    );
    let change = |(account, delta, limit): (AccountId, i64, Option<Limit>)| Change {
        position: position.to_string(),
        account: account.to_string(),
        delta,
        is_forced,
        limit: limit.map(|limit| match limit {
            Limit::Overdraft(limit) => limit,
            Limit::Unlimited => i64::MAX,
        }),
    };
    changes.into_iter().map(change).collect()
}

fn set_aside(event: &HoldEvent) -> i64 {
    match event.change {
        HoldChange::Placed { amount, .. } | HoldChange::Raised { by: amount } => {
            -amount.minor_units()
        }
        HoldChange::Captured { amount, released } => {
            amount.minor_units() + released.unwrap_or_default()
        }
        HoldChange::Released { released } | HoldChange::Expired { released } => {
            released.minor_units()
        }
        HoldChange::Late { .. } => 0,
    }
}

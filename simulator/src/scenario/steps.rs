//! What an entry says has happened, in the words of the naive model.

use jiff::{Timestamp, civil, tz::TimeZone};
use ledger_domain::{
    Entry, Event, HoldChange, JournalEvent, Outcome, Position, SuspenseCleared, TransactionId,
    command::Kind, event::CommandRecord, suspense::Cleared,
};

use super::{
    clerk::is_clerks,
    evidence::key,
    journals::{self, Journals},
};
use crate::oracle::model::{Step, Verdict, What};

/// The steps of an entry, in a region of this time zone. `key_of` knows the key of a transfer by the
/// item that it became: source, destination and number; `hold_of` that of a hold by its shard and
/// number; `known` those of journals.
pub(super) fn of(
    entry: &Entry,
    index: u64,
    zone: &TimeZone,
    key_of: impl Fn(u32, u32, u64) -> Option<String>,
    hold_of: impl Fn(u32, u64) -> Option<String>,
    known: &Journals,
) -> Vec<Step> {
    let shard = entry.shard.0;
    let day = day_of(entry.time.wall_nanos, zone);
    let mut happened: Vec<What> = Vec::new();
    for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
        let position = Position {
            shard: entry.shard,
            epoch: entry.epoch,
            index,
        };
        let here = TransactionId { position, ordinal };
        let what: Vec<What> = match &outcome.command {
            Some(command) if is_beside(command) => Vec::new(),
            Some(command) => decided(outcome, command.kind, &command.account.to_string()),
            None => {
                let events = outcome.result.iter().flatten();
                let happened = |event| {
                    crossing(here, event, &key_of)
                        .or_else(|| expired(shard, event, &hold_of))
                        .or_else(|| journal(here, event, known))
                };
                events.filter_map(happened).collect()
            }
        };
        happened.extend(what);
    }
    happened.push(What::Passed);
    let time = (entry.time.wall_nanos, entry.time.count);
    let step = |what| Step {
        shard,
        index,
        time,
        day,
        what,
    };
    happened.into_iter().map(step).collect()
}

/// Whether a command is of no history: about a consumer group, or about a reference and a clerk's. Those
/// move nothing.
pub(super) fn is_beside(command: &CommandRecord) -> bool {
    match command.kind {
        Kind::CreateConsumer
        | Kind::AdvanceConsumer
        | Kind::ParkConsumer
        | Kind::ResumeConsumer
        | Kind::MoveConsumer
        | Kind::RemoveConsumer => true,
        Kind::ClaimReference | Kind::ReleaseReference => is_clerks(&key(Some(command))),
        _ => false,
    }
}

fn expired(
    shard: u32,
    event: &Event,
    hold_of: &impl Fn(u32, u64) -> Option<String>,
) -> Option<What> {
    match event {
        Event::Hold(event) if matches!(event.change, HoldChange::Expired { .. }) => {
            let key = hold_of(shard, event.number).unwrap_or_default();
            Some(What::Expired { key })
        }
        _ => None,
    }
}

fn journal(here: TransactionId, event: &Event, known: &Journals) -> Option<What> {
    let Event::Journal(event) = event else {
        return None;
    };
    let did = journals::did(event)?;
    let journal = journals::of(here.position.shard, event).and_then(|place| known.get(&place));
    // One that nobody has opened has the key of no command.
    let key = journal.map_or_else(String::new, |it| it.key.clone());
    Some(What::Journal { key, did })
}

/// The day of a time in a time zone, counted from 1970-01-01.
pub(super) fn day_of(nanos: u64, zone: &TimeZone) -> i32 {
    let at = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    let day = zone.to_datetime(at).date();
    let since = day.since(civil::date(1970, 1, 1));
    since.map_or(0, |since| since.get_days())
}

fn decided(outcome: &Outcome, kind: Kind, account: &str) -> Vec<What> {
    let key = key(outcome.command.as_ref());
    let verdict = match &outcome.result {
        // Accounts are opened by nobody's wish.
        Ok(_) if kind == Kind::Open => {
            let account = account.to_owned();
            return vec![What::Opened { account }];
        }
        Err(_) if kind == Kind::Open => return Vec::new(),
        Ok(events) => Verdict::Done(balance_after(events, account).unwrap_or_default()),
        Err(rejection) => Verdict::Refused(rejection.code.name().to_owned()),
    };
    vec![What::Decided { key, verdict }]
}

/// What the events say that an account has after them.
fn balance_after(events: &[Event], account: &str) -> Option<i64> {
    let all = events.iter().flat_map(|event| match event {
        Event::FundsDeposited { after, .. }
        | Event::FundsWithdrawn { after, .. }
        | Event::AccountFrozen { after, .. }
        | Event::AccountThawed { after, .. }
        | Event::LimitChanged { after, .. }
        | Event::SpendingLimitSet { after, .. } => vec![after],
        Event::FundsTransferred { payer, payee, .. } => vec![payer, payee],
        Event::TransferSent { payer, .. } => vec![payer],
        Event::Hold(event) => vec![&event.after],
        Event::Journal(JournalEvent::Booked { lines, .. } | JournalEvent::Opened { lines, .. }) => {
            lines
                .iter()
                .filter_map(|line| line.after.as_ref())
                .collect()
        }
        Event::SuspenseCleared(SuspenseCleared {
            to: Cleared::Account(after),
            ..
        }) => vec![after],
        _ => Vec::new(),
    });
    let own = all.filter(|after| after.account.to_string() == account);
    own.last().map(|after| after.posted)
}

fn crossing(
    here: TransactionId,
    event: &Event,
    key_of: &impl Fn(u32, u32, u64) -> Option<String>,
) -> Option<What> {
    let shard = here.position.shard.0;
    let key_of = |source, destination, number| {
        // An item that nobody has sent has the key of no command.
        key_of(source, destination, number).unwrap_or_default()
    };
    match event {
        Event::TransferReceived { item, payee, .. } => Some(What::Arrived {
            key: key_of(item.source.0, shard, item.number),
            balance_after: payee.posted,
        }),
        Event::TransferSuspended { item, .. } => Some(What::Kept {
            key: key_of(item.source.0, shard, item.number),
            item: here.to_string(),
        }),
        Event::TransferRefused { item, .. } => Some(What::TurnedAway {
            key: key_of(item.source.0, shard, item.number),
        }),
        Event::TransferReturned {
            destination,
            number,
            payer,
            ..
        } => Some(What::GivenBack {
            key: key_of(shard, destination.0, *number),
            balance_after: payer.map(|after| after.posted),
            item: here.to_string(),
        }),
        _ => None,
    }
}

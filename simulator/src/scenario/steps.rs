//! What an entry says has happened, in the words of the naive model.

use ledger_domain::{Entry, Event, Outcome, command::Kind};

use super::evidence::key;
use crate::oracle::model::{Step, Verdict, What};

/// The steps of an entry. `key_of` knows the key of a transfer by the item that it became: source,
/// destination and number.
pub(super) fn of(
    entry: &Entry,
    index: u64,
    key_of: impl Fn(u32, u32, u64) -> Option<String>,
) -> Vec<Step> {
    let shard = entry.shard.0;
    let mut steps = Vec::new();
    for outcome in &entry.outcomes {
        let what = match &outcome.command {
            Some(command) => decided(outcome, command.kind, &command.account.to_string()),
            None => {
                let events = outcome.result.iter().flatten();
                let crossing = |event| crossing(shard, event, &key_of);
                events.filter_map(crossing).collect()
            }
        };
        steps.extend(what.into_iter().map(|what| Step {
            shard,
            index,
            time: (entry.time.wall_nanos, entry.time.count),
            what,
        }));
    }
    steps
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
        | Event::LimitChanged { after, .. } => vec![after],
        Event::FundsTransferred { payer, payee, .. } => vec![payer, payee],
        Event::TransferSent { payer, .. } => vec![payer],
        _ => Vec::new(),
    });
    let own = all.filter(|after| after.account.to_string() == account);
    own.last().map(|after| after.posted)
}

fn crossing(
    shard: u32,
    event: &Event,
    key_of: &impl Fn(u32, u32, u64) -> Option<String>,
) -> Option<What> {
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
        }),
        _ => None,
    }
}

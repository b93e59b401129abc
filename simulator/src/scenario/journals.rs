//! What logs say of journals, in the words of the oracles.

use std::collections::BTreeMap;

use ledger_domain::{
    AccountId, HouseCode, JournalEvent, JournalRef, ShardId,
    journal::{Line, Party, Side},
};

use super::evidence::Evidence;
use crate::{
    history::{End, Outcome, Record},
    oracle::{
        decided::{Between, Journal},
        linearizable::{Operation, Step},
        model::{Did, Left},
    },
};

/// By the shard that opened each and its number there.
pub(super) type Journals = BTreeMap<(u32, u64), Journal>;

/// The journal that an event of a shard's log is about.
pub(super) fn of(shard: ShardId, event: &JournalEvent) -> Option<(u32, u64)> {
    let of = |journal: &JournalRef| (journal.coordinator.0, journal.number);
    match event {
        JournalEvent::Booked { .. } => None,
        JournalEvent::Opened { number, .. } | JournalEvent::Answered { number, .. } => {
            Some((shard.0, *number))
        }
        JournalEvent::Reserved { journal, .. }
        | JournalEvent::Refused { journal, .. }
        | JournalEvent::Posted { journal, .. }
        | JournalEvent::Cancelled { journal, .. } => Some(of(journal)),
    }
}

/// Takes note of what an event says. `key` is that of its command, where it has one.
pub(super) fn note(journals: &mut Journals, shard: ShardId, key: String, event: &JournalEvent) {
    let Some(place) = of(shard, event) else {
        return;
    };
    let journal = journals.entry(place).or_insert_with(|| Journal {
        key: String::new(),
        opener: place.0,
        asked: Vec::new(),
        answers: BTreeMap::new(),
        ends: BTreeMap::new(),
    });
    match event {
        JournalEvent::Opened { asks, .. } => {
            journal.key = key;
            journal.asked = asks.iter().map(|ask| ask.shard.0).collect();
        }
        JournalEvent::Reserved { .. } => drop(journal.answers.insert(shard.0, true)),
        JournalEvent::Refused { .. } => drop(journal.answers.insert(shard.0, false)),
        JournalEvent::Posted { .. } => drop(journal.ends.insert(shard.0, None)),
        JournalEvent::Cancelled { refusal, .. } => {
            let why = refusal.rejection.code.name().to_owned();
            journal.ends.insert(shard.0, Some(why));
        }
        JournalEvent::Booked { .. } | JournalEvent::Answered { .. } => {}
    }
}

/// What an event of a journal says in the words of the naive model; nothing where that is said by the
/// outcome of its command.
pub(super) fn did(event: &JournalEvent) -> Option<Did> {
    Some(match event {
        JournalEvent::Booked { .. } | JournalEvent::Opened { .. } => return None,
        JournalEvent::Reserved { lines, .. } => Did::SetAside { left: left(lines) },
        JournalEvent::Refused { refusal, .. } => Did::Refused {
            leg: refusal.leg,
            code: refusal.rejection.code.name().to_owned(),
        },
        JournalEvent::Answered { shard, .. } => Did::Heard { shard: shard.0 },
        JournalEvent::Posted { lines, .. } => Did::Posted { left: left(lines) },
        JournalEvent::Cancelled {
            lines, by, refusal, ..
        } => Did::Cancelled {
            by: by.0,
            code: refusal.rejection.code.name().to_owned(),
            left: left(lines),
        },
    })
}

fn left(lines: &[Line]) -> Vec<Left> {
    let afters = lines.iter().filter_map(|line| line.after);
    let left = afters.map(|after| Left {
        account: after.account.to_string(),
        balance: after.posted,
        held: after.held,
    });
    left.collect()
}

/// The customers' accounts of what a journal books, or none of what it does not.
pub(super) fn booked_on(event: &JournalEvent) -> Vec<String> {
    let lines = match event {
        JournalEvent::Booked { lines, .. } | JournalEvent::Posted { lines, .. } => &lines[..],
        _ => &[],
    };
    let accounts = lines.iter().filter_map(|line| match &line.leg.party {
        Party::Account(id) => Some(id.to_string()),
        Party::House(_) => None,
    });
    accounts.collect()
}

/// What becomes of what accounts have available by debits that are set aside, or no longer.
pub(super) fn debits(event: &JournalEvent) -> Vec<(AccountId, i64)> {
    let (lines, sign) = match event {
        JournalEvent::Opened { lines, .. } | JournalEvent::Reserved { lines, .. } => (lines, -1),
        JournalEvent::Posted { lines, .. } | JournalEvent::Cancelled { lines, .. } => (lines, 1),
        _ => return Vec::new(),
    };
    let debits = lines.iter().filter(|line| line.leg.side == Side::Debit);
    let accounts = debits.filter_map(|line| match &line.leg.party {
        Party::Account(id) => Some((*id, sign * line.leg.amount.minor_units())),
        Party::House(_) => None,
    });
    accounts.collect()
}

/// What the books of every two shards have in the accounts between them.
pub(super) fn between(evidence: &Evidence) -> Vec<Between> {
    let mut found: BTreeMap<(u32, u32, &str), (i128, i128)> = BTreeMap::new();
    for (shard, entries) in &evidence.books {
        for posting in entries.iter().flat_map(|entry| &entry.postings) {
            let Ok(HouseCode::Clearing(ShardId(other))) = posting.account.parse() else {
                continue;
            };
            let (least, most) = (*shard.min(&other), *shard.max(&other));
            let sums = found.entry((least, most, &posting.currency)).or_default();
            let sum = if *shard == least {
                &mut sums.0
            } else {
                &mut sums.1
            };
            *sum += i128::from(posting.delta);
        }
    }
    let between = found
        .into_iter()
        .map(|((a, b, currency), balances)| Between {
            shards: (a, b),
            currency: currency.to_owned(),
            balances,
        });
    between.collect()
}

/// What journals did to accounts, for the search of an order. The legs of one account are booked
/// together, whether they were set aside before or found there: nothing covers them here.
///
/// Of a journal between shards, what it did to an account is known to be done once somebody was told
/// the account's balance with its end.
pub(super) fn operations(records: &[Record], ends: &[End]) -> Vec<(String, Operation)> {
    let mut operations = Vec::new();
    for record in records {
        for (account, units) in record.request.effects() {
            let at_once = match &record.outcome {
                Outcome::Accepted { balances, .. } => balances.get(account),
                _ => None,
            };
            let at_once = at_once.zip(record.completed);
            let posted = ends
                .iter()
                .filter(|it| it.key == record.key && it.refused.is_none());
            let mut ended = posted.filter_map(|it| Some((it.balances.get(account)?, it.told)));
            let told = at_once.or_else(|| ended.next());
            let balance_after = told.map(|(balance, _)| *balance);
            let step = match units < 0 {
                true => Step::Forced {
                    amount: -units,
                    balance_after,
                },
                false => Step::Credit {
                    amount: units,
                    balance_after,
                },
            };
            let operation = Operation {
                id: record.id,
                invoked: record.invoked.order,
                completed: told.map(|(_, moment)| moment.order),
                step,
            };
            operations.push((account.to_owned(), operation));
        }
    }
    operations
}

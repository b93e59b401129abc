//! Puts what clients were told and what the logs say before the oracles.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{HouseCode, ShardId};

use super::{
    consumers,
    customer::Lobby,
    evidence::{Evidence, is_house},
    hunts, journals,
};
use crate::{
    history::{End, Outcome, Reading, Record, Request},
    oracle::{
        acknowledged::{self, Receipt, Recorded, Verdict},
        as_of, claimed, conservation, consumed, decided, linearizable,
        linearizable::{Operation, Step},
        model::{self, Timeline},
        no_overdraft, one_writer,
        settled::Channel,
        stated::{self, Known, Spell},
        together, told,
        version_order::{self, Placed},
        views, watched,
    },
};

/// How many things each oracle has looked at.
pub type Judged = BTreeMap<&'static str, u64>;

/// The code under which a debit is refused for want of money.
const NOT_ENOUGH: &str = "INSUFFICIENT_FUNDS";

/// Requests of one account, up to which all orders are searched. Longer histories are judged by
/// the order of the log.
const SHORT: usize = 400;

/// Calls every oracle of promises about money and reads on a world at rest: what clients were told
/// and what the logs say. All accounts were opened empty and without an overdraft. `excused` are
/// the times at which clocks were wrong and nobody could tell.
///
/// # Errors
///
/// The first promise that was broken, and how.
pub fn judge(lobby: &Lobby, evidence: &Evidence, excused: &[Spell]) -> Result<Judged, String> {
    let (records, readings) = (lobby.history.records(), lobby.history.readings());
    let accounts = lobby.bank.accounts().iter();
    let accounts: Vec<&str> = accounts.map(|account| account.id.as_str()).collect();
    let mut judged = Judged::new();
    let mut note = |name, outcome: Result<u64, String>| -> Result<(), String> {
        let count = outcome.map_err(|how| broken(name, how))?;
        *judged.entry(name).or_default() += count;
        Ok(())
    };
    // First: what they say is of the clients' words alone.
    for (name, outcome) in hunts::judge(lobby, &records, &readings) {
        note(name, outcome)?;
    }
    note("conservation", conserved(&records, evidence))?;
    note("acknowledged", kept(&records, evidence))?;
    note("together", together(&records, evidence))?;
    note("decided", decided(lobby, evidence))?;
    let limits = accounts.iter().map(|id| ((*id).to_owned(), 0)).collect();
    let floor = no_overdraft::debits_stay_above_the_floor(&evidence.changes, &limits);
    note("no_overdraft", counted(floor, evidence.changes.len()))?;
    note("one_writer", written_by_one(evidence))?;
    note("agreement", Ok(evidence.holdings))?;

    if !lobby.told.borrow().is_empty() {
        let told = told::each_once_in_order(&lobby.told.borrow(), &evidence.events);
        note("told", count(told))?;
    }

    let diaries = lobby.consumed.borrow();
    if !diaries.is_empty() {
        let groups = consumers::logged(lobby, evidence)?;
        for diary in diaries.iter() {
            let ends = lobby.ends.borrow();
            let consumed = consumed::everything_at_least_once(&groups, diary, &ends);
            note("consumed", count(consumed))?;
        }
    }

    let openings = lobby.openings.borrow();
    let claimed = claimed::each_stands_for_one(&evidence.claimed(), &openings, &evidence.opened);
    note("claimed", count(claimed))?;

    let timeline = modelled(lobby, &records, evidence);
    let timeline = timeline.map_err(|how| broken("model", how))?;
    note("model", Ok(timeline.steps as u64))?;
    note("suspense", suspended(lobby, &timeline))?;
    let ends = lobby.history.ends();
    let histories = linearized(&records, &ends, evidence, &accounts);
    note("linearizable", histories)?;
    note("version_order", ordered(&records, &readings, evidence))?;
    note("views", folded(lobby, &readings, &timeline))?;
    let told = watched::every_booking_is_told_once(&lobby.watched.borrow(), &timeline);
    note("watched", count(told))?;
    note(
        "as_of",
        count(as_of::the_past_is_as_it_was(&readings, &timeline)),
    )?;
    let known = known(&records, evidence);
    let fresh = stated::answers_are_as_fresh_as_they_say(&readings, &known, excused);
    note("stated", count(fresh))?;
    let over = stated::no_time_is_claimed_before_it_is_over(&readings, &evidence.closed);
    note("stated", count(over))?;
    Ok(judged)
}

/// How a broken promise is told.
pub fn broken(oracle: &str, how: impl std::fmt::Display) -> String {
    format!("{oracle} is broken: {how}")
}

fn count<E: std::error::Error>(outcome: Result<usize, E>) -> Result<u64, String> {
    match outcome {
        Ok(count) => Ok(count as u64),
        Err(how) => Err(how.to_string()),
    }
}

fn counted<E: std::error::Error>(outcome: Result<(), E>, count: usize) -> Result<u64, String> {
    self::count(outcome.map(|()| count))
}

fn conserved(records: &[Record], evidence: &Evidence) -> Result<u64, String> {
    let found = |violation: conservation::Violation| violation.to_string();
    let mut positions = 0;
    for book in evidence.books.values() {
        conservation::book_sums_to_zero(book).map_err(found)?;
        positions += book.len() as u64;
    }
    for crossing in evidence.crossings.values() {
        let is_returned = |item: &&conservation::Item| !crossing.returned.contains(item);
        let sent: Vec<_> = crossing.sent.iter().filter(is_returned).cloned().collect();
        conservation::channel_matches(&sent, &crossing.taken, &[]).map_err(found)?;
    }
    let customers: Vec<_> = evidence
        .books
        .values()
        .flatten()
        .map(|entry| conservation::Entry {
            position: entry.position.clone(),
            postings: entry
                .postings
                .iter()
                .filter(|posting| !is_house(&posting.account))
                .cloned()
                .collect(),
        })
        .collect();
    conservation::balances_follow_from_postings(&customers, &last_read(records)).map_err(found)?;
    Ok(positions)
}

/// Each account's balance as the nodes told it last: the audit's.
fn last_read(records: &[Record]) -> BTreeMap<String, i64> {
    let reads = records
        .iter()
        .filter_map(|record| match (&record.request, &record.outcome) {
            (Request::StrongRead { account }, Outcome::Balance(balance)) => {
                Some((account.clone(), *balance))
            }
            _ => None,
        });
    reads.collect()
}

fn kept(records: &[Record], evidence: &Evidence) -> Result<u64, String> {
    let receipts = receipts(records);
    let kept = acknowledged::outcomes_are_kept(&receipts, &evidence.recorded);
    counted(kept, receipts.len())
}

/// Counts groups.
fn together(records: &[Record], evidence: &Evidence) -> Result<u64, String> {
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in records {
        if let Request::Grouped { group, .. } = &record.request {
            groups.entry(group).or_default().push(record.key.clone());
        }
    }
    let groups: Vec<_> = groups.into_values().collect();
    let whole = together::groups_are_whole(&groups, &evidence.recorded);
    counted(whole, groups.len())
}

/// Counts journals between shards.
fn decided(lobby: &Lobby, evidence: &Evidence) -> Result<u64, String> {
    let journals: Vec<_> = evidence.journals.values().cloned().collect();
    let listed = lobby.open_journals.borrow();
    let whole = decided::journals_are_whole(&journals, &lobby.history.ends(), &listed);
    let whole = count(whole)?;
    count(decided::books_clear(&journals::between(evidence)))?;
    Ok(whole)
}

/// What clients were told, the first time and again.
fn receipts(records: &[Record]) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for record in records {
        let told = std::iter::once(&record.outcome).chain(&record.told_again);
        receipts.extend(told.filter_map(|outcome| {
            let (position, verdict) = match outcome {
                Outcome::Accepted { position, balances } => {
                    let balance_after = balances.get(record.request.named_first()).copied();
                    (Some(position.clone()), Verdict::Accepted { balance_after })
                }
                Outcome::Rejected { position, code } => {
                    (position.clone(), Verdict::Rejected { code: code.clone() })
                }
                Outcome::Balance(_) | Outcome::Unknown => return None,
            };
            Some(Receipt {
                key: record.key.clone(),
                position,
                verdict,
            })
        }));
    }
    receipts
}

fn written_by_one(evidence: &Evidence) -> Result<u64, String> {
    let mut entries = 0;
    for shard in &evidence.reigns {
        let judged = one_writer::one_writer(&shard.log, shard.genesis(), shard.epoch);
        let counted = count(judged).map_err(|how| format!("shard {}: {how}", shard.shard))?;
        entries += counted;
    }
    Ok(entries)
}

/// What homes tell of suspense is what must be there.
fn suspended(lobby: &Lobby, timeline: &Timeline) -> Result<u64, String> {
    let (told, regions) = (lobby.in_suspense.borrow(), lobby.told_suspense.borrow());
    let accounts = lobby.bank.accounts();
    let is_told = |owner: &str| {
        let account = accounts.iter().find(|account| account.id == owner);
        account.is_some_and(|account| regions.contains(&account.region))
    };
    let expected = timeline.in_suspense.iter();
    let expected = expected.filter(|(_, (owner, _))| is_told(owner));
    let expected: BTreeMap<_, _> = expected.map(|(k, v)| (k.clone(), v.clone())).collect();
    match *told == expected {
        true => Ok(expected.len() as u64),
        false => Err(format!(
            "in suspense is {expected:?}, and homes tell {:?}",
            *told
        )),
    }
}

/// What the naive model makes of what was asked, in the order of the logs.
fn modelled(lobby: &Lobby, records: &[Record], evidence: &Evidence) -> Result<Timeline, String> {
    let requests = records
        .iter()
        .filter(|record| !record.key.is_empty())
        .map(|record| (record.key.clone(), record.request.clone()))
        .collect();
    // Shards are read one after the other; causes come before their effects.
    let mut steps = evidence.steps.clone();
    steps.sort_by_key(|step| step.time);
    let timeline = model::follow(&lobby.bank.homes(), &requests, &steps);
    timeline.map_err(|how| how.to_string())
}

/// Where the log has the outcome of each command: shard and index.
fn places(evidence: &Evidence) -> BTreeMap<&str, (u32, u64)> {
    let decided = evidence.steps.iter().filter_map(|step| match &step.what {
        model::What::Decided { key, .. } => Some((key.as_str(), (step.shard, step.index))),
        _ => None,
    });
    decided.collect()
}

fn ordered(records: &[Record], readings: &[Reading], evidence: &Evidence) -> Result<u64, String> {
    let places = places(evidence);
    let commands = records.iter().filter_map(|record| {
        let (shard, index) = *places.get(record.key.as_str())?;
        Some(Placed {
            id: record.id,
            shard,
            index,
            is_read: false,
            invoked: record.invoked.order,
            completed: record.completed.map(|moment| moment.order),
        })
    });
    let strong = readings.iter().filter(|reading| reading.is_strong);
    let reads = (records.len()..).zip(strong).map(|(id, reading)| Placed {
        id,
        shard: reading.shard,
        index: reading.index,
        is_read: true,
        invoked: reading.invoked.order,
        completed: Some(reading.completed.order),
    });
    let all: Vec<Placed> = commands.chain(reads).collect();
    counted(version_order::log_keeps_real_time(&all), all.len())
}

fn folded(lobby: &Lobby, readings: &[Reading], timeline: &Timeline) -> Result<u64, String> {
    let statements = lobby.history.statements();
    let balances = count(views::balances_are_folds(readings, timeline))?;
    let refusals = views::refusals_are_folds(&lobby.history.refusals(), timeline);
    let bookings = count(views::statements_are_folds(&statements, timeline))?;
    Ok(balances + bookings + count(refusals)?)
}

/// What clients knew to be in the logs, and since when: what was acknowledged.
pub(super) fn known(records: &[Record], evidence: &Evidence) -> Vec<Known> {
    let places = places(evidence);
    let known = records.iter().filter_map(|record| {
        let (shard, index) = *places.get(record.key.as_str())?;
        let since = record.completed?.at;
        Some(Known {
            shard,
            index,
            since,
        })
    });
    known.collect()
}

/// What the books of every two shards say about transfers between them.
pub(super) fn channels(evidence: &Evidence) -> Vec<Channel> {
    let sum = |shard: u32, code: HouseCode| -> i128 {
        let code = code.to_string();
        let entries = evidence.books.get(&shard).into_iter().flatten();
        let postings = entries.flat_map(|entry| &entry.postings);
        let of_code = postings.filter(|posting| posting.account == code);
        of_code.map(|posting| i128::from(posting.delta)).sum()
    };
    let channels = evidence.crossings.iter();
    let channels = channels.map(|((source, destination), crossing)| Channel {
        source: *source,
        destination: *destination,
        in_transit: sum(*source, HouseCode::InTransit(ShardId(*destination))),
        due_to: sum(*source, HouseCode::DueTo(ShardId(*destination))),
        due_from: sum(*destination, HouseCode::DueFrom(ShardId(*source))),
        sent: crossing.sent.len() as u64,
        ended: crossing.settled + crossing.returned.len() as u64,
    });
    channels.collect()
}

/// The logs say what became of commands whose clients never learned it. That leaves the search
/// nothing to guess but when: else each such command would double it.
fn linearized(
    records: &[Record],
    ends: &[End],
    evidence: &Evidence,
    accounts: &[&str],
) -> Result<u64, String> {
    let accepted: BTreeSet<&str> = evidence
        .recorded
        .iter()
        .filter(|recorded| matches!(recorded.verdict, Verdict::Accepted { .. }))
        .map(|recorded: &Recorded| recorded.key.as_str())
        .collect();
    let mut paid = evidence.captured.clone();
    paid.extend(evidence.paid.clone());
    let mut histories = linearizable::by_account(records, NOT_ENOUGH, &paid);
    for (account, operation) in journals::operations(records, ends) {
        histories.entry(account).or_default().push(operation);
    }
    for (account, operations) in &mut histories {
        operations.retain_mut(|operation| {
            let record = &records[operation.id];
            let place = (record.key.clone(), account.clone());
            let (Step::Credit { balance_after, .. }
            | Step::Debit { balance_after, .. }
            | Step::Forced { balance_after, .. }) = &mut operation.step
            else {
                return true;
            };
            if balance_after.is_none() {
                *balance_after = evidence.after.get(&place).copied();
            }
            // What was never told and never booked did not happen.
            operation.completed.is_some()
                || (accepted.contains(record.key.as_str()) && balance_after.is_some())
        });
    }
    for returned in &evidence.returns {
        let Some(record) = records.iter().find(|record| record.key == returned.key) else {
            continue;
        };
        let came_back = Operation {
            id: record.id,
            invoked: record.invoked.order,
            completed: None,
            step: Step::Credit {
                amount: returned.amount,
                balance_after: Some(returned.balance_after),
            },
        };
        histories
            .entry(returned.payer.clone())
            .or_default()
            .push(came_back);
    }
    let empty = linearizable::Account {
        balance: 0,
        overdraft_limit: Some(0),
    };
    let mut searched = 0;
    for account in accounts {
        let Some(operations) = histories.get(*account) else {
            continue;
        };
        if operations.len() <= SHORT {
            linearizable::check(account, empty, operations).map_err(|how| how.to_string())?;
            searched += operations.len() as u64;
        }
    }
    Ok(searched)
}

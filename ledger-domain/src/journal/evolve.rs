//! state + a journal's event → state.

use std::collections::BTreeMap;

use super::{
    Clearing, JournalCount, JournalEvent, JournalHead, JournalRef, Leg, Line, OpenJournal, Party,
    Side, is_for_journals,
};
use crate::{
    Account, Currency, HouseCode,
    event::After,
    evolve::{Mismatch, check, move_house},
    planted::{Bug, planted},
    reversal,
    state::State,
};

/// What happens to a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is booked at once.
    Book,
    /// It is set aside.
    SetAside,
    /// What was set aside is booked.
    Post,
    /// What was set aside is given back.
    GiveBack,
}

/// Applies a journal's event.
pub(crate) fn evolve<S: State>(state: &mut S, event: &JournalEvent) -> Result<(), Mismatch> {
    match event {
        JournalEvent::Booked { lines, .. } => {
            balanced(lines, &[])?;
            take(state, lines, Step::Book)
        }
        JournalEvent::Opened {
            number,
            date,
            lines,
            asks,
            rate,
            reverses,
            forced: _,
        } => {
            let count = state.journal_count();
            if count.last.checked_add(1) != Some(*number) || asks.is_empty() {
                return Err(Mismatch::JournalNumber(*number));
            }
            let journal = OpenJournal {
                opened: None,
                date: *date,
                legs: legs_of(lines),
                asks: asks.clone(),
                waiting: asks.iter().map(|ask| ask.shard).collect(),
                rate: rate.clone(),
                reverses: reverses.map(|it| it.part()),
            };
            let here = state.shard();
            if journal.waiting.contains(&here) || journal.waiting.len() != asks.len() {
                return Err(Mismatch::JournalNumber(*number));
            }
            take(state, lines, Step::SetAside)?;
            if let Some(reversed) = reverses {
                reversal::count(state, reversed)?;
            }
            for ask in asks {
                let head = state.journal_head(ask.shard);
                if head.asked != ask.previous {
                    return Err(Mismatch::JournalNumber(*number));
                }
                let legs = head.legs.checked_add(journal.size());
                let head = JournalHead {
                    asked: *number,
                    legs: legs.ok_or(Mismatch::Overflow)?,
                    ..head
                };
                state.set_journal_head(ask.shard, head);
            }
            let open = count.open.checked_add(1).ok_or(Mismatch::Overflow)?;
            let last = *number;
            state.set_journal_count(JournalCount { last, open });
            let id = JournalRef {
                coordinator: here,
                number: *number,
            };
            keep(state, id, journal)
        }
        JournalEvent::Reserved {
            journal,
            opened,
            date,
            lines,
            forced: _,
        } => {
            hear(state, *journal)?;
            take(state, lines, Step::SetAside)?;
            let kept = OpenJournal {
                opened: Some(*opened),
                date: *date,
                legs: legs_of(lines),
                asks: Vec::new(),
                waiting: Default::default(),
                rate: None,
                reverses: None,
            };
            keep(state, *journal, kept)
        }
        JournalEvent::Refused { journal, .. } => hear(state, *journal),
        JournalEvent::Answered { number, shard } => {
            let id = JournalRef {
                coordinator: state.shard(),
                number: *number,
            };
            let mut journal = state.journal(&id).ok_or(Mismatch::Journal(id))?;
            if !journal.waiting.remove(shard) {
                return Err(Mismatch::Journal(id));
            }
            state.set_journal(id, Some(journal));
            Ok(())
        }
        JournalEvent::Posted {
            journal,
            lines,
            clearing,
            ..
        } => {
            let open = end(state, *journal, lines)?;
            // The last answer is the decision.
            if open.waiting.len() > 1 {
                return Err(Mismatch::Journal(*journal));
            }
            balanced(lines, clearing)?;
            take(state, lines, Step::Post)?;
            for it in clearing {
                let code = HouseCode::Clearing(it.shard);
                move_house(state, &code, it.currency, it.units)?;
            }
            Ok(())
        }
        JournalEvent::Cancelled {
            journal,
            lines,
            reverses,
            ..
        } => {
            let open = end(state, *journal, lines)?;
            if open.reverses != *reverses {
                return Err(Mismatch::Journal(*journal));
            }
            if let Some(given_back) = reverses {
                reversal::give_back(state, given_back)?;
            }
            take(state, lines, Step::GiveBack)
        }
    }
}

fn legs_of(lines: &[Line]) -> Vec<Leg> {
    lines.iter().map(|line| line.leg.clone()).collect()
}

/// What is booked must come to zero in every currency.
fn balanced(lines: &[Line], clearing: &[Clearing]) -> Result<(), Mismatch> {
    let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
    for line in lines {
        *sums.entry(line.leg.currency).or_default() += i128::from(line.leg.units());
    }
    for it in clearing {
        *sums.entry(it.currency).or_default() += i128::from(it.units);
    }
    match sums.into_iter().find(|(_, sum)| *sum != 0) {
        None => Ok(()),
        Some((currency, _)) => Err(Mismatch::Unbalanced(currency)),
    }
}

/// Another shard's journal is answered; a second time is too late.
fn hear<S: State>(state: &mut S, journal: JournalRef) -> Result<(), Mismatch> {
    let head = state.journal_head(journal.coordinator);
    if journal.number <= head.heard || journal.coordinator == state.shard() {
        return Err(Mismatch::Journal(journal));
    }
    let heard = journal.number;
    state.set_journal_head(journal.coordinator, JournalHead { heard, ..head });
    Ok(())
}

fn keep<S: State>(state: &mut S, id: JournalRef, journal: OpenJournal) -> Result<(), Mismatch> {
    for (currency, units) in journal.room() {
        let room = state.journal_room(currency).checked_add(units);
        state.set_journal_room(currency, room.ok_or(Mismatch::Overflow)?);
    }
    state.set_journal(id, Some(journal));
    Ok(())
}

/// An open journal is decided: it is open no more.
fn end<S: State>(state: &mut S, id: JournalRef, lines: &[Line]) -> Result<OpenJournal, Mismatch> {
    let journal = state.journal(&id).ok_or(Mismatch::Journal(id))?;
    if !lines.iter().map(|line| &line.leg).eq(&journal.legs) {
        return Err(Mismatch::Journal(id));
    }
    for (currency, units) in journal.room() {
        let room = state.journal_room(currency).checked_sub(units);
        state.set_journal_room(currency, room.ok_or(Mismatch::Overflow)?);
    }
    if journal.is_own() {
        let count = state.journal_count();
        let open = count.open.checked_sub(1).ok_or(Mismatch::Overflow)?;
        state.set_journal_count(JournalCount { open, ..count });
        for ask in &journal.asks {
            let head = state.journal_head(ask.shard);
            let legs = head.legs.checked_sub(journal.size());
            let legs = legs.ok_or(Mismatch::Overflow)?;
            state.set_journal_head(ask.shard, JournalHead { legs, ..head });
        }
    }
    state.set_journal(id, None);
    Ok(journal)
}

fn take<S: State>(state: &mut S, lines: &[Line], step: Step) -> Result<(), Mismatch> {
    for Line { leg, after } in lines {
        match (&leg.party, after) {
            (Party::Account(id), Some(after)) if *id == after.account => {
                let account = state.account(id).ok_or(Mismatch::NoAccount(*id))?;
                let account = stepped(account, leg, step)?;
                check(&account, after)?;
                state.set_account(*id, account);
            }
            (Party::House(code), None) if is_for_journals(code) => {
                if matches!(step, Step::Book | Step::Post) {
                    move_house(state, code, leg.currency, leg.units())?;
                }
            }
            _ => return Err(Mismatch::Leg(leg.place)),
        }
    }
    Ok(())
}

/// An account after a step of one of its legs. The same rule tells what an event has to say.
fn stepped(mut account: Account, leg: &Leg, step: Step) -> Result<Account, Mismatch> {
    if account.currency != leg.currency {
        return Err(Mismatch::Leg(leg.place));
    }
    let units = leg.amount.minor_units();
    let aside = match step {
        Step::Book => 0,
        Step::SetAside => units,
        Step::Post | Step::GiveBack => -units,
    };
    let plus = |sum: i64, delta: i64| sum.checked_add(delta).ok_or(Mismatch::Overflow);
    let not_below = |sum: i64| (sum >= 0).then_some(sum).ok_or(Mismatch::Leg(leg.place));
    match leg.side {
        Side::Debit => {
            if !planted(Bug::ReservationsUncounted) {
                account.held = plus(account.held, aside)?;
            }
            account.reserved = not_below(plus(account.reserved, aside)?)?;
        }
        Side::Credit => account.accepted = not_below(plus(account.accepted, aside)?)?,
    }
    if matches!(step, Step::Book | Step::Post) {
        account.posted = plus(account.posted, leg.units())?;
    }
    account.version = account.version.checked_add(1).ok_or(Mismatch::Overflow)?;
    Ok(account)
}

/// The lines of an event about these legs, as they follow from the state.
fn lines<S: State>(state: &S, legs: &[Leg], step: Step) -> Result<Vec<Line>, Mismatch> {
    let mut accounts = BTreeMap::new();
    let line = |leg: &Leg| {
        let after = match leg.party {
            Party::House(_) => None,
            Party::Account(id) => {
                let known = accounts.get(&id).copied().or_else(|| state.account(&id));
                let account = stepped(known.ok_or(Mismatch::NoAccount(id))?, leg, step)?;
                accounts.insert(id, account);
                Some(After {
                    account: id,
                    posted: account.posted,
                    version: account.version,
                    held: account.held,
                })
            }
        };
        let leg = leg.clone();
        Ok(Line { leg, after })
    };
    legs.iter().map(line).collect()
}

/// The lines of legs that are booked at once.
pub(crate) fn booked<S: State>(state: &S, legs: &[Leg]) -> Result<Vec<Line>, Mismatch> {
    lines(state, legs, Step::Book)
}

/// The lines of legs that are set aside.
pub(crate) fn set_aside<S: State>(state: &S, legs: &[Leg]) -> Result<Vec<Line>, Mismatch> {
    lines(state, legs, Step::SetAside)
}

/// The lines of legs that were set aside and are booked now.
pub(crate) fn posted<S: State>(state: &S, legs: &[Leg]) -> Result<Vec<Line>, Mismatch> {
    lines(state, legs, Step::Post)
}

/// The lines of legs that were set aside and are given back.
pub(crate) fn given_back<S: State>(state: &S, legs: &[Leg]) -> Result<Vec<Line>, Mismatch> {
    lines(state, legs, Step::GiveBack)
}

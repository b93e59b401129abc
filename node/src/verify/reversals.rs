//! What is reversed: never more than was moved, by payments that go the other way, or by journals
//! where it went to another shard.
//!
//! A reversal can name a transaction of any age, so what originals moved is not remembered on the
//! way: those that were named are read again at the end.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{Currency, Date};

use super::channel::{At, Place};
use super::entry::Stored;
use super::journals;
use super::legs::{self, Holder, Leg};
use super::stored::{self, Read, ledger};

/// A payment, within a book or to another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Payment {
    from: Holder,
    to: Holder,
    currency: Currency,
    units: i64,
}

/// What of one transaction has been reversed.
#[derive(Debug)]
struct Reversed {
    /// Moved back so far, and by whom to whom.
    back: Payment,
    /// The earliest date from which any of it counts.
    since: Date,
    /// The index of the last reversal.
    last: u64,
}

/// All of a shard, by reign and place of the originals.
#[derive(Default)]
pub(super) struct Reversals {
    all: BTreeMap<(u64, Place), Reversed>,
    /// Transfers to other shards that came back.
    returned: BTreeSet<(u64, Place)>,
}

/// The transaction that an outcome reverses: shard, reign and place.
pub(super) fn original(outcome: &ledger::Outcome) -> Option<(u32, u64, Place)> {
    let (reversed, _) = said(outcome)?;
    let original = reversed.original?;
    let place = (original.index, reversed.original_ordinal);
    Some((original.shard, original.epoch, place))
}

/// What a reversal says of itself, and whether a journal moves it.
fn said(outcome: &ledger::Outcome) -> Option<(&ledger::TransactionReversed, bool)> {
    use ledger::event::Event as E;
    outcome.events.iter().find_map(|event| match &event.event {
        Some(E::TransactionReversed(event)) => Some((event, false)),
        Some(E::JournalOpened(event)) => Some((event.reverses.as_ref()?, true)),
        _ => None,
    })
}

/// The payment that an outcome makes; `None` where there is none.
fn payment(outcome: &ledger::Outcome) -> Read<Option<Payment>> {
    use ledger::event::Event as E;
    let events = || outcome.events.iter().filter_map(|it| it.event.as_ref());
    for event in events() {
        match event {
            E::TransferSent(event) => return sent(event).map(Some),
            E::JournalOpened(event) if event.reverses.is_some() => {
                return journals::pair(event).map(|legs| Some(Payment::of(legs)));
            }
            _ => {}
        }
    }
    let mut payments = events().filter(|event| {
        matches!(
            event,
            E::FundsDeposited(_) | E::FundsWithdrawn(_) | E::FundsTransferred(_)
        )
    });
    let Some(event) = payments.next() else {
        return Ok(None);
    };
    let legs = legs::of(event, None)?;
    let legs = legs.try_into().map_err(|_| "a payment has two legs")?;
    Ok(Some(Payment::of(legs)))
}

impl Payment {
    /// Who pays first, then who is paid.
    fn of([from, to]: [Leg; 2]) -> Self {
        Self {
            from: from.holder,
            to: to.holder,
            currency: to.currency,
            units: to.units,
        }
    }
}

fn sent(event: &ledger::TransferSent) -> Read<Payment> {
    let item: ledger::ChannelItem = stored::message(event.item.clone())?;
    Ok(Payment {
        from: Holder::Customer(stored::account(&item.payer)?),
        to: Holder::Customer(stored::account(&item.payee)?),
        currency: stored::currency(&item.currency)?,
        units: stored::amount(item.amount)?,
    })
}

impl Reversals {
    /// What has been reversed, by original: minor units.
    pub(super) fn totals(&self) -> BTreeMap<(u64, Place), i64> {
        let totals = self.all.iter();
        totals.map(|(place, it)| (*place, it.back.units)).collect()
    }

    /// The index of the last reversal of a transaction, where there is any.
    pub(super) fn of(&self, epoch: u64, place: Place) -> Option<u64> {
        let reversed = self.all.get(&(epoch, place))?;
        Some(reversed.last)
    }

    /// A transfer to another shard came back: there is nothing to move back.
    pub(super) fn came_back(&mut self, epoch: u64, sent: Place) {
        self.returned.insert((epoch, sent));
    }

    /// A part is not moved back after all.
    pub(super) fn give_back(&mut self, part: &ledger::ReversedPart) -> Read<()> {
        let original = part.original.ok_or("what is not reversed is missing")?;
        let key = (original.epoch, (original.index, part.original_ordinal));
        let amount = stored::amount(part.amount)?;
        let known = self.all.get_mut(&key);
        let reversed = known.filter(|it| it.back.units >= amount);
        let reversed = reversed.ok_or("more is not reversed than was to be")?;
        reversed.back.units -= amount;
        if reversed.back.units == 0 {
            self.all.remove(&key);
        }
        Ok(())
    }

    /// Follows an outcome, which counts from a date.
    pub(super) fn follow(&mut self, outcome: &ledger::Outcome, at: At, date: Date) -> Read<()> {
        let kind = outcome.command.as_ref().map(ledger::CommandInfo::kind);
        let is_done = kind == Some(ledger::Kind::Reverse) && outcome.rejection.is_none();
        let Some((shard, epoch, place)) = original(outcome) else {
            return match is_done {
                true => Err("a reversal names no transaction".to_owned()),
                false => Ok(()),
            };
        };
        let (said, by_journal) = said(outcome).ok_or("a reversal says nothing")?;
        let events = if by_journal { 1 } else { 2 };
        if !is_done || outcome.events.len() != events {
            return Err("something else than a reversal says that it is one".to_owned());
        }
        if shard != at.shard || (epoch, place) >= (at.epoch, at.place) {
            return Err("a reversal names no earlier transaction of its shard".to_owned());
        }
        let (amount, total) = (stored::amount(said.amount)?, stored::amount(said.total)?);
        let part = payment(outcome)?.ok_or("a reversal moves nothing")?;
        if part.units != amount {
            let moved = part.units;
            return Err(format!("{moved} are moved back; it says {amount}"));
        }
        let before = self.all.get(&(epoch, place));
        let already = before.map_or(0, |it| it.back.units);
        if already.checked_add(amount) != Some(total) {
            return Err(format!(
                "{already} were reversed before, and {amount} now: it says {total}"
            ));
        }
        let back = Payment {
            units: total,
            ..part
        };
        if before.is_some_and(|it| (&it.back.from, &it.back.to) != (&back.from, &back.to)) {
            return Err("parts of one transaction are moved back between others".to_owned());
        }
        let since = before.map_or(date, |it| it.since.min(date));
        let last = at.place.0;
        self.all
            .insert((epoch, place), Reversed { back, since, last });
        Ok(())
    }

    /// Compares what was reversed with what its originals moved; `read` gives an entry of the log.
    /// Returns what is wrong, each with the index of a reversal.
    pub(super) fn check(&self, read: impl Fn(u64) -> Option<Stored>) -> Vec<(u64, String)> {
        let mut wrong = Vec::new();
        for ((epoch, place), reversed) in &self.all {
            let (index, ordinal) = *place;
            let entry = read(index).filter(|entry| entry.claim.epoch == *epoch);
            let moved = entry.as_ref().and_then(|entry| entry.outcome(ordinal));
            let fits = match moved {
                _ if self.returned.contains(&(*epoch, *place)) => {
                    Err("which came back by itself".to_owned())
                }
                Some((outcome, date)) => fits(outcome, date, reversed),
                None => Err("which is not in the log".to_owned()),
            };
            if let Err(what) = fits {
                let what = format!("it reverses outcome {ordinal} of index {index}, {what}");
                wrong.push((reversed.last, what));
            }
        }
        wrong
    }
}

fn fits(original: &ledger::Outcome, date: Date, reversed: &Reversed) -> Read<()> {
    if self::original(original).is_some() {
        return Err("which is a reversal itself".to_owned());
    }
    let moved = payment(original)?.ok_or("which moved nothing")?;
    let back = &reversed.back;
    if (&moved.from, &moved.to, moved.currency) != (&back.to, &back.from, back.currency) {
        return Err("which moved money between others".to_owned());
    }
    if moved.units < back.units {
        let (units, back) = (moved.units, back.units);
        return Err(format!(
            "which moved {units} minor units: {back} were moved back"
        ));
    }
    match reversed.since < date {
        true => Err(format!(
            "from {} on, which counts from {date}",
            reversed.since
        )),
        false => Ok(()),
    }
}

/// Reads what a stored book counts.
pub(super) fn stored(part: &ledger::BookReversals) -> Read<Vec<((u64, Place), i64)>> {
    let rows = part.rows.iter().map(|row| {
        let original = row.original.ok_or("what is reversed is missing")?;
        Ok(((original.epoch, (original.index, row.ordinal)), row.total))
    });
    rows.collect()
}

//! What is reversed: never more than was moved, by payments that go the other way, or by journals
//! where it went to another shard; and a journal by its opposite, whole.
//!
//! A reversal can name a transaction of any age, so what originals moved is not remembered on the
//! way: those that were named are read again at the end.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{Currency, Date};

use super::channel::{At, Place};
use super::entry::Stored;
use super::journals::Asked;
use super::legs::{self, Holder, Leg};
use super::stored::{self, Read, ledger};

/// What a transaction moves.
#[derive(Debug, Clone)]
enum What {
    /// Within a book; of an original, also to another shard.
    Payment(Payment),
    /// A journal: moves a journal back, or what went to another shard.
    Journal(Asked),
}

/// A payment, within a book or to another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Payment {
    from: Holder,
    to: Holder,
    currency: Currency,
    units: i64,
    /// Where the payee is, if not in the same book.
    shard: Option<u32>,
}

/// What of one transaction has been reversed.
#[derive(Debug)]
struct Reversed {
    /// How the last part was moved back. All are alike, but for how much.
    back: What,
    /// How much is moved back so far, minor units: nothing where all parts were cancelled.
    units: i64,
    /// The earliest date from which any of it counts.
    since: Date,
    /// The index of the last reversal.
    last: u64,
}

/// All of a shard, by reign and place of the originals.
#[derive(Default)]
pub(super) struct Reversals {
    all: BTreeMap<(u64, Place), Reversed>,
    /// Transfers to other shards that came back, and journals that were cancelled.
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

/// What an outcome moves; `None` where that is nothing.
fn moved(outcome: &ledger::Outcome) -> Read<Option<What>> {
    use ledger::event::Event as E;
    for event in outcome.events.iter().filter_map(|it| it.event.as_ref()) {
        match event {
            E::TransferSent(event) => return Ok(Some(What::Payment(sent(event)?))),
            E::JournalBooked(_) | E::JournalOpened(_) => {
                return Ok(Asked::by(event)?.map(What::Journal));
            }
            E::FundsDeposited(_) | E::FundsWithdrawn(_) | E::FundsTransferred(_) => {
                let legs = legs::of(event, None)?;
                let legs = legs.try_into().map_err(|_| "a payment has two legs")?;
                return Ok(Some(What::Payment(Payment::of(legs))));
            }
            _ => {}
        }
    }
    Ok(None)
}

impl What {
    /// By how much it is counted, minor units.
    fn units(&self) -> Read<i64> {
        match self {
            Self::Payment(it) => Ok(it.units),
            Self::Journal(it) => it.counted(),
        }
    }

    /// Whether two parts go between the same.
    fn is_alike(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Payment(one), Self::Payment(other)) => {
                (&one.from, &one.to) == (&other.from, &other.to)
            }
            (Self::Journal(one), Self::Journal(other)) => one.is_alike(other),
            _ => false,
        }
    }

    /// Whether it moves back, between the same, what an original moved.
    fn is_back_of(&self, original: &Self) -> bool {
        match (original, self) {
            (Self::Payment(original), Self::Payment(back)) => {
                let back = (&back.to, &back.from, back.currency);
                original.shard.is_none()
                    && back == (&original.from, &original.to, original.currency)
            }
            (Self::Payment(original), Self::Journal(back)) => original.is_undone_by(back),
            (Self::Journal(original), Self::Journal(back)) => back.is_opposite(original),
            (Self::Journal(_), Self::Payment(_)) => false,
        }
    }
}

impl Payment {
    /// Who pays first, then who is paid.
    fn of([from, to]: [Leg; 2]) -> Self {
        Self {
            from: from.holder,
            to: to.holder,
            currency: to.currency,
            units: to.units,
            shard: None,
        }
    }

    /// Whether a journal credits the payer here and debits the payee there, and nobody else.
    fn is_undone_by(&self, back: &Asked) -> bool {
        let [one, other] = &back.legs[..] else {
            return false;
        };
        let (to, from) = if one.units > 0 {
            (one, other)
        } else {
            (other, one)
        };
        let ends = (&to.holder, to.shard, &from.holder, from.shard);
        self.shard.is_some()
            && ends == (&self.from, None, &self.to, self.shard)
            && [to, from].iter().all(|leg| leg.currency == self.currency)
    }
}

fn sent(event: &ledger::TransferSent) -> Read<Payment> {
    let item: ledger::ChannelItem = stored::message(event.item.clone())?;
    Ok(Payment {
        from: Holder::Customer(stored::account(&item.payer)?),
        to: Holder::Customer(stored::account(&item.payee)?),
        currency: stored::currency(&item.currency)?,
        units: stored::amount(item.amount)?,
        shard: Some(item.destination),
    })
}

impl Reversals {
    /// What has been reversed, by original: minor units.
    pub(super) fn totals(&self) -> BTreeMap<(u64, Place), i64> {
        let totals = self.all.iter().filter(|(_, it)| it.units != 0);
        totals.map(|(place, it)| (*place, it.units)).collect()
    }

    /// The index of the last reversal of a transaction, where any of it is reversed.
    pub(super) fn of(&self, epoch: u64, place: Place) -> Option<u64> {
        let reversed = self.all.get(&(epoch, place)).filter(|it| it.units != 0)?;
        Some(reversed.last)
    }

    /// A transfer to another shard came back, or a journal was cancelled: there is nothing to move back.
    pub(super) fn came_back(&mut self, epoch: u64, sent: Place) {
        self.returned.insert((epoch, sent));
    }

    /// A part is not moved back after all.
    pub(super) fn give_back(&mut self, part: &ledger::ReversedPart) -> Read<()> {
        let original = part.original.ok_or("what is not reversed is missing")?;
        let key = (original.epoch, (original.index, part.original_ordinal));
        let amount = stored::amount(part.amount)?;
        let known = self.all.get_mut(&key);
        let reversed = known.filter(|it| it.units >= amount);
        let reversed = reversed.ok_or("more is not reversed than was to be")?;
        reversed.units -= amount;
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
        let back = moved(outcome)?.ok_or("a reversal moves nothing")?;
        let moved = back.units()?;
        if moved != amount {
            return Err(format!("{moved} are moved back; it says {amount}"));
        }
        let before = self.all.get(&(epoch, place));
        let already = before.map_or(0, |it| it.units);
        if already.checked_add(amount) != Some(total) {
            return Err(format!(
                "{already} were reversed before, and {amount} now: it says {total}"
            ));
        }
        if before.is_some_and(|it| !it.back.is_alike(&back)) {
            return Err("parts of one transaction are moved back between others".to_owned());
        }
        let since = before.map_or(date, |it| it.since.min(date));
        let last = at.place.0;
        let reversed = Reversed {
            back,
            units: total,
            since,
            last,
        };
        self.all.insert((epoch, place), reversed);
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
                    Err("which came back by itself, or was cancelled".to_owned())
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
    let moved = moved(original)?.ok_or("which moved nothing")?;
    if !reversed.back.is_back_of(&moved) {
        return Err(match moved {
            What::Payment(_) => "which moved money between others".to_owned(),
            What::Journal(_) => "a journal of which it is not the opposite".to_owned(),
        });
    }
    let (units, back) = (moved.units()?, reversed.units);
    if units < back {
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

//! What an entry that counts does to the book, the channels and the keys of its shard.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger_domain::{AccountId, Date, frame};

use super::book::Book;
use super::chains::{Claim, Time};
use super::channel::{At, Ends, Place, Taken};
use super::consumers::Consumers;
use super::customers::Customers;
use super::days::Days;
use super::finding::{Findings, Part};
use super::groups::Groups;
use super::holds::Holds;
use super::journals::Journals;
use super::legs::{self, Holder, Leg};
use super::once::Once;
use super::references::References;
use super::reversals::{self, Reversals};
use super::said;
use super::spending::Spending;
use super::stored::{self, Read, ledger};
use super::suspense::{Suspended, Suspense};

/// Something that an entry made true, for whoever reads along.
#[derive(Debug, Clone)]
pub enum Fact {
    /// An account began.
    Opened {
        /// Whose.
        account: AccountId,
        /// When.
        on: Date,
    },
    /// Money moved.
    Moved(Movement),
    /// An account ended.
    Closed {
        /// Whose.
        account: AccountId,
        /// When.
        on: Date,
    },
}

/// A movement of money in one book: its legs come to zero.
#[derive(Debug, Clone)]
pub struct Movement {
    /// In whose log.
    pub shard: u32,
    /// Under which reign.
    pub epoch: u64,
    /// Index, and outcome in the entry.
    pub place: (u64, u32),
    /// The paying transaction in another shard's log, or an earlier one of this: shard, epoch and
    /// place.
    pub follows: Option<(u32, u64, (u64, u32))>,
    /// What happened, in words.
    pub what: &'static str,
    /// From which date it counts.
    pub date: Date,
    /// Who got and who gave.
    pub legs: Vec<Leg>,
}

/// An entry as it is stored.
pub(super) struct Stored {
    message: ledger::Entry,
    /// The business date.
    date: Date,
    pub(super) claim: Claim,
}

impl Stored {
    /// An outcome, and the date from which it counts.
    pub(super) fn outcome(&self, ordinal: u32) -> Option<(&ledger::Outcome, Date)> {
        let outcome = self.message.outcomes.get(usize::try_from(ordinal).ok()?)?;
        let said = outcome.command.as_ref().map(|it| it.effective_date);
        let date = said.map_or(Some(self.date), |said| stored::date(said).ok());
        Some((outcome, date?))
    }
}

/// Reads the payload of a record.
pub(super) fn read(payload: &Bytes) -> Read<Stored> {
    let (format, payload) = frame::open_up_to(2, payload).map_err(|it| it.to_string())?;
    let mut message: ledger::Entry = stored::message(payload)?;
    match format {
        1 => said::in_full(&mut message)?,
        _ => said::put_back(&mut message)?,
    }
    let time = message.time.ok_or("its time is missing")?;
    let date = stored::date(message.business_date)?;
    let claim = Claim {
        shard: message.shard,
        epoch: message.epoch,
        time: (time.wall_nanos, time.count),
        prev_hash: stored::hash(&message.prev_hash)?,
    };
    Ok(Stored {
        message,
        date,
        claim,
    })
}

/// Everything that the entries of a shard come to.
#[derive(Default)]
pub(super) struct State {
    pub(super) book: Book,
    pub(super) ends: Ends,
    pub(super) once: Once,
    pub(super) holds: Holds,
    pub(super) suspense: Suspense,
    pub(super) reversals: Reversals,
    pub(super) days: Days,
    pub(super) spending: Spending,
    pub(super) journals: Journals,
    pub(super) references: References,
    pub(super) customers: Customers,
    pub(super) consumers: Consumers,
}

/// Where the outcome is that is being looked at.
struct Outcome<'a> {
    at: At,
    causes: &'a [ledger::Position],
    /// The command's effective date; the entry's business date where there is no command.
    date: Date,
    /// The business date on which it was decided, days since 1970.
    today: i32,
    /// Whether the command took a privilege.
    is_privileged: bool,
    /// Whether money is taken whatever is available: by a privilege, or because it was set aside.
    is_covered: bool,
    /// How many items it sends to other shards.
    sends: u32,
    /// The transaction that it reverses: shard, reign and place.
    reverses: Option<(u32, u64, Place)>,
}

fn sends(event: &&ledger::Event) -> bool {
    matches!(event.event, Some(ledger::event::Event::TransferSent(_)))
}

fn captures(event: &ledger::Event) -> bool {
    matches!(event.event, Some(ledger::event::Event::HoldCaptured(_)))
}

impl State {
    /// Follows an entry.
    pub(super) fn follow(
        &mut self,
        shard: u32,
        index: u64,
        entry: &Stored,
        findings: &mut Findings,
        observe: &mut dyn FnMut(Fact),
    ) {
        let time: Time = entry.claim.time;
        let mut wrong = |part, what| findings.add(shard, index, part, what);
        let mut groups = Groups::default();
        if let Err(what) = self.days.follow(&entry.message) {
            wrong(Part::Entry, what);
        }
        for (ordinal, outcome) in (0..).zip(&entry.message.outcomes) {
            let command = outcome.command.as_ref();
            let is_privileged = command.is_some_and(|it| it.privileged);
            let mut at = Outcome {
                at: At {
                    shard,
                    epoch: entry.claim.epoch,
                    place: (index, ordinal),
                    time,
                },
                causes: &entry.message.causes,
                date: entry.date,
                today: self.days.today(entry.message.business_date),
                is_privileged,
                is_covered: is_privileged || outcome.events.iter().any(captures),
                sends: u32::try_from(outcome.events.iter().filter(sends).count())
                    .unwrap_or(u32::MAX),
                reverses: reversals::original(outcome),
            };
            if let Some(command) = &outcome.command {
                match stored::date(command.effective_date) {
                    Ok(date) => at.date = date,
                    Err(what) => wrong(Part::Entry, what),
                }
                if let Err(what) =
                    self.once
                        .decide(&command.key, &command.fingerprint, at.at.place, time.0)
                {
                    wrong(Part::Key, what);
                }
            }
            for told in [
                groups.follow(outcome),
                self.days.command(outcome),
                self.reversals.follow(outcome, at.at, at.date),
                self.is_decided(at.reverses),
            ] {
                if let Err(what) = told {
                    wrong(Part::Entry, what);
                }
            }
            if outcome.rejection.is_some() && !outcome.events.is_empty() {
                let what = format!("outcome {ordinal} is refused and has events");
                wrong(Part::Entry, what);
                continue;
            }
            let expires = |event: &ledger::Event| {
                matches!(event.event, Some(ledger::event::Event::HoldExpired(_)))
            };
            if !outcome.events.iter().any(expires)
                && let Some(number) = self.holds.overdue(time.0)
            {
                wrong(
                    Part::Book,
                    format!("outcome {ordinal} is decided, and hold {number} has not expired"),
                );
            }
            if let Err(what) = self.spending.follow(outcome, at.today) {
                wrong(Part::Book, what);
            }
            for event in &outcome.events {
                match &event.event {
                    Some(event) => self.happen(event, &at, &mut wrong, observe),
                    None => {
                        let what = format!("outcome {ordinal} has an event that is not known here");
                        wrong(Part::Entry, what);
                    }
                }
            }
        }
        if let Err(what) = groups.end() {
            wrong(Part::Entry, what);
        }
    }

    fn happen(
        &mut self,
        event: &ledger::event::Event,
        outcome: &Outcome<'_>,
        wrong: &mut dyn FnMut(Part, String),
        observe: &mut dyn FnMut(Fact),
    ) {
        // What an item is about must be known before it is closed, and as it was.
        let legs = legs::of(event, self.closed_item(event));
        let explained = self.explain(event, outcome);
        if let Err(what) = self.note(event, outcome, observe) {
            let part = if matches!(legs.as_deref(), Ok([])) {
                Part::Book
            } else {
                Part::Channel
            };
            wrong(part, what);
        }
        let legs = match legs {
            Ok(legs) if legs.is_empty() => return,
            Ok(legs) => legs,
            Err(what) => return wrong(Part::Entry, what),
        };
        // What a journal does to customers' accounts was followed with the journal.
        let is_journal = is_journal(event);
        let is_followed = |leg: &&Leg| is_journal && matches!(leg.holder, Holder::Customer(_));
        for leg in legs.iter().filter(|leg| !is_followed(leg)) {
            let moved = self.book.is_not_frozen(leg, outcome.at.time.0);
            let booked = |()| self.book.book(leg, outcome.is_covered);
            if let Err(what) = moved.and_then(booked) {
                wrong(Part::Book, what);
            }
        }
        let (what, follows, date) = explained;
        observe(Fact::Moved(Movement {
            shard: outcome.at.shard,
            epoch: outcome.at.epoch,
            place: outcome.at.place,
            follows,
            what,
            date,
            legs,
        }));
    }

    fn closed_item(&self, event: &ledger::event::Event) -> Option<&super::channel::Item> {
        use ledger::event::Event as E;
        let (destination, number) = match event {
            E::TransferSettled(e) => (e.destination, e.number),
            E::TransferReturned(e) => (e.destination, e.number),
            _ => return None,
        };
        self.ends.item(destination, number)
    }

    /// In words, the paying transaction, and the date that counts.
    fn explain(
        &self,
        event: &ledger::event::Event,
        outcome: &Outcome<'_>,
    ) -> (&'static str, Option<(u32, u64, Place)>, Date) {
        use ledger::event::Event as E;
        let (at, date) = (outcome.at, outcome.date);
        let paid = |what| match self.closed_item(event) {
            Some(item) => (what, Some((at.shard, item.epoch, item.place)), item.date),
            None => (what, None, date),
        };
        if let Some(original) = outcome.reverses {
            return ("reversal", Some(original), date);
        }
        match event {
            E::FundsDeposited(_) => ("deposit", None, date),
            E::FundsWithdrawn(_) => ("withdrawal", None, date),
            E::FundsTransferred(_) => ("transfer", None, date),
            E::TransferSent(_) => ("transfer sent", None, date),
            E::TransferReceived(e) => {
                let item = e.item.clone().unwrap_or_default();
                let place = (e.source_index, e.source_ordinal);
                let follows = Some((item.source, item.source_epoch, place));
                let date = stored::date(e.effective_date).unwrap_or(date);
                ("transfer received", follows, date)
            }
            E::TransferSuspended(e) => {
                let item = e.item.clone().unwrap_or_default();
                let place = (e.source_index, e.source_ordinal);
                let follows = Some((item.source, item.source_epoch, place));
                let date = stored::date(e.effective_date).unwrap_or(date);
                ("transfer suspended", follows, date)
            }
            E::TransferSettled(_) => paid("transfer settled"),
            E::SuspenseCleared(e) => {
                let put = e
                    .put
                    .map(|it| (it.shard, it.epoch, (it.index, e.put_ordinal)));
                ("suspense cleared", put, date)
            }
            E::TransferReturned(_) => paid("transfer returned"),
            E::JournalBooked(_) => ("journal", None, date),
            E::JournalPosted(e) => {
                let coordinator = e.journal.as_ref().map_or(at.shard, |it| it.coordinator);
                let id = (coordinator, e.journal.as_ref().map_or(0, |it| it.number));
                let row = self.journals.open.get(&id);
                let opened = row.and_then(|row| Some((row.opened?, row.ordinal)));
                let follows = opened.map(|(it, ordinal)| (it.shard, it.epoch, (it.index, ordinal)));
                ("journal", follows, stored::date(e.date).unwrap_or(date))
            }
            _ => ("", None, date),
        }
    }

    /// What an event changes besides balances.
    fn note(
        &mut self,
        event: &ledger::event::Event,
        outcome: &Outcome<'_>,
        observe: &mut dyn FnMut(Fact),
    ) -> Read<()> {
        use ledger::event::Event as E;
        let at = outcome.at;
        match event {
            E::AccountOpened(e) => {
                let (account, on) = self.book.open(e)?;
                observe(Fact::Opened { account, on });
            }
            E::HouseAccountOpened(e) => self.book.open_house(e)?,
            E::AccountClosed(e) => {
                let (account, on) = self.book.close(e, outcome.sends)?;
                self.spending.close(&account);
                observe(Fact::Closed { account, on });
            }
            E::TransferSent(e) => {
                let (by, _) = legs::said(&e.payer)?;
                let payer = self.ends.send(&e.item, by, at)?;
                self.book.under_way(&payer, 1);
            }
            E::SuspenseCleared(e) => {
                if !outcome.is_privileged {
                    return Err("suspense is cleared without a privilege".to_owned());
                }
                self.suspense.clear(e, at)?;
                if let Some(ledger::suspense_cleared::To::Item(item)) = &e.to {
                    let payer = self.ends.send(item, stored::account(&e.owner)?, at)?;
                    self.book.under_way(&payer, 1);
                }
            }
            E::TransferReceived(e) => {
                let taken = Taken {
                    payer: stored::account(&e.payer)?,
                    payee: stored::account(&e.payee.as_ref().and_then(|it| it.account.clone()))?,
                    money: (stored::currency(&e.currency)?, stored::amount(e.amount)?),
                    date: stored::date(e.effective_date)?,
                    place: (e.source_index, e.source_ordinal),
                    kept: false,
                };
                self.ends.record(&e.item, Some(taken), at)?;
                let source = e.item.as_ref().map(|item| item.source);
                outcome.caused_by(source.unwrap_or_default(), Some(e.source_index))?;
            }
            E::TransferSuspended(e) => {
                let taken = Taken {
                    payer: stored::account(&e.payer)?,
                    payee: stored::account(&e.payee)?,
                    money: (stored::currency(&e.currency)?, stored::amount(e.amount)?),
                    date: stored::date(e.effective_date)?,
                    place: (e.source_index, e.source_ordinal),
                    kept: true,
                };
                let put = Suspended {
                    owner: taken.payee,
                    other: taken.payer,
                    money: taken.money,
                    since: at.time,
                    why: e.rejection.clone().unwrap_or_default(),
                };
                self.suspense.put(put, at);
                self.ends.record(&e.item, Some(taken), at)?;
                let source = e.item.as_ref().map(|item| item.source);
                outcome.caused_by(source.unwrap_or_default(), Some(e.source_index))?;
            }
            E::AccountFrozen(e) => self.book.freeze(e)?,
            E::AccountThawed(e) => self.book.thaw(e)?,
            E::LimitChanged(e) => {
                if !outcome.is_privileged {
                    return Err("a limit is changed without a privilege".to_owned());
                }
                self.book.limit(e)?;
            }
            E::SpendingLimitSet(e) => {
                let id = self.book.touch(&e.after)?;
                self.spending.set(id, e, outcome.today)?;
                if !outcome.is_privileged {
                    return Err("a spending limit is set without a privilege".to_owned());
                }
            }
            E::ReferenceClaimed(e) => self.references.claim(e)?,
            E::ReferenceReleased(e) => self.references.release(e)?,
            E::ConsumerCreated(e) => self.consumers.create(e)?,
            E::ConsumerAdvanced(e) => self.consumers.advance(e)?,
            E::ConsumerParked(e) => self.consumers.park(e)?,
            E::ConsumerResumed(e) => self.consumers.resume(e)?,
            E::ConsumerMoved(e) => self.consumers.set(e)?,
            E::ConsumerRemoved(e) => self.consumers.remove(e)?,
            E::CustomerRegistered(e) => self.customers.register(e)?,
            E::AccountAttached(e) => self.customers.attach(e)?,
            E::AccountDetached(e) => self.customers.detach(e, outcome.today)?,
            E::ProfileSet(e) => self.customers.set_profile(e)?,
            E::LegalHoldPlaced(_) | E::LegalHoldLifted(_) | E::CustomerErased(_)
                if !outcome.is_privileged =>
            {
                let what = "it is decided without a privilege whether a customer is erased";
                return Err(what.to_owned());
            }
            E::LegalHoldPlaced(e) => self.customers.hold(&e.customer, true)?,
            E::LegalHoldLifted(e) => self.customers.hold(&e.customer, false)?,
            E::CustomerErased(e) => self.customers.erase(e)?,
            E::DayClosed(e) => {
                if !outcome.is_privileged {
                    return Err("a day is closed without a privilege".to_owned());
                }
                self.days.close(e, &self.book, at.place)?;
            }
            E::TransferRefused(e) => {
                self.ends.record(&e.item, None, at)?;
                let source = e.item.as_ref().map(|item| item.source);
                outcome.caused_by(source.unwrap_or_default(), None)?;
            }
            E::TransferSettled(e) => {
                let payer = self.ends.close(e.destination, e.number, true, at)?;
                self.book.under_way(&payer, -1);
                outcome.caused_by(e.destination, None)?;
            }
            E::TransferReturned(e) => {
                let payer = self.ends.close(e.destination, e.number, false, at)?;
                self.book.under_way(&payer, -1);
                let kept = self.ends.item(e.destination, e.number);
                if let Some(item) = kept {
                    self.reversals.came_back(item.epoch, item.place);
                }
                if let (Some(item), None) = (kept, &e.payer) {
                    let put = Suspended {
                        owner: item.payer,
                        other: item.payee,
                        money: item.money,
                        since: at.time,
                        why: e.rejection.clone().unwrap_or_default(),
                    };
                    self.suspense.put(put, at);
                }
                if let Some(after) = &e.payer
                    && stored::account(&after.account)? != payer
                {
                    let (number, to) = (e.number, e.destination);
                    return Err(format!(
                        "item {number} to shard {to} is returned to another account than its payer"
                    ));
                }
                outcome.caused_by(e.destination, None)?;
            }
            E::ItemsForgotten(e) => {
                self.ends.forget(e.source, e.through)?;
                outcome.caused_by(e.source, None)?;
            }
            E::HoldPlaced(_)
            | E::TransactionReversed(_)
            | E::HoldRaised(_)
            | E::HoldCaptured(_)
            | E::HoldReleased(_)
            | E::HoldLate(_)
            | E::HoldExpired(_) => {
                self.holds
                    .follow(&mut self.book, event, at.place, at.time.0)?;
            }
            E::JournalBooked(_)
            | E::JournalOpened(_)
            | E::JournalReserved(_)
            | E::JournalRefused(_)
            | E::JournalAnswered(_)
            | E::JournalPosted(_)
            | E::JournalCancelled(_) => {
                let is_forced = match event {
                    E::JournalBooked(e) => e.forced,
                    E::JournalOpened(e) => e.forced,
                    _ => false,
                };
                if is_forced && !outcome.is_privileged {
                    return Err("a journal is forced without a privilege".to_owned());
                }
                if is_forced && outcome.reverses.is_none() {
                    return Err("a journal is forced that moves nothing back".to_owned());
                }
                let given_back = match event {
                    E::JournalCancelled(e) => {
                        if let Some((epoch, opened)) = self.journals.opened(&e.journal, at.shard) {
                            self.reversals.came_back(epoch, opened);
                        }
                        e.reverses.as_ref()
                    }
                    _ => None,
                };
                let given_back = given_back.map(|part| self.reversals.give_back(part));
                for (shards, index) in
                    self.journals
                        .follow(&mut self.book, event, at, outcome.causes)?
                {
                    outcome.caused_by_one(&shards, index)?;
                }
                given_back.transpose()?;
            }
            E::FundsDeposited(_) | E::FundsWithdrawn(_) | E::FundsTransferred(_) => {}
        }
        Ok(())
    }

    /// What is moved back must have come to its end before, as far as it was a journal.
    fn is_decided(&self, original: Option<(u32, u64, Place)>) -> Read<()> {
        let is_open = |(_, epoch, place)| self.journals.is_undecided(epoch, place);
        match original.is_some_and(is_open) {
            true => Err("it reverses a journal that is not decided".to_owned()),
            false => Ok(()),
        }
    }
}

fn is_journal(event: &ledger::event::Event) -> bool {
    use ledger::event::Event as E;
    matches!(event, E::JournalBooked(_) | E::JournalPosted(_))
}

impl Outcome<'_> {
    /// What follows from the log of one of these shards names its place there.
    fn caused_by_one(&self, shards: &BTreeSet<u32>, index: Option<u64>) -> Read<()> {
        let found = shards.iter().map(|shard| self.caused_by(*shard, index));
        let mut last = Ok(());
        for found in found {
            last = found;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// What follows from another shard's log names its place there.
    fn caused_by(&self, shard: u32, index: Option<u64>) -> Read<()> {
        let named = self
            .causes
            .iter()
            .any(|cause| cause.shard == shard && index.is_none_or(|index| cause.index == index));
        named
            .then_some(())
            .ok_or_else(|| format!("it does not name its cause in the log of shard {shard}"))
    }
}

//! Journals: what is set aside for one is posted or given back, all of it, and in every shard alike.

mod asked;
mod between;

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{AccountId, Currency};

use super::book::Book;
use super::chains::Time;
use super::channel::{At, Place};
use super::legs::{self, Holder, Leg, Said};
use super::stored::{self, Read, ledger};

pub(super) use asked::Asked;
pub(super) use between::{clearing_agrees, compare};

/// Coordinator and number.
pub(super) type Id = (u32, u64);

/// What a shard's log says about journals.
#[derive(Default)]
pub(super) struct Journals {
    /// How many were opened here.
    pub(super) last: u64,
    /// Which were asked about last, by shard: here about ours, there about theirs.
    pub(super) heads: BTreeMap<u32, (u64, u64)>,
    /// Those that are not decided here, as a book stores them.
    pub(super) open: BTreeMap<Id, ledger::BookJournal>,
    /// What became of each that others have a part in.
    told: BTreeMap<Id, Told>,
}

/// What one log says about one journal between shards.
#[derive(Debug, Default)]
struct Told {
    /// Where it was opened, or set aside or refused.
    index: u64,
    /// The transaction that opened it, where that is said.
    opened: Option<(ledger::Position, u32)>,
    /// What the coordinator asked of each shard; of another its own legs.
    legs: BTreeMap<u32, Vec<ledger::Leg>>,
    /// Whether debits are set aside whatever the balance.
    forced: bool,
    /// Whose answers the coordinator has acted on, and up to which index of their logs.
    answers: BTreeMap<u32, Option<u64>>,
    /// Why the shard that was asked refused.
    refused: Option<ledger::JournalRefusal>,
    ended: Option<Ended>,
}

/// How a journal ended in one log.
#[derive(Debug, Clone)]
struct Ended {
    posted: bool,
    /// Who refused and why, where it was cancelled.
    by: u32,
    refusal: Option<ledger::JournalRefusal>,
    /// Up to which index of the coordinator's log another shard acts on it.
    heard: Option<u64>,
}

/// What happens to a leg.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Book { forced: bool },
    SetAside { forced: bool },
    Post,
    GiveBack,
}

impl Journals {
    /// Follows an event; nothing where it is about no journal. Answers the shard and the index that
    /// must be among the causes.
    pub(super) fn follow(
        &mut self,
        book: &mut Book,
        event: &ledger::event::Event,
        at: At,
        causes: &[ledger::Position],
    ) -> Read<Vec<(BTreeSet<u32>, Option<u64>)>> {
        use ledger::event::Event as E;
        let here = at.shard;
        let cause = |shard| (BTreeSet::from([shard]), None);
        let heard = |shard: u32| {
            let there = causes.iter().filter(|cause| cause.shard == shard);
            there.map(|cause| cause.index).max()
        };
        match event {
            E::JournalBooked(e) => {
                balanced(e.lines.iter().filter_map(|it| it.leg.as_ref()))?;
                lines(book, &e.lines, Step::Book { forced: e.forced }, at.time)?;
                Ok(Vec::new())
            }
            E::JournalOpened(e) => {
                self.open(book, e, at)?;
                Ok(Vec::new())
            }
            E::JournalReserved(e) => {
                let id = self.hear(&e.journal, here)?;
                let moved = lines(book, &e.lines, Step::SetAside { forced: e.forced }, at.time);
                let told = Told {
                    index: at.place.0,
                    opened: e.opened.map(|opened| (opened, e.ordinal)),
                    legs: BTreeMap::from([(here, legs_of(&e.lines))]),
                    forced: e.forced,
                    ..Told::default()
                };
                self.told.insert(id, told);
                let row = ledger::BookJournal {
                    journal: e.journal,
                    opened: e.opened,
                    ordinal: e.ordinal,
                    date: e.date,
                    legs: legs_of(&e.lines),
                    ..ledger::BookJournal::default()
                };
                self.open.insert(id, row);
                moved?;
                let index = e.opened.map(|it| it.index);
                Ok(vec![(BTreeSet::from([id.0]), index)])
            }
            E::JournalRefused(e) => {
                let id = self.hear(&e.journal, here)?;
                let told = Told {
                    index: at.place.0,
                    opened: e.opened.map(|opened| (opened, e.ordinal)),
                    refused: Some(e.refusal.clone().ok_or("a refusal is missing")?),
                    ..Told::default()
                };
                self.told.insert(id, told);
                let index = e.opened.map(|it| it.index);
                Ok(vec![(BTreeSet::from([id.0]), index)])
            }
            E::JournalAnswered(e) => {
                let id = (here, e.number);
                let row = self.open.get_mut(&id).ok_or_else(|| not_open(id))?;
                let before = row.waiting.len();
                row.waiting.retain(|shard| *shard != e.shard);
                if row.waiting.len() + 1 != before {
                    return Err(format!("journal {} waits for another", e.number));
                }
                self.acted_on(id, e.shard, heard(e.shard));
                Ok(vec![cause(e.shard)])
            }
            E::JournalPosted(e) => {
                let ended = |id: Id| Ended {
                    posted: true,
                    by: 0,
                    refusal: None,
                    heard: heard(id.0),
                };
                let (id, row) = self.end(&e.journal, ended)?;
                let moved = lines(book, &e.lines, Step::Post, at.time);
                let waiting: BTreeSet<u32> = row.waiting.iter().copied().collect();
                for shard in waiting.iter().filter(|_| id.0 == here) {
                    self.acted_on(id, *shard, heard(*shard));
                }
                same_legs(id, &e.lines, &row)?;
                if e.opened.is_some() && (e.opened, e.ordinal) != (row.opened, row.ordinal) {
                    return Err("a journal is posted that another transaction opened".to_owned());
                }
                if id.0 == here && waiting.len() != 1 {
                    return Err("a journal is posted before all have answered".to_owned());
                }
                if clearing(&row, id.0, here) != said(&e.clearing)? {
                    return Err("what is between the books is not what the legs say".to_owned());
                }
                moved?;
                let causes = if id.0 == here { waiting } else { [id.0].into() };
                Ok(vec![(causes, None)])
            }
            E::JournalCancelled(e) => {
                let ended = |id: Id| Ended {
                    posted: false,
                    by: e.by,
                    refusal: e.refusal.clone(),
                    heard: heard(id.0),
                };
                let (id, row) = self.end(&e.journal, ended)?;
                let moved = lines(book, &e.lines, Step::GiveBack, at.time);
                if id.0 == here {
                    self.acted_on(id, e.by, heard(e.by));
                }
                same_legs(id, &e.lines, &row)?;
                if id.0 == here && !row.waiting.contains(&e.by) {
                    return Err("a journal is cancelled by whom it does not wait for".to_owned());
                }
                if row.reverses != e.reverses {
                    return Err("another part is not moved back than was to be".to_owned());
                }
                moved?;
                Ok(vec![cause(if id.0 == here { e.by } else { id.0 })])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A journal is opened here. What is wrong is told once all is taken as it is said to be.
    fn open(&mut self, book: &mut Book, e: &ledger::JournalOpened, at: At) -> Read<()> {
        let (here, number) = (at.shard, e.number);
        let last = std::mem::replace(&mut self.last, number);
        let own = e.lines.iter().filter_map(|it| it.leg.as_ref());
        let comes_to_zero = balanced(own.chain(e.asks.iter().flat_map(|ask| &ask.legs)));
        let moved = lines(book, &e.lines, Step::SetAside { forced: e.forced }, at.time);
        let mut waiting = BTreeSet::new();
        let opened = ledger::Position {
            shard: here,
            epoch: at.epoch,
            index: at.place.0,
        };
        let mut told = Told {
            index: at.place.0,
            opened: Some((opened, at.place.1)),
            forced: e.forced,
            ..Told::default()
        };
        let mut in_order = Ok(());
        for ask in &e.asks {
            let (asked, _) = self.heads.entry(ask.shard).or_default();
            if *asked != ask.previous || ask.shard == here || !waiting.insert(ask.shard) {
                let shard = ask.shard;
                in_order = Err(format!("journal {number} asks shard {shard} out of order"));
            }
            *asked = number;
            told.legs.insert(ask.shard, ask.legs.clone());
        }
        self.told.insert((here, number), told);
        let row = ledger::BookJournal {
            journal: Some(ledger::JournalRef {
                coordinator: here,
                number,
            }),
            opened: Some(opened),
            ordinal: at.place.1,
            date: e.date,
            legs: legs_of(&e.lines),
            asks: e.asks.clone(),
            waiting: e.asks.iter().map(|ask| ask.shard).collect(),
            rate: e.rate.clone(),
            reverses: e.reverses.as_ref().map(|it| ledger::ReversedPart {
                original: it.original,
                original_ordinal: it.original_ordinal,
                amount: it.amount,
            }),
        };
        self.open.insert((here, number), row);
        if last.checked_add(1) != Some(number) || e.asks.is_empty() {
            return Err(format!("journal {number} follows journal {last}"));
        }
        in_order.and(comes_to_zero).and(moved)
    }

    /// Another shard's journal is answered here, once.
    fn hear(&mut self, journal: &Option<ledger::JournalRef>, here: u32) -> Read<Id> {
        let id = id(journal)?;
        let (_, heard) = self.heads.entry(id.0).or_default();
        if id.1 <= *heard || id.0 == here {
            return Err(format!(
                "journal {} of shard {} is answered twice",
                id.1, id.0
            ));
        }
        *heard = id.1;
        Ok(id)
    }

    fn end(
        &mut self,
        journal: &Option<ledger::JournalRef>,
        ended: impl FnOnce(Id) -> Ended,
    ) -> Read<(Id, ledger::BookJournal)> {
        let id = id(journal)?;
        let row = self.open.remove(&id).ok_or_else(|| not_open(id))?;
        if let Some(told) = self.told.get_mut(&id) {
            told.ended = Some(ended(id));
        }
        Ok((id, row))
    }

    /// The coordinator goes on because of an answer in another log.
    fn acted_on(&mut self, id: Id, shard: u32, heard: Option<u64>) {
        if let Some(told) = self.told.get_mut(&id) {
            told.answers.insert(shard, heard);
        }
    }

    /// Whether the journal that a transaction opened here is not decided.
    pub(super) fn is_undecided(&self, epoch: u64, (index, ordinal): Place) -> bool {
        let mut own = self.open.values().filter(|row| !row.asks.is_empty());
        own.any(|row| {
            let opened = row.opened.map(|it| (it.epoch, it.index));
            (opened, row.ordinal) == (Some((epoch, index)), ordinal)
        })
    }

    /// The transaction that opened a journal of this shard, while that is not decided.
    pub(super) fn opened(
        &self,
        journal: &Option<ledger::JournalRef>,
        here: u32,
    ) -> Option<(u64, Place)> {
        let id = id(journal).ok().filter(|id| id.0 == here)?;
        let row = self.open.get(&id)?;
        let opened = row.opened?;
        Some((opened.epoch, (opened.index, row.ordinal)))
    }

    /// How many that were opened here are not decided.
    pub(super) fn undecided(&self) -> u64 {
        let own = self.open.values().filter(|row| !row.asks.is_empty());
        own.count() as u64
    }
}

fn same_legs(id: Id, ends: &[ledger::JournalLine], row: &ledger::BookJournal) -> Read<()> {
    match legs_of(ends) == row.legs {
        true => Ok(()),
        false => Err(format!(
            "journal {} of shard {} ends with other legs than were set aside",
            id.1, id.0
        )),
    }
}

fn not_open((coordinator, number): Id) -> String {
    format!("journal {number} of shard {coordinator} is not open")
}

fn id(journal: &Option<ledger::JournalRef>) -> Read<Id> {
    let journal = journal.as_ref().ok_or("a journal is missing")?;
    Ok((journal.coordinator, journal.number))
}

fn legs_of(lines: &[ledger::JournalLine]) -> Vec<ledger::Leg> {
    lines.iter().filter_map(|line| line.leg.clone()).collect()
}

/// Minor units, positive for a credit.
fn units(leg: &ledger::Leg) -> Read<i64> {
    let amount = stored::amount(leg.amount)?;
    match ledger::Side::try_from(leg.side) {
        Ok(ledger::Side::Debit) => Ok(-amount),
        Ok(ledger::Side::Credit) => Ok(amount),
        _ => Err("a leg is neither debit nor credit".to_owned()),
    }
}

fn balanced<'a>(all: impl Iterator<Item = &'a ledger::Leg>) -> Read<()> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for leg in all {
        *sums.entry(&leg.currency).or_default() += i128::from(units(leg)?);
    }
    match sums.into_iter().find(|(_, sum)| *sum != 0) {
        None => Ok(()),
        Some((currency, sum)) => Err(format!(
            "the legs of a journal in {currency} come to {sum} minor units, not to zero"
        )),
    }
}

type Between = BTreeMap<(u32, String), i128>;

/// What posting a journal books between a shard and others.
fn clearing(row: &ledger::BookJournal, coordinator: u32, here: u32) -> Between {
    let mut sums = Between::new();
    let mut add = |shard, legs: &[ledger::Leg], sign: i128| {
        for leg in legs {
            let units = i128::from(units(leg).unwrap_or_default());
            *sums.entry((shard, leg.currency.clone())).or_default() += sign * units;
        }
    };
    match coordinator == here {
        true => (row.asks.iter()).for_each(|ask| add(ask.shard, &ask.legs, 1)),
        false => add(coordinator, &row.legs, -1),
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn said(clearing: &[ledger::JournalClearing]) -> Read<Between> {
    let mut said = Between::new();
    for it in clearing {
        let key = (it.shard, it.currency.clone());
        if it.units == 0 || said.insert(key, it.units.into()).is_some() {
            return Err("what is between the books is said twice, or is nothing".to_owned());
        }
    }
    Ok(said)
}

/// Of whom a leg is.
fn party(leg: &ledger::Leg) -> Read<Holder> {
    use ledger::party::Party as P;
    let party = leg.party.as_ref().and_then(|it| it.party.as_ref());
    match party.ok_or("the party of a leg is missing")? {
        P::Account(id) => Ok(Holder::Customer(stored::account(&Some(id.clone()))?)),
        P::House(code) => match code.as_str() {
            "cash" | "fees" | "equity" | "fx-position" => Ok(Holder::House(code.clone())),
            _ => Err(format!("a journal has no leg of house account {code}")),
        },
    }
}

/// Follows what happens to customers' legs; those of the house are booked with all others.
fn lines(book: &mut Book, all: &[ledger::JournalLine], step: Step, time: Time) -> Read<()> {
    for line in all {
        let leg = line.leg.as_ref().ok_or("a leg is missing")?;
        let Holder::Customer(id) = party(leg)? else {
            if line.after.is_some() {
                return Err("a house account has a balance after".to_owned());
            }
            continue;
        };
        let (account, after) = legs::said(&line.after)?;
        if account != id {
            return Err(format!("the leg of {id} tells of {account}"));
        }
        customer(book, &id, leg, after, step, time)?;
    }
    Ok(())
}

fn customer(
    book: &mut Book,
    id: &AccountId,
    leg: &ledger::Leg,
    after: Said,
    step: Step,
    time: Time,
) -> Read<()> {
    let (units, currency) = (units(leg)?, stored::currency(&leg.currency)?);
    let aside = match step {
        Step::Book { .. } => 0,
        Step::SetAside { .. } => units.abs(),
        Step::Post | Step::GiveBack => -units.abs(),
    };
    if matches!(step, Step::Book { .. } | Step::SetAside { .. }) {
        let moves = Leg {
            holder: Holder::Customer(*id),
            currency,
            units,
            said: None,
        };
        book.is_not_frozen(&moves, time.0)?;
    }
    let posted = match step {
        Step::Book { .. } | Step::Post => units,
        Step::SetAside { .. } | Step::GiveBack => 0,
    };
    let (reserved, accepted) = if units < 0 { (aside, 0) } else { (0, aside) };
    let is_forced = matches!(
        step,
        Step::Book { forced: true } | Step::SetAside { forced: true }
    );
    let sets_aside = matches!(step, Step::Book { .. } | Step::SetAside { .. });
    let is_taken = units < 0 && sets_aside && !is_forced;
    book.journal(id, currency, (posted, reserved, accepted), after, is_taken)
}

/// The legs that an event books, as others read them.
pub(super) fn booked(
    lines: &[ledger::JournalLine],
    clearing: &[ledger::JournalClearing],
) -> Read<Vec<Leg>> {
    let mut all = Vec::new();
    for line in lines {
        let leg = line.leg.as_ref().ok_or("a leg is missing")?;
        let said = line.after.as_ref().map(|_| legs::said(&line.after));
        all.push(Leg {
            holder: party(leg)?,
            currency: stored::currency(&leg.currency)?,
            units: units(leg)?,
            said: said.transpose()?.map(|(_, said)| said),
        });
    }
    for it in clearing {
        let currency: Currency = stored::currency(&it.currency)?;
        all.push(Leg {
            holder: Holder::House(format!("clearing:{}", it.shard)),
            currency,
            units: it.units,
            said: None,
        });
    }
    Ok(all)
}

//! Journals: debits and credits on any accounts anywhere, all of them or none.
//!
//! Where all legs are of one book, a journal is booked at once, as one event. Otherwise the shard of
//! the first leg's account coordinates it:
//!
//! 1. Its entry opens the journal: it sets its own legs aside and asks every other shard for its own.
//! 2. A shard that is asked sets its legs aside, or refuses, in its own log. What is set aside of a
//!    debit is held; a credit that is accepted keeps its room. Neither expires.
//! 3. The coordinator's log alone decides: once all have set aside, the journal is posted; once one
//!    has refused, it is cancelled.
//! 4. Every shard that has set legs aside posts them, or gives them back, out of that decision.
//!
//! Each step acts on what the other's log says, and is done once however often it is heard. Nothing is
//! booked before the decision. What a book then owes another is in its house account
//! `clearing` with that shard, so every book sums to zero at every position.

mod evolve;
mod legs;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use evolve::{booked, evolve, given_back, posted, set_aside};
pub use legs::{InvalidLegs, InvalidRate, Leg, Legs, MOST_LEGS, Party, PlacedLeg, Rate, Side};

use crate::{
    Currency, Date, HouseCode, Rejection, ShardId, TransactionId, TransactionReversed,
    event::After, reversal::ReversedPart,
};

/// Names a journal between shards: who coordinates it, and which of its journals it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalRef {
    /// The shard whose log decides.
    pub coordinator: ShardId,
    /// Which of the journals that it has opened, from 1.
    pub number: u64,
}

/// A leg that a book has done something with, and what that leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The leg.
    pub leg: Leg,
    /// The account after it; `None` for a house account.
    pub after: Option<After>,
}

/// What a coordinator asks of another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whom.
    pub shard: ShardId,
    /// The journal that the same shard was asked about before; 0 for the first.
    pub previous: u64,
    /// The legs of its book.
    pub legs: Vec<Leg>,
}

/// Why a shard does not set its legs aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The leg's place in the journal, from 1.
    pub leg: u32,
    /// What speaks against it.
    pub rejection: Rejection,
}

/// What goes through the account between two books: `clearing(shard)` + units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearing {
    /// With whom.
    pub shard: ShardId,
    /// In which currency.
    pub currency: Currency,
    /// Minor units, never zero.
    pub units: i64,
}

/// A fact about a journal, in the log of one of its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEvent {
    /// All legs are of this book: they are booked.
    Booked {
        /// The legs.
        lines: Vec<Line>,
        /// The rate of exchange, where the caller gave one.
        rate: Option<Rate>,
        /// Whether debits are done whatever the balance.
        forced: bool,
    },
    /// The coordinator has set its own legs aside and asks others.
    Opened {
        /// The journal's number here.
        number: u64,
        /// From which date it counts.
        date: Date,
        /// The legs of this book.
        lines: Vec<Line>,
        /// Those of others.
        asks: Vec<Ask>,
        /// The rate of exchange, where the caller gave one.
        rate: Option<Rate>,
        /// What it moves back, where it is a reversal: counted from now on.
        reverses: Option<TransactionReversed>,
        /// Whether debits are set aside whatever the balance.
        forced: bool,
    },
    /// A shard that was asked has set its legs aside.
    Reserved {
        /// Which journal.
        journal: JournalRef,
        /// The transaction that opened it: its id.
        opened: TransactionId,
        /// From which date it counts.
        date: Date,
        /// The legs of this book.
        lines: Vec<Line>,
        /// Whether debits were set aside whatever the balance.
        forced: bool,
    },
    /// A shard that was asked sets nothing aside.
    Refused {
        /// Which journal.
        journal: JournalRef,
        /// The transaction that opened it: its id. `None` in entries from before it was recorded.
        opened: Option<TransactionId>,
        /// Why.
        refusal: Refusal,
    },
    /// The coordinator knows that a shard has set its legs aside, and waits for others.
    Answered {
        /// The journal's number here.
        number: u64,
        /// Who.
        shard: ShardId,
    },
    /// It is posted: by its coordinator, which decides that, or by a shard that was asked.
    Posted {
        /// Which journal.
        journal: JournalRef,
        /// The transaction that opened it: its id. A shard that was asked always says it. So does a
        /// coordinator whose opening is applied, and a writer hears answers only then. `None` in
        /// entries from before that, where an answer came sooner: number and coordinator name the
        /// journal all the same, and the book knows what opened it.
        opened: Option<TransactionId>,
        /// From which date it counts.
        date: Date,
        /// The legs of this book.
        lines: Vec<Line>,
        /// What is between this book and others by it.
        clearing: Vec<Clearing>,
    },
    /// It is cancelled, and what was set aside is given back.
    Cancelled {
        /// Which journal.
        journal: JournalRef,
        /// The legs of this book.
        lines: Vec<Line>,
        /// Who refused, and why.
        by: ShardId,
        /// Why.
        refusal: Refusal,
        /// With the coordinator of a reversal: what is not moved back after all.
        reverses: Option<ReversedPart>,
    },
}

/// A journal between shards that is not decided as far as this book knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenJournal {
    /// The transaction that opened it; `None` with its coordinator while that is in flight.
    pub opened: Option<TransactionId>,
    /// From which date it counts.
    pub date: Date,
    /// The legs of this book: set aside.
    pub legs: Vec<Leg>,
    /// What the coordinator has asked of others; empty everywhere else.
    pub asks: Vec<Ask>,
    /// Who has not answered the coordinator.
    pub waiting: BTreeSet<ShardId>,
    /// The rate of exchange, where the caller gave one.
    pub rate: Option<Rate>,
    /// What its coordinator counts as moved back by it.
    pub reverses: Option<ReversedPart>,
}

impl OpenJournal {
    /// Whether this book decides about it.
    pub fn is_own(&self) -> bool {
        !self.asks.is_empty()
    }

    /// How many legs it has here and, with its coordinator, everywhere.
    pub(crate) fn size(&self) -> u64 {
        let asked = self.asks.iter().map(|ask| ask.legs.len());
        (self.legs.len() + asked.sum::<usize>()) as u64
    }

    /// How much room its house accounts may need, by currency, in minor units either way.
    pub(crate) fn room(&self) -> BTreeMap<Currency, i128> {
        let asked = self.asks.iter().flat_map(|ask| &ask.legs);
        room_of(self.legs.iter().chain(asked))
    }

    /// What posting it books between this book and others. A sum that leaves 64 bits was refused
    /// when the journal was set aside; `None` for one that was not.
    pub(crate) fn clearing(&self, coordinator: ShardId) -> Option<Vec<Clearing>> {
        let mut all = Vec::new();
        let mut net = |shard, legs: &[Leg], sign: i128| {
            let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
            for leg in legs {
                *sums.entry(leg.currency).or_default() += sign * i128::from(leg.units());
            }
            for (currency, units) in sums.into_iter().filter(|(_, units)| *units != 0) {
                let units = i64::try_from(units).ok()?;
                all.push(Clearing {
                    shard,
                    currency,
                    units,
                });
            }
            Some(())
        };
        match self.is_own() {
            true => {
                for ask in &self.asks {
                    net(ask.shard, &ask.legs, 1)?;
                }
            }
            false => net(coordinator, &self.legs, -1)?,
        }
        Some(all)
    }
}

/// How much room legs may need in house accounts, by currency.
pub(crate) fn room_of<'a>(legs: impl Iterator<Item = &'a Leg>) -> BTreeMap<Currency, i128> {
    let mut room = BTreeMap::new();
    for leg in legs {
        *room.entry(leg.currency).or_default() += i128::from(leg.amount.minor_units());
    }
    room
}

/// Between this shard and another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalHead {
    /// The last journal of this shard that the other was asked about; 0 before the first.
    pub asked: u64,
    /// The last journal of the other that this shard has answered about; 0 before the first.
    pub heard: u64,
    /// The legs, whosever they are, of the journals that ask the other and are not decided here.
    /// This follows from the open journals.
    pub legs: u64,
}

/// The journals that a shard has opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalCount {
    /// How many so far.
    pub last: u64,
    /// How many of them are not decided.
    pub open: u64,
}

/// May a journal name this house account? Those that the ledger keeps, and suspense, whose items
/// have owners, it may not.
pub const fn is_for_journals(house: &HouseCode) -> bool {
    matches!(
        house,
        HouseCode::Cash | HouseCode::Fees | HouseCode::Equity | HouseCode::FxPosition
    )
}

//! What a transaction moved, as its own events say: what can be moved back.

use std::collections::BTreeSet;

use crate::{
    AccountId, Amount, Currency, Date, Event, JournalEvent, JournalRef, Outcome, ShardId,
    journal::{Ask, InvalidLegs, Leg, Legs, Line, Party, PlacedLeg, Rate},
    state::State,
};

/// What a transaction moved, as its own events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// One payment: it can be moved back in parts.
    Payment(MovedPayment),
    /// The legs of a journal: they are moved back together.
    Journal(MovedJournal),
}

/// A payment, within its book or to another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedPayment {
    /// Who paid.
    pub payer: Party,
    /// Who was paid.
    pub payee: Party,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// From which date it counts.
    pub effective_date: Date,
    /// The item that took it to the payee in another shard: which shard, and the item's number.
    pub elsewhere: Option<(ShardId, u64)>,
}

/// A journal, booked at once or opened between shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedJournal {
    /// Its legs in the book that decides.
    pub legs: Vec<Leg>,
    /// Those in others; empty where it was booked at once.
    pub asks: Vec<Ask>,
    /// Its number there, where it is between shards.
    pub number: Option<u64>,
    /// The rate of exchange, where the caller gave one.
    pub rate: Option<Rate>,
    /// From which date it counts.
    pub effective_date: Date,
}

impl Moved {
    /// What a command's outcome moved, where that can be moved back: `None` for what was refused, for
    /// what moved nothing, for reversals, and for what was cleared out of suspense. What went to
    /// another shard can be moved back once it has arrived, and a journal between shards once it is
    /// posted: that is not asked here.
    pub fn by(outcome: &Outcome) -> Option<Self> {
        let effective_date = outcome.command.as_ref()?.effective_date;
        let events = outcome.result.as_ref().ok()?;
        if events.iter().any(|event| event.reverses().is_some()) {
            return None;
        }
        events.iter().find_map(|event| {
            let mut elsewhere = None;
            let (payer, payee, currency, amount) = match event {
                Event::FundsDeposited {
                    after,
                    house,
                    currency,
                    amount,
                } => (
                    Party::House(house.clone()),
                    Party::Account(after.account),
                    currency,
                    amount,
                ),
                Event::FundsWithdrawn {
                    after,
                    house,
                    currency,
                    amount,
                } => (
                    Party::Account(after.account),
                    Party::House(house.clone()),
                    currency,
                    amount,
                ),
                Event::FundsTransferred {
                    payer,
                    payee,
                    currency,
                    amount,
                } => (
                    Party::Account(payer.account),
                    Party::Account(payee.account),
                    currency,
                    amount,
                ),
                Event::TransferSent { item, .. } => {
                    elsewhere = Some((item.destination, item.number));
                    (
                        Party::Account(item.payer),
                        Party::Account(item.payee),
                        &item.currency,
                        &item.amount,
                    )
                }
                Event::Journal(event) => {
                    return MovedJournal::by(event, effective_date).map(Self::Journal);
                }
                _ => return None,
            };
            Some(Self::Payment(MovedPayment {
                payer,
                payee,
                currency: *currency,
                amount: *amount,
                effective_date,
                elsewhere,
            }))
        })
    }

    /// Whether it moved something on an account: of a journal, on one of the book that decides.
    pub fn concerns(&self, account: &AccountId) -> bool {
        let is_it = |party: &Party| matches!(party, Party::Account(id) if id == account);
        match self {
            Self::Payment(it) => is_it(&it.payer) || is_it(&it.payee),
            Self::Journal(it) => it.legs.iter().any(|leg| is_it(&leg.party)),
        }
    }

    /// From which date it counts.
    pub const fn effective_date(&self) -> Date {
        match self {
            Self::Payment(it) => it.effective_date,
            Self::Journal(it) => it.effective_date,
        }
    }

    /// By which amount it is counted, and in which currency: of a journal, that of its first leg.
    pub fn counted(&self) -> (Currency, Amount) {
        match self {
            Self::Payment(it) => (it.currency, it.amount),
            Self::Journal(it) => {
                let first = it.first();
                (first.currency, first.amount)
            }
        }
    }

    /// Whether nothing of it is under way to another shard or undecided, as its own book knows.
    pub fn has_arrived<S: State>(&self, state: &S) -> bool {
        match self {
            Self::Payment(it) => {
                let item = it.elsewhere;
                item.is_none_or(|(shard, number)| state.sent(shard, number).is_none())
            }
            Self::Journal(it) => it.number.is_none_or(|number| {
                let coordinator = state.shard();
                let id = JournalRef {
                    coordinator,
                    number,
                };
                state.journal_legs(&id).is_none()
            }),
        }
    }

    /// What of it is not reversed, minor units, where so much is.
    pub fn rest(&self, reversed: i64) -> i64 {
        let (_, amount) = self.counted();
        amount.minor_units().saturating_sub(reversed)
    }

    /// The other shards that it moved something in.
    pub fn others(&self) -> BTreeSet<ShardId> {
        match self {
            Self::Payment(it) => it.elsewhere.iter().map(|(shard, _)| *shard).collect(),
            Self::Journal(it) => it.asks.iter().map(|ask| ask.shard).collect(),
        }
    }

    /// How many legs the journal has that moves it back; `None` where a payment does.
    pub fn legs_back(&self) -> Option<usize> {
        match self {
            Self::Payment(it) => it.elsewhere.map(|_| 2),
            Self::Journal(it) => Some(it.all().count()),
        }
    }
}

impl MovedJournal {
    /// What was booked at once or opened; `None` for what another event says, and for a journal of no
    /// legs, which is none.
    fn by(event: &JournalEvent, effective_date: Date) -> Option<Self> {
        let (lines, asks, number, rate) = match event {
            JournalEvent::Booked { lines, rate, .. } => (lines, &[][..], None, rate),
            JournalEvent::Opened {
                number,
                lines,
                asks,
                rate,
                ..
            } => (lines, &asks[..], Some(*number), rate),
            _ => return None,
        };
        let moved = Self {
            legs: lines.iter().map(|Line { leg, .. }| leg.clone()).collect(),
            asks: asks.to_vec(),
            number,
            rate: rate.clone(),
            effective_date,
        };
        moved.all().next()?;
        Some(moved)
    }

    /// All its legs, those of others after those of its own book.
    fn all(&self) -> impl Iterator<Item = &Leg> {
        self.legs
            .iter()
            .chain(self.asks.iter().flat_map(|ask| &ask.legs))
    }

    fn first(&self) -> &Leg {
        let all = self.all().min_by_key(|leg| leg.place);
        all.expect("a journal has legs")
    }

    /// The opposite journal: each leg on its other side, in the same place. `here` is the book that
    /// decides.
    ///
    /// # Errors
    ///
    /// Where these legs made no journal.
    pub fn opposite(&self, here: ShardId) -> Result<Legs, InvalidLegs> {
        let own = self.legs.iter().map(|leg| (here, leg));
        let asked = self.asks.iter();
        let asked = asked.flat_map(|ask| ask.legs.iter().map(|leg| (ask.shard, leg)));
        let mut all: Vec<(ShardId, &Leg)> = own.chain(asked).collect();
        all.sort_by_key(|(_, leg)| leg.place);
        let back = all.into_iter().map(|(shard, leg)| PlacedLeg {
            shard,
            party: leg.party.clone(),
            side: leg.side.other(),
            currency: leg.currency,
            amount: leg.amount,
        });
        Legs::new(back.collect())
    }

    /// What the opposite adds to an account of the book that decides, minor units; `None` beyond 64
    /// bits.
    pub(crate) fn effect_of_reversal(&self, account: &AccountId) -> Option<i64> {
        let is_its = |leg: &&Leg| matches!(&leg.party, Party::Account(id) if id == account);
        let legs = self.legs.iter().filter(is_its);
        let sum: i128 = legs.map(|leg| -i128::from(leg.units())).sum();
        i64::try_from(sum).ok()
    }
}

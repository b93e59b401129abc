//! Decides about journals: as their coordinator, and as a shard that is asked.

use std::collections::BTreeSet;

use super::{Circumstances, Scribe, both, has_room, holds::room_to_hold, room};
use crate::{
    Account, Code, Date, Event, HouseCode, Outcome, Rejection, ShardId, TransactionId,
    command::CommandInfo,
    freeze::Blocks,
    journal::{
        self, Ask, Clearing, InvalidLegs, JournalEvent, JournalRef, Leg, Legs, MOST_LEGS,
        OpenJournal, Party, Rate, Refusal, Side, is_for_journals, room_of,
    },
    planted::{Bug, planted},
    reversal::TransactionReversed,
    state::State,
};

/// A journal to be booked or opened, of legs that may be named, from a date that may be used.
pub(super) struct Opening<'a> {
    pub(super) legs: &'a Legs,
    pub(super) rate: Option<&'a Rate>,
    pub(super) date: Date,
    /// What it moves back.
    pub(super) reverses: Option<TransactionReversed>,
    /// Whether its debits are done whatever the balance.
    pub(super) forced: bool,
}

/// What another shard's journal asks of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which journal.
    pub journal: JournalRef,
    /// The journal of the same coordinator that this shard was asked about before; 0 for the first.
    pub previous: u64,
    /// The transaction that opened it.
    pub opened: TransactionId,
    /// From which date it counts.
    pub date: Date,
    /// The legs of this shard.
    pub legs: Vec<Leg>,
    /// Whether its debits are set aside whatever the balance.
    pub forced: bool,
}

impl Asked {
    /// Refuses what no coordinator asks for.
    ///
    /// # Errors
    ///
    /// When there are no legs or too many, or they name an account twice on one side.
    pub fn check(&self) -> Result<(), InvalidLegs> {
        if !(1..MOST_LEGS).contains(&self.legs.len()) {
            return Err(InvalidLegs::Count(self.legs.len()));
        }
        let mut seen = BTreeSet::new();
        for (place, leg) in (1..).zip(&self.legs) {
            let house = matches!(leg.party, Party::House(_));
            if !seen.insert((&leg.party, leg.side, house.then_some(leg.currency))) {
                return Err(InvalidLegs::Twice(place));
            }
        }
        Ok(())
    }
}

/// Sets the legs of another shard's journal aside, or refuses. `None` where it is not exactly the
/// next that this shard is asked about: it is answered already, or an earlier one is not; and where
/// no coordinator asks for such legs.
pub fn reserve<S: State>(state: &mut S, at: &Circumstances, asked: &Asked) -> Option<Outcome> {
    let journal = asked.journal;
    let head = state.journal_head(journal.coordinator);
    let is_next = asked.previous == head.heard && journal.number > head.heard;
    if !is_next || asked.check().is_err() {
        return None;
    }
    let date = date_here(state, asked);
    let mut scribe = Scribe::new(state, at.time);
    let open = OpenJournal {
        opened: Some(asked.opened),
        date,
        legs: asked.legs.clone(),
        asks: Vec::new(),
        waiting: Default::default(),
        rate: None,
        reverses: None,
    };
    let checked = scribe.legs_check(&open, journal.coordinator, asked.forced);
    let lines = checked.and_then(|()| {
        // What the checks let through and the accounts still cannot take has no room there.
        let lines = journal::set_aside(scribe.state, &asked.legs);
        lines.map_err(|_| Refusal {
            leg: asked.legs[0].place,
            rejection: no_room(()),
        })
    });
    let event = match lines {
        Ok(lines) => JournalEvent::Reserved {
            journal,
            opened: asked.opened,
            date,
            lines,
            forced: asked.forced,
        },
        Err(refusal) => JournalEvent::Refused {
            journal,
            opened: Some(asked.opened),
            refusal,
        },
    };
    scribe.happened(Event::Journal(event));
    Some(scribe.outcome())
}

/// From which date a journal counts here: its own, but not one of the two days before an account of
/// its legs was opened. Where it is tomorrow already, an account opened today can take part.
fn date_here<S: State>(state: &S, asked: &Asked) -> Date {
    let opened = asked.legs.iter().filter_map(|leg| match leg.party {
        Party::Account(id) => Some(state.account(&id)?.opened_on),
        Party::House(_) => None,
    });
    let ahead = opened.filter(|on| (1..=2).contains(&(on.days() - asked.date.days())));
    ahead.max().unwrap_or(asked.date)
}

/// A shard has answered a journal of this one: `refused` says why it cannot. With the last answer,
/// or the first refusal, the journal is decided. `None` where this is known already.
pub fn hear<S: State>(
    state: &mut S,
    at: &Circumstances,
    number: u64,
    shard: ShardId,
    refused: Option<Refusal>,
) -> Option<Outcome> {
    let id = JournalRef {
        coordinator: at.shard,
        number,
    };
    if !state.journal_waits(&id, shard) {
        return None;
    }
    let journal = state.journal(&id)?;
    let mut scribe = Scribe::new(state, at.time);
    match refused {
        Some(refusal) => scribe.cancel(id, &journal, shard, refusal),
        None if journal.waiting.len() == 1 => scribe.post(id, &journal),
        None => scribe.happened(Event::Journal(JournalEvent::Answered { number, shard })),
    }
    Some(scribe.outcome())
}

/// A coordinator has decided a journal that has legs of this shard: `cancelled` says by whom and
/// why. `None` where nothing is set aside for it.
pub fn conclude<S: State>(
    state: &mut S,
    at: &Circumstances,
    id: JournalRef,
    cancelled: Option<(ShardId, Refusal)>,
) -> Option<Outcome> {
    let journal = state.journal(&id).filter(|it| !it.is_own())?;
    let mut scribe = Scribe::new(state, at.time);
    match cancelled {
        Some((by, refusal)) if !planted(Bug::CancelledJournalPosted) => {
            scribe.cancel(id, &journal, by, refusal);
        }
        _ => scribe.post(id, &journal),
    }
    Some(scribe.outcome())
}

impl<S: State> Scribe<'_, S> {
    fn outcome(self) -> Outcome {
        Outcome {
            command: None,
            result: Ok(self.events),
        }
    }

    /// Decides about a journal of a caller's.
    pub(super) fn journal(
        &mut self,
        at: &Circumstances,
        info: &CommandInfo,
        legs: &Legs,
        rate: Option<&Rate>,
        date: Date,
    ) -> Result<(), Rejection> {
        for (_, leg) in legs.all() {
            if let Party::House(code) = &leg.party
                && !is_for_journals(code)
            {
                return Err(Code::HouseAccountReserved.into());
            }
        }
        self.date_check(at, info, date)?;
        let opening = Opening {
            legs,
            rate,
            date,
            reverses: None,
            forced: false,
        };
        self.open_journal(at, &opening)
    }

    /// Books a journal whose legs are all here, or opens one between shards.
    pub(super) fn open_journal(
        &mut self,
        at: &Circumstances,
        opening: &Opening<'_>,
    ) -> Result<(), Rejection> {
        let &Opening {
            legs,
            rate,
            date,
            reverses,
            forced,
        } = opening;
        let mut by_shard = legs.by_shard();
        let own = by_shard.remove(&at.shard).unwrap_or_default();
        let asks = by_shard.into_iter().map(|(shard, legs)| Ask {
            shard,
            previous: self.state.journal_head(shard).asked,
            legs,
        });
        let journal = OpenJournal {
            opened: None,
            date,
            legs: own,
            asks: asks.collect(),
            waiting: Default::default(),
            rate: rate.cloned(),
            reverses: None,
        };
        let checked = self.legs_check(&journal, at.shard, forced);
        let checked = checked.map_err(|refusal| refusal.rejection);
        let legs = (journal.asks.iter()).map(|ask| self.state.journal_head(ask.shard).legs);
        let most = legs.max().unwrap_or_default();
        both(
            checked,
            has_room(Code::JournalsFull, most, at.channel_bound),
        )?;
        let number = self.state.journal_count().last + 1;
        let event = match journal.is_own() {
            false => {
                let lines = journal::booked(self.state, &journal.legs).map_err(no_room)?;
                if let Some(reversed) = reverses {
                    self.happened(Event::Reversed(reversed));
                }
                self.open_houses(&journal.legs, &[]);
                JournalEvent::Booked {
                    lines,
                    rate: journal.rate,
                    forced,
                }
            }
            true => JournalEvent::Opened {
                number,
                date,
                lines: journal::set_aside(self.state, &journal.legs).map_err(no_room)?,
                asks: journal.asks,
                rate: journal.rate,
                reverses,
                forced,
            },
        };
        self.happened(Event::Journal(event));
        Ok(())
    }

    /// Refuses legs of this book that cannot be booked, or not be set aside; the reason that comes
    /// first, and its leg.
    fn legs_check(
        &self,
        journal: &OpenJournal,
        coordinator: ShardId,
        forced: bool,
    ) -> Result<(), Refusal> {
        let mut told: Option<Refusal> = None;
        let mut tell = |leg: u32, checked: Result<(), Rejection>| {
            let Err(rejection) = checked else { return };
            let first = told.as_ref().map(|it| it.rejection.clone());
            let first = first.map_or(rejection.clone(), |it| it.first(rejection.clone()));
            if told.as_ref().is_none_or(|it| it.rejection != first) {
                told = Some(Refusal {
                    leg,
                    rejection: first,
                });
            }
        };
        for leg in &journal.legs {
            tell(leg.place, self.leg_check(leg, journal.date, forced));
        }
        let room_of = match journal.is_own() {
            true => journal.room(),
            false => room_of(journal.legs.iter()),
        };
        let fits = |code: &HouseCode, currency| {
            let balance = self.state.house(code, currency).unwrap_or(0);
            let most = self.state.journal_room(currency)
                + room_of.get(&currency).copied().unwrap_or_default();
            room(balance, most).and(room(balance, -most))
        };
        for leg in &journal.legs {
            if let Party::House(code) = &leg.party {
                tell(leg.place, fits(code, leg.currency));
            }
        }
        let between = journal.is_own() || coordinator != self.state.shard();
        let first = (journal.legs.first())
            .or_else(|| journal.asks.first()?.legs.first())
            .map_or(0, |leg| leg.place);
        if between {
            match journal.clearing(coordinator) {
                None => tell(first, Err(Rejection::new(Code::BalanceOverflow, [0]))),
                Some(clearing) => clearing.iter().for_each(|it| {
                    tell(first, fits(&HouseCode::Clearing(it.shard), it.currency));
                }),
            }
        }
        told.map_or(Ok(()), Err)
    }

    fn leg_check(&self, leg: &Leg, date: Date, forced: bool) -> Result<(), Rejection> {
        let (currency, amount) = (leg.currency, leg.amount);
        match (&leg.party, leg.side) {
            (Party::House(code), _) if is_for_journals(code) => Ok(()),
            (Party::House(_), _) => Err(Code::HouseAccountReserved.into()),
            (Party::Account(id), Side::Credit) => {
                let account = self.credit_check(id, currency, amount, date)?;
                room(account.accepted, amount.minor_units().into())
            }
            (Party::Account(id), Side::Debit) => {
                let account = self.movable(id, currency, date, Blocks::Debits)?;
                room_to_hold(&account, amount)?;
                self.debit_check(id, currency, amount, date, forced)
                    .map(drop)
            }
        }
    }

    /// Posts what was set aside. This can never be refused: its room was kept.
    fn post(&mut self, id: JournalRef, journal: &OpenJournal) {
        let clearing = journal.clearing(id.coordinator).expect("checked before");
        self.open_houses(&journal.legs, &clearing);
        let lines = journal::posted(self.state, &journal.legs).expect("its room was kept");
        self.happened(Event::Journal(JournalEvent::Posted {
            journal: id,
            opened: journal.opened,
            date: journal.date,
            lines,
            clearing,
        }));
    }

    /// Gives back what was set aside.
    fn cancel(&mut self, id: JournalRef, journal: &OpenJournal, by: ShardId, refusal: Refusal) {
        let lines = journal::given_back(self.state, &journal.legs).expect("it was set aside");
        self.happened(Event::Journal(JournalEvent::Cancelled {
            journal: id,
            lines,
            by,
            refusal,
            reverses: journal.reverses,
        }));
    }

    fn open_houses(&mut self, legs: &[Leg], clearing: &[Clearing]) {
        for leg in legs {
            if let Party::House(code) = &leg.party {
                self.open_house(code.clone(), leg.currency);
            }
        }
        for it in clearing {
            self.open_house(HouseCode::Clearing(it.shard), it.currency);
        }
    }
}

/// What the checks let through and the accounts still cannot take has no room there.
fn no_room<T>(_: T) -> Rejection {
    Rejection::new(Code::BalanceOverflow, [0])
}

/// Refuses what would take an account's end, or its credits, from a journal that is not decided.
pub(super) fn no_journals(account: &Account) -> Result<(), Rejection> {
    match (account.reserved, account.accepted) {
        (0, 0) => Ok(()),
        (reserved, accepted) => Err(Rejection::new(Code::JournalsOpen, [reserved, accepted])),
    }
}

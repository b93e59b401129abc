//! What accounts were, besides what their lines tell: what was held, on its way, set aside, how far
//! below zero they could go, what they were restricted by, and whether they were closed.
//!
//! A state is kept of each entry that changed any of that: a deposit, a withdrawal or a transfer within
//! the shard adds none. States are numbered, and packed in chunks that begin with a snapshot. A chunk,
//! the next one and the account's row together tell whether any between them is gone: then nothing is
//! guessed, and what is missing is folded again from the log ([`crate::past`]).

mod chunk;
mod refold;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use ledger_domain::{
    Account, AccountId, Date, Freezes, HybridTime, Limit, Position, SpendingLimits, account::Status,
};

pub(super) use chunk::Chunk;
pub(crate) use refold::Refold;
pub(super) use refold::rows;

use super::disk::{Merged, foreign_key, read};
use super::rows::Restated;
use super::{Error, Place, keys};

/// How many states a chunk has at most. The more, the less room they take, and the longer is what is
/// replayed after a snapshot.
pub(super) const SNAPSHOT_EVERY: usize = 64;

/// What an account is restricted by besides its overdraft.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// Its freezes, also those that are over.
    pub freezes: Freezes,
    /// How much may leave it, by channel.
    pub spending: SpendingLimits,
}

impl Restrictions {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.freezes.is_empty() && self.spending.is_empty()
    }
}

/// What an account was from an entry on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Its number among those of its account, from 1.
    pub(crate) number: u64,
    /// The entry.
    pub(crate) position: Position,
    /// The entry's time.
    pub(crate) time: HybridTime,
    /// The business date on which that was booked; not before that of the account's state before it.
    pub(crate) booked_on: Date,
    /// Out of a row nothing is posted in it.
    pub(crate) account: Account,
    pub(crate) restrictions: Restrictions,
}

impl State {
    /// Comes after others of its account.
    pub(super) fn follow(&mut self, before: Option<Restated>) {
        if let Some(before) = before {
            self.number = before.number.saturating_add(1);
            self.booked_on = self.booked_on.max(before.booked_on);
        }
    }

    pub(super) fn restated(&self) -> Restated {
        Restated {
            number: self.number,
            booked_on: self.booked_on,
        }
    }
}

/// What the rows say of an account at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is as it was opened, but for its lines.
    Opened,
    /// The state that it was in.
    State(State),
    /// Rows are missing.
    Missing {
        /// A state before, in which nothing was on its way to other shards; `None` for the opening.
        from: Option<State>,
        /// The number of the first that is missing.
        first: u64,
        /// The index of the first that is there again; `None` where none is.
        until: Option<u64>,
    },
}

impl Kept {
    /// As if no rows were there.
    pub(super) const NONE: Self = Self::Missing {
        from: None,
        first: 1,
        until: None,
    };
}

/// States of a chunk up to a moment.
#[derive(Default)]
struct Found {
    states: Vec<State>,
    /// Whether later ones follow in the chunk.
    is_cut: bool,
}

/// The states of an account as they were when they were asked for.
pub(super) struct AccountStates<'a> {
    pub(super) account: AccountId,
    /// The account as it was then.
    pub(super) now: Account,
    /// How many there were.
    pub(super) newest: u64,
    /// The index up to which they went.
    pub(super) through: u64,
    pub(super) rows: Merged<'a>,
}

impl AccountStates<'_> {
    /// The last state of which `is_later` is not true. Once true it must be true of all later states.
    pub(super) fn last(&self, is_later: impl Fn(&State) -> bool) -> Result<Kept, Error> {
        if self.newest == 0 {
            return Ok(Kept::Opened);
        }
        let is_later = |state: &State| state.number > self.newest || is_later(state);
        let found = self.search(&is_later)?;
        let last = found.states.last();
        if let (true, Some(state)) = (found.is_cut, last) {
            // The one after it is later: it is in the same chunk.
            return Ok(Kept::State(state.clone()));
        }
        let known = last.map_or(0, |state| state.number);
        if known == self.newest {
            return Ok(last.map_or(Kept::Opened, |state| Kept::State(state.clone())));
        }
        let after = last.map_or(0, |state| state.position.index.saturating_add(1));
        let next = self.first_from(after)?;
        match (last, next) {
            (Some(state), Some((_, number))) if number == known + 1 => {
                Ok(Kept::State(state.clone()))
            }
            (None, Some((_, 1))) => Ok(Kept::Opened),
            (_, next) => Ok(Kept::Missing {
                from: self.at_rest(last)?,
                first: known + 1,
                until: next.map(|(index, _)| index),
            }),
        }
    }

    /// The states of the last chunk that can be read and begins with one that is not later, without
    /// those that are.
    fn search(&self, is_later: &impl Fn(&State) -> bool) -> Result<Found, Error> {
        let (mut low, mut high) = (0, self.through.saturating_add(1));
        let mut found = Found::default();
        while low < high {
            let middle = low + (high - low) / 2;
            let Some((first, mut states)) = self.readable(middle)? else {
                low = middle + 1;
                continue;
            };
            let all = states.len();
            states.truncate(states.partition_point(|state| !is_later(state)));
            let Some(last) = states.last() else {
                high = first;
                continue;
            };
            low = middle.max(last.position.index) + 1;
            let is_cut = states.len() < all;
            found = Found { states, is_cut };
            if is_cut {
                break;
            }
        }
        Ok(found)
    }

    /// The last chunk that can be read of those that begin at an index or before.
    fn readable(&self, index: u64) -> Result<Option<(u64, Vec<State>)>, Error> {
        let mut found = None;
        self.each_back(index, |first, states| {
            found = Some((first, states));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// A state up to one in which nothing was on its way to other shards.
    fn at_rest(&self, last: Option<&State>) -> Result<Option<State>, Error> {
        let Some(last) = last else {
            return Ok(None);
        };
        let mut found = None;
        self.each_back(last.position.index, |_, states| {
            let mut states = states.into_iter().rev();
            found = states.find(|it| it.number <= last.number && it.account.under_way == 0);
            match found {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(()),
            }
        })?;
        Ok(found)
    }

    /// Visits the chunks that can be read with where they begin, the last first, from that at an index
    /// on.
    fn each_back(
        &self,
        index: u64,
        mut visit: impl FnMut(u64, Vec<State>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let end = index.saturating_add(1);
        let range = keys::state(&self.account, 0)..keys::state(&self.account, end);
        self.rows.scan_back(range, |key, value| {
            let first = keys::version_of(key).ok_or_else(foreign_key)?;
            Ok(match self.open(first, value) {
                Ok(states) => visit(first, states),
                Err(error) => {
                    tracing::error!(%error, "a state is damaged, and replayed from the log");
                    ControlFlow::Continue(())
                }
            })
        })
    }

    /// The index and the number of the first state that can be read of a chunk that begins at an index or
    /// later.
    fn first_from(&self, index: u64) -> Result<Option<(u64, u64)>, Error> {
        let range = keys::state(&self.account, index)..keys::state(&self.account, u64::MAX);
        let mut found = None;
        self.rows.scan(range, |key, value| {
            let first = keys::version_of(key).ok_or_else(foreign_key)?;
            let Ok(states) = self.open(first, value) else {
                return Ok(ControlFlow::Continue(()));
            };
            found = states.first().map(|state| (first, state.number));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    fn open(&self, index: u64, stored: &bytes::Bytes) -> Result<Vec<State>, Error> {
        let account = self.account;
        let place = Place::State { account, index };
        let states = read(place, chunk::open(&self.now, stored))?;
        let begins = states.first().map(|state| state.position.index);
        match begins == Some(index) {
            true => Ok(states),
            false => Err(Error::Damaged {
                place,
                cause: super::Malformed::Field("index"),
            }),
        }
    }
}

/// What an account was when it was opened.
pub(super) fn opened(now: &Account, limit: Limit) -> Account {
    Account {
        limit,
        status: Status::Open,
        posted: 0,
        held: 0,
        version: 1,
        under_way: 0,
        outgoing: 0,
        reserved: 0,
        accepted: 0,
        ..*now
    }
}

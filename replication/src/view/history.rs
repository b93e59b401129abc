use bytes::Bytes;
use ledger_domain::{Account, AccountId, Date, HybridTime, Position, ShardId};
use tokio::time::Instant;

use super::lines::AccountLines;
use super::states::{self, AccountStates, Kept, State};
use super::{BalanceRow, Error, Line, Opening, ReadError, Views};
use crate::world::{Durability, batch};

/// A point in the history of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After everything that was booked up to and with a time.
    Time(HybridTime),
    /// After everything up to and with a place in its log.
    Place(Position),
}

impl Moment {
    /// Whether something at an index and a time came after it.
    pub(crate) fn is_before(self, time: HybridTime, index: u64) -> bool {
        match self {
            Self::Time(last) => time > last,
            Self::Place(last) => index > last.index,
        }
    }
}

/// The last that rows tell of an account up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booked {
    pub(crate) posted: i64,
    pub(crate) version: u64,
    pub(crate) position: Position,
    pub(crate) time: HybridTime,
}

/// What the rows here tell of an account at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Recalled {
    /// By its lines; the opening where there are none.
    pub(crate) booked: Booked,
    pub(crate) opening: Opening,
    pub(crate) kept: Kept,
    /// The account as it is now, and what that is true for.
    pub(crate) now: BalanceRow,
}

impl Recalled {
    /// The account as it was opened.
    pub(crate) fn opened(&self) -> Account {
        let now = &self.now.account;
        states::opened(now, self.opening.limit.unwrap_or(now.limit))
    }
}

impl Views {
    /// What is known of an account of a shard at a moment, once the view here knows all there is to know
    /// of that moment; waits for it until the deadline. `None` where the account was not opened by
    /// then.
    pub(crate) async fn recall(
        &self,
        shard: ShardId,
        account: &AccountId,
        moment: Moment,
        deadline: Instant,
    ) -> Result<Option<Recalled>, ReadError> {
        match moment {
            Moment::Time(time) => self.wait_for_time(shard, time, deadline).await?,
            Moment::Place(position) => self.wait_for(position, deadline).await?,
        };
        let Some(Both { now, lines, states }) = self.both(account)? else {
            return Ok(None);
        };
        let opening = self.opening_of(shard, account)?;
        if moment.is_before(opening.time, opening.transaction.position.index) {
            return Ok(None);
        }
        // Times and places rise with versions.
        let later = lines
            .first(|line| moment.is_before(line.booked, line.transaction.position.index))
            .and_then(|later| lines.before(later));
        let line = later.map_err(|error| self.stop(shard, &error))?;
        let booked = Booked::by(line.as_ref(), &opening);
        let is_later = |state: &State| moment.is_before(state.time, state.position.index);
        let kept = self.kept(&opening, &lines, &states, is_later);
        let kept = kept.map_err(|error| self.stop(shard, &error))?;
        Ok(Some(Recalled {
            booked,
            opening,
            kept,
            now,
        }))
    }

    /// What is known of an account at the close of a business date, and the sum of all that counts from
    /// that date or an earlier one, minor units. `None` where no shard viewed here has opened it yet.
    pub(crate) fn recall_day(
        &self,
        account: &AccountId,
        date: Date,
    ) -> Result<Option<(Recalled, i128)>, ReadError> {
        let Some(Both { now, lines, states }) = self.both(account)? else {
            return Ok(None);
        };
        let shard = now.shard;
        let opening = self.opening_of(shard, account)?;
        let found = || {
            let posted = lines.sum_until(date, now.account.version)?;
            let line = lines.first(|line| line.booked_on > date)?;
            let line = lines.before(line)?;
            let is_later = |state: &State| state.booked_on > date;
            let kept = self.kept(&opening, &lines, &states, is_later)?;
            Ok((posted, line, kept))
        };
        let (posted, line, kept) = found().map_err(|error: Error| self.stop(shard, &error))?;
        let booked = Booked::by(line.as_ref(), &opening);
        let recalled = Recalled {
            booked,
            opening,
            kept,
            now,
        };
        Ok(Some((recalled, posted)))
    }

    /// Puts states that were missing where they belong.
    pub(crate) fn mend(&self, account: &AccountId, states: &[State]) -> Result<(), Error> {
        let rows = states::rows(account, states).into_iter();
        let rows = rows.map(|(key, row): (Vec<u8>, Bytes)| (key, Some(row)));
        let engine = &self.disk().engine;
        Ok(engine.write(batch(rows.collect()), Durability::Later)?)
    }

    fn kept(
        &self,
        opening: &Opening,
        lines: &AccountLines<'_>,
        states: &AccountStates<'_>,
        is_later: impl Fn(&State) -> bool,
    ) -> Result<Kept, Error> {
        if !self.has_states() || opening.limit.is_none() {
            return Ok(Kept::NONE);
        }
        let mut kept = states.last(is_later)?;
        if let Kept::Missing {
            from: Some(state), ..
        } = &mut kept
        {
            let line = lines.before(state.account.version.saturating_add(1))?;
            state.account.posted = line.map_or(0, |line| line.posted);
        }
        Ok(kept)
    }

    fn opening_of(&self, shard: ShardId, account: &AccountId) -> Result<Opening, ReadError> {
        self.opening(account)?.ok_or_else(|| {
            let (index, what) = (0, format!("{account} has a row and no opening"));
            self.stop(shard, &Error::Inconsistent { shard, index, what })
        })
    }

    /// An account with its lines and its states, all of one state of the view.
    fn both(&self, account: &AccountId) -> Result<Option<Both<'_>>, ReadError> {
        let cache = self.cache();
        let Some(now) = cache.balance(account)? else {
            return Ok(None);
        };
        let newest = cache.restated(account);
        let states = cache.gathered(now.shard, |tail, rows| tail.states_of(account, rows));
        let lines = self.lines_beside(&cache, account, &now);
        drop(cache);
        let states = AccountStates {
            account: *account,
            now: now.account,
            newest,
            through: now.watermark.position.index,
            rows: self.disk().with(states),
        };
        Ok(Some(Both { now, lines, states }))
    }
}

struct Both<'a> {
    now: BalanceRow,
    lines: AccountLines<'a>,
    states: AccountStates<'a>,
}

impl Booked {
    fn by(line: Option<&Line>, opening: &Opening) -> Self {
        match line {
            Some(line) => Self {
                posted: line.posted,
                version: line.version,
                position: line.transaction.position,
                time: line.booked,
            },
            None => Self {
                posted: 0,
                // The first event of an account is its opening.
                version: 1,
                position: opening.transaction.position,
                time: opening.time,
            },
        }
    }
}

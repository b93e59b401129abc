//! What accounts were: whole, at any time, place or date, back to their openings.
//!
//! The views keep what is needed ([`crate::view`]): an answer is a search among an account's lines and
//! among its states, and costs a snapshot and a short replay. But nothing of that is needed for the
//! answer to be right. Where states are not there, because an older program wrote the views, because they
//! are damaged, or gone, the same fold goes through the log once more, from the last state before, or
//! from the opening on. What it arrives at is the same, and stored in the place of what was missing.

#[cfg(test)]
mod tests;

use ledger_domain::{
    Account, AccountId, Date, Entry, Freeze, Freezes, HybridTime, Position, ShardId, SpendingLimits,
};
use tokio::time::Instant;

use crate::events::{Error, Lane};
use crate::log::LogHub;
use crate::view::{BalanceRow, Kept, Moment, Recalled, Refold, State, Views};

/// How many replayed states are kept in memory before they are stored.
const STORED_BY: usize = 4_096;

/// How much of an account is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// What is posted, and the rest where it is at hand: rows of before states were kept answer by their
    /// lines alone.
    Posted,
    /// All, even if the log has to be replayed for it.
    Whole,
}

/// What an account was at a [`Moment`]. It never changes, and is the same wherever it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Whether all of it is known; otherwise only what is posted, the version, the place and the time.
    pub is_whole: bool,
    /// The account.
    pub account: Account,
    /// The freezes that were in force, by type.
    pub freezes: Vec<Freeze>,
    /// How much could leave it, by channel.
    pub spending: SpendingLimits,
    /// Where the last entry that changed it stands, or its opening.
    pub position: Position,
    /// When that was.
    pub time: HybridTime,
}

/// What an account was at the close of a date, as far as it is known at a place in its shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDay {
    /// The sum of everything that counts from the date or before, minor units. It may leave 64 bits,
    /// as no present balance ever does.
    pub posted: i128,
    /// Whether the rest is known; otherwise only what is posted. Nothing else is of a date before that on
    /// which the account was opened.
    pub is_whole: bool,
    /// The rest of the account, after everything that was booked on the date or before. Nothing is
    /// posted in it.
    pub account: Account,
    /// Its freezes, also those that were over.
    pub freezes: Freezes,
    /// How much could leave it, by channel.
    pub spending: SpendingLimits,
    /// The account as it is now, and what all of this is true for.
    pub now: BalanceRow,
}

/// Where it is looked up.
pub struct History<'a> {
    /// The logs.
    pub hub: &'a LogHub,
    /// The read models.
    pub views: &'a Views,
    /// The reign in which the shard was founded.
    pub epoch: u64,
}

impl History<'_> {
    /// What an account of a shard was at a moment, once the view here knows all there is to know of
    /// that moment; waits for it until the deadline. `None` where the account was not opened by then.
    ///
    /// # Errors
    ///
    /// Where it cannot be told here.
    pub async fn at(
        &self,
        shard: ShardId,
        account: &AccountId,
        moment: Moment,
        needed: Needed,
        deadline: Instant,
    ) -> Result<Option<Past>, Error> {
        let recalled = self.views.recall(shard, account, moment, deadline).await?;
        let Some(mut recalled) = recalled else {
            return Ok(None);
        };
        let through = match moment {
            Moment::Place(position) => position.index,
            Moment::Time(_) => recalled.now.watermark.position.index,
        };
        let is_whole = self.is_whole(needed);
        let state = if is_whole {
            let is_over = |index, entry: &Entry| moment.is_before(entry.time, index);
            let is_later = |state: &State| moment.is_before(state.time, state.position.index);
            self.state(account, &mut recalled, through, is_over, is_later)
                .await?
        } else {
            None
        };
        let then = Then::of(&recalled, state);
        let known = recalled.now.watermark.time;
        let freezes = self.in_force(moment, &then, known).await?;
        Ok(Some(Past {
            is_whole,
            account: Account {
                posted: recalled.booked.posted,
                ..then.account
            },
            freezes,
            spending: then.spending,
            position: then.position,
            time: then.time,
        }))
    }

    /// What an account was at the close of a date, as far as it is known here. `None` where no shard
    /// viewed here has opened it yet; and where all is needed, if it was not opened by then.
    ///
    /// # Errors
    ///
    /// Where it cannot be told here.
    pub async fn on(
        &self,
        account: &AccountId,
        date: Date,
        needed: Needed,
    ) -> Result<Option<PastDay>, Error> {
        let Some((mut recalled, posted)) = self.views.recall_day(account, date)? else {
            return Ok(None);
        };
        let now = recalled.now;
        let through = now.watermark.position.index;
        let mut is_whole = self.is_whole(needed);
        let mut state = None;
        if is_whole {
            // Times rise, and so does what is closed. By a change of its region's zone a shard's date may go
            // back, by two days at most.
            let settled = date.tomorrow().tomorrow();
            let is_over = |_, entry: &Entry| entry.business_date > settled;
            let is_later = |state: &State| state.booked_on > date;
            state = self
                .state(account, &mut recalled, through, is_over, is_later)
                .await?;
            let opened = recalled.opening.transaction.position;
            if state.is_none() && recalled.booked.position == opened {
                is_whole = match (self.is_opened(now.shard, opened.index, date).await, needed) {
                    (Ok(false), Needed::Whole) => return Ok(None),
                    (Ok(is_opened), _) => is_opened,
                    (Err(error), Needed::Whole) => return Err(error),
                    (Err(_), Needed::Posted) => false,
                };
            }
        }
        let then = Then::of(&recalled, state);
        Ok(Some(PastDay {
            posted,
            is_whole,
            account: Account {
                posted: 0,
                ..then.account
            },
            freezes: then.freezes,
            spending: then.spending,
            now,
        }))
    }

    /// Whether all of an account can be told for what is asked.
    fn is_whole(&self, needed: Needed) -> bool {
        needed == Needed::Whole || self.views.has_states()
    }

    /// Whether an account of a shard, opened at an index, was opened on a date or before.
    async fn is_opened(&self, shard: ShardId, index: u64, date: Date) -> Result<bool, Error> {
        let lane = Lane::from_index(self.hub.clone(), self.views, shard, self.epoch, index);
        let decided = lane.await?.read(index).await?.unwrap_or_default();
        let opening = decided.iter().find(|it| it.index == index);
        Ok(opening.is_none_or(|it| it.entry.business_date <= date))
    }

    /// The last state that is not later, out of the rows or out of the log; `None` for the opening. What
    /// the log says of the opening is put beside what the rows do.
    async fn state(
        &self,
        account: &AccountId,
        recalled: &mut Recalled,
        through: u64,
        is_over: impl Fn(u64, &Entry) -> bool,
        is_later: impl Fn(&State) -> bool,
    ) -> Result<Option<State>, Error> {
        let (from, first, until) = match &recalled.kept {
            Kept::Opened => return Ok(None),
            Kept::State(state) => return Ok(Some(state.clone())),
            Kept::Missing { from, first, until } => (from.as_ref(), *first, *until),
        };
        let shard = recalled.now.shard;
        let begin = match from {
            Some(state) => state.position.index.saturating_add(1),
            None => recalled.opening.transaction.position.index,
        };
        tracing::info!(%account, from = begin, through, "states are replayed from the log");
        let (hub, views) = (self.hub.clone(), self.views);
        // It is never closed.
        let _turn = views.replays().acquire().await.ok();
        let mut lane = Lane::from_index(hub, views, shard, self.epoch, begin).await?;
        let mut refold = Refold::from(*account, shard, from);
        let mut last = from.cloned();
        let mut missed = Missed {
            views,
            account,
            states: Vec::new(),
        };
        'log: while let Some(decided) = lane.read(through).await? {
            for it in decided {
                if is_over(it.index, &it.entry) {
                    break 'log;
                }
                let index = it.index;
                let folded = refold.entry(index, &it.entry);
                let state = folded.map_err(|cause| Error::Damaged {
                    shard,
                    index,
                    cause,
                })?;
                let Some(state) = state else { continue };
                if is_later(&state) {
                    break 'log;
                }
                if state.number >= first && until.is_none_or(|until| index < until) {
                    missed.states.push(state.clone());
                }
                last = Some(state);
            }
            if missed.states.len() >= STORED_BY {
                missed.store();
            }
            // Reads of other tasks come between two steps.
            tokio::task::yield_now().await;
        }
        if let Some(limit) = refold.opened_with() {
            recalled.opening.limit = Some(limit);
        }
        Ok(last)
    }

    /// Those in force at a moment, of which all up to a time is known.
    async fn in_force(
        &self,
        moment: Moment,
        then: &Then,
        known: HybridTime,
    ) -> Result<Vec<Freeze>, Error> {
        let freezes = &then.freezes;
        // A place is not before the last change, nor after all that is known: the log is asked for its
        // time only where a freeze ended in between.
        let between = then.time.millis()..=known.millis();
        let ends = |freeze: &Freeze| freeze.until_ms.is_some_and(|it| between.contains(&it));
        let time = match moment {
            Moment::Time(time) => time,
            Moment::Place(position) if freezes.iter().any(ends) => {
                let Position { shard, index, .. } = position;
                let (hub, next) = (self.hub.clone(), index.saturating_add(1));
                let lane = Lane::from_index(hub, self.views, shard, self.epoch, next);
                lane.await?.time()
            }
            Moment::Place(_) => then.time,
        };
        Ok(freezes.in_force(time.millis()).cloned().collect())
    }
}

/// States that rows lack. What is replayed is stored also where the replay does not come to its end.
struct Missed<'a> {
    views: &'a Views,
    account: &'a AccountId,
    states: Vec<State>,
}

impl Missed<'_> {
    /// Where it cannot be stored, it is replayed again.
    fn store(&mut self) {
        let states = std::mem::take(&mut self.states);
        if states.is_empty() || !self.views.has_states() {
            return;
        }
        if let Err(error) = self.views.mend(self.account, &states) {
            let account = self.account;
            tracing::warn!(%error, %account, "states that were missing cannot be stored");
        }
    }
}

impl Drop for Missed<'_> {
    fn drop(&mut self) {
        self.store();
    }
}

/// What lines and states come to together.
struct Then {
    account: Account,
    freezes: Freezes,
    spending: SpendingLimits,
    position: Position,
    time: HybridTime,
}

impl Then {
    fn of(recalled: &Recalled, state: Option<State>) -> Self {
        let booked = recalled.booked;
        let mut then = Self {
            account: recalled.opened(),
            freezes: Freezes::default(),
            spending: SpendingLimits::default(),
            position: booked.position,
            time: booked.time,
        };
        if let Some(state) = state {
            if state.position.index > booked.position.index {
                (then.position, then.time) = (state.position, state.time);
            }
            then.account = state.account;
            then.freezes = state.restrictions.freezes;
            then.spending = state.restrictions.spending;
        }
        then.account.version = then.account.version.max(booked.version);
        then
    }
}

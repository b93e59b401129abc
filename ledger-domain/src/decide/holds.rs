//! Decides about holds.

use super::{
    Circumstances, Scribe, after, both,
    paying::{Payment, nameable},
    room,
};
use crate::{
    Account, AccountId, Amount, Code, Date, Event, HybridTime, Outcome, Rejection, TransactionId,
    command::Command,
    event::After,
    freeze::Blocks,
    hold::{self, Hold, HoldAction, HoldChange, HoldEvent, Status},
    state::State,
};

/// Ends up to `most` holds that have expired at `time_nanos`, the earliest first. Whether any is
/// left that has; if so, nothing else may be decided in the same entry.
///
/// Each is an outcome of its own, of no command.
pub fn expire<S: State>(state: &mut S, time_nanos: u64, most: usize) -> (Vec<Outcome>, bool) {
    let mut due = state.due(time_nanos, most.saturating_add(1));
    let more = due.len() > most;
    due.truncate(most);
    let outcomes = due.into_iter().filter_map(|number| {
        let hold = state.hold(number)?;
        let released = Amount::new(hold.rest()).ok()?;
        // What has expired is given back at any time.
        let mut scribe = Scribe::new(&mut *state, HybridTime::ZERO);
        let account = scribe.state.account(&hold.account)?;
        scribe.held(
            number,
            hold.account,
            &account,
            HoldChange::Expired { released },
        );
        Some(Outcome {
            command: None,
            result: Ok(scribe.events),
        })
    });
    (outcomes.collect(), more)
}

impl<S: State> Scribe<'_, S> {
    pub(super) fn decide_hold(
        &mut self,
        at: &Circumstances,
        command: &Command,
        id: AccountId,
        action: &HoldAction,
        date: Date,
    ) -> Result<(), Rejection> {
        let (info, forced) = (&command.info, command.forced);
        match action {
            HoldAction::Place {
                currency,
                amount,
                life,
            } => {
                self.date_check(at, info, date)?;
                let account = self.movable(&id, *currency, date, Blocks::Debits)?;
                room_to_hold(&account, *amount)?;
                self.debit_check(&id, *currency, *amount, date, false)?;
                self.spending_check(at, command, &id, *amount)?;
                let life = life.unwrap_or(hold::DEFAULT_LIFE);
                let life = u64::try_from(life.as_nanos()).unwrap_or(u64::MAX);
                let change = HoldChange::Placed {
                    amount: *amount,
                    expires: at.time.wall_nanos.saturating_add(life),
                };
                let number = self.state.last_hold() + 1;
                self.held(number, id, &account, change);
            }
            HoldAction::Raise {
                hold,
                currency,
                amount,
            } => {
                self.date_check(at, info, date)?;
                let account = self.movable(&id, *currency, date, Blocks::Debits)?;
                let (number, _) = self.open_hold(at, id, *hold, Some(*amount))?;
                room_to_hold(&account, *amount)?;
                self.debit_check(&id, *currency, *amount, date, false)?;
                self.spending_check(at, command, &id, *amount)?;
                let change = HoldChange::Raised { by: *amount };
                self.held(number, id, &account, change);
            }
            HoldAction::Capture {
                hold,
                money,
                payee,
                last,
            } => {
                nameable(id, payee)?;
                self.date_check(at, info, date)?;
                let account = self.state.account(&id).ok_or(Code::AccountNotFound)?;
                let currency = money.map_or(account.currency, |(currency, _)| currency);
                let payer = self.movable(&id, currency, date, Blocks::Debits);
                let other = self.takes_credits(at, payee, currency, date);
                let (account, ()) = both(payer, other)?;
                let asked = money.map(|(_, amount)| amount);
                let (number, amount, change) = self.capture(at, id, *hold, asked, *last, forced)?;
                // What is held was available once: a capture takes nothing that is available.
                let less = i128::from(amount.minor_units()) + i128::from(account.reserved);
                room(account.posted, -less)?;
                let paid = Payment {
                    from: id,
                    to: payee,
                    currency,
                    amount,
                    date,
                };
                self.has_room(at, &paid)?;
                self.held(number, id, &account, change);
                self.pay_out(at, info, &paid);
            }
            HoldAction::Release { hold } => {
                self.date_check(at, info, date)?;
                let account = self.open_account(&id)?;
                let (number, hold) = self.open_hold(at, id, *hold, None)?;
                let released = Amount::new(hold.rest()).expect("an open hold holds something");
                self.held(number, id, &account, HoldChange::Released { released });
            }
        }
        Ok(())
    }

    /// What is paid, and what becomes of the hold: it pays, or where it has ended and the payment is
    /// forced, is only named.
    fn capture(
        &self,
        at: &Circumstances,
        account: AccountId,
        placed: TransactionId,
        asked: Option<Amount>,
        last: bool,
        forced: bool,
    ) -> Result<(u64, Amount, HoldChange), Rejection> {
        let (number, hold) = self.named_hold(at, account, placed)?;
        if let (Some(amount), true) = (asked, forced && hold.status != Status::Open) {
            return Ok((number, amount, HoldChange::Late { amount }));
        }
        is_open(&hold, asked)?;
        let rest = Amount::new(hold.rest()).expect("an open hold holds something");
        let amount = asked.unwrap_or(rest);
        if amount > rest {
            let figures = [rest.minor_units(), amount.minor_units()];
            return Err(Rejection::new(Code::HoldExceeded, figures));
        }
        let left = rest.minor_units() - amount.minor_units();
        let released = (last || left == 0).then_some(left);
        Ok((number, amount, HoldChange::Captured { amount, released }))
    }

    /// The hold of an account that a transaction placed.
    fn named_hold(
        &self,
        at: &Circumstances,
        account: AccountId,
        placed: TransactionId,
    ) -> Result<(u64, Hold), Rejection> {
        let named = (placed.position.shard == at.shard)
            .then(|| self.state.hold_placed_by(&placed))
            .flatten()
            .and_then(|number| Some((number, self.state.hold(number)?)))
            .filter(|(_, hold)| hold.account == account);
        named.ok_or_else(|| Code::HoldNotFound.into())
    }

    /// The hold of an account that a transaction placed, while it is open.
    fn open_hold(
        &self,
        at: &Circumstances,
        account: AccountId,
        placed: TransactionId,
        asked: Option<Amount>,
    ) -> Result<(u64, Hold), Rejection> {
        let (number, hold) = self.named_hold(at, account, placed)?;
        is_open(&hold, asked).map(|()| (number, hold))
    }

    fn held(&mut self, number: u64, id: AccountId, account: &Account, change: HoldChange) {
        let held = account.held.checked_add(change.delta());
        let after = After {
            held: held.expect("checked before it is decided"),
            ..after(id, account, 0)
        };
        self.happened(Event::Hold(HoldEvent {
            number,
            after,
            change,
        }));
    }
}

/// Refuses what comes after a hold's end, with what was never captured and what was asked for.
fn is_open(hold: &Hold, asked: Option<Amount>) -> Result<(), Rejection> {
    let figures = [hold.rest(), asked.map_or(hold.rest(), Amount::minor_units)];
    match hold.status {
        Status::Open => Ok(()),
        Status::Expired => Err(Rejection::new(Code::HoldExpired, figures)),
        Status::Captured | Status::Released => Err(Rejection::new(Code::HoldEnded, figures)),
    }
}

/// All that is held can be captured: there is room in 64 bits for it, and for what is posted then.
pub(super) fn room_to_hold(account: &Account, amount: Amount) -> Result<(), Rejection> {
    let held = account.held.checked_add(amount.minor_units());
    match held.and_then(|held| account.posted.checked_sub(held)) {
        Some(_) => Ok(()),
        None => Err(Rejection::new(Code::BalanceOverflow, [account.posted])),
    }
}

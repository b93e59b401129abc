//! What becomes of holds: each is placed once, holds so much, and ends once.
//!
//! A hold's time is up at the first entry whose time is at or after its expiry. Nothing else is
//! decided in that entry before it has expired.

use std::collections::BTreeMap;

use ledger_domain::AccountId;

use super::book::Book;
use super::legs;
use super::stored::{self, Read, ledger};

/// A hold, from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) account: AccountId,
    /// Index and ordinal of the transaction that placed it.
    pub(super) placed: (u64, u32),
    pub(super) amount: i64,
    pub(super) captured: i64,
    /// Paid in its name after its end.
    pub(super) late: i64,
    pub(super) expires: u64,
    /// As a book stores it: open, captured, released, expired.
    pub(super) status: i32,
}

pub(super) const OPEN: i32 = 1;
const CAPTURED: i32 = 2;
const RELEASED: i32 = 3;
const EXPIRED: i32 = 4;

/// All the holds of a shard, by number.
#[derive(Default)]
pub(super) struct Holds {
    pub(super) all: BTreeMap<u64, Hold>,
    /// Open ones, by when they expire.
    due: BTreeMap<(u64, u64), ()>,
}

/// How much a hold gives back when it ends, and what it is then.
enum After {
    Open,
    Ended { released: i64, status: i32 },
}

impl Holds {
    /// Follows an event, in an outcome at a place and of a time; nothing where it is about no hold.
    pub(super) fn follow(
        &mut self,
        book: &mut Book,
        event: &ledger::event::Event,
        place: (u64, u32),
        time: u64,
    ) -> Read<()> {
        use ledger::event::Event as E;
        let (said, change) = match event {
            E::HoldPlaced(e) => return self.place(book, e, place, time),
            E::HoldRaised(e) => (&e.hold, (stored::amount(e.by)?, 0, After::Open)),
            E::HoldCaptured(e) => {
                let after = match e.released {
                    Some(released) => After::Ended {
                        released,
                        status: CAPTURED,
                    },
                    None => After::Open,
                };
                (&e.hold, (0, stored::amount(e.amount)?, after))
            }
            E::HoldLate(e) => return self.pay_late(book, e),
            E::HoldReleased(e) => (&e.hold, (0, 0, ended(e.released, RELEASED)?)),
            E::HoldExpired(e) => (&e.hold, (0, 0, ended(e.released, EXPIRED)?)),
            _ => return Ok(()),
        };
        let said = said.as_ref().ok_or("a hold is missing")?;
        let (id, after) = legs::said(&said.after)?;
        let (raised, captured, end) = change;
        let released = match &end {
            After::Open => 0,
            After::Ended { released, .. } => *released,
        };
        let held = i128::from(raised) - i128::from(captured) - i128::from(released);
        let held = i64::try_from(held).map_err(|_| "what is held leaves 64 bits")?;
        book.hold(&id, held, after)?;
        let number = said.number;
        let hold = self
            .all
            .get_mut(&number)
            .ok_or_else(|| format!("hold {number} was never placed"))?;
        if hold.account != id || hold.status != OPEN {
            return Err(format!("hold {number} is not an open hold of {id}"));
        }
        hold.amount = hold.amount.saturating_add(raised);
        hold.captured = hold.captured.saturating_add(captured);
        let left = hold.amount - hold.captured;
        match end {
            After::Open if left > 0 => {}
            After::Ended { released, status } if released == left && left >= 0 => {
                hold.status = status;
                self.due.remove(&(hold.expires, number));
                if status == EXPIRED && hold.expires > time {
                    return Err(format!("hold {number} expired before its time"));
                }
            }
            _ => return Err(format!("hold {number} has {left} minor units left")),
        }
        Ok(())
    }

    fn pay_late(&mut self, book: &mut Book, event: &ledger::HoldLate) -> Read<()> {
        let said = event.hold.as_ref().ok_or("a hold is missing")?;
        let (id, after) = legs::said(&said.after)?;
        book.hold(&id, 0, after)?;
        let number = said.number;
        let amount = stored::amount(event.amount)?;
        let hold = self.all.get_mut(&number);
        let hold = hold.filter(|hold| hold.account == id && hold.status != OPEN);
        let hold = hold.ok_or_else(|| format!("hold {number} is not an ended hold of {id}"))?;
        hold.late = hold.late.saturating_add(amount);
        Ok(())
    }

    fn place(
        &mut self,
        book: &mut Book,
        event: &ledger::HoldPlaced,
        placed: (u64, u32),
        time: u64,
    ) -> Read<()> {
        let said = event.hold.as_ref().ok_or("a hold is missing")?;
        let (account, after) = legs::said(&said.after)?;
        let amount = stored::amount(event.amount)?;
        book.hold(&account, amount, after)?;
        let last = self.all.keys().next_back().copied().unwrap_or_default();
        let number = said.number;
        let hold = Hold {
            account,
            placed,
            amount,
            captured: 0,
            late: 0,
            expires: event.expires,
            status: OPEN,
        };
        self.all.insert(number, hold);
        self.due.insert((event.expires, number), ());
        match number == last + 1 && event.expires > time {
            true => Ok(()),
            false => Err(format!(
                "hold {number} follows hold {last} and expires at {}",
                event.expires
            )),
        }
    }

    /// A hold that should have expired by a time, and has not.
    pub(super) fn overdue(&self, time: u64) -> Option<u64> {
        let ((expires, number), ()) = self.due.first_key_value()?;
        (*expires <= time).then_some(*number)
    }

    /// The number of the last one.
    pub(super) fn last(&self) -> u64 {
        self.all.keys().next_back().copied().unwrap_or_default()
    }
}

fn ended(released: u64, status: i32) -> Read<After> {
    let released = stored::amount(released)?;
    Ok(After::Ended { released, status })
}

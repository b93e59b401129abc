//! Holds: money of an account that is set aside for somebody and not yet paid.
//!
//! A hold lowers what is available and leaves what is posted. It is captured, once or several
//! times, into payments; what remains is given back when a capture says that it is the last, when
//! the hold is released, or when it expires. **It expires by the log's time**: an entry whose time
//! is at or after a hold's expiry carries the expiry before anything else, so no clock is asked when
//! an entry is applied, and every replica agrees on which came first, the capture or the end.
//!
//! To callers a hold has the id of the transaction that placed it. That place is known only once
//! the entry is applied; inside a book, a hold has a number, counted from 1.

use std::time::Duration;

use crate::{
    AccountId, Amount, Currency, HouseCode, Sealed, ShardId, TransactionId,
    event::After,
    evolve::{Mismatch, check},
    state::State,
};

/// How long a hold lasts where its placing does not say: seven days, as card schemes do.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(7 * DAY);
/// The longest a hold may last: 31 days, as card schemes allow hotels and hired cars.
pub const LONGEST_LIFE: Duration = Duration::from_secs(31 * DAY);
/// For how long after its expiry date a book remembers a hold that has ended, in entry time: long
/// enough to say what became of it to whoever presents it late.
pub const MEMORY: Duration = Duration::from_secs(60 * DAY);

const DAY: u64 = 24 * 3600;

/// What is asked of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldAction {
    /// Set money aside.
    Place {
        /// In which currency.
        currency: Currency,
        /// How much.
        amount: Amount,
        /// For how long, above zero and up to [`LONGEST_LIFE`]; [`DEFAULT_LIFE`] where it is not
        /// said.
        life: Option<Duration>,
    },
    /// Set more aside under the same hold: an incremental authorisation. It expires when it did.
    Raise {
        /// Which.
        hold: TransactionId,
        /// In which currency.
        currency: Currency,
        /// How much more.
        amount: Amount,
    },
    /// Pay out of it.
    Capture {
        /// Which.
        hold: TransactionId,
        /// How much; all that remains where it is not said.
        money: Option<(Currency, Amount)>,
        /// Who is paid.
        payee: Payee,
        /// Nothing more will be captured: what remains is given back.
        last: bool,
    },
    /// Give back what remains.
    Release {
        /// Which.
        hold: TransactionId,
    },
}

/// Who is paid by a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payee {
    /// An account, anywhere.
    Account {
        /// Which.
        to: AccountId,
        /// Its shard, as the directory has it.
        to_shard: ShardId,
        /// The memo, sealed to the payee's domain.
        memo: Option<Sealed>,
    },
    /// A house account of the payer's book.
    House(HouseCode),
}

/// A hold as its book knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Whose money.
    pub account: AccountId,
    /// The transaction that placed it; `None` while that is in flight.
    pub placed: Option<TransactionId>,
    /// Minor units: placed, and raised since.
    pub amount: i64,
    /// Minor units: paid out of it.
    pub captured: i64,
    /// Minor units: paid in its name after its end.
    pub late: i64,
    /// When it expires, nanoseconds since 1970 in entry time.
    pub expires: u64,
    /// Whether it holds anything.
    pub status: Status,
}

/// Whether a hold holds anything, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Status {
    /// It holds what has not been captured.
    Open = 1,
    /// Captured to its end; what remained after the last capture was given back.
    Captured = 2,
    /// Released.
    Released = 3,
    /// Expired.
    Expired = 4,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Captured, Self::Released, Self::Expired];

    /// The one with a stored number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as i32 == number)
    }
}

impl Hold {
    /// What was never captured: while it is open, what it holds.
    pub const fn rest(&self) -> i64 {
        self.amount.saturating_sub(self.captured)
    }
}

/// What happened to a hold, and what that leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldEvent {
    /// The hold's number in its book.
    pub number: u64,
    /// The account after it: of what it says, what is held has changed.
    pub after: After,
    /// What happened.
    pub change: HoldChange,
}

/// What happened to a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// It began: held +amount.
    Placed {
        /// How much.
        amount: Amount,
        /// When it expires, nanoseconds since 1970 in entry time.
        expires: u64,
    },
    /// held +by.
    Raised {
        /// How much more.
        by: Amount,
    },
    /// held −amount, and the payment follows in the same outcome. With `released`, the hold has
    /// ended: held −released as well.
    Captured {
        /// How much is paid.
        amount: Amount,
        /// What is given back, minor units, where the hold ends with this.
        released: Option<i64>,
    },
    /// It ended: held −released.
    Released {
        /// What is given back.
        released: Amount,
    },
    /// Its time was up: held −released.
    Expired {
        /// What is given back.
        released: Amount,
    },
    /// It was presented after its end, and is paid whatever is available: the payment follows in the
    /// same outcome. Nothing is held for it.
    Late {
        /// How much is paid.
        amount: Amount,
    },
}

impl HoldChange {
    /// By how much what is held changes, minor units.
    pub fn delta(&self) -> i64 {
        match self {
            Self::Placed { amount, .. } | Self::Raised { by: amount } => amount.minor_units(),
            Self::Captured { amount, released } => {
                (-amount.minor_units()).saturating_sub(released.unwrap_or(0))
            }
            Self::Released { released } | Self::Expired { released } => -released.minor_units(),
            Self::Late { .. } => 0,
        }
    }
}

/// Applies what happened to a hold.
pub(crate) fn evolve<S: State>(state: &mut S, event: &HoldEvent) -> Result<(), Mismatch> {
    let number = event.number;
    let id = event.after.account;
    let mut account = state.account(&id).ok_or(Mismatch::NoAccount(id))?;
    let is_placed = matches!(event.change, HoldChange::Placed { .. });
    let before = match is_placed {
        true if state.last_hold().checked_add(1) != Some(number) => {
            return Err(Mismatch::Hold { number });
        }
        true => None,
        false => state.hold(number),
    };
    let hold = event.follow(before).ok_or(Mismatch::Hold { number })?;
    account.held = account
        .held
        .checked_add(event.change.delta())
        .filter(|held| *held >= 0)
        .ok_or(Mismatch::Overflow)?;
    account.version = account.version.checked_add(1).ok_or(Mismatch::Overflow)?;
    check(&account, &event.after)?;
    if is_placed {
        state.set_last_hold(number);
    }
    state.set_hold(number, hold);
    state.set_account(id, account);
    Ok(())
}

impl HoldEvent {
    /// The hold after it; `None` where it does not follow from the hold before, which is `None`
    /// before it is placed.
    pub fn follow(&self, before: Option<Hold>) -> Option<Hold> {
        if let HoldChange::Placed { amount, expires } = self.change {
            return before.is_none().then_some(Hold {
                account: self.after.account,
                placed: None,
                amount: amount.minor_units(),
                captured: 0,
                late: 0,
                expires,
                status: Status::Open,
            });
        }
        let mut hold = before?;
        let is_late = matches!(self.change, HoldChange::Late { .. });
        if (hold.status == Status::Open) == is_late || hold.account != self.after.account {
            return None;
        }
        let mut end = |released: i64, status| {
            hold.status = status;
            (released == hold.rest()).then_some(hold)
        };
        match self.change {
            HoldChange::Placed { .. } => None,
            HoldChange::Raised { by } => {
                hold.amount = hold.amount.checked_add(by.minor_units())?;
                Some(hold)
            }
            HoldChange::Late { amount } => {
                hold.late = hold.late.checked_add(amount.minor_units())?;
                Some(hold)
            }
            HoldChange::Released { released } => end(released.minor_units(), Status::Released),
            HoldChange::Expired { released } => end(released.minor_units(), Status::Expired),
            HoldChange::Captured { amount, released } => {
                hold.captured = hold.captured.checked_add(amount.minor_units())?;
                let left = hold.amount.checked_sub(hold.captured)?;
                match released {
                    Some(released) if released == left && left >= 0 => {
                        hold.status = Status::Captured;
                        Some(hold)
                    }
                    None if left > 0 => Some(hold),
                    _ => None,
                }
            }
        }
    }
}

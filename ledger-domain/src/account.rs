//! Accounts: the customers', and the bank's own.

use std::{fmt, str::FromStr};

use crate::{Amount, Currency, Date, ShardId};

/// How far below zero an account may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Down to minus this many minor units; 0 for an account that may not go negative.
    Overdraft(i64),
    /// As far as one likes. Marked and listed.
    Unlimited,
}

/// Whether an account takes part in anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Open,
    /// It does not, and never will again.
    Closed,
}

/// The state of one customer's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// What it is kept in.
    pub currency: Currency,
    /// How far below zero it may go.
    pub limit: Limit,
    /// Open or closed.
    pub status: Status,
    /// The booked sum, minor units; positive is the customer's.
    pub posted: i64,
    /// What is held, minor units, zero or more.
    pub held: i64,
    /// Rises by one with each event.
    pub version: u64,
    /// The first date that anything may be effective on.
    pub opened_on: Date,
    /// Transfers sent to other shards and not yet settled or returned.
    pub under_way: u32,
    /// What they carry, minor units; no longer part of what is posted.
    pub outgoing: i64,
    /// What journals that are not decided have set aside, minor units; also part of what is held.
    pub reserved: i64,
    /// Credits of journals that are not decided, minor units: accepted, and not yet posted.
    pub accepted: i64,
}

impl Account {
    /// posted − held + overdraft limit; `None` where there is no limit.
    pub fn available(&self) -> Option<i64> {
        match self.limit {
            Limit::Unlimited => None,
            Limit::Overdraft(limit) => {
                Some(self.posted.saturating_sub(self.held).saturating_add(limit))
            }
        }
    }

    /// The account with one more transfer under way; `None` where a sum would leave its range.
    pub fn with_sent(self, amount: Amount) -> Option<Self> {
        Some(Self {
            under_way: self.under_way.checked_add(1)?,
            outgoing: self.outgoing.checked_add(amount.minor_units())?,
            ..self
        })
    }

    /// The account with one less; `None` where it has none that carries so much.
    pub fn with_ended(self, amount: Amount) -> Option<Self> {
        let outgoing = self.outgoing.checked_sub(amount.minor_units())?;
        Some(Self {
            under_way: self.under_way.checked_sub(1)?,
            outgoing: (outgoing >= 0).then_some(outgoing)?,
            ..self
        })
    }
}

/// The bank's own accounts come in the five types of bookkeeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum HouseType {
    /// What the bank has.
    Asset = 1,
    /// What the bank owes.
    Liability = 2,
    /// What the bank has earned.
    Income = 3,
    /// What the bank has spent.
    Expense = 4,
    /// What belongs to the bank's owners.
    Equity = 5,
}

impl fmt::Display for HouseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Asset => "asset",
            Self::Liability => "liability",
            Self::Income => "income",
            Self::Expense => "expense",
            Self::Equity => "equity",
        })
    }
}

/// Which house account: its code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HouseCode {
    /// Notes and coins. The default counter-account of deposits and withdrawals.
    Cash,
    /// Fees earned.
    Fees,
    /// Money whose owner is not clear.
    Suspense,
    /// The bank's own capital.
    Equity,
    /// Sent to a shard and not yet known to have arrived.
    InTransit(ShardId),
    /// Arrived at a shard: what this book owes it.
    DueTo(ShardId),
    /// What a shard owes this book.
    DueFrom(ShardId),
    /// What the bank holds of a currency by exchanging it.
    FxPosition,
    /// What journals have booked here and in a shard: the same there, the other way round.
    Clearing(ShardId),
}

/// A text that is no house account's code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the code of a house account: cash, fees, suspense or equity")]
pub struct UnknownHouseCode(pub String);

impl HouseCode {
    /// Its type.
    pub const fn house_type(&self) -> HouseType {
        match self {
            Self::Cash | Self::DueFrom(_) | Self::FxPosition => HouseType::Asset,
            Self::Fees => HouseType::Income,
            Self::Suspense | Self::InTransit(_) | Self::DueTo(_) | Self::Clearing(_) => {
                HouseType::Liability
            }
            Self::Equity => HouseType::Equity,
        }
    }

    /// May a caller name it as a counter-account?
    pub const fn is_for_callers(&self) -> bool {
        matches!(
            self,
            Self::Cash | Self::Fees | Self::Suspense | Self::Equity
        )
    }
}

impl fmt::Display for HouseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cash => f.pad("cash"),
            Self::Fees => f.pad("fees"),
            Self::Suspense => f.pad("suspense"),
            Self::Equity => f.pad("equity"),
            Self::InTransit(shard) => f.pad(&format!("in-transit:{shard}")),
            Self::DueTo(shard) => f.pad(&format!("due-to:{shard}")),
            Self::DueFrom(shard) => f.pad(&format!("due-from:{shard}")),
            Self::FxPosition => f.pad("fx-position"),
            Self::Clearing(shard) => f.pad(&format!("clearing:{shard}")),
        }
    }
}

impl FromStr for HouseCode {
    type Err = UnknownHouseCode;

    fn from_str(s: &str) -> Result<Self, UnknownHouseCode> {
        let unknown = || UnknownHouseCode(s.chars().take(40).collect());
        Ok(match s.split_once(':') {
            None => match s {
                "cash" => Self::Cash,
                "fees" => Self::Fees,
                "suspense" => Self::Suspense,
                "equity" => Self::Equity,
                "fx-position" => Self::FxPosition,
                _ => return Err(unknown()),
            },
            Some((code, shard)) => {
                let shard = ShardId(shard.parse().map_err(|_| unknown())?);
                match code {
                    "in-transit" => Self::InTransit(shard),
                    "due-to" => Self::DueTo(shard),
                    "due-from" => Self::DueFrom(shard),
                    "clearing" => Self::Clearing(shard),
                    _ => return Err(unknown()),
                }
            }
        })
    }
}

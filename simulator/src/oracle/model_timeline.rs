//! What every account had, at every place and time.

use std::collections::BTreeMap;

use super::Time;
use crate::history::Aside;

/// The balances of an account, after each change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub(super) all: Vec<Changed>,
    /// What is set aside, from each place on.
    pub(super) aside: Vec<Noted>,
}

/// What is set aside from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted {
    /// Its index.
    pub(super) index: u64,
    /// The time of that.
    pub(super) time: Time,
    /// The business day of that.
    pub(super) day: i32,
    /// What is.
    pub(super) aside: Aside,
}

/// A balance after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The index at which it changed.
    pub index: u64,
    /// The time of that.
    pub time: Time,
    /// The day on which it counts.
    pub day: i32,
    /// By how much.
    pub by: i64,
    /// The balance from then on.
    pub balance: i64,
}

/// What every account had, at every place and time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    pub(super) accounts: BTreeMap<String, Changes>,
    /// Where commands were refused that named an account first, and under which code.
    pub(super) refused: BTreeMap<String, Vec<(u64, String)>>,
    /// What is in suspense at the end: whose it is and how much, by what the ledger calls it.
    pub in_suspense: BTreeMap<String, (String, i64)>,
    /// The keys of journals that are not posted or cancelled everywhere at the end.
    pub open_journals: Vec<String>,
    /// How many steps were followed.
    pub steps: usize,
}

impl Timeline {
    /// A balance after everything up to and with an index of the account's shard.
    #[must_use]
    pub fn at_place(&self, account: &str, index: u64) -> i64 {
        self.balance(account, |change| change.index <= index)
    }

    /// A balance after everything up to and with a time.
    #[must_use]
    pub fn at_time(&self, account: &str, time: Time) -> i64 {
        self.balance(account, |change| change.time <= time)
    }

    /// What counts by the close of a day, out of everything up to and with an index of the account's
    /// shard.
    #[must_use]
    pub fn by_day(&self, account: &str, index: u64, day: i32) -> i64 {
        let changes = self.changes(account).iter();
        let counted = changes.filter(|change| change.index <= index && change.day <= day);
        counted.map(|change| change.by).sum()
    }

    /// All changes of an account, in order.
    #[must_use]
    pub fn changes(&self, account: &str) -> &[Changed] {
        self.accounts.get(account).map_or(&[], |known| &known.all)
    }

    /// What is set aside after everything up to and with an index of the account's shard.
    #[must_use]
    pub fn aside_at_place(&self, account: &str, index: u64) -> Aside {
        self.aside(account, |noted| noted.index <= index)
    }

    /// What is set aside after everything up to and with a time.
    #[must_use]
    pub fn aside_at_time(&self, account: &str, time: Time) -> Aside {
        self.aside(account, |noted| noted.time <= time)
    }

    /// What is set aside after everything that was done on a business day or before, out of everything up
    /// to and with an index of the account's shard.
    #[must_use]
    pub fn aside_by_day(&self, account: &str, index: u64, day: i32) -> Aside {
        self.aside(account, |noted| noted.index <= index && noted.day <= day)
    }

    fn aside(&self, account: &str, counts: impl Fn(&Noted) -> bool) -> Aside {
        let known = self.accounts.get(account);
        let aside = known.map_or(&[][..], |known| &known.aside);
        let last = aside.iter().take_while(|noted| counts(noted)).last();
        last.map(|noted| noted.aside).unwrap_or_default()
    }

    /// The refusals of an account's commands up to and with an index of its shard, in order.
    #[must_use]
    pub fn refused_until(&self, account: &str, index: u64) -> &[(u64, String)] {
        let refused = self.refused.get(account).map_or(&[][..], Vec::as_slice);
        &refused[..refused.partition_point(|(at, _)| *at <= index)]
    }

    fn balance(&self, account: &str, counts: impl Fn(&Changed) -> bool) -> i64 {
        let changes = self.changes(account);
        let until = changes.partition_point(counts);
        changes[..until].last().map_or(0, |change| change.balance)
    }
}

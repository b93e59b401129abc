//! Whoever watches an account is told of every booking on it: each once, in the order of the log, from
//! what the account was when watching began to the place that is said to be told.

use std::collections::BTreeMap;

use super::model::{Changed, Timeline};

/// What was told of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its shard.
    pub shard: u32,
    /// Where watching began.
    pub from: u64,
    /// The balance there.
    pub balance: i64,
    /// Index, amount and balance after it, of each booking.
    pub lines: Vec<(u64, i64, i64)>,
    /// Up to which index all is said to be told.
    pub until: u64,
}

impl Told {
    /// What an account is when watching begins.
    #[must_use]
    pub fn since(shard: u32, from: u64, balance: i64) -> Self {
        Self {
            shard,
            from,
            balance,
            lines: Vec::new(),
            until: from,
        }
    }
}

/// Something was not told as it was.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It began with what never was.
    #[error("{account} was told to have {told} at {from}, and the log comes to {balance} there")]
    NeverSo {
        /// The account.
        account: String,
        /// Where it began.
        from: u64,
        /// What was told.
        told: i64,
        /// What was so.
        balance: i64,
    },
    /// A booking was told twice, out of its order, or never was.
    #[error("of {account} booking {number} was told as {told:?}, and the log has {booked:?}")]
    Other {
        /// The account.
        account: String,
        /// Which, counted from where watching began.
        number: usize,
        /// What was told: index, amount, balance.
        told: (u64, i64, i64),
        /// What was booked.
        booked: Option<Changed>,
    },
    /// A booking was not told.
    #[error("of {account} all up to {until} was to be told, and {booked:?} was not")]
    Missing {
        /// The account.
        account: String,
        /// Up to where.
        until: u64,
        /// What was booked.
        booked: Changed,
    },
}

/// Checks everything that was told. Returns how many bookings that is.
///
/// # Errors
///
/// The first that was wrong.
pub fn every_booking_is_told_once(
    watched: &BTreeMap<String, Told>,
    timeline: &Timeline,
) -> Result<usize, Violation> {
    let mut checked = 0;
    for (account, told) in watched {
        let balance = timeline.at_place(account, told.from);
        if balance != told.balance {
            return Err(Violation::NeverSo {
                account: account.clone(),
                from: told.from,
                told: told.balance,
                balance,
            });
        }
        let changes = timeline.changes(account);
        let changes = &changes[changes.partition_point(|it| it.index <= told.from)..];
        for (number, line) in told.lines.iter().enumerate() {
            let booked = changes.get(number).copied();
            if booked.map(|it| (it.index, it.by, it.balance)) != Some(*line) {
                return Err(Violation::Other {
                    account: account.clone(),
                    number,
                    told: *line,
                    booked,
                });
            }
        }
        let missing = changes.get(told.lines.len());
        if let Some(booked) = missing.filter(|it| it.index <= told.until) {
            return Err(Violation::Missing {
                account: account.clone(),
                until: told.until,
                booked: *booked,
            });
        }
        checked += told.lines.len();
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::views::tests::timeline;

    const IN: (u64, i64, i64) = (3, 10, 10);
    const OUT: (u64, i64, i64) = (5, -4, 6);

    fn told(
        (from, balance): (u64, i64),
        lines: &[(u64, i64, i64)],
        until: u64,
    ) -> Result<usize, Violation> {
        let mut told = Told::since(1, from, balance);
        told.lines.extend(lines);
        told.until = until;
        let watched = [("alice".to_owned(), told)].into();
        every_booking_is_told_once(&watched, &timeline())
    }

    #[test]
    fn all_of_it_once_and_in_order_is_right() {
        assert_eq!(told((2, 0), &[IN, OUT], 7), Ok(2));
        assert_eq!(told((2, 0), &[IN], 4), Ok(1));
        assert_eq!(told((4, 10), &[OUT], 5), Ok(1));
        assert_eq!(told((5, 6), &[], 9), Ok(0));
    }

    #[test]
    fn what_is_missing_doubled_or_disordered_is_found() {
        let missing = |it| matches!(it, Err(Violation::Missing { .. }));
        assert!(missing(told((2, 0), &[IN], 5)));
        assert!(missing(told((2, 0), &[], 3)));
        let other = |it| matches!(it, Err(Violation::Other { .. }));
        assert!(other(told((2, 0), &[OUT], 5)));
        assert!(other(told((2, 0), &[IN, IN, OUT], 5)));
        assert!(other(told((4, 10), &[IN, OUT], 5)));
    }

    #[test]
    fn it_begins_with_what_was_so() {
        let wrong = told((4, 0), &[OUT], 5);
        assert!(matches!(wrong, Err(Violation::NeverSo { .. })));
    }
}

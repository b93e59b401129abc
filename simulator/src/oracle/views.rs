//! A view is a fold of the log's beginning. Whatever an answer says of the present, it is what the
//! naive [`model`](super::model) has after the entries up to the place that the answer names, a
//! statement has those bookings, and a list of refused commands those refusals, in their order, and
//! no other.

use super::model::{Changed, Timeline};
use crate::history::{Aside, Mode, Reading, Refusals, Statement};

/// How many refused commands of an account are listed.
const LISTED: usize = 1_000;

/// A view that is no fold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The balance was never that there.
    #[error("{reading:?} was told, and the log comes to {balance} there")]
    NeverSo {
        /// What was told.
        reading: Reading,
        /// What was so.
        balance: i64,
    },
    /// So much was never set aside there.
    #[error("{reading:?} was told, and {aside:?} was set aside there")]
    NeverAside {
        /// What was told.
        reading: Reading,
        /// What was set aside.
        aside: Aside,
    },
    /// A statement that does not list what was booked.
    #[error("{statement:?} was told, and the log has {booked:?}")]
    OtherBookings {
        /// What was told.
        statement: Statement,
        /// What was booked.
        booked: Vec<Changed>,
    },
    /// A list of refused commands that is not what was refused.
    #[error("{told:?} was told, and the log has {refused:?}")]
    OtherRefusals {
        /// What was told.
        told: Refusals,
        /// What was refused, in order.
        refused: Vec<(u64, String)>,
    },
}

/// Checks every balance of the present, strong ones too. Returns how many there were.
///
/// # Errors
///
/// The first that was wrong.
pub fn balances_are_folds(readings: &[Reading], timeline: &Timeline) -> Result<usize, Violation> {
    let mut checked = 0;
    for reading in readings {
        if let Mode::AsOfPlace(_) | Mode::AsOfTime(_) | Mode::AsOfDay(_) = reading.mode {
            continue;
        }
        let balance = timeline.at_place(&reading.account, reading.index);
        if reading.balance != balance {
            let reading = reading.clone();
            return Err(Violation::NeverSo { reading, balance });
        }
        let aside = timeline.aside_at_place(&reading.account, reading.index);
        if reading.aside.is_some_and(|told| told != aside) {
            let reading = reading.clone();
            return Err(Violation::NeverAside { reading, aside });
        }
        checked += 1;
    }
    Ok(checked)
}

/// Checks every statement. Returns how many bookings they have.
///
/// # Errors
///
/// The first that was wrong.
pub fn statements_are_folds(
    statements: &[Statement],
    timeline: &Timeline,
) -> Result<usize, Violation> {
    let mut checked = 0;
    for statement in statements {
        let changes = timeline.changes(&statement.account);
        let until = changes.partition_point(|change| change.index <= statement.index);
        let booked = &changes[..until];
        let told = statement.lines.iter();
        let told = told.map(|line| (line.index, line.amount, line.balance_after));
        if !told.eq(booked.iter().map(|c| (c.index, c.by, c.balance))) {
            return Err(Violation::OtherBookings {
                statement: statement.clone(),
                booked: booked.to_vec(),
            });
        }
        checked += booked.len();
    }
    Ok(checked)
}

/// Checks every list of refused commands: it has the newest, in their order, and no other. Returns
/// how many they have.
///
/// # Errors
///
/// The first that was wrong.
pub fn refusals_are_folds(lists: &[Refusals], timeline: &Timeline) -> Result<usize, Violation> {
    let mut checked = 0;
    for told in lists {
        let refused = timeline.refused_until(&told.account, told.index);
        let newest_first = refused.iter().rev().take(LISTED);
        if !told.refused.iter().eq(newest_first) || told.all != refused.len() as u64 {
            return Err(Violation::OtherRefusals {
                told: told.clone(),
                refused: refused.to_vec(),
            });
        }
        checked += told.refused.len();
    }
    Ok(checked)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{
        history::{Line, Moment, Request},
        oracle::model::{self, Step, Verdict, What},
    };

    #[test]
    fn what_is_aside_is_true_at_its_place() {
        let nothing = Aside::default();
        let (held, incoming) = (
            Aside { held: 1, ..nothing },
            Aside {
                incoming: 1,
                ..nothing
            },
        );
        for (aside, is_true) in [
            (None, true),
            (Some(nothing), true),
            (Some(held), false),
            (Some(incoming), false),
        ] {
            let told = Reading {
                aside,
                ..reading(Mode::Local, 4, 10)
            };
            let judged = balances_are_folds(std::slice::from_ref(&told), &timeline());
            assert_eq!(judged.is_ok(), is_true, "{told:?}");
        }
    }

    /// Alice has 10 from index 3 on, at time 30, and 6 from index 5 on, at time 50. It is day 1 at
    /// index 1, and day 5 at index 5.
    pub(in crate::oracle) fn timeline() -> Timeline {
        let account = || "alice".to_owned();
        let requests = [
            (
                "in".to_owned(),
                Request::Deposit {
                    account: account(),
                    amount: 10,
                },
            ),
            (
                "out".to_owned(),
                Request::Withdraw {
                    account: account(),
                    amount: 4,
                },
            ),
        ];
        let done = |key: &str, balance| What::Decided {
            key: key.to_owned(),
            verdict: Verdict::Done(balance),
        };
        let opened = What::Opened { account: account() };
        let steps = [(1, opened), (3, done("in", 10)), (5, done("out", 6))];
        let steps = steps.map(|(index, what)| Step {
            shard: 1,
            index,
            time: (index * 10, 0),
            day: i32::try_from(index).expect("few"),
            what,
        });
        let homes = BTreeMap::from([(account(), 1)]);
        model::follow(&homes, &requests.into(), &steps).unwrap()
    }

    pub(in crate::oracle) fn reading(mode: Mode, index: u64, balance: i64) -> Reading {
        let moment = Moment {
            order: 0,
            at: Duration::ZERO,
        };
        Reading {
            client: "atm".to_owned(),
            account: "alice".to_owned(),
            mode,
            invoked: moment,
            completed: moment,
            node: "near".to_owned(),
            is_strong: mode == Mode::Strong,
            shard: 1,
            index,
            balance,
            aside: None,
            stale_by: Duration::ZERO,
            true_at: 0,
            must_cover: None,
        }
    }

    #[test]
    fn a_balance_is_true_at_its_place_as_a_table() {
        let table = [
            (2, 0, true),
            (3, 10, true),
            (4, 10, true),
            (9, 6, true),
            (3, 0, false),
            (4, 6, false),
            (5, 10, false),
        ];
        for (index, balance, is_true) in table {
            let told = reading(Mode::Local, index, balance);
            let judged = balances_are_folds(std::slice::from_ref(&told), &timeline());
            assert_eq!(judged.is_ok(), is_true, "{told:?}");
        }
    }

    #[test]
    fn a_list_of_refusals_has_every_one_and_no_other() {
        let account = || "alice".to_owned();
        let ask = |key: &str| {
            let request = Request::Withdraw {
                account: account(),
                amount: 4,
            };
            (key.to_owned(), request)
        };
        let refused = |key: &str| What::Decided {
            key: key.to_owned(),
            verdict: Verdict::Refused("INSUFFICIENT_FUNDS".to_owned()),
        };
        let opened = What::Opened { account: account() };
        let steps = [(1, opened), (3, refused("a")), (5, refused("b"))];
        let steps = steps.map(|(index, what)| Step {
            shard: 1,
            index,
            time: (index * 10, 0),
            day: 1,
            what,
        });
        let homes = BTreeMap::from([(account(), 1)]);
        let requests = [ask("a"), ask("b")].into();
        let timeline = model::follow(&homes, &requests, &steps).unwrap();
        let judge = |index, places: &[u64], all| {
            let funds = || "INSUFFICIENT_FUNDS".to_owned();
            let told = Refusals {
                account: account(),
                node: "near".to_owned(),
                index,
                refused: places.iter().map(|place| (*place, funds())).collect(),
                all,
            };
            refusals_are_folds(&[told], &timeline)
        };
        assert_eq!(judge(9, &[5, 3], 2), Ok(2));
        assert_eq!(judge(4, &[3], 1), Ok(1));
        assert_eq!(judge(2, &[], 0), Ok(0));
        for (index, places, all) in [
            (9, &[3, 5][..], 2),
            (9, &[5], 1),
            (9, &[5, 3], 3),
            (4, &[5, 3], 2),
            (9, &[5, 5, 3], 3),
        ] {
            assert!(judge(index, places, all).is_err(), "{places:?}");
        }
    }

    #[test]
    fn a_statement_has_every_booking_and_no_other() {
        let line = |index, amount, balance_after| Line {
            index,
            amount,
            balance_after,
            memo: String::new(),
            is_leg: false,
        };
        let judge = |index, lines: &[Line]| {
            let statement = Statement {
                account: "alice".to_owned(),
                node: "near".to_owned(),
                region: "here".to_owned(),
                index,
                lines: lines.to_vec(),
            };
            statements_are_folds(&[statement], &timeline())
        };
        let (first, second) = (line(3, 10, 10), line(5, -4, 6));
        assert_eq!(judge(9, &[first.clone(), second.clone()]), Ok(2));
        assert_eq!(judge(4, std::slice::from_ref(&first)), Ok(1));
        assert_eq!(judge(2, &[]), Ok(0));
        for (index, lines) in [
            (9, vec![first.clone()]),
            (4, vec![first.clone(), second.clone()]),
            (9, vec![second.clone(), first.clone()]),
            (9, vec![first.clone(), line(5, -4, 7)]),
            (9, vec![first.clone(), first.clone(), second]),
        ] {
            assert!(judge(index, &lines).is_err(), "{lines:?}");
        }
    }
}

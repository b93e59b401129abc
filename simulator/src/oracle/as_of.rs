//! The past does not change: a read as of a time or a place is what the naive `model` had then,
//! whoever answers, whenever. A read as of a day is what counts by its close, out of all that is
//! booked up to the place that the answer names.

use super::model::Timeline;
use crate::history::{Aside, Mode, Reading};

/// A past that never was.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reading:?} was told, and it was {balance}, with {aside:?}")]
pub struct Violation {
    /// What was told.
    pub reading: Reading,
    /// What was so.
    pub balance: i64,
    /// What was set aside.
    pub aside: Aside,
}

/// Checks every read of the past. Returns how many there were.
///
/// # Errors
///
/// The first that was wrong.
pub fn the_past_is_as_it_was(
    readings: &[Reading],
    timeline: &Timeline,
) -> Result<usize, Violation> {
    let mut checked = 0;
    for reading in readings {
        let (account, until) = (&reading.account, reading.index);
        let (balance, aside) = match reading.mode {
            Mode::AsOfPlace(index) => (
                timeline.at_place(account, index),
                timeline.aside_at_place(account, index),
            ),
            // A time in nanoseconds alone is the first of those that only a count tells apart.
            Mode::AsOfTime(nanos) => (
                timeline.at_time(account, (nanos, 0)),
                timeline.aside_at_time(account, (nanos, 0)),
            ),
            Mode::AsOfDay(day) => (
                timeline.by_day(account, until, day),
                timeline.aside_by_day(account, until, day),
            ),
            _ => continue,
        };
        if reading.balance != balance || reading.aside.is_some_and(|told| told != aside) {
            let reading = reading.clone();
            return Err(Violation {
                reading,
                balance,
                aside,
            });
        }
        checked += 1;
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::views::tests::{reading, timeline};

    #[test]
    fn the_past_has_one_answer_as_a_table() {
        // Alice had 10 from index 3 on, at time 30; 6 from index 5 on, at time 50.
        let table = [
            (Mode::AsOfPlace(2), 0, true),
            (Mode::AsOfPlace(3), 10, true),
            (Mode::AsOfPlace(4), 10, true),
            (Mode::AsOfPlace(5), 6, true),
            (Mode::AsOfTime(29), 0, true),
            (Mode::AsOfTime(30), 10, true),
            (Mode::AsOfTime(50), 6, true),
            (Mode::AsOfPlace(4), 6, false),
            (Mode::AsOfPlace(5), 10, false),
            (Mode::AsOfTime(49), 6, false),
            (Mode::AsOfTime(50), 10, false),
        ];
        for (mode, balance, is_true) in table {
            // Where its last booking stands is nothing to the answer.
            let told = reading(mode, 99, balance);
            let judged = the_past_is_as_it_was(std::slice::from_ref(&told), &timeline());
            assert_eq!(judged.is_ok(), is_true, "{told:?}");
        }
    }

    #[test]
    fn a_day_has_what_counts_by_its_close_as_a_table() {
        // Alice got 10 at index 3 on the third day, and gave 4 at index 5 on the fifth.
        let table = [
            (2, 9, 0, true),
            (9, 2, 0, true),
            (9, 3, 10, true),
            (9, 4, 10, true),
            (4, 5, 10, true),
            (9, 5, 6, true),
            (9, 9, 6, true),
            (9, 2, 10, false),
            (9, 4, 6, false),
            (9, 5, 10, false),
            (4, 5, 6, false),
        ];
        for (index, day, balance, is_true) in table {
            let told = reading(Mode::AsOfDay(day), index, balance);
            let judged = the_past_is_as_it_was(std::slice::from_ref(&told), &timeline());
            assert_eq!(judged.is_ok(), is_true, "{told:?}");
        }
    }

    #[test]
    fn what_was_set_aside_is_told_as_it_was() {
        let nothing = Aside::default();
        let held = Aside { held: 1, ..nothing };
        for mode in [Mode::AsOfPlace(4), Mode::AsOfTime(40), Mode::AsOfDay(4)] {
            for (aside, is_true) in [(None, true), (Some(nothing), true), (Some(held), false)] {
                let told = Reading {
                    aside,
                    ..reading(mode, 9, 10)
                };
                let judged = the_past_is_as_it_was(std::slice::from_ref(&told), &timeline());
                assert_eq!(judged.is_ok(), is_true, "{told:?}");
            }
        }
    }

    #[test]
    fn the_present_is_not_its_business() {
        let told = reading(Mode::Local, 5, 1);
        assert_eq!(the_past_is_as_it_was(&[told], &timeline()), Ok(0));
    }
}

//! No write is seen without one that was over before it began.
//!
//! That is promised of what is true now, and of reads that bring the tokens of what they know. As of
//! a time it is not: the clocks of two shards may differ, and a caller cannot bring a token to a
//! write.

use crate::history::{Cut, Reading, When};

use super::Write;

/// A write that is missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A later one was seen.
    #[error("{cut:?} has {later:?} and not {earlier:?}, which was over when that began")]
    Reversed {
        /// What is missing.
        earlier: Write,
        /// What was seen.
        later: Write,
        /// What was told.
        cut: Cut,
    },
    /// Its token was brought.
    #[error("{reading:?} was asked for with the token of {write:?}, and has it not")]
    NotCovered {
        /// What is missing.
        write: Write,
        /// What was told.
        reading: Reading,
    },
}

/// Checks every cut that was true while it was asked for. Returns how many there were.
///
/// # Errors
///
/// The first that has a write without one that was over before it began.
pub fn causes_come_first(cuts: &[Cut], writes: &[Write]) -> Result<usize, Violation> {
    let now = cuts.iter().filter(|cut| cut.when == When::WhileAsked);
    let mut checked = 0;
    for cut in now {
        let has = |write: &Write| {
            cut.balances
                .get(&write.account)
                .map(|it| *it >= write.value)
        };
        let seen = writes.iter().filter(|write| has(write) == Some(true));
        checked += 1;
        let Some(last) = seen.max_by_key(|write| write.invoked) else {
            continue;
        };
        let is_missing =
            |write: &&Write| write.completed < last.invoked && has(write) == Some(false);
        if let Some(earlier) = writes.iter().find(is_missing) {
            return Err(Violation::Reversed {
                earlier: earlier.clone(),
                later: last.clone(),
                cut: cut.clone(),
            });
        }
    }
    Ok(checked)
}

/// Checks every reading that was asked for with the token of a write. Returns how many there were.
///
/// # Errors
///
/// The first that does not have it.
pub fn tokens_are_honoured(readings: &[Reading], writes: &[Write]) -> Result<usize, Violation> {
    let mut checked = 0;
    for reading in readings {
        let Some(covered) = reading.must_cover else {
            continue;
        };
        checked += 1;
        let is_missing = |write: &&Write| {
            let is_there = (&write.account, write.shard) == (&reading.account, reading.shard);
            is_there && write.index <= covered && reading.balance < write.value
        };
        if let Some(write) = writes.iter().find(is_missing) {
            return Err(Violation::NotCovered {
                write: write.clone(),
                reading: reading.clone(),
            });
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            monotonic::tests::reading,
            tests::{cut, write},
        },
        *,
    };

    #[test]
    fn causes_come_first_as_a_table() {
        // The second began when the first was over; the third while it was under way.
        let writes = [
            write("x", 1, 1, 3),
            write("y", 1, 4, 6),
            write("z", 1, 2, 7),
        ];
        let told = |balances: &[(&str, i64)]| cut(When::WhileAsked, (8, 9), balances);
        let table = [
            (told(&[("x", 0), ("y", 0)]), true),
            (told(&[("x", 1), ("y", 0)]), true),
            (told(&[("x", 1), ("y", 1)]), true),
            (told(&[("x", 0), ("y", 1)]), false),
            (told(&[("x", 0), ("z", 1)]), true),
            (told(&[("y", 1), ("z", 0)]), true),
            (cut(When::At(9), (8, 9), &[("x", 0), ("y", 1)]), true),
        ];
        for (cut, is_so) in table {
            let judged = causes_come_first(std::slice::from_ref(&cut), &writes);
            assert_eq!(judged.is_ok(), is_so, "{cut:?}");
        }
    }

    #[test]
    fn whoever_brings_the_token_of_a_write_is_shown_it() {
        let writes = [write("x", 7, 1, 3)];
        let table = [
            (reading("x", Some(3), 4, 7), true),
            (reading("x", Some(2), 2, 0), true),
            (reading("x", None, 2, 0), true),
            (reading("y", Some(3), 3, 0), true),
            (reading("x", Some(3), 4, 6), false),
        ];
        for (reading, is_so) in table {
            let judged = tokens_are_honoured(std::slice::from_ref(&reading), &writes);
            assert_eq!(judged.is_ok(), is_so, "{reading:?}");
        }
    }
}

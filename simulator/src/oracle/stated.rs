//! Promise 4, the other half: stale means stated. Whatever a read is true for, the account's
//! balance there is what it said; and a session never sees less than it has seen.

use std::collections::BTreeMap;

/// What a read that need not be at the very truth was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The account.
    pub account: String,
    /// The shard of the place for which it is true.
    pub shard: u32,
    /// The index of that place.
    pub index: u64,
    /// The balance.
    pub balance: i64,
    /// The time for which it is true, in nanoseconds.
    pub time: i64,
    /// The place in that shard that the answer had to cover.
    pub must_cover: Option<u64>,
}

/// One change of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// In which shard's book.
    pub shard: u32,
    /// At which index; those of a shard rise.
    pub index: u64,
    /// The account.
    pub account: String,
    /// By how much.
    pub delta: i64,
}

/// Until when a shard's time was over at an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Whose time.
    pub shard: u32,
    /// At which index; those of a shard rise.
    pub index: u64,
    /// The time of the entry there, in nanoseconds.
    pub time: i64,
}

/// How a read was wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The balance was never that there.
    #[error("{glance:?} was told, and the book says {balance}")]
    NeverSo {
        /// What was told.
        glance: Glance,
        /// What was so at that place.
        balance: i64,
    },
    /// The answer claims a time that was not over at its place: something may yet have happened by
    /// then.
    #[error("{glance:?} was told, and at that place time was over until {time} only")]
    NotOver {
        /// What was told.
        glance: Glance,
        /// Until when time was over.
        time: i64,
    },
    /// The answer is older than what its client had seen.
    #[error("{0:?} does not cover what was seen before")]
    WentBack(Glance),
}

/// Checks every glance against the books.
///
/// # Errors
///
/// The first that was wrong.
pub fn glances_are_true(
    glances: &[Glance],
    moved: &[Moved],
    closed: &[Closed],
) -> Result<(), Violation> {
    let mut times: BTreeMap<u32, Vec<&Closed>> = BTreeMap::new();
    for closed in closed {
        times.entry(closed.shard).or_default().push(closed);
    }
    let mut balances: BTreeMap<(u32, &str), Vec<(u64, i64)>> = BTreeMap::new();
    for change in moved {
        let known = balances.entry((change.shard, &change.account)).or_default();
        let before = known.last().map_or(0, |(_, balance)| *balance);
        known.push((change.index, before + change.delta));
    }
    for glance in glances {
        if glance.must_cover.is_some_and(|index| glance.index < index) {
            return Err(Violation::WentBack(glance.clone()));
        }
        let known = balances.get(&(glance.shard, glance.account.as_str()));
        let known = known.map_or(&[][..], Vec::as_slice);
        let until = known.partition_point(|(index, _)| *index <= glance.index);
        let balance = known[..until].last().map_or(0, |(_, balance)| *balance);
        if balance != glance.balance {
            let glance = glance.clone();
            return Err(Violation::NeverSo { glance, balance });
        }
        let known = times.get(&glance.shard).map_or(&[][..], Vec::as_slice);
        let until = known.partition_point(|closed| closed.index <= glance.index);
        let time = known[..until].last().map_or(0, |closed| closed.time);
        if glance.time > time {
            let glance = glance.clone();
            return Err(Violation::NotOver { glance, time });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(index: u64, balance: i64, must_cover: Option<u64>) -> Glance {
        Glance {
            account: "alice".to_owned(),
            shard: 1,
            index,
            balance,
            time: 0,
            must_cover,
        }
    }

    #[test]
    fn a_glance_is_true_at_its_place_as_a_table() {
        let moved = [(3, 10), (5, -4), (5, 1)].map(|(index, delta)| Moved {
            shard: 1,
            index,
            account: "alice".to_owned(),
            delta,
        });
        let table = [
            (glance(2, 0, None), true),
            (glance(3, 10, None), true),
            (glance(4, 10, Some(4)), true),
            (glance(9, 7, Some(5)), true),
            (glance(5, 6, None), false),
            (glance(4, 7, None), false),
            (glance(3, 10, Some(4)), false),
        ];
        for (glance, is_true) in table {
            let judged = glances_are_true(std::slice::from_ref(&glance), &moved, &[]);
            assert_eq!(judged.is_ok(), is_true, "{glance:?}");
        }
    }

    #[test]
    fn no_time_is_claimed_that_was_not_over_at_the_place() {
        let closed = [(2, 100), (4, 200)].map(|(index, time)| Closed {
            shard: 1,
            index,
            time,
        });
        for (index, time, is_true) in [
            (1, 0, true),
            (1, 1, false),
            (3, 100, true),
            (3, 101, false),
            (4, 200, true),
            (9, 201, false),
        ] {
            let glance = Glance {
                time,
                ..glance(index, 0, None)
            };
            let judged = glances_are_true(std::slice::from_ref(&glance), &[], &closed);
            assert_eq!(judged.is_ok(), is_true, "{glance:?}");
        }
    }
}

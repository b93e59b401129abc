//! Stale means stated: sessions and bounded reads keep their word. An answer is never older than
//! it says, nor than its question allowed; and a client that brings its tokens never sees less
//! than it has seen, whichever node of whichever region answers.
//!
//! "Older" is taken by the clock of the world, not by any node's: of two things that happened, the
//! simulation knows which was first, and by how much.

use std::{collections::BTreeMap, time::Duration};

use crate::history::{Mode, Reading};

/// Something that a client knew to be in a shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The shard.
    pub shard: u32,
    /// The index.
    pub index: u64,
    /// Since when a client knew.
    pub since: Duration,
}

/// A time in which no answer can be asked to say how old it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
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

/// Hosts take turns: one's clock can be a little behind what another has done already.
const TURN: Duration = Duration::from_millis(5);

/// A word that was not kept.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Something that was known for longer than the answer says is not in it.
    #[error("{reading:?} does not have {known:?}, and says that it is no staler than it is")]
    OlderThanStated {
        /// What was told.
        reading: Reading,
        /// What was known before.
        known: Known,
    },
    /// Staler than the client allowed, or not strong where that was asked for.
    #[error("{0:?} is staler than was asked for")]
    TooStale(Reading),
    /// The answer claims a time that was not over at its place: something may yet have happened by
    /// then.
    #[error("{reading:?} was told, and at that place time was over until {time} only")]
    NotOver {
        /// What was told.
        reading: Reading,
        /// Until when time was over.
        time: i64,
    },
    /// The answer is older than what its client had seen.
    #[error("{0:?} does not cover what was seen before")]
    WentBack(Reading),
}

/// Checks every answer that says how old it may be. `known` is what clients were told to be in the
/// logs; `excused`, when clocks were wrong and nobody could tell. Returns how many answers there were.
///
/// # Errors
///
/// The first that did not keep its word.
pub fn answers_are_as_fresh_as_they_say(
    readings: &[Reading],
    known: &[Known],
    excused: &[Spell],
) -> Result<usize, Violation> {
    let mut known = known.to_vec();
    known.sort_by_key(|known| known.since);
    // Of what is known by then, the last of each shard.
    let mut checked = 0;
    for reading in readings {
        if reading
            .must_cover
            .is_some_and(|index| reading.index < index)
        {
            return Err(Violation::WentBack(reading.clone()));
        }
        let most = match reading.mode {
            Mode::Strong => Duration::ZERO,
            Mode::Local | Mode::Session => Duration::MAX,
            Mode::Bounded(most) => most,
            // They are about the past.
            Mode::AsOfPlace(_) | Mode::AsOfTime(_) | Mode::AsOfDay(_) => continue,
        };
        let is_strong = reading.is_strong || reading.mode != Mode::Strong;
        if reading.stale_by > most || !is_strong {
            return Err(Violation::TooStale(reading.clone()));
        }
        checked += 1;
        let is_excused =
            |spell: &Spell| spell.from <= reading.completed.at && reading.invoked.at <= spell.until;
        if excused.iter().any(is_excused) {
            continue;
        }
        let Some(by) = reading.invoked.at.checked_sub(reading.stale_by + TURN) else {
            continue;
        };
        let until = known.partition_point(|known| known.since < by);
        let newest = known[..until]
            .iter()
            .filter(|known| known.shard == reading.shard)
            .max_by_key(|known| known.index);
        if let Some(missed) = newest.filter(|known| known.index > reading.index) {
            return Err(Violation::OlderThanStated {
                reading: reading.clone(),
                known: *missed,
            });
        }
    }
    Ok(checked)
}

/// Checks that no answer claims a time that was not over at its place. Returns how many answers
/// there were.
///
/// # Errors
///
/// The first that claims too much.
pub fn no_time_is_claimed_before_it_is_over(
    readings: &[Reading],
    closed: &[Closed],
) -> Result<usize, Violation> {
    let mut times: BTreeMap<u32, Vec<&Closed>> = BTreeMap::new();
    for closed in closed {
        times.entry(closed.shard).or_default().push(closed);
    }
    for reading in readings {
        let known = times.get(&reading.shard).map_or(&[][..], Vec::as_slice);
        let until = known.partition_point(|closed| closed.index <= reading.index);
        let time = known[..until].last().map_or(0, |closed| closed.time);
        // A past time was asked for; `as_of` judges the answer.
        let is_past = matches!(reading.mode, Mode::AsOfTime(_));
        if reading.true_at > time && !reading.is_strong && !is_past {
            let reading = reading.clone();
            return Err(Violation::NotOver { reading, time });
        }
    }
    Ok(readings.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Moment;

    fn at(seconds: u64) -> Moment {
        Moment {
            order: seconds,
            at: Duration::from_secs(seconds),
        }
    }

    /// Asked for at ten seconds.
    fn reading(mode: Mode, index: u64, stale_by: u64) -> Reading {
        Reading {
            client: "atm".to_owned(),
            account: "alice".to_owned(),
            mode,
            invoked: at(10),
            completed: at(11),
            node: "near".to_owned(),
            is_strong: mode == Mode::Strong,
            shard: 1,
            index,
            balance: 0,
            aside: None,
            stale_by: Duration::from_secs(stale_by),
            true_at: 0,
            must_cover: Some(4),
        }
    }

    /// Index 5 since three seconds, index 7 since eight; elsewhere much more.
    fn known() -> Vec<Known> {
        [(1, 7, 8), (1, 5, 3), (2, 99, 1)]
            .map(|(shard, index, since)| Known {
                shard,
                index,
                since: Duration::from_secs(since),
            })
            .into()
    }

    #[test]
    fn an_answer_is_as_fresh_as_it_says_as_a_table() {
        let bounded = Mode::Bounded(Duration::from_secs(3));
        let table = [
            (reading(Mode::Local, 7, 0), true),
            (reading(Mode::Local, 5, 3), true),
            (reading(Mode::Local, 4, 8), true),
            (reading(bounded, 5, 3), true),
            (reading(Mode::AsOfPlace(5), 5, 0), true),
            // Older than stated.
            (reading(Mode::Local, 5, 1), false),
            (reading(Mode::Local, 4, 6), false),
            (reading(Mode::Strong, 6, 0), false),
            // Staler than asked for.
            (reading(bounded, 7, 4), false),
            (reading(Mode::Strong, 7, 1), false),
            // Older than what was seen.
            (reading(Mode::Session, 3, 60), false),
        ];
        for (reading, is_kept) in table {
            let readings = std::slice::from_ref(&reading);
            let judged = answers_are_as_fresh_as_they_say(readings, &known(), &[]);
            assert_eq!(judged.is_ok(), is_kept, "{reading:?}");
        }
    }

    #[test]
    fn no_time_is_claimed_that_was_not_over_at_the_place() {
        let closed = [(2, 100), (4, 200)].map(|(index, time)| Closed {
            shard: 1,
            index,
            time,
        });
        for (index, true_at, is_true) in [
            (1, 0, true),
            (1, 1, false),
            (3, 100, true),
            (3, 101, false),
            (4, 200, true),
            (9, 201, false),
        ] {
            let reading = Reading {
                true_at,
                ..reading(Mode::Local, index, 0)
            };
            let judged =
                no_time_is_claimed_before_it_is_over(std::slice::from_ref(&reading), &closed);
            assert_eq!(judged.is_ok(), is_true, "{reading:?}");
        }
    }

    #[test]
    fn clocks_that_are_wrong_excuse_the_age_and_nothing_else() {
        let spell = Spell {
            from: Duration::from_secs(11),
            until: Duration::from_secs(20),
        };
        let judge = |reading| answers_are_as_fresh_as_they_say(&[reading], &known(), &[spell]);
        assert_eq!(judge(reading(Mode::Local, 5, 1)), Ok(1));
        judge(reading(Mode::Session, 3, 1)).unwrap_err();
    }
}

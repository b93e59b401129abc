//! A clock may be wrong, and its error must not spread: no time in a log is further ahead of the
//! truth than the clocks of those who could have given it, and the bound that they keep.
//!
//! Precisely: the time of an entry was given by a voter of its shard. That voter took what its own
//! clock showed; or followed a time that came from elsewhere, which it may as long as that is no
//! further ahead of its clock than the bound; or, where its clock was behind the last entry's time,
//! went on from that, which some voter had given before. So by whatever time the entry was there
//! for certain, some voter's clock had shown at least its time less the bound:
//!
//! > time of the entry ≤ the greatest that a clock of the shard's voters had shown by then + bound
//!
//! What clocks have shown the simulation knows, for it has set them. When an entry was there it
//! knows from what clients were told: of a later entry, at the latest. Nothing is said about times
//! that lag: they make answers look older than they are, and break no promise.

use std::{collections::BTreeMap, time::Duration};

use super::stated::{Closed, Known};
use crate::world::Stretch;

/// How far ahead of its own clock a node may follow.
const BOUND: Duration = Duration::from_millis(500);
/// Hosts take turns: one's clock can be a little ahead of what another is told at the same time.
const TURN: Duration = Duration::from_millis(5);

/// A time that no clock can have given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?}, there by {there_by:?}, is {ahead:?} ahead of all that its voters' clocks showed"
)]
pub struct Violation {
    /// Which entry's.
    pub entry: Closed,
    /// When it was there for certain.
    pub there_by: Duration,
    /// By how much it is ahead of the clocks.
    pub ahead: Duration,
}

/// Checks every entry's time. `known` is what clients knew to be in the logs, and everything is
/// there at the `end`; `clocks` are those of each shard's voters. Returns how many entries there
/// were.
///
/// # Errors
///
/// The first that is too far ahead.
pub fn no_time_is_ahead(
    entries: &[Closed],
    known: &[Known],
    end: Duration,
    clocks: &BTreeMap<u32, Vec<Vec<Stretch>>>,
) -> Result<usize, Violation> {
    let there = first_known(known);
    for entry in entries {
        let mut later = there.range((entry.shard, entry.index)..=(entry.shard, u64::MAX));
        let there_by = later.next().map_or(end, |(_, since)| *since);
        let voters = clocks.get(&entry.shard).into_iter().flatten();
        let most = voters.map(|clock| most_shown(clock, there_by + TURN)).max();
        let given = u64::try_from(entry.time).unwrap_or_default();
        let ahead = given.saturating_sub(most.unwrap_or_default());
        let ahead = Duration::from_nanos(ahead);
        if ahead > BOUND {
            return Err(Violation {
                entry: entry.clone(),
                there_by,
                ahead,
            });
        }
    }
    Ok(entries.len())
}

/// Since when somebody knew of an entry that is known, or of a later one of its shard.
fn first_known(known: &[Known]) -> BTreeMap<(u32, u64), Duration> {
    let mut known = known.to_vec();
    known.sort_by_key(|known| (known.shard, known.index));
    let mut first: BTreeMap<(u32, u64), Duration> = BTreeMap::new();
    for known in known.iter().rev() {
        let place = (known.shard, known.index);
        let later = first.range(place..=(known.shard, u64::MAX)).next();
        let since = later.map_or(known.since, |(_, since)| known.since.min(*since));
        first.insert(place, since);
    }
    first
}

/// The greatest time that a clock had shown by then: no clock runs backwards but by a jump.
fn most_shown(clock: &[Stretch], by: Duration) -> u64 {
    let ends = clock.iter().skip(1).map(|next| next.from);
    let stretches = clock.iter().zip(ends.chain([Duration::MAX]));
    let begun = stretches.filter(|(stretch, _)| stretch.from <= by);
    let most = begun.map(|(stretch, end)| stretch.shown_at(end.min(by)));
    most.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::determinism::EPOCH;

    const MILLI: i64 = 1_000_000;

    /// Right; two seconds ahead from four seconds on, for one second; then fast by a tenth.
    fn clock() -> Vec<Stretch> {
        [(0, 0, 0), (4, 2_000, 0), (5, 0, 100_000)]
            .map(|(from, ahead, drift_ppm)| Stretch {
                from: Duration::from_secs(from),
                ahead_nanos: ahead * MILLI,
                drift_ppm,
            })
            .into()
    }

    #[test]
    fn a_time_is_as_far_ahead_as_some_voters_clock_was_and_the_bound_as_a_table() {
        let right = vec![clock()[0]];
        let clocks = BTreeMap::from([(1, vec![right.clone(), clock()]), (2, vec![right])]);
        // The shard, when it was there, its time after the beginning, and whether it may be.
        for (shard, there_by, time, may_be) in [
            (1, 3_000, 3_500, true),
            (1, 3_000, 3_506, false),
            (1, 4_000, 6_500, true),
            (1, 4_900, 7_400, true),
            (1, 4_900, 7_406, false),
            // The clock was set back, and the shard's time does not go back.
            (1, 5_500, 7_500, true),
            (1, 5_500, 7_506, false),
            // It has drifted past what it had jumped to.
            (1, 15_000, 16_500, true),
            (1, 15_000, 16_506, false),
            // Nobody there was ever ahead.
            (2, 4_900, 5_400, true),
            (2, 4_900, 7_400, false),
        ] {
            let epoch = i64::try_from(EPOCH.as_nanos()).unwrap();
            let entry = Closed {
                shard,
                index: 7,
                time: epoch + time * MILLI,
            };
            let since = Duration::from_millis(there_by) - TURN;
            let known = |index, since| Known {
                shard,
                index,
                since,
            };
            // It was known later itself; and that an earlier one was there tells nothing.
            let known = [
                known(6, Duration::ZERO),
                known(7, since * 2),
                known(9, since),
            ];
            let judged = no_time_is_ahead(&[entry], &known, Duration::MAX, &clocks);
            assert_eq!(
                judged.is_ok(),
                may_be,
                "{shard} {there_by} {time}: {judged:?}"
            );
        }
    }
}

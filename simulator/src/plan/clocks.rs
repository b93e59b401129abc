//! When no answer can be asked to say how old it is: clocks are wrong, and nobody can tell.
//!
//! A node whose clock is far off says so: it compares it with its peers', notices when it jumps, and
//! refuses to say how old an answer is. What is left is what it cannot know:
//!
//! - Clocks may be half a second apart. One that is within that of its peers passes for right, and
//!   two such can be further apart than that.
//! - Two clocks that are wrong by about the same confirm each other.
//! - What a clock that is ahead has stamped looks, where it comes late, as if it had been stamped
//!   rightly and had come at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Plan, What};

/// How far clocks may be apart, in milliseconds.
const APART_MS: i64 = 500;
/// A clock that is further off than this from its peers' is found out by each of them: how long
/// their answers were under way cannot explain it.
const TOLD_MS: i64 = 750;
/// For so long a node that has slept goes by the time at which it fell asleep.
const AWAKE_MS: u64 = 1_000;
/// Clocks are compared at least so often. What was found is believed until the next time.
const COMPARED_MS: u64 = 6_000;

/// A clock that is wrong for a while.
struct Wrong<'a> {
    node: &'a str,
    from: u64,
    until: u64,
    /// By how much it is ahead at the worst, in milliseconds.
    ahead: i64,
}

/// When the age of an answer is nobody's fault: from when until when, in milliseconds after the
/// bank has opened.
#[must_use]
pub fn nobody_can_tell(plan: &Plan) -> Vec<(u64, u64)> {
    let wrong: Vec<Wrong<'_>> = plan
        .troubles
        .iter()
        .filter_map(|trouble| {
            let (from, until) = (trouble.at_ms, trouble.at_ms + trouble.lasts_ms);
            let lasts = i64::try_from(trouble.lasts_ms).unwrap_or(i64::MAX);
            let (node, from, until, ahead) = match &trouble.what {
                What::Jump { node, millis } => (node, from, until, *millis),
                What::Drift { node, ppm } => (node, from, until, ppm * lasts / 1_000_000),
                What::Sleep { node } => (node, until, until + AWAKE_MS, -lasts),
                _ => return None,
            };
            Some(Wrong {
                node,
                from,
                until,
                ahead,
            })
        })
        .collect();
    let stamped_ahead = wrong.iter().filter(|wrong| wrong.ahead > APART_MS);
    let stamped_ahead =
        stamped_ahead.map(|wrong| (wrong.from, wrong.until + wrong.ahead.unsigned_abs()));

    let changes = wrong.iter().flat_map(|wrong| [wrong.from, wrong.until]);
    let changes: Vec<u64> = changes.collect::<BTreeSet<u64>>().into_iter().collect();
    let too_far_apart = changes.windows(2).filter_map(|between| {
        let (from, until) = (between[0], between[1]);
        let mut off: BTreeMap<&str, i64> = BTreeMap::new();
        let lasting = wrong.iter().filter(|w| w.from <= from && w.until >= until);
        for wrong in lasting {
            *off.entry(wrong.node).or_default() += wrong.ahead;
        }
        let apart = spread_of_the_believed(&off);
        let stays = apart.unsigned_abs() + COMPARED_MS;
        (apart > APART_MS).then_some((from, until + stays))
    });
    stamped_ahead.chain(too_far_apart).collect()
}

/// How far clocks are apart that their nodes and peers take to be right. All others are.
fn spread_of_the_believed(off: &BTreeMap<&str, i64>) -> i64 {
    let is_confirmed = |node: &str, ahead: i64| {
        let mut others = off.iter().filter(|(other, _)| **other != node);
        others.any(|(_, other)| other.abs_diff(ahead) <= TOLD_MS.unsigned_abs())
    };
    let believed = off
        .iter()
        .filter(|(node, ahead)| ahead.abs() <= TOLD_MS || is_confirmed(node, **ahead))
        .map(|(_, ahead)| *ahead);
    let (mut least, mut most) = (0, 0);
    for ahead in believed {
        (least, most) = (ahead.min(least), ahead.max(most));
    }
    most - least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, plan::Trouble};

    /// What goes wrong for ten seconds, one second after the opening, and what that excuses.
    type Row = (Vec<What>, &'static [(u64, u64)]);

    #[test]
    fn only_what_nobody_can_tell_is_excused_as_a_table() {
        let jump = |node: &str, millis| What::Jump {
            node: node.to_owned(),
            millis,
        };
        let drift = |ppm| What::Drift {
            node: "d".to_owned(),
            ppm,
        };
        let sleep = || What::Sleep {
            node: "s".to_owned(),
        };
        let table: [Row; 9] = [
            (vec![jump("a", -400)], &[]),
            (vec![jump("a", -4_000)], &[]),
            (vec![jump("a", -400), drift(5_000)], &[]),
            (vec![jump("a", -4_000), jump("b", -2_000)], &[]),
            (vec![sleep()], &[]),
            // Each passes for right.
            (vec![jump("a", -400), drift(20_000)], &[(1_000, 17_600)]),
            (vec![jump("a", -600)], &[(1_000, 17_600)]),
            // They confirm each other.
            (
                vec![jump("a", -4_000), jump("b", -3_700)],
                &[(1_000, 21_000)],
            ),
            // What it stamps is ahead.
            (vec![jump("a", 4_000)], &[(1_000, 15_000)]),
        ];
        for (troubles, excused) in table {
            let trouble = |what| Trouble {
                at_ms: 1_000,
                lasts_ms: 10_000,
                what,
            };
            let mut plan = Plan::generate(Seed(1));
            plan.troubles = troubles.into_iter().map(trouble).collect();
            assert_eq!(nobody_can_tell(&plan), excused, "{:?}", plan.troubles);
        }
    }
}

//! Promise: a group is done as a whole, in one place, or not at all.

use std::collections::BTreeMap;

use super::acknowledged::{Recorded, Verdict};

/// A group of which a part was done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Some of its commands are in the log as done, and others are not.
    #[error("of the group {keys:?} only {done:?} was done")]
    InPart {
        /// The keys of its commands.
        keys: Vec<String>,
        /// Those that were done.
        done: Vec<String>,
    },
    /// Its commands were not done in one entry, in their order.
    #[error("the group {keys:?} was done at {positions:?}")]
    Scattered {
        /// The keys of its commands.
        keys: Vec<String>,
        /// Where each was done.
        positions: Vec<String>,
    },
}

/// Checks every group, given by the keys of its commands, against the logs of all shards. A position
/// is that of the entry, a space, and that of the command: they sort as they were written.
///
/// # Errors
///
/// The first group that was done in part, or in several places.
pub fn groups_are_whole(groups: &[Vec<String>], log: &[Recorded]) -> Result<(), Violation> {
    let accepted = log
        .iter()
        .filter(|it| matches!(it.verdict, Verdict::Accepted { .. }));
    let places: BTreeMap<&str, usize> = accepted
        .enumerate()
        .map(|(place, recorded)| (recorded.key.as_str(), place))
        .collect();
    let positions: BTreeMap<&str, &str> = log
        .iter()
        .map(|it| (it.key.as_str(), it.position.as_str()))
        .collect();
    for keys in groups {
        let is_done = |key: &&String| places.contains_key(key.as_str());
        let done: Vec<_> = keys.iter().filter(is_done).cloned().collect();
        if done.is_empty() {
            continue;
        }
        if done.len() < keys.len() {
            let keys = keys.clone();
            return Err(Violation::InPart { keys, done });
        }
        let entry = |key: &String| {
            let position = positions.get(key.as_str())?;
            position.split_once(' ').map(|(entry, _)| entry)
        };
        let is_one_entry = keys.windows(2).all(|it| entry(&it[0]) == entry(&it[1]));
        let place = |key: &String| places.get(key.as_str());
        let in_order = keys.windows(2).all(|it| place(&it[0]) < place(&it[1]));
        if !is_one_entry || !in_order {
            let position = |key: &String| positions.get(key.as_str()).copied();
            let positions = keys.iter().filter_map(position).map(str::to_owned);
            return Err(Violation::Scattered {
                positions: positions.collect(),
                keys: keys.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(done: &[(&str, &str)], refused: &[(&str, &str)]) -> Vec<Recorded> {
        let recorded = |(key, position): &(&str, &str), verdict: Verdict| Recorded {
            key: (*key).to_owned(),
            position: (*position).to_owned(),
            verdict,
        };
        let accepted = Verdict::Accepted {
            balance_after: None,
        };
        let rejected = Verdict::Rejected {
            code: "NO".to_owned(),
        };
        let done = done.iter().map(|it| recorded(it, accepted.clone()));
        let refused = refused.iter().map(|it| recorded(it, rejected.clone()));
        done.chain(refused).collect()
    }

    fn check(log: &[Recorded]) -> Result<(), Violation> {
        let group = ["a", "b", "c"].map(str::to_owned).to_vec();
        groups_are_whole(&[group], log)
    }

    #[test]
    fn all_or_none_is_right_and_a_part_is_not() {
        check(&log(&[("x", "1 1")], &[])).unwrap();
        check(&log(&[], &[("b", "1 2")])).unwrap();
        let whole = [("a", "1 1"), ("b", "1 2"), ("c", "1 3"), ("x", "2 1")];
        check(&log(&whole, &[])).unwrap();
        let part = log(&whole[..2], &[("c", "1 3")]);
        assert!(matches!(check(&part), Err(Violation::InPart { .. })));
    }

    #[test]
    fn a_group_is_in_one_entry_and_in_its_order() {
        let apart = log(&[("a", "1 1"), ("b", "1 2"), ("c", "2 1")], &[]);
        assert!(matches!(check(&apart), Err(Violation::Scattered { .. })));
        let crossed = log(&[("b", "1 1"), ("a", "1 2"), ("c", "1 3")], &[]);
        assert!(matches!(check(&crossed), Err(Violation::Scattered { .. })));
    }
}

//! No two writes are seen in two orders: of any two cuts of one kind, one has all that the other has.
//!
//! Cuts as of a time are compared with each other, and those that are true now with each other. What
//! is true now and not yet over as of any time is no contradiction.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Cut, When};

/// Two cuts of which each lacks something that the other has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{one:?} and {other:?} have seen {accounts:?} grow in two orders")]
pub struct Violation {
    /// One of them.
    pub one: Cut,
    /// The other.
    pub other: Cut,
    /// Of which accounts.
    pub accounts: (String, String),
}

/// What two accounts had in a cut.
type Both<'a> = (i64, i64, &'a Cut);

/// Checks every two cuts of these accounts, whose balances only grow. Returns how many cuts there
/// were.
///
/// # Errors
///
/// The first two that contradict each other.
pub fn all_see_one_order(cuts: &[Cut], growing: &BTreeSet<&str>) -> Result<usize, Violation> {
    let mut pairs: BTreeMap<(bool, &str, &str), Vec<Both<'_>>> = BTreeMap::new();
    for cut in cuts {
        let is_now = cut.when == When::WhileAsked;
        let known = cut
            .balances
            .iter()
            .filter(|(id, _)| growing.contains(id.as_str()));
        let known: Vec<_> = known.collect();
        for (number, (one, has)) in known.iter().enumerate() {
            for (other, other_has) in &known[number + 1..] {
                let pair = pairs.entry((is_now, one, other)).or_default();
                pair.push((**has, **other_has, cut));
            }
        }
    }
    for ((_, one, other), mut seen) in pairs {
        seen.sort_by_key(|(has, other_has, _)| (*has, *other_has));
        // With the one account rising, the other must not fall.
        for two in seen.windows(2) {
            if two[1].1 < two[0].1 {
                return Err(Violation {
                    one: two[0].2.clone(),
                    other: two[1].2.clone(),
                    accounts: (one.to_owned(), other.to_owned()),
                });
            }
        }
    }
    Ok(cuts.len())
}

#[cfg(test)]
mod tests {
    use super::{super::tests::cut, *};

    #[test]
    fn all_see_one_order_as_a_table() {
        let growing = BTreeSet::from(["x", "y"]);
        let now = |x, y| cut(When::WhileAsked, (1, 2), &[("x", x), ("y", y)]);
        let at = |time, x, y| cut(When::At(time), (1, 2), &[("x", x), ("y", y)]);
        let table = [
            (vec![now(0, 0), now(1, 0), now(1, 1)], true),
            (vec![now(1, 0), now(1, 0), now(2, 5)], true),
            // One has seen x before y, another y before x.
            (vec![now(1, 0), now(0, 1)], false),
            (vec![at(5, 3, 2), at(7, 4, 4), at(6, 2, 3)], false),
            // As of a time, what is true now is not yet there.
            (vec![now(1, 0), at(5, 0, 1)], true),
            // It is nothing to other accounts.
            (
                vec![
                    now(1, 0),
                    cut(When::WhileAsked, (1, 2), &[("x", 0), ("z", 9)]),
                ],
                true,
            ),
        ];
        for (cuts, is_so) in table {
            let judged = all_see_one_order(&cuts, &growing);
            assert_eq!(judged.is_ok(), is_so, "{cuts:?}");
        }
        let others = BTreeSet::from(["x"]);
        assert!(all_see_one_order(&[now(1, 0), now(0, 1)], &others).is_ok());
    }
}

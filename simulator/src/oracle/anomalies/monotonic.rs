//! A session never goes back: who brings the token of what was seen is shown no less of an account
//! that only grows.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Reading;

/// A session that went back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{later:?} was told after {earlier:?}, whose token was brought")]
pub struct Violation {
    /// What was seen.
    pub earlier: Reading,
    /// What was told then.
    pub later: Reading,
}

/// Checks all readings of these accounts, whose balances only grow, client by client. Returns how
/// many there were that had something to go back from.
///
/// # Errors
///
/// The first that went back.
pub fn sessions_never_go_back(
    readings: &[Reading],
    growing: &BTreeSet<&str>,
) -> Result<usize, Violation> {
    // By client and account: of what was seen at each index, the greatest so far.
    let mut seen: BTreeMap<(&str, &str), BTreeMap<u64, &Reading>> = BTreeMap::new();
    let mut checked = 0;
    for reading in readings {
        if !growing.contains(reading.account.as_str()) || reading.is_of_the_past() {
            continue;
        }
        let session = seen.entry((&reading.client, &reading.account)).or_default();
        let covered = reading.must_cover.unwrap_or(0);
        let before = session.range(..=covered).map(|(_, before)| *before);
        if let Some(earlier) = before.max_by_key(|before| before.balance) {
            checked += 1;
            if earlier.balance > reading.balance {
                return Err(Violation {
                    earlier: earlier.clone(),
                    later: reading.clone(),
                });
            }
        }
        session.entry(reading.index).or_insert(reading);
    }
    Ok(checked)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::{super::tests::moment, *};
    use crate::history::Mode;

    pub(in super::super) fn reading(
        account: &str,
        must_cover: Option<u64>,
        index: u64,
        balance: i64,
    ) -> Reading {
        Reading {
            client: "client".to_owned(),
            account: account.to_owned(),
            mode: Mode::Session,
            invoked: moment(1),
            completed: moment(2),
            node: "node".to_owned(),
            is_strong: false,
            shard: 1,
            index,
            balance,
            aside: None,
            stale_by: Duration::ZERO,
            true_at: 0,
            must_cover,
        }
    }

    #[test]
    fn sessions_never_go_back_as_a_table() {
        let growing = BTreeSet::from(["x"]);
        let first = || reading("x", None, 4, 10);
        let table = [
            (reading("x", Some(4), 5, 11), true),
            (reading("x", Some(4), 4, 10), true),
            // Its token was not brought, or is of another account, or client.
            (reading("x", None, 3, 9), true),
            (reading("x", Some(3), 3, 9), true),
            (reading("y", Some(4), 3, 9), true),
            // Back, whatever index it claims.
            (reading("x", Some(4), 3, 9), false),
            (reading("x", Some(4), 5, 9), false),
        ];
        for (second, is_so) in table {
            let judged = sessions_never_go_back(&[first(), second.clone()], &growing);
            assert_eq!(judged.is_ok(), is_so, "{second:?}");
        }
        let mut other = reading("x", Some(4), 3, 9);
        other.client.push('2');
        assert!(sessions_never_go_back(&[first(), other], &growing).is_ok());
    }
}

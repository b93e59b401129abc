//! Promise 3: no unforced debit takes `available` below zero.

use std::collections::BTreeMap;

/// One change of what an account has available, in the order of the book: a posting, or a hold
/// placed (negative) or released (positive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it happened, for the report.
    pub position: String,
    /// The account.
    pub account: String,
    /// The change; negative for debits and holds.
    pub delta: i64,
    /// Whether the bank forced it: a return, or another step that cannot be refused.
    pub is_forced: bool,
    /// How far below zero the account may go from then on, where that changes.
    pub limit: Option<i64>,
}

/// An account that was let go too far.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {position} an unforced debit of {debit} left {account} at {balance}, below {floor}")]
pub struct Violation {
    /// Where.
    pub position: String,
    /// Whose.
    pub account: String,
    /// How much was taken; positive.
    pub debit: i128,
    /// What was left.
    pub balance: i128,
    /// What may be left at least.
    pub floor: i128,
}

/// Checks every debit of the accounts in `limits`, which says how far below zero each may go at
/// first (zero or positive). Accounts without a limit there are not checked: house accounts, and those
/// opened without one.
///
/// # Errors
///
/// The first unforced debit that goes too far.
pub fn debits_stay_above_the_floor(
    changes: &[Change],
    limits: &BTreeMap<String, i64>,
) -> Result<(), Violation> {
    let mut limits = limits.clone();
    let mut balances: BTreeMap<&str, i128> = BTreeMap::new();
    for change in changes {
        let balance = balances.entry(&change.account).or_default();
        *balance += i128::from(change.delta);
        let Some(limit) = limits.get_mut(&change.account) else {
            continue;
        };
        *limit = change.limit.unwrap_or(*limit);
        let floor = -i128::from(*limit);
        if change.delta < 0 && !change.is_forced && *balance < floor {
            return Err(Violation {
                position: change.position.clone(),
                account: change.account.clone(),
                debit: -i128::from(change.delta),
                balance: *balance,
                floor,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(changes: &[(&str, i64, bool)]) -> Vec<Change> {
        changes
            .iter()
            .zip(1..)
            .map(|((account, delta, is_forced), position): (_, u32)| Change {
                position: position.to_string(),
                account: (*account).to_owned(),
                delta: *delta,
                is_forced: *is_forced,
                limit: None,
            })
            .collect()
    }

    fn limits() -> BTreeMap<String, i64> {
        [("alice".to_owned(), 0), ("bob".to_owned(), 100)].into()
    }

    #[test]
    fn debits_within_the_limit_pass() {
        let history = changes(&[
            ("alice", 50, false),
            ("alice", -50, false),
            ("bob", -100, false),
            ("cash", -1_000_000, false),
        ]);
        debits_stay_above_the_floor(&history, &limits()).unwrap();
    }

    #[test]
    fn an_overdraft_is_found_even_if_it_is_paid_back() {
        let history = changes(&[
            ("alice", 50, false),
            ("alice", -51, false),
            ("alice", 1, false),
        ]);
        let violation = debits_stay_above_the_floor(&history, &limits()).unwrap_err();
        assert_eq!((violation.position.as_str(), violation.balance), ("2", -1));
    }

    #[test]
    fn a_limit_counts_from_when_it_is_changed() {
        let mut history = changes(&[("alice", -40, false), ("bob", -10, false)]);
        let violation = debits_stay_above_the_floor(&history, &limits()).unwrap_err();
        assert_eq!(violation.position, "1");
        let changed = |account: &str, limit| Change {
            limit: Some(limit),
            ..changes(&[(account, 0, false)]).remove(0)
        };
        history.insert(0, changed("alice", 40));
        debits_stay_above_the_floor(&history, &limits()).unwrap();
        history.insert(2, changed("bob", 9));
        let violation = debits_stay_above_the_floor(&history, &limits()).unwrap_err();
        assert_eq!((violation.position.as_str(), violation.floor), ("2", -9));
    }

    #[test]
    fn an_account_in_excess_takes_credits_but_no_further_debit() {
        let mut history = vec![("bob", -150, true), ("bob", 10, false)];
        debits_stay_above_the_floor(&changes(&history), &limits()).unwrap();
        history.push(("bob", -1, false));
        let violation = debits_stay_above_the_floor(&changes(&history), &limits()).unwrap_err();
        assert_eq!(violation.position, "3");
    }
}

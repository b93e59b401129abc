//! Promise 2: an acknowledged outcome, acceptance or rejection, is never lost, and no command is
//! applied twice, whoever retries, whenever.

use std::collections::BTreeMap;

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Accepted {
        /// The balance of the command's account right after, where it is told.
        balance_after: Option<i64>,
    },
    /// It was refused, with this code.
    Rejected {
        /// Why.
        code: String,
    },
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The key of the command.
    pub key: String,
    /// Where its outcome is recorded, where that is told.
    pub position: Option<String>,
    /// The outcome.
    pub verdict: Verdict,
}

/// What the log says at the end of the run, void entries left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The key of the command.
    pub key: String,
    /// Where.
    pub position: String,
    /// The outcome.
    pub verdict: Verdict,
}

/// How an outcome was lost or doubled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The log has two outcomes for a key.
    #[error("the command {key} has an outcome at {first} and another at {second}")]
    AppliedTwice {
        /// Which command.
        key: String,
        /// The first place.
        first: String,
        /// The second place.
        second: String,
    },
    /// A client holds a receipt for something the log does not have.
    #[error("the command {key} was acknowledged at {position:?} and is not in the log")]
    Lost {
        /// Which command.
        key: String,
        /// Where the receipt says it is, if it does.
        position: Option<String>,
    },
    /// A receipt and the log tell different stories.
    #[error("the command {} was acknowledged as {receipt:?} and is recorded as {recorded:?}", receipt.key)]
    ToldOtherwise {
        /// What the client was told.
        receipt: Receipt,
        /// What the log says.
        recorded: Recorded,
    },
}

/// Checks every receipt, of first attempts and of retries, against the logs of all shards. A key
/// is taken to be unique over all of them.
///
/// # Errors
///
/// The first outcome that was doubled, or lost, or told otherwise.
pub fn outcomes_are_kept(receipts: &[Receipt], log: &[Recorded]) -> Result<(), Violation> {
    let mut by_key: BTreeMap<&str, &Recorded> = BTreeMap::new();
    for recorded in log {
        if let Some(first) = by_key.insert(&recorded.key, recorded) {
            return Err(Violation::AppliedTwice {
                key: recorded.key.clone(),
                first: first.position.clone(),
                second: recorded.position.clone(),
            });
        }
    }
    for receipt in receipts {
        let Some(recorded) = by_key.get(receipt.key.as_str()) else {
            return Err(Violation::Lost {
                key: receipt.key.clone(),
                position: receipt.position.clone(),
            });
        };
        let is_elsewhere = receipt
            .position
            .as_ref()
            .is_some_and(|told| *told != recorded.position);
        if is_elsewhere || !agree(&receipt.verdict, &recorded.verdict) {
            return Err(Violation::ToldOtherwise {
                receipt: receipt.clone(),
                recorded: (*recorded).clone(),
            });
        }
    }
    Ok(())
}

/// A balance that one side does not tell contradicts nothing.
fn agree(told: &Verdict, recorded: &Verdict) -> bool {
    match (told, recorded) {
        (
            Verdict::Accepted {
                balance_after: Some(told),
            },
            Verdict::Accepted {
                balance_after: Some(recorded),
            },
        ) => told == recorded,
        (Verdict::Accepted { .. }, Verdict::Accepted { .. }) => true,
        (Verdict::Rejected { code: told }, Verdict::Rejected { code: recorded }) => {
            told == recorded
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(balance_after: i64) -> Verdict {
        Verdict::Accepted {
            balance_after: Some(balance_after),
        }
    }

    fn rejected(code: &str) -> Verdict {
        Verdict::Rejected {
            code: code.to_owned(),
        }
    }

    fn receipt(key: &str, position: &str, verdict: Verdict) -> Receipt {
        Receipt {
            key: key.to_owned(),
            position: Some(position.to_owned()),
            verdict,
        }
    }

    fn log() -> Vec<Recorded> {
        [
            ("k1", "1/1/5", accepted(10)),
            ("k2", "1/1/6", rejected("INSUFFICIENT_FUNDS")),
        ]
        .map(|(key, position, verdict)| Recorded {
            key: key.to_owned(),
            position: position.to_owned(),
            verdict,
        })
        .to_vec()
    }

    #[test]
    fn receipts_that_the_log_bears_out_pass_however_often_they_were_given() {
        let receipts = [
            receipt("k1", "1/1/5", accepted(10)),
            receipt(
                "k1",
                "1/1/5",
                Verdict::Accepted {
                    balance_after: None,
                },
            ),
            receipt("k2", "1/1/6", rejected("INSUFFICIENT_FUNDS")),
        ];
        outcomes_are_kept(&receipts, &log()).unwrap();
    }

    #[test]
    fn a_lost_outcome_is_found() {
        for verdict in [accepted(10), rejected("ACCOUNT_CLOSED")] {
            let violation = outcomes_are_kept(&[receipt("k3", "1/1/7", verdict)], &log());
            assert!(matches!(violation, Err(Violation::Lost { key, .. }) if key == "k3"));
        }
    }

    #[test]
    fn a_command_applied_twice_is_found_even_if_nobody_was_told() {
        let mut log = log();
        let mut again = log[0].clone();
        again.position = "1/1/9".to_owned();
        log.push(again);
        let violation = outcomes_are_kept(&[], &log);
        assert!(matches!(violation, Err(Violation::AppliedTwice { key, .. }) if key == "k1"));
    }

    #[test]
    fn an_outcome_told_otherwise_is_found() {
        let lies = [
            receipt("k1", "1/1/5", accepted(11)),
            receipt("k1", "1/1/6", accepted(10)),
            receipt("k1", "1/1/5", rejected("INSUFFICIENT_FUNDS")),
            receipt("k2", "1/1/6", rejected("ACCOUNT_CLOSED")),
        ];
        for lie in lies {
            let violation = outcomes_are_kept(&[lie], &log());
            assert!(matches!(violation, Err(Violation::ToldOtherwise { .. })));
        }
    }
}

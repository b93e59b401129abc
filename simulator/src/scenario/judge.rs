//! Puts what clients were told and what the logs say before the oracles.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Evidence, is_house};
use crate::{
    history::{Outcome, Record, Request},
    oracle::{
        acknowledged::{self, Receipt, Recorded, Verdict},
        conservation, linearizable,
        linearizable::{Operation, Step},
        no_overdraft,
    },
};

/// The code under which a debit is refused for want of money.
const NOT_ENOUGH: &str = "INSUFFICIENT_FUNDS";

/// Calls every oracle on a world at rest: what clients were told, what the logs say, and which
/// accounts there are. All of them were opened empty and without an overdraft.
///
/// # Errors
///
/// The first promise that was broken, and how.
pub fn judge(records: &[Record], evidence: &Evidence, accounts: &[String]) -> Result<(), String> {
    let broken = |promise: u8| move |how: String| format!("promise {promise} is broken: {how}");
    conserved(records, evidence).map_err(broken(1))?;
    acknowledged::outcomes_are_kept(&receipts(records), &evidence.recorded)
        .map_err(|how| broken(2)(how.to_string()))?;
    let limits = accounts.iter().map(|id| (id.clone(), 0)).collect();
    no_overdraft::debits_stay_above_the_floor(&evidence.changes, &limits)
        .map_err(|how| broken(3)(how.to_string()))?;
    linearized(records, evidence, accounts).map_err(broken(4))
}

fn conserved(records: &[Record], evidence: &Evidence) -> Result<(), String> {
    let found = |violation: conservation::Violation| violation.to_string();
    for book in evidence.books.values() {
        conservation::book_sums_to_zero(book).map_err(found)?;
    }
    for crossing in evidence.crossings.values() {
        let is_returned = |item: &&conservation::Item| !crossing.returned.contains(item);
        let sent: Vec<_> = crossing.sent.iter().filter(is_returned).cloned().collect();
        conservation::channel_matches(&sent, &crossing.taken, &[]).map_err(found)?;
    }
    let customers: Vec<_> = evidence
        .books
        .values()
        .flatten()
        .map(|entry| conservation::Entry {
            position: entry.position.clone(),
            postings: entry
                .postings
                .iter()
                .filter(|posting| !is_house(&posting.account))
                .cloned()
                .collect(),
        })
        .collect();
    conservation::balances_follow_from_postings(&customers, &last_read(records)).map_err(found)
}

/// Each account's balance as the nodes told it last: the audit's.
fn last_read(records: &[Record]) -> BTreeMap<String, i64> {
    let reads = records
        .iter()
        .filter_map(|record| match (&record.request, &record.outcome) {
            (Request::StrongRead { account }, Outcome::Balance(balance)) => {
                Some((account.clone(), *balance))
            }
            _ => None,
        });
    reads.collect()
}

/// What clients were told, the first time and again.
fn receipts(records: &[Record]) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    for record in records {
        let told = std::iter::once(&record.outcome).chain(&record.told_again);
        receipts.extend(told.filter_map(|outcome| {
            let (position, verdict) = match outcome {
                Outcome::Accepted { position, balances } => {
                    let balance_after = balances.get(record.request.named_first()).copied();
                    (Some(position.clone()), Verdict::Accepted { balance_after })
                }
                Outcome::Rejected { position, code } => {
                    (position.clone(), Verdict::Rejected { code: code.clone() })
                }
                Outcome::Balance(_) | Outcome::Unknown => return None,
            };
            Some(Receipt {
                key: record.key.clone(),
                position,
                verdict,
            })
        }));
    }
    receipts
}

/// The logs say what became of commands whose clients never learned it. That leaves the search
/// nothing to guess but when: else each such command would double it.
fn linearized(records: &[Record], evidence: &Evidence, accounts: &[String]) -> Result<(), String> {
    let accepted: BTreeSet<&str> = evidence
        .recorded
        .iter()
        .filter(|recorded| matches!(recorded.verdict, Verdict::Accepted { .. }))
        .map(|recorded: &Recorded| recorded.key.as_str())
        .collect();
    let mut histories = linearizable::by_account(records, NOT_ENOUGH);
    for (account, operations) in &mut histories {
        operations.retain_mut(|operation| {
            let record = &records[operation.id];
            let place = (record.key.clone(), account.clone());
            let (Step::Credit { balance_after, .. } | Step::Debit { balance_after, .. }) =
                &mut operation.step
            else {
                return true;
            };
            if balance_after.is_none() {
                *balance_after = evidence.after.get(&place).copied();
            }
            // What was never told and never booked did not happen.
            operation.completed.is_some()
                || (accepted.contains(record.key.as_str()) && balance_after.is_some())
        });
    }
    for returned in &evidence.returns {
        let Some(record) = records.iter().find(|record| record.key == returned.key) else {
            continue;
        };
        let came_back = Operation {
            id: record.id,
            invoked: record.invoked.order,
            completed: None,
            step: Step::Credit {
                amount: returned.amount,
                balance_after: Some(returned.balance_after),
            },
        };
        histories
            .entry(returned.payer.clone())
            .or_default()
            .push(came_back);
    }
    let empty = linearizable::Account {
        balance: 0,
        overdraft_limit: Some(0),
    };
    for account in accounts {
        if let Some(operations) = histories.get(account) {
            linearizable::check(account, empty, operations).map_err(|how| how.to_string())?;
        }
    }
    Ok(())
}

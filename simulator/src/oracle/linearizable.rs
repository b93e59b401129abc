//! Promise 4: strong means linearizable. Each strong read and each write of an account appears to
//! take effect at one point between its beginning and its end.
//!
//! The check looks for such points: a search over all orders that real time allows, after Wing
//! and Gong (1993), with Lowe's memory of the configurations already tried (2017). It is complete:
//! where it finds no order, there is none. Its cost grows with the requests that overlap, and
//! doubles with each unknown outcome; it gives up, and says so, after a number of steps.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Outcome, Record, Request};

/// One request, as one account sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Names it in reports.
    pub id: usize,
    /// When it began, on a scale that all operations share.
    pub invoked: u64,
    /// When its client knew the outcome. None if it never did.
    pub completed: Option<u64>,
    /// What it is.
    pub step: Step,
}

/// What an operation does to a balance, and what its client was told about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Money in, with the balance after it where that was told.
    Credit {
        /// How much.
        amount: i64,
        /// What the receipt says.
        balance_after: Option<i64>,
    },
    /// Money out, with the balance after it where that was told.
    Debit {
        /// How much.
        amount: i64,
        /// What the receipt says.
        balance_after: Option<i64>,
    },
    /// Money out whatever is left, with the balance after it where that was told.
    Forced {
        /// How much.
        amount: i64,
        /// What the receipt says.
        balance_after: Option<i64>,
    },
    /// Another limit from then on.
    Limit {
        /// How far below zero the account may go.
        limit: i64,
    },
    /// Money out, refused because there was not enough.
    RefusedDebit {
        /// How much.
        amount: i64,
    },
    /// A read.
    Read {
        /// What it returned.
        balance: i64,
    },
}

/// The account before the first operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Its balance.
    pub balance: i64,
    /// How far it may go below zero; None for no limit.
    pub overdraft_limit: Option<i64>,
}

/// Why a history is not known to be linearizable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// There is no order that explains all answers.
    #[error(
        "no order explains what clients of {account} were told: after {placed:?} the balance is \
         {balance}, and none of {stuck:?} can be next"
    )]
    NotLinearizable {
        /// Whose history.
        account: String,
        /// The longest explanation found: ids of operations in order.
        placed: Vec<usize>,
        /// The balance it ends with.
        balance: i128,
        /// The operations one of which would have to follow.
        stuck: Vec<usize>,
    },
    /// The search was given up. The history is too long, or too much of it unknown.
    #[error("the history of {account} was not decided in {steps} steps")]
    Undecided {
        /// Whose history.
        account: String,
        /// How many were taken.
        steps: usize,
    },
}

/// How many configurations are tried before giving up: some seconds and some hundred megabytes.
const STEPS: usize = 1_000_000;

/// Looks for an order of one account's operations that real time allows and that explains every
/// answer. Operations whose outcome is unknown may take effect at any time after their beginning,
/// or never.
///
/// # Errors
///
/// When there is none, or the search took too long.
pub fn check(name: &str, account: Account, operations: &[Operation]) -> Result<(), Violation> {
    let mut operations: Vec<&Operation> = operations.iter().collect();
    operations.sort_by_key(|operation| (operation.invoked, operation.id));
    let to_explain = operations
        .iter()
        .filter(|operation| operation.completed.is_some())
        .count();
    let floor = account.overdraft_limit.map(|limit| -i128::from(limit));

    let start = Configuration {
        done: BitSet::new(operations.len()),
        balance: i128::from(account.balance),
        floor,
    };
    let mut tried = BTreeSet::from([start.clone()]);
    let mut path = vec![Visit::new(start, &operations)];
    let mut dead_end: Option<(usize, Violation)> = None;

    while let Some(visit) = path.last_mut() {
        let explained = visit.explained;
        if explained == to_explain {
            return Ok(());
        }
        let Some(index) = visit.candidates.pop() else {
            if dead_end
                .as_ref()
                .is_none_or(|(furthest, _)| *furthest < explained)
            {
                dead_end = Some((explained, stuck_after(name, &path, &operations)));
            }
            path.pop();
            continue;
        };
        let Configuration { balance, floor, .. } = visit.configuration;
        let Some(balance) = effect(operations[index], balance, floor) else {
            continue;
        };
        let done = visit.configuration.done.with(index);
        let floor = match operations[index].step {
            Step::Limit { limit } => Some(-i128::from(limit)),
            _ => floor,
        };
        let next = Configuration {
            done,
            balance,
            floor,
        };
        if !tried.insert(next.clone()) {
            continue;
        }
        if tried.len() > STEPS {
            return Err(Violation::Undecided {
                account: name.to_owned(),
                steps: STEPS,
            });
        }
        path.push(Visit {
            placed: Some(index),
            explained: explained + usize::from(operations[index].completed.is_some()),
            ..Visit::new(next, &operations)
        });
    }
    let (_, violation) = dead_end.expect("a search that found nothing came to an end somewhere");
    Err(violation)
}

/// The balance after an operation, if it can take effect at this balance with the answer it got.
fn effect(operation: &Operation, balance: i128, floor: Option<i128>) -> Option<i128> {
    let is_covered = |amount: i64| floor.is_none_or(|floor| balance - i128::from(amount) >= floor);
    let explains = |after: i128, told: Option<i64>| {
        told.is_none_or(|told| i128::from(told) == after)
            .then_some(after)
    };
    match operation.step {
        Step::Credit {
            amount,
            balance_after,
        } => explains(balance + i128::from(amount), balance_after),
        Step::Debit {
            amount,
            balance_after,
        } if is_covered(amount) => explains(balance - i128::from(amount), balance_after),
        Step::Debit { .. } => None,
        Step::Forced {
            amount,
            balance_after,
        } => explains(balance - i128::from(amount), balance_after),
        Step::Limit { .. } => Some(balance),
        Step::RefusedDebit { amount } => (!is_covered(amount)).then_some(balance),
        Step::Read { balance: read } => explains(balance, Some(read)),
    }
}

/// What the search has decided so far, all that the rest of it depends on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    done: BitSet,
    balance: i128,
    floor: Option<i128>,
}

/// One configuration on the current path.
struct Visit {
    configuration: Configuration,
    /// The operation that led here; none at the start.
    placed: Option<usize>,
    /// How many answers the path so far explains.
    explained: usize,
    /// Which operations may be next and have not been tried from here, the best guess last.
    candidates: Vec<usize>,
}

impl Visit {
    fn new(configuration: Configuration, operations: &[&Operation]) -> Self {
        let candidates = candidates(&configuration.done, operations);
        Visit {
            configuration,
            placed: None,
            explained: 0,
            candidates,
        }
    }
}

/// The operations that real time allows to be next: those that began before any other that is not
/// done was answered. The one answered first is the best guess, and comes last; those never
/// answered are tried only when all else fails.
fn candidates(done: &BitSet, operations: &[&Operation]) -> Vec<usize> {
    let answer = |index: &usize| operations[*index].completed.unwrap_or(u64::MAX);
    let mut candidates = Vec::new();
    let mut first_answer = u64::MAX;
    for index in (0..operations.len()).filter(|index| !done.contains(*index)) {
        // They are sorted by their beginning.
        if operations[index].invoked > first_answer {
            break;
        }
        first_answer = first_answer.min(answer(&index));
        candidates.push(index);
    }
    candidates.sort_by_key(|index| std::cmp::Reverse(answer(index)));
    candidates
}

fn stuck_after(name: &str, path: &[Visit], operations: &[&Operation]) -> Violation {
    let last = path.last().expect("a path starts somewhere");
    let ids = |indices: Vec<usize>| {
        indices
            .into_iter()
            .map(|index| operations[index].id)
            .collect()
    };
    Violation::NotLinearizable {
        account: name.to_owned(),
        placed: ids(path.iter().filter_map(|visit| visit.placed).collect()),
        balance: last.configuration.balance,
        stuck: ids(candidates(&last.configuration.done, operations)),
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct BitSet(Box<[u64]>);

impl BitSet {
    fn new(size: usize) -> Self {
        BitSet(vec![0; size.div_ceil(64)].into())
    }

    fn contains(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn with(&self, index: usize) -> Self {
        let mut set = self.clone();
        set.0[index / 64] |= 1 << (index % 64);
        set
    }
}

/// Splits a history by account.
///
/// A transfer is a debit of the payer and a credit of the payee. The debit was done when the
/// transfer was accepted. The credit is taken as done by then only if the receipt tells the
/// payee's balance: where it travels to another region, it may arrive later. Rejections count as
/// refused debits under the code given in `not_enough`; others say nothing about balances. A
/// transfer that was accepted and then returned gives the payer a credit that no client asked
/// for: add that operation, without an answer.
///
/// A capture of a hold, a sweep, a clearing and a reversal pay what `captured` has under their keys. Of an account of which something was
/// ever held or a journal took, refused debits say nothing here: what was available then is the
/// model's to know. What journals did is not in it.
#[must_use]
pub fn by_account(
    records: &[Record],
    not_enough: &str,
    captured: &BTreeMap<String, i64>,
) -> BTreeMap<String, Vec<Operation>> {
    let held = records
        .iter()
        .filter(|record| matches!(record.request.bare(), Request::Hold { .. }))
        .map(|record| record.request.named_first());
    let legs = records.iter().flat_map(|record| record.request.legs());
    let debits = legs.filter(|leg| leg.units < 0).map(|leg| &leg.account[..]);
    let held: BTreeSet<&str> = held.chain(debits).collect();
    let mut accounts: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    for record in records {
        for (account, completed, step) in steps(record, not_enough, captured) {
            if matches!(step, Step::RefusedDebit { .. }) && held.contains(account.as_str()) {
                continue;
            }
            accounts.entry(account).or_default().push(Operation {
                id: record.id,
                invoked: record.invoked.order,
                completed,
                step,
            });
        }
    }
    accounts
}

fn steps(
    record: &Record,
    not_enough: &str,
    captured: &BTreeMap<String, i64>,
) -> Vec<(String, Option<u64>, Step)> {
    let completed = record.completed.map(|moment| moment.order);
    let credit = |account: &str, amount, completed| {
        let balance_after = told(&record.outcome, account);
        (
            account.to_owned(),
            completed,
            Step::Credit {
                amount,
                balance_after,
            },
        )
    };
    let debit = |account: &str, amount| {
        let balance_after = told(&record.outcome, account);
        // What is captured was set aside before, whatever has become of the rest.
        let is_capture = matches!(record.request.bare(), Request::Capture { .. });
        let step = match is_capture || record.request.is_forced() {
            true => Step::Forced {
                amount,
                balance_after,
            },
            false => Step::Debit {
                amount,
                balance_after,
            },
        };
        (account.to_owned(), completed, step)
    };
    let is_grouped = matches!(record.request, Request::Grouped { .. });
    match (record.request.bare(), &record.outcome) {
        // A command of a group is refused after those before it, of which nothing is left.
        (_, Outcome::Rejected { .. }) if is_grouped => Vec::new(),
        (Request::StrongRead { account }, Outcome::Balance(balance)) => {
            vec![(account.clone(), completed, Step::Read { balance: *balance })]
        }
        (
            Request::StrongRead { .. }
            | Request::Forced { .. }
            | Request::Dated { .. }
            | Request::Through { .. }
            | Request::Grouped { .. }
            | Request::CloseDay { .. }
            | Request::Refer { .. }
            | Request::Register { .. }
            | Request::Attach { .. }
            | Request::Person { .. }
            | Request::Journal { .. }
            | Request::LimitSpending { .. }
            | Request::Close { sweep: None, .. }
            | Request::Hold { .. }
            | Request::Raise { .. }
            | Request::Release { .. }
            | Request::Freeze { .. }
            | Request::Unfreeze { .. }
            | Request::Provided { .. },
            _,
        ) => Vec::new(),
        (
            Request::Withdraw {
                account: payer,
                amount,
            }
            | Request::Transfer { payer, amount, .. },
            Outcome::Rejected { code, .. },
        ) if code == not_enough => {
            vec![(
                payer.clone(),
                completed,
                Step::RefusedDebit { amount: *amount },
            )]
        }
        (_, Outcome::Rejected { .. }) => Vec::new(),
        (Request::Reverse { legs, .. }, _) if !legs.is_empty() => Vec::new(),
        (Request::Clear { account: _, to, .. }, outcome) => match captured.get(&record.key) {
            Some(amount) => {
                let arrived = told(outcome, to).and(completed);
                vec![credit(to, *amount, arrived)]
            }
            None => Vec::new(),
        },
        (Request::Reverse { from, to, .. }, outcome) => {
            let Some(amount) = captured.get(&record.key) else {
                return Vec::new();
            };
            let from = from.iter().map(|from| debit(from, *amount));
            let to = to.iter().map(|to| {
                let arrived = told(outcome, to).and(completed);
                credit(to, *amount, arrived)
            });
            from.chain(to).collect()
        }
        (
            Request::Capture { account, payee, .. }
            | Request::Close {
                account,
                sweep: payee,
            },
            outcome,
        ) => {
            // What was never captured or swept took nothing.
            let Some(amount) = captured.get(&record.key) else {
                return Vec::new();
            };
            let mut both = vec![debit(account, *amount)];
            if let Some(payee) = payee {
                let arrived = told(outcome, payee).and(completed);
                both.push(credit(payee, *amount, arrived));
            }
            both
        }
        (Request::SetLimit { account, limit }, _) => {
            vec![(account.clone(), completed, Step::Limit { limit: *limit })]
        }
        (Request::Deposit { account, amount }, _) => vec![credit(account, *amount, completed)],
        (Request::Withdraw { account, amount }, _) => vec![debit(account, *amount)],
        (
            Request::Transfer {
                payer,
                payee,
                amount,
            },
            outcome,
        ) => {
            let arrived = told(outcome, payee).and(completed);
            vec![debit(payer, *amount), credit(payee, *amount, arrived)]
        }
    }
}

fn told(outcome: &Outcome, account: &str) -> Option<i64> {
    match outcome {
        Outcome::Accepted { balances, .. } => balances.get(account).copied(),
        _ => None,
    }
}

#[cfg(test)]
#[path = "linearizable_tests.rs"]
mod tests;

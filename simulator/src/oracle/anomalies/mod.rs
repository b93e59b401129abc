//! Things that nobody may ever be shown, by the names under which Jepsen made them known. Each judge
//! is a function of what clients were told, and of nothing else: it does not look into any log.
//!
//! The last three look at accounts that are only paid into, so that a balance tells which payments
//! it has: of two, the greater is the later.
//!
//! | what must not be seen | where it is promised |
//! |---|---|
//! | [`bank`]: money that comes or goes while it is moved about | balances as of one time, and the books at that time |
//! | [`long_fork`]: two writes, in two orders | balances as of times; strong reads |
//! | [`causal_reverse`]: a write without one that was over before it began | strong reads; reads that bring the tokens of both |
//! | [`monotonic`]: a session that goes back | reads that bring the tokens of what was seen before |
//!
//! A local read promises nothing about other shards than the account's: two of them may see two
//! writes in two orders, and say how old they are.

pub mod bank;
pub mod causal_reverse;
pub mod long_fork;
pub mod monotonic;

use std::collections::BTreeSet;

use crate::history::{Outcome, Record, Request};

/// A payment into an account that is only paid into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The account.
    pub account: String,
    /// Its balance after: whoever sees so much or more has seen this.
    pub value: i64,
    /// In which shard it is.
    pub shard: u32,
    /// At which index.
    pub index: u64,
    /// When it began, on a scale that all share.
    pub invoked: u64,
    /// When its client knew that it was done.
    pub completed: u64,
}

/// The accounts to which nothing happens but payments in.
#[must_use]
pub fn growing(records: &[Record]) -> BTreeSet<&str> {
    let mut growing = BTreeSet::new();
    let mut others = BTreeSet::new();
    for record in records {
        match &record.request {
            Request::Deposit { account, .. } => drop(growing.insert(account.as_str())),
            Request::StrongRead { .. } => {}
            request => others.extend(named(request)),
        }
    }
    growing.difference(&others).copied().collect()
}

fn named(request: &Request) -> Vec<&str> {
    let payee = match request.bare() {
        Request::Transfer { payee, .. } => Some(payee.as_str()),
        Request::Capture { payee, .. } => payee.as_deref(),
        _ => None,
    };
    let legs = request.legs().iter().map(|leg| leg.account.as_str());
    let named = payee.into_iter().chain([request.named_first()]);
    named.chain(legs).collect()
}

/// The payments that clients know to be done, into accounts that are only paid into.
#[must_use]
pub fn writes(records: &[Record]) -> Vec<Write> {
    let growing = growing(records);
    let writes = records.iter().filter_map(|record| {
        let account = record.request.named_first();
        let Outcome::Accepted { position, balances } = &record.outcome else {
            return None;
        };
        // «shard:epoch:index id»
        let mut place = position.split([':', ' ']);
        let shard = place.next()?.parse().ok()?;
        let index = place.nth(1)?.parse().ok()?;
        growing.contains(account).then_some(())?;
        Some(Write {
            account: account.to_owned(),
            value: *balances.get(account)?,
            shard,
            index,
            invoked: record.invoked.order,
            completed: record.completed?.order,
        })
    });
    writes.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::history::{Cut, Moment, When};

    pub(super) fn moment(order: u64) -> Moment {
        Moment {
            order,
            at: Duration::from_millis(order),
        }
    }

    /// A payment of one, known at once.
    pub(super) fn write(account: &str, value: i64, invoked: u64, completed: u64) -> Write {
        Write {
            account: account.to_owned(),
            value,
            shard: 1,
            index: completed,
            invoked,
            completed,
        }
    }

    pub(super) fn cut(when: When, asked: (u64, u64), balances: &[(&str, i64)]) -> Cut {
        let balances = balances.iter().map(|(id, it)| ((*id).to_owned(), *it));
        Cut {
            client: "client".to_owned(),
            when,
            invoked: moment(asked.0),
            completed: moment(asked.1),
            balances: balances.collect(),
            books: None,
        }
    }

    fn record(request: Request, value: i64) -> Record {
        let account = request.named_first().to_owned();
        Record {
            id: 0,
            client: "client".to_owned(),
            key: "key".to_owned(),
            request,
            invoked: moment(1),
            completed: Some(moment(2)),
            outcome: Outcome::Accepted {
                position: "3:1:17 T-17".to_owned(),
                balances: BTreeMap::from([(account, value)]),
            },
            told_again: Vec::new(),
        }
    }

    #[test]
    fn an_account_that_anything_else_happens_to_is_left_out() {
        let deposit = |account: &str| Request::Deposit {
            account: account.to_owned(),
            amount: 1,
        };
        let records = [
            record(deposit("alice"), 1),
            record(deposit("bob"), 1),
            record(
                Request::Transfer {
                    payer: "carol".to_owned(),
                    payee: "bob".to_owned(),
                    amount: 1,
                },
                0,
            ),
        ];
        assert_eq!(growing(&records), BTreeSet::from(["alice"]));
        let known = Write {
            shard: 3,
            index: 17,
            ..write("alice", 1, 1, 2)
        };
        assert_eq!(writes(&records), [known]);
    }
}

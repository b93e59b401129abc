//! What clients asked of the bank, and what they were told, for the oracles.
//!
//! Accounts are names and amounts are integers of the smallest unit: nothing here knows the
//! product's types, so that a mistake in those cannot hide itself.

mod asked;
mod journals;
mod request;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use asked::{Channel, Conditions, Freeze, Name};
pub use journals::{End, House, Leg};
pub use request::{Person, Request};

use crate::determinism::simulated_elapsed;

/// A point in a run.
///
/// Hosts take turns of a millisecond, so the clock of one can read less than another's did
/// before. `order` counts what the simulation did in its one thread, and is what "before" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The place among all moments of the history.
    pub order: u64,
    /// The simulated time, for people.
    pub at: Duration,
}

/// What the client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Accepted {
        /// Where it is recorded, in whatever form the receipt says it.
        position: String,
        /// Balances right after, of the accounts the receipt tells about.
        balances: BTreeMap<String, i64>,
    },
    /// It was refused.
    Rejected {
        /// Where the refusal is recorded, in whatever form the reply says it, if it does.
        position: Option<String>,
        /// Why, as a stable code.
        code: String,
    },
    /// The answer to a read.
    Balance(i64),
    /// Nothing that settles it: a time-out, a lost connection. It may or may not take effect,
    /// now or later.
    Unknown,
}

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the history.
    pub id: usize,
    /// Who asked.
    pub client: String,
    /// The idempotency key; empty for reads.
    pub key: String,
    /// What was asked.
    pub request: Request,
    /// When the first attempt began.
    pub invoked: Moment,
    /// When the client knew the outcome. None while it does not.
    pub completed: Option<Moment>,
    /// The outcome.
    pub outcome: Outcome,
    /// What the client was told when it asked again under the same key, knowing the outcome.
    pub told_again: Vec<Outcome>,
}

/// How fresh a balance had to be, and what it was to be a balance of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// True now.
    Strong,
    /// Whatever is near.
    Local,
    /// Not older than what the client had seen.
    Session,
    /// Not staler than this.
    Bounded(Duration),
    /// What was at this index of the account's shard.
    AsOfPlace(u64),
    /// What was at this time: nanoseconds since 1970 on the ledger's clock.
    AsOfTime(u64),
    /// What counts by the close of this day, counted from 1970-01-01, as known at the answer's place.
    AsOfDay(i32),
}

/// A balance that a client was told, and what it was said to be true for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Who asked.
    pub client: String,
    /// The account.
    pub account: String,
    /// How it was asked for.
    pub mode: Mode,
    /// When it was asked for.
    pub invoked: Moment,
    /// When the answer was there.
    pub completed: Moment,
    /// Which node answered.
    pub node: String,
    /// Whether it says that it was true when it was answered.
    pub is_strong: bool,
    /// The shard of the place for which it is true.
    pub shard: u32,
    /// The index of that place.
    pub index: u64,
    /// The balance.
    pub balance: i64,
    /// What is set aside of it, where the answer says so.
    pub aside: Option<Aside>,
    /// By how much the truth may be newer, as the answer says.
    pub stale_by: Duration,
    /// The time for which it is true, as the answer says, in nanoseconds.
    pub true_at: i64,
    /// The place in that shard that the tokens of the question cover.
    pub must_cover: Option<u64>,
}

/// What is set aside of an account, and for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Aside {
    /// All that is held.
    pub held: i64,
    /// What of that journals have reserved.
    pub reserved: i64,
    /// What journals will credit if they are posted.
    pub incoming: i64,
    /// How far below zero it may go, as what is available tells.
    pub limit: i64,
}

impl Reading {
    /// Whether what was asked for is long over.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        matches!(
            self.mode,
            Mode::AsOfPlace(_) | Mode::AsOfTime(_) | Mode::AsOfDay(_)
        )
    }
}

/// An account's bookings, as a client was told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The account.
    pub account: String,
    /// Which node was asked.
    pub node: String,
    /// In which region that is.
    pub region: String,
    /// The index up to which it is complete.
    pub index: u64,
    /// The bookings, in their order.
    pub lines: Vec<Line>,
}

/// An account's refused commands, as a client was told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals {
    /// The account.
    pub account: String,
    /// Which node was asked.
    pub node: String,
    /// The index up to which they are complete.
    pub index: u64,
    /// Where each was refused, and under which code; the newest first.
    pub refused: Vec<(u64, String)>,
    /// How many there were in all.
    pub all: u64,
}

/// One booking on a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was booked.
    pub index: u64,
    /// What the account gained; negative where it lost.
    pub amount: i64,
    /// The balance after it.
    pub balance_after: i64,
    /// The memo, where it was shown.
    pub memo: String,
    /// Whether it is a leg of a journal.
    pub is_leg: bool,
}

/// Balances of several accounts that are true together, as far as a client can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Who asked.
    pub client: String,
    /// When it is true.
    pub when: When,
    /// When the first of it was asked for.
    pub invoked: Moment,
    /// When the last of it was told.
    pub completed: Moment,
    /// The balances.
    pub balances: BTreeMap<String, i64>,
    /// What the books add up to, where that was asked too.
    pub books: Option<Books>,
}

/// When a cut is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// At some moment while it was asked for: strong reads of all, and then of all again, told the
    /// same, of balances that only grow.
    WhileAsked,
    /// At this time: nanoseconds since 1970 on the ledger's clock.
    At(u64),
}

/// What the books of all shards add up to at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Books {
    /// All that customers have.
    pub customers: i64,
    /// What is on its way to one, or waits for one: everything but the customers' and the cash.
    pub elsewhere: i64,
}

/// What was asked and told in a run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    /// In the order of their beginning.
    records: Vec<Record>,
    readings: Vec<Reading>,
    statements: Vec<Statement>,
    refusals: Vec<Refusals>,
    cuts: Vec<Cut>,
    ends: Vec<End>,
    moments: u64,
    /// Since when time is counted; none where it is the simulation's.
    began: Option<Instant>,
}

impl History {
    /// An empty history.
    #[must_use]
    pub fn new() -> Self {
        History::default()
    }

    /// An empty history of what is not simulated, from now on.
    #[must_use]
    pub fn in_real_time() -> Self {
        let history = History::default();
        history.recorded().began = Some(Instant::now());
        history
    }

    /// Records that a client asks, before it does. Its outcome is unknown until
    /// [`complete`](History::complete)d. Retries under the same key belong to the same record.
    pub fn invoke(&self, client: &str, key: &str, request: Request) -> usize {
        let mut recorded = self.recorded();
        let invoked = recorded.moment();
        let id = recorded.records.len();
        recorded.records.push(Record {
            id,
            client: client.to_owned(),
            key: key.to_owned(),
            request,
            invoked,
            completed: None,
            outcome: Outcome::Unknown,
            told_again: Vec::new(),
        });
        id
    }

    /// Records what a client was told. An unknown outcome leaves the record open.
    ///
    /// # Panics
    ///
    /// When the record is not there, or was completed before: the workload's mistake.
    pub fn complete(&self, id: usize, outcome: Outcome) {
        if outcome == Outcome::Unknown {
            return;
        }
        let mut recorded = self.recorded();
        let completed = recorded.moment();
        let record = &mut recorded.records[id];
        assert!(
            record.completed.is_none(),
            "request {id} was answered twice"
        );
        record.completed = Some(completed);
        record.outcome = outcome;
    }

    /// Whether the client knows the outcome.
    ///
    /// # Panics
    ///
    /// When the record is not there.
    #[must_use]
    pub fn is_completed(&self, id: usize) -> bool {
        self.recorded().records[id].completed.is_some()
    }

    /// Records what a client was told when it asked again, knowing the outcome. An unknown outcome
    /// says nothing.
    ///
    /// # Panics
    ///
    /// When the record is not there, or was not completed before: the workload's mistake.
    pub fn told_again(&self, id: usize, outcome: Outcome) {
        if outcome == Outcome::Unknown {
            return;
        }
        let mut recorded = self.recorded();
        let record = &mut recorded.records[id];
        assert!(record.completed.is_some(), "request {id} is still open");
        record.told_again.push(outcome);
    }

    /// The records whose outcome their clients do not know now.
    #[must_use]
    pub fn open(&self) -> Vec<Record> {
        let recorded = self.recorded();
        let open = recorded.records.iter().filter(|r| r.completed.is_none());
        open.cloned().collect()
    }

    /// A moment of its own: now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.recorded().moment()
    }

    /// Records a balance that a client was told, in whatever mode.
    pub fn note_reading(&self, reading: Reading) {
        self.recorded().readings.push(reading);
    }

    /// Records a statement that a client was given.
    pub fn note_statement(&self, statement: Statement) {
        self.recorded().statements.push(statement);
    }

    /// Records the refused commands that a client was told of.
    pub fn note_refusals(&self, refusals: Refusals) {
        self.recorded().refusals.push(refusals);
    }

    /// Records balances that are true together.
    pub fn note_cut(&self, cut: Cut) {
        self.recorded().cuts.push(cut);
    }

    /// Records what a client was told of a journal's end.
    pub fn note_end(&self, key: &str, refused: Option<String>, balances: BTreeMap<String, i64>) {
        let mut recorded = self.recorded();
        let told = recorded.moment();
        recorded.ends.push(End {
            key: key.to_owned(),
            told,
            refused,
            balances,
        });
    }

    /// When somebody was told first that a journal had ended.
    #[must_use]
    pub fn ended(&self, key: &str) -> Option<Moment> {
        let recorded = self.recorded();
        let end = recorded.ends.iter().find(|end| end.key == key);
        end.map(|end| end.told)
    }

    /// What clients were told of journals' ends, in the order of the answers.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        self.recorded().ends.clone()
    }

    /// All cuts so far, in the order of the answers.
    #[must_use]
    pub fn cuts(&self) -> Vec<Cut> {
        self.recorded().cuts.clone()
    }

    /// How many outcomes clients hold a receipt for.
    #[must_use]
    pub fn receipts(&self) -> usize {
        let told = |record: &&Record| {
            let outcome = &record.outcome;
            matches!(outcome, Outcome::Accepted { .. } | Outcome::Rejected { .. })
        };
        self.recorded().records.iter().filter(told).count()
    }

    /// All balances that clients were told so far, in the order of the answers.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        self.recorded().readings.clone()
    }

    /// All statements so far, in the order of the answers.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        self.recorded().statements.clone()
    }

    /// All lists of refused commands so far, in the order of the answers.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusals> {
        self.recorded().refusals.clone()
    }

    /// All records so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.recorded().records.clone()
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    fn moment(&mut self) -> Moment {
        let order = self.moments;
        self.moments += 1;
        Moment {
            order,
            at: self
                .began
                .map_or_else(simulated_elapsed, |began| began.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_open_until_its_outcome_is_known() {
        let history = History::new();
        let read = Request::StrongRead {
            account: "alice".to_owned(),
        };
        let first = history.invoke("atm", "", read.clone());
        let second = history.invoke("atm", "", read);
        history.complete(second, Outcome::Balance(5));
        history.complete(first, Outcome::Unknown);

        let records = history.records();
        assert_eq!(records[first].completed, None);
        assert!(records[second].completed > Some(records[first].invoked));
        assert_eq!(records[second].outcome, Outcome::Balance(5));
    }
}

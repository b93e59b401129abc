//! What logs say, and what may be wrong with it, in the words of the same page.

use super::Did;
use crate::history::Request;

/// A time of the ledger's clock: nanoseconds since 1970, and a count within one.
pub type Time = (u64, u32);

/// Something that the log of a shard says has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// In which shard.
    pub shard: u32,
    /// At which index.
    pub index: u64,
    /// When, by the clock of the log.
    pub time: Time,
    /// On which day by the calendar of the shard's region, counted from 1970-01-01.
    pub day: i32,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// An account began, empty.
    Opened {
        /// Which.
        account: String,
    },
    /// A customer's command was decided.
    Decided {
        /// The command's key.
        key: String,
        /// What became of it.
        verdict: Verdict,
    },
    /// The time of a hold is up.
    Expired {
        /// The key of the command that placed it.
        key: String,
    },
    /// Time has passed: this is the end of an entry.
    Passed,
    /// The money of a transfer came to its payee.
    Arrived {
        /// The transfer's key.
        key: String,
        /// The payee's balance then, as the log says.
        balance_after: i64,
    },
    /// The bank kept the money of a transfer from its payee.
    Kept {
        /// The transfer's key.
        key: String,
        /// What the ledger calls what it keeps.
        item: String,
    },
    /// Something became of a journal between shards.
    Journal {
        /// The key of the command that opened it.
        key: String,
        /// What.
        did: Did,
    },
    /// The payee's shard refused a transfer.
    TurnedAway {
        /// The transfer's key.
        key: String,
    },
    /// The money of a transfer came back to its payer.
    GivenBack {
        /// The transfer's key.
        key: String,
        /// The payer's balance then, as the log says; none where the bank kept it.
        balance_after: Option<i64>,
        /// What the ledger calls what it keeps, if it does.
        item: String,
    },
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was done, and left the account that it names first with this balance.
    Done(i64),
    /// It was refused under this code.
    Refused(String),
}

/// Where the ledger and the model part.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A command in the log that no customer has sent.
    #[error("{0:?} is in the log, and nobody has asked for it")]
    NobodyAsked(Step),
    /// It does not follow from what was asked and what came before.
    #[error("the log says {step:?}; {request:?} must come to {expected}")]
    Otherwise {
        /// What the log says.
        step: Step,
        /// What was asked.
        request: Request,
        /// What must become of it.
        expected: String,
    },
    /// The same thing happened a second time.
    #[error("{0:?} has happened before")]
    Twice(Step),
    /// The time of a hold is up, and it is still open; or it ended before its time.
    #[error("at {step:?} hold {key} is not as old as its time")]
    HoldOutOfTime {
        /// What the log says.
        step: Step,
        /// The key of the command that placed it.
        key: String,
    },
    /// An effect in another shard than where it belongs, or not after its cause.
    #[error("{0:?} has no cause in time")]
    WithoutCause(Step),
}

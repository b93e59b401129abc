use std::{fmt, io};

use ledger_domain::{AccountId, Damage, ShardId, TransactionId};

use super::stored::Malformed;
use crate::archive::shelf::NotReached;
use crate::log::NotHeld;

/// Why a view cannot be opened, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store was written by another version of this program.
    #[error("the views are of format {found}, this program's is {expected}")]
    Format {
        /// Its format; 0 where it does not say.
        found: u32,
        /// This program's.
        expected: u32,
    },
    /// A row cannot be read.
    #[error("{place}: {cause}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        #[source]
        cause: Malformed,
    },
    /// Rows contradict each other, or the entry that is folded onto them.
    #[error("the view of shard {shard} at index {index} does not fit: {what}")]
    Inconsistent {
        /// The shard.
        shard: ShardId,
        /// The index that was being folded.
        index: u64,
        /// What does not fit.
        what: String,
    },
    /// The view was folded from another history than the log holds.
    #[error(
        "the view of shard {shard} was folded from a history that parts from the log's at or before index {index}"
    )]
    OtherHistory {
        /// The shard.
        shard: ShardId,
        /// The index whose audited heads differ.
        index: u64,
    },
    /// An entry of the log cannot be read.
    #[error("the entry of shard {shard}, index {index}, cannot be folded: {damage}")]
    Entry {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// What is wrong.
        #[source]
        damage: Damage,
    },
    /// The log cannot be read.
    #[error("the log of shard {shard} cannot be read from index {index} on: {source}")]
    Log {
        /// The shard.
        shard: ShardId,
        /// The index asked for.
        index: u64,
        /// Why.
        source: io::Error,
    },
    /// The views' store cannot be read or written.
    #[error("the views' store: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// Can it help to read the log again later? Damage is mended while the node runs, and nothing
    /// is stored of a step that did not fit.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::Log { .. }
            | Self::OtherHistory { .. }
            | Self::Inconsistent { .. } => true,
            Self::Format { .. } | Self::Damaged { .. } | Self::Io(_) => false,
        }
    }

    /// Does the view wait for records that a snapshot let this replica skip, or that are in an archive
    /// which does not answer? Nothing is wrong with the view, and it says itself how old it is.
    pub(super) fn awaits_history(&self) -> bool {
        match self {
            Self::Log { source, .. } => {
                let cause = source.get_ref();
                cause.is_some_and(|cause| cause.is::<NotHeld>() || cause.is::<NotReached>())
            }
            _ => false,
        }
    }

    /// Can it help to wipe the views and fold them again? Not where the log itself is at fault.
    pub fn is_cured_by_rebuilding(&self) -> bool {
        match self {
            Self::Format { .. }
            | Self::Damaged { .. }
            | Self::Inconsistent { .. }
            | Self::OtherHistory { .. } => true,
            Self::Entry { .. } | Self::Log { .. } | Self::Io(_) => false,
        }
    }
}

/// A place in the views' store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The number of the format.
    Format,
    /// A shard's cursor.
    Cursor(ShardId),
    /// A transfer to another shard, under way or at its end.
    Item {
        /// The shard that sent it.
        shard: ShardId,
        /// The shard it is on its way to.
        destination: ShardId,
        /// Its number.
        number: u64,
    },
    /// An account's row.
    Account(AccountId),
    /// A line of an account's statement.
    Line {
        /// The account.
        account: AccountId,
        /// Its version after the movement.
        version: u64,
    },
    /// A sum of one of an account's days.
    Day(AccountId),
    /// How an account began.
    Opening(AccountId),
    /// A hold of an account.
    Hold {
        /// Whose.
        account: AccountId,
        /// Its number.
        number: u64,
    },
    /// A refused command of an account.
    Declined {
        /// Whose.
        account: AccountId,
        /// Its number.
        number: u64,
    },
    /// What an account was from an index on.
    State {
        /// Whose.
        account: AccountId,
        /// The index.
        index: u64,
    },
    /// A reversal of a transaction.
    Reversal(TransactionId),
    /// Where a journal between shards was decided.
    Journal {
        /// The shard that coordinates it.
        shard: ShardId,
        /// Its number there.
        number: u64,
    },
    /// The note that an entry means nothing.
    Void {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
    },
    /// A key that no version of this program writes.
    Key,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => write!(f, "the format of the views"),
            Self::Cursor(shard) => write!(f, "the view's cursor of shard {shard}"),
            Self::Item {
                shard,
                destination,
                number,
            } => write!(f, "item {number} from shard {shard} to shard {destination}"),
            Self::Account(account) => write!(f, "the row of {account}"),
            Self::Line { account, version } => {
                write!(f, "the statement line of {account}, version {version}")
            }
            Self::Day(account) => write!(f, "a day's total of {account}"),
            Self::Opening(account) => write!(f, "the opening of {account}"),
            Self::Hold { account, number } => write!(f, "hold {number} of {account}"),
            Self::Declined { account, number } => {
                write!(f, "refused command {number} of {account}")
            }
            Self::State { account, index } => {
                write!(f, "the states of {account} from index {index} on")
            }
            Self::Reversal(original) => write!(f, "a reversal of {original}"),
            Self::Journal { shard, number } => {
                write!(f, "the end of journal {number} of shard {shard}")
            }
            Self::Void { shard, index } => {
                write!(f, "the note that index {index} of shard {shard} is void")
            }
            Self::Key => write!(f, "a key of the views' store"),
        }
    }
}

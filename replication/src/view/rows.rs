//! What the views know, as values.

use ledger_domain::{
    Account, AccountId, Date, Fence, Hash, HybridTime, Limit, Position, Rejection, ShardId,
    TransactionId, chain,
    command::{Channel, Kind},
    movement::{Counterparty, MovementKind},
    planted::{Bug, planted},
};

use super::Watermark;

/// One line of an account's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The account's version after it. Versions rise; not every version has a line.
    pub version: u64,
    /// Minor units, positive for a credit.
    pub amount: i64,
    /// The booked sum after it, minor units.
    pub posted: i64,
    /// When it was booked: its entry's time.
    pub booked: HybridTime,
    /// The business date on which it was booked; not before that of the account's line before it.
    pub booked_on: Date,
    /// From which date it counts.
    pub effective_date: Date,
    /// The latest date from which any of the account's lines counts, up to this one.
    pub front: Date,
    /// Whether the day from which it counts was closed when it was booked.
    pub into_closed_day: bool,
    /// Whether the log has words that belong to it: a memo, references, a reason.
    pub has_words: bool,
    /// The other side.
    pub counterparty: Counterparty,
    /// What kind of movement.
    pub kind: MovementKind,
    /// The transaction it belongs to.
    pub transaction: TransactionId,
}

impl Line {
    /// Whether it counts from before another that was booked before it.
    pub fn is_late(&self) -> bool {
        self.effective_date < self.front
    }
}

/// What a store of views says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) format: u32,
    /// Rises with each that is made on a node.
    pub(super) generation: u64,
    /// Whether others serve until it is whole.
    pub(super) is_building: bool,
}

impl Label {
    /// Of views that serve.
    pub(super) fn whole(generation: u64) -> Self {
        Self {
            format: super::stored::FORMAT,
            generation,
            is_building: false,
        }
    }
}

/// An account as a view knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccountRow {
    pub(super) shard: ShardId,
    pub(super) account: Account,
    pub(super) last: Option<LastDates>,
    pub(super) restated: Option<Restated>,
}

/// Up to where the states of an account go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restated {
    /// How many there are.
    pub(super) number: u64,
    /// The business date on which the last began.
    pub(super) booked_on: Date,
}

/// Up to where the lines of an account go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastDates {
    /// The business date on which the last was booked.
    pub(super) booked_on: Date,
    /// [`Line::front`] of the last.
    pub(super) front: Date,
}

/// A command that was refused, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Its number among the refusals of its account, from 1.
    pub number: u64,
    /// Where it was refused.
    pub transaction: TransactionId,
    /// When: its entry's time.
    pub time: HybridTime,
    /// What was asked.
    pub kind: Kind,
    /// Why not, with the figures of then.
    pub rejection: Rejection,
    /// The date it would have counted from.
    pub effective_date: Date,
    /// How it came in.
    pub channel: Channel,
    /// Who asked.
    pub actor: String,
    /// Whether it took a privilege.
    pub privileged: bool,
    /// Why it was asked, where the caller said so.
    pub reason: String,
    /// What it belongs to.
    pub correlation_id: String,
}

/// A transfer to another shard that is no longer under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The paying transaction.
    pub sent: TransactionId,
    /// The outcome that closed it in the same log: settled or returned.
    pub closed: TransactionId,
}

/// A reversal of a transaction, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reversal {
    /// The transaction that moved it back, or opened a journal to.
    pub transaction: TransactionId,
    /// How much, minor units.
    pub amount: i64,
    /// The number of that journal; `None` where it was moved back within its shard. One that is
    /// cancelled is no reversal any more.
    pub journal: Option<u64>,
}

/// How an account began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The transaction that opened it.
    pub transaction: TransactionId,
    /// When: its entry's time.
    pub time: HybridTime,
    /// How far below zero it could go then; `None` in rows of before that was kept.
    pub limit: Option<Limit>,
}

/// A transfer on its way to another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) payer: AccountId,
    pub(super) payee: AccountId,
    pub(super) effective_date: Date,
    pub(super) amount: i64,
    pub(super) sent: TransactionId,
}

/// How far a shard is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The next index to read.
    pub(super) next: u64,
    /// The audited chain's head before it.
    pub(super) audited_head: Hash,
    /// Where the writer's chain stands.
    pub(super) fence: Fence,
}

impl Cursor {
    /// Before a shard's first index.
    pub(super) fn at_genesis(shard: ShardId, epoch: u64) -> Self {
        Self {
            next: 0,
            audited_head: chain::audit_genesis(shard),
            fence: Fence::new(shard, epoch),
        }
    }

    /// What reads are true for; `None` before the first index.
    pub(super) fn watermark(&self) -> Option<Watermark> {
        let Fence {
            shard, epoch, time, ..
        } = self.fence;
        let index = self.next.checked_sub(1)?;
        let position = Position {
            shard,
            epoch,
            index,
        };
        let mut time = time;
        if planted(Bug::WatermarkTooNew) {
            time.wall_nanos += 1;
        }
        Some(Watermark { position, time })
    }
}

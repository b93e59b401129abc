use ledger_domain::{Action, Command, Field, HybridTime, OutOfBounds};
use tokio::sync::oneshot;

use super::{Answer, Failure};

/// A command, or a group of them, ready to be decided.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What is asked; of a group, first.
    pub command: Command,
    /// What is asked with it, all or none.
    pub rest: Vec<Command>,
    /// What the caller has seen: the decision gets a later time.
    pub after: Option<HybridTime>,
}

impl Submission {
    /// How much of an entry it takes: one for a command, and for a journal its legs; so for one that
    /// moves something back.
    pub(super) fn weight(&self) -> usize {
        let all = std::iter::once(&self.command).chain(&self.rest);
        let weights = all.map(|command| match &command.action {
            Action::Journal { legs, .. } => legs.all().len(),
            Action::Reverse {
                moved: Some(moved), ..
            } => moved.legs_back().unwrap_or(1),
            _ => 1,
        });
        weights.sum()
    }
}

pub(super) type Reply = oneshot::Sender<Result<Answer, SubmitError>>;

/// Why there is no answer. Only where it says so has nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Another node decides. Nothing has happened.
    #[error("this node does not lead the shard")]
    NotLeader {
        /// Who does, if that is known.
        leader: Option<u64>,
    },
    /// Too much is waiting already. Nothing has happened.
    #[error("too many commands are waiting for this shard")]
    Busy,
    /// The disk of the node that leads is full. Nothing has happened.
    #[error("the disk of the node that decides is full")]
    NoRoom,
    /// The key is older than keys are remembered, so a repeat could not be told. Nothing happened.
    #[error("the first attempt is longer ago than keys are remembered")]
    TooOld,
    /// The key was used for another body. Nothing has happened.
    #[error("the key was used before with another `{}`", .field.map_or("body", Field::name))]
    KeyConflict {
        /// The first field that differs.
        field: Option<Field>,
    },
    /// The caller has seen a time this node's clock cannot follow. Nothing has happened.
    #[error(transparent)]
    Clock(#[from] OutOfBounds),
    /// It may have happened or may yet: a retry under the same key tells.
    #[error("whether this was decided is not known: {0}")]
    Unknown(String),
    /// The book here stopped at a damaged entry.
    #[error(transparent)]
    Failed(#[from] Failure),
}

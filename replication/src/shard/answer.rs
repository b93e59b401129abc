use ledger_domain::{HybridTime, Outcome, TransactionId};

/// What became of a command: committed, applied, and never to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The transaction's id, which is its place.
    pub transaction: TransactionId,
    /// The time of its entry.
    pub time: HybridTime,
    /// Its events, or its rejection.
    pub outcome: Outcome,
    /// What became of the others of its group, where that was done: their places are those that follow.
    pub others: Vec<Outcome>,
    /// The key was used before, and this is what became of it then.
    pub repeated: bool,
}

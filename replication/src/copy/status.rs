use tokio::time::Instant;

use super::Unfit;
use crate::metrics::Counter;

/// Why a copy has stopped for good. What it held before stays good.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Halt {
    /// A node of the home sent what does not follow from the history held here.
    #[error("shard {shard}, index {index}, as node {node} sent it: {cause}")]
    Unfit {
        /// The shard.
        shard: u32,
        /// The index that was expected.
        index: u64,
        /// Who sent it.
        node: u64,
        /// What is wrong.
        cause: Unfit,
    },
    /// This node's own log cannot be read or written.
    #[error("the copy of shard {shard} cannot be kept here: {cause}")]
    Log {
        /// The shard.
        shard: u32,
        /// What the log said.
        cause: String,
    },
}

/// How a copy fares at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CopyStatus {
    /// The node whose feed is followed, while one is.
    pub node: Option<u64>,
    /// The nodes of this region by way of which it comes, the one that hears the home first. Empty
    /// where this node hears the home itself.
    pub through: Vec<u64>,
    /// When a node of the home was last heard, with records or without, here or by whoever passes
    /// it on.
    pub last_heard: Option<Instant>,
    /// The highest index that a node of the home is known to have applied.
    pub home_applied: u64,
    /// Why it has stopped, if it has.
    pub halt: Option<Halt>,
    /// When it has.
    pub halted: Option<Instant>,
}

impl CopyStatus {
    /// Does this node hear the home for the others of its region?
    pub fn hears_home(&self) -> bool {
        self.node.is_some() && self.through.is_empty()
    }
}

/// The bytes of feed batches that a copy was sent, without what the transport adds.
#[derive(Debug, Default)]
pub struct Received {
    /// From another region.
    pub across: Counter,
    /// From a node of this region.
    pub within: Counter,
}

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a shard has been applied on this node, shared between who applies and who purges.
#[derive(Debug, Clone, Default)]
pub struct AppliedMark(Arc<AtomicU64>);

impl AppliedMark {
    /// Index 0 and everything up to `index` has been applied here. Never goes back.
    pub fn advance(&self, index: u64) {
        self.0.fetch_max(index + 1, Ordering::AcqRel);
    }

    /// The first index that has not been applied here.
    pub fn next(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

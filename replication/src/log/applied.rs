use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

/// How far a shard has been applied on this node, shared between who applies, who purges and who
/// reads the log from its beginning.
#[derive(Debug, Clone)]
pub struct AppliedMark(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The first index that has not been applied here.
    next: Mutex<u64>,
    held: watch::Sender<u64>,
    missing: watch::Sender<Option<Range<u64>>>,
}

impl Default for AppliedMark {
    fn default() -> Self {
        Self(Arc::new(Inner {
            next: Mutex::default(),
            held: watch::Sender::new(0),
            missing: watch::Sender::new(None),
        }))
    }
}

impl AppliedMark {
    /// Index 0 and everything up to `index` has been applied here, or is in the log here and was
    /// applied by an earlier life of this node. Never goes back.
    pub fn advance(&self, index: u64) {
        let mut next = self.lock();
        *next = (*next).max(index + 1);
        self.publish(*next);
    }

    /// The first index that has not been applied here.
    pub fn next(&self) -> u64 {
        *self.lock()
    }

    /// The last index that is applied and, with all before it, in the log here. 0 also before there
    /// is any.
    pub fn held(&self) -> watch::Receiver<u64> {
        self.0.held.subscribe()
    }

    /// The indexes that were applied by way of a snapshot and are not in the log here yet.
    pub fn missing(&self) -> watch::Receiver<Option<Range<u64>>> {
        self.0.missing.subscribe()
    }

    /// What is missing from now on. What came meanwhile counts as applied.
    pub(super) fn set_missing(&self, missing: Option<Range<u64>>) {
        let mut next = self.lock();
        let before = self.0.missing.send_replace(missing.clone());
        if let (Some(before), None) = (before, missing) {
            *next = (*next).max(before.end);
        }
        self.publish(*next);
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.0
            .next
            .lock()
            .expect("nobody panics while holding this")
    }

    fn publish(&self, next: u64) {
        let missing = self.0.missing.borrow().as_ref().map(|range| range.start);
        let end = missing.map_or(next, |from| from.min(next));
        let held = end.saturating_sub(1);
        self.0.held.send_if_modified(|last| {
            let more = held > *last;
            *last = (*last).max(held);
            more
        });
    }
}

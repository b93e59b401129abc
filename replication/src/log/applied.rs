use std::ops::Range;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

/// How far a shard has been applied on this node, shared between who applies, who purges and who
/// reads the log from its beginning.
#[derive(Debug, Clone)]
pub struct AppliedMark(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    held: watch::Sender<u64>,
    missing: watch::Sender<Option<Range<u64>>>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
}

impl Default for AppliedMark {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            held: watch::Sender::new(0),
            missing: watch::Sender::new(None),
        }))
    }
}

impl AppliedMark {
    /// Index 0 and everything up to `index` has been applied here, or is in the log here and was
    /// applied by an earlier life of this node. Never goes back.
    pub fn advance(&self, index: u64) {
        let mut state = self
            .0
            .state
            .lock()
            .expect("nobody panics while holding this");
        state.next = state.next.max(index + 1);
        self.publish(&state);
    }

    /// The first index that has not been applied here.
    pub fn next(&self) -> u64 {
        self.0
            .state
            .lock()
            .expect("nobody panics while holding this")
            .next
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
        let mut state = self
            .0
            .state
            .lock()
            .expect("nobody panics while holding this");
        let before = self.0.missing.send_replace(missing.clone());
        if let (Some(before), None) = (before, missing) {
            state.next = state.next.max(before.end);
        }
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let missing = self.0.missing.borrow().as_ref().map(|range| range.start);
        let end = missing.map_or(state.next, |from| from.min(state.next));
        let held = end.saturating_sub(1);
        self.0.held.send_if_modified(|last| {
            let more = held > *last;
            *last = (*last).max(held);
            more
        });
    }
}

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::rot::Rot;
use crate::oracle::sealed;

/// What a host has sent: memos that were seen in the clear, with who they were sent to, and records
/// that were changed.
#[derive(Debug, Default)]
pub struct Wire {
    memos: Mutex<BTreeSet<(String, String)>>,
    rots: Mutex<Option<Rot>>,
}

impl Wire {
    /// Notes the memos in a piece of data.
    pub(super) fn sent(&self, to: Option<&str>, data: &[u8]) {
        let mut memos = sealed::memos_in(data).peekable();
        if memos.peek().is_some() {
            let to = to.unwrap_or_default();
            self.seen().extend(memos.map(|memo| (to.to_owned(), memo)));
        }
    }

    /// All that was seen.
    #[must_use]
    pub fn memos(&self) -> Vec<(String, String)> {
        self.seen().iter().cloned().collect()
    }

    /// Lets the next `count` records of a shard be changed as they are sent, or no more.
    pub fn rot(&self, shard: u32, count: u32) {
        let mut rots = self.rots.lock().unwrap_or_else(PoisonError::into_inner);
        *rots = (count > 0).then_some(Rot { shard, left: count });
    }

    /// What is sent instead of what was to be, if anything is.
    pub(super) fn spoiled(&self, data: &[u8]) -> Option<Vec<u8>> {
        let mut rots = self.rots.lock().unwrap_or_else(PoisonError::into_inner);
        rots.as_mut()?.spoil_sent(data)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.memos.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

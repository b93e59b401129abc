use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::oracle::sealed;

/// What was seen in the clear in the bytes that a host has sent: to whom, and the memo.
#[derive(Debug, Default)]
pub struct Wire(Mutex<BTreeSet<(String, String)>>);

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

    fn seen(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

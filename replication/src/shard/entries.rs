//! Entries of a shard's log, read again.

use std::io;

use ledger_domain::{Entry, Position};

use crate::log::{Kind, LogHub, NotHeld};

/// Reads and decodes the entry at a position out of the log, where there is one.
pub fn read_entry(hub: &LogHub, at: Position) -> Result<Entry, String> {
    entry_at(hub, at)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| format!("index {} holds no entry here", at.index))
}

/// The entry at a position; `None` where the log ends before it, or holds something else there.
/// Void entries are given as well.
pub fn entry_at(hub: &LogHub, at: Position) -> Result<Option<Entry>, NoEntry> {
    let Position { shard, index, .. } = at;
    let range = index..index.saturating_add(1);
    let records = hub.read(shard.0, range, usize::MAX)?;
    let record = records.first().filter(|record| record.kind == Kind::Entry);
    let entry = record.map(|record| Entry::decode(&record.payload));
    entry
        .transpose()
        .map_err(|damage| NoEntry::Damaged(format!("{at}: {damage}")))
}

/// Why an entry that the log has cannot be read here.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    /// This node began with a later state and has not fetched it yet.
    #[error("{0}")]
    NotHeld(String),
    /// What is stored here is damaged.
    #[error("{0}")]
    Damaged(String),
}

impl From<io::Error> for NoEntry {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref();
        match cause.and_then(|cause| cause.downcast_ref::<NotHeld>()) {
            Some(missing) => Self::NotHeld(missing.to_string()),
            None => Self::Damaged(error.to_string()),
        }
    }
}

//! Entries of a shard's log, read again.

use std::io;

use ledger_domain::{Entry, Position};

use crate::archive::shelf::NotReached;
use crate::log::{InArchive, Kind, LogHub, NotHeld, StoredRecord};

/// The entry at a position; `None` where the log ends before it, or holds something else there.
/// Void entries are given as well.
pub async fn entry_at(hub: &LogHub, at: Position) -> Result<Option<Entry>, NoEntry> {
    let Position { shard, index, .. } = at;
    let range = index..index.saturating_add(1);
    let records = hub.read_through(shard.0, range, usize::MAX).await?;
    decoded(&records, at)
}

/// The same out of the log alone, at once; [`NoEntry::InArchive`] where it is not there any more.
pub fn entry_here(hub: &LogHub, at: Position) -> Result<Option<Entry>, NoEntry> {
    let index = at.index;
    let records = hub.read(at.shard.0, index..index.saturating_add(1), usize::MAX)?;
    decoded(&records, at)
}

fn decoded(records: &[StoredRecord], at: Position) -> Result<Option<Entry>, NoEntry> {
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
    /// It is in the archive, and was to be read here only.
    #[error("it is in the archive")]
    InArchive,
    /// It is in the archive, which does not answer.
    #[error("{0}")]
    NotReached(String),
    /// What is stored here is damaged.
    #[error("{0}")]
    Damaged(String),
}

impl From<io::Error> for NoEntry {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref();
        match cause.and_then(|cause| cause.downcast_ref::<NotHeld>()) {
            Some(missing) => Self::NotHeld(missing.to_string()),
            None if InArchive::is_cause(&error) => Self::InArchive,
            None if NotReached::is_cause(&error) => Self::NotReached(error.to_string()),
            None => Self::Damaged(error.to_string()),
        }
    }
}

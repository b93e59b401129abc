//! Entries that act upon what could still be lost.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger_domain::Entry;
use replication::{
    log::{Kind, StoredRecord},
    world::{Batch, Op},
};

use crate::world::log_key::{self, RECORD};

/// The entries of a batch with a cause that is among what was written and not synced.
pub(super) fn rash(batch: &Batch, unsynced: &[Batch]) -> Vec<String> {
    let doubtful: BTreeSet<&[u8]> = records(unsynced.iter().flatten())
        .map(|(key, _)| key)
        .collect();
    if doubtful.is_empty() {
        return Vec::new();
    }
    let entries = records(batch).filter_map(|(_, value)| entry(value));
    let found = entries.flat_map(|(index, entry)| {
        let causes = entry.causes.into_iter();
        let shard = entry.shard;
        let is_doubtful = |cause: &ledger_domain::Position| {
            doubtful.contains(&log_key::record(cause.shard.0, cause.index)[..])
        };
        let lost: Vec<_> = causes.filter(is_doubtful).collect();
        lost.into_iter()
            .map(move |cause| format!("index {index} of shard {} acts upon {cause}", shard.0))
    });
    found.collect()
}

fn records<'a>(
    ops: impl IntoIterator<Item = &'a Op>,
) -> impl Iterator<Item = (&'a [u8], &'a Bytes)> {
    ops.into_iter().filter_map(|op| match op {
        Op::Put(key, value) => {
            log_key::shard_of(key, RECORD)?;
            Some((&key[..], value))
        }
        Op::Delete(_) | Op::DeleteRange(_) => None,
    })
}

fn entry(stored: &Bytes) -> Option<(u64, Entry)> {
    let record = StoredRecord::parse(stored.clone()).ok()?;
    let is_entry = record.kind == Kind::Entry;
    let entry = Entry::decode(&record.payload).ok().filter(|_| is_entry)?;
    Some((record.id.index, entry))
}

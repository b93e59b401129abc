//! Entries that act upon what could still be lost.

use std::collections::BTreeSet;

use bytes::Bytes;
use ledger_domain::{Entry, Position};
use replication::{
    log::{Kind, StoredRecord},
    world::{Batch, Op},
};

use crate::world::log_key::{self, RECORD};

/// The entries of a batch with a cause that is among what was written and not synced.
pub(super) fn rash(batch: &Batch, unsynced: &[Batch]) -> Vec<String> {
    let with_causes: Vec<_> = records(batch)
        .filter_map(|(_, value)| entry(value))
        .filter(|(_, entry)| !entry.causes.is_empty())
        .collect();
    // Most batches have none, and what is not synced may be much: views are not.
    if with_causes.is_empty() {
        return Vec::new();
    }
    let doubtful: BTreeSet<&[u8]> = records(unsynced.iter().flatten())
        .map(|(key, _)| key)
        .collect();
    let mut found = Vec::new();
    for (index, Entry { shard, causes, .. }) in with_causes {
        let is_doubtful =
            |it: &Position| doubtful.contains(&log_key::record(it.shard.0, it.index)[..]);
        for cause in causes.into_iter().filter(is_doubtful) {
            found.push(format!(
                "index {index} of shard {} acts upon {cause}",
                shard.0
            ));
        }
    }
    found
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

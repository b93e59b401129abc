//! The logs of shards, as their nodes have stored them.

use std::io;

use jiff::tz::TimeZone;
use ledger_domain::{Entry, Fence, ShardId};
use replication::log::{Kind, StoredRecord};

use super::{bank::Bank, reigns};

/// A shard's log, with the reign its entries belong to.
pub struct Log {
    /// The shard.
    pub shard: u32,
    /// The reign.
    pub epoch: u64,
    /// By which its region counts days.
    pub zone: TimeZone,
    /// Its records, from the first on.
    pub records: Vec<StoredRecord>,
}

impl Log {
    /// What a majority of the voters has, by length.
    pub(super) fn of_majority(
        bank: &Bank,
        shard: u32,
        voters: &[String],
        held: &[Held<'_>],
    ) -> Log {
        let is_voter = |node: &str| voters.iter().any(|voter| voter == node);
        let by_voters = held.iter().filter(|(node, _)| is_voter(node));
        let mut by_voters: Vec<_> = by_voters.map(|(_, records)| records).collect();
        by_voters.sort_by_key(|records| records.len());
        Log {
            shard,
            epoch: bank.epoch(shard),
            zone: bank.zone(shard),
            records: by_voters[by_voters.len() / 2].clone(),
        }
    }
}

/// A node, and what it has of a shard.
pub(super) type Held<'a> = (&'a str, Vec<StoredRecord>);

/// What every node has of a shard.
pub(super) fn held<'a>(
    bank: &'a Bank,
    shard: u32,
    stored: impl Fn(&str, u32) -> io::Result<Vec<StoredRecord>>,
) -> Result<Vec<Held<'a>>, String> {
    let nodes = bank.topology().nodes.iter();
    nodes
        .map(|node| {
            let records = stored(&node.name, shard);
            let records = records.map_err(|e| format!("{}: {e}", node.name))?;
            Ok((node.name.as_str(), records))
        })
        .collect()
}

/// The entries of a log that count, and who wrote all of it.
pub(super) fn entries(log: &Log) -> Result<(Vec<(u64, Entry)>, reigns::Shard), String> {
    let mut reign = reigns::Shard::new(log.shard, log.epoch);
    let mut fence = Fence::new(ShardId(log.shard), log.epoch);
    let mut entries = Vec::new();
    for record in &log.records {
        if record.kind != Kind::Entry {
            reign.note(record, None);
            continue;
        }
        let index = record.id.index;
        let entry = Entry::decode(&record.payload)
            .map_err(|damage| format!("shard {}, index {index}: {damage}", log.shard))?;
        fence.under(record.id.epoch);
        let counts = fence.admit(&entry, &record.payload);
        reign.note(record, Some((&entry, counts)));
        if counts {
            entries.push((index, entry));
        }
    }
    Ok((entries, reign))
}

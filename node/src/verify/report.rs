use std::collections::BTreeMap;

use ledger_domain::Currency;

use super::between::Channel;
use super::book::Sums;
use super::finding::Finding;
use super::stored::Hash;

/// What a directory holds, and what of it does not hold.
#[derive(Debug, Clone)]
pub struct Report {
    /// The number of the node whose directory it is.
    pub node: u64,
    /// The node's region.
    pub region: String,
    /// The newest write to the store is incomplete, and left out. A node that loses its power may
    /// leave that behind; so does whoever cuts the end off.
    pub torn_end: bool,
    /// Every shard that is here, at home or as a copy.
    pub shards: Vec<ShardReport>,
    /// Channels between two shards that are both here.
    pub channels: Vec<Channel>,
    /// What is wrong, up to the limit.
    pub findings: Vec<Finding>,
    /// How much is wrong in all.
    pub found: u64,
}

/// What was read of one shard.
#[derive(Debug, Clone)]
pub struct ShardReport {
    /// Which.
    pub shard: u32,
    /// The region of its accounts, where it has any.
    pub region: Option<String>,
    /// Whether the shard votes here (or is a copy).
    pub at_home: bool,
    /// The first index that is here.
    pub first: Option<u64>,
    /// The last index that is here.
    pub last: Option<u64>,
    /// How many records are here.
    pub indexes: u64,
    /// The last index that is known here to be committed.
    pub settled: Option<u64>,
    /// How many entries count.
    pub entries: u64,
    /// How many entries are void.
    pub void: u64,
    /// The first of them.
    pub first_void: Option<u64>,
    /// How many accounts customers have, closed ones included.
    pub accounts: u64,
    /// What they come to.
    pub sums: BTreeMap<Currency, Sums>,
    /// The last settled index that is here.
    pub head_index: Option<u64>,
    /// The audited chain's head after it, computed from the records.
    pub head: Option<Hash>,
    /// The last index of the newest snapshot that is whole here.
    pub snapshot: Option<u64>,
    /// How many heads that the shard's home has signed were compared.
    pub told_compared: u64,
    /// The last index of which the home has signed a head, where the log does not go so far.
    pub told_beyond: Option<u64>,
    /// Ranges of indexes that are not here, and need not be: the book is not recomputed then.
    pub not_held: Vec<(u64, u64)>,
}

impl ShardReport {
    pub(super) fn of(shard: u32) -> Self {
        Self {
            shard,
            region: None,
            at_home: false,
            first: None,
            last: None,
            indexes: 0,
            settled: None,
            entries: 0,
            void: 0,
            first_void: None,
            accounts: 0,
            sums: BTreeMap::new(),
            head_index: None,
            head: None,
            snapshot: None,
            told_compared: 0,
            told_beyond: None,
            not_held: Vec::new(),
        }
    }
}

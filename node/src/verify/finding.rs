//! What is wrong, and where.

use std::fmt;

/// Which part of what is stored a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The store itself, or a key of it.
    Store,
    /// A marker of a shard, by name.
    Marker(&'static str),
    /// The record of an index: its frame, its fields, or that it is there at all.
    Record,
    /// The audited chain, or its stored head.
    Head,
    /// What an entry says about itself and its place in the writer's chain.
    Entry,
    /// An account, a house account, or a sum.
    Book,
    /// A key that commands are retried under.
    Key,
    /// A channel between two shards.
    Channel,
    /// A chunk of a snapshot, or what the newest whole snapshot says.
    Snapshot,
    /// A head that the shard's home has signed and told the node.
    Told,
    /// A head that was expected.
    Expected,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "store",
            Self::Marker(name) => return write!(f, "marker `{name}`"),
            Self::Record => "record",
            Self::Head => "head",
            Self::Entry => "entry",
            Self::Book => "book",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Snapshot => "snapshot",
            Self::Told => "told head",
            Self::Expected => "expected head",
        })
    }
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In whose log.
    pub shard: Option<u32>,
    /// At which index.
    pub index: Option<u64>,
    /// About what.
    pub part: Part,
    /// What is wrong, for people.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shard) = self.shard {
            write!(f, "shard {shard}, ")?;
        }
        if let Some(index) = self.index {
            write!(f, "index {index}, ")?;
        }
        write!(f, "{}: {}", self.part, self.what)
    }
}

/// Findings, up to a number; beyond it they are only counted.
#[derive(Debug, Default)]
pub(super) struct Findings {
    limit: usize,
    listed: Vec<Finding>,
    count: u64,
}

impl Findings {
    pub(super) fn up_to(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn add(
        &mut self,
        shard: impl Into<Option<u32>>,
        index: impl Into<Option<u64>>,
        part: Part,
        what: impl Into<String>,
    ) {
        self.count += 1;
        if self.listed.len() < self.limit {
            let (shard, index, what) = (shard.into(), index.into(), what.into());
            self.listed.push(Finding {
                shard,
                index,
                part,
                what,
            });
        }
    }

    /// What is listed, and how many there are in all.
    pub(super) fn into_parts(self) -> (Vec<Finding>, u64) {
        (self.listed, self.count)
    }
}

use std::{fmt, io};

use super::record;
use crate::archive::segment;
use crate::hex::hex;

/// Something stored is not what was written, or not where it should be. The node that finds it
/// refuses to serve the shard.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Damaged {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    #[source]
    pub cause: Damage,
}

/// A place in the log store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The record of an index.
    Record {
        /// The shard.
        shard: u32,
        /// The index.
        index: u64,
    },
    /// The audited head of an index.
    Head {
        /// The shard.
        shard: u32,
        /// The index.
        index: u64,
    },
    /// A chunk of a snapshot.
    Chunk {
        /// The shard.
        shard: u32,
        /// The hash it is stored under.
        hash: [u8; 32],
    },
    /// A segment of a log that is in the archive.
    Segment {
        /// The shard.
        shard: u32,
        /// Its first index.
        first: u64,
    },
    /// The name of a node's disk.
    Disk {
        /// The node.
        node: u64,
    },
    /// A marker of a shard.
    Marker {
        /// The shard.
        shard: u32,
        /// Which one: `vote`, `committed`, `purged`, `last`, `snapshot`, `missing` or `told`.
        name: &'static str,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { shard, index } => write!(f, "record of shard {shard}, index {index}"),
            Self::Head { shard, index } => write!(f, "head of shard {shard}, index {index}"),
            Self::Chunk { shard, hash } => {
                write!(f, "snapshot chunk {}… of shard {shard}", hex(&hash[..8]))
            }
            Self::Segment { shard, first } => {
                write!(f, "archived segment of shard {shard} from index {first} on")
            }
            Self::Disk { node } => write!(f, "name of the disk of node {node}"),
            Self::Marker { shard, name } => write!(f, "marker `{name}` of shard {shard}"),
        }
    }
}

/// What is wrong with a stored value.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It does not decode.
    #[error(transparent)]
    Format(#[from] record::Malformed),
    /// It is not there, though the markers say it must be.
    #[error("missing")]
    Missing,
    /// It is not what was sealed.
    #[error(transparent)]
    Segment(#[from] segment::Damage),
    /// It is there, though the markers say the log ends before it.
    #[error("lies beyond the end of the log")]
    Beyond,
    /// It is whole, but the audited chain does not lead through it.
    #[error("does not follow from what comes before it, or is not followed by what comes after")]
    Doubtful,
    /// It says that it belongs somewhere else, or names an entry the log does not hold.
    #[error("names {found}, where the log has {expected}")]
    Disagrees {
        /// What the value says.
        found: String,
        /// What its place, or the log, says.
        expected: String,
    },
}

impl Damage {
    pub(crate) fn at(self, place: Place) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Damaged { place, cause: self })
    }
}

/// The record of an index is not on this node, though the log goes further: it was purged before
/// it was applied here, and has not come by backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("index {index} of shard {shard} is not held here")]
pub struct NotHeld {
    /// The shard.
    pub shard: u32,
    /// The index asked for.
    pub index: u64,
    /// The next index that is held on disk.
    pub next: Option<u64>,
}

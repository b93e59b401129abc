//! Backups: what all shards of a ledger had decided, kept outside of its nodes, and taken back.
//!
//! A backup is the log: segments of every shard from index 0 on, and one object that names them, which
//! is written last. Objects are never changed; a later backup keeps the full segments of an earlier one
//! and writes the rest. `make` reads the history out of running nodes, `check` opens everything again,
//! `shortcut` keeps a snapshot, from which a restored node begins. `cut` says where several logs can be ended so that no effect is kept without its cause, and
//! `restore` writes the data directories of a new ledger. What personal data and tokens are sealed with
//! is in no backup: the regions' secrets are kept elsewhere.

mod catalog;
mod check;
pub mod cut;
mod make;
mod point;
mod restore;
mod shortcut;

use std::{io, path::PathBuf};

use ledger_domain::{HybridTime, Position};
use replication::archive::segment;

use crate::{objects, secrets::hex};

pub use catalog::{Catalog, Found};
pub use check::{Checked, CheckedShard, Claim, check, said_now};
pub use make::{Made, MadeShard, make};
pub use point::To;
pub use restore::{Restored, RestoredShard, Wanted, restore};

/// Why there is no backup, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Objects cannot be read or written.
    #[error(transparent)]
    Store(#[from] objects::Error),
    /// No node answers.
    #[error(transparent)]
    Client(#[from] crate::client::Error),
    /// There is nothing there.
    #[error("{0} has no backup")]
    None(String),
    /// None with this name.
    #[error("{place} has no backup {name}: it has {has}")]
    NoSuch {
        /// Where.
        place: String,
        /// What was asked for.
        name: String,
        /// The newest there.
        has: String,
    },
    /// Another ledger's.
    #[error(
        "{place} has backups of the ledger `{found}`, and this is `{wanted}`: use another place"
    )]
    OtherLedger {
        /// Where.
        place: String,
        /// Whose it is.
        found: String,
        /// Whose was asked for.
        wanted: String,
    },
    /// The object that names all others.
    #[error("the object {object} is damaged: {cause}")]
    Backup {
        /// Its name.
        object: String,
        /// What is wrong.
        cause: String,
    },
    /// A segment, or the records that were to be one.
    #[error("shard {shard}, index {first} on, object {object}: {cause}")]
    Segment {
        /// Whose log.
        shard: u32,
        /// Where it begins.
        first: u64,
        /// Its name.
        object: String,
        /// What is wrong.
        cause: segment::Damage,
    },
    /// An entry that cannot be read.
    #[error("shard {shard}, index {index}: the entry is damaged: {cause}")]
    Entry {
        /// Whose log.
        shard: u32,
        /// Which.
        index: u64,
        /// What is wrong.
        cause: String,
    },
    /// Less is served than is known to be there.
    #[error(
        "shard {shard} is behind: index {applied} was applied when the backup was begun, and index {next} is \
         not served. See what `meridian status` says of the nodes' copies, and ask another by `--node`"
    )]
    Behind {
        /// Whose log.
        shard: u32,
        /// What is not served.
        next: u64,
        /// The last that was applied.
        applied: u64,
    },
    /// A snapshot of another history than the segments'.
    #[error("shard {shard}: the snapshot at index {index} is not of this log, or cannot be read")]
    NotOfThisLog {
        /// Whose log.
        shard: u32,
        /// Where.
        index: u64,
    },
    /// A snapshot that knows of what is cut off.
    #[error(
        "shard {shard}: the snapshot at index {index} has read more of other logs than is kept"
    )]
    AheadOfCut {
        /// Whose log.
        shard: u32,
        /// Where.
        index: u64,
    },
    /// Two histories.
    #[error(
        "shard {shard} has another history at index {index}: the chain comes to {computed} there, and \
         {who} says {said}"
    )]
    Differs {
        /// Whose log.
        shard: u32,
        /// Where.
        index: u64,
        /// The head as computed, hexadecimal.
        computed: String,
        /// Who says otherwise.
        who: String,
        /// The head as said, hexadecimal.
        said: String,
    },
    /// The same ledger twice would be two histories under one name.
    #[error(
        "the topology is of the ledger `{0}`, and so is the backup: a restored ledger is a new one, give \
         it another name"
    )]
    SameLedger(String),
    /// Accounts are spread over shards, and would be looked for where they are not.
    #[error(
        "the backup has the shards `{had}`, and the topology has `{has}`: they must be the same"
    )]
    OtherShards {
        /// In the backup.
        had: String,
        /// In the topology.
        has: String,
    },
    /// Nothing of a shard is as early as was asked for.
    #[error("nothing is left of shard {shard}: it was founded later than what is asked for")]
    NothingLeft {
        /// Which.
        shard: u32,
    },
    /// A place that is not in the backup, or before any entry.
    #[error("the backup has no entry at or before {0}")]
    NoSuchPosition(Position),
    /// A place of an epoch that did not write it.
    #[error("the backup has no position {at}: that index is of epoch {epoch} in it")]
    OtherEpoch {
        /// What was asked for.
        at: Position,
        /// What the backup has there.
        epoch: u64,
    },
    /// An epoch that was.
    #[error(
        "shard {shard} has had epoch {last}: the restored ledger's must be greater than it, and {epoch} is not"
    )]
    EpochWas {
        /// The shard.
        shard: u32,
        /// Its last epoch in the backup.
        last: u64,
        /// What was asked for.
        epoch: u64,
    },
    /// A time that the backup does not come to.
    #[error(
        "shard {shard} ends before what is asked for: the latest time that all shards of the backup come to \
         is {} ({}). Restore to that or less, from a later backup, or, with `--incomplete`, as much as there is",
        hex(&.until.to_bytes()), instant(.until.wall_nanos)
    )]
    Incomplete {
        /// The shard that ends first.
        shard: u32,
        /// The time of its last entry.
        until: HybridTime,
    },
    /// A directory that is there already.
    #[error("{0} is there already: nothing was changed")]
    IsThere(PathBuf),
    /// A directory that cannot be written.
    #[error("{path}: {cause}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A task of this program ended.
    #[error("a part of this program has ended: {0}")]
    Broken(String),
}

impl Error {
    /// Is what is kept, or what nodes say, another than it should be?
    pub fn differs(&self) -> bool {
        matches!(
            self,
            Self::Backup { .. }
                | Self::NotOfThisLog { .. }
                | Self::Segment { .. }
                | Self::Entry { .. }
                | Self::Differs { .. }
        ) || matches!(self, Self::Store(objects::Error::Missing { .. }))
    }

    /// Is what was asked for wrong?
    pub fn is_wrong_input(&self) -> bool {
        matches!(
            self,
            Self::None(_)
                | Self::NoSuch { .. }
                | Self::OtherLedger { .. }
                | Self::SameLedger(_)
                | Self::OtherShards { .. }
                | Self::NothingLeft { .. }
                | Self::NoSuchPosition(_)
                | Self::OtherEpoch { .. }
                | Self::EpochWas { .. }
                | Self::Incomplete { .. }
                | Self::IsThere(_)
                | Self::Store(objects::Error::Place { .. })
        )
    }
}

/// Such as `2026-11-21T10:00:00.5Z`.
fn instant(wall_nanos: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(wall_nanos.into());
    time.map_or_else(|error| error.to_string(), |time| time.to_string())
}

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// How many mended faults are remembered.
const REMEMBERED: usize = 32;

/// What of an index is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The record cannot be read, or is missing.
    Record,
    /// The head cannot be read, or is missing.
    Head,
    /// Both can be read, and do not follow from what comes before.
    Chain,
    /// A segment that begins with the index is not in the archive as it was sealed.
    Archive,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Head => "head",
            Self::Chain => "chain",
            Self::Archive => "archive",
        })
    }
}

/// Something stored that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which shard.
    pub shard: u32,
    /// At which index.
    pub index: u64,
    /// In what.
    pub part: Part,
    /// What is wrong, for people.
    pub what: String,
    /// Why no peer could mend it, as far as any was asked.
    pub tried: String,
}

impl Fault {
    pub(super) fn new(shard: u32, index: u64, part: Part, what: String) -> Self {
        Self {
            shard,
            index,
            part,
            what,
            tried: String::new(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shard, index, part) = (self.shard, self.index, self.part);
        write!(f, "{part} of shard {shard}, index {index}: {}", self.what)?;
        if self.tried.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.tried)
    }
}

/// What scrubbing has come to since the node was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Passes through all logs that came to their end.
    pub passes: u64,
    /// Indexes read.
    pub indexes: u64,
    /// Bytes of their records and heads.
    pub bytes: u64,
    /// Faults found: each once, however often a pass meets it.
    pub found: u64,
    /// Those of them that were mended from a peer.
    pub mended: u64,
    /// What is damaged still, by shard and index.
    pub standing: BTreeMap<(u32, u64), Fault>,
    /// The newest that were mended, and from which node; the newest last.
    pub lately_mended: VecDeque<(Fault, u64)>,
    /// Logs, or their snapshots, that could not be read to their end in the last pass, and why.
    pub unreadable: BTreeMap<u32, String>,
}

/// Where a scrub tells what it finds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Findings(Arc<Mutex<ScrubStatus>>);

impl Findings {
    /// As it is now.
    pub fn status(&self) -> ScrubStatus {
        self.lock().clone()
    }

    pub(super) fn passed(&self) {
        self.lock().passes += 1;
    }

    pub(super) fn read(&self, indexes: u64, bytes: u64) {
        let mut status = self.lock();
        status.indexes += indexes;
        status.bytes += bytes;
    }

    /// An index is as it should be, whatever it was before.
    pub(super) fn sound(&self, shard: u32, index: u64) {
        self.lock().standing.remove(&(shard, index));
    }

    /// Something is damaged. Was it not known before?
    pub(super) fn stands(&self, fault: Fault) -> bool {
        let mut status = self.lock();
        let place = (fault.shard, fault.index);
        let is_new = status.standing.insert(place, fault).is_none();
        status.found += u64::from(is_new);
        is_new
    }

    pub(super) fn mended(&self, fault: Fault, by: u64) {
        let mut status = self.lock();
        if status
            .standing
            .remove(&(fault.shard, fault.index))
            .is_none()
        {
            status.found += 1;
        }
        status.mended += 1;
        status.lately_mended.push_back((fault, by));
        while status.lately_mended.len() > REMEMBERED {
            status.lately_mended.pop_front();
        }
    }

    pub(super) fn whole(&self, shard: u32) {
        self.lock().unreadable.remove(&shard);
    }

    pub(super) fn unreadable(&self, shard: u32, error: &io::Error) {
        let mut status = self.lock();
        if status.unreadable.insert(shard, error.to_string()).is_none() {
            status.found += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, ScrubStatus> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

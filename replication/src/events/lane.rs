use ledger_domain::{Damage, Entry, Fence, HybridTime, Position, ShardId, frame};

use crate::archive::shelf::NotReached;
use crate::log::{Damaged, Kind, LogHub, NotHeld, StoredRecord};
use crate::view::{ReadError, Views};

/// How much of a log is read at a time. Other tasks have their turn in between.
const STEP_BYTES: usize = 128 << 10;

/// Why a log cannot be read on here. What comes before its place has been read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has not come to this node yet.
    #[error("{0}")]
    NotHeld(NotHeld),
    /// What is stored there is not what was written.
    #[error("index {index} of shard {shard} is damaged: {cause}")]
    Damaged {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// What is wrong.
        cause: String,
    },
    /// A newer program wrote it.
    #[error("index {index} of shard {shard} is from a newer program: {cause}")]
    Newer {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// What is not known of it.
        cause: Damage,
    },
    /// It is in the archive, which does not answer.
    #[error("{0}")]
    NotReached(String),
    /// The disk.
    #[error("index {index} of shard {shard} cannot be read: {cause}")]
    Unreadable {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// Why not.
        cause: std::io::Error,
    },
    /// Where to begin cannot be told.
    #[error(transparent)]
    View(#[from] ReadError),
}

/// An entry that counts, and decided something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Its index.
    pub index: u64,
    /// What it says.
    pub entry: Entry,
}

/// A shard's log, read on from a place.
pub struct Lane {
    hub: LogHub,
    fence: Fence,
    next: u64,
}

impl Lane {
    /// From the first index on.
    pub fn from_beginning(hub: LogHub, shard: ShardId, epoch: u64) -> Self {
        let fence = Fence::new(shard, epoch);
        Self {
            hub,
            fence,
            next: 0,
        }
    }

    /// From an index on. The view must have come to the one before.
    pub async fn from_index(
        hub: LogHub,
        views: &Views,
        shard: ShardId,
        epoch: u64,
        next: u64,
    ) -> Result<Self, Error> {
        let fence = fence_before(&hub, views, shard, epoch, next).await?;
        Ok(Self { hub, fence, next })
    }

    /// From the first entry on that is later than a time. The view must have come to `last`, and
    /// nothing that comes after it may be as early.
    pub async fn after(
        hub: LogHub,
        views: &Views,
        shard: ShardId,
        epoch: u64,
        time: HybridTime,
        last: u64,
    ) -> Result<Self, Error> {
        let (mut next, mut end) = (0, last.saturating_add(1));
        while next < end {
            let middle = next + (end - next) / 2;
            let before = fence_before(&hub, views, shard, epoch, middle + 1).await?;
            match before.time > time {
                true => end = middle,
                false => next = middle + 1,
            }
        }
        Self::from_index(hub, views, shard, epoch, next).await
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.fence.shard
    }

    /// The index that is read next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The reign that wrote what was read last.
    pub fn epoch(&self) -> u64 {
        self.fence.epoch
    }

    /// The time up to which all was read.
    pub fn time(&self) -> HybridTime {
        self.fence.time
    }

    /// Reads some of what follows, no further than `through`: what decided nothing, or means nothing,
    /// is passed over. `None` where nothing follows.
    pub async fn read(&mut self, through: u64) -> Result<Option<Vec<Decided>>, Error> {
        if self.next > through {
            return Ok(None);
        }
        let (shard, begun) = (self.fence.shard, self.next);
        let indexes = begun..through.saturating_add(1);
        let read = self.hub.read_through(shard.0, indexes.clone(), STEP_BYTES);
        let records = match read.await {
            Ok(records) => records,
            // All before the place that cannot be read is to be had.
            Err(_) => {
                let one = self.hub.read_through(shard.0, indexes, 1).await;
                one.map_err(|error| unreadable(shard, self.next, error))?
            }
        };
        if records.is_empty() {
            // Index 0 counts as served before it is there.
            return Ok(None);
        }
        let mut decided = Vec::new();
        for record in records {
            let index = record.id.index;
            let entry = match decode(shard, &record) {
                Ok(entry) => entry,
                // It is met again, and told then.
                Err(_) if self.next > begun => break,
                Err(error) => return Err(error),
            };
            self.next = index + 1;
            // A reign begins with a record that is no entry.
            self.fence.under(record.id.epoch);
            let Some(entry) = entry else {
                continue;
            };
            let counts = self.fence.admit(&entry, &record.payload);
            if counts && !entry.outcomes.is_empty() {
                decided.push(Decided { index, entry });
            }
        }
        Ok(Some(decided))
    }
}

/// What the records before an index leave behind: the last of them says the reign.
async fn fence_before(
    hub: &LogHub,
    views: &Views,
    shard: ShardId,
    epoch: u64,
    next: u64,
) -> Result<Fence, Error> {
    let mut fence = Fence::new(shard, epoch);
    for index in (0..next).rev() {
        let record = hub.read_through(shard.0, index..index + 1, 1).await;
        let record = record.map_err(|error| unreadable(shard, index, error))?;
        let Some(record) = record.first() else {
            continue;
        };
        let epoch = record.id.epoch;
        if index + 1 == next {
            fence.under(epoch);
        }
        let position = Position {
            shard,
            epoch,
            index,
        };
        let Some(entry) = decode(shard, record)? else {
            continue;
        };
        if !views.is_void(position)? {
            fence.head = Entry::link(&record.payload);
            fence.time = entry.time;
            break;
        }
    }
    Ok(fence)
}

/// The entry of a record, if it is one.
fn decode(shard: ShardId, record: &StoredRecord) -> Result<Option<Entry>, Error> {
    if record.kind != Kind::Entry {
        return Ok(None);
    }
    let index = record.id.index;
    let entry = Entry::decode(&record.payload).map_err(|cause| match cause {
        Damage::UnknownEvent | Damage::Frame(frame::Error::Version { .. }) => Error::Newer {
            shard,
            index,
            cause,
        },
        cause => Error::Damaged {
            shard,
            index,
            cause: cause.to_string(),
        },
    })?;
    Ok(Some(entry))
}

fn unreadable(shard: ShardId, index: u64, cause: std::io::Error) -> Error {
    let why = cause.get_ref();
    if let Some(missing) = why.and_then(|why| why.downcast_ref::<NotHeld>()) {
        return Error::NotHeld(*missing);
    }
    if NotReached::is_cause(&cause) {
        return Error::NotReached(cause.to_string());
    }
    if why.is_some_and(|why| why.is::<Damaged>()) {
        let cause = cause.to_string();
        return Error::Damaged {
            shard,
            index,
            cause,
        };
    }
    Error::Unreadable {
        shard,
        index,
        cause,
    }
}

//! A damaged index, out of a peer's mouth.
//!
//! Before anything is written:
//!
//! 1. Each record the peer sends, from the damaged index on, is whole, is of the index that is due,
//!    and the head that comes with it is the one computed from the record and the head before. The
//!    first head before is this node's own.
//! 2. The peer's chain leads back into this node's: at some index its head is the very head that is
//!    stored here. Whatever differs before that index is damage here and nothing else, as a head
//!    stands for all before it.
//! 3. Where the log ends before that, the records must be those that are stored here; then only
//!    heads were lost, and they follow from the records.

use std::io;
use std::ops::Range;

use crate::copy::{Audit, CopyOptions, Unfit};
use crate::feed::{Failure, Pull};
use crate::log::{CopyRecord, LogHub, ShardLog};
use crate::peer::Peers;
use crate::proto::FeedRequest;

/// How many indexes are read of a peer to find the way back.
const REACH: u64 = 4_096;
/// Records that may be held until the way back is found, in bytes.
const HELD: usize = 64 << 20;

/// Why a peer is of no help.
#[derive(Debug, thiserror::Error)]
pub(super) enum Left {
    #[error(transparent)]
    Feed(#[from] Failure),
    #[error("its index {index} does not follow from what is here: {cause}")]
    Unfit { index: u64, cause: Unfit },
    #[error("through index {0} its history does not lead back to what is stored here")]
    Apart(u64),
    #[error("index {0} is not committed as far as it knows")]
    Behind(u64),
    #[error("the log: {0}")]
    Log(#[from] io::Error),
}

/// What to write, and where the chain is after it.
pub(super) struct Repaired {
    pub(super) rows: Vec<CopyRecord>,
    pub(super) after: Audit,
}

pub(super) struct Repair<'a> {
    pub(super) hub: &'a LogHub,
    pub(super) log: &'a ShardLog,
    pub(super) peers: &'a Peers,
    pub(super) options: &'a CopyOptions,
}

impl Repair<'_> {
    /// Asks a node for what is damaged here from the first of `indexes` on. What `indexes` ends
    /// with is the last that is served here.
    pub(super) async fn fetch(
        &self,
        source: u64,
        before: Audit,
        indexes: Range<u64>,
    ) -> Result<Repaired, Left> {
        let request = FeedRequest {
            shard: self.log.shard(),
            from: indexes.start,
            heartbeat_millis: 0,
        };
        let (begin, silence) = (self.options.begin, self.options.silence);
        let mut pull = Pull::begin(self.peers, source, request, begin, silence).await?;
        let mut way = WayBack::from(before);
        let end = indexes.end.min(indexes.start.saturating_add(REACH));
        loop {
            for received in pull.next().await?.records {
                let index = way.audit.next();
                let record = way.audit.admit(received);
                let record = record.map_err(|cause| Left::Unfit { index, cause })?;
                if self.leads_back(&mut way, index, record)? {
                    return Ok(way.repaired());
                }
                let at_the_end = index + 1 == end;
                if at_the_end && way.records_are_ours && end == indexes.end {
                    return Ok(way.repaired());
                }
                if at_the_end || way.bytes > HELD {
                    return Err(Left::Apart(index));
                }
            }
        }
    }

    /// Takes in what a peer has of an index. Is its head the one that is stored here?
    fn leads_back(&self, way: &mut WayBack, index: u64, told: CopyRecord) -> io::Result<bool> {
        let shard = self.log.shard();
        let rows = self.hub.rows(shard, index..index + 1, u64::MAX)?;
        let row = rows.into_iter().next().unwrap_or_default();
        let same_record = row.record.as_ref() == Some(&told.record);
        let same_head = row.head(shard, index) == Some(told.head);
        way.records_are_ours &= same_record;
        if !(same_record && same_head) {
            way.bytes += told.record.len();
            way.rows.push(told);
        }
        Ok(same_head)
    }
}

/// A peer's history, until it is this node's again.
struct WayBack {
    audit: Audit,
    rows: Vec<CopyRecord>,
    bytes: usize,
    records_are_ours: bool,
}

impl WayBack {
    fn from(before: Audit) -> Self {
        Self {
            audit: before,
            rows: Vec::new(),
            bytes: 0,
            records_are_ours: true,
        }
    }

    fn repaired(self) -> Repaired {
        Repaired {
            rows: self.rows,
            after: self.audit,
        }
    }
}

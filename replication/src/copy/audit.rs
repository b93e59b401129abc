use bytes::Bytes;
use ledger_domain::{
    ShardId,
    chain::{self, LogIdentity, RecordKind},
    planted::{Bug, planted},
};

use crate::hex::hex;
use crate::log::{CopyRecord, Head, Kind, Malformed, StoredRecord};
use crate::proto::FeedRecord;
use crate::raft::RecordId;

/// Why a received record is not the next of the history that is held here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Its bytes are damaged, or of a newer program.
    #[error("its record is {0}")]
    Record(#[from] Malformed),
    /// It is another index than the next.
    #[error("index {0} came in its place")]
    Index(u64),
    /// What it says about itself and what its sender says about the whole history do not agree
    /// with what is held here: it was tampered with, or there are two histories.
    #[error("the audited chain arrives at {computed}, the sender at {sent}")]
    Head {
        /// The head computed here, hexadecimal.
        computed: String,
        /// The head that came with the record, hexadecimal.
        sent: String,
    },
}

/// The audited chain's head after a record.
pub(crate) fn audited_head(before: &Head, record: &StoredRecord) -> Head {
    let kind = match record.kind {
        Kind::Blank => RecordKind::Blank,
        Kind::Entry => RecordKind::Entry,
        Kind::Membership => RecordKind::Membership,
    };
    let RecordId {
        epoch,
        term,
        node,
        index,
    } = record.id;
    let id = LogIdentity {
        epoch,
        term,
        node,
        index,
    };
    chain::audit_link(before, id, kind, &record.payload)
}

/// The end of a checked history: what the next record must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(super) next: u64,
    head: Head,
}

impl Audit {
    /// Before a shard's first record.
    pub(crate) fn from_genesis(shard: u32) -> Self {
        let head = chain::audit_genesis(ShardId(shard));
        Self { next: 0, head }
    }

    /// After an index with its head.
    pub(crate) fn after(index: u64, head: Head) -> Self {
        let next = index + 1;
        Self { next, head }
    }

    /// Where an index must follow a head.
    pub(crate) fn at(next: u64, head: Head) -> Self {
        Self { next, head }
    }

    /// The head of the last index.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The index that must come next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Checks that a record comes next, and moves past it.
    pub(crate) fn admit(&mut self, received: FeedRecord) -> Result<CopyRecord, Unfit> {
        let stored = StoredRecord::parse(received.record)?;
        if stored.id.index != self.next {
            return Err(Unfit::Index(stored.id.index));
        }
        let head = audited_head(&self.head, &stored);
        if received.head[..] != head && !planted(Bug::BackfillUnverified) {
            return Err(Unfit::Head {
                computed: hex(&head),
                sent: hex(&received.head),
            });
        }
        *self = Self::after(stored.id.index, head);
        let record: Bytes = stored.record;
        Ok(CopyRecord { record, head })
    }
}

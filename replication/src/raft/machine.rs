use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::watch;

use super::types::{
    Applied, EntryPayload, LogId, SnapshotMeta, SnapshotOf, StoredMembership, Types,
};
use crate::log::{AppliedMark, record};

/// The identity of an index of a shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    /// Which reign of the shard's home.
    pub epoch: u64,
    /// Raft's term within the epoch.
    pub term: u64,
    /// The leader that wrote it.
    pub node: u64,
    /// Its place in the log, counted from 0: the founding membership.
    pub index: u64,
}

/// What an index carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Nothing: a leader wrote it to begin its reign.
    Blank,
    /// The framed entry of the shard's writer.
    Entry(&'a Bytes),
    /// The voters, as the log stores them.
    Membership(&'a Bytes),
}

/// What committed indexes are applied to.
///
/// Its state lives in memory and is made again from the log when a node starts: the first call
/// after a start is for index 0, and no index is ever skipped or applied twice.
pub trait Machine: Send + Sync + 'static {
    /// Applies one index. Calls come one at a time, in the order of the log, and never for an
    /// index that could still be overruled. The proposer, if it is here, is told what is returned.
    fn apply(&self, id: RecordId, content: Content<'_>) -> Applied;
}

/// Stands between openraft's state machine and ours.
pub(super) struct Adapter {
    machine: Arc<dyn Machine>,
    last: Option<LogId>,
    membership: StoredMembership,
    applied: watch::Sender<u64>,
    /// The log's own knowledge of it, by which a purge tells what it may not forget.
    mark: AppliedMark,
}

impl Adapter {
    pub(super) fn new(
        machine: Arc<dyn Machine>,
        mark: AppliedMark,
        applied: watch::Sender<u64>,
    ) -> Self {
        Self {
            machine,
            last: None,
            membership: StoredMembership::default(),
            applied,
            mark,
        }
    }

    fn apply_one(&mut self, id: LogId, payload: EntryPayload) -> Applied {
        let record = record::record_id(&id);
        let outcome = match payload {
            EntryPayload::Blank => self.machine.apply(record, Content::Blank),
            EntryPayload::Normal(payload) => self.machine.apply(record, Content::Entry(&payload.0)),
            EntryPayload::Membership(membership) => {
                let stored = record::membership_bytes(&membership);
                self.membership = StoredMembership::new(Some(id), membership);
                self.machine.apply(record, Content::Membership(&stored))
            }
        };
        self.last = Some(id);
        self.mark.advance(id.index);
        // Published before the proposer is answered: it finds its own entry applied.
        self.applied.send_replace(id.index);
        outcome
    }
}

impl RaftStateMachine<Types> for Adapter {
    type SnapshotData = Bytes;
    type SnapshotBuilder = NoSnapshots;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let outcome = self.apply_one(entry.log_id, entry.payload);
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<NoSnapshots> {
        None
    }

    async fn get_snapshot_builder(&mut self) -> NoSnapshots {
        NoSnapshots
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta, _: Bytes) -> io::Result<()> {
        Err(unsupported())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf>> {
        Ok(None)
    }
}

/// The log is kept whole for now, so nothing is ever built.
pub(super) struct NoSnapshots;

impl RaftSnapshotBuilder<Types> for NoSnapshots {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf> {
        Err(unsupported())
    }
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "snapshots are not supported yet",
    )
}

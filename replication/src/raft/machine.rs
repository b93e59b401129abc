use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use ledger_domain::planted::{Bug, planted};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::watch;

use super::mishap::Luck;
use super::snapshot::{Manifest, Moment, Snapshots};
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

/// A state that no longer changes.
pub trait Frozen: Send + Sync {
    /// The state in parts, made one by one: some 100 KB each, and the same bytes as in an earlier
    /// state where nothing has changed since.
    fn chunks(&self) -> Box<dyn Iterator<Item = Bytes> + Send + '_>;
}

/// What committed indexes are applied to.
///
/// Its state lives in memory and is made again when a node starts, from a snapshot and the log
/// after it: the first call after a start is for index 0 or the index after the snapshot's, and no
/// index is ever skipped or applied twice.
pub trait Machine: Send + Sync + 'static {
    /// Applies one index. Calls come one at a time, in the order of the log, and never for an
    /// index that could still be overruled. The proposer, if it is here, is told what is returned.
    fn apply(&self, id: RecordId, content: Content<'_>) -> Applied;

    /// The state as it is now, to be written while more is applied. Called between two indexes; it
    /// must be quick.
    fn freeze(&self) -> Box<dyn Frozen>;

    /// Replaces the state by what another machine froze when it had applied all up to `last`.
    ///
    /// # Errors
    ///
    /// Where a part cannot be read, or the parts are not such a state: nothing is changed then.
    fn restore(
        &self,
        last: RecordId,
        chunks: &mut dyn Iterator<Item = io::Result<Bytes>>,
    ) -> io::Result<()>;
}

/// Stands between openraft's state machine and ours.
pub(super) struct Adapter {
    machine: Arc<dyn Machine>,
    snapshots: Snapshots,
    last: Option<LogId>,
    membership: StoredMembership,
    applied: watch::Sender<u64>,
    /// The log's own knowledge of it, by which a purge tells what it may not forget.
    mark: AppliedMark,
    /// Bytes applied since this start.
    bytes: Arc<AtomicU64>,
    luck: Luck,
}

impl Adapter {
    pub(super) fn new(
        machine: Arc<dyn Machine>,
        snapshots: Snapshots,
        applied: watch::Sender<u64>,
        bytes: Arc<AtomicU64>,
        luck: Luck,
    ) -> Self {
        Self {
            machine,
            mark: snapshots.mark(),
            snapshots,
            last: None,
            membership: StoredMembership::default(),
            applied,
            bytes,
            luck,
        }
    }

    /// The state and its place, between two indexes. `None` before the first.
    pub(super) fn freeze(&self) -> Option<Moment> {
        Some(Moment {
            last: self.last?,
            membership: self.membership.clone(),
            state: self.machine.freeze(),
        })
    }

    fn apply_one(&mut self, id: LogId, payload: EntryPayload) -> Applied {
        let record = record::record_id(&id);
        let outcome = match payload {
            EntryPayload::Blank => self.machine.apply(record, Content::Blank),
            EntryPayload::Normal(payload) => {
                let length = payload.0.len() as u64;
                self.bytes.fetch_add(length, Ordering::Relaxed);
                self.machine.apply(record, Content::Entry(&payload.0))
            }
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
    type SnapshotBuilder = Stored;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.luck.hold_up().await;
            let outcome = self.apply_one(entry.log_id, entry.payload);
            if let Some(responder) = responder {
                responder.send(outcome);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Stored> {
        self.snapshots.newest().map(Stored)
    }

    /// openraft deprecates it and must not call it.
    async fn get_snapshot_builder(&mut self) -> Stored {
        unreachable!("`try_create_snapshot_builder` stands in its place")
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, stored: Bytes) -> io::Result<()> {
        let unreadable = |cause| io::Error::new(io::ErrorKind::InvalidData, cause);
        let manifest = Manifest::parse(self.snapshots.shard(), stored).map_err(unreadable)?;
        if !planted(Bug::SnapshotWithoutData) {
            self.snapshots.restore(&manifest, &*self.machine)?;
        }
        self.snapshots.install(manifest).await?;
        tracing::trace!(target: "situation", "a snapshot was installed");
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        if let Some(last) = self.last {
            self.applied.send_replace(last.index);
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf>> {
        Ok(self.snapshots.newest())
    }
}

/// The newest snapshot, stored before openraft asks for it: a disk that is full then costs a
/// snapshot, where an error told to openraft would cost the shard.
pub(super) struct Stored(SnapshotOf);

impl RaftSnapshotBuilder<Types> for Stored {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf> {
        Ok(SnapshotOf {
            meta: self.0.meta.clone(),
            snapshot: self.0.snapshot.clone(),
        })
    }
}

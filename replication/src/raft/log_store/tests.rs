use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use openraft::StorageError;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::super::types::{EntryPayload, Payload, SnapshotMeta, StoredMembership};
use super::*;
use crate::raft::RecordId;
use crate::rocks::RocksDisk;
use crate::world::{Disk, Store};

/// The suite counts terms within one epoch.
impl From<u64> for Term {
    fn from(term: u64) -> Self {
        Self {
            term,
            ..Self::default()
        }
    }
}

#[test]
fn the_log_store_keeps_openrafts_contract() {
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(Suite::test_all(OnRocks))
        .unwrap();
}

struct OnRocks;

impl StoreBuilder<Types, LogStore, Memory, TempDir> for OnRocks {
    async fn build(&self) -> Result<(TempDir, LogStore, Memory), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir);
        Ok((dir, store, Memory::default()))
    }
}

type Snapshot = openraft::type_config::alias::SnapshotOf<Types, ()>;

/// A state machine that remembers nothing but what it must say of itself.
#[derive(Clone, Default)]
struct Memory {
    last: Option<LogId>,
    membership: StoredMembership,
    snapshot: Arc<Mutex<Option<SnapshotMeta>>>,
}

impl RaftStateMachine<Types> for Memory {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + Send,
    {
        while let Some((entry, _)) = entries.try_next().await? {
            self.last = Some(entry.log_id);
            if let EntryPayload::Membership(voters) = entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), voters);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> io::Result<()> {
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *self.snapshot.lock().unwrap() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        let meta = self.snapshot.lock().unwrap().clone();
        Ok(meta.map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<Types> for Memory {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let meta = SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        };
        *self.snapshot.lock().unwrap() = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}

fn open(dir: &TempDir) -> LogStore {
    let engine = RocksDisk::new(dir.path().to_owned())
        .open(Store::Log)
        .unwrap();
    LogHub::open(engine).unwrap().shard(3).unwrap()
}

fn id(term: u64, index: u64) -> LogId {
    log_id(RecordId {
        epoch: 1,
        term,
        node: 1,
        index,
    })
}

fn entries(term: u64, indexes: Range<u64>) -> Vec<Entry> {
    let entry = |index| {
        let payload = EntryPayload::Normal(Payload(Bytes::from(format!("facts of {index}"))));
        Entry {
            log_id: id(term, index),
            payload,
        }
    };
    indexes.map(entry).collect()
}

async fn append(store: &mut LogStore, entries: Vec<Entry>) {
    let (sender, receiver) = Types::oneshot();
    store
        .append(entries, IOFlushed::signal(sender))
        .await
        .unwrap();
    receiver.await.unwrap().unwrap();
}

async fn seen(store: &mut LogStore) -> Vec<u64> {
    let entries = store.try_get_log_entries(0..).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

fn held(store: &LogStore, from: u64) -> Vec<u64> {
    let records = store.hub.read(3, from..99, usize::MAX).unwrap();
    records.iter().map(|record| record.id.index).collect()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let vote = Vote::new_committed(Term { epoch: 2, term: 7 }, 4);
    append(&mut store, entries(1, 0..9)).await;
    store.save_vote(&vote).await.unwrap();
    store.save_committed(Some(id(1, 4))).await.unwrap();
    store.truncate_after(Some(id(1, 5))).await.unwrap();
    append(&mut store, entries(2, 6..8)).await;
    let before = store.try_get_log_entries(0..).await.unwrap();
    drop(store);

    let mut store = open(&dir);
    assert_eq!(store.try_get_log_entries(0..).await.unwrap(), before);
    assert_eq!(before[7].log_id, id(2, 7));
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    assert_eq!(store.read_committed().await.unwrap(), Some(id(1, 4)));
    let state = store.get_log_state().await.unwrap();
    assert_eq!(
        (state.last_purged_log_id, state.last_log_id),
        (None, Some(id(2, 7)))
    );
}

#[tokio::test]
async fn a_purge_keeps_what_was_applied_here_and_deletes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..8)).await;
    store.applied_mark().advance(4);
    // A snapshot of the leader reaches further than this log: indexes 5 to 7 were overruled.
    store.purge(id(2, 9)).await.unwrap();
    assert_eq!(held(&store, 0), [0, 1, 2, 3, 4]);
    append(&mut store, entries(2, 10..12)).await;

    for _ in 0..2 {
        let state = store.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(id(2, 9)));
        assert_eq!(state.last_log_id, Some(id(2, 11)));
        assert_eq!(seen(&mut store).await, [10, 11]);
        assert_eq!(held(&store, 0), [0, 1, 2, 3, 4]);
        assert_eq!(held(&store, 10), [10, 11]);
        store
            .hub
            .read(3, 5..99, usize::MAX)
            .expect_err("never applied here");
        drop(store);
        store = open(&dir);
    }

    // This life has applied nothing yet; what an earlier one kept is not deleted.
    store.purge(id(2, 10)).await.unwrap();
    assert_eq!(held(&store, 0), [0, 1, 2, 3, 4]);
    assert_eq!(seen(&mut store).await, [11]);
}

#[tokio::test]
async fn a_log_that_was_purged_to_its_end_begins_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..3)).await;
    store.applied_mark().advance(2);
    store.purge(id(1, 2)).await.unwrap();
    drop(store);

    let mut store = open(&dir);
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(id(1, 2)));
    assert_eq!(state.last_log_id, Some(id(1, 2)));
    assert_eq!(seen(&mut store).await, Vec::<u64>::new());
    assert_eq!(held(&store, 0), [0, 1, 2]);
    append(&mut store, entries(1, 3..5)).await;
    assert_eq!(seen(&mut store).await, [3, 4]);
    assert_eq!(held(&store, 1), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_read_for_replication_is_cut_by_bytes_and_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let large = |index| {
        let payload = EntryPayload::Normal(Payload(Bytes::from(vec![7; READ_BYTES + 1])));
        Entry {
            log_id: id(1, index),
            payload,
        }
    };
    append(&mut store, entries(1, 0..5)).await;
    append(&mut store, vec![large(5), large(6)]).await;
    for _ in 0..2 {
        let cut = |entries: Vec<Entry>| entries.last().map(|entry| entry.log_id.index);
        assert_eq!(
            cut(store.limited_get_log_entries(0, 7).await.unwrap()),
            Some(5)
        );
        assert_eq!(
            cut(store.limited_get_log_entries(5, 7).await.unwrap()),
            Some(5)
        );
        assert_eq!(
            cut(store.limited_get_log_entries(6, 7).await.unwrap()),
            Some(6)
        );
        assert_eq!(cut(store.try_get_log_entries(0..7).await.unwrap()), Some(6));
        drop(store);
        store = open(&dir);
    }
}

/// What a follower is sent begins with what it lacks, never after it.
#[tokio::test]
async fn what_was_purged_is_sent_as_far_as_it_is_kept_and_nothing_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..8)).await;
    store.applied_mark().advance(4);
    store.purge(id(2, 9)).await.unwrap();
    append(&mut store, entries(2, 10..14)).await;
    for _ in 0..2 {
        for (start, expected) in [
            (2, vec![2, 3, 4]),
            (4, vec![4]),
            (5, vec![]),
            (9, vec![]),
            (11, vec![11, 12, 13]),
        ] {
            let sent = store.limited_get_log_entries(start, 14).await.unwrap();
            let sent: Vec<u64> = sent.iter().map(|entry| entry.log_id.index).collect();
            assert_eq!(sent, expected, "from {start}");
        }
        drop(store);
        store = open(&dir);
    }
}

#[tokio::test]
async fn a_hole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    append(&mut store, entries(1, 0..3)).await;
    let (sender, _receiver) = Types::oneshot();
    let hole = store
        .append(entries(1, 4..5), IOFlushed::signal(sender))
        .await
        .unwrap_err();
    assert_eq!(
        hole.to_string(),
        "index 4 cannot follow: the log of shard 3 ends at 2"
    );
    assert_eq!(seen(&mut store).await, [0, 1, 2]);
}

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{CopyRecord, Damaged, LogHub, NotHeld, Place, StoredRecord, WriterStopped, keys};
use crate::raft::RecordId;
use crate::raft::types::{Entry, EntryPayload, Payload};
use crate::rocks::RocksDisk;
use crate::world::{Batch, Disk, Durability, Engine, Op, SortedRow, Store, WriterHost, batch};

const EVERYTHING: usize = usize::MAX;

/// An engine that counts what it writes, and waits or fails when told to.
struct Watched {
    inner: Arc<dyn Engine>,
    synced: AtomicUsize,
    unsynced: AtomicUsize,
    begun: AtomicUsize,
    failing: AtomicBool,
    held: Mutex<bool>,
    released: Condvar,
}

impl Watched {
    fn new() -> (TempDir, Arc<Self>) {
        let dir = tempfile::tempdir().unwrap();
        let inner = RocksDisk::new(dir.path().to_owned())
            .open(Store::Log)
            .unwrap();
        let watched = Self {
            inner,
            synced: AtomicUsize::new(0),
            unsynced: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            held: Mutex::new(false),
            released: Condvar::new(),
        };
        (dir, Arc::new(watched))
    }

    fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }

    async fn write_begun(&self) {
        while self.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn writes(&self) -> (usize, usize) {
        (
            self.synced.load(Ordering::SeqCst),
            self.unsynced.load(Ordering::SeqCst),
        )
    }
}

impl Engine for Watched {
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        drop(
            self.released
                .wait_while(self.held.lock().unwrap(), |held| *held)
                .unwrap(),
        );
        if self.failing.load(Ordering::SeqCst) {
            return Err(io::Error::other("the platter is on fire"));
        }
        let counter = match durability {
            Durability::Synced => &self.synced,
            Durability::Later => &self.unsynced,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        self.inner.write(batch, durability)
    }

    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        self.write(batch(rows), Durability::Later)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.inner.get(key)
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.inner.scan(range, visit)
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.inner.scan_back(range, visit)
    }

    fn writer_host(&self) -> WriterHost {
        self.inner.writer_host()
    }
}

fn record(index: u64) -> StoredRecord {
    let id = RecordId {
        epoch: 1,
        term: 1,
        node: 1,
        index,
    };
    let payload = Payload(Bytes::from(format!("facts of {index}")));
    let payload = EntryPayload::Normal(payload);
    StoredRecord::of(&Entry {
        log_id: super::record::log_id(id),
        payload,
    })
}

fn copies(indexes: Range<u64>) -> Vec<CopyRecord> {
    indexes
        .map(|index| CopyRecord {
            record: record(index).record,
            head: [index as u8; 32],
        })
        .collect()
}

/// Appends as Raft does; the receiver hears of durability.
async fn append(
    hub: &LogHub,
    shard: u32,
    indexes: Range<u64>,
) -> oneshot::Receiver<io::Result<()>> {
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |outcome| sender.send(outcome).unwrap());
    let log = hub.shard_log(shard).unwrap();
    hub.append(&log, indexes.map(record).collect(), done)
        .await
        .unwrap();
    receiver
}

fn indexes(records: &[StoredRecord]) -> Vec<u64> {
    records.iter().map(|record| record.id.index).collect()
}

#[tokio::test]
async fn appends_of_several_shards_share_one_synced_write() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    engine.hold(true);
    let mut waiting = vec![append(&hub, 0, 0..1).await];
    engine.write_begun().await;
    for shard in 1..10 {
        waiting.push(append(&hub, shard, 0..3).await);
    }
    engine.hold(false);
    for receiver in waiting {
        receiver.await.unwrap().unwrap();
    }
    assert_eq!(engine.writes(), (2, 0));
}

#[tokio::test]
async fn an_accepted_record_is_readable_before_it_is_durable() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    engine.hold(true);
    let mut receiver = append(&hub, 0, 0..3).await;
    assert_eq!(indexes(&hub.read(0, 0..9, EVERYTHING).unwrap()), [0, 1, 2]);
    assert!(
        receiver.try_recv().is_err(),
        "told durable while the disk was still writing"
    );
    engine.hold(false);
    receiver.await.unwrap().unwrap();
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_written_any_more() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    append(&hub, 0, 0..1).await.await.unwrap().unwrap();
    engine.failing.store(true, Ordering::SeqCst);
    let first = append(&hub, 0, 1..2).await.await.unwrap().unwrap_err();
    engine.failing.store(false, Ordering::SeqCst);

    let begun = engine.begun.load(Ordering::SeqCst);
    hub.put_heads(0, [(0, [7; 32])]);
    let same_shard = append(&hub, 0, 2..3).await.await.unwrap().unwrap_err();
    let other_shard = append(&hub, 1, 0..1).await.await.unwrap().unwrap_err();
    let copy = hub.append_copy(2, copies(0..1)).await.unwrap_err();
    for error in [first, same_shard, other_shard, copy] {
        let stopped = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<WriterStopped>());
        assert_eq!(
            stopped.expect("a stopped writer").first,
            "the platter is on fire"
        );
    }
    assert_eq!(
        engine.begun.load(Ordering::SeqCst),
        begun,
        "something was written"
    );
    assert_eq!(hub.copy_last(2).unwrap(), None);
}

#[tokio::test]
async fn a_copy_is_durable_when_the_call_returns_and_outlives_the_handle() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    hub.append_copy(5, copies(0..3)).await.unwrap();
    hub.append_copy(5, copies(3..4)).await.unwrap();
    hub.append_copy(5, vec![]).await.unwrap();
    let before = hub.read(5, 0..9, EVERYTHING).unwrap();
    drop(hub);

    let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    assert_eq!(hub.copy_last(5).unwrap(), Some(record(3).id));
    assert_eq!(hub.read(5, 0..9, EVERYTHING).unwrap(), before);
    assert_eq!(hub.heads(5, 2..9).unwrap(), [(2, [2; 32]), (3, [3; 32])]);
    assert_eq!(indexes(&hub.read(5, 1..9, 1).unwrap()), [1]);
}

#[tokio::test]
async fn a_copy_takes_only_what_comes_next() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine).unwrap();
    hub.append_copy(5, copies(1..2))
        .await
        .expect_err("the beginning is missing");
    hub.append_copy(5, copies(0..2)).await.unwrap();
    hub.append_copy(5, copies(1..3))
        .await
        .expect_err("a repeat");
    let gap = hub.append_copy(5, copies(3..4)).await.unwrap_err();
    assert_eq!(
        gap.to_string(),
        "index 3 cannot follow: the log of shard 5 ends at 1"
    );
    let mut damaged = copies(2..3);
    damaged[0].record = damaged[0].record.slice(1..);
    hub.append_copy(5, damaged)
        .await
        .expect_err("damaged on the way");
    hub.shard(6).unwrap();
    hub.append_copy(6, copies(0..1))
        .await
        .expect_err("the shard lives here");
    assert_eq!(hub.copy_last(5).unwrap(), Some(record(1).id));
}

#[tokio::test]
async fn an_abandoned_copy_is_still_whole() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    engine.hold(true);
    let abandoned = tokio::spawn({
        let hub = hub.clone();
        async move { hub.append_copy(5, copies(0..3)).await }
    });
    engine.write_begun().await;
    abandoned.abort();
    let _ = abandoned.await;
    let next = tokio::spawn({
        let hub = hub.clone();
        async move { hub.append_copy(5, copies(3..4)).await }
    });
    tokio::task::yield_now().await;
    engine.hold(false);
    next.await.unwrap().unwrap();
    assert_eq!(
        indexes(&hub.read(5, 0..9, EVERYTHING).unwrap()),
        [0, 1, 2, 3]
    );
}

#[tokio::test]
async fn heads_are_readable_at_once_and_cost_no_sync() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    engine.hold(true);
    hub.put_heads(1, [(3, [3; 32]), (4, [4; 32])]);
    hub.put_heads(1, [(5, [5; 32])]);
    hub.put_heads(2, [(4, [9; 32])]);
    assert_eq!(hub.heads(1, 4..6).unwrap(), [(4, [4; 32]), (5, [5; 32])]);
    engine.hold(false);
    while engine.inner.get(&keys::head(2, 4)).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(hub.head(1, 3).unwrap(), Some([3; 32]));
    assert_eq!(hub.head(1, 6).unwrap(), None);
    assert_eq!(engine.writes().0, 0);
}

#[tokio::test]
async fn a_flipped_byte_is_reported_with_its_place() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    hub.append_copy(5, copies(0..4)).await.unwrap();
    drop(hub);
    let key = keys::record(5, 2);
    let mut bytes = engine.get(&key).unwrap().unwrap().to_vec();
    bytes[12] ^= 1;
    engine
        .write(vec![Op::Put(key, bytes.into())], Durability::Synced)
        .unwrap();

    let hub = LogHub::open(engine).unwrap();
    assert_eq!(indexes(&hub.read(5, 0..2, EVERYTHING).unwrap()), [0, 1]);
    let error = hub.read(5, 0..4, EVERYTHING).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(
        error
            .to_string()
            .starts_with("record of shard 5, index 2: damaged"),
        "{error}"
    );
    let damaged = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Damaged>());
    assert_eq!(damaged.unwrap().place, Place::Record { shard: 5, index: 2 });
}

#[tokio::test]
async fn a_log_whose_end_is_not_what_its_marker_says_is_refused() {
    let end = keys::record(5, 3);
    let beyond = Op::Put(keys::record(5, 4), record(4).record);
    let other_term = {
        let id = RecordId {
            term: 9,
            ..record(3).id
        };
        let log_id = super::record::log_id(id);
        super::record::encode(&Entry {
            log_id,
            payload: EntryPayload::Blank,
        })
    };
    for (damage, told) in [
        (
            Op::Delete(end.clone()),
            "record of shard 5, index 3: missing",
        ),
        (
            beyond,
            "record of shard 5, index 4: lies beyond the end of the log",
        ),
        (
            Op::Put(end.clone(), other_term),
            "marker `last` of shard 5: names",
        ),
        (
            Op::Put(end, record(2).record),
            "record of shard 5, index 3: names 2",
        ),
        (
            Op::Put(keys::last(5), Bytes::from_static(b"x")),
            "marker `last` of shard 5: damaged",
        ),
    ] {
        let (_dir, engine) = Watched::new();
        let hub = LogHub::open(engine.clone()).unwrap();
        hub.append_copy(5, copies(0..4)).await.unwrap();
        drop(hub);
        engine.write(vec![damage], Durability::Synced).unwrap();
        let hub = LogHub::open(engine).unwrap();
        let error = hub
            .shard(5)
            .err()
            .expect("Raft cannot rest on it")
            .to_string();
        assert!(error.starts_with(told), "{error}");
        hub.copy_last(6).expect("another shard is well");
    }
}

#[tokio::test]
async fn what_is_not_held_is_said_with_what_is() {
    let (_dir, engine) = Watched::new();
    let hub = LogHub::open(engine.clone()).unwrap();
    hub.append_copy(5, copies(0..6)).await.unwrap();
    drop(hub);
    let hole = Op::DeleteRange(keys::records(5, 1..4));
    engine.write(vec![hole], Durability::Synced).unwrap();
    let hub = LogHub::open(engine).unwrap();
    assert_eq!(indexes(&hub.read(5, 0..6, EVERYTHING).unwrap()), [0]);
    let error = hub.read(5, 2..6, EVERYTHING).unwrap_err();
    let missing = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<NotHeld>());
    assert_eq!(
        missing,
        Some(&NotHeld {
            shard: 5,
            index: 2,
            next: Some(4)
        })
    );
    assert_eq!(
        hub.read(5, 6..9, EVERYTHING).unwrap(),
        [],
        "not written yet is no error"
    );
}

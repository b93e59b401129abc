//! Moving, reading through, and what is found when the archive is not what it was.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::in_memory::InMemory;
use super::mover::{Moved, Mover, MoverRules};
use super::segment::Size;
use super::shelf::NotReached;
use crate::log::{Damaged, InArchive, LogHub};
use crate::rocks::RocksDisk;
use crate::scripted_home::ScriptedHome;
use crate::world::{Clock, Disk, Engine, Store};

const SHARD: u32 = 6;
/// How many records a segment has.
const RECORDS: u64 = 4;
const SOON: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(20);

struct At(u64);

impl Clock for At {
    fn wall_nanos(&self) -> u64 {
        self.0
    }
}

/// A node with a home's history as a copy, and an archive.
struct Node {
    hub: LogHub,
    dir: tempfile::TempDir,
    archive: InMemory,
    home: ScriptedHome,
}

fn engine(dir: &tempfile::TempDir) -> Arc<dyn Engine> {
    let disk = RocksDisk::new(dir.path().to_owned());
    disk.open(Store::Log).unwrap()
}

impl Node {
    async fn with(archive: &InMemory) -> Self {
        let home = ScriptedHome::eventful(SHARD);
        let dir = tempfile::tempdir().unwrap();
        let hub = LogHub::open_with(engine(&dir), Some(Arc::new(archive.clone()))).unwrap();
        home.store(&hub, 0..home.next()).await;
        Self {
            hub,
            dir,
            archive: archive.clone(),
            home,
        }
    }

    fn mover(&self, rules: MoverRules, now: u64) -> JoinHandle<()> {
        let (_, served) = watch::channel(self.home.next() - 1);
        let moved = Moved {
            shard: SHARD,
            served,
            at_home: false,
        };
        let mover = Mover {
            shards: vec![moved],
            hub: self.hub.clone(),
            clock: Arc::new(At(now)),
            rules,
        };
        tokio::spawn(mover.run())
    }

    /// Moves all that can be, and comes back when it is moved.
    async fn moved(&self) -> u64 {
        let moving = self.mover(rules(), u64::MAX);
        let whole = (self.home.next() - 1) / RECORDS * RECORDS;
        let done = async {
            while self.end() < whole {
                tokio::time::sleep(SOON).await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.unwrap();
        moving.abort();
        // It holds the store.
        let _ = moving.await;
        whole
    }

    /// The first index that is not in the archive.
    fn end(&self) -> u64 {
        let segments = self.hub.archived(SHARD).unwrap();
        segments.last().map_or(0, |last| last.segment.last + 1)
    }

    /// Every record, one after the other, is what was written, and so is its head.
    async fn reads_all(&self) {
        for expected in &self.home.records {
            let record = crate::log::StoredRecord::parse(expected.record.clone()).unwrap();
            let index = record.id.index;
            let read = self.hub.read_through(SHARD, index..index + 1, 1).await;
            assert_eq!(
                read.unwrap(),
                std::slice::from_ref(&record),
                "index {index}"
            );
            let audited = self.hub.read_audited(SHARD, index..index + 1, 1).await;
            assert_eq!(audited.unwrap(), [(record.clone(), expected.head)]);
            let epoch = self.hub.epoch_at(SHARD, index).unwrap();
            assert_eq!(epoch, Some(record.id.epoch));
        }
    }
}

fn rules() -> MoverRules {
    MoverRules {
        keep: Duration::ZERO,
        size: Size {
            records: RECORDS,
            ..Size::default()
        },
        interval: SOON,
        turn: Duration::ZERO,
    }
}

#[tokio::test]
async fn what_is_moved_is_read_through() {
    let node = Node::with(&InMemory::default()).await;
    let end = node.moved().await;
    assert!(end > 2 * RECORDS);
    let there = node.archive.with(|kept| kept.objects.len() as u64);
    assert_eq!(there, end / RECORDS);
    // It is in the log no more, where nothing of it is in memory.
    let node = reopened(node).await;
    let hub = &node.hub;
    let gone = hub.read(SHARD, 0..1, 1).unwrap_err();
    assert!(InArchive::is_cause(&gone), "{gone}");
    let rows = hub.rows(SHARD, 0..end, u64::MAX).unwrap();
    assert!(rows.iter().all(|row| row.record.is_none()));
    let heads = rows.iter().filter(|row| row.head.is_some()).count() as u64;
    assert_eq!(heads, end / RECORDS, "the head after each segment");
    node.reads_all().await;
    let fetched = node.hub.shelf().counts().fetched.get();
    assert_eq!(fetched, end / RECORDS, "each segment is fetched once");
    let outcomes: u64 = node
        .hub
        .archived(SHARD)
        .unwrap()
        .iter()
        .map(|it| it.outcomes)
        .sum();
    assert!(outcomes > 0);
}

#[tokio::test]
async fn what_another_node_has_sealed_is_not_sealed_again() {
    let shelf = InMemory::default();
    let (one, two) = (Node::with(&shelf).await, Node::with(&shelf).await);
    one.moved().await;
    let puts = shelf.with(|kept| kept.puts);
    two.moved().await;
    assert_eq!(shelf.with(|kept| kept.puts), puts);
    two.reads_all().await;
}

#[tokio::test]
async fn a_node_waits_for_its_turn() {
    let node = Node::with(&InMemory::default()).await;
    let patient = MoverRules {
        turn: Duration::from_millis(300),
        ..rules()
    };
    let moving = node.mover(patient, u64::MAX);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((node.end(), node.archive.with(|kept| kept.puts)), (0, 0));
    let begun = async {
        while node.end() == 0 {
            tokio::time::sleep(SOON).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    moving.abort();
}

#[tokio::test]
async fn what_is_young_stays() {
    let node = Node::with(&InMemory::default()).await;
    // The last entry of the second segment has just the age.
    let times = node.home.entries();
    let second = times.filter(|(index, _)| *index < 2 * RECORDS).last();
    let second = second.unwrap().1.time.wall_nanos;
    let keep = Duration::from_secs(1);
    let now = second + u64::try_from(keep.as_nanos()).unwrap();
    let moving = node.mover(MoverRules { keep, ..rules() }, now);
    let begun = async {
        while node.end() < 2 * RECORDS {
            tokio::time::sleep(SOON).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    moving.abort();
    assert_eq!(node.end(), 2 * RECORDS);
}

#[tokio::test]
async fn nothing_leaves_the_log_while_the_archive_is_away() {
    let node = Node::with(&InMemory::default()).await;
    node.archive.with(|kept| kept.is_away = true);
    let moving = node.mover(rules(), u64::MAX);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.end(), 0);
    node.reads_all().await;
    node.archive.with(|kept| kept.is_away = false);
    let begun = async {
        while node.end() == 0 {
            tokio::time::sleep(SOON).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    moving.abort();
}

#[tokio::test]
async fn an_object_that_is_damaged_on_the_way_in_is_sealed_again() {
    let shelf = InMemory::default();
    let (one, two) = (Node::with(&shelf).await, Node::with(&shelf).await);
    one.moved().await;
    shelf.with(|kept| {
        for object in kept.objects.values_mut() {
            *object = object.slice(..object.len() / 2);
        }
    });
    two.moved().await;
    two.reads_all().await;
}

#[tokio::test]
async fn the_archive_s_failures_have_faces() {
    let node = Node::with(&InMemory::default()).await;
    node.moved().await;
    node.archive.with(|kept| kept.is_away = true);
    // What is in memory is read all the same; a new start has nothing in memory.
    let reopened = reopened(node).await;
    let read = || async { reopened.hub.read_through(SHARD, 0..1, 1).await.unwrap_err() };
    let away = read().await;
    assert!(NotReached::is_cause(&away), "{away}");
    reopened.archive.with(|kept| {
        kept.is_away = false;
        for object in kept.objects.values_mut() {
            let mut bytes = object.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            *object = bytes.into();
        }
    });
    let damaged = read().await;
    assert!(damaged.get_ref().unwrap().is::<Damaged>(), "{damaged}");
    assert!(
        damaged
            .to_string()
            .contains("archived segment of shard 6 from index 0 on")
    );
    reopened.archive.with(|kept| kept.objects.clear());
    let gone = read().await;
    assert!(gone.get_ref().unwrap().is::<Damaged>(), "{gone}");
    assert!(gone.to_string().ends_with("missing"), "{gone}");
    assert_eq!(reopened.hub.shelf().counts().damaged.get(), 2);
}

/// The same node after a restart.
async fn reopened(node: Node) -> Node {
    let Node {
        hub,
        dir,
        archive,
        home,
    } = node;
    drop(hub);
    let hub = LogHub::open_with(engine(&dir), Some(Arc::new(archive.clone()))).unwrap();
    Node {
        hub,
        dir,
        archive,
        home,
    }
}

#[tokio::test]
async fn a_history_that_is_another_is_not_taken_for_this_one() {
    let shelf = InMemory::default();
    let node = Node::with(&shelf).await;
    node.moved().await;
    // Two objects in each other's place.
    shelf.with(|kept| {
        let names: Vec<_> = kept.objects.keys().cloned().collect();
        let (one, two) = (
            kept.objects[&names[0]].clone(),
            kept.objects[&names[1]].clone(),
        );
        kept.objects.insert(names[0].clone(), two);
        kept.objects.insert(names[1].clone(), one);
    });
    let node = reopened(node).await;
    let found = node.hub.read_through(SHARD, 0..1, 1).await.unwrap_err();
    assert!(found.get_ref().unwrap().is::<Damaged>(), "{found}");
    // A node that would move these records does not rest on it either.
    let two = Node::with(&shelf).await;
    let moving = two.mover(rules(), u64::MAX);
    tokio::time::sleep(Duration::from_millis(50)).await;
    moving.abort();
    assert_eq!(two.end(), 0);
    two.reads_all().await;
}

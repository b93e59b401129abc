mod admission;
mod archived;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Findings, Part, Scrub, ScrubOptions, Scrubbed};
use crate::copy::CopyOptions;
use crate::feed::{FeedService, Feeds};
use crate::log::{CopyRecord, LogHub};
use crate::peer::{self, PeerOptions, Peers};
use crate::rocks::RocksDisk;
use crate::scripted_home::{ScriptedHome, free_address, hub, tampered};
use crate::world::{Disk as _, Durability, Engine, Network, Op, Store, TcpNetwork};

const SHARD: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);
const RECORD: u8 = 0x10;
const HEAD: u8 = 0x11;

fn key(kind: u8, index: u64) -> Vec<u8> {
    [&[kind, 0, 0, 0, 4][..], &index.to_be_bytes()].concat()
}

/// Hands at a running node's disk, in a place of it.
type Damage = fn(&dyn Engine, u64);

fn flip(engine: &dyn Engine, key: Vec<u8>) {
    let mut value = engine.get(&key).unwrap().unwrap().to_vec();
    *value.last_mut().unwrap() ^= 1;
    put(engine, key, value.into());
}

fn put(engine: &dyn Engine, key: Vec<u8>, value: Bytes) {
    let put = vec![Op::Put(key, value)];
    engine.write(put, Durability::Synced).unwrap();
}

fn delete(engine: &dyn Engine, key: Vec<u8>) {
    let delete = vec![Op::Delete(key)];
    engine.write(delete, Durability::Synced).unwrap();
}

/// Another time in the entry, in a frame that is as good as new.
fn alter(engine: &dyn Engine, index: u64) {
    let record = engine.get(&key(RECORD, index)).unwrap().unwrap();
    let head = [0; 32];
    let altered = tampered(&CopyRecord { record, head }).record;
    put(engine, key(RECORD, index), altered);
}

fn another_head(engine: &dyn Engine, index: u64) {
    let other = engine.get(&key(HEAD, index - 1)).unwrap().unwrap();
    put(engine, key(HEAD, index), other);
}

/// A peer that serves these records.
async fn peer_with(records: &[CopyRecord]) -> (String, TempDir, JoinHandle<()>) {
    let (dir, hub) = hub();
    hub.append_copy(SHARD, records.to_vec()).await.unwrap();
    let (served, receiver) = watch::channel(records.len() as u64 - 1);
    let feeds = Feeds::default();
    feeds.insert(SHARD, receiver);
    let options = PeerOptions::brisk();
    let service = FeedService::server(hub, feeds, &options);
    let router = peer::server(&options).add_service(service);
    let address = free_address();
    let incoming = TcpNetwork.listen(&address).await.unwrap();
    let serving = tokio::spawn(async move {
        let _served = served;
        let stopped = std::future::pending::<()>();
        peer::serve(router, incoming, stopped, PATIENCE)
            .await
            .unwrap();
    });
    (address, dir, serving)
}

/// A disk on which an earlier start has stored a home's history, open again.
async fn stored(home: &ScriptedHome) -> (TempDir, Arc<dyn Engine>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let before = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    home.store(&before, 0..home.next()).await;
    drop(before);
    let engine = disk.open(Store::Log).unwrap();
    (dir, engine)
}

/// Peers at these addresses, and their numbers: from 1 on.
fn at(addresses: &[&str]) -> (Peers, Vec<u64>) {
    let known = addresses.iter().map(|address| (*address).to_owned());
    let known: BTreeMap<u64, String> = (1..).zip(known).collect();
    let numbers = known.keys().copied().collect();
    let directory = Arc::new(move |node| known.get(&node).cloned());
    let peers = Peers::new(Arc::new(TcpNetwork), directory, PeerOptions::brisk());
    (peers, numbers)
}

/// A node whose log is scrubbed, with its disk in reach.
struct Node {
    hub: LogHub,
    engine: Arc<dyn Engine>,
    findings: Findings,
    scrubbing: JoinHandle<()>,
    _dir: TempDir,
}

impl Node {
    /// Over a home's history as an earlier start has left it, with damage.
    async fn start(home: &ScriptedHome, damage: &[(Damage, u64)], peers: &[&str]) -> Self {
        let (dir, engine) = stored(home).await;
        let hub = LogHub::open(engine.clone()).unwrap();
        // The shard is open when its disk goes bad.
        hub.last(SHARD).unwrap();
        for (damage, index) in damage {
            damage(&*engine, *index);
        }
        let (peers, sources) = at(peers);
        let (_, served) = watch::channel(home.next() - 1);
        let scrub = Scrub {
            shards: vec![Scrubbed {
                shard: SHARD,
                served,
                sources,
            }],
            hub: hub.clone(),
            peers,
            options: ScrubOptions {
                bytes_per_second: 1 << 30,
                interval: Duration::from_millis(10),
                archive_interval: Duration::ZERO,
                begin: 0,
                pull: CopyOptions::default(),
            },
            findings: Findings::default(),
        };
        let findings = scrub.findings.clone();
        let scrubbing = tokio::spawn(scrub.run());
        Self {
            hub,
            engine,
            findings,
            scrubbing,
            _dir: dir,
        }
    }

    /// Waits for so many passes more.
    async fn passes(&self, more: u64) {
        let until = self.findings.status().passes + more;
        let passed = async {
            while self.findings.status().passes < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, passed).await.expect("it passes");
    }

    /// Whether the disk holds just what the home has written.
    fn is_whole(&self, home: &ScriptedHome) -> bool {
        let rows = self.hub.rows(SHARD, 0..home.next(), u64::MAX).unwrap();
        let records = rows.iter().zip(&home.records);
        rows.len() == home.records.len()
            && (0..).zip(records).all(|(index, (row, record))| {
                row.record.as_ref() == Some(&record.record)
                    && row.head(SHARD, index) == Some(record.head)
            })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.scrubbing.abort();
    }
}

const CASES: &[(&str, Damage, u64, Part)] = &[
    (
        "a record's byte",
        |e, i| flip(e, key(RECORD, i)),
        40,
        Part::Record,
    ),
    (
        "a record that is gone",
        |e, i| delete(e, key(RECORD, i)),
        41,
        Part::Record,
    ),
    ("a record altered in a right frame", alter, 42, Part::Chain),
    (
        "the first record",
        |e, i| flip(e, key(RECORD, i)),
        0,
        Part::Record,
    ),
    (
        "a head's byte",
        |e, i| flip(e, key(HEAD, i)),
        43,
        Part::Head,
    ),
    (
        "a head that is gone",
        |e, i| delete(e, key(HEAD, i)),
        44,
        Part::Head,
    ),
    (
        "a head altered in a right frame",
        another_head,
        45,
        Part::Chain,
    ),
    (
        "a record and its head",
        |e, i| {
            delete(e, key(RECORD, i));
            flip(e, key(HEAD, i));
        },
        46,
        Part::Record,
    ),
];

#[tokio::test]
async fn what_is_damaged_is_named_and_mended_from_a_peer() {
    let home = ScriptedHome::eventful(SHARD);
    let (address, _dir, serving) = peer_with(&home.records).await;
    for (name, damage, index, part) in CASES {
        let node = Node::start(&home, &[(*damage, *index)], &[&address]).await;
        node.passes(2).await;
        let status = node.findings.status();
        assert_eq!((status.found, status.mended), (1, 1), "{name}: {status:?}");
        assert!(status.standing.is_empty(), "{name}: {status:?}");
        let (fault, by) = &status.lately_mended[0];
        assert_eq!((fault.index, fault.part, *by), (*index, *part, 1), "{name}");
        assert!(node.is_whole(&home), "{name}");
    }
    serving.abort();
}

#[tokio::test]
async fn a_run_of_damage_and_a_lost_newest_head_are_mended() {
    let home = ScriptedHome::eventful(SHARD);
    let (address, _dir, serving) = peer_with(&home.records).await;
    let last = home.next() - 1;
    let mut damage: Vec<(Damage, u64)> = Vec::new();
    for index in 30..60 {
        damage.push((|e, i| delete(e, key(RECORD, i)), index));
        damage.push((|e, i| delete(e, key(HEAD, i)), index));
    }
    damage.push((|e, i| flip(e, key(HEAD, i)), last));
    let node = Node::start(&home, &damage, &[&address]).await;
    node.passes(2).await;
    let status = node.findings.status();
    assert_eq!((status.found, status.mended), (2, 2), "{status:?}");
    assert!(node.is_whole(&home));
    serving.abort();
}

/// A peer whose history is another from some place on: whole in itself, as a forger would make it.
fn another_history(home: &ScriptedHome, from: usize) -> Vec<CopyRecord> {
    let mut head = home.records[from - 1].head;
    let mut records = home.records[..from].to_vec();
    for (place, record) in home.records[from..].iter().enumerate() {
        let changed = if place == 0 {
            tampered(record)
        } else {
            record.clone()
        };
        let stored = crate::log::StoredRecord::parse(changed.record.clone()).unwrap();
        head = crate::copy::audited_head(&head, &stored);
        let record = changed.record;
        records.push(CopyRecord { record, head });
    }
    records
}

#[tokio::test]
async fn nothing_is_written_that_does_not_lead_back_into_what_is_here() {
    let home = ScriptedHome::eventful(SHARD);
    let mut tampered_at_50 = home.records.clone();
    tampered_at_50[50] = tampered(&home.records[50]);
    let (unsound, _dir, first) = peer_with(&tampered_at_50).await;
    let (forked, _dir, second) = peer_with(&another_history(&home, 50)).await;
    let node = Node::start(
        &home,
        &[(|e, i| delete(e, key(RECORD, i)), 50)],
        &[&unsound, &forked],
    )
    .await;
    node.passes(2).await;
    let status = node.findings.status();
    assert_eq!((status.found, status.mended), (1, 0), "{status:?}");
    let fault = &status.standing[&(SHARD, 50)];
    assert!(fault.tried.contains("node 1: its index 50"), "{fault}");
    assert!(fault.tried.contains("node 2: through index"), "{fault}");
    assert_eq!(node.engine.get(&key(RECORD, 50)).unwrap(), None);

    // The last record and its head at once: whatever is told could be anybody's.
    let last = home.next() - 1;
    let (address, _dir, third) = peer_with(&home.records).await;
    let damage: &[(Damage, u64)] = &[
        (|e, i| delete(e, key(RECORD, i)), last),
        (|e, i| delete(e, key(HEAD, i)), last),
    ];
    let node = Node::start(&home, damage, &[&address]).await;
    node.passes(2).await;
    assert!(node.findings.status().standing.contains_key(&(SHARD, last)));
    for serving in [first, second, third] {
        serving.abort();
    }
}

#[tokio::test]
async fn what_nobody_can_mend_is_not_served_until_somebody_can() {
    let home = ScriptedHome::eventful(SHARD);
    let nowhere = free_address();
    let node = Node::start(&home, &[(alter, 42)], &[&nowhere]).await;
    node.passes(2).await;
    let status = node.findings.status();
    assert_eq!((status.found, status.mended), (1, 0), "{status:?}");
    assert_eq!(status.standing.keys().collect::<Vec<_>>(), [&(SHARD, 42)]);
    let refused = node.hub.read(SHARD, 42..43, usize::MAX).unwrap_err();
    assert!(refused.to_string().contains("index 42"), "{refused}");
    node.hub.heads(SHARD, 42..43).unwrap_err();
    assert_eq!(node.hub.read(SHARD, 41..42, usize::MAX).unwrap().len(), 1);
    assert_eq!(node.hub.read(SHARD, 43..44, usize::MAX).unwrap().len(), 1);

    // Somebody puts back what was there.
    let record = home.records[42].record.clone();
    put(&*node.engine, key(RECORD, 42), record);
    node.passes(2).await;
    assert!(node.findings.status().standing.is_empty());
    assert_eq!(node.hub.read(SHARD, 42..43, usize::MAX).unwrap().len(), 1);
}

#[tokio::test]
async fn it_reads_no_faster_than_it_may() {
    let home = ScriptedHome::eventful(SHARD);
    let (dir, hub) = hub();
    home.store(&hub, 0..home.next()).await;
    let (_, served) = watch::channel(home.next() - 1);
    let sources = Vec::new();
    let scrub = Scrub {
        shards: vec![Scrubbed {
            shard: SHARD,
            served,
            sources,
        }],
        hub,
        peers: Peers::new(
            Arc::new(TcpNetwork),
            Arc::new(|_| None),
            PeerOptions::brisk(),
        ),
        options: ScrubOptions {
            bytes_per_second: 100_000,
            interval: Duration::ZERO,
            ..ScrubOptions::default()
        },
        findings: Findings::default(),
    };
    let findings = scrub.findings.clone();
    let begun = tokio::time::Instant::now();
    let scrubbing = tokio::spawn(scrub.run());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = findings.status();
    let most = 100_000.0 * begun.elapsed().as_secs_f64();
    let page = status.bytes as f64 / status.passes.max(1) as f64;
    assert!(
        status.passes > 0 && status.bytes as f64 <= most + page,
        "{status:?}"
    );
    assert_eq!(status.found, 0);
    scrubbing.abort();
    drop(dir);
}

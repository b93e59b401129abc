//! A real node's directory after it was stopped, and somebody's hands in a copy of it.

#![allow(
    dead_code,
    reason = "each test that includes this module uses a part of it"
)]

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use ledger_domain::{
    Entry, Event, Format, ShardId,
    book::{Reader, Restored},
    chain::{self, LogIdentity},
    frame,
};
use node::{
    api::{
        admin::v1::{Comparison, HeadsRequest},
        teller::v1::{CloseAccountRequest, ReverseRequest},
        v1::{CommandContext, TransactionStatus},
    },
    config::Limits,
    verify::{Options, verify},
};
use prost::Message;
use replication::{
    proto::{LogId, LogRecord, Range, RecordKind, Snapshot, SnapshotChunk, ToldHeads},
    rocks::RocksDisk,
    world::{self, Disk, Durability, Engine, Op},
};

use crate::cluster::{Cluster, THREE_REGIONS, usd};

/// The shard that votes in the directory.
pub const HOME: u32 = 2;
/// One that is copied there.
pub const OTHER: u32 = 3;

/// The first bytes of keys.
pub const RECORD: u8 = 0x10;
pub const HEAD: u8 = 0x11;
pub const CHUNK: u8 = 0x12;
pub const VOTE: u8 = 0x20;
pub const PURGED: u8 = 0x22;
pub const LAST: u8 = 0x23;
pub const SNAPSHOT: u8 = 0x24;
pub const MISSING: u8 = 0x25;
pub const TOLD: u8 = 0x26;

/// The directory of eu-west's node, in which everything has happened that can. Never changed.
pub fn pristine() -> &'static Path {
    static DIRECTORY: OnceLock<tempfile::TempDir> = OnceLock::new();
    let made = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(live())
    };
    DIRECTORY.get_or_init(made).path()
}

/// The topology that it ran in.
pub fn topology() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| fs::read_to_string(pristine().join("topology.toml")).unwrap())
}

/// A copy of it, for a test's own hands.
pub fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(pristine(), copy.path());
    copy
}

/// Copies a directory with all that is in it.
pub fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs three regions, does everything once, and stops the middle one.
async fn live() -> tempfile::TempDir {
    let limits = Limits {
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        heads_seconds: std::num::NonZeroU32::MIN,
        ..Limits::default()
    };
    let cluster = Cluster::start_limited(&THREE_REGIONS, 0, |_| {}, limits).await;
    {
        let node = cluster.at("eu-west");
        let mut accounts = Vec::new();
        for region in THREE_REGIONS {
            let account = node.open(region.name, "a").await;
            node.deposit("in", &account, 10_000).await.unwrap();
            node.withdraw("out", &account, 1_000).await.unwrap();
            node.withdraw("too much", &account, 1_000_000)
                .await
                .unwrap_err();
            accounts.push(account);
        }
        let beside = node.open("eu-west", "beside").await;
        let within = node.transfer("within", &accounts[1], &beside, 700).await;
        let within = within.unwrap();
        let reversal = ReverseRequest {
            context: Some(CommandContext {
                idempotency_key: "reverse".to_owned(),
                ..Default::default()
            }),
            account_id: beside,
            transaction_id: within.transaction_id,
            amount: usd(200),
            ..Default::default()
        };
        node.teller().reverse(reversal).await.unwrap();
        for round in 0..3 {
            for (from, to) in [(0, 1), (1, 2), (2, 1), (2, 0)] {
                let key = format!("{round} from {from} to {to}");
                node.transfer(&key, &accounts[from], &accounts[to], 100 + round)
                    .await
                    .unwrap();
            }
        }
        let closed = node.open("us-east", "closed").await;
        let close = CloseAccountRequest {
            context: Some(CommandContext {
                idempotency_key: "close".to_owned(),
                ..Default::default()
            }),
            account_id: closed.clone(),
            ..Default::default()
        };
        node.teller().close_account(close).await.unwrap();
        let refused = node.transfer("late", &accounts[1], &closed, 50).await;
        assert_eq!(refused.unwrap().status(), TransactionStatus::Returned);
        // The other region's node signs a head, and this one meets it in its copy.
        let mut admin = node.admin();
        let mut told = false;
        while !told {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let heads = admin.heads(HeadsRequest {}).await.unwrap().into_inner();
            let mut heads = heads.heads.iter();
            told = heads.any(|it| {
                it.shard == OTHER && it.index > 10 && it.comparison() == Comparison::Agrees
            });
        }
    }
    keep(cluster, "eu-west").await
}

/// Ends a cluster and keeps the directory of a region's node, as it is once everything that was
/// sent between shards is closed in all logs that are there, and all of those is known to be
/// committed.
pub async fn keep(mut cluster: Cluster, region: &str) -> tempfile::TempDir {
    let node = cluster.at(region);
    let (id, data) = (node.id, cluster.data(node));
    // What happened last elsewhere comes to its copies when it comes.
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.stop(id).await;
        let report = verify(&data, Options::default(), &|_| {}).unwrap();
        assert_eq!(report.findings, []);
        let complete = |it: &node::verify::Channel| it.sent == it.closed && it.sent == it.recorded;
        let committed = |it: &node::verify::ShardReport| it.head_index == it.last;
        if report.channels.iter().all(complete) && report.shards.iter().all(committed) {
            break;
        }
        cluster.restart(id).await;
    }
    let kept = tempfile::tempdir().unwrap();
    copy_all(&data, kept.path());
    let topology = toml::to_string(cluster.topology()).unwrap();
    fs::write(kept.path().join("topology.toml"), topology).unwrap();
    let secrets = data.with_file_name(format!("{region}.secrets.toml"));
    fs::copy(secrets, kept.path().join("secrets.toml")).unwrap();
    cluster.shutdown().await;
    kept
}

pub fn key(kind: u8, shard: u32, index: u64) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(shard.to_be_bytes());
    key.extend(index.to_be_bytes());
    key
}

/// Bytes in a right frame.
pub fn framed(bytes: &[u8]) -> Bytes {
    frame::seal(bytes.len(), |out| out.extend_from_slice(bytes))
}

/// The message in a frame.
pub fn message<M: Message + Default>(stored: &Bytes) -> M {
    M::decode(frame::open(stored).unwrap()).unwrap()
}

/// A log store, open for writing: no rule of the program stands before it.
pub struct Store(Arc<dyn Engine>);

impl Store {
    pub fn open(dir: &Path) -> Self {
        let disk = RocksDisk::new(dir.to_owned());
        Self(disk.open(world::Store::Log).unwrap())
    }

    /// The store of a node that runs.
    pub fn over(engine: Arc<dyn Engine>) -> Self {
        Self(engine)
    }

    pub fn key(&self, kind: u8, shard: u32, index: u64) -> Vec<u8> {
        key(kind, shard, index)
    }

    pub fn marker(&self, kind: u8, shard: u32) -> Vec<u8> {
        key(kind, shard, 0)[..5].to_vec()
    }

    pub fn get(&self, key: &[u8]) -> Bytes {
        self.0.get(key).unwrap().expect("it is there")
    }

    pub fn put(&self, key: Vec<u8>, value: Bytes) {
        let put = vec![Op::Put(key, value)];
        self.0.write(put, Durability::Synced).unwrap();
    }

    pub fn delete(&self, key: Vec<u8>) {
        self.get(&key);
        let delete = vec![Op::Delete(key)];
        self.0.write(delete, Durability::Synced).unwrap();
    }

    /// Flips one bit of a value.
    pub fn flip(&self, key: Vec<u8>, bit: usize) {
        let mut value = self.get(&key).to_vec();
        value[bit / 8] ^= 1 << (bit % 8);
        self.put(key, value.into());
    }

    pub fn last(&self, shard: u32) -> LogId {
        message(&self.get(&self.marker(LAST, shard)))
    }

    pub fn set_last(&self, shard: u32, id: LogId) {
        self.put(self.marker(LAST, shard), frame::seal_message(&id));
    }

    pub fn entry(&self, shard: u32, index: u64) -> Entry {
        let record: LogRecord = message(&self.get(&key(RECORD, shard, index)));
        assert_eq!(record.kind(), RecordKind::Entry);
        Entry::decode(&record.payload).unwrap()
    }

    /// Changes an entry and stores it in right frames. Nothing else is made to agree.
    pub fn rewrite(&self, shard: u32, index: u64, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.entry(shard, index);
        change(&mut entry);
        let mut record: LogRecord = message(&self.get(&key(RECORD, shard, index)));
        record.payload = entry.encode(Format::NEWEST);
        self.put(key(RECORD, shard, index), frame::seal_message(&record));
    }

    /// The first entry with such an event.
    pub fn find(&self, shard: u32, wanted: &dyn Fn(&Event) -> bool) -> u64 {
        let has = |index: &u64| events(&mut self.entry(shard, *index)).any(|event| wanted(event));
        let found = self.entries(shard).into_iter().find(has);
        found.expect("such an event happened")
    }

    /// Changes the first event that can be changed so; answers its index.
    pub fn alter(&self, shard: u32, change: &dyn Fn(&mut Event) -> bool) -> u64 {
        let index = self.find(shard, &|event| change(&mut event.clone()));
        self.rewrite(shard, index, |entry| {
            assert!(events(entry).any(change));
        });
        index
    }

    /// The entry after one.
    pub fn next_entry(&self, shard: u32, index: u64) -> u64 {
        let mut later = self.entries(shard).into_iter().filter(|it| *it > index);
        later.next().expect("it is not the last")
    }

    /// Computes every entry's link and every head of a shard again, as its owner would have.
    pub fn chain_anew(&self, shard: u32) {
        let mut link = chain::writer_genesis(ShardId(shard));
        for index in self.entries(shard) {
            self.rewrite(shard, index, |entry| entry.prev_hash = link);
            link = Entry::link(&self.entry(shard, index).encode(Format::NEWEST));
        }
        self.chain_heads_anew(shard);
    }

    /// Computes every head of a shard again.
    pub fn chain_heads_anew(&self, shard: u32) {
        let mut head = chain::audit_genesis(ShardId(shard));
        for record in self.records(shard) {
            let id = record.id.unwrap();
            let identity = LogIdentity {
                epoch: id.epoch,
                term: id.term,
                node: id.node,
                index: id.index,
            };
            let kind = match record.kind() {
                RecordKind::Blank => chain::RecordKind::Blank,
                RecordKind::Membership => chain::RecordKind::Membership,
                _ => chain::RecordKind::Entry,
            };
            head = chain::audit_link(&head, identity, kind, &record.payload);
            self.put(key(HEAD, shard, id.index), framed(&head));
        }
    }

    /// The newest snapshot of a shard.
    pub fn snapshot(&self, shard: u32) -> Snapshot {
        message(&self.get(&self.marker(SNAPSHOT, shard)))
    }

    /// The keys of a snapshot's chunks, in order.
    pub fn chunks(&self, shard: u32) -> Vec<Vec<u8>> {
        let chunks = self.snapshot(shard).chunks.into_iter();
        let key = |chunk: SnapshotChunk| [&self.marker(CHUNK, shard)[..], &chunk.hash].concat();
        chunks.map(key).collect()
    }

    /// Changes what a snapshot says and stores it as its owner would have.
    pub fn snapshot_anew(&self, shard: u32, change: impl FnOnce(&mut Restored)) {
        let keys = self.chunks(shard);
        let (follows, book) = keys.split_last().unwrap();
        let mut reader = Reader::default();
        for key in book {
            reader.take(&self.get(key)).unwrap();
        }
        let mut restored = reader.finish().unwrap();
        change(&mut restored);
        let mut chunks: Vec<_> = restored.book.chunks(restored.audited).collect();
        chunks.push(self.get(follows));
        self.set_chunks(shard, &chunks);
    }

    /// Makes chunks a shard's snapshot.
    pub fn set_chunks(&self, shard: u32, chunks: &[Bytes]) {
        let mut snapshot = self.snapshot(shard);
        snapshot.chunks.clear();
        for content in chunks {
            let hash = *blake3::hash(content).as_bytes();
            let key = [&self.marker(CHUNK, shard)[..], &hash].concat();
            self.put(key, content.clone());
            snapshot.chunks.push(SnapshotChunk {
                hash: Bytes::copy_from_slice(&hash),
                length: content.len() as u64,
            });
        }
        self.set_snapshot(shard, &snapshot);
    }

    pub fn set_snapshot(&self, shard: u32, snapshot: &Snapshot) {
        let stored = frame::seal_message(snapshot);
        self.put(self.marker(SNAPSHOT, shard), stored);
    }

    /// Takes away what a follower has not got that was given its snapshot after an index: the
    /// records from there on through the snapshot's last.
    pub fn skip_to_snapshot(&self, shard: u32, from: u64) {
        let last = self.snapshot(shard).last.unwrap();
        for index in from..=last.index {
            self.delete(key(RECORD, shard, index));
        }
        for index in from..last.index {
            self.delete(key(HEAD, shard, index));
        }
        self.put(self.marker(PURGED, shard), frame::seal_message(&last));
        self.set_missing(shard, from, last.index + 1);
    }

    pub fn set_missing(&self, shard: u32, from: u64, until: u64) {
        let missing = frame::seal_message(&Range { from, until });
        self.put(self.marker(MISSING, shard), missing);
    }

    /// The heads that a shard's home has told.
    pub fn told(&self, shard: u32) -> ToldHeads {
        message(&self.get(&self.marker(TOLD, shard)))
    }

    pub fn set_told(&self, shard: u32, told: &ToldHeads) {
        self.put(self.marker(TOLD, shard), frame::seal_message(told));
    }

    pub fn records(&self, shard: u32) -> Vec<LogRecord> {
        let (from, to) = (key(RECORD, shard, 0), key(RECORD, shard + 1, 0));
        let mut records = Vec::new();
        self.0
            .scan(&from..&to, &mut |_, value| {
                records.push(message(&Bytes::copy_from_slice(value)));
                ControlFlow::Continue(())
            })
            .unwrap();
        records
    }

    fn entries(&self, shard: u32) -> Vec<u64> {
        let records = self.records(shard).into_iter();
        records
            .filter(|record| record.kind() == RecordKind::Entry)
            .filter_map(|record| Some(record.id?.index))
            .collect()
    }
}

fn events(entry: &mut Entry) -> impl Iterator<Item = &mut Event> {
    entry
        .outcomes
        .iter_mut()
        .filter_map(|outcome| outcome.result.as_mut().ok())
        .flatten()
}

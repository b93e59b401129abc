use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use replication::log::LogHub;
use replication::peer::{self, Identity, PeerOptions, Peers};
use replication::raft::{
    Applied, Content, Frozen, Group, GroupOptions, Groups, Machine, Proposed, RaftService,
    RecordId, Reign, Term, Timing, Transport,
};
use replication::world::{Network, SystemEntropy};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

use super::memory::MemoryEngine;
use super::silence::Silence;

pub const SHARD: u32 = 7;
const VOTERS: u64 = 3;
/// A follower that lacks more than these before a snapshot is given the snapshot.
pub const ENTRIES_BEFORE_SNAPSHOT: u64 = 20;
/// A time that no clock follows: the replicas refuse every call that carries it.
pub const ABSURD: [u8; 16] = [0xff; 16];
/// Longer than any election on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps what it is given, in order.
#[derive(Default)]
pub struct Journal(Mutex<Vec<(RecordId, Bytes)>>, AtomicU64);

impl Machine for Journal {
    fn apply(&self, id: RecordId, content: Content<'_>) -> Applied {
        let payload = match content {
            Content::Entry(payload) => payload.clone(),
            Content::Blank | Content::Membership(_) => Bytes::new(),
        };
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((id, payload));
        Applied::Accepted
    }

    fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(Page(self.records()))
    }

    fn restore(
        &self,
        last: RecordId,
        chunks: &mut dyn Iterator<Item = io::Result<Bytes>>,
    ) -> io::Result<()> {
        let mut records = Vec::new();
        for chunk in chunks {
            records.extend(lines(&chunk?));
        }
        assert_eq!(records.last().map(|(id, _)| *id), Some(last));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = records;
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A copy of a journal.
struct Page(Vec<(RecordId, Bytes)>);

/// How many records a chunk of a journal has.
const LINES: usize = 16;

impl Frozen for Page {
    fn chunks(&self) -> Box<dyn Iterator<Item = Bytes> + Send + '_> {
        Box::new(self.0.chunks(LINES).map(|lines| {
            let mut chunk = Vec::new();
            for (id, payload) in lines {
                for number in [id.epoch, id.term, id.node, id.index, payload.len() as u64] {
                    chunk.extend(number.to_be_bytes());
                }
                chunk.extend(payload);
            }
            chunk.into()
        }))
    }
}

fn lines(mut chunk: &[u8]) -> Vec<(RecordId, Bytes)> {
    let mut records = Vec::new();
    while chunk.has_remaining() {
        let (epoch, term, node) = (chunk.get_u64(), chunk.get_u64(), chunk.get_u64());
        let (index, length) = (chunk.get_u64(), chunk.get_u64() as usize);
        let id = RecordId {
            epoch,
            term,
            node,
            index,
        };
        records.push((id, chunk.copy_to_bytes(length)));
    }
    records
}

impl Journal {
    /// How often it was made from a snapshot.
    pub fn restored(&self) -> u64 {
        self.1.load(Ordering::Relaxed)
    }

    pub fn records(&self) -> Vec<(RecordId, Bytes)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn has(&self, payload: &[u8]) -> bool {
        self.records().iter().any(|(_, stored)| stored == payload)
    }
}

pub struct Replica {
    pub group: Group,
    pub hub: LogHub,
    pub peers: Peers,
    pub journal: Arc<Journal>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Replica {
    async fn start(
        node_id: u64,
        seed: u64,
        addresses: BTreeMap<u64, String>,
        disk: Arc<MemoryEngine>,
        silence: &Silence,
    ) -> Self {
        let network = Arc::new(silence.network(node_id, &addresses));
        let incoming = network
            .listen(&addresses[&node_id])
            .await
            .expect("the port is free");
        let options = PeerOptions::brisk();
        let others: Vec<u64> = addresses.keys().copied().collect();
        let directory = Arc::new(move |node| addresses.get(&node).cloned());
        let peers = Peers::new(network, directory, options.clone());
        let hub = LogHub::open(disk).expect("the log opens");
        let identity = Identity::open(hub.clone(), node_id, &SystemEntropy).await;
        peers.identify(identity.expect("it is readable"));
        let transport = Transport::new(
            SHARD,
            peers.clone(),
            Arc::new(|| [0; 16]),
            Duration::from_secs(3),
        );
        let journal = Arc::new(Journal::default());
        let log = hub.shard(SHARD).expect("the shard opens");
        let timing = Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            ..Timing::default()
        };
        let group_options = GroupOptions {
            shard: SHARD,
            node_id,
            seed,
            timing,
            entries_before_snapshot: ENTRIES_BEFORE_SNAPSHOT,
        };
        let group = Group::start(group_options, log, journal.clone(), transport)
            .await
            .expect("the replica starts");
        let others = others.into_iter().filter(|node| *node != node_id);
        tokio::spawn(peers.clone().introduce(others.collect()));
        let groups = Groups::default();
        groups.insert(group.clone());
        let check = |time: &[u8]| {
            if time == ABSURD {
                return Err(Status::failed_precondition("beyond the bound"));
            }
            Ok(())
        };
        let service = RaftService::server(groups, Arc::new(check), &peers);
        let router = peer::server(&options).add_service(service);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            let serving = peer::serve(router, incoming, stopped, Duration::ZERO);
            serving.await.expect("the listener works");
        });
        Self {
            group,
            hub,
            peers,
            journal,
            stop,
            serving,
        }
    }

    /// Ends the replica and its listener at once, with no farewell to the peers.
    async fn kill(self) {
        drop(self.stop);
        self.serving.await.expect("the server does not panic");
        self.group.shutdown().await;
    }
}

pub struct Cluster {
    pub replicas: BTreeMap<u64, Replica>,
    pub addresses: BTreeMap<u64, String>,
    pub disks: BTreeMap<u64, Arc<MemoryEngine>>,
    pub silence: Silence,
}

impl Cluster {
    /// Three replicas on loopback, founded by the first.
    pub async fn start() -> Self {
        Self::start_with_spares(0).await
    }

    /// The same, with places for more: they are known, and do not run yet.
    pub async fn start_with_spares(spares: u64) -> Self {
        let mut addresses = BTreeMap::new();
        let reserved: Vec<_> = (1..=VOTERS + spares)
            .map(|node| {
                (
                    node,
                    TcpListener::bind("127.0.0.1:0").expect("loopback is there"),
                )
            })
            .collect();
        for (node, listener) in reserved {
            addresses.insert(
                node,
                listener.local_addr().expect("it is bound").to_string(),
            );
        }
        let disks = addresses
            .keys()
            .map(|node| (*node, Arc::default()))
            .collect();
        let mut cluster = Self {
            replicas: BTreeMap::new(),
            addresses,
            disks,
            silence: Silence::default(),
        };
        for node in 1..=VOTERS {
            cluster.start_replica(node, node).await;
        }
        let mut members = cluster.addresses.clone();
        members.retain(|node, _| *node <= VOTERS);
        cluster.replicas[&1]
            .group
            .initialize(members)
            .await
            .expect("the group is founded");
        cluster
    }

    /// Starts a replica over what its disk holds.
    pub async fn start_replica(&mut self, node: u64, seed: u64) {
        let disk = self.disks[&node].clone();
        let replica = Replica::start(node, seed, self.addresses.clone(), disk, &self.silence).await;
        self.replicas.insert(node, replica);
    }

    /// The reign of whoever leads, once somebody living does under a later one than `after` and
    /// has applied an entry of it: the blank, with which a reign begins.
    pub async fn leader(&self, after: Option<Reign>) -> (&Replica, Reign) {
        let opened = |replica: &Replica| {
            let reign = replica.group.leadership().borrow().reign?;
            let (last, _) = replica.journal.records().pop()?;
            let term = Term {
                epoch: last.epoch,
                term: last.term,
            };
            let node = last.node;
            (Some(reign) > after && reign == Reign { term, node }).then_some(reign)
        };
        let found = async {
            loop {
                for replica in self.replicas.values() {
                    if let Some(reign) = opened(replica) {
                        return (replica, reign);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, found).await.expect("somebody is elected")
    }

    /// How often the living stood because a leader's process had ended.
    pub fn stood_at_once(&self) -> u64 {
        let groups = self.replicas.values().map(|replica| &replica.group);
        groups.map(|group| group.metrics().stood_at_once).sum()
    }

    pub async fn kill(&mut self, node: u64) {
        self.replicas.remove(&node).expect("it lives").kill().await;
    }

    /// Waits until every living replica has applied `index`, and returns what each applied.
    pub async fn journals(&self, index: u64) -> Vec<Vec<(RecordId, Bytes)>> {
        let mut journals = Vec::new();
        for replica in self.replicas.values() {
            let mut applied = replica.group.applied_watch();
            let caught_up = applied.wait_for(|applied| *applied >= index);
            let waited = timeout(PATIENCE, caught_up).await;
            waited.expect("it catches up").expect("the group runs");
            journals.push(replica.journal.records());
        }
        journals
    }

    pub async fn stop(self) {
        for (_, replica) in self.replicas {
            replica.kill().await;
        }
    }
}

/// Queues a proposal; the receiver gets its fate.
pub async fn propose(group: &Group, reign: Reign, payload: &str) -> oneshot::Receiver<Proposed> {
    let (answer, fate) = oneshot::channel();
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    group
        .propose(reign, payload, move |proposed| drop(answer.send(proposed)))
        .await;
    fate
}

/// Proposes all, without waiting in between, and returns the index of each.
pub async fn accepted(group: &Group, reign: Reign, payloads: &[String]) -> Vec<u64> {
    let mut fates = Vec::new();
    for payload in payloads {
        fates.push(propose(group, reign, payload).await);
    }
    let mut indexes = Vec::new();
    for fate in fates {
        match timeout(PATIENCE, fate)
            .await
            .expect("it is decided")
            .expect("it is answered")
        {
            Proposed::Applied(index, Applied::Accepted) => indexes.push(index),
            other => panic!("a proposal in a quiet reign ended as {other:?}"),
        }
    }
    indexes
}

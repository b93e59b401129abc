//! What shards cost that nobody writes to: `cargo test --release --workspace --test idle_shards --
//! --ignored --nocapture` prints it.

#![expect(
    clippy::float_arithmetic,
    reason = "rates are printed; no money is near"
)]

mod cluster;

use std::{
    collections::BTreeMap,
    io,
    ops::{ControlFlow, Range},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cluster::{Region, lay_out, secrets_of};
use ledger_domain::{AccountId, ShardId};
use node::{
    api::{
        atm::v1::{GetBalancesRequest, atm_client::AtmClient},
        v1::{
            ReadMode,
            read_mode::{Bounded, Mode, Otherwise},
        },
    },
    config::Config,
    server,
};
use replication::{
    rocks::RocksDisk,
    topology::{Directory as _, FileDirectory, Shard},
    world::{
        Batch, Disk, Durability, Engine, Op, SortedRow, Store, SystemClock, SystemEntropy,
        TcpNetwork, World, WriterHost, batch,
    },
};
use tokio::{sync::watch, time::sleep};
use tonic::transport::Channel;

const SHARDS: u32 = 64;
const REGION: &str = "eu-west";
const MEASURED: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Written {
    syncs: AtomicU64,
    log_bytes: AtomicU64,
    view_bytes: AtomicU64,
}

impl Written {
    fn now(&self) -> [u64; 3] {
        [&self.syncs, &self.log_bytes, &self.view_bytes].map(|n| n.load(Ordering::Relaxed))
    }
}

/// A disk that counts what is written to it.
struct Counting(RocksDisk, Arc<Written>);

impl Disk for Counting {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        let (engine, written) = (self.0.open(store)?, self.1.clone());
        Ok(Arc::new(Counted(engine, store, written)))
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        self.0.wipe(store)
    }

    fn has(&self, store: Store) -> bool {
        self.0.has(store)
    }
}

struct Counted(Arc<dyn Engine>, Store, Arc<Written>);

impl Engine for Counted {
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let bytes = batch.iter().map(|op| match op {
            Op::Put(key, value) => key.len() + value.len(),
            Op::Delete(key) => key.len(),
            Op::DeleteRange(keys) => keys.start.len() + keys.end.len(),
        });
        let bytes = bytes.sum::<usize>() as u64;
        let kind = match self.1 {
            Store::Log => &self.2.log_bytes,
            Store::Views | Store::ViewsBeside => &self.2.view_bytes,
        };
        kind.fetch_add(bytes, Ordering::Relaxed);
        let syncs = u64::from(durability == Durability::Synced);
        self.2.syncs.fetch_add(syncs, Ordering::Relaxed);
        self.0.write(batch, durability)
    }

    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        self.write(batch(rows), Durability::Later)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        self.0.get(key)
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.0.scan(range, visit)
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.0.scan_back(range, visit)
    }

    fn writer_host(&self) -> WriterHost {
        self.0.writer_host()
    }
}

/// An account of every shard, opened or not.
fn one_of_each(directory: &FileDirectory) -> Vec<String> {
    let region = REGION.parse().unwrap();
    let mut found = BTreeMap::new();
    for n in 0.. {
        let id = AccountId::derive(region, "t", &n.to_string());
        let home: ShardId = directory.home(&id).unwrap();
        found.entry(home).or_insert(id);
        if found.len() == SHARDS as usize {
            break;
        }
    }
    found.into_values().map(|id| id.to_string()).collect()
}

async fn measure(what: &str, written: &[Arc<Written>]) -> f64 {
    let before: Vec<_> = written.iter().map(|w| w.now()).collect();
    sleep(MEASURED).await;
    let seconds = MEASURED.as_secs_f64();
    let mut most = 0.0_f64;
    for (node, (written, before)) in (1..).zip(written.iter().zip(before)) {
        let after = written.now();
        let rate = |n: usize| (after[n] - before[n]) as f64 / seconds;
        let a_day = |n: usize| rate(n) * 86_400.0 / 1e6;
        println!(
            "{SHARDS} idle shards, {what}, node {node}: {:.1} syncs/s, {:.0} MB/day of log, {:.0} MB/day of views",
            rate(0),
            a_day(1),
            a_day(2),
        );
        most = most.max(rate(0));
    }
    most
}

async fn idle_shards_on(nodes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let region = Region {
        name: REGION,
        time_zone: "Europe/Dublin",
        nodes,
    };
    let (mut topology, _) = lay_out(&dir, &[region], 0);
    let first = topology.shards.remove(0);
    topology.shards.extend((1..=SHARDS).map(|id| Shard {
        id,
        ..first.clone()
    }));
    let file = dir.path().join("topology.toml");
    std::fs::write(&file, toml::to_string(&topology).unwrap()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut written = Vec::new();
    let mut running = Vec::new();
    for node in &topology.nodes {
        let config = Config {
            node: node.id,
            data: dir.path().join(&node.name),
            topology: Some(file.clone()),
            secrets: Some(secrets_of(&dir, REGION)),
            ..Config::default()
        };
        let counted = Arc::<Written>::default();
        let disk = Counting(RocksDisk::new(config.data.clone()), counted.clone());
        let world = World {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            network: Arc::new(TcpNetwork),
            disk: Arc::new(disk),
            archive: None,
        };
        let mut stopped = stopped.clone();
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        running.push(tokio::spawn(server::run(config, world, stop)));
        written.push(counted);
    }
    // Until every shard has had its leader for long enough to be as idle as it gets.
    sleep(Duration::from_secs(40)).await;
    let unasked = measure("nobody asks", &written).await;
    let directory = FileDirectory::new(topology.clone()).unwrap();
    let account_ids = one_of_each(&directory);
    let address = format!("http://{}", topology.nodes[0].address);
    let channel = Channel::from_shared(address).unwrap().connect_lazy();
    let asking = tokio::spawn(async move {
        loop {
            let bounded = Bounded {
                max_staleness_ms: 2_000,
                otherwise: Otherwise::Error.into(),
                tokens: vec![],
            };
            let request = GetBalancesRequest {
                account_ids: account_ids.clone(),
                mode: Some(ReadMode {
                    mode: Some(Mode::Bounded(bounded)),
                }),
                at_one_time: None,
            };
            let _ = AtmClient::new(channel.clone()).get_balances(request).await;
            sleep(Duration::from_millis(200)).await;
        }
    });
    sleep(Duration::from_secs(3)).await;
    let asked = measure("all asked for", &written).await;
    asking.abort();
    // Each shard by itself would need 64 syncs every ten seconds, and 128 every second.
    assert!(unasked < 3.0, "{unasked} syncs/s");
    assert!(asked < 60.0, "{asked} syncs/s");
    stop.send_replace(true);
    for node in running {
        node.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for minutes"]
async fn what_idle_shards_of_one_node_write() {
    idle_shards_on(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for minutes"]
async fn what_idle_shards_of_three_nodes_write() {
    idle_shards_on(3).await;
}

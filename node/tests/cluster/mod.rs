//! Several real nodes in one process: real disks, real sockets, a topology and a file of secrets
//! for each region, and a network between the regions that can be cut.

#![allow(
    dead_code,
    reason = "each test that includes this module uses a part of it"
)]

mod calls;
mod clock;
mod disk;
mod gate;
mod growing;
mod rebuilding;

use std::{collections::BTreeMap, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use clock::WrongClock;
use disk::{InReach, LogInReach};
use gate::{Gate, Gated};
use node::{
    api::{
        admin::v1::admin_client::AdminClient, atm::v1::atm_client::AtmClient,
        teller::v1::teller_client::TellerClient,
    },
    config::{Config, Limits},
    secrets::{self, Secrets},
    server,
    verify::{Options, verify},
};
use replication::{
    rocks::RocksDisk,
    topology::{self, Dev, RoundTrip, Topology},
    world::{Engine, SystemEntropy, TcpNetwork, World},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, transport::Channel};

#[allow(unused_imports, reason = "as above")]
pub use calls::{code, usd};

/// A region of the cluster. Its one shard is decided by all its nodes, so they are an odd number.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    pub name: &'static str,
    pub time_zone: &'static str,
    pub nodes: usize,
}

/// Three regions of one node each, far apart on the map.
pub const THREE_REGIONS: [Region; 3] = [
    Region {
        name: "ap-south",
        time_zone: "Asia/Singapore",
        nodes: 1,
    },
    Region {
        name: "eu-west",
        time_zone: "Europe/Dublin",
        nodes: 1,
    },
    Region {
        name: "us-east",
        time_zone: "America/New_York",
        nodes: 1,
    },
];

/// A region whose shard outlives one of its nodes, and one node abroad.
pub const HOME_AND_ABROAD: [Region; 2] = [
    Region {
        name: "eu-west",
        time_zone: "Europe/Dublin",
        nodes: 3,
    },
    Region {
        name: "us-east",
        time_zone: "America/New_York",
        nodes: 1,
    },
];

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until something is so.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "it does not come to be that {what}");
}

/// What a test changes in the configuration of the node with a number.
pub type Configure = fn(u64, &mut Config);

/// Running nodes. Their data is gone when this is.
pub struct Cluster {
    dir: tempfile::TempDir,
    topology: Topology,
    limits: Limits,
    configure: Configure,
    logs: BTreeMap<u64, LogInReach>,
    clocks: BTreeMap<u64, WrongClock>,
    gate: Gate,
    nodes: Vec<Node>,
}

/// A node, running or not.
pub struct Node {
    pub id: u64,
    pub name: String,
    pub region: String,
    pub address: String,
    /// Where its metrics and readiness are told.
    pub metrics: String,
    channel: Channel,
    running: Option<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), server::Error>>,
}

impl Cluster {
    /// Starts nodes that are next to each other, and waits until every one serves all regions.
    pub async fn start(regions: &[Region]) -> Self {
        Self::start_apart(regions, 0).await
    }

    /// The same, with every two regions `round_trip_ms` apart.
    pub async fn start_apart(regions: &[Region], round_trip_ms: u64) -> Self {
        Self::start_shaped(regions, round_trip_ms, |_| {}).await
    }

    /// The same, with a topology that the test has had its hands on.
    pub async fn start_shaped(
        regions: &[Region],
        round_trip_ms: u64,
        shape: impl FnOnce(&mut Topology),
    ) -> Self {
        Self::start_limited(regions, round_trip_ms, shape, Limits::default()).await
    }

    /// The same, with limits of the test's own.
    pub async fn start_limited(
        regions: &[Region],
        round_trip_ms: u64,
        shape: impl FnOnce(&mut Topology),
        limits: Limits,
    ) -> Self {
        let shaped = (round_trip_ms, shape);
        Self::start_configured(regions, shaped, limits, |_, _| {}).await
    }

    /// The same, with nodes that are configured one by one.
    pub async fn start_configured(
        regions: &[Region],
        (round_trip_ms, shape): (u64, impl FnOnce(&mut Topology)),
        limits: Limits,
        configure: Configure,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut topology, metrics) = lay_out(&dir, regions, round_trip_ms);
        shape(&mut topology);
        let text = toml::to_string(&topology).unwrap();
        std::fs::write(dir.path().join("topology.toml"), text).unwrap();
        let gate = Gate::new(&topology);
        let mut metrics = metrics.into_iter();
        let nodes = topology
            .nodes
            .iter()
            .map(|node| Node {
                id: node.id,
                name: node.name.clone(),
                region: node.region.to_string(),
                address: node.address.clone(),
                metrics: metrics.next().expect("one for each node"),
                channel: Channel::from_shared(format!("http://{}", node.address))
                    .unwrap()
                    .connect_lazy(),
                running: None,
            })
            .collect();
        let logs = topology.nodes.iter();
        let logs = logs.map(|node| (node.id, LogInReach::default())).collect();
        let mut cluster = Self {
            dir,
            topology,
            limits,
            configure,
            logs,
            clocks: BTreeMap::new(),
            gate,
            nodes,
        };
        for id in cluster.ids() {
            cluster.begin(id);
        }
        for id in cluster.ids() {
            cluster.ready(id).await;
        }
        cluster
    }

    /// The first node of a region.
    pub fn at(&self, region: &str) -> &Node {
        let here = |node: &&Node| node.region == region;
        self.nodes.iter().find(here).expect("a region of this test")
    }

    /// A node by its number, from 1.
    pub fn node(&self, id: u64) -> &Node {
        let wanted = |node: &&Node| node.id == id;
        self.nodes.iter().find(wanted).expect("a node of this test")
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Who is where.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The shard of a region.
    pub fn shard(&self, region: &str) -> u32 {
        let home = |shard: &&topology::Shard| shard.region.as_str() == region;
        self.topology.shards.iter().find(home).unwrap().id
    }

    /// Cuts a region off: nothing passes between it and the others, and nobody is told.
    pub fn cut(&self, region: &str) {
        self.gate.cut(region);
    }

    /// Cuts a node off from the other regions, and not from its own.
    pub fn cut_off(&self, id: u64) {
        self.gate.cut(&self.node(id).address);
    }

    /// Ends [`Self::cut_off`].
    pub fn reconnect(&self, id: u64) {
        self.gate.heal(&self.node(id).address);
    }

    /// Ends [`Self::cut`]: what was under way arrives after all.
    pub fn heal(&self, region: &str) {
        self.gate.heal(region);
    }

    /// Stops a node and waits until it has, so that it can be started again.
    pub async fn stop(&mut self, id: u64) {
        let node = self.nodes.iter_mut().find(|node| node.id == id).unwrap();
        let running = node.running.take().expect("a node stops once");
        running.stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, running.task)
            .await
            .expect("a node stops in time")
            .unwrap()
            .unwrap();
    }

    /// Starts a stopped node again over its data, and waits until it serves.
    pub async fn restart(&mut self, id: u64) {
        self.begin(id);
        self.ready(id).await;
    }

    /// Stops all nodes and recomputes what is in their directories: nothing is wrong with any.
    pub async fn stop_and_verify(mut self) {
        for id in self.ids() {
            self.stop(id).await;
            let data = self.data(self.node(id));
            let options = Options {
                archive: self.config(id).archive().unwrap(),
                ..Options::default()
            };
            let report = verify(&data, options, &|_| {}).unwrap();
            assert_eq!(report.findings, [], "node {id}");
        }
    }

    /// Tells every node to stop, all at once, and waits for none: the end of a test.
    pub async fn shutdown(mut self) {
        for running in self.nodes.iter_mut().filter_map(|node| node.running.take()) {
            running.stop.send(()).unwrap();
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The log store of a running node, which cannot stop before this is let go of.
    pub fn log_of(&self, id: u64) -> Arc<dyn Engine> {
        self.logs[&id].get()
    }

    /// Says how many bytes a node's disk has left.
    pub fn set_free(&self, id: u64, bytes: u64) {
        self.logs[&id].set_free(bytes);
    }

    /// Sets how far a node's clock is ahead (behind, where negative): it jumps.
    pub fn set_clock_ahead_ms(&self, id: u64, millis: i64) {
        self.clocks[&id].set_ahead_ms(millis);
    }

    /// Takes down from now on what goes between the regions.
    pub fn record(&self) {
        self.gate.record();
    }

    /// What went each way over each connection between regions.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.gate.recorded()
    }

    /// The secrets of a region's nodes.
    pub fn secrets(&self, region: &str) -> PathBuf {
        secrets_of(&self.dir, region)
    }

    /// Where a node keeps its data.
    pub fn data(&self, node: &Node) -> PathBuf {
        self.dir.path().join(&node.name)
    }

    /// What a node is started with.
    fn config(&self, id: u64) -> Config {
        let node = self.node(id);
        let mut config = Config {
            node: id,
            data: self.data(node),
            topology: Some(self.dir.path().join("topology.toml")),
            secrets: Some(secrets_of(&self.dir, &node.region)),
            limits: self.limits.clone(),
            metrics_listen: Some(node.metrics.clone()),
            ..Config::default()
        };
        (self.configure)(id, &mut config);
        config
    }

    /// Starts a stopped node again over its data, and waits for nothing.
    pub fn begin(&mut self, id: u64) {
        let clock = self.clocks.entry(id).or_default().clone();
        let config = self.config(id);
        let node = self.node(id);
        let world = World {
            clock: Arc::new(clock),
            entropy: Arc::new(SystemEntropy),
            network: Arc::new(Gated::new(
                TcpNetwork,
                &self.gate,
                &node.region,
                &node.address,
            )),
            disk: Arc::new(InReach {
                disk: RocksDisk::new(config.data.clone()),
                log: self.logs[&id].clone(),
            }),
            archive: config.archive().unwrap(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let running = server::run(config, world, async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(async {
            let ended = running.await;
            // Nobody asks for it where a test waits in vain for this node.
            ended.inspect_err(|error| eprintln!("a node has ended: {error}"))
        });
        let node = self.nodes.iter_mut().find(|node| node.id == id).unwrap();
        node.running = Some(Running { stop, task });
    }

    /// A node is ready once a strong read of every region is refused for its account, not for want
    /// of a leader.
    async fn ready(&self, id: u64) {
        let node = self.node(id);
        for region in &self.topology.regions {
            let nobody = ledger_domain::AccountId::derive(region.name, "t", "nobody").to_string();
            let waiting = async {
                while !node.refuses(&nobody, Code::NotFound).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let waited = tokio::time::timeout(PATIENCE, waiting).await;
            let running = node.running.as_ref();
            let ended = running.is_none_or(|running| running.task.is_finished());
            assert!(
                waited.is_ok(),
                "{} does not serve {}; it has ended: {ended}",
                node.name,
                region.name
            );
        }
    }
}

impl Node {
    pub fn teller(&self) -> TellerClient<Channel> {
        TellerClient::new(self.channel.clone())
    }

    pub fn atm(&self) -> AtmClient<Channel> {
        AtmClient::new(self.channel.clone())
    }

    pub fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone())
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

pub fn secrets_of(dir: &tempfile::TempDir, region: &str) -> PathBuf {
    dir.path().join(format!("{region}.secrets.toml"))
}

/// A topology of free addresses, and as many more for metrics; makes the secrets that its public
/// keys are of.
pub fn lay_out(
    dir: &tempfile::TempDir,
    regions: &[Region],
    round_trip_ms: u64,
) -> (Topology, Vec<String>) {
    let nodes: usize = regions.iter().map(|region| region.nodes).sum();
    // All at once, so that no address is given twice.
    let listeners: Vec<_> = (0..2 * nodes)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let mut addresses = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string());
    let mut topology = Topology {
        ledger: "cluster".to_owned(),
        regions: Vec::new(),
        nodes: Vec::new(),
        shards: Vec::new(),
        dev: Dev::default(),
    };
    for (number, region) in (1..).zip(regions) {
        let name = region.name.parse().unwrap();
        let secrets = Secrets::generate(&SystemEntropy);
        let text = toml::to_string(&secrets).unwrap();
        std::fs::write(secrets_of(dir, region.name), text).unwrap();
        topology.regions.push(topology::Region {
            name,
            time_zone: region.time_zone.to_owned(),
            domain: region.name.to_owned(),
            domain_key: secrets::hex(&secrets.domain_key(region.name).public().key),
            token_key: secrets::hex(secrets.token_key().verifying_key().as_bytes()),
        });
        let mut voters = Vec::new();
        for ordinal in 1..=region.nodes {
            let id = topology.nodes.len() as u64 + 1;
            voters.push(id);
            topology.nodes.push(topology::Node {
                id,
                name: format!("{}-{ordinal}", region.name),
                region: name,
                address: addresses.next().expect("one for each node"),
            });
        }
        topology.shards.push(topology::Shard {
            id: number,
            region: name,
            voters,
            replicas: Vec::new(),
        });
        for other in topology.regions.iter().filter(|r| r.name != name) {
            topology.dev.round_trips.push(RoundTrip {
                between: [other.name, name],
                millis: round_trip_ms,
            });
        }
    }
    (topology, addresses.collect())
}

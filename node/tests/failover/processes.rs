//! Nodes as processes, to be killed and stopped; and tellers at work.

#![allow(
    dead_code,
    reason = "each test that includes this module uses a part of it"
)]

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use node::{
    api::teller::v1::{DepositRequest, OpenAccountRequest, TransferRequest},
    client::{Client, Options},
    config::Config,
};
use replication::topology::Shard;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::cluster::{PATIENCE, Region, lay_out, secrets_of, usd};

/// Where the tellers work: three nodes.
pub const HOME: Region = Region {
    name: "home",
    time_zone: "UTC",
    nodes: 3,
};
/// What a node logs when it begins to lead, and when it stands because a process has ended.
const LEADS: &str = "this node leads the shard";
const STANDS: &str = "the leader's process has ended";
const RETIRES: &str = "this leader's disk is much slower";

/// One node's process.
pub struct Member {
    pub name: String,
    pub address: String,
    pub region: String,
    /// Where its metrics are told.
    pub metrics: String,
    dir: PathBuf,
    process: Option<Child>,
}

/// All of them.
pub struct Processes {
    _dir: tempfile::TempDir,
    pub members: Vec<Member>,
}

impl Processes {
    /// Starts the nodes of the home, and waits until its only shard has a leader.
    pub async fn start() -> Self {
        Self::start_with(&[], 0).await
    }

    /// The same, with other regions beside it, every two so far apart.
    pub async fn start_with(others: &[Region], round_trip_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let regions = [&[HOME], others].concat();
        let (topology, metrics) = lay_out(&dir, &regions, round_trip_ms);
        assert!(
            matches!(&topology.shards[0], Shard { id: 1, region, .. } if region.as_str() == HOME.name)
        );
        let topology_file = dir.path().join("topology.toml");
        fs::write(&topology_file, toml::to_string(&topology).unwrap()).unwrap();
        let member = |(node, metrics): (&replication::topology::Node, String)| {
            let own = dir.path().join(&node.name);
            fs::create_dir(&own).unwrap();
            let config = Config {
                node: node.id,
                data: own.join("data"),
                topology: Some(topology_file.clone()),
                secrets: Some(secrets_of(&dir, node.region.as_str())),
                metrics_listen: Some(metrics.clone()),
                ..Config::default()
            };
            fs::write(own.join("node.toml"), toml::to_string(&config).unwrap()).unwrap();
            Member {
                name: node.name.clone(),
                address: node.address.clone(),
                region: node.region.to_string(),
                metrics,
                dir: own,
                process: None,
            }
        };
        let members = topology.nodes.iter().zip(metrics).map(member).collect();
        let mut processes = Self { _dir: dir, members };
        processes.members.iter_mut().for_each(Member::start);
        processes.leader().await;
        processes
    }

    /// A client that knows all nodes of the home.
    pub fn client(&self) -> Client {
        let near = self.members.iter().filter(|m| m.region == HOME.name);
        let addresses = near.map(|m| m.address.clone()).collect();
        let mut options = Options::new("failover");
        options.deadline = PATIENCE;
        Client::new(addresses, options).unwrap()
    }

    /// Who leads the shard, as any node tells that answers.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(status) = self.client().status().await
                && let Some(shard) = status.shards.first()
                && let Some(place) = self.members.iter().position(|m| m.name == shard.leader)
                && self.members[place].process.is_some()
            {
                return place;
            }
            assert!(Instant::now() < deadline, "nobody leads");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How often the nodes began to lead, stood for a process that had ended, and handed over for
    /// a slow disk.
    pub fn elections(&self) -> [usize; 3] {
        let logs = self.members.iter().map(Member::log);
        let logs: String = logs.collect();
        [LEADS, STANDS, RETIRES].map(|said| logs.matches(said).count())
    }
}

impl Member {
    pub fn start(&mut self) {
        let mut log = fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.dir.join("log"));
        let process = Command::new(env!("CARGO_BIN_EXE_meridian"))
            .args(["node", "--stop-with-stdin", "--config", "node.toml"])
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.unwrap())
            .spawn();
        self.process = Some(process.unwrap());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Whether its process was started and not killed.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Ends its process in order, and waits until it has ended.
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        drop(process.stdin.take());
        assert!(process.wait().unwrap().success());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// `kill -STOP`, `kill -CONT`.
    pub fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// The process's memory in MiB.
    pub fn memory(&self) -> u64 {
        let id = self.process.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A stopped process dies of this too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Tellers who transfer one dollar after the other, each repeated until it is answered.
pub struct Tellers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Tellers {
    /// So many of them, with two accounts between which the money moves.
    pub async fn start(processes: &Processes, count: usize) -> Self {
        let client = processes.client();
        let mut accounts = Vec::new();
        for _ in 0..2 {
            let request = OpenAccountRequest {
                home_region: HOME.name.to_owned(),
                currency: "USD".to_owned(),
                ..Default::default()
            };
            let opened = client.open_account(request).await.unwrap();
            accounts.push(opened.account_id);
        }
        let deposit = DepositRequest {
            account_id: accounts[0].clone(),
            amount: usd(1 << 40),
            ..Default::default()
        };
        client.deposit(deposit).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Arc<Mutex<Vec<_>>> = Arc::default();
        let tasks = (0..count).map(|_| {
            let client = processes.client();
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            let accounts = accounts.clone();
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    transfer(&client, &accounts).await;
                    acknowledged.lock().unwrap().push(Instant::now());
                }
            })
        });
        let tasks = tasks.collect();
        Self {
            stop,
            acknowledged,
            tasks,
        }
    }

    /// How many transfers were acknowledged.
    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many more transfers are acknowledged.
    pub async fn go_on(&self, more: usize) {
        let wanted = self.count() + more;
        let deadline = Instant::now() + PATIENCE;
        while self.count() < wanted {
            assert!(Instant::now() < deadline, "{} of {wanted}", self.count());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// The longest time without an acknowledgement since a moment.
    pub fn longest_pause(&self, since: Instant) -> Duration {
        let acknowledged = self.acknowledged.lock().unwrap();
        let after = acknowledged.partition_point(|at| *at < since).max(1) - 1;
        let pairs = acknowledged[after..].windows(2);
        pairs
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }

    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

async fn transfer(client: &Client, accounts: &[String]) {
    let request = TransferRequest {
        context: Some(client.context()),
        from_account_id: accounts[0].clone(),
        to_account_id: accounts[1].clone(),
        amount: usd(100),
        ..Default::default()
    };
    while let Err(error) = client.transfer(request.clone()).await {
        assert!(error.retryable(), "{error}");
    }
}

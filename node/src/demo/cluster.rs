//! Nine processes, their files, and clients at each.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use replication::{topology::Topology, world::SystemEntropy};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;

use super::Error;
use crate::{
    api::{
        admin::v1::StatusReply,
        dev::v1::{SetLinkRequest, dev_client::DevClient},
    },
    client::{Client, Options},
    config::Config,
    secrets::{Secrets, hex},
};

/// The demo's world, without keys.
const TOPOLOGY: &str = include_str!("../../../deploy/demo.toml");
/// The household's books, as files.
const BOOKS: [(&str, &str); 3] = [
    (
        "accounts.csv",
        include_str!("../../tests/data/household-7/accounts.csv"),
    ),
    (
        "transfers.csv",
        include_str!("../../tests/data/household-7/transfers.csv"),
    ),
    (
        "balances.csv",
        include_str!("../../tests/data/household-7/balances.csv"),
    ),
];

/// What one node may use: nine of them share a machine.
const THREADS: usize = 2;
const MEMORY_MB: usize = 96;
/// How long all nodes together may take to elect leaders and hear of each other.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a call may take, its retries included.
const PATIENCE: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The name under which the demo's commands are recorded.
pub(super) const CALLER: &str = "demo";

/// One node: its process and a client that asks it alone.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) address: String,
    /// Where its metrics and readiness are told.
    pub(super) metrics: String,
    pub(super) client: Client,
    config: PathBuf,
    log: PathBuf,
    process: Option<Child>,
}

/// All of them.
pub(super) struct Cluster {
    pub(super) dir: PathBuf,
    pub(super) members: Vec<Member>,
    pub(super) topology: Topology,
}

fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    |cause| Error::Machine { what, cause }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(machine(path.display().to_string()))
}

fn client(addresses: Vec<String>, deadline: Duration) -> Result<Client, Error> {
    let mut options = Options::new(CALLER);
    options.deadline = deadline;
    options.attempt = deadline.min(Duration::from_secs(5));
    Client::new(addresses, options).map_err(|cause| Error::Call {
        what: "make a client",
        cause,
    })
}

impl Cluster {
    /// Writes the topology, each region's secrets, each node's configuration, and the books.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Error> {
        fs::create_dir(dir).map_err(machine(format!("make {}", dir.display())))?;
        let (topology, secrets) = world_with_keys();
        let topology_file = dir.join("topology.toml");
        write(
            &topology_file,
            &toml::to_string(&topology).expect("it came from TOML"),
        )?;
        for (region, secrets) in &secrets {
            let path = dir.join(format!("{region}-secrets.toml"));
            secrets.write(&path)?;
        }
        let books = dir.join("household-7");
        fs::create_dir(&books).map_err(machine(books.display().to_string()))?;
        for (name, text) in BOOKS {
            write(&books.join(name), text)?;
        }
        let mut members = Vec::new();
        for node in &topology.nodes {
            let metrics = beside(&node.address);
            let config = Config {
                node: node.id,
                metrics_listen: Some(metrics.clone()),
                data: dir.join(&node.name),
                topology: Some(topology_file.clone()),
                secrets: Some(dir.join(format!("{}-secrets.toml", node.region))),
                threads: THREADS,
                memory_mb: MEMORY_MB,
                privileged: [CALLER.to_owned()].into(),
                ..Config::default()
            };
            let path = dir.join(format!("{}.toml", node.name));
            write(
                &path,
                &toml::to_string(&config).expect("numbers and texts are TOML"),
            )?;
            members.push(Member {
                name: node.name.clone(),
                region: node.region.to_string(),
                address: node.address.clone(),
                metrics,
                client: client(vec![node.address.clone()], PATIENCE)?,
                config: path,
                log: dir.join(format!("{}.log", node.name)),
                process: None,
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
            members,
            topology,
        })
    }

    /// Where the books are.
    pub(super) fn books(&self) -> PathBuf {
        self.dir.join("household-7")
    }

    /// Starts every node.
    pub(super) fn start_all(&mut self) -> Result<(), Error> {
        for member in &self.members {
            for address in [&member.address, &member.metrics] {
                let free = std::net::TcpListener::bind(address).map(drop);
                free.map_err(machine(format!("{} cannot have {address}", member.name)))?;
            }
        }
        self.members.iter_mut().try_for_each(Member::start)
    }

    /// Waits until every node answers, every shard has a leader, and every region has heard from
    /// every shard.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let missing = self.missing().await;
            let Some(missing) = missing else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(Error::NotReady(format!(
                    "after {READY_WITHIN:?} {missing}; the nodes' logs are in {}",
                    self.dir.display()
                )));
            }
            for member in &mut self.members {
                if let Some(Ok(Some(status))) = member.process.as_mut().map(Child::try_wait) {
                    let log = fs::read_to_string(&member.log).unwrap_or_default();
                    let last = log.lines().last().unwrap_or_default();
                    return Err(Error::NotReady(format!(
                        "{} ended ({status}): {last}",
                        member.name
                    )));
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn missing(&self) -> Option<String> {
        for member in &self.members {
            let asked = timeout(Duration::from_secs(3), member.client.status()).await;
            let Ok(Ok(status)) = asked else {
                return Some(format!("{} does not answer", member.name));
            };
            if let Some(what) = incomplete(&status) {
                return Some(format!("{} says: {what}", member.name));
            }
        }
        None
    }

    /// What a node knows of everything.
    pub(super) async fn status(&self, at: &str) -> Result<StatusReply, Error> {
        let asked = self.member(at).client.status().await;
        asked.map_err(|cause| Error::Call {
            what: "status",
            cause,
        })
    }

    /// A node by name.
    pub(super) fn member(&self, name: &str) -> &Member {
        let found = self.members.iter().find(|m| m.name == name);
        found.expect("the demo names only nodes of its topology")
    }

    /// The first node of a region.
    pub(super) fn in_region(&self, region: &str) -> &Member {
        let found = self.members.iter().find(|m| m.region == region);
        found.expect("the demo names only regions of its topology")
    }

    /// A client that knows all nodes, those of a region first.
    pub(super) fn client_near(&self, region: &str) -> Result<Client, Error> {
        let near = self.members.iter().filter(|m| m.region == region);
        let far = self.members.iter().filter(|m| m.region != region);
        let addresses = near.chain(far).map(|m| m.address.clone());
        client(addresses.collect(), PATIENCE)
    }

    /// A client of one node that waits for so long.
    pub(super) fn client_at(&self, member: &Member, deadline: Duration) -> Result<Client, Error> {
        client(vec![member.address.clone()], deadline)
    }

    /// Kills a node's process as `kill -9` does.
    pub(super) async fn kill(&mut self, name: &str) -> Result<(), Error> {
        let member = self.members.iter_mut().find(|m| m.name == name);
        if let Some(mut process) = member.and_then(|m| m.process.take()) {
            process
                .kill()
                .await
                .map_err(machine(format!("kill {name}")))?;
        }
        Ok(())
    }

    /// Starts a node again.
    pub(super) fn start(&mut self, name: &str) -> Result<(), Error> {
        let mut members = self.members.iter_mut();
        members
            .find(|m| m.name == name)
            .map_or(Ok(()), Member::start)
    }

    /// Cuts the link between two regions in both directions, or mends it.
    pub(super) async fn set_link(&self, a: &str, b: &str, cut: bool) -> Result<(), Error> {
        for member in &self.members {
            let other = match member.region.as_str() {
                region if region == a => b,
                region if region == b => a,
                _ => continue,
            };
            let switched = async {
                let endpoint = Channel::from_shared(format!("http://{}", member.address));
                let channel = endpoint.map_err(|e| e.to_string())?.connect_lazy();
                let request = SetLinkRequest {
                    region: other.to_owned(),
                    cut,
                };
                let switched = DevClient::new(channel).set_link(request).await;
                switched.map(drop).map_err(|e| e.to_string())
            };
            switched.await.map_err(|why| {
                Error::Broken(format!(
                    "{} switches its link to {other}: {why}",
                    member.name
                ))
            })?;
        }
        Ok(())
    }

    /// Tells all nodes to stop and waits for them.
    pub(super) async fn stop(&mut self) {
        let mut stopping = Vec::new();
        for member in &mut self.members {
            if let Some(mut process) = member.process.take() {
                drop(process.stdin.take());
                stopping.push(process);
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for mut process in stopping {
            if tokio::time::timeout_at(deadline, process.wait())
                .await
                .is_err()
            {
                // It had its time; its log is written for this.
                let _ = process.kill().await;
            }
        }
    }

    /// Removes everything the nodes kept.
    pub(super) fn remove(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.dir).map_err(machine(format!("remove {}", self.dir.display())))
    }
}

impl Member {
    /// The child stops when its standard input closes, so that it never outlives the demo.
    fn start(&mut self) -> Result<(), Error> {
        let what = || machine(format!("start {}", self.name));
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(what())?;
        let program = std::env::current_exe().map_err(what())?;
        let process = Command::new(program)
            .args(["node", "--stop-with-stdin", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Its own group: Ctrl-C is for the demo, which then stops its nodes.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(what())?;
        self.process = Some(process);
        Ok(())
    }
}

/// A node's address for metrics: as its own, with a port that is a hundred higher.
fn beside(address: &str) -> String {
    let parts = address
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = parts.expect("the demo's topology has addresses with ports");
    format!("{host}:{}", port + 100)
}

/// The topology with new keys, and the secrets they belong to.
fn world_with_keys() -> (Topology, BTreeMap<String, Secrets>) {
    let mut table: toml::Table = TOPOLOGY.parse().expect("the demo's topology is TOML");
    let mut secrets = BTreeMap::new();
    let regions = table.get_mut("regions").and_then(toml::Value::as_array_mut);
    for region in regions
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_table_mut)
    {
        let text = |key| {
            region
                .get(key)
                .and_then(toml::Value::as_str)
                .unwrap_or_default()
        };
        let (name, domain) = (text("name").to_owned(), text("domain").to_owned());
        let made = Secrets::generate(&SystemEntropy);
        let public = hex(&made.domain_key(&domain).public().key);
        region.insert("domain_key".to_owned(), public.into());
        let public = hex(made.token_key().verifying_key().as_bytes());
        region.insert("token_key".to_owned(), public.into());
        secrets.insert(name, made);
    }
    let topology = table.try_into().expect("the demo's topology is one");
    (topology, secrets)
}

fn incomplete(status: &StatusReply) -> Option<String> {
    if let Some(node) = status.nodes.iter().find(|node| !node.reachable) {
        return Some(format!("{} is not reachable", node.name));
    }
    if let Some(shard) = status.shards.iter().find(|shard| shard.leader.is_empty()) {
        return Some(format!("shard {} has no leader", shard.number));
    }
    let unknown = status
        .lags
        .iter()
        .find(|lag| lag.staleness_bound_ms.is_none());
    unknown.map(|lag| format!("{} has not heard from shard {}", lag.region, lag.shard))
}

//! The nodes as processes, with their files.

use std::{
    collections::BTreeMap,
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use node::config::Config;
use tokio::process::{Child, Command};

use super::{Failure, machine};
use crate::scenario::bank::{self, Bank};

/// What one node may use: several share a machine.
const THREADS: usize = 2;
const MEMORY_MB: usize = 64;

/// Ports that nobody listens at now.
pub(super) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners: Vec<_> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<io::Result<_>>()?;
    let port = |listener: &TcpListener| Ok(listener.local_addr()?.port());
    listeners.iter().map(port).collect()
}

/// All nodes, by name.
pub(super) struct Processes {
    dir: PathBuf,
    program: PathBuf,
    nodes: BTreeMap<String, Node>,
}

struct Node {
    region: String,
    address: String,
    metrics: String,
    process: Option<Child>,
}

impl Processes {
    /// Writes the topology, the secrets and the configurations of a bank's nodes.
    /// One port of `metrics` for each.
    pub(super) fn prepare(
        dir: &Path,
        program: &Path,
        bank: &Bank,
        metrics: &[u16],
    ) -> Result<Self, Failure> {
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text).map_err(machine(path.display().to_string()))
        };
        fs::create_dir_all(dir).map_err(machine(format!("make {}", dir.display())))?;
        let topology = bank.topology();
        let file = dir.join("topology.toml");
        write(file.clone(), toml(topology))?;
        for region in &topology.regions {
            let name = region.name.as_str();
            let path = dir.join(format!("{name}-secrets.toml"));
            let written = bank.secrets(name).write(&path);
            written.map_err(|e| Failure::Broken(e.to_string()))?;
        }
        let mut nodes = BTreeMap::new();
        for (node, port) in topology.nodes.iter().zip(metrics) {
            let metrics = format!("127.0.0.1:{port}");
            let config = Config {
                node: node.id,
                data: dir.join(&node.name),
                topology: Some(file.clone()),
                secrets: Some(dir.join(format!("{}-secrets.toml", node.region))),
                threads: THREADS,
                memory_mb: MEMORY_MB,
                limits: bank::limits(),
                metrics_listen: Some(metrics.clone()),
                ..Config::default()
            };
            write(dir.join(format!("{}.toml", node.name)), toml(&config))?;
            let member = Node {
                region: node.region.to_string(),
                address: node.address.clone(),
                metrics,
                process: None,
            };
            nodes.insert(node.name.clone(), member);
        }
        Ok(Self {
            dir: dir.to_owned(),
            program: program.to_owned(),
            nodes,
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (&str, &str)> {
        let nodes = self.nodes.iter();
        nodes.map(|(name, node)| (name.as_str(), node.address.as_str()))
    }

    pub(super) fn region(&self, name: &str) -> &str {
        &self.nodes[name].region
    }

    pub(super) fn in_region(&self, region: &str) -> impl Iterator<Item = &str> {
        self.names().filter(move |name| self.region(name) == region)
    }

    /// Where a node tells its metrics.
    pub(super) fn metrics(&self, name: &str) -> &str {
        &self.nodes[name].metrics
    }

    /// Where a node keeps its data.
    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Starts a node unless it runs. It stops when its standard input closes, so it never outlives
    /// this process.
    pub(super) fn start(&mut self, name: &str) -> Result<(), Failure> {
        let what = || machine(format!("start {name}"));
        let config = self.dir.join(format!("{name}.toml"));
        let log = self.dir.join(format!("{name}.log"));
        let node = self
            .nodes
            .get_mut(name)
            .expect("only nodes there are are started");
        if node.process.is_some() {
            return Ok(());
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(log);
        let process = Command::new(&self.program)
            .args(["node", "--stop-with-stdin", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.map_err(what())?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(what())?;
        node.process = Some(process);
        Ok(())
    }

    pub(super) fn start_all(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        names.iter().try_for_each(|name| self.start(name))
    }

    /// Kills a node as `kill -9` does. One that has ended by itself is a failure.
    pub(super) async fn kill(&mut self, name: &str) -> Result<(), Failure> {
        let node = self
            .nodes
            .get_mut(name)
            .expect("only nodes there are are killed");
        let Some(mut process) = node.process.take() else {
            return Ok(());
        };
        if let Ok(Some(status)) = process.try_wait() {
            let log = fs::read_to_string(self.dir.join(format!("{name}.log")));
            let log = log.unwrap_or_default();
            let last = log.lines().last().unwrap_or_default();
            return Err(Failure::Broken(format!(
                "{name} ended by itself ({status}): {last}"
            )));
        }
        process
            .kill()
            .await
            .map_err(machine(format!("kill {name}")))
    }

    pub(super) async fn kill_all(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            self.kill(&name).await?;
        }
        Ok(())
    }
}

fn toml(value: &impl serde::Serialize) -> String {
    toml::to_string(value).expect("configurations are TOML")
}

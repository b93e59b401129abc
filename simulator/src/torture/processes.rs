//! The nodes as processes, with their files.

use std::{
    collections::BTreeMap,
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
};

use node::{config::Config, keys};
use replication::world::SystemEntropy;
use tokio::process::{Child, Command};

use super::{
    Failure,
    ground::Lodging,
    linux::{self, Signal},
    machine,
    volume::Volume,
};
use crate::{
    scenario::bank::{self, Bank},
    tool::memory,
};

/// What one node may use: several share a machine.
const THREADS: usize = 2;
const MEMORY_MB: usize = 64;
/// Below so many free bytes on a file system of its own a node takes nothing new.
const RESERVE: u64 = 64 << 20;

/// Ports that nobody listens at now.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
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
    lodging: Lodging,
    volume: Option<Volume>,
    process: Option<Child>,
    /// The most memory that any of its processes has used, in bytes.
    used: u64,
    is_stopped: bool,
    /// Its disk was full to the brim since it was started, or has no power.
    may_end: bool,
}

impl Node {
    /// The system tells it of a process that runs, and not of one that is killed.
    fn note_use(&mut self) {
        let process = self.process.as_ref().and_then(Child::id);
        let used = process.and_then(|id| memory::peak(Some(id)));
        self.used = self.used.max(used.unwrap_or(0));
    }
}

/// Where nodes listen that share the machine's network.
pub(super) fn lodgings_in_common<'a>(
    names: impl Iterator<Item = &'a str>,
) -> io::Result<BTreeMap<String, Lodging>> {
    let names: Vec<&str> = names.collect();
    let ports = free_ports(2 * names.len())?;
    let address = |port: &u16| format!("127.0.0.1:{port}");
    let pairs = names.iter().zip(ports.chunks_exact(2));
    let lodgings = pairs.map(|(name, ports)| {
        let lodging = Lodging {
            address: address(&ports[0]),
            metrics: address(&ports[1]),
            quarters: None,
        };
        ((*name).to_owned(), lodging)
    });
    Ok(lodgings.collect())
}

impl Processes {
    /// Writes the topology, the secrets and the configurations of a bank's nodes.
    pub(super) fn prepare(
        dir: &Path,
        program: &Path,
        bank: &Bank,
        mut lodgings: BTreeMap<String, Lodging>,
        mut volumes: BTreeMap<String, Volume>,
    ) -> Result<Self, Failure> {
        let write = |path: PathBuf, text: String| {
            fs::write(&path, text).map_err(machine(path.display().to_string()))
        };
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
        for node in &topology.nodes {
            let lodging = lodgings.remove(&node.name).unwrap_or_default();
            let volume = volumes.remove(&node.name);
            let mut config = Config {
                data: dir.join(&node.name).join("data"),
                topology: Some(file.clone()),
                secrets: Some(dir.join(format!("{}-secrets.toml", node.region))),
                threads: THREADS,
                memory_mb: MEMORY_MB,
                metrics_listen: Some(lodging.metrics.clone()),
                archive: None,
                customer_keys: Some(dir.join(format!("{}-keys", node.region))),
                ..bank::config(node.id)
            };
            if volume.is_some() {
                config.limits.disk_reserve_bytes = RESERVE;
            }
            let secrets = bank.secrets(node.region.as_str());
            let entropy = Arc::new(SystemEntropy);
            let keys = keys::files(&config, bank.directory(), secrets, entropy);
            if let Some(keys) = keys.map_err(|e| Failure::Broken(e.to_string()))? {
                let prepared = keys.prepare();
                prepared.map_err(|e| Failure::Broken(e.to_string()))?;
            }
            write(dir.join(format!("{}.toml", node.name)), toml(&config))?;
            let member = Node {
                lodging,
                volume,
                process: None,
                used: 0,
                is_stopped: false,
                may_end: false,
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
        nodes.map(|(name, node)| (name.as_str(), node.lodging.address.as_str()))
    }

    fn node(&mut self, name: &str) -> &mut Node {
        let node = self.nodes.get_mut(name);
        node.expect("plans name only nodes there are")
    }

    /// Where a node tells its metrics; none where it could not answer.
    pub(super) fn metrics(&self, name: &str) -> Option<&str> {
        let node = &self.nodes[name];
        let is_awake = node.process.is_some() && !node.is_stopped;
        is_awake.then_some(node.lodging.metrics.as_str())
    }

    /// Where a node keeps its data.
    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name).join("data")
    }

    /// What a node has said, over all its starts.
    pub(super) fn log(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.log_file(name))
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Starts a node unless it runs. It dies with this thread.
    pub(super) fn start(&mut self, name: &str) -> Result<(), Failure> {
        let what = || machine(format!("start {name}"));
        let config = self.dir.join(format!("{name}.toml"));
        let log = self.log_file(name);
        let mut command = Command::new(&self.program);
        let node = self.node(name);
        if node.process.is_some() {
            return Ok(());
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(log);
        command
            .args(["node", "--stop-with-stdin", "--config"])
            .arg(config)
            // Its log is read by a program.
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log.map_err(what())?)
            .process_group(0)
            .kill_on_drop(true);
        linux::settle(&mut command, node.lodging.quarters.as_ref());
        node.process = Some(command.spawn().map_err(what())?);
        (node.is_stopped, node.may_end) = (false, false);
        Ok(())
    }

    pub(super) fn start_all(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        names.iter().try_for_each(|name| self.start(name))
    }

    /// Kills a node as `kill -9` does. Returns whether it ran.
    pub(super) async fn kill(&mut self, name: &str) -> Result<bool, Failure> {
        self.check(name)?;
        self.reap(name).await
    }

    async fn reap(&mut self, name: &str) -> Result<bool, Failure> {
        let node = self.node(name);
        node.note_use();
        let Some(mut process) = node.process.take() else {
            return Ok(false);
        };
        let killed = process.kill().await;
        killed.map_err(machine(format!("kill {name}")))?;
        Ok(true)
    }

    /// A node that has ended by itself is a failure, unless it had cause.
    pub(super) fn check_all(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        names.iter().try_for_each(|name| self.check(name))
    }

    fn check(&mut self, name: &str) -> Result<(), Failure> {
        let node = self.node(name);
        let ended = node.process.as_mut().map(Child::try_wait);
        let Some(Ok(Some(status))) = ended else {
            return Ok(());
        };
        node.process = None;
        match node.may_end {
            true => Ok(()),
            false => Err(self.ended(name, status)),
        }
    }

    fn ended(&self, name: &str, status: ExitStatus) -> Failure {
        let log = self.log(name).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        Failure::Broken(format!("{name} ended by itself ({status}): {last}"))
    }

    /// Power is lost under these nodes: first their disks stop, then they do. Each loses what it had
    /// not synced, where it has a file system of its own. Returns those that ran.
    pub(super) async fn cut_power(&mut self, names: &[&str]) -> Result<Vec<String>, Failure> {
        for name in names {
            let node = self.node(name);
            node.may_end = true;
            let mut volumes = node.volume.iter();
            let lost = volumes.try_for_each(Volume::lose_power);
            lost.map_err(machine(format!("cut the power of {name}")))?;
        }
        let mut ran = Vec::new();
        for name in names {
            let node = self.node(name);
            node.note_use();
            let process = node.process.as_mut();
            let killed = process.map_or(Ok(()), Child::start_kill);
            killed.map_err(machine(format!("kill {name}")))?;
        }
        for name in names {
            if self.reap(name).await? {
                ran.push((*name).to_owned());
            }
        }
        for name in names {
            let mut volumes = self.node(name).volume.iter();
            let recovered = volumes.try_for_each(Volume::recover);
            recovered.map_err(machine(format!("mount the disk of {name} again")))?;
        }
        Ok(ran)
    }

    /// Has a node stand still, or go on. Returns whether it runs.
    pub(super) fn signal(&mut self, name: &str, signal: Signal) -> Result<bool, Failure> {
        let node = self.node(name);
        let Some(process) = node.process.as_ref().and_then(Child::id) else {
            return Ok(false);
        };
        linux::signal(process, signal).map_err(machine(format!("signal {name}")))?;
        node.is_stopped = signal == Signal::Stop;
        Ok(true)
    }

    /// Fills a node's file system: to the brim, or so far that the node takes nothing new.
    pub(super) fn fill(&mut self, name: &str, is_brim: bool) -> Result<(), Failure> {
        let node = self.node(name);
        let leaves = if is_brim { 0 } else { RESERVE / 2 };
        node.may_end |= is_brim;
        let filled = node
            .volume
            .iter()
            .try_for_each(|volume| volume.fill(leaves));
        filled.map_err(machine(format!("fill the disk of {name}")))
    }

    /// There is room on a node's file system again.
    pub(super) fn make_room(&mut self, name: &str) -> Result<(), Failure> {
        let mut volumes = self.node(name).volume.iter();
        let freed = volumes.try_for_each(Volume::make_room);
        freed.map_err(machine(format!("make room on the disk of {name}")))
    }

    /// Ends whatever is wrong with processes and disks. A node whose disk was full to the brim may
    /// write no more, and is started again.
    pub(super) async fn make_peace(&mut self) -> Result<(), Failure> {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            self.make_room(&name)?;
            self.signal(&name, Signal::Continue)?;
            if self.nodes[&name].may_end {
                self.kill(&name).await?;
            }
            self.start(&name)?;
        }
        Ok(())
    }

    /// The most memory that each node has used, in bytes, as far as its processes have ended.
    pub(super) fn memory(&self) -> BTreeMap<String, u64> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(name, node)| (name.clone(), node.used))
            .collect()
    }

    /// Kills everybody at once: who is left would elect others, and write what nobody ever hears of.
    pub(super) async fn kill_all(&mut self) -> Result<(), Failure> {
        self.check_all()?;
        for (name, node) in &mut self.nodes {
            node.note_use();
            let mut process = node.process.iter_mut();
            let killed = process.try_for_each(Child::start_kill);
            killed.map_err(machine(format!("kill {name}")))?;
        }
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            self.reap(&name).await?;
        }
        Ok(())
    }
}

fn toml(value: &impl serde::Serialize) -> String {
    toml::to_string(value).expect("configurations are TOML")
}

//! What a plan says is done to processes, disks and the network, and counted.

use std::{collections::BTreeMap, time::Duration};

use rand::{Rng, rngs::SmallRng};
use tokio::time::{Instant, sleep};

use super::{
    Failure, disk::Votes, ground::Fabric, linux::Signal, machine, probe, processes::Processes,
    troubles::Act, wal,
};
use crate::{
    scenario::{customer::Lobby, desk::Desk},
    simulation::{Disturbance, Fault},
};

/// What a node says of itself whose disk is full.
const FULL: &str = "the disk is full";
/// What it answers.
const DISK_FULL: &str = "DISK_FULL";
/// How soon it knows.
const SOON: Duration = Duration::from_secs(15);
const MOMENT: Duration = Duration::from_millis(100);

/// How many nodes were killed, by what they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Kills {
    /// Leaders of at least one shard.
    pub leaders: u64,
    /// Voters that led no shard.
    pub followers: u64,
    /// Nodes with nothing but copies.
    pub copies: u64,
    /// Times when several were killed at once.
    pub together: u64,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// Nodes killed.
    pub kills: Kills,
    /// Of them, those whose disks lost power too, and with it what was not synced.
    pub power_cuts: u64,
    /// Nodes that stood still for a while.
    pub stops: u64,
    /// Cuts of nodes and regions, one way and both ways.
    pub cuts: u64,
    /// Spells of slow, lossy and clogged links.
    pub spells: u64,
    /// File systems filled.
    pub full_disks: u64,
    /// Times when somebody was told that a disk is full.
    pub told_full: u64,
}

/// Whatever can be struck, and who strikes.
pub(super) struct Strikes<'a> {
    pub(super) nodes: &'a mut Processes,
    pub(super) fabric: Option<&'a mut Fabric>,
    pub(super) lobby: &'a Lobby,
    pub(super) votes: &'a mut Votes,
    /// Somebody who asks now and then, by region.
    pub(super) operators: BTreeMap<String, Desk>,
    /// Nodes whose disks call synced what a power cut can still take.
    pub(super) liars: &'a [String],
    pub(super) rng: SmallRng,
    pub(super) done: Done,
}

impl Strikes<'_> {
    /// Does what is to be done at one time.
    pub(super) async fn strike(&mut self, acts: &[Act]) -> Result<(), Failure> {
        let names: Vec<&str> = acts.iter().filter_map(powerless).collect();
        self.cut_power(&names).await?;
        let mut filled = Vec::new();
        for act in acts.iter().filter(|act| powerless(act).is_none()) {
            match act {
                Act::Fault(fault) => self.apply(fault).await?,
                Act::Stop(node) => {
                    self.done.stops += u64::from(self.nodes.signal(node, Signal::Stop)?);
                }
                Act::Continue(node) => drop(self.nodes.signal(node, Signal::Continue)?),
                Act::Fill { node, is_brim } => {
                    self.nodes.fill(node, *is_brim)?;
                    self.done.full_disks += 1;
                    if !is_brim {
                        filled.push(node.as_str());
                    }
                }
            }
        }
        if !filled.is_empty() {
            self.look_at_full(&filled).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, fault: &Fault) -> Result<(), Failure> {
        match fault {
            Fault::Kill { node } => self.kill(node).await?,
            Fault::Start { node } => self.nodes.start(node)?,
            Fault::Disturb(disturbance) => {
                match disturbance {
                    Disturbance::CutOff { .. }
                    | Disturbance::Parted { .. }
                    | Disturbance::Isolated { .. }
                    | Disturbance::Estranged { .. } => self.done.cuts += 1,
                    _ => self.done.spells += 1,
                }
                if let Some(fabric) = &mut self.fabric {
                    fabric.disturb(disturbance);
                }
            }
            Fault::Calm(disturbance) => {
                if let Some(fabric) = &mut self.fabric {
                    fabric.calm(disturbance);
                }
            }
            Fault::MakeRoom { node } => self.nodes.make_room(node)?,
            // Nothing else is in a plan for real processes.
            _ => {}
        }
        Ok(())
    }

    /// Nodes lose power, all at once, and with it what they had not synced.
    async fn cut_power(&mut self, names: &[&str]) -> Result<(), Failure> {
        let ran = self.nodes.cut_power(names).await?;
        for name in &ran {
            let part = self.rng.random_range(0..=1000);
            if self.liars.contains(name) {
                let cut = wal::cut(&self.nodes.data(name), part);
                cut.map_err(machine(format!("cut the log of {name}")))?;
            }
        }
        self.done.power_cuts += ran.len() as u64;
        self.note_killed(&ran)
    }

    async fn kill(&mut self, name: &str) -> Result<(), Failure> {
        match self.nodes.kill(name).await? {
            true => self.note_killed(&[name.to_owned()]),
            false => Ok(()),
        }
    }

    fn note_killed(&mut self, names: &[String]) -> Result<(), Failure> {
        let leaders = self.lobby.signed_by.borrow().clone();
        let kills = &mut self.done.kills;
        for name in names {
            let mut shards = self.lobby.bank.shards();
            let votes = shards.any(|(_, voters)| voters.contains(name));
            match (leaders.values().any(|leader| leader == name), votes) {
                (true, _) => kills.leaders += 1,
                (_, true) => kills.followers += 1,
                _ => kills.copies += 1,
            }
        }
        kills.together += u64::from(names.len() > 1);
        self.votes
            .look(self.nodes, names.iter().map(String::as_str))
    }

    /// A node knows that its disk is full, and says so. Where nobody else could lead, it refuses.
    async fn look_at_full(&mut self, filled: &[&str]) -> Result<(), Failure> {
        let began = Instant::now();
        for name in filled {
            while let Some(metrics) = self.nodes.metrics(name) {
                let said = probe::get(metrics, "/readyz").await.unwrap_or_default();
                if said.contains(FULL) {
                    self.done.told_full += 1;
                    break;
                }
                if began.elapsed() > SOON {
                    return Err(Failure::Broken(format!(
                        "{name} does not say that its disk is full, but: {said}"
                    )));
                }
                sleep(MOMENT).await;
            }
        }
        let is_full = |voters: &Vec<String>| voters.iter().all(|it| filled.contains(&it.as_str()));
        let full: Vec<u32> = self
            .lobby
            .bank
            .shards()
            .filter(|(_, voters)| is_full(voters))
            .map(|(shard, _)| shard)
            .collect();
        for shard in full {
            self.is_refused(shard, began).await?;
        }
        Ok(())
    }

    async fn is_refused(&mut self, shard: u32, began: Instant) -> Result<(), Failure> {
        let accounts = self.lobby.bank.accounts().iter();
        let mut of_shard = accounts.filter(|account| account.shard == shard);
        let Some(account) = of_shard.next() else {
            return Ok(());
        };
        let Some(desk) = self.operators.get_mut(&account.region) else {
            return Ok(());
        };
        loop {
            let refused = desk.refusal(&account.id, &mut self.rng).await;
            let refused = refused.map_err(|e| Failure::Broken(e.to_string()))?;
            if refused.as_deref() == Some(DISK_FULL) {
                self.done.told_full += 1;
                return Ok(());
            }
            if began.elapsed() > SOON {
                return Err(Failure::Broken(format!(
                    "all disks of shard {shard} are full, and a command is answered {refused:?}"
                )));
            }
            sleep(MOMENT).await;
        }
    }
}

/// Who loses power.
fn powerless(act: &Act) -> Option<&str> {
    match act {
        Act::Fault(Fault::PowerCut { node }) => Some(node),
        _ => None,
    }
}

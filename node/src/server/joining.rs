//! A replica takes part in Raft when its log is whole. One that is damaged keeps no other shard of
//! the node from starting: it waits, asks its peers for what it has lost, and joins.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ledger_domain::{HybridTime, ShardId};
use replication::{
    backfill::Backfill,
    copy::CopyOptions,
    log::LogHub,
    peer::Peers,
    raft::{GroupError, GroupOptions, Groups, Timing, Transport},
    scrub::{Admission, Findings},
    shard::{Shard, WriterOptions},
    topology::{self, Directory as _, FileDirectory},
    world::World,
};
use tokio::sync::watch;

use super::{APPEND_DEADLINE, Error, Server, founding, integrity};
use crate::config::Limits;

/// How soon peers are asked again who could not tell what was lost here.
const AGAIN: Duration = Duration::from_secs(1);

/// What it takes to start a replica.
pub(super) struct Joining {
    pub(super) world: World,
    pub(super) directory: FileDirectory,
    pub(super) hub: LogHub,
    pub(super) peers: Peers,
    pub(super) node: topology::Node,
    pub(super) limits: Limits,
    pub(super) write_version: ledger_domain::Format,
    pub(super) findings: Findings,
}

impl Joining {
    /// Starts a replica. All of the log that Raft asks for must be there.
    pub(super) async fn start(&self, shard: &topology::Shard) -> Result<Shard, Error> {
        let id = ShardId(shard.id);
        let region = self.directory.topology().region(&shard.region);
        let zone = region
            .and_then(|r| jiff::tz::TimeZone::get(&r.time_zone).ok())
            .unwrap_or(jiff::tz::TimeZone::UTC);
        let epoch = self.directory.epoch(id).unwrap_or(1);
        let log = self.hub.shard(shard.id).map_err(Error::Log)?;
        let clock = self.world.clock.clone();
        let stamp = move || {
            HybridTime {
                wall_nanos: clock.wall_nanos(),
                count: 0,
            }
            .to_bytes()
        };
        let stamp = Arc::new(stamp);
        let transport = Transport::new(shard.id, self.peers.clone(), stamp, APPEND_DEADLINE);
        let options = GroupOptions {
            shard: shard.id,
            node_id: self.node.id,
            seed: self.world.entropy.next_u64(),
            timing: Timing::default(),
            entries_before_snapshot: self.limits.snapshot_entries,
        };
        let writer = WriterOptions {
            format: self.write_version,
            queue: self.limits.queue.get() as usize,
            ..WriterOptions::new(id, epoch, zone)
        };
        let (clock, hub) = (self.world.clock.clone(), self.hub.clone());
        let started = Shard::start(options, writer, clock, hub, log, transport).await?;
        started.group().expose_to(self.world.entropy.clone());
        Ok(started)
    }

    /// Starts a replica if its log is whole; otherwise, says why it has to wait.
    pub(super) async fn begin(
        &self,
        shard: &topology::Shard,
    ) -> Result<Result<Shard, String>, Error> {
        if let Err(waits) = self.admission(shard).look() {
            let why = waits.to_string();
            tracing::error!(
                shard = shard.id,
                why,
                "a replica waits until its log is mended"
            );
            return Ok(Err(why));
        }
        match self.start(shard).await {
            Ok(started) => Ok(Ok(started)),
            Err(error @ (Error::Log(_) | Error::Group(GroupError::Stopped { .. }))) => {
                let why = error.to_string();
                tracing::error!(shard = shard.id, why, "a replica cannot be started");
                Ok(Err(why))
            }
            Err(error) => Err(error),
        }
    }

    fn admission(&self, shard: &topology::Shard) -> Admission {
        let topology = self.directory.topology();
        Admission {
            shard: shard.id,
            sources: integrity::sources(topology, &self.node, &shard.holders()),
            hub: self.hub.clone(),
            peers: self.peers.clone(),
            options: CopyOptions::default(),
            findings: self.findings.clone(),
        }
    }
}

/// The replicas that wait, and who waits for them.
#[derive(Default)]
pub(super) struct Waiting(Mutex<BTreeMap<ShardId, Absent>>);

/// A replica that is not started yet.
struct Absent {
    why: String,
    applied: watch::Sender<u64>,
    held: watch::Sender<u64>,
}

/// How far a shard may be read here: nothing of one that waits, until it has joined.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) applied: watch::Receiver<u64>,
    pub(super) held: watch::Receiver<u64>,
}

impl Waiting {
    pub(super) fn insert(&self, shard: ShardId, why: String) {
        let absent = Absent {
            why,
            applied: watch::Sender::default(),
            held: watch::Sender::default(),
        };
        self.lock().insert(shard, absent);
    }

    /// Those that wait now, with the reasons.
    pub(super) fn reasons(&self) -> BTreeMap<ShardId, String> {
        let waiting = self.lock();
        let each = waiting.iter().map(|(id, absent)| (*id, absent.why.clone()));
        each.collect()
    }

    /// How far each of them may be read, from now on.
    pub(super) fn reach(&self) -> BTreeMap<ShardId, Reach> {
        let waiting = self.lock();
        let reach = |absent: &Absent| Reach {
            applied: absent.applied.subscribe(),
            held: absent.held.subscribe(),
        };
        waiting
            .iter()
            .map(|(id, absent)| (*id, reach(absent)))
            .collect()
    }

    fn still(&self, shard: ShardId, why: String) {
        if let Some(absent) = self.lock().get_mut(&shard)
            && absent.why != why
        {
            tracing::warn!(shard = shard.0, why, "a replica still waits");
            absent.why = why;
        }
    }

    fn remove(&self, shard: ShardId) -> Option<Absent> {
        self.lock().remove(&shard)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Absent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Has a replica that waits join when it can, unless the node stops before.
    pub(super) async fn join(self: Arc<Self>, groups: Groups, id: ShardId) {
        let Some(shard) = self.directory.topology().shard(id).cloned() else {
            return;
        };
        let mut stopping = self.stopping.subscribe();
        let admission = self.joining.admission(&shard);
        loop {
            let mended = tokio::select! {
                biased;
                _ = stopping.wait_for(|stops| *stops) => return,
                mended = admission.mend() => mended,
            };
            // What is begun is not given up half-way: nobody could end it.
            let why = match mended {
                Ok(()) => match self.joining.start(&shard).await {
                    Ok(started) => return self.joined(&groups, &shard, started),
                    Err(error) => error.to_string(),
                },
                Err(waits) => waits.to_string(),
            };
            self.waiting.still(id, why);
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stops| *stops) => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Makes a replica known to all who wait for it.
    fn joined(&self, groups: &Groups, shard: &topology::Shard, started: Shard) {
        let id = ShardId(shard.id);
        tracing::info!(shard = shard.id, "a replica joins: its log is whole again");
        groups.insert(started.group().clone());
        self.feeds.insert(id.0, started.group().applied_watch());
        self.found(shard, &started);
        self.keep_history(id, &started);
        for (other, served) in &self.served {
            if *other != id {
                self.follow(&started, *other, served.clone());
            }
        }
        self.shards.insert(id, started.clone());
        if let Some(absent) = self.waiting.remove(id) {
            let group = started.group();
            self.spawn(pass_on(group.applied_watch(), absent.applied));
            self.spawn(pass_on(group.held(), absent.held));
        }
    }

    /// One voter founds a group, and leads it at first; the others are told by it. Another one for
    /// each shard, so that leaders are spread.
    pub(super) fn found(&self, shard: &topology::Shard, started: &Shard) {
        let topology = self.directory.topology();
        if founding::founder(shard) != Some(started.group().node_id()) {
            return;
        }
        let members = shard.voters.iter();
        let members =
            members.filter_map(|voter| Some((*voter, topology.node(*voter)?.address.clone())));
        let witnesses = founding::witnesses(topology, shard);
        let founding = started.group().clone().found(members.collect(), witnesses);
        self.spawn(async move {
            if let Err(error) = founding.await {
                tracing::error!(%error, "a shard is not founded");
            }
        });
    }

    /// Snapshots of a shard are taken, and what a snapshot skipped is fetched: from other voters
    /// first.
    pub(super) fn keep_history(&self, id: ShardId, shard: &Shard) {
        let backfill = Backfill {
            shard: id,
            sources: self.sources(id),
            hub: self.hub.clone(),
            peers: self.peers.clone(),
            entropy: self.world.entropy.clone(),
            options: CopyOptions::default(),
        };
        self.spawn(backfill.run(shard.group().missing()));
        let rules = self.joining.limits.snapshot_rules();
        self.spawn(shard.clone().keep_snapshots(rules));
    }

    /// A shard that is decided here reads another's log for what it asks of it.
    pub(super) fn follow(&self, shard: &Shard, other: ShardId, served: watch::Receiver<u64>) {
        let epoch = self.directory.epoch(other).unwrap_or(1);
        let following = shard.clone().follow(other, epoch, self.hub.clone(), served);
        self.spawn(following);
    }
}

async fn pass_on(mut from: watch::Receiver<u64>, to: watch::Sender<u64>) {
    loop {
        let now = *from.borrow_and_update();
        to.send_replace(now);
        if from.changed().await.is_err() {
            return;
        }
    }
}

//! What can be told of a node to who looks at it from outside: metrics and readiness.
//!
//! It is there before the node has recovered and until it has stopped, and keeps nothing alive.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use ledger_domain::{RegionName, ShardId};
use replication::{
    metrics::{Page, Source, Sources},
    topology::{self, Directory as _},
    world::{Clock, Disk, Room, World},
};
use tokio::time::Instant;

use super::{
    Server,
    clocks::Clocks,
    consumers::Figures,
    counted::Requests,
    process::Usage,
    readiness::{Copied, Facts, Obstacle, Part, View, Voter},
};
use crate::metrics;

/// Looks at one node.
pub(super) struct Observer {
    pub(super) requests: Arc<Requests>,
    pub(super) clocks: Arc<Clocks>,
    node: topology::Node,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    started: Instant,
    started_nanos: u64,
    stage: RwLock<Stage>,
}

/// How far a node is in its life.
#[derive(Clone)]
enum Stage {
    Recovering,
    Serving(Weak<Server>),
    Stopping,
}

impl Observer {
    /// Of a node that is about to recover.
    pub(super) fn new(
        node: topology::Node,
        world: &World,
        clocks: Arc<Clocks>,
        requests: u32,
    ) -> Self {
        Self {
            requests: Arc::new(Requests::new(requests)),
            clocks,
            node,
            clock: world.clock.clone(),
            disk: world.disk.clone(),
            started: Instant::now(),
            started_nanos: world.clock.wall_nanos(),
            stage: RwLock::new(Stage::Recovering),
        }
    }

    /// The node has recovered.
    pub(super) fn recovered(&self, server: &Arc<Server>) {
        self.enter(Stage::Serving(Arc::downgrade(server)));
    }

    /// The node stops.
    pub(super) fn stops(&self) {
        self.enter(Stage::Stopping);
    }

    fn enter(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn stage(&self) -> Stage {
        let stage = self.stage.read().unwrap_or_else(PoisonError::into_inner);
        stage.clone()
    }

    /// Everything that keeps the node, or a part of it, from working.
    pub(super) fn obstacles(&self) -> Vec<Obstacle> {
        match self.stage() {
            Stage::Recovering => vec![Obstacle::Recovering],
            Stage::Stopping => vec![Obstacle::Stopping],
            Stage::Serving(server) => match server.upgrade() {
                Some(server) => server.facts().obstacles(),
                None => vec![Obstacle::Stopping],
            },
        }
    }
}

impl Server {
    fn facts(&self) -> Facts {
        let shards = self.shards.all();
        let voting = shards.iter().map(|(shard, replica)| Voter {
            shard: *shard,
            in_quorum: replica.group().in_quorum(),
            book_stopped: replica.failure().is_some(),
        });
        let copied = self.copies.iter().map(|(shard, copy)| Copied {
            shard: *shard,
            halted: copy.halt().is_some(),
        });
        let spoilt = self.spoilt.keys().map(|shard| Copied {
            shard: *shard,
            halted: true,
        });
        let view = |shard: &ShardId| match self.views().watermark(*shard) {
            Ok(Some(_)) => View::Serves,
            Ok(None) => View::Empty,
            Err(_) => View::Stopped,
        };
        Facts {
            log_stopped: !self.hub.is_writable(),
            disk_full: !self.hub.pace().space().has_room(),
            voting: voting.collect(),
            waiting: self.waiting.reasons().into_keys().collect(),
            copied: copied.chain(spoilt).collect(),
            views: self
                .served
                .keys()
                .map(|shard| (*shard, view(shard)))
                .collect(),
            clock: self.clocks.fact(),
        }
    }
}

impl Source for Observer {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        let topology::Node { name, region, .. } = &self.node;
        page.metric(&metrics::NODE_INFO, |series| {
            series.gauge([name, region, &env!("CARGO_PKG_VERSION")], 1_u32)
        })?;
        let obstacles = self.obstacles();
        page.metric(&metrics::READY, |series| {
            Part::ALL.iter().try_for_each(|part| {
                let ready = !obstacles.iter().any(|o| o.is_in_the_way_of(*part));
                series.gauge([&part.name()], u32::from(ready))
            })
        })?;
        self.requests.write(page)?;
        self.write_machine(page)?;
        if let Stage::Serving(server) = self.stage()
            && let Some(server) = server.upgrade()
        {
            let topology = server.directory.topology();
            let home = |shard| topology.shard(shard).map(|shard| shard.region);
            let sources = Sources {
                hub: &server.hub,
                shards: &server.shards.all(),
                copies: &server.copies,
                views: &server.views(),
                home: &home,
                wall_nanos: self.clock.wall_nanos(),
                started: self.started,
            };
            sources.write(page)?;
            self.write_cut(&server, &home, page)?;
            write_consumers(&server, page)?;
            page.gauge(&metrics::VIEWS_GENERATION, server.read_models.generation())?;
            let building = server.building();
            // One that has folded all is still to serve.
            let left = building.map_or(0, |it| it.records.saturating_sub(it.folded).max(1));
            page.gauge(&metrics::VIEWS_BUILDING_LEFT, left)?;
        }
        Ok(())
    }
}

fn write_consumers(server: &Server, page: &mut Page<'_>) -> fmt::Result {
    let all = server.consumer_figures();
    page.metric(&metrics::CONSUMER_LAG_SECONDS, |series| {
        all.iter().try_for_each(|(id, it)| {
            let seconds = Duration::from_millis(it.behind_ms).as_secs_f64();
            series.gauge([&id.region(), &id.name()], seconds)
        })
    })?;
    for (metric, figure) in [
        (
            &metrics::CONSUMER_LAG_ENTRIES,
            Figures::entries as fn(&Figures) -> u64,
        ),
        (&metrics::CONSUMER_PARKED, Figures::parked),
        (&metrics::CONSUMER_MEMBERS, Figures::members),
    ] {
        page.metric(metric, |series| {
            all.iter()
                .try_for_each(|(id, it)| series.gauge([&id.region(), &id.name()], figure(it)))
        })?;
    }
    Ok(())
}

impl Observer {
    fn write_cut(
        &self,
        server: &Server,
        home: &dyn Fn(ShardId) -> Option<RegionName>,
        page: &mut Page<'_>,
    ) -> fmt::Result {
        let shards = server.every_shard();
        let cut = server.cut(&shards);
        if let Some(through) = cut.through {
            let nanos = self.clock.wall_nanos().saturating_sub(through.wall_nanos);
            let age = Duration::from_nanos(nanos).as_secs_f64();
            page.gauge(&metrics::CUT_LAG_SECONDS, age)?;
        }
        page.metric(&metrics::CUT_HELD_BACK, |series| {
            shards.iter().try_for_each(|shard| {
                let home = home(*shard).map_or_else(String::new, |region| region.to_string());
                let holds_back = cut.held_back_by.contains(shard);
                series.gauge([shard, &home], u32::from(holds_back))
            })
        })
    }

    fn write_machine(&self, page: &mut Page<'_>) -> fmt::Result {
        page.metric(&metrics::CLOCK_OFFSET_SECONDS, |series| {
            let offsets = self.clocks.offsets();
            let mut offsets = offsets.iter();
            offsets.try_for_each(|(peer, offset)| series.gauge([peer], offset.seconds()))
        })?;
        if let Some(Room { log, views, free }) = self.disk.room() {
            page.metric(&metrics::DISK_USED_BYTES, |series| {
                series.gauge([&"log"], log)?;
                series.gauge([&"views"], views)
            })?;
            page.gauge(&metrics::DISK_FREE_BYTES, free)?;
        }
        if let Some(usage) = Usage::now() {
            page.counter(&metrics::PROCESS_CPU_SECONDS, usage.cpu.as_secs_f64())?;
            page.gauge(&metrics::PROCESS_MEMORY_BYTES, usage.resident_bytes)?;
            page.gauge(&metrics::PROCESS_OPEN_FDS, usage.open_files)?;
        }
        let started = Duration::from_nanos(self.started_nanos).as_secs_f64();
        page.gauge(&metrics::PROCESS_START_SECONDS, started)
    }
}

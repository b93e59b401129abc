//! What is known of what could hold something back.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use ledger_domain::{RegionName, ShardId};
use replication::{
    shard::entry_here,
    topology::{Directory as _, Shard},
    view::Watermark,
};

use crate::{
    api::internal::v1::Replica,
    server::{
        Server,
        clocks::Doubt,
        status::{All, leader, told as replicas_told, voters},
    },
};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// How long the node has been up.
    pub(super) up: Duration,
    pub(super) log_stopped: bool,
    pub(super) disk_full: bool,
    pub(super) clock: Option<Doubt>,
    /// The shards that were asked about, by number.
    pub(super) shards: BTreeMap<ShardId, About>,
    /// Channels that were stopped at their destination.
    pub(super) stopped: Vec<StoppedChannel>,
    /// The oldest transfer under way of each channel.
    pub(super) under_way: Vec<UnderWay>,
}

/// One shard, as seen from here.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) home: RegionName,
    pub(super) here: Here,
    pub(super) there: There,
}

/// What this node has of a shard.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) watermark: Option<Watermark>,
    /// How old the watermark is, where that is known.
    pub(super) age: Option<Duration>,
    /// Why the view has stopped, and for how long.
    pub(super) stopped: Option<(String, Duration)>,
    /// For how long nothing new has come to the view.
    pub(super) quiet: Duration,
    /// The last index of the log that is here, with all before it.
    pub(super) held: u64,
    pub(super) source: Source,
}

/// Where this node has a shard's log from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// It takes part in consensus.
    Replica {
        in_quorum: bool,
        silent: Option<Duration>,
        missing: Option<Range<u64>>,
    },
    /// It would, if its log were whole.
    Mending(String),
    Copy {
        /// Whose feed is followed, while one is.
        follows: Option<String>,
        /// How long ago the home was heard.
        heard: Option<Duration>,
        home_applied: u64,
        /// Why it has stopped, and for how long.
        halted: Option<(String, Duration)>,
    },
    /// A copy that could not be gone on with.
    Spoilt(String),
}

/// What the shard's own nodes tell of it.
#[derive(Debug, Clone, Default)]
pub(super) struct There {
    /// Whether any node of the home region answered.
    pub(super) reachable: bool,
    /// Who leads, with a majority.
    pub(super) leader: Option<String>,
    /// Whether a voter hears of a leader, though it may not be known which.
    pub(super) is_led: bool,
    pub(super) applied: Option<u64>,
    pub(super) voters: usize,
    pub(super) answered: usize,
    pub(super) unanswered: Vec<String>,
    /// How long ago any voter that answered was last in a quorum.
    pub(super) silent: Option<Duration>,
    /// Books that have stopped: the node, and why.
    pub(super) failed: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct StoppedChannel {
    pub(super) from: ShardId,
    pub(super) to: ShardId,
    pub(super) node: String,
    pub(super) cause: String,
}

#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    pub(super) from: ShardId,
    pub(super) to: ShardId,
    pub(super) items: u64,
    pub(super) oldest: u64,
    /// How long the oldest has been.
    pub(super) age: Duration,
    /// Whether its destination is known to have recorded it.
    pub(super) taken: bool,
}

/// What is known of these shards here, and what was told by others.
pub(super) fn gather(server: &Server, shards: &BTreeSet<ShardId>, told: &All) -> Facts {
    let topology = server.directory.topology();
    let about = shards.iter().filter_map(|id| {
        let shard = topology.shard(*id)?;
        let about = About {
            home: shard.region,
            here: here(server, *id),
            there: there(server, shard, told),
        };
        Some((*id, about))
    });
    Facts {
        up: server.started.elapsed(),
        log_stopped: !server.hub.is_writable(),
        disk_full: !server.hub.pace().space().has_room(),
        clock: server.clocks.now().err(),
        shards: about.collect(),
        stopped: stopped_channels(server, shards, told),
        under_way: under_way(server, shards),
    }
}

fn here(server: &Server, shard: ShardId) -> Here {
    let watermark = server.views().watermark(shard);
    let stopped = match &watermark {
        Err(error) => {
            let since = server.views().stopped_for(shard);
            since.map(|since| (error.to_string(), since))
        }
        Ok(_) => None,
    };
    let watermark = watermark.ok().flatten();
    let age = watermark.and_then(|found| server.staleness(shard, found.time).ok());
    let held = server.served.get(&shard).map_or(0, |held| *held.borrow());
    Here {
        watermark,
        age,
        stopped,
        quiet: server.views().nothing_new_for(shard),
        held,
        source: source(server, shard),
    }
}

fn source(server: &Server, shard: ShardId) -> Source {
    let node = |id: u64| {
        let node = server.directory.topology().node(id);
        node.map_or_else(|| format!("node {id}"), |node| node.name.clone())
    };
    if let Some(replica) = server.shards.get(shard) {
        let group = replica.group();
        return Source::Replica {
            in_quorum: group.in_quorum(),
            silent: group.silence(),
            missing: group.missing().borrow().clone(),
        };
    }
    if let Some(copy) = server.copies.get(&shard) {
        let status = copy.status().borrow().clone();
        let since = status.halted.map(|halted| halted.elapsed());
        return Source::Copy {
            follows: status.node.map(node),
            heard: status.last_heard.map(|heard| heard.elapsed()),
            home_applied: status.home_applied,
            halted: status
                .halt
                .map(|halt| (halt.to_string(), since.unwrap_or_default())),
        };
    }
    if let Some(why) = server.spoilt.get(&shard) {
        return Source::Spoilt(why.clone());
    }
    let why = server.waiting.reasons().remove(&shard);
    Source::Mending(why.unwrap_or_else(|| "it is about to start".to_owned()))
}

fn there(server: &Server, shard: &Shard, all: &All) -> There {
    let topology = server.directory.topology();
    let name = |id: &u64| {
        let node = topology.node(*id);
        node.map_or_else(|| format!("node {id}"), |node| node.name.clone())
    };
    let told = replicas_told(shard, all);
    let voters = voters(shard, &told);
    let answered: Vec<(&u64, &&Replica)> =
        told.iter().filter(|(id, _)| voters.contains(id)).collect();
    let leads = leader(&told).filter(|id| told.get(id).is_some_and(|replica| replica.in_quorum));
    let silent = answered.iter().filter_map(|(_, replica)| replica.silent_ms);
    let failed = told
        .iter()
        .filter(|(_, replica)| !replica.failure.is_empty());
    let of_home = |id: &u64| {
        topology
            .node(*id)
            .is_some_and(|node| node.region == shard.region)
    };
    There {
        reachable: all.keys().any(of_home),
        leader: leads.as_ref().map(name),
        is_led: answered.iter().any(|(_, replica)| replica.in_quorum),
        applied: leads.and_then(|id| Some(told.get(&id)?.applied_index)),
        voters: voters.len(),
        answered: answered.len(),
        unanswered: voters
            .iter()
            .filter(|id| !all.contains_key(id))
            .map(name)
            .collect(),
        silent: silent.min().map(Duration::from_millis),
        failed: failed
            .map(|(id, replica)| (name(id), replica.failure.clone()))
            .collect(),
    }
}

/// Channels that end in one of the shards, or begin there.
fn stopped_channels(server: &Server, shards: &BTreeSet<ShardId>, all: &All) -> Vec<StoppedChannel> {
    let mut found: BTreeMap<(ShardId, ShardId), StoppedChannel> = BTreeMap::new();
    for (id, told) in all {
        let node = server.directory.topology().node(*id);
        for replica in &told.status.replicas {
            for channel in &replica.stopped_channels {
                let (from, to) = (ShardId(channel.from_shard), ShardId(replica.shard));
                if shards.contains(&from) || shards.contains(&to) {
                    found.entry((from, to)).or_insert_with(|| StoppedChannel {
                        from,
                        to,
                        node: node.map(|node| node.name.clone()).unwrap_or_default(),
                        cause: channel.cause.clone(),
                    });
                }
            }
        }
    }
    found.into_values().collect()
}

/// What is under way from or to one of the shards, as the views and logs here know.
fn under_way(server: &Server, shards: &BTreeSet<ShardId>) -> Vec<UnderWay> {
    let now = server.world.clock.wall_nanos();
    let mut found: BTreeMap<(ShardId, ShardId), UnderWay> = BTreeMap::new();
    for from in server.served.keys() {
        // A view that cannot be read is named as such already.
        let items = server.views().under_way(*from).unwrap_or_default();
        let items = items.iter();
        for item in items.filter(|it| shards.contains(from) || shards.contains(&it.destination)) {
            let to = item.destination;
            if let Some(channel) = found.get_mut(&(*from, to)) {
                channel.items += 1;
                continue;
            }
            let sent = entry_here(&server.hub, item.sent.position);
            let Ok(Some(entry)) = sent else {
                continue;
            };
            let nanos = now.saturating_sub(entry.time.wall_nanos);
            let taken = server.views().recorded(to, *from, item.number);
            let channel = UnderWay {
                from: *from,
                to,
                items: 1,
                oldest: item.number,
                age: Duration::from_nanos(nanos),
                taken: matches!(taken, Ok(Some(_))),
            };
            found.insert((*from, to), channel);
        }
    }
    found.into_values().collect()
}

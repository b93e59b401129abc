//! From what every node told of itself to the deployment as a whole.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ledger_domain::{Date, HybridTime, RegionName, ShardId, day::business_date};
use replication::topology::{Node, Shard, Topology};

use super::replicas;
use crate::api::{
    UNKNOWN_AGE_MS,
    admin::v1 as pb,
    internal::v1::{NodeStatusReply, View},
};

/// What a node told of itself, and how far its clock is from this one's.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::server) struct Told {
    pub(in crate::server) status: NodeStatusReply,
    pub(super) clock_offset_ms: i64,
}

impl Told {
    /// The other clock was read about halfway between the question and the answer.
    pub(super) fn new(status: NodeStatusReply, asked: u64, answered: u64) -> Self {
        let halfway = i128::from(asked) + (i128::from(answered) - i128::from(asked)) / 2;
        let offset = (i128::from(status.wall_unix_nanos) - halfway) / 1_000_000;
        Self {
            clock_offset_ms: i64::try_from(offset).unwrap_or(i64::MAX),
            status,
        }
    }
}

/// What was told, by the node's number. Who is missing was not reached.
pub(in crate::server) type All = BTreeMap<u64, Told>;

/// By region, then name.
fn in_order(topology: &Topology) -> impl Iterator<Item = &Node> {
    let mut nodes: Vec<_> = topology.nodes.iter().collect();
    nodes.sort_by_key(|node| (node.region, &node.name));
    nodes.into_iter()
}

/// Who is there, without asking.
pub(super) fn members(topology: &Topology) -> Vec<pb::Member> {
    let votes_in = |id: u64| {
        let mut shards: Vec<_> = topology.shards.iter().collect();
        shards.retain(|shard| shard.voters.contains(&id));
        let mut numbers: Vec<_> = shards.into_iter().map(|shard| shard.id).collect();
        numbers.sort_unstable();
        numbers
    };
    let members = in_order(topology).map(|node| pb::Member {
        name: node.name.clone(),
        region: node.region.to_string(),
        address: node.address.clone(),
        votes_in: votes_in(node.id),
    });
    members.collect()
}

/// The regions, by name. A region's day is over when it is closed in all its shards, as far as is
/// known.
pub(super) fn regions(topology: &Topology, now: HybridTime, told: &All) -> Vec<pb::Region> {
    let closed_through = |shard: &Shard| -> Option<Option<i32>> {
        let all = replicas::told(shard, told);
        all.values().map(|replica| replica.closed_through).max()
    };
    let regions = topology.regions.iter().map(|region| {
        let zone = TimeZone::get(&region.time_zone).unwrap_or(TimeZone::UTC);
        let shards = topology.shards.iter();
        let shards = shards.filter(|shard| shard.region == region.name);
        let closed = shards.filter_map(closed_through).min().flatten();
        let calendar = Date::of(now, &zone);
        let today = business_date(calendar, closed.and_then(Date::from_days));
        pb::Region {
            name: region.name.to_string(),
            time_zone: region.time_zone.clone(),
            business_date: today.to_string(),
        }
    });
    let mut regions: Vec<_> = regions.collect();
    regions.sort_by(|a, b| a.name.cmp(&b.name));
    regions
}

pub(super) fn nodes(topology: &Topology, told: &All) -> Vec<pb::Node> {
    let nodes = in_order(topology).map(|node| {
        let told = told.get(&node.id);
        pb::Node {
            name: node.name.clone(),
            region: node.region.to_string(),
            address: node.address.clone(),
            reachable: told.is_some(),
            version: told.map(|t| t.status.version.clone()).unwrap_or_default(),
            clock_offset_ms: told.map(|t| t.clock_offset_ms),
            integrity: told.and_then(|t| t.status.integrity.clone()),
            privileged: told
                .map(|t| t.status.privileged.clone())
                .unwrap_or_default(),
        }
    });
    nodes.collect()
}

/// The read models of all nodes.
pub(super) fn views(topology: &Topology, told: &All) -> Vec<pb::NodeViews> {
    let nodes = in_order(topology).map(|node| {
        let status = told.get(&node.id).map(|told| &told.status);
        pb::NodeViews {
            region: node.region.to_string(),
            node: node.name.clone(),
            reachable: status.is_some(),
            generation: status.map_or(0, |it| it.views_generation),
            building: status.and_then(|it| it.views_building.clone()),
        }
    });
    nodes.collect()
}

pub(super) fn shards(
    topology: &Topology,
    epoch: impl Fn(ShardId) -> u64,
    told: &All,
) -> Vec<pb::Shard> {
    let mut shards: Vec<_> = topology
        .shards
        .iter()
        .map(|shard| {
            let all = replicas::told(shard, told);
            let leader = replicas::leader(&all);
            let voters = replicas::voters(shard, &all);
            let voting = all.iter().filter(|(node, _)| voters.contains(node));
            let newest = voting.clone().map(|(_, r)| (r.epoch, r.term)).max();
            let applied = voting.clone().map(|(_, r)| r.applied_index).max();
            let name = |node: &u64| replicas::name(topology, *node);
            pb::Shard {
                number: shard.id,
                region: shard.region.to_string(),
                epoch: newest.map_or(epoch(ShardId(shard.id)), |(epoch, _)| epoch),
                term: newest.map_or(0, |(_, term)| term),
                leader: leader.as_ref().map(name).unwrap_or_default(),
                voters: voters.iter().map(name).collect(),
                applied_index: applied.unwrap_or_default(),
                voters_reachable: u32::try_from(voting.count()).unwrap_or(u32::MAX),
                replicas: replicas::of(topology, shard, told),
            }
        })
        .collect();
    shards.sort_by_key(|shard| shard.number);
    shards
}

pub(super) fn lags(topology: &Topology, told: &All) -> Vec<pb::Lag> {
    let mut regions: Vec<_> = topology.regions.iter().map(|region| region.name).collect();
    regions.sort_unstable();
    let mut shards: Vec<_> = topology.shards.iter().map(|shard| shard.id).collect();
    shards.sort_unstable();
    let pairs = shards
        .iter()
        .flat_map(|shard| regions.iter().map(|region| (*shard, *region)));
    pairs
        .map(|(shard, region)| lag(shard, region, &topology.nodes, told))
        .collect()
}

fn lag(shard: u32, region: RegionName, nodes: &[Node], told: &All) -> pb::Lag {
    let here: Vec<_> = nodes
        .iter()
        .filter(|node| node.region == region)
        .filter_map(|node| told.get(&node.id))
        .collect();
    let of_shard = |view: &&View| view.position.as_ref().is_some_and(|at| at.shard == shard);
    let time = |view: &View| view.watermark.as_ref().map(|time| time.hlc.clone());
    let freshest = here
        .iter()
        .flat_map(|told| told.status.views.iter().filter(of_shard))
        // As text a time sorts as the time does.
        .max_by_key(|view| time(view));
    pb::Lag {
        shard,
        region: region.to_string(),
        position: freshest.and_then(|view| view.position),
        watermark: freshest.and_then(|view| view.watermark.clone()),
        staleness_bound_ms: freshest
            .map(|view| view.staleness_bound_ms)
            .filter(|ms| *ms != UNKNOWN_AGE_MS),
        reachable: !here.is_empty(),
    }
}

pub(super) fn crossings(topology: &Topology, told: &All) -> Vec<pb::Crossing> {
    let mut crossings = Vec::new();
    for shard in &topology.shards {
        let regions = topology.regions.iter().map(|region| region.name);
        for region in regions.filter(|region| *region != shard.region) {
            crossings.push(crossing(shard.id, region, &topology.nodes, told));
        }
    }
    crossings.sort_by(|a, b| (a.shard, &a.region).cmp(&(b.shard, &b.region)));
    crossings
}

fn crossing(shard: u32, region: RegionName, nodes: &[Node], told: &All) -> pb::Crossing {
    let here = nodes.iter().filter(|node| node.region == region);
    let mut crossing = pb::Crossing {
        shard,
        region: region.to_string(),
        ..pb::Crossing::default()
    };
    for (node, told) in here.filter_map(|node| Some((node, told.get(&node.id)?))) {
        crossing.reachable = true;
        for copy in told.status.copies.iter().filter(|copy| copy.shard == shard) {
            crossing.bytes_across += copy.bytes_across;
            crossing.bytes_within += copy.bytes_within;
            if copy.hears_home {
                crossing.nodes.push(node.name.clone());
            }
        }
    }
    crossing.nodes.sort_unstable();
    crossing
}

#[cfg(test)]
#[path = "overview_tests.rs"]
pub(crate) mod tests;

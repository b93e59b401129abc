//! Up to when each region has all of the ledger.

use ledger_domain::{RegionName, ShardId};
use replication::{
    topology::{Node, Topology},
    view::Cut,
};

use super::overview::{All, Told};
use crate::{
    api::{UNKNOWN_AGE_MS, admin::v1 as pb, internal::v1::View},
    server::receipt,
};

/// For each region, by name, the newest cut at one of its nodes: what different nodes have is not
/// read together.
pub(super) fn cuts(topology: &Topology, told: &All) -> Vec<pb::Cut> {
    let mut regions: Vec<_> = topology.regions.iter().map(|region| region.name).collect();
    regions.sort_unstable();
    let cut = |region| in_region(topology, region, told);
    regions.into_iter().map(cut).collect()
}

fn in_region(topology: &Topology, region: RegionName, told: &All) -> pb::Cut {
    let mut here: Vec<_> = topology
        .nodes
        .iter()
        .filter(|node| node.region == region)
        .filter_map(|node| Some(at(topology, node, told.get(&node.id)?)))
        .collect();
    here.sort_by(|(a, said_a), (b, said_b)| {
        let newer_first = b.through.cmp(&a.through);
        newer_first.then_with(|| said_a.node.cmp(&said_b.node))
    });
    let newest = here.into_iter().next().map(|(_, cut)| cut);
    pb::Cut {
        region: region.to_string(),
        reachable: newest.is_some(),
        ..newest.unwrap_or_default()
    }
}

/// The cut through all shards at one node.
fn at(topology: &Topology, node: &Node, told: &Told) -> (Cut, pb::Cut) {
    let view = |shard: u32| {
        let mut views = told.status.views.iter();
        views.find(|view| view.position.is_some_and(|at| at.shard == shard))
    };
    let time = |view: &View| receipt::parse_time(&view.watermark.as_ref()?.hlc);
    let shards = topology.shards.iter();
    let cut = Cut::through(
        shards
            .clone()
            .map(|shard| (ShardId(shard.id), view(shard.id).and_then(time))),
    );
    // The cut is as old as the oldest of what it goes through.
    let bounds = shards.map(|shard| view(shard.id).map(|view| view.staleness_bound_ms));
    let bound = bounds.map(|ms| ms.unwrap_or(UNKNOWN_AGE_MS)).max();
    let said = pb::Cut {
        region: String::new(),
        node: node.name.clone(),
        through: cut.through.map(receipt::time),
        staleness_bound_ms: bound.filter(|ms| *ms != UNKNOWN_AGE_MS),
        held_back_by: cut.held_back_by.iter().map(|shard| shard.0).collect(),
        reachable: true,
    };
    (cut, said)
}

#[cfg(test)]
#[path = "cuts_tests.rs"]
mod tests;

//! The replicas of a shard, out of what every node told of itself.

use std::collections::{BTreeMap, BTreeSet};

use replication::topology::{Shard, Topology};

use super::overview::All;
use crate::api::{
    admin::v1::{self as pb, ReplicaRole},
    internal::v1::Replica,
};

/// Who has a replica of a shard and tells of it.
pub(in crate::server) fn told<'a>(shard: &Shard, all: &'a All) -> BTreeMap<u64, &'a Replica> {
    let replicas = all.iter().filter_map(|(node, told)| {
        let mut replicas = told.status.replicas.iter();
        Some((*node, replicas.find(|replica| replica.shard == shard.id)?))
    });
    replicas.collect()
}

/// Who leads. One that was deposed and does not know it yet has a lower term.
pub(in crate::server) fn leader(replicas: &BTreeMap<u64, &Replica>) -> Option<u64> {
    let leading = replicas.iter().filter(|(_, replica)| replica.leads);
    let newest = leading.max_by_key(|(_, replica)| (replica.epoch, replica.term));
    newest.map(|(node, _)| *node)
}

/// Who votes and who learns: by the leader's word, else by the newest that is known. Nobody's word
/// is the topology's.
fn members(shard: &Shard, replicas: &BTreeMap<u64, &Replica>) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let leader = leader(replicas).and_then(|node| replicas.get(&node));
    let known = replicas.values().filter(|it| it.membership_index.is_some());
    let newest = known.max_by_key(|it| it.membership_index);
    let set = |nodes: &[u64]| nodes.iter().copied().collect();
    match leader.or(newest) {
        Some(it) if !it.voters.is_empty() => (set(&it.voters), set(&it.learners)),
        _ => (set(&shard.voters), BTreeSet::new()),
    }
}

/// Who votes.
pub(in crate::server) fn voters(
    shard: &Shard,
    replicas: &BTreeMap<u64, &Replica>,
) -> BTreeSet<u64> {
    members(shard, replicas).0
}

/// A node's name, or its number where the topology does not have it.
pub(super) fn name(topology: &Topology, node: u64) -> String {
    let named = topology.node(node).map(|node| node.name.clone());
    named.unwrap_or_else(|| node.to_string())
}

/// Every replica of a shard, by the name of its node.
pub(super) fn of(topology: &Topology, shard: &Shard, all: &All) -> Vec<pb::Replica> {
    let replicas = told(shard, all);
    let leader = leader(&replicas);
    let (voters, learners) = members(shard, &replicas);
    let mut nodes: BTreeSet<u64> = shard.holders().into_iter().collect();
    nodes.extend(voters.iter().chain(&learners).chain(replicas.keys()));
    let role = |node: u64| {
        let own = replicas.get(&node).map(|replica| replica.role());
        if voters.contains(&node) {
            ReplicaRole::Voter
        } else if learners.contains(&node) {
            ReplicaRole::Learner
        } else if own == Some(ReplicaRole::Waiting)
            || own.is_none() && shard.replicas.contains(&node)
        {
            ReplicaRole::Waiting
        } else {
            // It may not know yet.
            ReplicaRole::Removed
        }
    };
    let at_leader = leader.and_then(|node| replicas.get(&node));
    let mut rows: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            let mut matched = at_leader.into_iter().flat_map(|leader| &leader.matched);
            let matched = matched.find(|matched| matched.node == node);
            let matched = matched.and_then(|matched| matched.index);
            let last = at_leader.map(|leader| leader.last_index);
            pb::Replica {
                shard: shard.id,
                node: name(topology, node),
                role: role(node).into(),
                leads: leader == Some(node),
                reachable: all.contains_key(&node),
                matched_index: matched,
                lag: matched.and_then(|matched| Some(last?.saturating_sub(matched))),
                missing: replicas.get(&node).map_or(0, |replica| replica.missing),
            }
        })
        .collect();
    rows.sort_by(|a, b| a.node.cmp(&b.node));
    rows
}

#[cfg(test)]
#[path = "replicas_tests.rs"]
mod tests;

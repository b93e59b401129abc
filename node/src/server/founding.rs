//! Who founds a shard's group, and who is asked before.

use replication::{
    raft::Witnesses,
    topology::{Shard, Topology},
};

/// The voter that founds the group, and leads it at first.
pub(super) fn founder(shard: &Shard) -> Option<u64> {
    let turn = shard.id as usize % shard.voters.len().max(1);
    shard.voters.get(turn).copied()
}

/// All nodes that do not vote, by whether they are of the shard's region.
pub(super) fn witnesses(topology: &Topology, shard: &Shard) -> Witnesses {
    let others = topology.nodes.iter();
    let others = others.filter(|node| !shard.voters.contains(&node.id));
    let (at_home, abroad): (Vec<_>, Vec<_>) = others.partition(|node| node.region == shard.region);
    let numbers = |nodes: Vec<&replication::topology::Node>| nodes.iter().map(|it| it.id).collect();
    Witnesses {
        at_home: numbers(at_home),
        abroad: numbers(abroad),
    }
}

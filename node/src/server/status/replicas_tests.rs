use replication::topology::{Dev, Node};

use super::{super::overview::Told, *};
use crate::api::internal::v1::{Matched, NodeStatusReply};

fn topology() -> Topology {
    let node = |id: u64| Node {
        id,
        name: format!("eu-{id}"),
        region: "eu".parse().unwrap(),
        address: format!("{id}:1"),
    };
    Topology {
        ledger: "t".to_owned(),
        regions: Vec::new(),
        nodes: (1..=5).map(node).collect(),
        shards: vec![Shard {
            id: 1,
            region: "eu".parse().unwrap(),
            voters: vec![1, 2, 3],
            replicas: vec![4, 5],
        }],
        dev: Dev::default(),
    }
}

fn all(replicas: Vec<(u64, Replica)>) -> All {
    let told = |replica| Told {
        status: NodeStatusReply {
            replicas: vec![replica],
            ..NodeStatusReply::default()
        },
        clock_offset_ms: 0,
    };
    let replicas = replicas.into_iter();
    replicas.map(|(node, it)| (node, told(it))).collect()
}

fn replica(role: ReplicaRole, membership_index: u64, voters: &[u64]) -> Replica {
    Replica {
        shard: 1,
        role: role.into(),
        membership_index: Some(membership_index),
        voters: voters.to_vec(),
        ..Replica::default()
    }
}

fn roles(all: &All) -> Vec<(String, ReplicaRole)> {
    let topology = topology();
    let rows = of(&topology, &topology.shards[0], all);
    rows.iter().map(|it| (it.node.clone(), it.role())).collect()
}

#[test]
fn the_log_says_who_votes_and_not_the_topology() {
    use ReplicaRole::*;
    let leader = Replica {
        leads: true,
        term: 4,
        last_index: 100,
        matched: vec![
            Matched {
                node: 2,
                index: Some(90),
            },
            Matched {
                node: 5,
                index: None,
            },
        ],
        learners: vec![5],
        ..replica(Voter, 50, &[1, 2, 4])
    };
    // Node 3 was away when it was removed, and has a word of its own.
    let away = replica(Voter, 0, &[1, 2, 3]);
    let all = all(vec![(1, leader), (3, away)]);
    let expected = [Voter, Voter, Removed, Voter, Learner];
    let found: Vec<_> = roles(&all).into_iter().map(|(_, role)| role).collect();
    assert_eq!(found, expected);
    let topology = topology();
    let rows = of(&topology, &topology.shards[0], &all);
    assert_eq!((rows[1].matched_index, rows[1].lag), (Some(90), Some(10)));
    assert!(rows[0].leads && !rows[3].reachable && rows[2].reachable);
}

#[test]
fn where_nobody_tells_the_founding_is_what_is_known() {
    use ReplicaRole::*;
    let found = roles(&All::default());
    let found: Vec<_> = found.into_iter().map(|(_, role)| role).collect();
    assert_eq!(found, [Voter, Voter, Voter, Waiting, Waiting]);
}

#[test]
fn without_a_leader_the_newest_word_counts() {
    use ReplicaRole::*;
    let old = replica(Voter, 0, &[1, 2, 3]);
    let new = replica(Voter, 7, &[1, 2, 4]);
    let found = roles(&all(vec![(1, old), (2, new)]));
    assert_eq!(found[2], ("eu-3".to_owned(), Removed));
    assert_eq!(found[3], ("eu-4".to_owned(), Voter));
}

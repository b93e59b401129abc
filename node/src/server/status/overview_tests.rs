use replication::topology::{Dev, Region, Shard};

use super::*;
use crate::api::{
    admin::v1::Member,
    internal::v1::{Copy, Replica},
    v1::{Position, Time},
};

pub(crate) fn topology() -> Topology {
    let region = |name: &str| Region {
        name: name.parse().unwrap(),
        time_zone: "UTC".to_owned(),
        domain: name.to_owned(),
        domain_key: String::new(),
        token_key: String::new(),
    };
    let node = |id, name: &str, region: &str| Node {
        id,
        name: name.to_owned(),
        region: region.parse().unwrap(),
        address: format!("{name}:1"),
    };
    Topology {
        ledger: "t".to_owned(),
        regions: vec![region("us"), region("eu")],
        nodes: vec![
            node(1, "us-1", "us"),
            node(2, "eu-2", "eu"),
            node(3, "eu-1", "eu"),
            node(4, "eu-3", "eu"),
        ],
        shards: vec![
            Shard {
                id: 2,
                region: "us".parse().unwrap(),
                voters: vec![1],
                replicas: Vec::new(),
            },
            Shard {
                id: 1,
                region: "eu".parse().unwrap(),
                voters: vec![2, 3, 4],
                replicas: Vec::new(),
            },
        ],
        dev: Dev::default(),
    }
}

pub(crate) fn told(replica: Option<Replica>, views: &[(u32, &str, u64)]) -> Told {
    let views = views.iter().map(|(shard, hlc, staleness_bound_ms)| View {
        position: Some(Position {
            shard: *shard,
            epoch: 1,
            index: 1,
        }),
        watermark: Some(Time {
            hlc: (*hlc).to_owned(),
            unix_nanos: 0,
        }),
        staleness_bound_ms: *staleness_bound_ms,
    });
    let status = NodeStatusReply {
        replicas: replica.into_iter().collect(),
        views: views.collect(),
        ..Default::default()
    };
    Told {
        status,
        clock_offset_ms: 0,
    }
}

fn replica(term: u64, leads: bool, applied_index: u64) -> Option<Replica> {
    Some(Replica {
        shard: 1,
        epoch: 1,
        term,
        leads,
        applied_index,
        ..Replica::default()
    })
}

#[test]
fn of_two_that_say_they_lead_the_later_term_is_believed() {
    let all = All::from([
        (2, told(replica(4, true, 9), &[])),
        (3, told(replica(5, true, 8), &[])),
    ]);
    let shards = shards(&topology(), |_| 1, &all);
    let eu = &shards[0];
    assert_eq!((eu.number, eu.leader.as_str(), eu.term), (1, "eu-1", 5));
    assert_eq!((eu.applied_index, eu.voters_reachable), (9, 2));
    assert_eq!(eu.voters, ["eu-2", "eu-1", "eu-3"]);
    let us = &shards[1];
    assert_eq!((us.leader.as_str(), us.voters_reachable), ("", 0));
}

#[test]
fn a_region_is_as_fresh_as_its_freshest_view() {
    let all = All::from([
        (2, told(None, &[(2, "0a", 900)])),
        (3, told(None, &[(2, "0b", 600)])),
    ]);
    let lags = lags(&topology(), &all);
    let order: Vec<_> = lags.iter().map(|l| (l.shard, l.region.as_str())).collect();
    assert_eq!(order, [(1, "eu"), (1, "us"), (2, "eu"), (2, "us")]);
    let us_in_eu = &lags[2];
    assert_eq!(us_in_eu.staleness_bound_ms, Some(600));
    assert!(us_in_eu.reachable);
    // Reached, and without a view of the shard.
    assert!(lags[0].reachable && lags[0].staleness_bound_ms.is_none());
    assert!(!lags[3].reachable && lags[3].staleness_bound_ms.is_none());
}

#[test]
fn a_crossing_is_what_all_nodes_of_a_region_tell_of_it() {
    let copy = |hears_home, bytes_across, bytes_within| {
        let mut told = told(None, &[]);
        told.status.copies.push(Copy {
            shard: 2,
            hears_home,
            bytes_across,
            bytes_within,
        });
        told
    };
    let all = All::from([(2, copy(false, 10, 500)), (3, copy(true, 700, 1))]);
    let crossings = crossings(&topology(), &all);
    let [eu_in_us, us_in_eu] = &crossings[..] else {
        panic!("{crossings:?}")
    };
    assert_eq!(
        (eu_in_us.shard, eu_in_us.region.as_str(), eu_in_us.reachable),
        (1, "us", false)
    );
    assert_eq!(
        (us_in_eu.shard, us_in_eu.region.as_str(), us_in_eu.reachable),
        (2, "eu", true)
    );
    assert_eq!(us_in_eu.nodes, ["eu-1"]);
    assert_eq!((us_in_eu.bytes_across, us_in_eu.bytes_within), (710, 501));
}

#[test]
fn nodes_come_by_region_and_name_and_show_who_is_silent() {
    let all = All::from([(3, told(None, &[]))]);
    let nodes = nodes(&topology(), &all);
    let shown: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.reachable))
        .collect();
    let expected = [
        ("eu-1", true),
        ("eu-2", false),
        ("eu-3", false),
        ("us-1", false),
    ];
    assert_eq!(shown, expected);
    assert_eq!(nodes[3].clock_offset_ms, None);
}

#[test]
fn a_clock_is_compared_with_the_middle_of_the_call() {
    let at = |wall_unix_nanos| NodeStatusReply {
        wall_unix_nanos,
        ..Default::default()
    };
    let ms = 1_000_000;
    for (wall, offset) in [(1_050, 0), (1_300, 250), (800, -250)] {
        let told = Told::new(at(wall * ms), 1_000 * ms, 1_100 * ms);
        assert_eq!(told.clock_offset_ms, offset);
    }
}

#[test]
fn members_are_told_in_order_and_with_the_shards_they_vote_in() {
    let members = members(&topology());
    let told = members.iter().map(|member| {
        let Member { name, region, .. } = member;
        (name.as_str(), region.as_str(), member.votes_in.as_slice())
    });
    let expected: [(_, _, &[u32]); 4] = [
        ("eu-1", "eu", &[1]),
        ("eu-2", "eu", &[1]),
        ("eu-3", "eu", &[1]),
        ("us-1", "us", &[2]),
    ];
    assert!(told.eq(expected));
    assert_eq!(members[0].address, "eu-1:1");
}

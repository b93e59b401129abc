//! A node number stands for one disk.

use std::sync::Arc;

use replication::raft::Witnesses;
use tokio::time::timeout;

use super::cluster::{Cluster, PATIENCE, accepted};
use super::payloads;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_without_its_disk_is_not_listened_to() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let last = accepted(&leader.group, reign, &payloads("kept", 20)).await[19];
    cluster.journals(last).await;
    let late = reign.node % 3 + 1;
    cluster.kill(late).await;
    cluster.disks.insert(late, Arc::default());

    cluster.start_replica(late, 10).await;
    let empty = &cluster.replicas[&late];
    let said = timeout(PATIENCE, empty.peers.identity().unwrap().rejected());
    let said = said.await.expect("its peers know it with another disk");
    assert!(
        said.contains(&format!("node {late} is known to node")),
        "{said}"
    );
    // With the other node gone, what is left is no majority: nothing is acknowledged by a disk that
    // has forgotten what it promised.
    let other = cluster.addresses.keys().copied();
    let other = other
        .clone()
        .find(|node| *node != late && *node != reign.node)
        .unwrap();
    cluster.kill(other).await;
    let leader = &cluster.replicas[&reign.node].group;
    assert!(leader.read_index().await.is_err());
    let empty = &cluster.replicas[&late];
    assert_eq!(
        empty.group.metrics().last_log,
        None,
        "it was sent something"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_not_founded_again_on_what_is_left_of_it() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let last = accepted(&leader.group, reign, &payloads("kept", 5)).await[4];
    cluster.journals(last).await;
    for node in 1..=3 {
        cluster.kill(node).await;
    }
    // Two disks are lost, the founder's among them. The third knows better.
    cluster.disks.insert(1, Arc::default());
    cluster.disks.insert(2, Arc::default());
    for node in 1..=2 {
        cluster.start_replica(node, 10 + node).await;
    }
    let members = cluster.addresses.clone();
    let founding = cluster.replicas[&1]
        .group
        .clone()
        .found(members, Witnesses::default());
    let founding = tokio::spawn(founding);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!founding.is_finished(), "founded without the third");
    cluster.start_replica(3, 13).await;
    let rejected = cluster.replicas[&1].peers.identity().unwrap().rejected();
    timeout(PATIENCE, rejected).await.expect("the third tells");
    assert_eq!(cluster.replicas[&1].group.metrics().last_log, None);
    founding.abort();
    cluster.stop().await;
}

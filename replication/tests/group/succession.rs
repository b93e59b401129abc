//! A leader's process that ends is succeeded at once; one that is only silent is not.

use super::cluster::{Cluster, accepted};
use super::payloads;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_process_ends_is_succeeded_without_a_time_out() {
    let mut cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;
    assert_eq!(cluster.stood_at_once(), 0, "nobody stood without a reason");

    cluster.kill(first.node).await;
    let (heir, second) = cluster.leader(Some(first)).await;
    accepted(&heir.group, second, &payloads("after", 20)).await;
    assert_eq!(heir.group.metrics().stood_at_once, 1);
    assert_eq!(cluster.stood_at_once(), 1, "the others waited their turn");
    assert_eq!(
        second.term.term,
        first.term.term + 1,
        "one election was enough"
    );
    cluster.stop().await;
}

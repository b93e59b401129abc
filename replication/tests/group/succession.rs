//! A leader's process that ends is succeeded at once; one that is only silent is not.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, PATIENCE, accepted, propose};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_leader_is_succeeded_only_by_the_time_out() {
    let cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;

    cluster.silence.begin(first.node);
    let (heir, second) = cluster.leader(Some(first)).await;
    accepted(&heir.group, second, &payloads("after", 20)).await;
    assert_eq!(cluster.stood_at_once(), 0, "silence is not an end");

    cluster.silence.end(first.node);
    let last = accepted(&heir.group, second, &payloads("healed", 20)).await[19];
    cluster.journals(last).await;
    assert_eq!(cluster.stood_at_once(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_alone_lost_its_line_deposes_nobody() {
    let cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;

    cluster.silence.close(first.node % 3 + 1, first.node);
    // Many turns to canvass, and longer than any time-out: the others' answer does not change.
    sleep(Duration::from_secs(3)).await;
    let last = accepted(&leader.group, first, &payloads("after", 20)).await[19];
    cluster.journals(last).await;
    assert_eq!(leader.group.leadership().borrow().reign, Some(first));
    assert_eq!(cluster.stood_at_once(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_ends_and_returns_deposes_nobody() {
    let mut cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;
    // One follower ends and comes back; its lines, and the others' to it, are closed and refused.
    let follower = first.node % 3 + 1;
    cluster.kill(follower).await;
    cluster.start_replica(follower, 77).await;
    let leader = &cluster.replicas[&first.node].group;
    let last = accepted(leader, first, &payloads("after", 20)).await[19];
    cluster.journals(last).await;
    assert_eq!(leader.leadership().borrow().reign, Some(first));
    assert_eq!(cluster.stood_at_once(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_follower_hinders_nobody_and_catches_up() {
    let cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let first = accepted(&leader.group, reign, &payloads("before", 20)).await[0];
    cluster.journals(first).await;

    let follower = reign.node % 3 + 1;
    cluster.silence.begin(follower);
    let reached = cluster.replicas[&follower].group.applied();
    // Far more than the windows and queues on the way to it hold.
    let big = "x".repeat(64 << 10);
    let many: Vec<_> = (0..1_000).map(|number| format!("{number} {big}")).collect();
    let last = *accepted(&leader.group, reign, &many)
        .await
        .last()
        .expect("many");
    assert!(
        cluster.replicas[&follower].group.applied() < reached + 500,
        "it is cut off"
    );
    assert_eq!(leader.group.leadership().borrow().reign, Some(reign));

    cluster.silence.end(follower);
    cluster.journals(last).await;
    assert_eq!(cluster.stood_at_once(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_slow_disk_hands_over_and_rests() {
    let cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;

    cluster.disks[&first.node].slow_down(Duration::from_millis(250));
    let load = async {
        // Fates differ once the reign ends; what counts is that there is something to sync.
        let mut number = 0;
        while leader.group.leadership().borrow().reign == Some(first) {
            number += 1;
            drop(propose(&leader.group, first, &format!("load {number}")).await);
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, load).await.expect("it hands over");
    assert_eq!(leader.group.metrics().retired, 1);
    let (heir, second) = cluster.leader(Some(first)).await;
    assert_ne!(second.node, first.node);
    assert_eq!(second.term.term, first.term.term + 1, "it was asked for");
    accepted(&heir.group, second, &payloads("after", 20)).await;
    assert_eq!(cluster.stood_at_once(), 0);
    let retired = cluster.replicas.values().map(|r| r.group.metrics().retired);
    assert_eq!(retired.sum::<u64>(), 1, "nobody else is slow");
    cluster.stop().await;
}

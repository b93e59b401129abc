//! Three replicas of a shard in one process, over real connections on loopback.

mod clock;
mod cluster;
mod identity;
mod memory;
mod silence;
mod snapshot;
mod succession;
mod voters;

use cluster::{Cluster, PATIENCE, accepted, propose};
use replication::raft::{Proposed, ReadError, Term};
use tokio::time::timeout;

fn payloads(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name} {number}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_agree_across_the_loss_of_their_leader() {
    let mut cluster = Cluster::start().await;

    let (leader, first) = cluster.leader(None).await;
    assert!(
        first.term >= Term { epoch: 1, term: 1 },
        "the first reign is of epoch 1"
    );
    let before = accepted(&leader.group, first, &payloads("before", 200)).await;
    assert!(
        before.is_sorted(),
        "proposals keep the order of their calls"
    );
    let last = before[before.len() - 1];
    let read = leader
        .group
        .read_index()
        .await
        .expect("the leader serves strong reads");
    assert!(read >= last && leader.group.applied() >= read);
    let journals = cluster.journals(last).await;
    assert!(
        journals
            .iter()
            .all(|journal| journal[..=last as usize] == journals[0][..=last as usize])
    );

    cluster.kill(first.node).await;
    let (leader, second) = cluster.leader(Some(first)).await;
    let after = accepted(&leader.group, second, &payloads("after", 50)).await;
    let last = after[after.len() - 1];
    let journals = cluster.journals(last).await;
    assert_eq!(journals.len(), 2);
    assert_eq!(journals[0], journals[1]);
    for (place, (id, _)) in journals[0].iter().enumerate() {
        assert_eq!(
            id.index, place as u64,
            "every index is applied once, in order"
        );
    }
    let entries = journals[0]
        .iter()
        .filter(|(_, payload)| !payload.is_empty())
        .count();
    assert_eq!(entries, 250, "every acknowledged entry outlives its leader");

    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_of_an_ended_reign_is_never_appended() {
    let cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 1)).await;

    let heir = first.node % 3 + 1;
    leader
        .group
        .transfer_leader(heir)
        .await
        .expect("the leader hands over");
    let (second_leader, second) = cluster.leader(Some(first)).await;
    assert_eq!(second.node, heir);

    // Under its own old reign on the deposed leader, and under a foreign one on the new leader.
    for group in [&leader.group, &second_leader.group] {
        let fate = propose(group, first, "late").await;
        let fate = timeout(PATIENCE, fate)
            .await
            .expect("it is decided")
            .expect("it is answered");
        assert!(
            matches!(fate, Proposed::NeverAppended { .. }),
            "it ended as {fate:?}"
        );
    }

    let last = accepted(&second_leader.group, second, &payloads("after", 1)).await[0];
    cluster.journals(last).await;
    assert!(
        cluster
            .replicas
            .values()
            .all(|replica| !replica.journal.has(b"late"))
    );

    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_quorum_serves_no_strong_read() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", 1)).await;
    let follower = cluster
        .replicas
        .values()
        .find(|replica| replica.group.node_id() != reign.node);
    let read = follower.expect("there are three").group.read_index().await;
    assert!(
        matches!(read, Err(ReadError::NotLeader { .. })),
        "a follower answered {read:?}"
    );

    let others: Vec<u64> = cluster
        .replicas
        .keys()
        .copied()
        .filter(|node| *node != reign.node)
        .collect();
    for node in others {
        cluster.kill(node).await;
    }
    let alone = &cluster.replicas[&reign.node].group;
    let read = timeout(PATIENCE, alone.read_index())
        .await
        .expect("a read has a deadline");
    assert!(read.is_err(), "a lone leader answered {read:?}");

    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_replica_applies_its_log_again_from_the_start() {
    let mut cluster = Cluster::start().await;
    let (leader, first) = cluster.leader(None).await;
    accepted(&leader.group, first, &payloads("before", 20)).await;

    cluster.kill(first.node).await;
    let (leader, second) = cluster.leader(Some(first)).await;
    accepted(&leader.group, second, &payloads("meanwhile", 20)).await;

    cluster.start_replica(first.node, 4).await;
    let (leader, third) = cluster.leader(None).await;
    let last = accepted(&leader.group, third, &payloads("after", 20)).await[19];
    let journals = cluster.journals(last).await;
    assert_eq!(journals.len(), 3);
    assert!(journals.iter().all(|journal| *journal == journals[0]));

    let founding = cluster.replicas.values().next().expect("there are three");
    let again = [(9, "127.0.0.1:9".to_owned())].into();
    founding
        .group
        .initialize(again)
        .await
        .expect("a founded group is not founded again");

    cluster.stop().await;
}

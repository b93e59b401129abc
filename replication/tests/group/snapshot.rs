//! Snapshots: a start from one, a follower that is given one, and chunks that are damaged.

use bytes::Bytes;
use replication::world::{Durability, Engine, Op};

use super::cluster::{Cluster, ENTRIES_BEFORE_SNAPSHOT, PATIENCE, SHARD, accepted, propose};
use super::payloads;
use tokio::time::timeout;

const FIRST: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_from_its_snapshot_and_goes_on_from_the_log() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", FIRST)).await;
    let taken = leader.group.snapshot().await.unwrap();
    assert_eq!(taken.index, leader.group.applied());
    assert_eq!(taken.new_bytes, taken.bytes);
    let last = accepted(&leader.group, reign, &payloads("after", FIRST)).await[FIRST - 1];
    let again = leader.group.snapshot().await.unwrap();
    assert!(
        again.new_bytes < again.bytes && again.new_bytes > 0,
        "chunks that have not changed are not stored again: {again:?}"
    );
    let whole = cluster.journals(last).await.remove(0);

    let node = reign.node;
    cluster.kill(node).await;
    cluster.start_replica(node, 10).await;
    let journals = cluster.journals(last).await;
    assert!(cluster.replicas[&node].journal.restored() > 0);
    assert!(journals.iter().all(|journal| journal.starts_with(&whole)));
    assert_eq!(*cluster.replicas[&node].group.missing().borrow(), None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_lacks_too_much_is_given_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let first = accepted(&leader.group, reign, &payloads("before", 1)).await[0];
    cluster.journals(first).await;
    let late = reign.node % 3 + 1;
    cluster.kill(late).await;

    let leader = &cluster.replicas[&reign.node];
    let count = 4 * ENTRIES_BEFORE_SNAPSHOT as usize;
    let missed = accepted(&leader.group, reign, &payloads("missed", count)).await[count - 1];
    cluster.journals(missed).await;
    // A leader keeps what it has begun to send: only the next one lacks it.
    let heir = cluster
        .replicas
        .keys()
        .copied()
        .find(|node| *node != reign.node)
        .unwrap();
    let taken = cluster.replicas[&heir].group.snapshot().await.unwrap();
    assert_eq!(taken.index, missed);
    let leader = &cluster.replicas[&reign.node];
    leader.group.transfer_leader(heir).await.unwrap();
    let (leader, reign) = cluster.leader(Some(reign)).await;
    assert_eq!(reign.node, heir);
    let last = accepted(&leader.group, reign, &payloads("after", 1)).await[0];

    cluster.start_replica(late, 10).await;
    let journals = cluster.journals(last).await;
    assert_eq!(cluster.replicas[&late].journal.restored(), 1);
    assert!(journals.iter().all(|journal| *journal == journals[0]));
    // It says what it has not got, and that it has the rest.
    let group = &cluster.replicas[&late].group;
    let missing = group
        .missing()
        .borrow()
        .clone()
        .expect("it was given a snapshot");
    assert!(missing.start > first && missing.end == taken.index + 1);
    assert_eq!(*group.held().borrow(), missing.start - 1);
    let hub = &cluster.replicas[&late].hub;
    let held = hub.read(SHARD, 0..last + 1, usize::MAX).unwrap();
    assert_eq!(held.len() as u64, missing.start);
    assert!(hub.read(SHARD, missing.clone(), usize::MAX).is_err());

    // It knows so after another start too, and can lead from there.
    cluster.kill(late).await;
    cluster.start_replica(late, 11).await;
    assert_eq!(
        *cluster.replicas[&late].group.missing().borrow(),
        Some(missing)
    );
    cluster.kill(reign.node).await;
    let (leader, reign) = cluster.leader(Some(reign)).await;
    let last = accepted(&leader.group, reign, &payloads("later", 10)).await[9];
    let journals = cluster.journals(last).await;
    assert_eq!(journals[0], journals[1]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overruled_tail_under_a_snapshot_is_gone() {
    // Shorter than the history it is overruled by, and longer.
    for tail in [5, 400] {
        let mut cluster = Cluster::start().await;
        let (leader, old) = cluster.leader(None).await;
        let first = accepted(&leader.group, old, &payloads("before", 1)).await[0];
        cluster.journals(first).await;
        let others: Vec<u64> = cluster.addresses.keys().copied().collect();
        let others: Vec<u64> = others
            .into_iter()
            .filter(|node| *node != old.node)
            .collect();
        for node in &others {
            cluster.kill(*node).await;
        }
        // Nobody else gets these.
        let alone = &cluster.replicas[&old.node];
        for payload in payloads("overruled", tail) {
            drop(propose(&alone.group, old, &payload).await);
        }
        let hub = alone.hub.clone();
        let end = first + tail as u64;
        let stored = async {
            while hub.last(SHARD).unwrap().unwrap().index < end {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, stored)
            .await
            .expect("a leader stores what it proposes");
        drop(hub);
        cluster.kill(old.node).await;

        for node in &others {
            cluster.start_replica(*node, 10 + node).await;
        }
        let (leader, new) = cluster.leader(Some(old)).await;
        let missed = accepted(&leader.group, new, &payloads("true", FIRST)).await[FIRST - 1];
        cluster.journals(missed).await;
        for node in &others {
            cluster.replicas[node].group.snapshot().await.unwrap();
        }
        let heir = others
            .iter()
            .copied()
            .find(|node| *node != new.node)
            .unwrap();
        cluster.replicas[&new.node]
            .group
            .transfer_leader(heir)
            .await
            .unwrap();
        let (leader, last_reign) = cluster.leader(Some(new)).await;
        let last = accepted(&leader.group, last_reign, &payloads("after", 1)).await[0];

        cluster.start_replica(old.node, 20).await;
        let journals = cluster.journals(last).await;
        assert!(journals.iter().all(|journal| *journal == journals[0]));
        let late = &cluster.replicas[&old.node];
        assert_eq!(late.journal.restored(), 1, "it was given a snapshot");
        assert!(late.group.missing().borrow().is_some());
        for from in 0..=last.max(end) {
            let Ok(records) = late.hub.read(SHARD, from..from + 1, usize::MAX) else {
                continue;
            };
            let stale = records
                .iter()
                .any(|it| it.payload.starts_with(b"overruled"));
            assert!(!stale, "index {from} is of a history that never was");
        }
        cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chunk_is_never_used_and_the_log_takes_its_place() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let last = accepted(&leader.group, reign, &payloads("before", FIRST)).await[FIRST - 1];
    leader.group.snapshot().await.unwrap();
    let whole = cluster.journals(last).await.remove(0);
    let node = reign.node;
    cluster.kill(node).await;
    let disk = cluster.disks[&node].clone();
    let (key, chunk) = a_chunk(&*disk);
    let mut damaged = chunk.clone();
    damaged[7] ^= 1;
    let put = Op::Put(key, Bytes::from(damaged));
    disk.write(vec![put], Durability::Synced).unwrap();

    cluster.start_replica(node, 10).await;
    let caught_up = async {
        while cluster.replicas[&node].group.applied() < last {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, caught_up).await.unwrap();
    let replica = &cluster.replicas[&node];
    assert_eq!(replica.journal.restored(), 0);
    assert!(replica.journal.records().starts_with(&whole));

    // The next one stores the damaged chunk again, though nothing in it has changed.
    assert!(replica.group.needs_snapshot());
    replica.group.snapshot().await.unwrap();
    assert!(!replica.group.needs_snapshot());
    assert_eq!(a_chunk(&*disk).1, chunk, "it is stored once this is said");
    cluster.kill(node).await;
    cluster.start_replica(node, 10).await;
    assert!(cluster.replicas[&node].journal.restored() > 0);
    cluster.stop().await;
}

fn a_chunk(disk: &impl Engine) -> (Vec<u8>, Vec<u8>) {
    let mut found = None;
    disk.scan(&[0x12]..&[0x13], &mut |key, value| {
        found = Some((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Break(())
    })
    .unwrap();
    found.expect("a snapshot has chunks")
}

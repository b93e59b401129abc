//! Disks without room: writes are refused and nothing else is, and when there is room again nobody
//! has to do anything.

use node::api::{
    admin::v1::StatusRequest,
    v1::read_mode::{Local, Mode},
};
use tonic::Code;

use crate::cluster::{Cluster, HOME_AND_ABROAD, code, eventually};
use crate::stopped::Store;

/// The node that leads a shard, as a node knows it.
async fn leader(cluster: &Cluster, shard: u32, asked: u64) -> Option<u64> {
    let status = cluster.node(asked).admin().status(StatusRequest {}).await;
    let status = status.unwrap().into_inner();
    let led = status.shards.iter().find(|it| it.number == shard)?;
    let leads = cluster.nodes().iter().find(|it| it.name == led.leader)?;
    Some(leads.id)
}

/// The last index of a shard's log on a node's disk.
fn last(cluster: &Cluster, id: u64, shard: u32) -> u64 {
    let store = Store::over(cluster.log_of(id));
    store.last(shard).index
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_writes_are_refused_and_reads_served_until_there_is_room() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let node = cluster.at("eu-west");
    let account = node.open("eu-west", "a").await;
    node.deposit("before", &account, 1_000).await.unwrap();
    for id in 1..=3 {
        cluster.set_free(id, 1 << 20);
    }
    eventually("the disks are seen to be full", async || {
        let refused = node.deposit("probe", &account, 1).await;
        refused.is_err_and(|it| it.code() == Code::ResourceExhausted)
    })
    .await;
    let refused = node.deposit("refused", &account, 5).await;
    assert_eq!(code(refused), "DISK_FULL");
    // The probes before it may have been booked.
    let has = node.strong(&account).await.unwrap().posted;
    for asked in [1, 2, 3, 4] {
        let asked = cluster.node(asked);
        assert_eq!(asked.strong(&account).await.unwrap().posted, has);
        let local = asked.balance(&account, Mode::Local(Local {})).await;
        assert!(local.unwrap().posted.is_some());
    }
    for id in 1..=3 {
        cluster.set_free(id, u64::MAX);
    }
    eventually("there is room again", async || {
        node.deposit("refused", &account, 5).await.is_ok()
    })
    .await;
    let had = has.unwrap().minor_units;
    let has = node.strong(&account).await.unwrap().posted.unwrap();
    assert_eq!(has.minor_units, had + 5, "booked once");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_full_disk_is_done_without_and_catches_up() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let shard = cluster.shard("eu-west");
    let account = cluster.at("us-east").open("eu-west", "a").await;
    let first = leader(&cluster, shard, 4).await.expect("somebody leads");
    cluster.set_free(first, 1 << 20);
    eventually("another one leads", async || {
        leader(&cluster, shard, 4)
            .await
            .is_some_and(|now| now != first)
    })
    .await;
    let node = cluster.at("us-east");
    for round in 0..20 {
        let key = format!("in {round}");
        node.deposit(&key, &account, 100).await.unwrap();
    }
    let other = first % 3 + 1;
    let (here, there) = (last(&cluster, first, shard), last(&cluster, other, shard));
    assert!(here < there, "{here} {there}");
    cluster.set_free(first, u64::MAX);
    eventually("it has caught up", async || {
        last(&cluster, first, shard) >= there
    })
    .await;
    node.settles_at(&account, 2_000).await;
    cluster.stop_and_verify().await;
}

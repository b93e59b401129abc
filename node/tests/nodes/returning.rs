//! Nodes that come back after a long time, and one that comes as somebody else.

use std::time::Duration;

use node::{
    api::v1::read_mode::{Local, Mode},
    config::{Config, Limits},
    server,
    verify::{Options, verify},
};
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD, PATIENCE, eventually, usd},
    running,
};

/// Snapshots all the time, and a follower is given one that lacks ten entries.
fn limits() -> Limits {
    Limits {
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        snapshot_entries: 10,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_and_a_voter_that_were_away_for_long_come_to_have_everything() {
    let mut cluster = Cluster::start_limited(&HOME_AND_ABROAD, 0, |_| {}, limits()).await;
    let shard = cluster.shard("eu-west");
    let (copy, voter) = (4, 3);
    let account = cluster.node(1).open("eu-west", "a").await;
    cluster.stop(copy).await;
    cluster.stop(voter).await;
    // Time enough for several snapshots: the log that Raft replicates begins after the voter's end.
    let (begun, mut booked) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(8) {
        let key = format!("in {booked}");
        cluster.node(1).deposit(&key, &account, 1).await.unwrap();
        booked += 1;
    }
    cluster.restart(copy).await;
    cluster.restart(voter).await;
    for id in [copy, voter] {
        eventually("it has caught up", async || {
            let local = Mode::Local(Local {});
            let balance = cluster.node(id).balance(&account, local).await;
            balance.is_ok_and(|it| it.posted == usd(booked))
        })
        .await;
    }
    for id in 1..=4 {
        cluster.stop(id).await;
        let data = cluster.data(cluster.node(id));
        let report = verify(&data, Options::default(), &|_| {}).unwrap();
        assert_eq!(report.findings, [], "node {id}");
        let mut shards = report.shards.iter();
        let found = shards.find(|it| it.shard == shard).unwrap();
        assert_eq!(found.first, Some(0), "node {id} has the history, too");
        assert_eq!(found.last.map(|last| last + 1), Some(found.indexes));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_under_a_number_is_refused_and_says_so() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let account = cluster.node(1).open("eu-west", "a").await;
    // Another machine was given node 2's configuration.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut topology = cluster.topology().clone();
    let second = topology.nodes.iter_mut().find(|it| it.id == 2).unwrap();
    second.address = running::free_address();
    let file = elsewhere.path().join("topology.toml");
    std::fs::write(&file, toml::to_string(&topology).unwrap()).unwrap();
    let config = Config {
        node: 2,
        data: elsewhere.path().join("data"),
        topology: Some(file),
        secrets: Some(cluster.secrets("eu-west")),
        ..Config::default()
    };
    let world = running::world(&config.data);
    let running = server::run(config, world, std::future::pending());
    let ended = tokio::time::timeout(PATIENCE, running).await;
    let refused = ended.expect("it stops by itself").unwrap_err();
    assert!(
        matches!(&refused, server::Error::Rejected(why) if why.contains("with another disk")),
        "{refused}"
    );
    // The one that was there first goes on, and so does the shard.
    for id in 1..=4 {
        let key = format!("by {id}");
        cluster.node(id).deposit(&key, &account, 1).await.unwrap();
    }
    cluster.node(2).settles_at(&account, 4).await;
    cluster.shutdown().await;
}

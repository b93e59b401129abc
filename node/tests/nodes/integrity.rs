//! Running nodes whose disks go bad, and histories that part: seen, named and, where it can be,
//! mended.

use std::num::NonZeroU32;

use ledger_domain::Event;
use node::{
    api::{
        admin::v1::{Comparison, HeadsRequest, Integrity, StatusRequest},
        v1::read_mode::{Local, Mode},
    },
    config::Limits,
};
use replication::proto::LogRecord;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::cluster::{self, Cluster, HOME_AND_ABROAD, Region, eventually, usd};
use crate::stopped::{self, HEAD, RECORD, SNAPSHOT, Store};

const ABROAD: u64 = 4;

/// Everything every second.
fn limits() -> Limits {
    Limits {
        scrub_seconds: 1,
        heads_seconds: NonZeroU32::MIN,
        ..Limits::default()
    }
}

/// A cluster in which something has happened in eu-west.
async fn eventful() -> Cluster {
    let cluster = Cluster::start_limited(&HOME_AND_ABROAD, 0, |_| {}, limits()).await;
    let node = cluster.at("eu-west");
    let account = node.open("eu-west", "a").await;
    for round in 0..30 {
        let key = format!("in {round}");
        node.deposit(&key, &account, 1_000 + round).await.unwrap();
    }
    cluster
}

/// What a node tells of itself.
async fn integrity(cluster: &Cluster, node: u64) -> Integrity {
    let node = cluster.node(node);
    let status = node.admin().status(StatusRequest {}).await.unwrap();
    let nodes = status.into_inner().nodes;
    let own = nodes.into_iter().find(|it| it.name == node.name).unwrap();
    own.integrity.expect("a node knows of itself")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_bad_on_a_running_nodes_disk_is_named_and_mended() {
    let cluster = eventful().await;
    let shard = cluster.shard("eu-west");
    // Each node's disk in another way: two replicas and the copy abroad.
    let first = {
        let store = Store::over(cluster.log_of(1));
        let first = store.alter(shard, &|event| match event {
            Event::FundsDeposited { amount, .. } => {
                *amount = ledger_domain::Amount::new(amount.minor_units() + 1).unwrap();
                true
            }
            _ => false,
        });
        store.flip(store.key(RECORD, shard, first + 2), 8 * 30);
        store.delete(store.key(HEAD, shard, first + 6));
        first
    };
    {
        let store = Store::over(cluster.log_of(2));
        store.delete(store.key(RECORD, shard, first + 3));
        store.put(store.key(HEAD, shard, first + 4), stopped::framed(&[7; 32]));
    }
    {
        let store = Store::over(cluster.log_of(ABROAD));
        store.flip(store.key(RECORD, shard, first + 5), 8 * 30);
        store.delete(store.key(RECORD, shard, first + 8));
        store.delete(store.key(HEAD, shard, first + 8));
    }
    // As places after the first, in the order in which they are found.
    let expected: [(u64, &[(u64, &str)]); 3] = [
        (1, &[(0, "chain"), (2, "record"), (6, "head")]),
        (2, &[(3, "record"), (4, "chain")]),
        (ABROAD, &[(5, "record"), (8, "record")]),
    ];
    for (node, faults) in expected {
        eventually("all of it is mended", async || {
            integrity(&cluster, node).await.mended >= faults.len() as u64
        })
        .await;
        let found = integrity(&cluster, node).await;
        let mended = found.lately_mended.iter();
        let mut mended: Vec<_> = mended
            .map(|it| (it.index.unwrap() - first, it.part.as_str()))
            .collect();
        mended.sort_unstable();
        assert_eq!(mended, faults, "node {node}: {found:?}");
        assert_eq!((found.found, found.standing.len()), (found.mended, 0));
        assert!(
            found
                .lately_mended
                .iter()
                .all(|it| it.mending.starts_with("mended from"))
        );
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_goes_bad_on_a_running_nodes_disk_is_stored_again() {
    let limits = Limits {
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        ..limits()
    };
    let alone = [Region {
        name: "eu-west",
        time_zone: "Europe/Dublin",
        nodes: 1,
    }];
    let cluster = Cluster::start_limited(&alone, 0, |_| {}, limits).await;
    let (shard, node) = (cluster.shard("eu-west"), cluster.at("eu-west"));
    node.open("eu-west", "a").await;
    {
        let engine = cluster.log_of(1);
        let store = Store::over(engine.clone());
        let marker = store.marker(SNAPSHOT, shard);
        eventually("there is a snapshot", async || {
            engine.get(&marker).unwrap().is_some()
        })
        .await;
        // What the accounts are in: unlike the first chunk it stays the same in the next snapshot.
        let key = store.chunks(shard).remove(1);
        let before = store.get(&key);
        store.flip(key.clone(), 8);
        eventually("the chunk is what it was", async || {
            store.get(&key) == before
        })
        .await;
        let found = integrity(&cluster, 1).await;
        assert!(found.found >= 1, "{found:?}");
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_log_is_damaged_is_mended_and_joins_and_nothing_waits_for_it() {
    let mut cluster = eventful().await;
    let shard = cluster.shard("eu-west");
    let [home, abroad] = {
        let node = cluster.at("eu-west");
        let home = node.open("eu-west", "late").await;
        let abroad = node.open("us-east", "b").await;
        node.deposit("there", &abroad, 700).await.unwrap();
        eventually("the copy has it", async || shows(node, &abroad, 700).await).await;
        node.deposit("here", &home, 500).await.unwrap();
        [home, abroad]
    };
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    {
        let store = Store::open(&cluster.data(cluster.node(1)));
        let last = store.last(shard).index;
        let some = store.find(shard, &|event| {
            matches!(event, Event::FundsDeposited { .. })
        });
        for index in [some, last] {
            store.flip(store.key(RECORD, shard, index), 8 * 30);
        }
    }
    // Nobody can tell it what it has lost: the voters are down, and the copy is not heard.
    cluster.cut("us-east");
    cluster.begin(1);
    let node = cluster.node(1);
    eventually("the other shard is served", async || {
        shows(node, &abroad, 700).await
    })
    .await;
    assert!(node.deposit("no quorum", &home, 1).await.is_err());
    let lacks = readiness(node).await;
    assert!(
        lacks.contains(&format!("shard {shard} waits: its log is damaged here")),
        "{lacks}"
    );
    let found = integrity(&cluster, 1).await;
    assert_eq!((found.found, found.mended, found.standing.len()), (2, 0, 2));
    let store = cluster.log_of(1);
    assert!(
        Store::over(store).last(shard).index > 0,
        "nothing is cut off"
    );

    cluster.begin(2);
    cluster.begin(3);
    eventually("it is mended", async || {
        integrity(&cluster, 1).await.mended == 2
    })
    .await;
    cluster.heal("us-east");
    let node = cluster.node(1);
    eventually("it takes part", async || {
        node.deposit("joined", &home, 1).await.is_ok()
    })
    .await;
    node.settles_at(&home, 501).await;
    assert_eq!(integrity(&cluster, 1).await.standing, []);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_history_was_made_anew_is_told_apart_by_a_signed_head() {
    let mut cluster = eventful().await;
    let shard = cluster.shard("eu-west");
    eventually("heads are compared", async || {
        let found = integrity(&cluster, ABROAD).await;
        assert_eq!(found.forks, [""; 0]);
        let told = heads(&cluster).await;
        told.iter()
            .any(|it| it.1 > 12 && it.2 == Comparison::Agrees && it.0 == shard)
    })
    .await;
    cluster.stop(ABROAD).await;
    let data = cluster.data(cluster.node(ABROAD));
    let store = Store::open(&data);
    let first = store.find(shard, &|event| {
        matches!(event, Event::FundsDeposited { .. })
    });
    store.rewrite(shard, first, |entry| {
        entry.outcomes[0].command.as_mut().unwrap().info.reason = "another".to_owned();
    });
    store.chain_anew(shard);
    let _: LogRecord = stopped::message(&store.get(&store.key(RECORD, shard, first)));
    drop(store);
    cluster.restart(ABROAD).await;
    eventually("the fork is known", async || {
        !integrity(&cluster, ABROAD).await.forks.is_empty()
    })
    .await;
    let fork = integrity(&cluster, ABROAD).await.forks.remove(0);
    assert!(
        fork.starts_with(&format!("shard {shard} has two histories: at (")),
        "{fork}"
    );
    let told = heads(&cluster).await;
    assert!(
        told.iter().any(|it| it.2 == Comparison::Differs),
        "{told:?}"
    );
    cluster.shutdown().await;
}

/// Whether a node's own read models show a booked sum.
async fn shows(node: &cluster::Node, account: &str, units: i64) -> bool {
    let read = node.balance(account, Mode::Local(Local {})).await;
    read.is_ok_and(|balance| balance.posted == usd(units))
}

/// What a node says of its readiness.
async fn readiness(node: &cluster::Node) -> String {
    let mut line = TcpStream::connect(&node.metrics).await.unwrap();
    let ask = b"GET /readyz HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    line.write_all(ask).await.unwrap();
    let mut told = String::new();
    line.read_to_string(&mut told).await.unwrap();
    told
}

/// Shard, index and comparison of the heads that the node abroad knows.
async fn heads(cluster: &Cluster) -> Vec<(u32, u64, Comparison)> {
    let mut admin = cluster.node(ABROAD).admin();
    let reply = admin.heads(HeadsRequest {}).await.unwrap().into_inner();
    let heads = reply.heads.iter();
    heads
        .map(|it| (it.shard, it.index, it.comparison()))
        .collect()
}

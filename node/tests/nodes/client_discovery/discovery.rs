//! From one address to all nodes, and to the ones that are near and well.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use node::{
    api::{
        atm::v1::{Balance, GetBalanceRequest},
        v1::{
            ReadMode,
            read_mode::{Mode, Session},
        },
    },
    client::{Client, Options, Seed, outliers},
};
use replication::topology::Topology;
use tokio::time::{Instant, sleep, timeout};

use super::network::Failing;
use crate::{
    cluster::{Cluster, PATIENCE, Region},
    running::free_address,
};

const HERE: &str = "eu-west";
const THERE: &str = "us-east";

const REGIONS: [Region; 2] = [
    Region {
        name: HERE,
        time_zone: "Europe/Dublin",
        nodes: 3,
    },
    Region {
        name: THERE,
        time_zone: "America/New_York",
        nodes: 1,
    },
];

fn options(network: &Failing) -> Options {
    Options {
        network: Arc::new(network.clone()),
        attempt: Duration::from_millis(500),
        rediscover: Duration::from_millis(500),
        outliers: outliers::Policy {
            in_a_row: 3,
            first: Duration::from_millis(500),
            ..outliers::Policy::default()
        },
        ..Options::new("tester")
    }
}

fn discover(seed: &str, options: Options) -> Client {
    let seed: Seed = seed.parse().unwrap();
    Client::discover(vec![seed], options).unwrap()
}

fn near(network: &Failing, region: &str) -> Options {
    Options {
        region: Some(region.to_owned()),
        ..options(network)
    }
}

/// An account that every node has seen.
async fn account(cluster: &Cluster) -> String {
    let home = cluster.at(HERE);
    let account = home.open(HERE, "a").await;
    let token = home.deposit("d", &account, 700).await.unwrap().token;
    for node in cluster.nodes() {
        let tokens = vec![token.clone()];
        let mode = Mode::Session(Session { tokens });
        node.balance(&account, mode).await.unwrap();
    }
    account
}

async fn balance(client: &Client, account: &str) -> Balance {
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode: None::<ReadMode>,
    };
    client.balance(request).await.unwrap().balance.unwrap()
}

/// Who has answered how many of so many reads.
async fn answered(client: &Client, account: &str, reads: u32) -> BTreeMap<String, u32> {
    let mut by = BTreeMap::new();
    for _ in 0..reads {
        let balance = balance(client, account).await;
        *by.entry(balance.served_by.unwrap().node).or_default() += 1;
    }
    by
}

fn names(by: &BTreeMap<String, u32>) -> Vec<&str> {
    by.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed_is_enough_and_reads_stay_near() {
    let cluster = Cluster::start(&REGIONS).await;
    let account = account(&cluster).await;
    let there = cluster.at(THERE).address.clone();
    let mut all: Vec<_> = cluster.nodes().iter().map(|n| n.address.clone()).collect();
    all.sort_unstable();
    let network = Failing::default();

    // The seed is far from the caller, who says where it is.
    let client = discover(&there, near(&network, HERE));
    assert!(client.addresses().is_empty());
    let by = answered(&client, &account, 60).await;
    assert_eq!(
        names(&by),
        ["eu-west-1", "eu-west-2", "eu-west-3"],
        "{by:?}"
    );
    let mut found = client.addresses();
    found.sort_unstable();
    assert_eq!(found, all);

    // A name with several addresses, of which one is dead.
    network.name("ledger.example:7400", &[&free_address(), &there]);
    let client = discover("dns:///ledger.example:7400", near(&network, THERE));
    let by = answered(&client, &account, 20).await;
    assert_eq!(names(&by), ["us-east-1"], "{by:?}");

    // A topology file.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("topology.toml");
    let topology: &Topology = cluster.topology();
    std::fs::write(&file, toml::to_string(topology).unwrap()).unwrap();
    let client = discover(
        &format!("topology:{}", file.display()),
        near(&network, HERE),
    );
    let by = answered(&client, &account, 20).await;
    assert!(!by.contains_key("us-east-1"), "{by:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_when_a_node_dies_and_it_is_asked_again_when_it_is_back() {
    let mut cluster = Cluster::start(&REGIONS).await;
    let account = account(&cluster).await;
    let network = Failing::default();
    let seed = cluster.at(THERE).address.clone();
    let client = discover(&seed, near(&network, HERE));
    assert_eq!(answered(&client, &account, 60).await.len(), 3);

    let dead = cluster.node(2).name.clone();
    cluster.stop(2).await;
    let by = answered(&client, &account, 200).await;
    assert!(!by.contains_key(&dead) && by.len() == 2, "{by:?}");

    cluster.restart(2).await;
    let back = async {
        while !answered(&client, &account, 20).await.contains_key(&dead) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("it is tried again");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_costs_a_few_reads_some_time_and_no_read_its_answer() {
    let cluster = Cluster::start(&REGIONS).await;
    let account = account(&cluster).await;
    let network = Failing::default();
    let longer = outliers::Policy {
        first: Duration::from_secs(60),
        ..options(&network).outliers
    };
    let options = Options {
        outliers: longer,
        ..near(&network, HERE)
    };
    let client = discover(&cluster.at(HERE).address, options);
    assert_eq!(answered(&client, &account, 60).await.len(), 3);

    let silent = cluster.node(3);
    network.silence(&silent.address);
    let mut slow = 0;
    let mut last = Duration::ZERO;
    for _ in 0..200 {
        let asked = Instant::now();
        let by = balance(&client, &account).await.served_by.unwrap();
        assert_ne!(by.node, silent.name);
        last = asked.elapsed();
        slow += u32::from(last >= Duration::from_millis(400));
    }
    assert!(slow <= 4, "{slow} reads were slow, the last took {last:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_region_the_nearest_by_round_trip_are_read() {
    let cluster = Cluster::start(&REGIONS).await;
    let account = account(&cluster).await;
    let network = Failing::default();
    // All are near on this machine: all are read.
    let client = discover(&cluster.at(THERE).address, options(&network));
    let all = async { while answered(&client, &account, 40).await.len() < 4 {} };
    timeout(PATIENCE, all)
        .await
        .expect("all are measured and read");
    cluster.shutdown().await;
}

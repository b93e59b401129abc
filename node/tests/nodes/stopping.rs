//! A node stops in order and in time, leaves its directory free, and comes back as it was.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use ledger_domain::AccountId;
use node::{
    api::teller::v1::OpenAccountRequest,
    config::{Config, Limits},
    secrets::{Secrets, hex},
};
use replication::{
    proto::{FeedBatch, FeedRequest, feed_client::FeedClient},
    rocks::RocksDisk,
    world::{Disk, Store, SystemEntropy},
};
use tokio::time::Instant;
use tonic::{Code, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::running::{
    PATIENCE, Running, config, context, deposit, face, free_address, launch, open, start_at,
    start_with, strong, usd,
};

async fn feed(node: &Running) -> Streaming<FeedBatch> {
    let request = FeedRequest {
        shard: 1,
        from: 0,
        heartbeat_millis: 0,
    };
    let mut feeds = FeedClient::new(node.channel.clone());
    feeds.follow(request).await.unwrap().into_inner()
}

fn both_stores_open(data: &Path) {
    let disk = RocksDisk::new(data.to_owned());
    for store in Store::ALL {
        drop(disk.open(store).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_feeds_lets_calls_end_and_frees_the_directory() {
    let data = tempfile::tempdir().unwrap();
    let config = config(data.path());
    let mut node = start_with(config.clone()).await;
    let account = open(&mut node.teller, "a").await;
    deposit(&mut node.teller, "d", &account, 100).await.unwrap();

    let mut feed = feed(&node).await;
    let mut health = HealthClient::new(node.channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    // It is told a moment after the first strong read is served.
    while watched.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let patience = Duration::from_secs(4);
    let under_way = node.long_call(data.path(), &account, Some(patience));
    tokio::time::sleep(Duration::from_millis(200)).await;

    let address = node.address.clone();
    let begun = Instant::now();
    let stopping = node.tell_to_stop();
    let told = watched.message().await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    assert!(
        watched.message().await.unwrap().is_none(),
        "it ends by itself"
    );
    let ended = loop {
        if let Err(status) = feed.message().await {
            break status;
        }
    };
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "this node stops")
    );
    // The call ends as it would have, in the node's own words, while nobody is let in any more.
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    assert_eq!(face(&under_way.await.unwrap()).code, "NOT_HERE_YET");
    stopping.await.unwrap().unwrap();
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(9),
        "nothing was cut, in {took:?}"
    );
    both_stores_open(data.path());

    // The same port and directory, at once.
    let mut node = start_with(config).await;
    let balance = strong(&mut node.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(100));
    let again = deposit(&mut node.teller, "d", &account, 100).await.unwrap();
    assert!(again.duplicate);
    node.stop().await;
    both_stores_open(data.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_is_cut() {
    let data = tempfile::tempdir().unwrap();
    let limits = Limits {
        stop_seconds: 1,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..config(data.path())
    };
    let mut node = start_with(config).await;
    let account = open(&mut node.teller, "a").await;
    let under_way = node.long_call(data.path(), &account, Some(10 * PATIENCE));
    // One that says nothing at all holds nothing up either.
    let silent = tokio::net::TcpStream::connect(&node.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    node.stop().await;
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(6)).contains(&took),
        "{took:?}"
    );
    under_way.await.unwrap();
    drop(silent);
    both_stores_open(data.path());
}

/// Three nodes of one region, and one more in another that keeps a copy.
struct Regions {
    nodes: Vec<(Config, String)>,
    _dirs: tempfile::TempDir,
}

impl Regions {
    fn new() -> Self {
        let dirs = tempfile::tempdir().unwrap();
        let mut text = "ledger = \"test\"\n".to_owned();
        for region in ["home", "away"] {
            let secrets = Secrets::generate(&SystemEntropy);
            secrets.write(&dirs.path().join(region)).unwrap();
            let domain_key = hex(&secrets.domain_key(region).public().key);
            let token_key = hex(secrets.token_key().verifying_key().as_bytes());
            writeln!(
                text,
                "[[regions]]\nname = \"{region}\"\ntime_zone = \"UTC\"\ndomain = \"{region}\"\n\
                 domain_key = \"{domain_key}\"\ntoken_key = \"{token_key}\""
            )
            .unwrap();
        }
        let topology: PathBuf = dirs.path().join("topology.toml");
        let mut nodes = Vec::new();
        for (id, region) in [(1, "home"), (2, "home"), (3, "home"), (4, "away")] {
            let address = free_address();
            writeln!(
                text,
                "[[nodes]]\nid = {id}\nname = \"n{id}\"\nregion = \"{region}\"\n\
                 address = \"{address}\""
            )
            .unwrap();
            let config = Config {
                node: id,
                data: dirs.path().join(id.to_string()),
                topology: Some(topology.clone()),
                secrets: Some(dirs.path().join(region)),
                ..Config::default()
            };
            nodes.push((config, address));
        }
        text.push_str("[[shards]]\nid = 1\nregion = \"home\"\nvoters = [1, 2, 3]\n");
        text.push_str("[[shards]]\nid = 2\nregion = \"away\"\nvoters = [4]\n");
        std::fs::write(&topology, text).unwrap();
        Self { nodes, _dirs: dirs }
    }

    fn launch(&self) -> Vec<Running> {
        let nodes = self.nodes.iter();
        nodes
            .map(|(config, address)| launch(config.clone(), address))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_and_comes_back() {
    let regions = Regions::new();
    let mut nodes = regions.launch();
    let nobody = AccountId::derive("home".parse().unwrap(), "t", "nobody").to_string();
    for node in &mut nodes {
        let ready = async {
            while strong(&mut node.atm, &nobody)
                .await
                .is_err_and(|status| status.code() != Code::NotFound)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }
    let opening = OpenAccountRequest {
        context: context("a"),
        home_region: "home".to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let opened = nodes[3].teller.open_account(opening).await.unwrap();
    let account = opened.into_inner().account_id;
    let served = strong(&mut nodes[3].atm, &account).await.unwrap();
    let leader = served.served_by.unwrap().node;
    let leader: usize = leader[1..].parse::<usize>().unwrap() - 1;
    let other = (leader + 1) % 3;

    // Somebody writes all the time, at another node, and never gives up a command.
    let (done, mut finished) = tokio::sync::oneshot::channel::<()>();
    let mut teller = nodes[other].teller.clone();
    let to = account.clone();
    let writing = tokio::spawn(async move {
        let (mut longest, mut written) = (Duration::ZERO, 0);
        while finished.try_recv().is_err() {
            let begun = Instant::now();
            while let Err(status) = deposit(&mut teller, &format!("w{written}"), &to, 1).await {
                assert!(begun.elapsed() < PATIENCE, "{status}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            written += 1;
            longest = longest.max(begun.elapsed());
        }
        (written, longest)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (config, address) = regions.nodes[leader].clone();
    let stopped = nodes.remove(leader);
    let begun = Instant::now();
    stopped.stop().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    both_stores_open(&config.data);
    tokio::time::sleep(Duration::from_millis(300)).await;
    done.send(()).unwrap();
    let (written, longest) = writing.await.unwrap();
    // Without handing over, the others first wait out one to two seconds of silence.
    assert!(
        longest < Duration::from_millis(1_500),
        "writes paused for {longest:?}"
    );

    let mut back = start_at(config, &address, "home").await;
    let balance = strong(&mut back.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(written));
    back.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

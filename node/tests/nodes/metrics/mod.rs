//! What monitoring sees of real nodes: metrics that say exactly what happened, and readiness.

mod documents;
mod ready;
pub mod scrape;

use std::time::Duration;

use node::config::Config;
use scrape::{PATIENCE, Scraped, ask};

use crate::cluster::{Cluster, Region};
use crate::running::{config, deposit, free_address, open, refusal, start_with, withdraw};

const TELLER: &str = "service=meridian.teller.v1.Teller,method=";

fn requests(scraped: &Scraped, method: &str, outcome: &str) -> f64 {
    let labels = format!("{TELLER}{method},via=client,outcome={outcome}");
    scraped
        .get("meridian_requests_total", &labels)
        .unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_says_exactly_what_was_done() {
    let data = tempfile::tempdir().unwrap();
    let listen = free_address();
    let mut node = start_with(Config {
        metrics_listen: Some(listen.clone()),
        ..config(data.path())
    })
    .await;
    let account = open(&mut node.teller, "open").await;
    for _ in 0..2 {
        deposit(&mut node.teller, "d1", &account, 1_000)
            .await
            .unwrap();
    }
    let again = deposit(&mut node.teller, "d1", &account, 999).await;
    assert_eq!(refusal(again), "KEY_CONFLICT");
    let too_much = withdraw(&mut node.teller, "w1", &account, 1_001).await;
    assert_eq!(refusal(too_much), "INSUFFICIENT_FUNDS");

    // An empty entry may be on its way at any moment: then another look is taken.
    let still = |s: &Scraped| {
        let records = s.value("meridian_log_records_total", "");
        let syncs = s.value("meridian_log_syncs_total", "");
        records == s.value("meridian_raft_last_index", "shard=1") + 1.0
            && s.value("meridian_raft_last_index", "shard=1")
                == s.value("meridian_raft_applied_index", "shard=1")
            && s.value("meridian_view_lag_entries", "shard=1,home=home") == 0.0
            && syncs == s.value("meridian_log_sync_seconds_count", "")
    };
    let now = Scraped::until(&listen, still).await;
    for (method, outcome, times) in [
        ("OpenAccount", "OK", 1.0),
        ("Deposit", "OK", 2.0),
        ("Deposit", "KEY_CONFLICT", 1.0),
        ("Withdraw", "OK", 0.0),
        ("Withdraw", "INSUFFICIENT_FUNDS", 1.0),
        ("Transfer", "OK", 0.0),
    ] {
        assert_eq!(requests(&now, method, outcome), times, "{method} {outcome}");
    }
    let shard = |name: &str, rest: &str| now.value(name, &format!("shard=1{rest}"));
    let seconds = |method: &str| {
        let labels = format!("{TELLER}{method}");
        now.value("meridian_request_seconds_count", &labels)
    };
    assert_eq!((seconds("Deposit"), seconds("Withdraw")), (3.0, 1.0));
    let outcomes = "meridian_writer_outcomes_total";
    assert_eq!(shard(outcomes, ",outcome=accepted"), 2.0);
    assert_eq!(shard(outcomes, ",outcome=rejected"), 1.0);
    assert_eq!(shard(outcomes, ",outcome=channel"), 0.0);
    let entries = "meridian_writer_entries_total";
    assert_eq!(shard(entries, ",content=outcomes"), 3.0);
    assert_eq!(shard("meridian_writer_batch_outcomes_count", ""), 3.0);
    assert_eq!(shard("meridian_writer_batch_outcomes_sum", ""), 3.0);
    let committed = shard(entries, ",content=outcomes") + shard(entries, ",content=none");
    assert_eq!(shard("meridian_writer_commit_seconds_count", ""), committed);
    // A founding membership and a leader's blank entry come before them.
    assert_eq!(now.value("meridian_log_records_total", ""), committed + 2.0);
    for (name, value) in [
        ("meridian_raft_leader", 1.0),
        ("meridian_raft_in_quorum", 1.0),
        ("meridian_raft_leader_changes_total", 1.0),
        ("meridian_writer_in_flight_entries", 0.0),
        ("meridian_writer_queue_length", 0.0),
        ("meridian_writer_restarts_total", 0.0),
        ("meridian_book_stopped", 0.0),
    ] {
        assert_eq!(shard(name, ""), value, "{name}");
    }
    assert_eq!(now.value("meridian_log_writable", ""), 1.0);
    let (syncs, batches) = ("meridian_log_syncs_total", "meridian_log_batches_total");
    let (syncs, batches) = (now.value(syncs, ""), now.value(batches, ""));
    assert!(committed <= syncs && syncs <= batches, "{syncs}, {batches}");
    assert!(now.value("meridian_disk_used_bytes", "store=log") > 0.0);
    assert!(now.value("meridian_disk_free_bytes", "") > 0.0);
    assert!(now.value("process_resident_memory_bytes", "") > 1e6);
    let who = format!(
        "node=home-1,region=home,version={}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(now.value("meridian_node_info", &who), 1.0);

    let (status, _, body) = ask(&listen, "GET", "/livez").await;
    assert_eq!((status, body.as_str()), (200, "live\n"));
    assert_eq!(ask(&listen, "GET", "/").await.0, 404);
    assert_eq!(ask(&listen, "POST", "/metrics").await.0, 405);
    node.stop().await;
}

/// The sum of a series over all nodes, those that do not tell it count for nothing.
#[expect(
    clippy::float_arithmetic,
    reason = "series are floating point; no money is near"
)]
async fn total(cluster: &Cluster, name: &str, labels: &str) -> f64 {
    let mut total = 0.0;
    for node in cluster.nodes() {
        let scraped = Scraped::of(&node.metrics).await;
        total += scraped.get(name, labels).unwrap_or(0.0);
    }
    total
}

async fn total_becomes(cluster: &Cluster, name: &str, labels: &str, wanted: f64) {
    let waiting = async {
        while total(cluster, name, labels).await != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{name} does not come to {wanted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn money_under_way_and_what_lags_behind_is_shown() {
    let regions = [
        ("eu-west", "Europe/Dublin", 3),
        ("us-east", "America/New_York", 1),
    ];
    let cluster = Cluster::start(&regions.map(|(name, time_zone, nodes)| Region {
        name,
        time_zone,
        nodes,
    }))
    .await;
    let (eu, us) = (cluster.at("eu-west"), cluster.at("us-east"));
    let payer = eu.open("eu-west", "payer").await;
    let payee = eu.open("us-east", "payee").await;
    eu.deposit("d", &payer, 1_000).await.unwrap();
    let (home, away) = (cluster.shard("eu-west"), cluster.shard("us-east"));
    let channel = format!("shard={home},peer={away}");
    let money = format!("{channel},currency=USD");
    let ready = Scraped::until(&eu.metrics, |s| {
        s.get("meridian_ready", "service=node") == Some(1.0)
    })
    .await;
    let clocks = ready
        .series
        .keys()
        .filter(|(name, _)| name.contains("clock_offset"));
    assert_eq!(clocks.count(), 3, "the clocks of all others are compared");
    total_becomes(
        &cluster,
        "meridian_raft_leader",
        &format!("shard={home}"),
        1.0,
    )
    .await;

    cluster.cut("us-east");
    let sent = tokio::time::timeout(
        Duration::from_secs(1),
        eu.transfer("t", &payer, &payee, 250),
    );
    assert!(sent.await.is_err(), "it cannot arrive");
    // Three replicas know of it, and only the leader tells: sums count nothing twice.
    let (items, units) = (
        "meridian_channel_items",
        "meridian_channel_money_minor_units",
    );
    total_becomes(&cluster, items, &channel, 1.0).await;
    total_becomes(&cluster, units, &money, 250.0).await;
    let of_home = format!("shard={home},home=eu-west");
    let silent = Scraped::until(&us.metrics, |s| {
        s.value("meridian_copy_silence_seconds", &of_home) > 2.0
            && s.value("meridian_view_watermark_lag_seconds", &of_home) > 2.0
    });
    // What it has goes on being served, and says how old it is.
    assert_eq!(silent.await.value("meridian_ready", "service=atm"), 1.0);

    cluster.heal("us-east");
    total_becomes(&cluster, items, &channel, 0.0).await;
    total_becomes(&cluster, units, &money, 0.0).await;
    Scraped::until(&us.metrics, |s| {
        s.value("meridian_copy_lag_entries", &of_home) == 0.0
            && s.value("meridian_copy_silence_seconds", &of_home) < 2.0
    })
    .await;
    cluster.shutdown().await;
}

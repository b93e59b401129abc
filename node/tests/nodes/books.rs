//! Three regions of real nodes: what they tell about the whole ledger.

use std::time::Duration;

use node::api::{
    admin::v1::{StatusReply, StatusRequest},
    rejection,
    teller::v1::{TrialBalanceReply, TrialBalanceRequest},
};
use tokio::time::Instant;
use tonic::{Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::cluster::{self, Cluster, Node, THREE_REGIONS, code};

async fn trial_balance(node: &Node, at_hlc: &str) -> Result<TrialBalanceReply, Status> {
    let mut request = Request::new(TrialBalanceRequest {
        at_hlc: at_hlc.to_owned(),
        ..TrialBalanceRequest::default()
    });
    request.set_timeout(Duration::from_secs(10));
    let reply = node.teller().trial_balance(request).await?;
    Ok(reply.into_inner())
}

async fn status(node: &Node) -> StatusReply {
    let asked = Instant::now();
    let reply = node.admin().status(StatusRequest {}).await.unwrap();
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(1_500), "it took {took:?}");
    reply.into_inner()
}

/// One account of 1,000 in each region, in the order of the regions.
async fn accounts(asked: &Node) -> Vec<String> {
    let mut accounts = Vec::new();
    for region in THREE_REGIONS {
        let account = asked.open(region.name, "open").await;
        asked.deposit("deposit", &account, 1_000).await.unwrap();
        accounts.push(account);
    }
    accounts
}

fn is_zero(reply: &TrialBalanceReply) -> bool {
    let zero = |units: i64| units == 0;
    reply
        .totals
        .iter()
        .all(|total| zero(total.credit_minor_units - total.debit_minor_units))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_all_regions_match_at_any_time() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let asked = cluster.at("us-east");
    let before = asked.open("us-east", "first").await;
    let before = asked.deposit("before", &before, 5).await.unwrap();
    let accounts = accounts(asked).await;
    let mut sent = Vec::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (from, to) = (&accounts[from], &accounts[to]);
        sent.push(asked.transfer("around", from, to, 300).await.unwrap());
    }
    for account in &accounts {
        asked.settles_at(account, 1_000).await;
    }

    // At the very time of its sending an item is under way: nothing can have acted on it yet.
    for node in cluster.nodes() {
        for (number, receipt) in sent.iter().enumerate() {
            let at = &receipt.time.as_ref().unwrap().hlc;
            let then = trial_balance(node, at).await.unwrap();
            assert!(then.balanced && is_zero(&then), "{then:#?}");
            let from = receipt.position.as_ref().unwrap().shard;
            let to = [2, 3, 1][number];
            let channel = then
                .channels
                .iter()
                .find(|c| (c.from_shard, c.to_shard) == (from, to))
                .expect("the channel that the item is on");
            assert!(channel.matched, "{channel:?}");
            assert_eq!((channel.items_sent, channel.items_taken), (1, 0));
            assert_eq!(channel.items_under_way, 1);
            assert_eq!(channel.under_way_minor_units, 300);
            let row = then
                .rows
                .iter()
                .find(|row| row.shard == from && row.account == format!("in-transit:{to}"))
                .expect("the house account of what is under way");
            assert_eq!(row.credit_minor_units, 300);
            assert_eq!(&then.at.as_ref().unwrap().hlc, at);
        }
    }

    // Now, everything that was acknowledged is in.
    for node in cluster.nodes() {
        let now = trial_balance(node, "").await.unwrap();
        assert!(now.balanced && is_zero(&now), "{now:#?}");
        assert_eq!(now.channels.len(), 3);
        for channel in &now.channels {
            assert_eq!((channel.items_sent, channel.items_taken), (1, 1));
            assert_eq!(channel.items_under_way, 0);
        }
        let customers = now.rows.iter().filter(|row| row.account == "customers");
        let units: i64 = customers.map(|row| row.credit_minor_units).sum();
        assert_eq!(units, 3_005);
        assert_eq!(now.served_by.as_ref().unwrap().node, node.name);
    }
    let acknowledged = asked.deposit("last", &accounts[0], 7).await.unwrap();
    let now = trial_balance(cluster.at("eu-west"), "").await.unwrap();
    let newest = &now.at.as_ref().unwrap().hlc;
    assert!(*newest >= acknowledged.time.unwrap().hlc);
    let customers = now.rows.iter().filter(|row| row.account == "customers");
    let units: i64 = customers.map(|row| row.credit_minor_units).sum();
    assert_eq!(units, 3_012);

    // Before the other regions had anything.
    let at = before.time.unwrap().hlc;
    let then = trial_balance(asked, &at).await.unwrap();
    assert!(then.balanced && then.channels.is_empty());
    let regions: Vec<_> = then.totals.iter().map(|t| t.region.as_str()).collect();
    assert_eq!(regions, ["us-east"]);
    // Before there was anything at all.
    let then = trial_balance(asked, &"0".repeat(32)).await.unwrap();
    assert!(then.balanced && then.rows.is_empty());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_none_or_yet_to_come_is_refused() {
    let cluster = Cluster::start(&THREE_REGIONS[..1]).await;
    let node = &cluster.nodes()[0];
    let account = node.open("ap-south", "open").await;
    let receipt = node.deposit("deposit", &account, 5).await.unwrap();
    let good = receipt.time.unwrap().hlc;
    // An hour ahead, about: the wall clock's nanoseconds follow four bytes of epoch.
    let later = u128::from_str_radix(&good, 16).unwrap() + (3_600_000_000_000 << 32);
    let frozen = format!("1{}", &good[1..]);
    for bad in ["now", &good[1..], &format!("{later:032x}"), &frozen] {
        let refused = trial_balance(node, bad).await;
        assert_eq!(code(refused), "INVALID_ARGUMENT", "{bad}");
    }
    assert!(trial_balance(node, &good).await.unwrap().balanced);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_is_seen_from_every_region_also_while_one_is_cut_off() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let accounts = accounts(cluster.at("eu-west")).await;
    for node in cluster.nodes() {
        // Until every region has heard of every shard.
        let seen = loop {
            let seen = status(node).await;
            if seen.lags.iter().all(|lag| lag.staleness_bound_ms.is_some()) {
                break seen;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(seen.served_by.as_ref().unwrap().node, node.name);
        let names: Vec<_> = seen.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["ap-south-1", "eu-west-1", "us-east-1"]);
        for node in &seen.nodes {
            assert!(node.reachable && !node.version.is_empty(), "{node:?}");
            assert!(node.clock_offset_ms.unwrap().abs() < 1_000, "{node:?}");
        }
        assert_eq!(seen.lags.len(), 9);
        for shard in &seen.shards {
            assert_eq!(shard.leader, format!("{}-1", shard.region));
            assert!(shard.applied_index > 0 && shard.term > 0, "{shard:?}");
            assert_eq!(shard.voters_reachable, 1);
        }
        for region in &seen.regions {
            assert_eq!(region.business_date.len(), 10);
        }
    }

    cluster.cut("ap-south");
    let asked = cluster.at("eu-west");
    let seen = status(asked).await;
    let reachable: Vec<_> = seen.nodes.iter().map(|n| n.reachable).collect();
    assert_eq!(reachable, [false, true, true]);
    let leaders: Vec<_> = seen.shards.iter().map(|s| s.leader.as_str()).collect();
    assert_eq!(leaders, ["", "eu-west-1", "us-east-1"]);
    for lag in &seen.lags {
        assert_eq!(lag.reachable, lag.region != "ap-south", "{lag:?}");
    }
    // A cut through all books cannot be made now, and says who is behind.
    let refused = trial_balance(asked, "").await.unwrap_err();
    let refused = rejection::from_status(&refused).expect("a refusal has a face");
    assert_eq!(refused.code, "CUT_NOT_CLOSED");
    assert!(refused.retryable && refused.help.contains("earlier"));
    assert!(
        refused.message.contains("shard 1 (ap-south)"),
        "{refused:?}"
    );
    assert!(!refused.message.contains("shard 2"), "{refused:?}");
    // One of before the cut can, out of the copies that are here.
    let deposit = asked.deposit("while cut", &accounts[1], 1).await.unwrap();
    assert!(deposit.time.is_some());
    let early = seen.lags.iter().map(|l| l.watermark.as_ref());
    let early = early.flatten().map(|time| time.hlc.clone()).min().unwrap();
    assert!(trial_balance(asked, &early).await.unwrap().balanced);

    cluster.heal("ap-south");
    let started = Instant::now();
    while trial_balance(asked, "").await.is_err() {
        assert!(started.elapsed() < cluster::PATIENCE);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_tells_its_health_and_reflection_lists_the_public_ones() {
    let cluster = Cluster::start(&THREE_REGIONS[..1]).await;
    let node = &cluster.nodes()[0];
    let mut health = HealthClient::new(node.channel());
    for service in [
        "",
        "meridian.teller.v1.Teller",
        "meridian.atm.v1.Atm",
        "meridian.admin.v1.Admin",
    ] {
        let service = service.to_owned();
        let watched = health.watch(HealthCheckRequest { service }).await.unwrap();
        let mut watched = watched.into_inner();
        let serves = async { while watched.message().await.unwrap().unwrap().status != 1 {} };
        let told = tokio::time::timeout(cluster::PATIENCE, serves).await;
        told.expect("every service comes to serve");
    }
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut replies = ServerReflectionClient::new(node.channel())
        .server_reflection_info(tokio_stream::iter([ask]))
        .await
        .unwrap()
        .into_inner();
    let reply = replies.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
        panic!("a list: {reply:?}");
    };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    assert!(names.iter().any(|name| name == "meridian.admin.v1.Admin"));
    assert!(
        !names.iter().any(|name| name.contains("internal")),
        "{names:?}"
    );
    drop(replies);
    cluster.shutdown().await;
}

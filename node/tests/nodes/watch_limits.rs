//! What a watcher may not ask, how many may watch, and how it ends.

use node::api::{atm::v1::WatchRequest, v1::Position};
use tonic::Status;

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD, code, eventually},
    watch::{after, of},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_watched_is_refused_before_the_first_reply() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let node = cluster.at("us-east");
    let account = node.open("us-east", "a").await;
    let nobody = ledger_domain::AccountId::derive("us-east".parse().unwrap(), "t", "x").to_string();
    let nowhere = ledger_domain::AccountId::derive("mars".parse().unwrap(), "t", "x").to_string();
    let shard = cluster.shard("us-east");
    let accounts = vec![account.clone()];
    let at = |shard, epoch| Position {
        shard,
        epoch,
        index: 1,
    };
    let from = |from: &[Position]| WatchRequest {
        from: from.to_vec(),
        ..of(&accounts)
    };
    let elsewhere = at(cluster.shard("eu-west"), 1);
    let both = WatchRequest {
        resume_token: format!("{shard}_1_1"),
        ..from(&[at(shard, 1)])
    };
    for (request, expected, says) in [
        (of(&[]), "INVALID_ARGUMENT", "0 accounts; 1 to 1000"),
        (
            of(&vec![account.clone(); 1_001]),
            "INVALID_ARGUMENT",
            "1001 accounts",
        ),
        (
            of(&["x".to_owned()]),
            "INVALID_ARGUMENT",
            "an account id reads",
        ),
        (
            of(&[account.clone(), nobody]),
            "ACCOUNT_NOT_FOUND",
            "no account has this id",
        ),
        (of(&[nowhere]), "REGION_NOT_FOUND", "`mars`"),
        (
            after(&accounts, "here"),
            "INVALID_ARGUMENT",
            "not a token of watching",
        ),
        (
            after(&accounts, &format!("{shard}_0_1")),
            "INVALID_ARGUMENT",
            "no positions of epoch 0",
        ),
        (
            from(&[at(shard, 0)]),
            "INVALID_ARGUMENT",
            "no positions of epoch 0",
        ),
        (
            from(&[elsewhere]),
            "INVALID_ARGUMENT",
            "no watched account lives in shard",
        ),
        (
            from(&[at(shard, 1), at(shard, 1)]),
            "INVALID_ARGUMENT",
            "two positions",
        ),
        (both, "INVALID_ARGUMENT", "said twice"),
    ] {
        let refused = node.atm().watch(request).await;
        let said = refused
            .as_ref()
            .err()
            .map(Status::message)
            .unwrap_or_default()
            .to_owned();
        assert_eq!(code(refused), expected, "{said}");
        assert!(said.contains(says), "{said}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_watch_and_no_more_until_one_goes_and_a_node_that_stops_says_so() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let node = cluster.at("us-east");
    let accounts = [node.open("us-east", "a").await];
    let mut watchers = Vec::new();
    for _ in 0..256 {
        let watcher = node.atm().watch(of(&accounts)).await.unwrap();
        watchers.push(watcher.into_inner());
    }
    let refused = node.atm().watch(of(&accounts)).await;
    assert_eq!(code(refused), "OVERLOADED");
    // Others are served.
    node.strong(&accounts[0]).await.unwrap();
    watchers.truncate(255);
    let mut last = None;
    eventually("there is room", async || {
        last = node.atm().watch(of(&accounts)).await.ok();
        last.is_some()
    })
    .await;
    drop(watchers);
    let mut last = last.unwrap().into_inner();
    last.message().await.unwrap().unwrap();
    let id = node.id;
    let (ended, ()) = tokio::join!(
        async {
            loop {
                match last.message().await {
                    Ok(Some(_)) => {}
                    ended => return ended,
                }
            }
        },
        cluster.stop(id)
    );
    assert_eq!(code(ended), "UNAVAILABLE");
    cluster.shutdown().await;
}

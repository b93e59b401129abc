//! What several accounts and all books were at one time: three regions, real disks and sockets.

use std::time::Duration;

use node::api::{
    atm::v1::{AtOneTime, GetBalancesReply, GetBalancesRequest, balance_outcome::Outcome},
    rejection,
    teller::v1::{TrialBalanceReply, TrialBalanceRequest, trial_balance_request::Scope},
    v1::{
        ReadMode, Receipt,
        read_mode::{Local, Mode, Otherwise},
    },
};
use tonic::{Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, eventually, usd};

async fn ask(node: &Node, request: GetBalancesRequest) -> Result<GetBalancesReply, Status> {
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_secs(8));
    Ok(node.atm().get_balances(request).await?.into_inner())
}

async fn together(
    node: &Node,
    account_ids: &[&String],
    at_one_time: AtOneTime,
) -> Result<GetBalancesReply, Status> {
    let request = GetBalancesRequest {
        account_ids: account_ids.iter().map(|id| (*id).clone()).collect(),
        mode: None,
        at_one_time: Some(at_one_time),
    };
    ask(node, request).await
}

fn within(max_staleness_ms: u64, otherwise: Otherwise) -> AtOneTime {
    AtOneTime {
        max_staleness_ms,
        otherwise: otherwise.into(),
        tokens: Vec::new(),
    }
}

fn covering(receipts: &[&Receipt]) -> AtOneTime {
    AtOneTime {
        tokens: receipts.iter().map(|it| it.token.clone()).collect(),
        ..AtOneTime::default()
    }
}

/// What they had; none of those that are refused. All are of one time.
fn posted(reply: &GetBalancesReply) -> Vec<Option<i64>> {
    let each = reply.outcomes.iter().map(|outcome| match &outcome.outcome {
        Some(Outcome::Balance(balance)) => {
            assert_eq!(balance.true_at, reply.true_at);
            Some(balance.posted.as_ref().unwrap().minor_units)
        }
        _ => None,
    });
    each.collect()
}

async fn books(node: &Node, request: TrialBalanceRequest) -> Result<TrialBalanceReply, Status> {
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_secs(8));
    Ok(node.teller().trial_balance(request).await?.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_balances_are_of_one_time_that_is_as_fresh_as_is_asked_for() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, asked) = (cluster.at("eu-west"), cluster.at("us-east"));
    let near = home.open("eu-west", "near").await;
    let far = home.open("ap-south", "far").await;
    let first = home.deposit("into near", &near, 500).await.unwrap();
    let second = home.deposit("into far", &far, 700).await.unwrap();

    let both = [&near, &far];

    // After everything that the tokens cover, wherever it was booked.
    let thrice = [&near, &far, &near];
    let told = together(asked, &thrice, covering(&[&first, &second])).await;
    let told = told.unwrap();
    assert_eq!(posted(&told), [Some(500), Some(700), Some(500)]);
    let at = told.true_at.clone().unwrap();
    assert!(at.hlc >= first.time.unwrap().hlc && at.hlc >= second.time.unwrap().hlc);
    assert_eq!(told.served_by.unwrap().node, asked.name);
    assert!(!told.held_back_by.is_empty());

    // With a shard cut off the time stands still; only what lives elsewhere is newer.
    cluster.cut("ap-south");
    let later = home.deposit("later", &near, 1).await.unwrap();
    let cut_off = cluster.shard("ap-south");
    eventually(
        "the shard that is cut off holds the time back",
        async || {
            let told = together(asked, &both, AtOneTime::default());
            let told = told.await.unwrap();
            told.held_back_by == [cut_off] && told.staleness_bound_ms > 3_500
        },
    )
    .await;
    let told = together(asked, &both, AtOneTime::default());
    assert_eq!(posted(&told.await.unwrap()), [Some(500), Some(700)]);
    let alone = together(asked, &[&near], covering(&[&later]))
        .await
        .unwrap();
    assert_eq!(posted(&alone), [Some(501)]);
    let bound = within(3_000, Otherwise::Error);
    let refused = together(asked, &both, bound).await.unwrap_err();
    let refused = rejection::from_status(&refused).unwrap();
    assert_eq!(refused.code, rejection::TOO_STALE);
    let bound = within(3_000, Otherwise::Wait);
    let met = together(asked, &[&near], bound).await.unwrap();
    assert!(met.staleness_bound_ms <= 3_000, "{met:?}");
    cluster.heal("ap-south");

    // What no copy can meet, the homes do: all that was acknowledged is in.
    for round in 0..5 {
        let key = format!("round {round}");
        home.deposit(&key, &near, 1).await.unwrap();
        home.deposit(&key, &far, 1).await.unwrap();
        let told = together(asked, &both, within(100, Otherwise::Home));
        let expected = [Some(502 + round), Some(701 + round)];
        assert_eq!(posted(&told.await.unwrap()), expected);
    }

    let nobody = "eu-west-nobody".to_owned();
    let told = together(asked, &[&nobody, &near], AtOneTime::default()).await;
    assert_eq!(posted(&told.unwrap())[0], None);
    let told = together(asked, &[&nobody], AtOneTime::default()).await;
    assert_eq!(posted(&told.unwrap()), [None]);
    let with_mode = GetBalancesRequest {
        account_ids: vec![near.clone()],
        mode: Some(ReadMode {
            mode: Some(Mode::Local(Local {})),
        }),
        at_one_time: Some(AtOneTime::default()),
    };
    assert_eq!(code(ask(asked, with_mode).await), "INVALID_ARGUMENT");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_are_summed_at_the_cut_here_and_of_a_shard_or_a_region_alone() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let asked = cluster.at("eu-west");
    let payer = asked.open("eu-west", "payer").await;
    let payee = asked.open("ap-south", "payee").await;
    asked.deposit("in", &payer, 1_000).await.unwrap();
    let sent = asked.transfer("out", &payer, &payee, 300).await.unwrap();
    asked.settles_at(&payee, 300).await;
    let (near, far) = (cluster.shard("eu-west"), cluster.shard("ap-south"));

    // When it was sent it was under way, and since then.
    let then = sent.time.unwrap();
    let of = |scope: Option<Scope>| TrialBalanceRequest {
        at_hlc: then.hlc.clone(),
        scope,
        ..TrialBalanceRequest::default()
    };
    for scope in [Scope::Shard(near), Scope::Region("eu-west".into())] {
        let told = books(asked, of(Some(scope))).await.unwrap();
        assert!(told.balanced, "{told:#?}");
        assert!(told.rows.iter().all(|row| row.shard == near));
        assert_eq!(told.totals.len(), 1);
        let [channel] = &told.channels[..] else {
            panic!("one channel: {told:#?}");
        };
        assert_eq!((channel.from_shard, channel.to_shard), (near, far));
        assert_eq!((channel.items_under_way, channel.matched), (1, true));
        assert_eq!(channel.oldest_under_way.as_ref(), Some(&then));
    }
    let elsewhere = Scope::Shard(cluster.shard("us-east"));
    let told = books(asked, of(Some(elsewhere))).await.unwrap();
    assert!(told.balanced && told.rows.is_empty() && told.channels.is_empty());
    for scope in [Scope::Shard(77), Scope::Region("mars".into())] {
        assert!(code(books(asked, of(Some(scope))).await).ends_with("_NOT_FOUND"));
    }

    // At the cut here nobody else is asked.
    let at_cut = TrialBalanceRequest {
        at_cut: true,
        ..TrialBalanceRequest::default()
    };
    eventually("the cut here has the transfer", async || {
        let told = books(asked, at_cut.clone()).await.unwrap();
        assert!(told.balanced, "{told:#?}");
        told.at.unwrap().hlc > then.hlc
    })
    .await;
    cluster.cut("ap-south");
    let told = books(asked, at_cut.clone()).await.unwrap();
    assert!(told.balanced && told.rows.len() > 2, "{told:#?}");
    assert!(told.staleness_bound_ms.is_some() && !told.held_back_by.is_empty());
    assert_eq!(
        code(books(asked, TrialBalanceRequest::default()).await),
        "CUT_NOT_CLOSED"
    );
    let both = TrialBalanceRequest {
        at_hlc: then.hlc.clone(),
        ..at_cut
    };
    assert_eq!(code(books(asked, both).await), "INVALID_ARGUMENT");
    cluster.heal("ap-south");
    assert_eq!(asked.strong(&payer).await.unwrap().posted, usd(700));
    cluster.shutdown().await;
}

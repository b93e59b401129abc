//! Holds: placed anywhere, decided at home, captured to anywhere.

use std::time::Duration;

use node::{
    api::{
        rejection,
        teller::v1::{
            BatchCommand, CaptureHoldRequest, CloseAccountRequest, GetTransactionRequest, Hold,
            HoldReply, HoldStatus, ListHoldsRequest, PlaceHoldRequest, RaiseHoldRequest,
            ReleaseHoldRequest, SubmitBatchRequest, TransactionKind, batch_command::Command,
            batch_outcome::Outcome, capture_hold_request::Payee, get_transaction_request::By,
        },
        v1::{BalanceAfter, CommandContext, Receipt, TransactionStatus},
    },
    client::{Client, Options},
};
use tonic::Status;

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, code, eventually, usd};

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

fn place(key: &str, account: &str, units: i64, life: Option<Duration>) -> PlaceHoldRequest {
    PlaceHoldRequest {
        context: context(key),
        account_id: account.to_owned(),
        amount: usd(units),
        expires_after_ms: life.map_or(0, |life| life.as_millis().try_into().unwrap()),
    }
}

fn capture(key: &str, account: &str, hold: &str, units: Option<i64>) -> CaptureHoldRequest {
    CaptureHoldRequest {
        context: context(key),
        account_id: account.to_owned(),
        hold_id: hold.to_owned(),
        amount: units.and_then(usd),
        ..Default::default()
    }
}

fn raise(key: &str, account: &str, hold: &str, units: i64) -> RaiseHoldRequest {
    RaiseHoldRequest {
        context: context(key),
        account_id: account.to_owned(),
        hold_id: hold.to_owned(),
        amount: usd(units),
    }
}

impl Node {
    async fn place(&self, request: PlaceHoldRequest) -> Result<HoldReply, Status> {
        Ok(self.teller().place_hold(request).await?.into_inner())
    }

    async fn capture(&self, request: CaptureHoldRequest) -> Result<HoldReply, Status> {
        Ok(self.teller().capture_hold(request).await?.into_inner())
    }

    async fn raise(&self, request: RaiseHoldRequest) -> Result<HoldReply, Status> {
        Ok(self.teller().raise_hold(request).await?.into_inner())
    }

    async fn holds(&self, account: &str, include_ended: bool) -> Vec<Hold> {
        let request = ListHoldsRequest {
            account_id: account.to_owned(),
            include_ended,
            ..Default::default()
        };
        let reply = self.teller().list_holds(request).await.unwrap();
        reply.into_inner().holds
    }

    /// Posted, held and available, at the very truth.
    async fn sums(&self, account: &str) -> [i64; 3] {
        let balance = self.strong(account).await.unwrap();
        [balance.posted, balance.held, balance.available].map(|it| it.unwrap().minor_units)
    }

    /// An account with something on it.
    async fn with(&self, region: &str, name: &str, units: i64) -> String {
        let account = self.open(region, name).await;
        let key = format!("{name} has");
        self.deposit(&key, &account, units).await.unwrap();
        account
    }
}

fn after(reply: &HoldReply) -> Vec<BalanceAfter> {
    reply.receipt.clone().unwrap().balances_after
}

fn receipt(reply: &HoldReply) -> Receipt {
    reply.receipt.clone().unwrap()
}

fn held(balance: &BalanceAfter) -> [i64; 3] {
    let sums = [&balance.posted, &balance.held, &balance.available];
    sums.map(|it| it.as_ref().unwrap().minor_units)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_lives_from_any_node_and_is_captured_into_another_region() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    // Asked far from home, all of it.
    let near = cluster.at("ap-south");
    let payer = near.with("eu-west", "payer", 10_000).await;
    let shop = near.open("us-east", "shop").await;

    let placed = near
        .place(place("hold", &payer, 6_000, None))
        .await
        .unwrap();
    let hold = placed.hold_id.clone();
    assert_eq!(receipt(&placed).transaction_id, hold);
    assert_eq!(held(&after(&placed)[0]), [10_000, 6_000, 4_000]);
    // The same key is the same hold.
    let again = near
        .place(place("hold", &payer, 6_000, None))
        .await
        .unwrap();
    assert_eq!((&again.hold_id, receipt(&again).duplicate), (&hold, true));
    assert_eq!(held(&after(&again)[0]), [10_000, 6_000, 4_000]);
    let another = near.place(place("hold", &payer, 6_001, None)).await;
    assert_eq!(code(another), "KEY_CONFLICT");
    let longer = Some(Duration::from_secs(60));
    let another = near.place(place("hold", &payer, 6_000, longer)).await;
    assert_eq!(code(another), "KEY_CONFLICT");

    let raised = near.raise(raise("more", &payer, &hold, 1_000)).await;
    assert_eq!(held(&after(&raised.unwrap())[0]), [10_000, 7_000, 3_000]);
    let beyond = near.raise(raise("too much", &payer, &hold, 3_001)).await;
    assert_eq!(code(beyond), "INSUFFICIENT_FUNDS");

    // A part of it, across an ocean: answered when the shop has it.
    let part = CaptureHoldRequest {
        payee: Some(Payee::ToAccountId(shop.clone())),
        ..capture("part", &payer, &hold, Some(2_500))
    };
    let captured = near.capture(part.clone()).await.unwrap();
    assert_eq!(receipt(&captured).status(), TransactionStatus::Settled);
    let balances = after(&captured);
    assert_eq!(balances.len(), 2, "each account once: {balances:?}");
    assert_eq!(held(&balances[0]), [7_500, 4_500, 3_000]);
    assert_eq!(balances[1].posted, usd(2_500));
    let again = near.capture(part).await.unwrap();
    assert!(receipt(&again).duplicate);
    assert_eq!(near.sums(&shop).await, [2_500, 0, 2_500]);
    assert_eq!(near.sums(&payer).await, [7_500, 4_500, 3_000]);

    let beyond = near
        .capture(capture("beyond", &payer, &hold, Some(4_501)))
        .await;
    let why = rejection::from_status(&beyond.unwrap_err()).unwrap();
    assert_eq!((why.code.as_str(), why.recorded), ("HOLD_EXCEEDED", true));
    assert!(why.message.contains("4500") && why.message.contains("4501"));
    let close = CloseAccountRequest {
        context: context("close"),
        account_id: payer.clone(),
        ..CloseAccountRequest::default()
    };
    let closed = near.teller().close_account(close).await;
    assert_eq!(code(closed), "HOLDS_OPEN");

    // The last, to the house: what remains is given back.
    let last = CaptureHoldRequest {
        r#final: true,
        ..capture("last", &payer, &hold, Some(500))
    };
    let captured = near.capture(last).await.unwrap();
    assert_eq!(held(&after(&captured)[0]), [7_000, 0, 7_000]);
    let late = near.capture(capture("late", &payer, &hold, Some(1))).await;
    assert_eq!(code(late), "HOLD_ENDED");

    assert_eq!(near.holds(&payer, false).await, []);
    let all = near.holds(&payer, true).await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].hold_id.as_str(), all[0].status()),
        (hold.as_str(), HoldStatus::Captured)
    );
    assert_eq!(
        (&all[0].amount, &all[0].captured),
        (&usd(7_000), &usd(3_000))
    );
    assert_eq!(all[0].held, usd(0));

    // A hold's id is a transaction's.
    let request = GetTransactionRequest {
        by: Some(By::TransactionId(hold.clone())),
    };
    let found = near.teller().get_transaction(request).await.unwrap();
    assert_eq!(found.into_inner().kind(), TransactionKind::PlaceHold);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_that_is_refused_abroad_is_posted_again_and_held_no_longer() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.at("eu-west");
    let payer = node.with("eu-west", "payer", 100).await;
    let hold = node
        .place(place("hold", &payer, 80, None))
        .await
        .unwrap()
        .hold_id;
    let closed = node.open("us-east", "closed").await;
    let close = CloseAccountRequest {
        context: context("close"),
        account_id: closed.clone(),
        ..CloseAccountRequest::default()
    };
    node.teller().close_account(close).await.unwrap();
    let paid = CaptureHoldRequest {
        payee: Some(Payee::ToAccountId(closed)),
        ..capture("paid", &payer, &hold, Some(30))
    };
    let reply = node.capture(paid).await.unwrap();
    assert_eq!(receipt(&reply).status(), TransactionStatus::Returned);
    assert_eq!(node.sums(&payer).await, [100, 50, 50]);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_outlives_its_leader_and_a_batch_has_all_that_is_done_with_holds() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let abroad = 4;
    let node = cluster.node(abroad);
    let payer = node.with("eu-west", "payer", 1_000).await;
    let hold = node
        .place(place("hold", &payer, 600, None))
        .await
        .unwrap()
        .hold_id;
    let served = node.strong(&payer).await.unwrap().served_by.unwrap().node;
    let leader = cluster.nodes().iter().find(|node| node.name == served);
    let leader = leader.expect("a node of the cluster").id;
    cluster.stop(leader).await;

    let client = Client::new(
        vec![cluster.node(abroad).address.clone()],
        Options::new("x"),
    );
    let client = client.unwrap();
    let captured = client.capture_hold(capture("part", &payer, &hold, Some(100)));
    let captured = captured.await.unwrap();
    assert_eq!(held(&after(&captured)[0]), [900, 500, 400]);

    let commands = [
        Command::RaiseHold(raise("b1", &payer, &hold, 50)),
        Command::PlaceHold(place("b2", &payer, 10, None)),
        Command::CaptureHold(capture("b3", &payer, &hold, Some(10))),
        Command::ReleaseHold(ReleaseHoldRequest {
            context: context("b4"),
            account_id: payer.clone(),
            hold_id: "tx-0".to_owned(),
        }),
    ];
    let commands = commands.map(|command| BatchCommand {
        command: Some(command),
    });
    let node = cluster.node(abroad);
    let request = SubmitBatchRequest {
        commands: commands.into(),
    };
    let reply = node.teller().submit_batch(request).await.unwrap();
    let outcomes = reply.into_inner().outcomes;
    for done in &outcomes[..3] {
        assert!(
            matches!(done.outcome, Some(Outcome::Receipt(_))),
            "{done:?}"
        );
    }
    assert!(
        matches!(&outcomes[3].outcome, Some(Outcome::Rejection(why)) if why.code == "INVALID_ARGUMENT")
    );
    assert_eq!(node.sums(&payer).await, [890, 550, 340]);
    cluster.restart(leader).await;
    let both = cluster.node(leader).holds(&payer, false).await;
    let amounts: Vec<_> = both.iter().map(|hold| hold.held.clone()).collect();
    assert_eq!(amounts, [usd(540), usd(10)]);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_expires_by_itself_once_and_is_still_found() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let node = cluster.node(1);
    let payer = node.with("eu-west", "payer", 100).await;
    let life = Some(Duration::from_millis(1_500));
    let hold = node
        .place(place("hold", &payer, 70, life))
        .await
        .unwrap()
        .hold_id;
    assert_eq!(node.sums(&payer).await, [100, 70, 30]);
    eventually("the hold expires", async || {
        node.sums(&payer).await == [100, 0, 100]
    })
    .await;
    let late = node.capture(capture("late", &payer, &hold, Some(33))).await;
    let why = rejection::from_status(&late.unwrap_err()).unwrap();
    assert_eq!((why.code.as_str(), why.recorded), ("HOLD_EXPIRED", true));
    assert!(why.message.contains("70") && why.message.contains("33"));
    assert_eq!(node.holds(&payer, false).await, []);
    let all = node.holds(&payer, true).await;
    assert_eq!((all.len(), all[0].status()), (1, HoldStatus::Expired));
    assert_eq!((&all[0].hold_id, &all[0].held), (&hold, &usd(0)));
    let too_long = Some(Duration::from_secs(31 * 86_400 + 1));
    let refused = node.place(place("for ever", &payer, 1, too_long)).await;
    assert_eq!(code(refused), "INVALID_ARGUMENT");
    cluster.stop_and_verify().await;
}

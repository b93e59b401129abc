//! Frozen accounts: over real disks and sockets, between regions, asked at home and abroad.

use std::time::Duration;

use node::api::{
    teller::v1::{
        CloseAccountRequest, Freeze, FreezeAccountRequest, FreezeArriving, FreezeBlocks,
        FreezeType, GetAccountRequest, TrialBalanceRequest, UnfreezeAccountRequest,
    },
    v1::{CommandContext, Receipt, TransactionStatus},
};
use node::config::Limits;
use replication::world::{Clock as _, SystemClock};
use tonic::Status;

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, code, eventually, usd};

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        reason: format!("because of {key}"),
        ..Default::default()
    })
}

fn now_ms() -> i64 {
    i64::try_from(SystemClock.wall_nanos() / 1_000_000).unwrap()
}

struct Stop {
    kind: FreezeType,
    blocks: FreezeBlocks,
    arriving: FreezeArriving,
    until_unix_ms: i64,
}

const ORDER: Stop = Stop {
    kind: FreezeType::CourtOrder,
    blocks: FreezeBlocks::All,
    arriving: FreezeArriving::Returns,
    until_unix_ms: 0,
};

async fn freeze(node: &Node, key: &str, account: &str, stop: Stop) -> Result<Receipt, Status> {
    let request = FreezeAccountRequest {
        context: context(key),
        account_id: account.to_owned(),
        r#type: stop.kind.into(),
        blocks: stop.blocks.into(),
        arriving: stop.arriving.into(),
        until_unix_ms: stop.until_unix_ms,
    };
    let reply = node.teller().freeze_account(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn unfreeze(
    node: &Node,
    key: &str,
    account: &str,
    kind: FreezeType,
) -> Result<Receipt, Status> {
    let request = UnfreezeAccountRequest {
        context: context(key),
        account_id: account.to_owned(),
        r#type: kind.into(),
    };
    let reply = node.teller().unfreeze_account(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn freezes(node: &Node, account: &str) -> Vec<Freeze> {
    let account_id = account.to_owned();
    let reply = node
        .teller()
        .get_account(GetAccountRequest {
            account_id,
            as_of: None,
        })
        .await;
    reply.unwrap().into_inner().account.unwrap().freezes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_account_moves_only_as_its_freezes_allow_and_thaws_by_itself() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let account = cluster.node(1).open("eu-west", "frozen").await;
    cluster.node(2).deposit("d", &account, 100).await.unwrap();
    // Node 2 is at home; the others send it there.
    for (n, node) in [1, 2, 3].map(|id| cluster.node(id)).into_iter().enumerate() {
        let key = |what: &str| format!("{what}-{n}");
        let debits = Stop {
            blocks: FreezeBlocks::Debits,
            ..ORDER
        };
        let frozen = freeze(node, &key("f"), &account, debits).await.unwrap();
        assert_eq!(frozen.balances_after[0].posted, usd(100));
        assert_eq!(
            code(node.withdraw(&key("w"), &account, 1).await),
            "ACCOUNT_FROZEN"
        );
        node.deposit(&key("d"), &account, 1).await.unwrap();
        let credits = Stop {
            kind: FreezeType::Fraud,
            blocks: FreezeBlocks::Credits,
            ..ORDER
        };
        freeze(node, &key("g"), &account, credits).await.unwrap();
        assert_eq!(
            code(node.deposit(&key("e"), &account, 1).await),
            "ACCOUNT_FROZEN"
        );
        let shown = freezes(node, &account).await;
        let shown: Vec<_> = shown
            .iter()
            .map(|it| (it.r#type(), it.reason.as_str()))
            .collect();
        let reasons = [key("f"), key("g")].map(|key| format!("because of {key}"));
        let expected = [
            (FreezeType::CourtOrder, reasons[0].as_str()),
            (FreezeType::Fraud, reasons[1].as_str()),
        ];
        assert_eq!(shown, expected);
        let close = CloseAccountRequest {
            context: context(&key("c")),
            account_id: account.clone(),
            ..CloseAccountRequest::default()
        };
        assert_eq!(
            code(node.teller().close_account(close).await),
            "ACCOUNT_FROZEN"
        );

        unfreeze(node, &key("u"), &account, FreezeType::CourtOrder)
            .await
            .unwrap();
        let again = unfreeze(node, &key("v"), &account, FreezeType::CourtOrder).await;
        assert_eq!(code(again), "NOT_FROZEN");
        node.withdraw(&key("x"), &account, 1).await.unwrap();

        // By itself, by the time of the log.
        let past = Stop {
            until_unix_ms: now_ms() - 60_000,
            ..ORDER
        };
        assert_eq!(
            code(freeze(node, &key("p"), &account, past).await),
            "FREEZE_OVER"
        );
        let soon = now_ms() + 1_500;
        let brief = Stop {
            kind: FreezeType::Fraud,
            until_unix_ms: soon,
            ..ORDER
        };
        freeze(node, &key("b"), &account, brief).await.unwrap();
        assert_eq!(
            code(node.withdraw(&key("y"), &account, 1).await),
            "ACCOUNT_FROZEN"
        );
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        assert_eq!(freezes(node, &account).await, []);
        node.withdraw(&key("z"), &account, 1).await.unwrap();
        node.deposit(&key("a"), &account, 1).await.unwrap();
        // What is over is not lifted.
        let over = unfreeze(node, &key("o"), &account, FreezeType::Fraud).await;
        assert_eq!(code(over), "NOT_FROZEN");
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_at_a_frozen_account_goes_back_or_to_suspense_as_the_freeze_says() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let payer = abroad.open("ap-south", "payer").await;
    let payee = home.open("eu-west", "payee").await;
    abroad.deposit("d", &payer, 100).await.unwrap();
    let credits = Stop {
        blocks: FreezeBlocks::Credits,
        ..ORDER
    };
    freeze(home, "returns", &payee, credits).await.unwrap();
    let back = abroad.transfer("t1", &payer, &payee, 10).await.unwrap();
    assert_eq!(back.status(), TransactionStatus::Returned);
    assert_eq!(back.rejection.unwrap().code, "ACCOUNT_FROZEN");
    assert_eq!(abroad.strong(&payer).await.unwrap().posted, usd(100));

    // Of two freezes the one that keeps outweighs the one that sends back.
    let keeps = Stop {
        kind: FreezeType::Deceased,
        blocks: FreezeBlocks::Credits,
        arriving: FreezeArriving::Suspense,
        until_unix_ms: 0,
    };
    freeze(home, "keeps", &payee, keeps).await.unwrap();
    let kept = abroad.transfer("t2", &payer, &payee, 10).await.unwrap();
    assert_eq!(kept.status(), TransactionStatus::Settled);
    assert_eq!(abroad.strong(&payer).await.unwrap().posted, usd(90));
    assert_eq!(home.strong(&payee).await.unwrap().posted, usd(0));
    let books = home
        .teller()
        .trial_balance(TrialBalanceRequest::default())
        .await;
    let books = books.unwrap().into_inner();
    assert!(books.balanced, "{books:?}");
    let suspense = books.rows.iter().find(|row| row.account == "suspense");
    assert_eq!(suspense.map(|row| row.credit_minor_units), Some(10));
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_outlive_a_snapshot_and_the_leader() {
    // Snapshots all the time, which the verifier compares with the log in the end.
    let limits = Limits {
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        snapshot_entries: 10,
        ..Limits::default()
    };
    let mut cluster = Cluster::start_limited(&HOME_AND_ABROAD, 0, |_| {}, limits).await;
    let account = cluster.node(4).open("eu-west", "frozen").await;
    freeze(cluster.node(4), "f", &account, ORDER).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for id in [1, 2, 3] {
        cluster.stop(id).await;
        eventually("the shard has a leader", async || {
            let told = cluster.node(4).strong(&account).await;
            told.is_ok()
        })
        .await;
        let refused = cluster
            .node(4)
            .deposit(&format!("d{id}"), &account, 1)
            .await;
        assert_eq!(code(refused), "ACCOUNT_FROZEN");
        cluster.restart(id).await;
    }
    assert_eq!(freezes(cluster.node(4), &account).await.len(), 1);
    cluster.stop_and_verify().await;
}

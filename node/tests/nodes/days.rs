//! Business days: closed in every shard of a region, once; what is frozen stays, and what is booked
//! into a closed day says so. Asked at home and abroad, and on the command line.

use std::process::{Command, Output};

use node::api::{
    CALLER,
    admin::v1::StatusRequest,
    atm::v1::GetStatementRequest,
    teller::v1::{
        CloseDayReply, CloseDayRequest, DepositRequest, GetTransactionRequest, ShardDay,
        ShowDayRequest, TransactionKind, get_transaction_request::By,
    },
    v1::{CommandContext, Receipt},
};
use node::config::Limits;
use replication::topology::{Shard, Topology};
use serde_json::Value;
use tonic::{Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, usd};

const CLERK: &str = "clerk";
const HOME: &str = "eu-west";

/// Three regions, and a second shard at home.
async fn cluster() -> Cluster {
    let second = |topology: &mut Topology| {
        let first = topology.shards.iter().find(|it| it.region.as_str() == HOME);
        let second = Shard {
            id: 4,
            ..first.expect("it has one").clone()
        };
        topology.shards.push(second);
    };
    let limits = Limits {
        snapshot_entries: 1,
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        ..Limits::default()
    };
    Cluster::start_configured(&THREE_REGIONS, (0, second), limits, |_, config| {
        config.privileged.insert(CLERK.to_owned());
    })
    .await
}

fn by<T>(caller: &str, body: T) -> Request<T> {
    let mut request = Request::new(body);
    let metadata = request.metadata_mut();
    metadata.insert(CALLER, caller.parse().unwrap());
    request
}

async fn close(node: &Node, caller: &str, key: &str, date: &str) -> Result<CloseDayReply, Status> {
    let request = CloseDayRequest {
        context: Some(CommandContext {
            idempotency_key: key.to_owned(),
            ..CommandContext::default()
        }),
        region: HOME.to_owned(),
        date: date.to_owned(),
        shard: None,
    };
    let reply = node.teller().close_day(by(caller, request)).await?;
    Ok(reply.into_inner())
}

/// The business date of the region, and its shards' last or named day.
async fn show(node: &Node, date: &str) -> (String, Vec<ShardDay>) {
    let request = ShowDayRequest {
        region: HOME.to_owned(),
        date: date.to_owned(),
        shard: None,
    };
    let reply = node.teller().show_day(request).await.unwrap().into_inner();
    (reply.business_date, reply.shards)
}

async fn deposit_on(
    node: &Node,
    key: &str,
    account: &str,
    date: &str,
    into_closed_day: bool,
) -> Result<Receipt, Status> {
    let request = DepositRequest {
        context: Some(CommandContext {
            idempotency_key: key.to_owned(),
            effective_date: date.to_owned(),
            into_closed_day,
            ..CommandContext::default()
        }),
        account_id: account.to_owned(),
        amount: usd(7),
        ..DepositRequest::default()
    };
    let reply = node.teller().deposit(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

/// Which of the shards refused, and how.
fn refusals(reply: &CloseDayReply) -> Vec<(u32, String)> {
    let days = reply.shards.iter();
    let refused = days.filter_map(|day| Some((day.shard, day.rejection.as_ref()?.code.clone())));
    refused.collect()
}

fn meridian(node: &Node, arguments: &[&str]) -> Output {
    let connection = ["--node", &node.address, "--as", CLERK, "--json"];
    let meridian = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(arguments)
        .args(connection)
        .output();
    meridian.unwrap()
}

fn customers(day: &ShardDay) -> i64 {
    let rows = &day.close.as_ref().expect("it is closed").rows;
    let customers = rows.iter().filter(|row| row.account == "customers");
    customers
        .map(|row| row.credit_minor_units - row.debit_minor_units)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_closed_once_in_every_shard_and_what_is_frozen_stays() {
    let mut cluster = cluster().await;
    let abroad = cluster.at("us-east");
    let mut accounts = Vec::new();
    for n in 0..8 {
        let account = abroad.open(HOME, &format!("a{n}")).await;
        abroad
            .deposit(&format!("d{n}"), &account, 100)
            .await
            .unwrap();
        accounts.push(account);
    }
    let (today, days) = show(abroad, "").await;
    assert!(days.iter().all(|day| day.close.is_none()), "{days:?}");

    let refused = close(abroad, "teller", "n", &today).await.unwrap();
    let nobody = |shard| (shard, "NOT_PRIVILEGED".to_owned());
    assert_eq!(refusals(&refused), [nobody(2), nobody(4)]);
    let early = close(abroad, CLERK, "e", "2999-01-01").await.unwrap();
    let early: Vec<_> = refusals(&early).into_iter().map(|(_, why)| why).collect();
    assert_eq!(early, ["DATE_IN_FUTURE", "DATE_IN_FUTURE"]);

    let closed = close(abroad, CLERK, "c", &today).await.unwrap();
    assert!(closed.closed, "{closed:?}");
    assert_eq!(refusals(&closed), []);
    assert!(closed.shards.iter().all(|day| !day.closed_before));
    assert_eq!(closed.shards.iter().map(customers).sum::<i64>(), 800);
    for day in &closed.shards {
        let rows = &day.close.as_ref().unwrap().rows;
        let net: i64 = rows
            .iter()
            .map(|row| row.credit_minor_units - row.debit_minor_units)
            .sum();
        assert_eq!(net, 0, "a book sums to zero");
        let kinds: Vec<_> = rows.iter().map(|row| row.r#type.as_str()).collect();
        assert_eq!(kinds, ["liability", "asset"]);
        assert_eq!(day.closed_through, today);
        assert!(day.business_date > today);
    }
    // What is booked now does not change it, and asked again it is the same, at any node.
    let receipt = abroad.deposit("after", &accounts[0], 5).await.unwrap();
    assert!(!receipt.into_closed_day);
    for (n, node) in cluster.nodes().iter().enumerate() {
        let (business_date, shown) = show(node, "").await;
        assert!(business_date > today);
        assert_eq!(
            shown.iter().map(|it| &it.close).collect::<Vec<_>>(),
            closed.shards.iter().map(|it| &it.close).collect::<Vec<_>>()
        );
        let again = close(node, CLERK, &format!("again-{n}"), &today).await;
        let again = again.unwrap();
        assert!(again.closed && again.shards.iter().all(|day| day.closed_before));
        let repeated = close(node, CLERK, "c", &today).await.unwrap();
        assert_eq!(repeated.shards, closed.shards, "the same key");
        // The days before were closed with it.
        let (_, before) = show(node, "2020-02-02").await;
        assert_eq!(before[0].close, closed.shards[0].close);
    }
    // Tomorrow has not begun.
    let tomorrow = show(abroad, "").await.0;
    let early = close(abroad, CLERK, "t", &tomorrow).await.unwrap();
    assert!(!early.closed, "{early:?}");
    let status = abroad.admin().status(StatusRequest {}).await.unwrap();
    let regions = status.into_inner().regions;
    let region = regions.iter().find(|region| region.name == HOME).unwrap();
    assert_eq!(region.business_date, tomorrow);
    let close_of = &closed.shards[0].close.as_ref().unwrap();
    let request = GetTransactionRequest {
        by: Some(By::TransactionId(close_of.transaction_id.clone())),
    };
    let found = abroad.teller().get_transaction(request).await.unwrap();
    let found = found.into_inner();
    assert_eq!(found.kind(), TransactionKind::CloseDay);
    assert_eq!((found.actor.as_str(), found.privileged), (CLERK, true));

    // Out of a snapshot as well.
    let home = cluster.at(HOME).id;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    cluster
        .at(HOME)
        .deposit("more", &accounts[1], 5)
        .await
        .unwrap();
    cluster.stop(home).await;
    cluster.restart(home).await;
    let (_, shown) = show(cluster.at("ap-south"), &today).await;
    assert_eq!(shown[1].close, closed.shards[1].close);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_booked_into_a_closed_day_asks_for_it_and_says_so() {
    let cluster = cluster().await;
    let node = cluster.at("ap-south");
    let account = node.open(HOME, "a").await;
    let (today, _) = show(node, "").await;
    let open = deposit_on(node, "o", &account, &today, true).await.unwrap();
    assert!(!open.into_closed_day, "it is open");
    close(node, CLERK, "c", &today).await.unwrap();

    let refused = deposit_on(node, "r", &account, &today, false).await;
    assert_eq!(code(refused), "DAY_CLOSED");
    let done = deposit_on(node, "i", &account, &today, true).await.unwrap();
    assert!(done.into_closed_day);
    let conflict = deposit_on(node, "i", &account, &today, false).await;
    assert_eq!(code(conflict), "KEY_CONFLICT", "it is part of the body");
    let plain = deposit_on(node, "p", &account, "", false).await.unwrap();
    assert!(!plain.into_closed_day);

    let request = GetTransactionRequest {
        by: Some(By::TransactionId(done.transaction_id)),
    };
    let found = node.teller().get_transaction(request).await.unwrap();
    let found = found.into_inner();
    assert_eq!((found.effective_date, found.into_closed_day), (today, true));
    let request = GetStatementRequest {
        account_id: account.clone(),
        ..GetStatementRequest::default()
    };
    let lines = cluster.at(HOME).atm().get_statement(request).await.unwrap();
    let lines = lines.into_inner().lines;
    let flags: Vec<_> = lines.iter().map(|line| line.into_closed_day).collect();
    assert_eq!(flags, [false, true, false]);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_closes_the_business_date_and_shows_it() {
    let cluster = cluster().await;
    let node = cluster.at("us-east");
    let account = node.open(HOME, "a").await;
    node.deposit("d", &account, 100).await.unwrap();
    let answer = |output: &Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let would = meridian(node, &["day", "close", HOME, "--dry-run"]);
    assert_eq!(would.status.code(), Some(0), "{would:?}");
    let (today, days) = show(node, "").await;
    assert!(days.iter().all(|day| day.close.is_none()), "{days:?}");

    let closed = meridian(node, &["day", "close", HOME]);
    assert_eq!(closed.status.code(), Some(0), "{closed:?}");
    let closed = answer(&closed);
    assert_eq!(
        (&closed["date"], &closed["closed"]),
        (&today.clone().into(), &true.into())
    );
    let again = meridian(node, &["day", "close", HOME, "--date", &today]);
    assert_eq!(answer(&again)["shards"][1]["closed_before"], true);
    // The business date is tomorrow now, which cannot be closed yet.
    let early = meridian(node, &["day", "close", HOME]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    let shown = answer(&meridian(node, &["day", "show", HOME, "--date", &today]));
    assert_eq!(shown["shards"][0]["close"], closed["shards"][0]["close"]);
    let nowhere = meridian(node, &["day", "show", "nowhere"]);
    assert_ne!(nowhere.status.code(), Some(0), "{nowhere:?}");
    cluster.stop_and_verify().await;
}

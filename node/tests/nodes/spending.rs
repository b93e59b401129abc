//! Spending limits: set by whoever is listed, binding a channel wherever it is asked, counted by
//! business day, kept over restarts; and on the command line.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use futures_util::{StreamExt as _, stream};
use ledger_domain::{
    AccountId, Book, Date, Event, SpendingLimit, SpendingLimits, Spent, state::State as _,
};
use node::api::{
    CALLER, rejection,
    teller::v1::{
        BatchCommand, CloseDayRequest, GetAccountRequest, GetTransactionRequest, PlaceHoldRequest,
        SetSpendingLimitRequest, SubmitBatchRequest, SubmitGroupRequest, TransactionKind,
        TransferRequest, WithdrawRequest, batch_command::Command as C, batch_outcome::Outcome,
        get_transaction_request::By,
    },
    v1::{Channel, CommandContext, Receipt, Spending},
};
use node::config::Limits;
use node::verify::{Options, Part, verify};
use serde_json::Value;
use tonic::{Code, Request, Status};

use crate::{
    cluster::{Cluster, Node, THREE_REGIONS, code, usd},
    stopped::{self, Store},
};

const CLERK: &str = "clerk";
const HOME: &str = "eu-west";

async fn cluster() -> Cluster {
    let limits = Limits {
        snapshot_entries: 1,
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        ..Limits::default()
    };
    let shaped = (0, |_: &mut _| {});
    Cluster::start_configured(&THREE_REGIONS, shaped, limits, |_, config| {
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

fn context(key: &str, channel: Channel) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        channel: channel.into(),
        ..CommandContext::default()
    })
}

fn limits(
    key: &str,
    account: &str,
    channel: Channel,
    (at_once, a_day): (Option<i64>, Option<i64>),
) -> SetSpendingLimitRequest {
    SetSpendingLimitRequest {
        context: context(key, Channel::Teller),
        account_id: account.to_owned(),
        channel: channel.into(),
        per_transaction_minor_units: at_once,
        per_day_minor_units: a_day,
    }
}

async fn limit(
    node: &Node,
    caller: &str,
    request: SetSpendingLimitRequest,
) -> Result<Receipt, Status> {
    let reply = node
        .teller()
        .set_spending_limit(by(caller, request))
        .await?;
    Ok(reply.into_inner().receipt.unwrap())
}

fn withdrawal(key: &str, account: &str, channel: Channel, units: i64) -> WithdrawRequest {
    WithdrawRequest {
        context: context(key, channel),
        account_id: account.to_owned(),
        amount: usd(units),
        ..WithdrawRequest::default()
    }
}

async fn withdraw(
    node: &Node,
    key: &str,
    account: &str,
    channel: Channel,
    units: i64,
) -> Result<Receipt, Status> {
    let request = withdrawal(key, account, channel, units);
    let reply = node.teller().withdraw(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn spending(node: &Node, account: &str) -> Vec<Spending> {
    let account_id = account.to_owned();
    let request = GetAccountRequest {
        account_id,
        as_of: None,
    };
    let reply = node.teller().get_account(request).await.unwrap();
    reply.into_inner().account.unwrap().spending
}

/// That of the card, without the date.
async fn by_card(node: &Node, account: &str) -> Spending {
    let all = spending(node, account).await;
    let card = all.into_iter().find(|it| it.channel() == Channel::Card);
    Spending {
        business_date: String::new(),
        ..card.unwrap()
    }
}

fn card(most: (Option<i64>, Option<i64>), spent: i64, left: Option<i64>) -> Spending {
    Spending {
        channel: Channel::Card.into(),
        per_transaction: most.0.and_then(usd),
        per_day: most.1.and_then(usd),
        business_date: String::new(),
        spent: usd(spent),
        left: left.and_then(usd),
        in_excess: most.1.is_some_and(|most| spent > most),
    }
}

async fn close_day(node: &Node, key: &str) {
    let date = spending_date(node, key).await;
    let request = CloseDayRequest {
        context: context(key, Channel::Teller),
        region: HOME.to_owned(),
        date,
        ..CloseDayRequest::default()
    };
    let reply = node.teller().close_day(by(CLERK, request)).await.unwrap();
    assert!(reply.into_inner().closed);
}

/// The business date as whoever sets a limit is told it.
async fn spending_date(node: &Node, key: &str) -> String {
    let account = node.open(HOME, &format!("{key} date")).await;
    let request = limits(
        &format!("{key} limit"),
        &account,
        Channel::Atm,
        (None, None),
    );
    let receipt = limit(node, CLERK, request).await.unwrap();
    receipt.spending.unwrap().business_date
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_binds_its_channel_wherever_it_is_asked() {
    let mut cluster = cluster().await;
    let account = cluster.at("ap-south").open(HOME, "a").await;
    let payee = cluster.at("ap-south").open("us-east", "b").await;
    cluster
        .at(HOME)
        .deposit("d", &account, 10_000)
        .await
        .unwrap();
    for region in ["ap-south", HOME] {
        let node = cluster.at(region);
        let key = |what: &str| format!("{what} {region}");
        let most = (Some(50), Some(100));
        let request = limits(&key("l"), &account, Channel::Card, most);
        let refused = limit(node, "teller", request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert_eq!(code::<()>(Err(refused)), "NOT_PRIVILEGED");
        let before = by_card_or_none(node, &account).await;
        let set = limit(node, CLERK, request.clone()).await.unwrap();
        let again = limit(node, CLERK, request.clone()).await.unwrap();
        assert!(again.duplicate && again.spending == set.spending);
        let told = set.spending.unwrap();
        assert_eq!(told.per_day, usd(100));
        assert_eq!(told.spent, before.map_or(usd(0), |it| it.spent));
        let other = SetSpendingLimitRequest {
            per_day_minor_units: Some(101),
            ..request
        };
        assert_eq!(code(limit(node, CLERK, other).await), "KEY_CONFLICT");
        let request = GetTransactionRequest {
            by: Some(By::TransactionId(set.transaction_id)),
        };
        let found = node.teller().get_transaction(request).await.unwrap();
        let found = found.into_inner();
        assert_eq!(found.kind(), TransactionKind::SetSpendingLimit);
        assert!(found.privileged);

        let refused = withdraw(node, &key("w1"), &account, Channel::Card, 51).await;
        let refused = rejection::from_status(&refused.unwrap_err()).unwrap();
        assert_eq!(refused.code, "TRANSACTION_LIMIT_EXCEEDED");
        assert!(refused.recorded && refused.message.contains("50 minor units"));
        let online = withdraw(node, &key("w2"), &account, Channel::Online, 51).await;
        online.unwrap();
    }
    // Spent by a withdrawal, a transfer abroad and a hold; asked for anywhere.
    let node = cluster.at("us-east");
    withdraw(node, "w", &account, Channel::Card, 30)
        .await
        .unwrap();
    let request = TransferRequest {
        context: context("t", Channel::Card),
        from_account_id: account.clone(),
        to_account_id: payee.clone(),
        amount: usd(30),
        ..TransferRequest::default()
    };
    node.teller().transfer(request).await.unwrap();
    let request = PlaceHoldRequest {
        context: context("h", Channel::Card),
        account_id: account.clone(),
        amount: usd(30),
        ..PlaceHoldRequest::default()
    };
    node.teller().place_hold(request).await.unwrap();
    let most = (Some(50), Some(100));
    assert_eq!(by_card(node, &account).await, card(most, 90, Some(10)));
    let refused = withdraw(node, "x", &account, Channel::Card, 11).await;
    let refused = rejection::from_status(&refused.unwrap_err()).unwrap();
    assert_eq!(refused.code, "DAILY_LIMIT_EXCEEDED");
    assert!(refused.retryable, "tomorrow");
    let online = spending(node, &account).await;
    let online = online.iter().find(|it| it.channel() == Channel::Online);
    let online = online.unwrap();
    assert_eq!((&online.spent, &online.left), (&usd(102), &None));

    // Out of a snapshot as well.
    let home = cluster.at(HOME).id;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    cluster.at(HOME).deposit("more", &account, 5).await.unwrap();
    cluster.stop(home).await;
    cluster.restart(home).await;
    let node = cluster.at("ap-south");
    assert_eq!(by_card(node, &account).await, card(most, 90, Some(10)));
    let refused = withdraw(node, "y", &account, Channel::Card, 11).await;
    assert_eq!(code(refused), "DAILY_LIMIT_EXCEEDED");
    cluster.stop_and_verify().await;
}

async fn by_card_or_none(node: &Node, account: &str) -> Option<Spending> {
    let all = spending(node, account).await;
    all.into_iter().find(|it| it.channel() == Channel::Card)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_below_what_was_spent_is_in_excess_until_the_day_is_over() {
    let cluster = cluster().await;
    let node = cluster.at("ap-south");
    let account = node.open(HOME, "a").await;
    node.deposit("d", &account, 1_000).await.unwrap();
    withdraw(node, "w", &account, Channel::Card, 80)
        .await
        .unwrap();
    let most = (None, Some(50));
    let request = limits("l", &account, Channel::Card, most);
    let mut rehearsed = request.clone();
    rehearsed.context.as_mut().unwrap().dry_run = true;
    let would = limit(node, CLERK, rehearsed).await.unwrap();
    let set = limit(node, CLERK, request).await.unwrap();
    assert_eq!(would.spending, set.spending);
    let told = set.spending.unwrap();
    assert!(told.in_excess, "{told:?}");
    assert_eq!((told.spent, told.left), (usd(80), usd(0)));
    assert_eq!(
        by_card(cluster.at(HOME), &account).await,
        card(most, 80, Some(0))
    );
    let refused = withdraw(node, "x", &account, Channel::Card, 1).await;
    assert_eq!(code(refused), "DAILY_LIMIT_EXCEEDED");
    let forced = WithdrawRequest {
        context: context("f", Channel::Card).map(|it| CommandContext { forced: true, ..it }),
        ..withdrawal("f", &account, Channel::Card, 5)
    };
    node.teller().withdraw(by(CLERK, forced)).await.unwrap();
    assert_eq!(by_card(node, &account).await, card(most, 80, Some(0)));

    close_day(node, "c").await;
    assert_eq!(by_card(node, &account).await, card(most, 0, Some(50)));
    withdraw(node, "n", &account, Channel::Card, 50)
        .await
        .unwrap();
    let refused = withdraw(node, "o", &account, Channel::Card, 1).await;
    assert_eq!(code(refused), "DAILY_LIMIT_EXCEEDED");
    cluster.stop_and_verify().await;
}

fn accepted(outcome: Option<Outcome>) -> Result<Receipt, String> {
    match outcome.expect("it has one") {
        Outcome::Receipt(receipt) => Ok(receipt),
        Outcome::Rejection(why) => Err(why.code),
        Outcome::Group(_) => panic!("a group, where none was sent"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_and_met_in_batches_streams_and_groups() {
    let cluster = cluster().await;
    let node = cluster.at("us-east");
    let account = node.open(HOME, "a").await;
    node.deposit("d", &account, 1_000).await.unwrap();
    let command = |command: C| BatchCommand {
        command: Some(command),
    };
    let set = |key: &str, a_day| {
        command(C::SetSpendingLimit(limits(
            key,
            &account,
            Channel::Online,
            (None, Some(a_day)),
        )))
    };
    let spend =
        |key: &str, channel, units| command(C::Withdraw(withdrawal(key, &account, channel, units)));
    let request = SubmitBatchRequest {
        commands: vec![set("b", 10)],
    };
    let reply = node
        .teller()
        .submit_batch(by(CLERK, request))
        .await
        .unwrap();
    let [outcome] = reply.into_inner().outcomes.try_into().unwrap();
    let receipt = accepted(outcome.outcome).unwrap();
    assert_eq!(receipt.spending.unwrap().left, usd(10));

    let commands = [
        spend("s1", Channel::Online, 10),
        spend("s2", Channel::Online, 1),
        set("s3", 11),
        spend("s4", Channel::Online, 1),
    ];
    let request = by(CLERK, stream::iter(commands));
    let replies = node.teller().submit_stream(request).await.unwrap();
    let told = replies.into_inner().map(|reply| {
        let outcome = reply.unwrap().outcome.unwrap();
        accepted(outcome.outcome).map(drop)
    });
    let told: Vec<_> = told.collect().await;
    let daily = || Err("DAILY_LIMIT_EXCEEDED".to_owned());
    assert_eq!(told, [Ok(()), daily(), Ok(()), Ok(())]);

    // The group's channel is that of all its commands; refused, it has spent nothing.
    let group = |key: &str, commands| SubmitGroupRequest {
        context: context(key, Channel::Online),
        commands,
    };
    let commands = vec![
        set("", 31),
        spend("", Channel::Unspecified, 20),
        spend("", Channel::Unspecified, 1),
    ];
    let request = by(CLERK, group("g", commands.clone()));
    let refused = node.teller().submit_group(request).await;
    let refused = rejection::from_status(&refused.unwrap_err()).unwrap();
    assert_eq!(
        (refused.code.as_str(), refused.group_item),
        ("DAILY_LIMIT_EXCEEDED", 3)
    );
    let two = group("h", commands[..2].to_vec());
    let done = node.teller().submit_group(by(CLERK, two)).await.unwrap();
    let receipts = done.into_inner().receipts;
    assert_eq!(receipts[0].spending.as_ref().unwrap().spent, usd(11));
    let [online] = spending(node, &account).await.try_into().unwrap();
    assert_eq!((online.spent, online.left), (usd(31), usd(0)));
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_limit_is_refused_before_anything_is_recorded() {
    let cluster = cluster().await;
    let node = cluster.at(HOME);
    let account = node.open(HOME, "a").await;
    for (n, request) in [
        limits("1", &account, Channel::Unspecified, (None, Some(1))),
        limits("2", &account, Channel::System, (None, Some(1))),
        limits("3", &account, Channel::Card, (Some(-1), None)),
        limits("4", &account, Channel::Card, (None, Some(-1))),
        limits("5", "nobody", Channel::Card, (None, Some(1))),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = limit(node, CLERK, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{n}: {refused:?}");
    }
    assert_eq!(spending(node, &account).await, []);
    cluster.shutdown().await;
}

/// What `meridian verify` says of a copy of a directory after somebody had their hands in it, of the
/// book and the snapshot of the home shard.
fn found(dir: &Path, tamper: impl FnOnce(&Store)) -> Vec<(Option<u64>, Part, String)> {
    let copy = tempfile::tempdir().unwrap();
    stopped::copy_all(dir, copy.path());
    {
        let store = Store::open(copy.path());
        tamper(&store);
        store.chain_anew(stopped::HOME);
    }
    let report = verify(copy.path(), Options::default(), &|_| {}).unwrap();
    let findings = report.findings.into_iter();
    findings
        .filter(|it| matches!(it.part, Part::Book | Part::Snapshot))
        .map(|it| (it.index, it.part, it.what))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_sums_again_what_was_spent_and_names_what_was_beyond_a_limit() {
    let cluster = cluster().await;
    let node = cluster.at(HOME);
    let account = node.open(HOME, "a").await;
    node.deposit("d", &account, 1_000).await.unwrap();
    withdraw(node, "before", &account, Channel::Card, 30)
        .await
        .unwrap();
    let request = limits("l", &account, Channel::Card, (Some(60), Some(100)));
    limit(node, CLERK, request).await.unwrap();
    withdraw(node, "after", &account, Channel::Card, 50)
        .await
        .unwrap();
    let dir = stopped::keep(cluster, HOME).await;
    let set = |store: &Store, change: fn(&mut SpendingLimit, &mut i64)| {
        store.alter(stopped::HOME, &|event| match event {
            Event::SpendingLimitSet { limit, spent, .. } => {
                change(limit, spent);
                true
            }
            _ => false,
        });
    };
    let book = |dir: &Path, tamper: &dyn Fn(&Store)| {
        let all = found(dir, tamper).into_iter();
        let of_the_book = all.filter(|(_, part, _)| *part == Part::Book);
        let all: Vec<_> = of_the_book.map(|(_, _, what)| what).collect();
        all.join("; ")
    };
    assert_eq!(book(dir.path(), &|_| {}), "");
    let lower = |store: &Store| set(store, |limit, _| limit.per_day = Some(79));
    let told = book(dir.path(), &lower);
    assert!(told.contains("spends 80 minor units by card"), "{told}");
    let lower = |store: &Store| set(store, |limit, _| limit.per_transaction = Some(49));
    let told = book(dir.path(), &lower);
    assert!(
        told.contains("50 minor units by card in one transaction"),
        "{told}"
    );
    let other = |store: &Store| set(store, |_, spent| *spent = 0);
    let told = book(dir.path(), &other);
    assert!(told.contains("has spent 30 minor units by card"), "{told}");

    let snapshot = |tamper: fn(&mut Book, AccountId, Date)| {
        let (id, date) = (account.parse().unwrap(), spent_on(dir.path()));
        let all = found(dir.path(), |store| {
            store.snapshot_anew(stopped::HOME, |restored| {
                tamper(&mut restored.book, id, date)
            });
        });
        let all = all.into_iter().map(|(_, _, what)| what);
        all.collect::<Vec<_>>().join("; ")
    };
    let whole = snapshot(|_, _, _| {});
    assert!(!whole.contains("spending"), "{whole}");
    let told = snapshot(|book, id, date| book.set_spent(id, date, Spent::default()));
    assert!(told.contains("spending: "), "{told}");
    let told = snapshot(|book, id, _| book.set_spending_limits(id, SpendingLimits::default()));
    assert!(told.contains("spending limits: "), "{told}");
}

/// The business date that the event of the limit names.
fn spent_on(dir: &Path) -> Date {
    let copy = tempfile::tempdir().unwrap();
    stopped::copy_all(dir, copy.path());
    let store = Store::open(copy.path());
    let is_limit = |event: &Event| matches!(event, Event::SpendingLimitSet { .. });
    let index = store.find(stopped::HOME, &is_limit);
    let entry = store.entry(stopped::HOME, index);
    let mut events = entry
        .outcomes
        .iter()
        .flat_map(|it| it.result.iter().flatten());
    let date = events.find_map(|event| match event {
        Event::SpendingLimitSet { date, .. } => Some(*date),
        _ => None,
    });
    date.unwrap()
}

fn meridian(node: &Node, arguments: &[&str]) -> Output {
    let connection = ["--node", &node.address, "--as", CLERK];
    let meridian = Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(arguments)
        .args(connection)
        .output();
    meridian.unwrap()
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn answer(output: &Output) -> Value {
    serde_json::from_str(&said(output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sets_limits_and_shows_what_is_left() {
    let cluster = cluster().await;
    let node = cluster.at("ap-south");
    let account = node.open(HOME, "a").await;
    node.deposit("d", &account, 10_000).await.unwrap();
    let limit = ["account", "spending-limit", &account, "card"];
    let told = meridian(node, &[&limit[..], &["--per-day", "20.00"]].concat());
    assert!(said(&told).contains("by card: 20.00 USD a day"), "{told:?}");
    let pay = ["withdraw", &account, "12.50", "USD", "--channel", "card"];
    said(&meridian(node, &pay));
    let shown = said(&meridian(node, &["account", "show", &account]));
    assert!(shown.contains("spent 12.50 USD"), "{shown}");
    assert!(shown.contains("7.50 USD left"), "{shown}");
    let again = meridian(node, &pay);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let lowered = [
        &limit[..],
        &["--per-day", "10.00", "--per-transaction", "5"],
    ]
    .concat();
    assert!(said(&meridian(node, &lowered)).contains("IN EXCESS"));
    let shown = answer(&meridian(node, &["account", "show", &account, "--json"]));
    let spending = &shown["spending"][0];
    assert_eq!(spending["channel"], "card");
    assert_eq!(spending["in_excess"], true);
    assert_eq!(spending["per_transaction"]["minor_units"], 500);
    assert_eq!(spending["spent"]["minor_units"], 1_250);
    assert_eq!(spending["left"]["minor_units"], 0);
    said(&meridian(node, &[&limit[..], &["--none"]].concat()));
    said(&meridian(node, &pay));
    let nothing = meridian(node, &limit);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");

    let dir = tempfile::tempdir().unwrap();
    let csv = format!(
        "kind,account,by,per_transaction,per_day,currency\n\
         spending-limit,{account},online,,30.00,USD\n"
    );
    let json = format!(
        "{{\"kind\":\"spending-limit\",\"account\":\"{account}\",\"by\":\"atm\",\
          \"per_transaction\":\"1.00\",\"currency\":\"USD\"}}\n"
    );
    for (name, text) in [("limits.csv", csv), ("limits.jsonl", json)] {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        let done = meridian(node, &["submit", file.to_str().unwrap(), "--json"]);
        assert_eq!(answer(&done)["accepted"], 1);
    }
    let shown = answer(&meridian(node, &["account", "show", &account, "--json"]));
    let most = |n: usize| {
        let of = &shown["spending"][n];
        let units = |name: &str| of[name]["minor_units"].as_i64();
        (
            of["channel"].as_str().unwrap(),
            units("per_transaction"),
            units("per_day"),
        )
    };
    assert_eq!(most(0), ("atm", Some(100), None));
    assert_eq!(most(1), ("card", None, None));
    assert_eq!(most(2), ("online", None, Some(3_000)));
    cluster.stop_and_verify().await;
}

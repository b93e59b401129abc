//! Streams of commands: their order, how many are under way, and what becomes of them when a
//! connection breaks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use node::{
    api::{
        teller::v1::{
            BatchCommand, CloseAccountRequest, DepositRequest, OpenAccountRequest,
            SubmitStreamReply, TransferRequest, Wait, WithdrawRequest, batch_command::Command,
            batch_outcome::Outcome, teller_client::TellerClient,
        },
        v1::{CommandContext, Receipt, RejectionDetail, TransactionStatus},
    },
    client::{Client, Error, Options},
};
use tonic::{Streaming, transport::Endpoint};

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD, PATIENCE, Region, THREE_REGIONS, code, eventually, usd},
    processes::{HOME, Processes},
};

const ALONE: [Region; 1] = [Region {
    name: "home",
    time_zone: "UTC",
    nodes: 1,
}];

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

fn deposit(key: &str, account: &str, units: i64) -> BatchCommand {
    let request = DepositRequest {
        context: context(key),
        account_id: account.to_owned(),
        amount: usd(units),
        ..Default::default()
    };
    Command::Deposit(request).into()
}

fn withdraw(key: &str, account: &str, units: i64) -> BatchCommand {
    let request = WithdrawRequest {
        context: context(key),
        account_id: account.to_owned(),
        amount: usd(units),
        ..Default::default()
    };
    Command::Withdraw(request).into()
}

fn transfer(key: &str, from: &str, to: &str, units: i64) -> BatchCommand {
    let request = TransferRequest {
        context: context(key),
        from_account_id: from.to_owned(),
        to_account_id: to.to_owned(),
        amount: usd(units),
        ..Default::default()
    };
    Command::Transfer(request).into()
}

fn open(key: &str, region: &str, id: &str) -> BatchCommand {
    use node::api::teller::v1::open_account_request::Identity;
    let request = OpenAccountRequest {
        context: context(key),
        identity: Some(Identity::AccountId(id.to_owned())),
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    Command::OpenAccount(request).into()
}

fn close(key: &str, account: &str) -> BatchCommand {
    let request = CloseAccountRequest {
        context: context(key),
        account_id: account.to_owned(),
        ..CloseAccountRequest::default()
    };
    Command::CloseAccount(request).into()
}

fn id(region: &str, name: &str) -> String {
    ledger_domain::AccountId::derive(region.parse().unwrap(), "t", name).to_string()
}

async fn reply(replies: &mut Streaming<SubmitStreamReply>) -> Option<SubmitStreamReply> {
    let reply = tokio::time::timeout(PATIENCE, replies.message()).await;
    reply.expect("an answer in time").unwrap()
}

fn receipt(reply: &SubmitStreamReply) -> &Receipt {
    match reply.outcome.as_ref().unwrap().outcome.as_ref().unwrap() {
        Outcome::Receipt(receipt) => receipt,
        other => panic!("{}: {other:?}", reply.place),
    }
}

fn rejection(reply: &SubmitStreamReply) -> &RejectionDetail {
    match reply.outcome.as_ref().unwrap().outcome.as_ref().unwrap() {
        Outcome::Rejection(why) => why,
        _ => panic!("{} is not refused", reply.place),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_answered_in_its_place_and_a_refusal_stops_none() {
    let cluster = Cluster::start_apart(&THREE_REGIONS, 40).await;
    // Asked abroad: everything is sent on.
    let node = cluster.at("us-east");
    let (eu, ap) = (id("eu-west", "a"), id("ap-south", "b"));
    let nowhere = id("nowhere", "c");
    let commands = [
        open("1", "eu-west", &eu),
        open("2", "ap-south", &ap),
        deposit("3", &eu, 1_000),
        withdraw("4", &eu, 5_000),
        BatchCommand::default(),
        transfer("5", &eu, &ap, 600),
        withdraw("6", &ap, 600),
        deposit("7", &nowhere, 1),
        transfer("8", &eu, &ap, 400),
        // In its order: everything sent has ended.
        close("9", &eu),
        deposit("10", &eu, 1),
    ];
    let expected: [Result<i64, (&str, bool)>; 11] = [
        Ok(0),
        Ok(0),
        Ok(1_000),
        Err(("INSUFFICIENT_FUNDS", true)),
        Err(("INVALID_ARGUMENT", false)),
        Ok(400),
        Ok(0),
        Err(("REGION_NOT_FOUND", false)),
        Ok(0),
        Ok(0),
        Err(("ACCOUNT_CLOSED", true)),
    ];
    for duplicate in [false, true] {
        let commands = stream::iter(commands.clone());
        let mut replies = node.teller().submit_stream(commands).await.unwrap();
        let replies = replies.get_mut();
        for (place, expected) in (0..).zip(&expected) {
            let reply = reply(replies).await.unwrap();
            assert_eq!(reply.place, place);
            match expected {
                Ok(left) => {
                    let receipt = receipt(&reply);
                    assert_eq!(receipt.status(), TransactionStatus::Settled, "{place}");
                    assert_eq!(receipt.duplicate, duplicate, "{place}");
                    assert_eq!(receipt.balances_after[0].posted, usd(*left), "{place}");
                }
                Err((code, recorded)) => {
                    let why = rejection(&reply);
                    assert_eq!((why.code.as_str(), why.recorded), (*code, *recorded));
                }
            }
            if place == 3 {
                let why = rejection(&reply);
                assert!(
                    why.retryable && why.message.contains("1000 minor units"),
                    "{why:?}"
                );
            }
        }
        assert_eq!(reply(replies).await, None);
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_an_account_are_done_in_the_order_of_the_stream() {
    let cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let abroad = cluster.at("us-east");
    let accounts = ["a", "b", "c"].map(|key| async move { abroad.open("eu-west", key).await });
    let accounts = futures_util::future::join_all(accounts).await;
    // The money goes round and is gone each time: any other order overdraws somebody.
    let mut commands = Vec::new();
    for round in 0..60 {
        let key = |step: &str| format!("{round}-{step}");
        commands.push(deposit(&key("in"), &accounts[0], 100));
        commands.push(transfer(&key("ab"), &accounts[0], &accounts[1], 100));
        commands.push(transfer(&key("bc"), &accounts[1], &accounts[2], 100));
        commands.push(withdraw(&key("out"), &accounts[2], 100));
    }
    let all = commands.len();
    let replies = abroad.teller().submit_stream(stream::iter(commands)).await;
    let mut replies = replies.unwrap().into_inner();
    let mut answered = 0;
    while let Some(reply) = reply(&mut replies).await {
        assert_eq!(receipt(&reply).status(), TransactionStatus::Settled);
        answered += 1;
    }
    assert_eq!(answered, all);
    cluster.shutdown().await;
}

/// Deposits of one unit each, going round the accounts, and how many were taken from the stream.
fn deposits(
    accounts: &[String],
    count: usize,
) -> (
    impl Stream<Item = BatchCommand> + Send + 'static,
    Arc<AtomicUsize>,
) {
    let (accounts, taken) = (accounts.to_vec(), Arc::new(AtomicUsize::new(0)));
    let counted = taken.clone();
    let commands = stream::iter(0..count).map(move |n| {
        counted.fetch_add(1, Ordering::Relaxed);
        deposit(&format!("d{n}"), &accounts[n % accounts.len()], 1)
    });
    (commands, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_read_from_no_further() {
    const MANY: usize = 6_000;
    let cluster = Cluster::start(&ALONE).await;
    let node = cluster.at("home");
    let mut accounts = Vec::new();
    for n in 0..40 {
        accounts.push(node.open("home", &format!("a{n}")).await);
    }
    let done = async || {
        let mut sum = 0;
        for account in &accounts {
            let balance = node.strong(account).await.unwrap();
            sum += balance.posted.unwrap().minor_units;
        }
        sum
    };
    // Room for some hundred answers on their way, which nobody has asked for yet.
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let narrow = endpoint.initial_stream_window_size(65_535).connect_lazy();
    let (commands, taken) = deposits(&accounts, MANY);
    let replies = TellerClient::new(narrow).submit_stream(commands).await;
    let mut replies = replies.unwrap().into_inner();
    let mut before = -1;
    eventually("nothing more is done", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = done().await;
        std::mem::replace(&mut before, now) == now && now > 0
    })
    .await;
    assert!((256..1_000).contains(&before), "{before} of {MANY} done");
    for place in 0..MANY as u64 {
        let reply = reply(&mut replies).await.unwrap();
        assert_eq!(reply.place, place);
        receipt(&reply);
    }
    assert_eq!(reply(&mut replies).await, None);
    assert_eq!(taken.load(Ordering::Relaxed), MANY);
    assert_eq!(done().await, MANY as i64);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_answers_holds_the_sender_back() {
    let cluster = Cluster::start(&ALONE).await;
    let node = cluster.at("home");
    let account = node.open("home", "a").await;
    let client = Client::new(vec![node.address.clone()], Options::new("t")).unwrap();
    let (commands, taken) = deposits(&[account], 3_000);
    let mut answers = client.submit(commands);
    for place in 0..10 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!(answer.place, place);
        answer.outcome.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 1_000, "{taken} taken for 10 answers that were read");
    drop(answers);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_when_its_node_is_killed_and_nothing_is_done_twice() {
    const ALL: usize = 2_000;
    let mut processes = Processes::start().await;
    let client = processes.client();
    let mut accounts = Vec::new();
    for _ in 0..10 {
        let request = OpenAccountRequest {
            home_region: HOME.name.to_owned(),
            currency: "USD".to_owned(),
            ..Default::default()
        };
        accounts.push(client.open_account(request).await.unwrap().account_id);
    }
    // The first address is the one that is asked; once it follows, once it leads.
    let (commands, _) = deposits(&accounts, ALL);
    let mut answers = client.submit(commands);
    let mut seen = 0;
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.place, seen);
        let receipt = answer.outcome.unwrap();
        assert_eq!(receipt.status(), TransactionStatus::Settled);
        seen += 1;
        match seen {
            300 => processes.members[0].kill(),
            900 => processes.members[0].start(),
            1_200 => {
                let leader = processes.leader().await;
                processes.members[leader].kill();
                processes.members[leader].start();
            }
            _ => {}
        }
    }
    assert_eq!(seen, ALL as u64);
    for account in &accounts {
        let account = client.account(account).await.unwrap().account.unwrap();
        assert_eq!(account.posted, usd((ALL / accounts.len()) as i64));
        // Opened, and credited so often.
        assert_eq!(account.version, 1 + (ALL / accounts.len()) as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_ends_the_stream_and_nothing_after_it_is_begun() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.at("eu-west");
    let here = node.open("eu-west", "here").await;
    let there = node.open("us-east", "there").await;
    node.deposit("first", &here, 100).await.unwrap();
    cluster.cut("us-east");
    let commands = [
        deposit("1", &here, 10),
        transfer("2", &here, &there, 110),
        // Comes after the transfer, and would be refused.
        withdraw("3", &here, 1),
    ];
    let replies = node
        .teller()
        .submit_stream(stream::iter(commands.clone()))
        .await;
    let mut replies = replies.unwrap().into_inner();
    let first = reply(&mut replies).await.unwrap();
    assert_eq!(receipt(&first).balances_after[0].posted, usd(110));
    let ended = tokio::time::timeout(PATIENCE, replies.message())
        .await
        .unwrap();
    assert_eq!(code(ended), "OUTCOME_UNKNOWN");

    // The client says so too, when its time is over, with the key to ask under.
    let mut options = Options::new("anonymous");
    options.deadline = Duration::from_secs(3);
    let client = Client::new(vec![node.address.clone()], options.clone()).unwrap();
    let mut answers = client.submit(stream::iter(commands.clone()));
    assert!(
        answers
            .next()
            .await
            .unwrap()
            .unwrap()
            .outcome
            .unwrap()
            .duplicate
    );
    match answers.next().await.unwrap() {
        Err(Error::Unknown(unknown)) => assert_eq!(unknown.key, "2"),
        other => panic!("{other:?}"),
    }
    assert_eq!(answers.next().await, None);

    cluster.heal("us-east");
    options.deadline = PATIENCE;
    let client = Client::new(vec![node.address.clone()], options).unwrap();
    let mut later = commands.to_vec();
    // Who need not know its end is answered when it is safe.
    let Some(Command::Transfer(transfer)) = &mut later[1].command else {
        panic!("not a transfer");
    };
    transfer.wait = Wait::Accepted.into();
    let answers: Vec<_> = client.submit(stream::iter(later)).collect().await;
    let outcomes: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer.unwrap().outcome {
            Ok(receipt) => receipt.balances_after[0].posted.clone(),
            Err(why) => {
                assert_eq!(why.code, "INSUFFICIENT_FUNDS");
                None
            }
        })
        .collect();
    assert_eq!(outcomes, [usd(110), usd(0), None]);
    node.settles_at(&there, 110).await;
    cluster.shutdown().await;
}

//! Groups: all or none, asked at any node; the refused command is named; a repeat does nothing twice.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use node::{
    api::{
        rejection,
        teller::v1::{
            BatchCommand, BatchOutcome, DepositRequest, GetTransactionRequest, ListHoldsRequest,
            OpenAccountRequest, PlaceHoldRequest, SubmitBatchRequest, SubmitGroupRequest,
            TransferRequest, WithdrawRequest, batch_command::Command, batch_outcome::Outcome,
            get_transaction_request::By, open_account_request::Identity,
            teller_client::TellerClient,
        },
        v1::{CommandContext, Receipt, RejectionDetail, TransactionStatus},
    },
    client::{Client, Options},
};
use tonic::{Code, Status, transport::Endpoint};

use crate::cluster::{Cluster, Node, THREE_REGIONS, eventually, usd};

fn context(key: &str) -> CommandContext {
    CommandContext {
        idempotency_key: key.to_owned(),
        ..CommandContext::default()
    }
}

fn deposit(account: &str, units: i64) -> Command {
    Command::Deposit(DepositRequest {
        account_id: account.to_owned(),
        amount: usd(units),
        ..DepositRequest::default()
    })
}

fn withdraw(account: &str, units: i64) -> Command {
    Command::Withdraw(WithdrawRequest {
        account_id: account.to_owned(),
        amount: usd(units),
        ..WithdrawRequest::default()
    })
}

fn transfer(from: &str, to: &str, units: i64) -> Command {
    Command::Transfer(TransferRequest {
        from_account_id: from.to_owned(),
        to_account_id: to.to_owned(),
        amount: usd(units),
        ..TransferRequest::default()
    })
}

fn hold(account: &str, units: i64) -> Command {
    Command::PlaceHold(PlaceHoldRequest {
        account_id: account.to_owned(),
        amount: usd(units),
        ..PlaceHoldRequest::default()
    })
}

async fn group(
    node: &Node,
    context: CommandContext,
    commands: impl IntoIterator<Item = Command>,
) -> Result<Vec<Receipt>, Status> {
    let commands = commands.into_iter();
    let commands = commands.map(BatchCommand::from);
    let request = SubmitGroupRequest {
        context: Some(context),
        commands: commands.collect(),
    };
    let reply = node.teller().submit_group(request).await?;
    Ok(reply.into_inner().receipts)
}

fn face(status: &Status) -> RejectionDetail {
    rejection::from_status(status).unwrap_or_else(|| panic!("no code in {status:?}"))
}

async fn posted(node: &Node, account: &str) -> i64 {
    let balance = node.strong(account).await.unwrap();
    balance.posted.unwrap().minor_units
}

async fn holds(node: &Node, account: &str) -> Vec<String> {
    let request = ListHoldsRequest {
        account_id: account.to_owned(),
        ..ListHoldsRequest::default()
    };
    let reply = node.teller().list_holds(request).await.unwrap();
    let holds = reply.into_inner().holds.into_iter();
    holds.map(|hold| hold.hold_id).collect()
}

async fn open_beside(node: &Node, other: &str, key: &str) -> String {
    let request = OpenAccountRequest {
        context: Some(context(key)),
        currency: "USD".to_owned(),
        beside_account_id: other.to_owned(),
        ..OpenAccountRequest::default()
    };
    let reply = node.teller().open_account(request).await;
    reply.unwrap().into_inner().account_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_done_as_a_whole_or_not_at_all_whoever_is_asked() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let home = cluster.node(1);
    let alice = home.open("eu-west", "alice").await;
    for (n, node) in [1, 2, 3].map(|id| cluster.node(id)).into_iter().enumerate() {
        let key = |what: &str| format!("{what}-{n}");
        let bob = open_beside(node, &alice, &key("bob")).await;
        assert_eq!(open_beside(node, &alice, &key("bob")).await, bob);
        let before = posted(node, &alice).await;
        let all = [
            deposit(&alice, 100),
            transfer(&alice, &bob, 70),
            hold(&bob, 30),
            hold(&bob, 40),
        ];
        let done = group(node, context(&key("done")), all.clone())
            .await
            .unwrap();
        assert_eq!(done.len(), 4);
        let ids: Vec<_> = done.iter().map(|it| it.transaction_id.clone()).collect();
        assert_eq!(posted(node, &alice).await, before + 30);
        assert_eq!(posted(node, &bob).await, 70);
        // A hold has the id of its own command.
        let held = holds(node, &bob).await;
        assert_eq!(held, [ids[2].clone(), ids[3].clone()]);
        let again = group(node, context(&key("done")), all).await.unwrap();
        assert!(again.iter().all(|receipt| receipt.duplicate));
        assert!(again.iter().map(|it| &it.transaction_id).eq(&ids));
        assert_eq!(posted(node, &alice).await, before + 30);

        let one_too_many = [deposit(&alice, 5), withdraw(&bob, 1), deposit(&alice, 7)];
        let refused = group(node, context(&key("refused")), one_too_many.clone()).await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        let why = face(&status);
        assert_eq!(
            (why.code.as_str(), why.group_item),
            ("INSUFFICIENT_FUNDS", 2)
        );
        assert!(why.message.starts_with("command 2 of 3: "), "{why:?}");
        assert!(why.recorded);
        assert_eq!(posted(node, &alice).await, before + 30);
        let again = group(node, context(&key("refused")), one_too_many).await;
        assert_eq!(face(&again.unwrap_err()), why);
        let other = group(node, context(&key("refused")), [deposit(&alice, 5)]).await;
        assert_eq!(face(&other.unwrap_err()).code, "KEY_CONFLICT");

        let by = Some(By::TransactionId(ids[1].clone()));
        let found = node
            .teller()
            .get_transaction(GetTransactionRequest { by })
            .await;
        let found = found.unwrap().into_inner();
        assert_eq!((found.group_item, found.group_of), (2, 4));
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_group_would_come_to_is_told_and_nothing_is_done() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.node(2);
    let alice = node.open("eu-west", "alice").await;
    let bob = open_beside(node, &alice, "bob").await;
    let dry = |key| CommandContext {
        dry_run: true,
        ..context(key)
    };
    let all = [deposit(&alice, 100), transfer(&alice, &bob, 70)];
    let told = group(node, dry("told"), all).await.unwrap();
    let after = |receipt: &Receipt, n: usize| {
        let posted = receipt.balances_after[n].posted.as_ref();
        posted.unwrap().minor_units
    };
    assert_eq!((after(&told[0], 0), told[0].dry_run), (100, true));
    assert_eq!((after(&told[1], 0), after(&told[1], 1)), (30, 70));
    let refused = group(node, dry("told"), [withdraw(&alice, 1), deposit(&bob, 1)]).await;
    let why = face(&refused.unwrap_err());
    assert_eq!(
        (why.code.as_str(), why.group_item),
        ("INSUFFICIENT_FUNDS", 1)
    );
    assert!(!why.recorded);
    assert_eq!(posted(node, &alice).await, 0);
    assert_eq!(posted(node, &bob).await, 0);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_a_group_goes_to_other_regions_too() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.node(1);
    let alice = node.open("eu-west", "alice").await;
    let far = node.open("us-east", "far").await;
    let all = [deposit(&alice, 100), transfer(&alice, &far, 70)];
    let done = group(node, context("far"), all).await.unwrap();
    assert_eq!(done[1].status(), TransactionStatus::Settled);
    assert_eq!(posted(node, &far).await, 70);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_cannot_be_one_says_why() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.node(1);
    let alice = node.open("eu-west", "alice").await;
    let far = node.open("us-east", "far").await;
    let face_of = async |commands: Vec<Command>| {
        let refused = group(node, context("bad"), commands).await;
        face(&refused.unwrap_err())
    };
    let across = face_of(vec![deposit(&alice, 1), deposit(&far, 1)]).await;
    assert_eq!(across.code, "GROUP_ACROSS_SHARDS");
    assert!(!across.recorded);
    let many = face_of(vec![deposit(&alice, 1); 65]).await;
    assert_eq!(many.code, "INVALID_ARGUMENT");
    assert_eq!(face_of(Vec::new()).await.code, "INVALID_ARGUMENT");
    let keyed = Command::Deposit(DepositRequest {
        context: Some(context("own")),
        account_id: alice.clone(),
        amount: usd(1),
        ..DepositRequest::default()
    });
    let keyed = face_of(vec![deposit(&alice, 1), keyed]).await;
    assert_eq!(
        (keyed.code.as_str(), keyed.group_item),
        ("INVALID_ARGUMENT", 2)
    );
    assert_eq!(posted(node, &alice).await, 0);
    let all = vec![deposit(&alice, 1); 64];
    let done = group(node, context("bad"), all).await.unwrap();
    assert_eq!((done.len(), posted(node, &alice).await), (64, 64));
    cluster.stop_and_verify().await;
}

fn as_one(key: &str, commands: impl IntoIterator<Item = Command>) -> BatchCommand {
    let group = SubmitGroupRequest {
        context: Some(context(key)),
        commands: commands.into_iter().map(BatchCommand::from).collect(),
    };
    Command::SubmitGroup(group).into()
}

fn keyed(key: &str, command: Command) -> BatchCommand {
    let mut command = BatchCommand::from(command);
    *command.context_mut().unwrap() = context(key);
    command
}

async fn in_a_batch(node: &Node, commands: Vec<BatchCommand>) -> Result<Vec<BatchOutcome>, Status> {
    let request = SubmitBatchRequest { commands };
    let reply = node.teller().submit_batch(request).await?;
    Ok(reply.into_inner().outcomes)
}

async fn in_a_stream(node: &Node, commands: Vec<BatchCommand>) -> Vec<BatchOutcome> {
    let replies = node.teller().submit_stream(stream::iter(commands)).await;
    let replies = replies.unwrap().into_inner();
    let outcomes = replies.map(|reply| reply.unwrap().outcome.unwrap());
    outcomes.collect().await
}

/// The receipts of what was done, alone or as a group, or the refusal.
fn told(outcome: &BatchOutcome) -> Result<Vec<Receipt>, RejectionDetail> {
    match outcome.outcome.as_ref().unwrap() {
        Outcome::Receipt(receipt) => Ok(vec![receipt.clone()]),
        Outcome::Group(group) => Ok(group.receipts.clone()),
        Outcome::Rejection(why) => Err(why.clone()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_a_batch_or_a_stream_is_all_or_none_and_refused_stops_nothing_else() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let home = cluster.node(1);
    let alice = home.open("eu-west", "alice").await;
    let bob = open_beside(home, &alice, "bob").await;
    let far = home.open("us-east", "far").await;
    let (mut alices, mut bobs) = (0, 0);
    for (n, node) in [1, 2, 3].map(|id| cluster.node(id)).into_iter().enumerate() {
        for way in ["batch", "stream"] {
            let key = |what: &str| format!("{what}-{n}-{way}");
            let commands = vec![
                keyed(&key("first"), deposit(&bob, 1)),
                as_one(
                    &key("done"),
                    [
                        deposit(&alice, 100),
                        transfer(&alice, &bob, 70),
                        transfer(&alice, &far, 5),
                    ],
                ),
                as_one(
                    &key("refused"),
                    [
                        deposit(&alice, 7),
                        withdraw(&bob, 1_000_000),
                        hold(&alice, 1),
                    ],
                ),
                as_one(
                    &key("nested"),
                    [
                        deposit(&alice, 7),
                        as_one("", [hold(&alice, 1)]).command.unwrap(),
                    ],
                ),
                as_one(&key("across"), [deposit(&alice, 7), deposit(&far, 7)]),
                as_one(&key("many"), vec![deposit(&alice, 7); 65]),
                keyed(&key("last"), deposit(&bob, 1)),
            ];
            (alices, bobs) = (alices + 25, bobs + 72);
            for is_repeat in [false, true] {
                let outcomes = match way {
                    "batch" => in_a_batch(node, commands.clone()).await.unwrap(),
                    _ => in_a_stream(node, commands.clone()).await,
                };
                let told: Vec<_> = outcomes.iter().map(told).collect();
                let [first, done, refused, nested, across, many, last] = &told[..] else {
                    panic!("{} answers", told.len());
                };
                for alone in [first, last] {
                    assert_eq!(alone.as_ref().unwrap()[0].duplicate, is_repeat);
                }
                let done = done.as_ref().unwrap();
                assert_eq!(done.len(), 3);
                for receipt in done {
                    assert_eq!(receipt.position, done[0].position);
                    assert_eq!(receipt.idempotency_key, key("done"));
                    assert_eq!(receipt.status(), TransactionStatus::Settled);
                    assert_eq!(receipt.duplicate, is_repeat);
                }
                let refused = refused.as_ref().unwrap_err();
                assert_eq!(
                    (refused.code.as_str(), refused.group_item, refused.recorded),
                    ("INSUFFICIENT_FUNDS", 2, true)
                );
                let nested = nested.as_ref().unwrap_err();
                assert_eq!(
                    (nested.code.as_str(), nested.group_item),
                    ("INVALID_ARGUMENT", 2)
                );
                assert!(
                    nested.message.contains("a group is no command of a group"),
                    "{nested:?}"
                );
                assert_eq!(across.as_ref().unwrap_err().code, "GROUP_ACROSS_SHARDS");
                assert_eq!(many.as_ref().unwrap_err().code, "INVALID_ARGUMENT");
                assert_eq!(posted(node, &alice).await, alices);
                assert_eq!(posted(node, &bob).await, bobs);
                assert_eq!(holds(node, &alice).await, [""; 0]);
            }
        }
    }
    assert_eq!(posted(home, &far).await, 6 * 5);
    // A group counts for as many commands as it has.
    let full = |n| vec![as_one("full", vec![deposit(&alice, 1); 64]); n];
    let many = in_a_batch(home, full(16)).await.map(|told| told.len());
    let refused = many.unwrap_err();
    assert!(face(&refused).message.starts_with("1024 commands"));
    assert_eq!(in_a_batch(home, full(15)).await.unwrap().len(), 15);
    assert_eq!(posted(home, &alice).await, alices + 64);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_keeps_the_order_of_every_account_that_a_group_names() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let abroad = cluster.at("us-east");
    let a = abroad.open("eu-west", "a").await;
    let [b, c] = [
        open_beside(abroad, &a, "b").await,
        open_beside(abroad, &a, "c").await,
    ];
    let opened = ledger_domain::AccountId::derive("eu-west".parse().unwrap(), "t", "opened");
    let opened = opened.to_string();
    let open = Command::OpenAccount(OpenAccountRequest {
        identity: Some(Identity::AccountId(opened.clone())),
        currency: "USD".to_owned(),
        ..OpenAccountRequest::default()
    });
    let mut commands = vec![
        as_one("open", [open, deposit(&opened, 5)]),
        keyed("opened", withdraw(&opened, 5)),
    ];
    // The money goes round and is gone each time: any other order overdraws somebody.
    for round in 0..40 {
        let key = |step: &str| format!("{round}-{step}");
        commands.push(keyed(&key("in"), deposit(&a, 100)));
        let on = [transfer(&a, &b, 100), transfer(&b, &c, 100)];
        commands.push(as_one(&key("on"), on));
        commands.push(keyed(&key("out"), withdraw(&c, 100)));
    }
    // Through the client, which keeps both receipts.
    let client = Client::new(vec![abroad.address.clone()], Options::new("t")).unwrap();
    let answers = client.submit(stream::iter(commands.clone()));
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), commands.len());
    for (answer, sent) in answers.into_iter().zip(&commands) {
        let answer = answer.unwrap();
        let receipt = answer.outcome.unwrap();
        assert_eq!(receipt.status(), TransactionStatus::Settled);
        assert_eq!(1 + answer.others.len(), sent.count());
        for other in &answer.others {
            assert_eq!(other.position, receipt.position);
            assert_ne!(other.transaction_id, receipt.transaction_id);
        }
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_takes_as_much_of_a_stream_as_its_commands_would() {
    const GROUPS: i64 = 60;
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let node = cluster.node(1);
    let alice = node.open("eu-west", "alice").await;
    let groups = (0..GROUPS).map(|n| as_one(&n.to_string(), vec![deposit(&alice, 1); 64]));
    let groups: Vec<_> = groups.collect();
    // Room for a few answers on their way, which nobody reads.
    let endpoint = Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let narrow = endpoint.initial_stream_window_size(65_535).connect_lazy();
    let mut teller = TellerClient::new(narrow);
    let replies = teller.submit_stream(stream::iter(groups)).await;
    let replies = replies.unwrap().into_inner();
    let mut before = -1;
    eventually("nothing more is done", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = posted(node, &alice).await;
        std::mem::replace(&mut before, now) == now && now > 0
    })
    .await;
    assert!((256..1_000).contains(&before), "{before} done");
    let outcomes = replies.map(|reply| reply.unwrap().outcome.unwrap());
    let told: Vec<_> = outcomes.map(|it| told(&it).unwrap().len()).collect().await;
    assert_eq!(told, [64; GROUPS as usize]);
    assert_eq!(posted(node, &alice).await, GROUPS * 64);
    cluster.stop_and_verify().await;
}

//! Transfers between shards, told to their end: over real disks and sockets, as a caller sees them.

use std::time::Duration;

use ledger_domain::{AccountId, ShardId, Token};
use node::api::{
    atm::v1::{GetStatementRequest, StatementLine},
    rejection,
    teller::v1::{
        BatchCommand, CloseAccountRequest, GetAccountRequest, GetTransactionReply,
        GetTransactionRequest, OpenAccountRequest, Posting, SubmitBatchRequest, TransactionKey,
        TransactionStage as Stage, TransferRequest, Wait, batch_command, batch_outcome,
        get_transaction_request::By,
    },
    v1::{
        CommandContext, Money, Position, Receipt, TransactionStatus,
        read_mode::{Mode, Session},
    },
};
use replication::topology::{Directory as _, FileDirectory, Shard, key_bytes};
use tonic::{Request, Status};

use crate::cluster::{self, Cluster, Node, Region, THREE_REGIONS, code, usd};

const HOME: Region = Region {
    name: "eu-west",
    time_zone: "Europe/Dublin",
    nodes: 1,
};
const NEAR: ShardId = ShardId(1);
const FAR: ShardId = ShardId(2);

/// One region with two shards: on one node, or each on a node of its own.
async fn two_shards(nodes: usize) -> Cluster {
    let region = Region { nodes, ..HOME };
    let cluster = Cluster::start_shaped(&[region], 0, |topology| {
        let shard = &mut topology.shards[0];
        shard.voters = vec![1];
        let second = Shard {
            id: FAR.0,
            region: shard.region,
            voters: vec![nodes as u64],
            replicas: Vec::new(),
        };
        topology.shards.push(second);
    })
    .await;
    for shard in [NEAR, FAR] {
        let (_, nobody) = name_in(&cluster, shard, "nobody");
        let waiting = async {
            while code(cluster.node(1).strong(&nobody).await) != "ACCOUNT_NOT_FOUND" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(cluster::PATIENCE, waiting).await;
        waited.expect("every shard serves");
    }
    cluster
}

/// A key whose account lives in a shard, and that account.
fn name_in(cluster: &Cluster, shard: ShardId, name: &str) -> (String, String) {
    let directory = FileDirectory::new(cluster.topology().clone()).unwrap();
    let region = HOME.name.parse().unwrap();
    (0..)
        .map(|n| format!("{name}-{n}"))
        .map(|key| (AccountId::derive(region, "key", &key), key))
        .find(|(id, _)| directory.home(id) == Some(shard))
        .map(|(id, key)| (key, id.to_string()))
        .unwrap()
}

async fn open_in(cluster: &Cluster, shard: ShardId, name: &str) -> String {
    let (key, id) = name_in(cluster, shard, name);
    assert_eq!(cluster.node(1).open(HOME.name, &key).await, id);
    id
}

/// A transfer request, as the tests send it.
struct Pay<'a> {
    key: &'a str,
    from: &'a str,
    to: &'a str,
    units: i64,
    wait: Wait,
    timeout: Duration,
}

impl<'a> Pay<'a> {
    fn new(key: &'a str, from: &'a str, to: &'a str, units: i64) -> Self {
        Self {
            key,
            from,
            to,
            units,
            wait: Wait::Unspecified,
            timeout: cluster::PATIENCE,
        }
    }

    fn request(&self) -> TransferRequest {
        TransferRequest {
            context: Some(CommandContext {
                idempotency_key: self.key.to_owned(),
                memo: format!("memo of {}", self.key),
                ..Default::default()
            }),
            from_account_id: self.from.to_owned(),
            to_account_id: self.to.to_owned(),
            amount: usd(self.units),
            wait: self.wait.into(),
        }
    }

    async fn at(&self, node: &Node) -> Result<Receipt, Status> {
        let mut request = Request::new(self.request());
        request.set_timeout(self.timeout);
        let reply = node.teller().transfer(request).await?.into_inner();
        Ok(reply.receipt.unwrap())
    }
}

async fn look_up(node: &Node, by: By) -> Result<GetTransactionReply, Status> {
    let request = GetTransactionRequest { by: Some(by) };
    Ok(node.teller().get_transaction(request).await?.into_inner())
}

async fn by_id(node: &Node, id: &str) -> GetTransactionReply {
    look_up(node, By::TransactionId(id.to_owned()))
        .await
        .unwrap()
}

async fn by_key(node: &Node, account: &str, key: &str) -> GetTransactionReply {
    let key = TransactionKey {
        account_id: account.to_owned(),
        idempotency_key: key.to_owned(),
    };
    look_up(node, By::Key(key)).await.unwrap()
}

/// An account's statement, with everything that a token covers.
async fn statement(node: &Node, account: &str, token: &str) -> Vec<StatementLine> {
    let request = GetStatementRequest {
        account_id: account.to_owned(),
        mode: Some(node::api::v1::ReadMode {
            mode: Some(session(token)),
        }),
        ..Default::default()
    };
    node.atm()
        .get_statement(request)
        .await
        .unwrap()
        .into_inner()
        .lines
}

fn session(token: &str) -> Mode {
    Mode::Session(Session {
        tokens: vec![token.to_owned()],
    })
}

/// The positions that a token covers.
fn covered(cluster: &Cluster, token: &str) -> Vec<Option<Position>> {
    let topology = cluster.topology();
    let token = Token::verify(token, |region| {
        let key = key_bytes(&topology.region(region)?.token_key)?;
        ed25519_dalek::VerifyingKey::from_bytes(&key).ok()
    });
    let position = |at: ledger_domain::Position| Position {
        shard: at.shard.0,
        epoch: at.epoch,
        index: at.index,
    };
    let positions = token.unwrap().positions.into_iter();
    positions.map(|at| Some(position(at))).collect()
}

/// The accounts of a receipt with their booked sums and shards.
fn afters(receipt: &Receipt) -> Vec<(&str, i64, u32)> {
    let after = |after: &'_ node::api::v1::BalanceAfter| {
        (
            after.posted.clone().unwrap().minor_units,
            after.position.unwrap().shard,
        )
    };
    receipt
        .balances_after
        .iter()
        .map(|a| (a.account_id.as_str(), after(a).0, after(a).1))
        .collect()
}

/// Who, how much, and what that left.
type Booked<'a> = (&'a str, i64, Option<i64>);

/// The stages of a transaction's path with what was booked there: who, how much, and what that left.
fn path(found: &GetTransactionReply) -> Vec<(Stage, Vec<Booked<'_>>)> {
    let units = |sum: &Option<Money>| sum.as_ref().map(|sum| sum.minor_units);
    let booked = |it: &'_ Posting| (units(&it.amount).unwrap_or(0), units(&it.balance_after));
    let steps = found.path.iter().map(|step| {
        let postings = step.postings.iter().map(|it| {
            let (amount, after) = booked(it);
            (it.account.as_str(), amount, after)
        });
        (step.stage(), postings.collect())
    });
    steps.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_between_shards_is_answered_with_both_sides() {
    for nodes in [1, 2] {
        let cluster = two_shards(nodes).await;
        let node = cluster.node(1);
        let payer = open_in(&cluster, NEAR, "payer").await;
        let payee = open_in(&cluster, FAR, "payee").await;
        node.deposit("d", &payer, 1_000).await.unwrap();

        let receipt = Pay::new("t", &payer, &payee, 300).at(node).await.unwrap();
        assert_eq!(receipt.status(), TransactionStatus::Settled);
        assert!(!receipt.duplicate && receipt.rejection.is_none());
        let sums = [(payer.as_str(), 700, NEAR.0), (&payee, 300, FAR.0)];
        assert_eq!(afters(&receipt), sums);
        // The token covers both sides, wherever it is read.
        let sides = receipt.balances_after.iter().map(|after| after.position);
        assert_eq!(covered(&cluster, &receipt.token), Vec::from_iter(sides));
        for node in cluster.nodes() {
            for (account, posted, _) in sums {
                let read = node.balance(account, session(&receipt.token)).await;
                assert_eq!(read.unwrap().posted, usd(posted));
            }
        }

        let id = &receipt.transaction_id;
        let [found, keyed] = [by_id(node, id).await, by_key(node, &payer, "t").await];
        let (told, of_key) = (found.receipt.clone().unwrap(), keyed.receipt.unwrap());
        assert_eq!(told.status(), TransactionStatus::Settled);
        assert_eq!(
            (told.balances_after, told.token),
            (receipt.balances_after.clone(), receipt.token.clone())
        );
        assert_eq!(
            (&of_key.transaction_id, &of_key.idempotency_key[..]),
            (id, "t")
        );
        assert_eq!((&found.account_id, &found.counterparty), (&payer, &payee));
        assert_eq!((&found.amount, &found.memo[..]), (&usd(300), "memo of t"));
        assert_eq!(found.settled_at, receipt.balances_after[1].position);
        assert_eq!(keyed.settled_at, found.settled_at);
        let (due_from, due_to) = (format!("due-from:{NEAR}"), format!("due-to:{FAR}"));
        let in_transit = format!("in-transit:{FAR}");
        let steps = [
            (
                Stage::Decided,
                vec![(&*payer, -300, Some(700)), (&*in_transit, 300, None)],
            ),
            (
                Stage::Credited,
                vec![(&*due_from, -300, None), (&*payee, 300, Some(300))],
            ),
            (
                Stage::Settled,
                vec![(&*in_transit, -300, None), (&*due_to, 300, None)],
            ),
        ];
        assert_eq!(path(&found), steps);
        let times = found
            .path
            .iter()
            .map(|step| step.decided_at.clone().unwrap());
        let times: Vec<_> = times.map(|time| time.hlc).collect();
        assert!(times.is_sorted() && times[0] < times[2]);
        assert_eq!(found.path[1].position, found.settled_at);
        assert_eq!(&found.path[0].transaction_id, id);

        // The payee's statement names the payee's side; it stands for the same transaction.
        let line = statement(node, &payee, &receipt.token).await.remove(0);
        assert_ne!(&line.transaction_id, id);
        let there = by_id(node, &line.transaction_id).await;
        assert_eq!(&there.receipt.unwrap().transaction_id, id);
        assert_eq!(there.settled_at, line.position);

        let again = Pay::new("t", &payer, &payee, 300).at(node).await.unwrap();
        assert_eq!(
            again,
            Receipt {
                duplicate: true,
                ..receipt
            }
        );
        cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_cannot_arrive_comes_back_and_says_why() {
    let cluster = two_shards(1).await;
    let node = cluster.node(1);
    let payer = open_in(&cluster, NEAR, "payer").await;
    node.deposit("d", &payer, 1_000).await.unwrap();
    let closed = open_in(&cluster, FAR, "closed").await;
    let close = CloseAccountRequest {
        account_id: closed.clone(),
        ..Default::default()
    };
    node.teller().close_account(close).await.unwrap();
    let (key, foreign) = name_in(&cluster, FAR, "foreign");
    let open = OpenAccountRequest {
        context: Some(CommandContext {
            idempotency_key: key,
            ..Default::default()
        }),
        home_region: HOME.name.to_owned(),
        currency: "JPY".to_owned(),
        ..Default::default()
    };
    node.teller().open_account(open).await.unwrap();
    let (_, unknown) = name_in(&cluster, FAR, "unknown");

    for (key, payee, why) in [
        ("t1", &closed, "ACCOUNT_CLOSED"),
        ("t2", &foreign, "CURRENCY_MISMATCH"),
        ("t3", &unknown, "ACCOUNT_NOT_FOUND"),
    ] {
        let pay = Pay::new(key, &payer, payee, 400);
        let receipt = pay.at(node).await.unwrap();
        assert_eq!(receipt.status(), TransactionStatus::Returned);
        assert_eq!(receipt.rejection.as_ref().unwrap().code, why);
        assert_eq!(afters(&receipt), [(payer.as_str(), 1_000, NEAR.0)]);
        let read = node.balance(&payer, session(&receipt.token)).await.unwrap();
        assert_eq!(read.posted, usd(1_000));
        let again = pay.at(node).await.unwrap();
        assert_eq!(
            again,
            Receipt {
                duplicate: true,
                ..receipt.clone()
            }
        );

        let found = by_key(node, &payer, key).await;
        let told = found.receipt.clone().unwrap();
        assert_eq!(told.status(), TransactionStatus::Returned);
        assert_eq!(told.rejection, receipt.rejection);
        assert_eq!((&found.counterparty, found.settled_at), (payee, None));
        let in_transit = format!("in-transit:{FAR}");
        let steps = [
            (
                Stage::Decided,
                vec![(&*payer, -400, Some(600)), (&*in_transit, 400, None)],
            ),
            (Stage::Refused, vec![]),
            (
                Stage::Returned,
                vec![(&*in_transit, -400, None), (&*payer, 400, Some(1_000))],
            ),
        ];
        assert_eq!(path(&found), steps);
        // The line of the return stands for the transfer that came back.
        let line = statement(node, &payer, &receipt.token).await.pop().unwrap();
        assert_eq!(line.kind, "return");
        let back = by_id(node, &line.transaction_id).await.receipt.unwrap();
        assert_eq!(back.transaction_id, receipt.transaction_id);
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_transaction_can_be_looked_up_also_after_a_restart() {
    let mut cluster = two_shards(1).await;
    let payer = open_in(&cluster, NEAR, "payer").await;
    let payee = open_in(&cluster, FAR, "payee").await;
    let deposit = cluster.node(1).deposit("d", &payer, 1_000).await.unwrap();
    let refused = cluster.node(1).withdraw("w", &payer, 5_000).await;
    assert_eq!(code(refused), "INSUFFICIENT_FUNDS");
    let accepted = Pay {
        wait: Wait::Accepted,
        ..Pay::new("t", &payer, &payee, 300)
    };
    let accepted = accepted.at(cluster.node(1)).await.unwrap();
    assert_eq!(accepted.status(), TransactionStatus::Accepted);
    let settled = Pay::new("t", &payer, &payee, 300);
    let settled = settled.at(cluster.node(1)).await.unwrap();
    assert_eq!(settled.transaction_id, accepted.transaction_id);

    for restarted in [false, true] {
        let node = cluster.node(1);
        let found = by_id(node, &deposit.transaction_id).await;
        assert_eq!(
            (&found.counterparty[..], &found.amount),
            ("cash", &usd(1_000))
        );
        assert_eq!(found.settled_at, deposit.position);
        let status = found.receipt.unwrap().status();
        assert_eq!(status, TransactionStatus::Settled, "{restarted}");

        let found = by_key(node, &payer, "w").await.receipt.unwrap();
        assert_eq!(found.status(), TransactionStatus::Rejected);
        assert_eq!(found.rejection.unwrap().code, "INSUFFICIENT_FUNDS");

        let found = by_id(node, &settled.transaction_id).await;
        assert_eq!(found.settled_at, settled.balances_after[1].position);
        let told = found.receipt.unwrap();
        assert_eq!(told.balances_after, settled.balances_after);

        // The account knows how it began.
        let request = GetAccountRequest {
            account_id: payer.clone(),
            as_of: None,
        };
        let account = node.teller().get_account(request).await.unwrap();
        let account = account.into_inner().account.unwrap();
        let opening = by_id(node, &account.opening_transaction_id).await;
        assert_eq!(opening.account_id, payer);
        let time = opening.receipt.unwrap().time;
        assert!(time.is_some() && account.opened_at == time);

        // What nobody was told about is not found.
        let ledger_domain::TransactionId { position, .. } = deposit.transaction_id.parse().unwrap();
        for (index, ordinal) in [(0, 0), (position.index, 9), (position.index + 10_000, 0)] {
            let position = ledger_domain::Position { index, ..position };
            let made_up = ledger_domain::TransactionId { position, ordinal };
            let found = look_up(node, By::TransactionId(made_up.to_string())).await;
            assert_eq!(code(found), rejection::TRANSACTION_NOT_FOUND);
        }
        if !restarted {
            cluster.stop(1).await;
            cluster.restart(1).await;
        }
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_leaves_an_accepted_transfer_unknown_until_it_is_asked_for_again() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (eu, us, ap) = (
        cluster.at("eu-west"),
        cluster.at("us-east"),
        cluster.at("ap-south"),
    );
    let payer = eu.open("eu-west", "payer").await;
    let payee = us.open("us-east", "payee").await;
    eu.deposit("d", &payer, 1_000).await.unwrap();
    cluster.cut("us-east");

    let hurried = Pay {
        timeout: Duration::from_millis(800),
        ..Pay::new("t", &payer, &payee, 300)
    };
    // At home, and by way of another region that sends it on.
    let unknown = hurried.at(eu).await.unwrap();
    assert_eq!(unknown.status(), TransactionStatus::Unknown);
    assert_eq!(
        afters(&unknown),
        [(payer.as_str(), 700, cluster.shard("eu-west"))]
    );
    let repeated = hurried.at(ap).await.unwrap();
    assert_eq!(repeated.status(), TransactionStatus::Unknown);
    assert!(!unknown.transaction_id.is_empty() && repeated.duplicate);
    assert_eq!(repeated.transaction_id, unknown.transaction_id);
    let found = by_id(eu, &unknown.transaction_id).await;
    assert_eq!(found.receipt.unwrap().status(), TransactionStatus::Accepted);
    assert_eq!(found.settled_at, None);
    // A batch is one call: its deadline is that of all its transfers together.
    let mut batch = Request::new(SubmitBatchRequest {
        commands: (0..300)
            .map(|n| Pay::new(&format!("b{n}"), &payer, &payee, 1).request())
            .map(|transfer| BatchCommand {
                command: Some(batch_command::Command::Transfer(transfer)),
            })
            .collect(),
    });
    batch.set_timeout(Duration::from_secs(2));
    let outcomes = eu.teller().submit_batch(batch).await.unwrap().into_inner();
    for outcome in outcomes.outcomes {
        match outcome.outcome.unwrap() {
            batch_outcome::Outcome::Receipt(receipt) => {
                assert_eq!(receipt.status(), TransactionStatus::Unknown);
                assert!(!receipt.transaction_id.is_empty());
            }
            batch_outcome::Outcome::Rejection(why) => {
                let codes = ["OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED"];
                assert!(codes.contains(&&why.code[..]), "{why:?}");
            }
            batch_outcome::Outcome::Group(_) => panic!("a group, where none was sent"),
        }
    }
    // What cannot reach its home at all runs into its deadline, too.
    let mut lost = Request::new(Pay::new("lost", &payee, &payer, 1).request());
    lost.set_timeout(Duration::from_millis(500));
    let lost = eu.teller().transfer(lost).await.unwrap_err();
    let lost = rejection::from_status(&lost).expect("the node says so itself");
    assert_eq!(
        (&lost.code[..], &lost.idempotency_key[..]),
        ("OUTCOME_UNKNOWN", "lost")
    );

    // Somebody waits already when the way is free again.
    let patient = Pay::new("t", &payer, &payee, 300);
    let (settled, ()) = tokio::join!(patient.at(ap), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.heal("us-east");
    });
    let settled = settled.unwrap();
    assert_eq!(settled.status(), TransactionStatus::Settled);
    assert_eq!(settled.transaction_id, unknown.transaction_id);
    assert_eq!(settled.balances_after.len(), 2);
    let read = ap.balance(&payee, session(&settled.token)).await.unwrap();
    assert!(read.posted.unwrap().minor_units >= 300);

    // Personal data is told where it may be read, and nowhere else.
    let id = &settled.transaction_id;
    assert_eq!(by_id(eu, id).await.memo, "memo of t");
    assert_eq!(by_id(us, id).await.memo, "");
    let lines = statement(us, &payee, &settled.token).await;
    let line = lines.iter().find(|line| line.memo == "memo of t").unwrap();
    let there = by_id(us, &line.transaction_id).await;
    assert_eq!(&there.receipt.unwrap().transaction_id, id);
    assert_eq!(there.memo, "memo of t");
    assert_eq!(by_id(ap, &line.transaction_id).await.memo, "");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_tells_who_waits_that_it_was_accepted() {
    let mut cluster = Cluster::start(&THREE_REGIONS).await;
    let payer = cluster.at("eu-west").open("eu-west", "payer").await;
    let payee = cluster.at("us-east").open("us-east", "payee").await;
    let eu = cluster.at("eu-west");
    eu.deposit("d", &payer, 1_000).await.unwrap();
    let (id, mut teller) = (eu.id, eu.teller());
    cluster.cut("us-east");
    let request = Pay::new("t", &payer, &payee, 300).request();
    let waiting = tokio::spawn(async move { teller.transfer(request).await });
    eu.settles_at(&payer, 700).await;
    // It is told at once, well before the default deadline of its call.
    let stopping = tokio::time::timeout(Duration::from_secs(5), cluster.stop(id));
    let told = tokio::time::timeout(Duration::from_secs(5), waiting);
    let (told, _) = tokio::join!(told, stopping);
    let reply = told.expect("it does not wait").unwrap().unwrap();
    let receipt = reply.into_inner().receipt.unwrap();
    assert_eq!(receipt.status(), TransactionStatus::Unknown);
    assert!(!receipt.transaction_id.is_empty());
}

//! What many ask at one time takes few calls, and each gets its own answer.

use std::{sync::Arc, time::Duration};

use node::{
    api::{
        atm::v1::GetBalanceRequest,
        teller::v1::{TransferReply, TransferRequest},
        v1::{
            CommandContext, ReadMode, TransactionStatus,
            read_mode::{Mode, Strong},
        },
    },
    client::{Client, Coalescing, Error, Limits, Options, retry},
    config::Config,
};
use tokio::{task::JoinSet, time::Instant};

use super::network::Failing;
use crate::{
    metrics::scrape::Scraped,
    running::{Running, config, deposit, free_address, open, start_with, strong, usd},
};

struct Bench {
    node: Running,
    metrics: String,
    payer: String,
    payee: String,
    _data: tempfile::TempDir,
}

/// A node with a payer that has money and a payee.
async fn bench() -> Bench {
    let data = tempfile::tempdir().unwrap();
    let metrics = free_address();
    let config = Config {
        metrics_listen: Some(metrics.clone()),
        ..config(data.path())
    };
    let mut node = start_with(config).await;
    let payer = open(&mut node.teller, "payer").await;
    let payee = open(&mut node.teller, "payee").await;
    deposit(&mut node.teller, "d", &payer, 1_000_000)
        .await
        .unwrap();
    Bench {
        node,
        metrics,
        payer,
        payee,
        _data: data,
    }
}

impl Bench {
    fn client(&self, network: &Failing) -> Client {
        let options = Options {
            network: Arc::new(network.clone()),
            ..Options::new("tester")
        };
        Client::new(vec![self.node.address.clone()], options).unwrap()
    }

    fn transfer(&self, key: &str, minor_units: i64) -> TransferRequest {
        TransferRequest {
            context: Some(CommandContext {
                idempotency_key: key.to_owned(),
                ..CommandContext::default()
            }),
            from_account_id: self.payer.clone(),
            to_account_id: self.payee.clone(),
            amount: usd(minor_units),
            ..TransferRequest::default()
        }
    }

    async fn posted(&self, account: &str) -> i64 {
        let balance = strong(&mut self.node.atm.clone(), account).await.unwrap();
        balance.posted.unwrap().minor_units
    }

    /// How often a method was called by clients.
    async fn calls(&self, service: &str, method: &str) -> u32 {
        let scraped = Scraped::of(&self.metrics).await;
        let labels = format!("service={service},method={method},via=client,outcome=OK");
        let count = scraped.get("meridian_requests_total", &labels);
        count.map_or(0, |count| format!("{count:.0}").parse().unwrap())
    }
}

const TELLER: &str = "meridian.teller.v1.Teller";
const ATM: &str = "meridian.atm.v1.Atm";

type Answered = (String, Result<TransferReply, Error>);

fn spawn(calls: &mut JoinSet<Answered>, through: &Coalescing, request: TransferRequest) {
    let through = through.clone();
    let key = request.context.as_ref().unwrap().idempotency_key.clone();
    calls.spawn(async move { (key, through.transfer(request).await) });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transfers_take_few_calls_and_what_fails_fails_alone() {
    let bench = bench().await;
    let together = bench
        .client(&Failing::default())
        .coalescing(Limits::default());
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        spawn(
            &mut calls,
            &together,
            bench.transfer(&format!("t{n}"), n + 1),
        );
    }
    spawn(&mut calls, &together, bench.transfer("too-much", 1 << 50));
    let nobody = TransferRequest {
        to_account_id: "nobody".to_owned(),
        ..bench.transfer("nobody", 1)
    };
    spawn(&mut calls, &together, nobody);
    // Some go away; their money may have moved, nobody else's call is hurt.
    let mut gone = JoinSet::new();
    for n in 0..50 {
        spawn(&mut gone, &together, bench.transfer(&format!("gone{n}"), 0));
    }
    drop(gone);

    let mut done = 0;
    while let Some(call) = calls.join_next().await {
        let (key, answer) = call.unwrap();
        match (key.as_str(), answer) {
            ("too-much", answer) => {
                assert_eq!(answer.unwrap_err().code(), Some("INSUFFICIENT_FUNDS"));
            }
            ("nobody", answer) => {
                assert_eq!(answer.unwrap_err().code(), Some("INVALID_ARGUMENT"));
            }
            (_, answer) => {
                let receipt = answer.unwrap().receipt.unwrap();
                assert_eq!(receipt.idempotency_key, key);
                assert_eq!(receipt.status(), TransactionStatus::Settled);
                assert!(!receipt.duplicate);
                done += 1;
            }
        }
    }
    assert_eq!(done, 1_000);
    assert_eq!(bench.posted(&bench.payee).await, 500_500);
    let batches = bench.calls(TELLER, "SubmitBatch").await;
    assert!((1..=60).contains(&batches), "{batches} batches");
    assert_eq!(bench.calls(TELLER, "Transfer").await, 0);
    eprintln!("1,000 transfers in {batches} calls");

    // Again: every key answers what it answered.
    for n in [0, 17, 999] {
        let request = bench.transfer(&format!("t{n}"), n + 1);
        let receipt = together.transfer(request).await.unwrap().receipt.unwrap();
        assert!(receipt.duplicate);
    }
    bench.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_go_together_by_mode_and_each_gets_its_own_account() {
    let mut bench = bench().await;
    let mut accounts = vec![bench.payer.clone(), bench.payee.clone()];
    for n in 0..30 {
        let account = open(&mut bench.node.teller, &format!("a{n}")).await;
        deposit(&mut bench.node.teller, &format!("in{n}"), &account, n + 1)
            .await
            .unwrap();
        accounts.push(account);
    }
    let together = bench
        .client(&Failing::default())
        .coalescing(Limits::default());
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        let (together, account_id) = (together.clone(), accounts[n % accounts.len()].clone());
        // Some ask for the truth, and a few for nobody.
        let account_id = if n % 100 == 99 {
            "nobody".to_owned()
        } else {
            account_id
        };
        let mode = (n % 3 == 0).then_some(ReadMode {
            mode: Some(Mode::Strong(Strong {})),
        });
        calls.spawn(async move {
            let strong = mode.is_some();
            let request = GetBalanceRequest {
                account_id: account_id.clone(),
                mode,
            };
            (account_id, strong, together.balance(request).await)
        });
    }
    while let Some(call) = calls.join_next().await {
        let (account_id, strong, answer) = call.unwrap();
        if account_id == "nobody" {
            assert_eq!(answer.unwrap_err().code(), Some("INVALID_ARGUMENT"));
            continue;
        }
        // What was just opened may not have reached the views: the refusal is then its own.
        match answer {
            Ok(reply) => assert_eq!(reply.balance.unwrap().account_id, account_id),
            Err(error) => assert!(
                !strong && error.code() == Some("ACCOUNT_NOT_FOUND"),
                "{error}"
            ),
        }
    }
    let batches = bench.calls(ATM, "GetBalances").await;
    assert!((1..=60).contains(&batches), "{batches} batches");
    eprintln!("1,000 questions in {batches} calls");
    bench.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_is_sent_again_under_the_same_keys() {
    let bench = bench().await;
    let network = Failing::default();
    let together = bench.client(&network).coalescing(Limits::default());
    together.transfer(bench.transfer("first", 1)).await.unwrap();
    network.lose_an_answer();
    let mut calls = JoinSet::new();
    for n in 0..100 {
        spawn(&mut calls, &together, bench.transfer(&format!("t{n}"), 10));
    }
    let mut again = 0;
    while let Some(call) = calls.join_next().await {
        let (key, answer) = call.unwrap();
        let receipt = answer.unwrap().receipt.unwrap();
        assert_eq!(receipt.idempotency_key, key);
        again += u32::from(receipt.duplicate);
    }
    assert!(again > 0, "no answer was lost");
    assert_eq!(bench.posted(&bench.payee).await, 1_001);
    bench.node.stop().await;
}

#[tokio::test]
async fn all_ways_of_a_client_pay_from_one_budget() {
    let network = Failing::default();
    network.refuse();
    let options = Options {
        network: Arc::new(network.clone()),
        budget: 4,
        retry: retry::Policy {
            first: Duration::from_millis(2),
            longest: Duration::from_millis(2),
        },
        ..Options::new("tester")
    };
    let client = Client::new(vec!["10.0.0.1:1".to_owned()], options).unwrap();
    let together = client.coalescing(Limits::default());
    let question = GetBalanceRequest::default;
    assert!(together.balance(question()).await.is_err());
    assert_eq!(
        network.connects(),
        5,
        "one attempt, and what the budget pays for"
    );

    // It is empty for all: each makes one attempt.
    assert!(client.balance(question()).await.is_err());
    assert!(client.clone().session().balance(question()).await.is_err());
    let elsewhere = client.at(vec!["10.0.0.2:1".to_owned()]).unwrap();
    assert!(elsewhere.balance(question()).await.is_err());
    assert!(together.transfer(TransferRequest::default()).await.is_err());
    assert!(client.transfer(TransferRequest::default()).await.is_err());
    assert_eq!(network.connects(), 10);
}

/// Single transfers of 256 callers, by themselves and together:
/// `cargo test --release --workspace --test nodes client_discovery -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn how_much_is_gained() {
    const CALLERS: usize = 256;
    const TURNS: usize = 40;
    let bench = Arc::new(bench().await);
    let client = bench.client(&Failing::default());
    let together = client.coalescing(Limits::default());
    let mut rates = Vec::new();
    for round in [
        "warm-alone",
        "warm-together",
        "alone",
        "together",
        "alone-2",
        "together-2",
    ] {
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for caller in 0..CALLERS {
            let (bench, client, together) = (bench.clone(), client.clone(), together.clone());
            calls.spawn(async move {
                for turn in 0..TURNS {
                    let request = bench.transfer(&format!("{round}/{caller}/{turn}"), 1);
                    let reply = if round.contains("alone") {
                        client.transfer(request).await
                    } else {
                        together.transfer(request).await
                    };
                    reply.unwrap();
                }
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap();
        }
        let millis = began.elapsed().as_millis().max(1);
        let rate = (CALLERS * TURNS) as u128 * 1_000 / millis;
        eprintln!("{round}: {rate} transfers/s");
        rates.push(rate);
    }
    eprintln!(
        "together / alone: {} %",
        (rates[3] + rates[5]) * 100 / (rates[2] + rates[4])
    );
}

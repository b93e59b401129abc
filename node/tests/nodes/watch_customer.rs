//! A customer that is watched: every line of every account it has and gets, over whoever tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::StreamExt as _;
use node::{
    api::{
        atm::v1::{WatchReply, WatchRequest},
        teller::v1::{
            AttachAccountRequest, CloseAccountRequest, DepositRequest, DetachAccountRequest,
            OpenAccountRequest, RegisterCustomerRequest, WithdrawRequest,
        },
    },
    client::{Client, Options, Watching},
};

use crate::cluster::{Cluster, PATIENCE, THREE_REGIONS, code, usd};

fn of(customer: &str) -> WatchRequest {
    WatchRequest {
        customer_id: customer.to_owned(),
        ..WatchRequest::default()
    }
}

/// What was told: the accounts, the balances after each line, and what each had last.
#[derive(Default)]
struct Notes {
    accounts: BTreeSet<String>,
    lines: BTreeMap<String, Vec<i64>>,
    posted: BTreeMap<String, i64>,
    versions: BTreeMap<String, u64>,
    /// Who told, the last last.
    nodes: Vec<String>,
}

impl Notes {
    fn note(&mut self, reply: WatchReply) {
        assert!(reply.customer_true_at.is_some(), "{reply:?}");
        let node = reply.served_by.unwrap().node;
        if self.nodes.last() != Some(&node) {
            self.nodes.push(node);
        }
        if let Some(customer) = reply.customer {
            assert!(customer.position.is_some());
            self.accounts = customer.account_ids.into_iter().collect();
        }
        for change in reply.changes {
            let id = change.account_id;
            assert!(self.accounts.contains(&id), "{id}");
            let known = self.versions.insert(id.clone(), change.version);
            assert!(known.is_none_or(|known| known < change.version), "{id}");
            let posted = change.posted.unwrap().minor_units;
            self.posted.insert(id.clone(), posted);
            if change.line.is_some() {
                self.lines.entry(id).or_default().push(posted);
            }
        }
    }

    async fn hear_until(&mut self, watching: &mut Watching, is_so: impl Fn(&Self) -> bool) {
        let hearing = async {
            while !is_so(self) {
                self.note(watching.next().await.unwrap().unwrap());
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hearing).await;
        heard.expect("it is told in time");
    }
}

async fn deposit(client: &Client, account: &str, amount: i64) {
    let request = DepositRequest {
        account_id: account.to_owned(),
        amount: usd(amount),
        ..DepositRequest::default()
    };
    client.deposit(request).await.unwrap();
}

async fn open(client: &Client, region: &str, customer: &str) -> String {
    let request = OpenAccountRequest {
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        customer_id: customer.to_owned(),
        ..OpenAccountRequest::default()
    };
    client.open_account(request).await.unwrap().account_id
}

async fn register(client: &Client) -> String {
    let request = RegisterCustomerRequest {
        home_region: "us-east".to_owned(),
        ..RegisterCustomerRequest::default()
    };
    client.register_customer(request).await.unwrap().customer_id
}

#[tokio::test(flavor = "multi_thread")]
async fn every_account_of_a_customer_is_told_also_one_that_it_gets_and_over_nodes_that_end() {
    let mut cluster = Cluster::start(&THREE_REGIONS).await;
    // The nearest of those that tell is stopped; the shard of no account that is written to is.
    let addresses = ["ap-south", "eu-west"].map(|region| cluster.at(region).address.clone());
    let mut options = Options::new("watcher");
    options.deadline = PATIENCE;
    let watcher = Client::new(addresses.to_vec(), options).unwrap();
    let teller = cluster.at("us-east").address.clone();
    let teller = Client::new(vec![teller], Options::new("teller")).unwrap();

    let customer = register(&teller).await;
    let mut notes = Notes::default();
    let mut watching = watcher.watch(of(&customer));
    let reply = watching.next().await.unwrap().unwrap();
    assert!(reply.customer.as_ref().unwrap().account_ids.is_empty());
    notes.note(reply);
    // Nobody is silent about who has nothing.
    for _ in 0..6 {
        let reply = tokio::time::timeout(PATIENCE / 4, watching.next()).await;
        notes.note(reply.expect("a word in time").unwrap().unwrap());
    }
    assert_eq!(notes.nodes.len(), 1, "{:?}", notes.nodes);

    // It gets accounts while it is watched.
    let near = open(&teller, "us-east", &customer).await;
    let far = open(&teller, "eu-west", &customer).await;
    let both = |notes: &Notes| notes.posted.len() == 2;
    notes.hear_until(&mut watching, both).await;
    for n in 1..=20 {
        deposit(&teller, &near, n).await;
        deposit(&teller, &far, n).await;
    }
    let all = |notes: &Notes| [&near, &far].map(|id| notes.posted[id]) == [210, 210];
    notes.hear_until(&mut watching, all).await;

    // One that is there and has a past is told as what it is.
    let other = open(&teller, "us-east", "").await;
    deposit(&teller, &other, 500).await;
    let attach = AttachAccountRequest {
        customer_id: customer.clone(),
        account_id: other.clone(),
        ..AttachAccountRequest::default()
    };
    teller.attach_account(attach).await.unwrap();
    let known = |notes: &Notes| notes.posted.get(&other) == Some(&500);
    notes.hear_until(&mut watching, known).await;
    assert!(!notes.lines.contains_key(&other));

    // Who tells stops in the middle, and another goes on.
    let telling = notes.nodes.last().unwrap().clone();
    let id = cluster.nodes().iter().find(|it| it.name == telling);
    let id = id.unwrap().id;
    for n in 1..=10 {
        deposit(&teller, &near, n).await;
        deposit(&teller, &other, n).await;
    }
    cluster.stop(id).await;
    for n in 1..=10 {
        deposit(&teller, &near, n).await;
        deposit(&teller, &other, n).await;
    }
    let all = |notes: &Notes| [&near, &other].map(|id| notes.posted[id]) == [320, 610];
    notes.hear_until(&mut watching, all).await;
    assert!(notes.nodes.last() != Some(&telling), "{:?}", notes.nodes);
    let sums = |from: i64, amounts: &[i64]| -> Vec<i64> {
        let sums = amounts.iter().scan(from, |sum, amount| {
            *sum += amount;
            Some(*sum)
        });
        sums.collect()
    };
    let twenty: Vec<_> = (1..=20).collect();
    let twice: Vec<_> = (1..=10).chain(1..=10).collect();
    let all = [twenty.clone(), twice.clone()].concat();
    assert_eq!(notes.lines[&near], sums(0, &all));
    assert_eq!(notes.lines[&far], sums(0, &twenty));
    assert_eq!(notes.lines[&other], sums(500, &twice));
    cluster.restart(id).await;

    // One that is closed and gone is told of no more.
    let withdraw = WithdrawRequest {
        account_id: other.clone(),
        amount: usd(610),
        ..WithdrawRequest::default()
    };
    teller.withdraw(withdraw).await.unwrap();
    let close = CloseAccountRequest {
        account_id: other.clone(),
        ..CloseAccountRequest::default()
    };
    teller.close_account(close).await.unwrap();
    let detach = DetachAccountRequest {
        customer_id: customer.clone(),
        account_id: other.clone(),
        ..DetachAccountRequest::default()
    };
    teller.detach_account(detach).await.unwrap();
    let gone = |notes: &Notes| !notes.accounts.contains(&other);
    notes.hear_until(&mut watching, gone).await;
    assert_eq!(notes.accounts.len(), 2);

    // By the command line, as a person reads it.
    let told = tokio::process::Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["watch", &customer, "--count", "3", "--node"])
        .arg(&cluster.at("us-east").address)
        .output();
    let told = tokio::time::timeout(Duration::from_secs(30), told).await;
    let told = String::from_utf8(told.unwrap().unwrap().stdout).unwrap();
    assert!(told.contains("the customer's accounts: 2"), "{told}");
    assert!(told.contains("3.20") && told.contains("2.10"), "{told}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_watched_is_said_once_and_is_somebody() {
    let cluster = Cluster::start(&THREE_REGIONS[..1]).await;
    let node = cluster.node(1);
    let account = node.open("ap-south", "a").await;
    let nobody = "customer:ap-south.0000-0000-0000-0000-0";
    let both = WatchRequest {
        account_ids: vec![account],
        ..of(nobody)
    };
    for (request, expected) in [
        (both, "INVALID_ARGUMENT"),
        (of("customer:x"), "INVALID_ARGUMENT"),
        (of("nobody"), "INVALID_ARGUMENT"),
    ] {
        assert_eq!(code(node.atm().watch(request).await), expected);
    }
    let request = RegisterCustomerRequest {
        home_region: "ap-south".to_owned(),
        ..RegisterCustomerRequest::default()
    };
    // Made, and not known: the id that the key would have.
    let made = {
        let mut request = request;
        let context = request.context.get_or_insert_default();
        context.idempotency_key = "k".to_owned();
        context.dry_run = true;
        node.teller().register_customer(request).await.unwrap()
    };
    let unknown = made.into_inner().customer_id;
    assert_eq!(
        code(node.atm().watch(of(&unknown)).await),
        "CUSTOMER_NOT_FOUND"
    );
    cluster.shutdown().await;
}

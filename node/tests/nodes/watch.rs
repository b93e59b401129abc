//! Accounts that are watched: each line is told once, whatever becomes of the nodes that tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use node::{
    api::{
        atm::v1::{GetStatementRequest, StatementLine, WatchChange, WatchReply, WatchRequest},
        rejection,
        teller::v1::{
            BatchCommand, DepositRequest, OpenAccountRequest, SubmitBatchRequest, TransferRequest,
            Wait, WithdrawRequest, batch_command::Command,
        },
        v1::{
            CommandContext, Position, ReadMode,
            read_mode::{Mode, Strong},
        },
    },
    client::{Client, Options, Watching},
};
use tonic::{Request, Status, Streaming};

use crate::{
    cluster::{Cluster, Node, PATIENCE, Region, THREE_REGIONS, code, usd},
    processes::{HOME, Processes},
};

const ABROAD: Region = Region {
    name: "abroad",
    time_zone: "UTC",
    nodes: 1,
};

pub fn of(accounts: &[String]) -> WatchRequest {
    WatchRequest {
        account_ids: accounts.to_vec(),
        ..WatchRequest::default()
    }
}

pub fn after(accounts: &[String], token: &str) -> WatchRequest {
    WatchRequest {
        resume_token: token.to_owned(),
        ..of(accounts)
    }
}

/// A line as it is compared: the transaction, what the account gained, and its balance after.
type Told = (String, i64, i64);

fn compared(line: &StatementLine) -> Told {
    let units = |money: &Option<_>| match money {
        Some(node::api::v1::Money { minor_units, .. }) => *minor_units,
        None => panic!("{line:?}"),
    };
    assert!(line.memo.is_empty());
    (
        line.transaction_id.clone(),
        units(&line.amount),
        units(&line.balance_after),
    )
}

/// All that was told of each account, checked as it comes.
#[derive(Default)]
struct Notes {
    lines: BTreeMap<String, Vec<Told>>,
    versions: BTreeMap<String, u64>,
    nodes: BTreeSet<String>,
    token: String,
}

impl Notes {
    fn note(&mut self, reply: &WatchReply) {
        self.token.clone_from(&reply.resume_token);
        self.nodes.insert(reply.served_by.clone().unwrap().node);
        assert!(reply.position.is_some() && reply.true_at.is_some());
        for WatchChange {
            account_id,
            version,
            posted,
            line,
            ..
        } in &reply.changes
        {
            let known = self.versions.insert(account_id.clone(), *version);
            // What an account is may be told again; a line may not.
            let is_due =
                known.is_none_or(|known| known < *version || known == *version && line.is_none());
            assert!(is_due, "{known:?}: {reply:?}");
            if let Some(line) = line {
                assert_eq!(*posted, line.balance_after);
                let lines = self.lines.entry(account_id.clone()).or_default();
                lines.push(compared(line));
            }
        }
    }

    fn count(&self) -> usize {
        self.lines.values().map(Vec::len).sum()
    }

    async fn hear(&mut self, watching: &mut Watching) {
        let reply = tokio::time::timeout(PATIENCE, watching.next()).await;
        self.note(&reply.expect("a word in time").unwrap().unwrap());
    }

    async fn hear_until(&mut self, watching: &mut Watching, count: usize) {
        // Heartbeats go on where a line is missing.
        let hearing = async {
            while self.count() < count {
                self.hear(watching).await;
            }
        };
        let heard = tokio::time::timeout(2 * PATIENCE, hearing).await;
        heard.expect("every line is told in time");
    }
}

/// The whole statement of an account, as its home has it.
async fn statement(client: &Client, account: &str) -> Vec<Told> {
    let mut lines = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = GetStatementRequest {
            account_id: account.to_owned(),
            mode: Some(ReadMode {
                mode: Some(Mode::Strong(Strong {})),
            }),
            page_size: 1_000,
            page_token,
            ..GetStatementRequest::default()
        };
        let page = client.statement(request).await.unwrap();
        let wordless = page.lines.iter().map(|line| StatementLine {
            memo: String::new(),
            ..line.clone()
        });
        lines.extend(wordless.map(|line| compared(&line)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return lines;
        }
    }
}

fn client_of(addresses: &[&str]) -> Client {
    let addresses = addresses.iter().map(|&it| it.to_owned()).collect();
    let mut options = Options::new("watcher");
    options.deadline = PATIENCE;
    Client::new(addresses, options).unwrap()
}

async fn open(client: &Client, region: &str) -> String {
    let request = OpenAccountRequest {
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        ..OpenAccountRequest::default()
    };
    client.open_account(request).await.unwrap().account_id
}

/// Pays in, on to the other account, and out of it, again and again.
async fn write(client: Client, from: String, to: String, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let deposit = DepositRequest {
            account_id: from.clone(),
            amount: usd(3),
            ..DepositRequest::default()
        };
        client.deposit(deposit).await.unwrap();
        let transfer = TransferRequest {
            from_account_id: from.clone(),
            to_account_id: to.clone(),
            amount: usd(2),
            wait: Wait::Accepted.into(),
            ..TransferRequest::default()
        };
        client.transfer(transfer).await.unwrap();
        let withdraw = WithdrawRequest {
            account_id: from.clone(),
            amount: usd(1),
            ..WithdrawRequest::default()
        };
        client.withdraw(withdraw).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_every_line_once_over_killed_nodes_and_in_another_region() {
    let mut processes = Processes::start_with(&[ABROAD], 20).await;
    let teller = processes.client();
    let addresses: Vec<_> = processes
        .members
        .iter()
        .map(|it| it.address.clone())
        .collect();
    let [first, second, third, abroad] = [0, 1, 2, 3].map(|n| addresses[n].as_str());
    let accounts = [
        open(&teller, HOME.name).await,
        open(&teller, HOME.name).await,
        open(&teller, ABROAD.name).await,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let writers = [[0, 1], [1, 0], [0, 2]].map(|[from, to]| {
        let (from, to) = (accounts[from].clone(), accounts[to].clone());
        tokio::spawn(write(processes.client(), from, to, stop.clone()))
    });

    // Every line from the openings on, which have none.
    let mut notes = Notes::default();
    let from = [1, 2].map(|shard| Position {
        shard,
        epoch: 1,
        index: 0,
    });
    let request = WatchRequest {
        from: from.to_vec(),
        ..of(&accounts)
    };
    let mut watching = client_of(&[first, second, third]).watch(request);
    notes.hear_until(&mut watching, 100).await;
    // Who tells is killed, and the client goes on with the next; that one too.
    processes.members[0].kill();
    notes.hear_until(&mut watching, 250).await;
    processes.members[0].start();
    processes.leader().await;
    processes.members[1].kill();
    notes.hear_until(&mut watching, 400).await;
    processes.members[1].start();
    processes.leader().await;

    // It is gone on with in another region, by the token of what was read last.
    drop(watching);
    let mut watching = client_of(&[abroad]).watch(after(&accounts, &notes.token));
    let aim = notes.count() + 150;
    notes.hear_until(&mut watching, aim).await;
    // Its only node is killed and comes back over what it has on disk.
    processes.members[3].kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    processes.members[3].start();
    let aim = notes.count() + 300;
    notes.hear_until(&mut watching, aim).await;
    // Back home, again and again.
    for n in 0..20 {
        drop(watching);
        let near = [first, second, third][n % 3];
        watching = client_of(&[near]).watch(after(&accounts, &notes.token));
        let aim = notes.count() + 5;
        notes.hear_until(&mut watching, aim).await;
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    // What is still on its way between the shards arrives first.
    let total = async || {
        let mut all = BTreeMap::new();
        for account in &accounts {
            all.insert(account.clone(), statement(&teller, account).await);
        }
        all
    };
    let mut before = total().await;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = total().await;
        if std::mem::replace(&mut before, now.clone()) == now {
            break;
        }
    }
    let all: usize = before.values().map(Vec::len).sum();
    notes.hear_until(&mut watching, all).await;
    // Until heartbeats say that there is no more.
    for _ in 0..4 {
        notes.hear(&mut watching).await;
    }
    for (account, lines) in &before {
        assert!(
            *lines == notes.lines[account],
            "{account}: {} lines",
            lines.len()
        );
    }
    assert!(notes.nodes.len() >= 4, "{:?}", notes.nodes);
}

async fn watch(node: &Node, request: WatchRequest) -> Result<Streaming<WatchReply>, Status> {
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    Ok(node.atm().watch(request).await?.into_inner())
}

async fn reply(replies: &mut Streaming<WatchReply>) -> WatchReply {
    let reply = tokio::time::timeout(PATIENCE, replies.message()).await;
    reply.expect("a word in time").unwrap().unwrap()
}

/// The next reply with changes.
async fn news(replies: &mut Streaming<WatchReply>) -> WatchReply {
    loop {
        let reply = reply(replies).await;
        if !reply.changes.is_empty() {
            return reply;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_with_balances_and_tells_what_moves_nothing_and_that_there_is_no_news() {
    use node::api::teller::v1::PlaceHoldRequest;
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at("eu-west"), cluster.at("ap-south"));
    let account = home.open("eu-west", "a").await;
    let paid = home.deposit("d", &account, 700).await.unwrap();
    let covering = Mode::Session(node::api::v1::read_mode::Session {
        tokens: vec![paid.token],
    });
    far.balance(&account, covering).await.unwrap();
    // It need not be known there yet.
    let other = home.open("us-east", "b").await;
    let accounts = [account.clone(), other.clone(), account.clone()];
    let mut replies = watch(far, of(&accounts)).await.unwrap();
    let begun = [news(&mut replies).await, news(&mut replies).await];
    let mut now: Vec<_> = begun.iter().flat_map(|it| &it.changes).collect();
    now.sort_by_key(|it| it.account_id != account);
    assert_eq!(now.len(), 2, "{now:?}");
    assert_eq!(
        (now[0].posted.clone(), now[1].posted.clone()),
        (usd(700), usd(0))
    );
    assert!(
        now.iter()
            .all(|it| it.line.is_none() && it.available == it.posted)
    );
    assert_eq!(begun[0].served_by.as_ref().unwrap().region, "ap-south");

    let hold = PlaceHoldRequest {
        account_id: account.clone(),
        amount: usd(200),
        ..PlaceHoldRequest::default()
    };
    home.teller().place_hold(hold).await.unwrap();
    let held = news(&mut replies).await;
    let [change] = &held.changes[..] else {
        panic!("{held:?}");
    };
    assert_eq!(change.version, now[0].version + 1);
    assert_eq!(
        (change.posted.clone(), change.held.clone()),
        (usd(700), usd(200))
    );
    assert_eq!((change.available.clone(), &change.line), (usd(500), &None));

    home.transfer("t", &account, &other, 100).await.unwrap();
    let mut lines = BTreeMap::new();
    while lines.len() < 2 {
        for change in news(&mut replies).await.changes {
            if let Some(line) = change.line {
                lines.insert(change.account_id, line);
            }
        }
    }
    assert_eq!(
        (
            lines[&account].amount.clone(),
            lines[&account].kind.as_str()
        ),
        (usd(-100), "transfer-out")
    );
    assert_eq!(lines[&account].counterparty, other);
    assert_eq!(
        (lines[&other].amount.clone(), lines[&other].kind.as_str()),
        (usd(100), "transfer-in")
    );
    assert!(!lines[&other].effective_date.is_empty() && lines[&other].booked_at.is_some());

    // Of both shards, without anything that happens.
    let mut quiet = BTreeSet::new();
    while quiet.len() < 2 {
        let heard = reply(&mut replies).await;
        assert!(
            heard.true_at.is_some() && heard.staleness_bound_ms < 60_000,
            "{heard:?}"
        );
        if heard.changes.is_empty() {
            quiet.insert(heard.position.unwrap().shard);
        }
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_behind_a_token_waits_and_never_goes_back() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, far) = (cluster.at("eu-west"), cluster.at("ap-south"));
    let accounts = [home.open("eu-west", "a").await];
    home.deposit("known", &accounts[0], 1).await.unwrap();
    let mut replies = watch(home, of(&accounts)).await.unwrap();
    let first = news(&mut replies).await;
    crate::cluster::eventually("it is known abroad", async || {
        let found = far
            .balance(&accounts[0], Mode::Local(Default::default()))
            .await;
        found.is_ok_and(|found| found.posted == usd(1))
    })
    .await;
    cluster.cut("eu-west");
    home.deposit("told", &accounts[0], 2).await.unwrap();
    let told = news(&mut replies).await;
    let receipt = home.deposit("untold", &accounts[0], 4).await.unwrap();
    let mut hasty = Request::new(after(&accounts, &told.resume_token));
    hasty.set_timeout(Duration::from_secs(1));
    let refused = far.atm().watch(hasty).await;
    assert_eq!(code(refused), rejection::NOT_HERE_YET);
    // From an older place it is told at once what is known here: nothing.
    let older = after(&accounts, &first.resume_token);
    let behind = reply(&mut watch(far, older).await.unwrap()).await;
    assert!(
        behind.changes.iter().all(|it| it.line.is_none()),
        "{behind:?}"
    );

    let waiting = watch(far, after(&accounts, &told.resume_token));
    let healing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.heal("eu-west");
    };
    let (replies, ()) = tokio::join!(waiting, healing);
    let mut replies = replies.unwrap();
    let index = |reply: &WatchReply| reply.position.unwrap().index;
    let line = loop {
        let reply = reply(&mut replies).await;
        assert!(index(&reply) >= index(&told));
        if let Some(line) = reply.changes.into_iter().find_map(|it| it.line) {
            break line;
        }
    };
    assert_eq!(line.transaction_id, receipt.transaction_id);
    cluster.shutdown().await;
}

fn deposits(accounts: &[String], from: usize, count: usize) -> SubmitBatchRequest {
    let commands = (from..from + count).map(|n| {
        let request = DepositRequest {
            context: Some(CommandContext {
                idempotency_key: format!("d{n}"),
                ..CommandContext::default()
            }),
            account_id: accounts[n % accounts.len()].clone(),
            amount: usd(1),
            ..DepositRequest::default()
        };
        BatchCommand::from(Command::Deposit(request))
    });
    SubmitBatchRequest {
        commands: commands.collect(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_slowly_is_told_all_and_every_token_is_a_place_to_go_on_from() {
    const EACH: usize = 1_000;
    let alone = Region {
        name: "home",
        time_zone: "UTC",
        nodes: 1,
    };
    let cluster = Cluster::start(&[alone]).await;
    let node = cluster.at("home");
    let mut accounts = Vec::new();
    for key in ["a", "b", "c"] {
        accounts.push(node.open("home", key).await);
    }
    let begun = watch(node, of(&accounts)).await.unwrap();
    let mut slow = begun;
    let start = news(&mut slow).await.resume_token;
    // Many in one entry: more than fits a reply.
    for n in 0..4 {
        let batch = deposits(&accounts, n * EACH, EACH);
        node.teller().submit_batch(batch).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One goes on in the same stream, the other one begins a new one after every reply.
    let (mut notes, mut again) = (Notes::default(), Notes::default());
    while notes.count() < 4 * EACH {
        notes.note(&reply(&mut slow).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    again.token = start;
    let mut within = 0;
    while again.count() < 4 * EACH {
        let mut replies = watch(node, after(&accounts, &again.token)).await.unwrap();
        let reply = reply(&mut replies).await;
        assert!(reply.changes.len() <= 256 + accounts.len());
        again.note(&reply);
        // The place is an account's line and not the end of an entry.
        within += usize::from(again.token.contains("home."));
    }
    assert!(within > 4, "{within} tokens within an entry");
    assert!(
        notes.lines == again.lines,
        "the same lines in the same order"
    );
    let client = client_of(&[&node.address]);
    for account in &accounts {
        let lines = statement(&client, account).await;
        assert!(lines == notes.lines[account], "{account}: {}", lines.len());
    }
    cluster.shutdown().await;
}

//! Replicas of a shard that are added and removed while it runs: real disks and sockets.

use std::{
    ops::ControlFlow,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use node::{
    api::{
        admin::v1::{
            ChangeVotersReply, ChangeVotersRequest, Replica, ReplicaRole, ReplicasRequest,
        },
        rejection,
        teller::v1::DepositRequest,
        v1::{
            CommandContext, Money,
            read_mode::{Local, Mode},
        },
    },
    client::{Client, Options},
    config::Limits,
};
use tokio::{task::JoinHandle, time::sleep};
use tonic::Status;

use crate::cluster::{Cluster, PATIENCE, Region, code, usd};

const HOME: &str = "eu-west";
const SHARD: u32 = 1;

fn region(nodes: usize) -> Region {
    Region {
        name: HOME,
        time_zone: "Europe/Dublin",
        nodes,
    }
}

/// A command line, asked at one node. What it says, and how it ends.
async fn meridian(address: &str, arguments: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(["--node", address, "--deadline", "30"]);
    command.args(arguments).env("RUST_LOG", "off");
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = running.await.unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let code = output.status.code().expect("it ended by itself");
    (String::from_utf8(said).unwrap(), code)
}

async fn replicas(cluster: &Cluster, at: u64) -> Vec<Replica> {
    let mut admin = cluster.node(at).admin();
    let request = ReplicasRequest { shard: Some(SHARD) };
    let reply = admin.replicas(request).await.unwrap();
    reply.into_inner().replicas
}

async fn replica(cluster: &Cluster, at: u64, of: u64) -> Replica {
    let name = &cluster.node(of).name;
    let mut found = replicas(cluster, at).await.into_iter();
    found.find(|it| it.node == *name).expect("it is listed")
}

async fn leader(cluster: &Cluster, at: u64) -> u64 {
    let found = replicas(cluster, at).await.into_iter();
    let leads = found.filter(|it| it.leads).map(|it| it.node).next();
    let leads = leads.expect("somebody leads");
    let mut nodes = cluster.nodes().iter();
    nodes.find(|node| node.name == leads).unwrap().id
}

async fn until<F: Future<Output = bool>>(what: &str, mut met: impl FnMut() -> F) {
    let waiting = async {
        while !met().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "it does not come to that {what}");
}

/// Deposits of one cent, each asked for until it is acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicI64>,
    tellers: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(addresses: Vec<String>, account: &str) -> Self {
        let stop = Arc::new(AtomicBool::default());
        let acknowledged = Arc::new(AtomicI64::default());
        let tellers = (0..4).map(|teller| {
            let client = Client::new(addresses.clone(), Options::new("load")).unwrap();
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            let account = account.to_owned();
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = DepositRequest {
                        context: Some(CommandContext {
                            idempotency_key: format!("cent {teller} {number}"),
                            ..CommandContext::default()
                        }),
                        account_id: account.clone(),
                        amount: Some(Money {
                            minor_units: 1,
                            currency: "USD".to_owned(),
                        }),
                        ..DepositRequest::default()
                    };
                    while client.deposit(request.clone()).await.is_err() {
                        sleep(Duration::from_millis(50)).await;
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let tellers = tellers.collect();
        Self {
            stop,
            acknowledged,
            tellers,
        }
    }

    fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    async fn more(&self, by: i64) {
        let wanted = self.acknowledged() + by;
        until("more is acknowledged", || async {
            self.acknowledged() >= wanted
        })
        .await;
    }

    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        for teller in self.tellers {
            teller.await.unwrap();
        }
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Whether a leader no longer has the beginning of the log to give, only its snapshot.
fn has_purged(cluster: &Cluster, node: u64) -> bool {
    const PURGED: u8 = 0x22;
    let mut found = false;
    let engine = cluster.log_of(node);
    let mut see = |_: &[u8], _: &[u8]| {
        found = true;
        ControlFlow::Break(())
    };
    engine.scan(&[PURGED]..&[PURGED + 1], &mut see).unwrap();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_is_replaced_under_load_and_nothing_acknowledged_is_lost() {
    let limits = Limits {
        snapshot_bytes: 4 << 10,
        snapshot_seconds: 1,
        snapshot_entries: 20,
        ..Limits::default()
    };
    let mut cluster = Cluster::start_limited(&[region(3)], 0, |_| {}, limits).await;
    let account = cluster.at(HOME).open(HOME, "cents").await;
    let new = cluster.add_node(HOME);
    let name = cluster.node(new).name.clone();
    let addresses = cluster.nodes().iter().map(|node| node.address.clone());
    let load = Load::begin(addresses.collect(), &account);
    load.more(300).await;
    until("every voter has purged", || async {
        (1..=3).all(|node| has_purged(&cluster, node))
    })
    .await;

    cluster.restart_in_turn().await;
    cluster.restart(new).await;
    let waits = replica(&cluster, 1, new).await;
    assert_eq!(waits.role(), ReplicaRole::Waiting);
    let seen = cluster.node(2).address.clone();
    let (said, exit) = meridian(&seen, &["status"]).await;
    assert_eq!(exit, 0);
    let line = format!("Shard 1: {name} is no voter (waiting).");
    assert!(said.contains(&line), "{said}");

    let shard = ["--shard", "1"];
    let add = [&["replica", "add"], &shard[..], &[&name]].concat();
    let (said, exit) = meridian(&seen, &add).await;
    assert_eq!(exit, 0, "{said}");
    assert_eq!(
        replica(&cluster, 1, new).await.role(),
        ReplicaRole::Voter,
        "{said}"
    );
    load.more(50).await;

    let lost = leader(&cluster, new).await;
    let lost = if lost == new { 1 } else { lost };
    cluster.lose(lost).await;
    let asked = cluster.node(new).address.clone();
    let gone = cluster.node(lost).name.clone();
    let remove = [&["replica", "remove"], &shard[..], &[&gone, "--json"]].concat();
    let (said, exit) = meridian(&asked, &remove).await;
    assert_eq!(exit, 0, "{said}");
    let removed = replica(&cluster, new, lost).await;
    assert_eq!(removed.role(), ReplicaRole::Removed);
    assert!(!removed.reachable);
    load.more(50).await;
    let sum = load.end().await;

    // Of three voters one more is away: the new one's vote is needed.
    let away = (1..=3).find(|node| *node != lost).unwrap();
    cluster.stop(away).await;
    let node = cluster.node(new);
    node.settles_at(&account, sum).await;
    until("its views have all", || async {
        let balance = node.balance(&account, Mode::Local(Local::default())).await;
        balance.is_ok_and(|balance| balance.posted == usd(sum))
    })
    .await;
    until("the history has come", || async {
        replica(&cluster, new, new).await.missing == 0
    })
    .await;
    cluster.stop(new).await;
    let data = cluster.data(cluster.node(new));
    let (said, exit) = meridian(&asked, &["verify", data.to_str().unwrap()]).await;
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("Shard 1"), "{said}");
    cluster.shutdown().await;
}

/// Asks until it is done, whoever leads meanwhile.
async fn change(
    cluster: &Cluster,
    at: u64,
    add: &str,
    remove: &str,
) -> Result<ChangeVotersReply, Status> {
    loop {
        let request = ChangeVotersRequest {
            shard: SHARD,
            add: add.to_owned(),
            remove: remove.to_owned(),
        };
        let answer = cluster.node(at).admin().change_voters(request).await;
        match answer {
            Ok(reply) if reply.get_ref().done => return Ok(reply.into_inner()),
            Ok(_) => {}
            Err(status) if rejection::from_status(&status).is_none_or(|it| it.retryable) => {}
            Err(status) => return Err(status),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_changes_nothing_and_a_copy_becomes_a_voter() {
    let mut cluster = Cluster::start_shaped(&[region(4)], 0, |topology| {
        topology.shards[0].voters.pop();
    })
    .await;
    let account = cluster.at(HOME).open(HOME, "cents").await;
    cluster.node(1).deposit("one", &account, 100).await.unwrap();
    let names = |cluster: &Cluster, id: u64| cluster.node(id).name.clone();
    let fourth = names(&cluster, 4);
    assert_eq!(
        code(change(&cluster, 1, &fourth, "").await),
        "REPLICA_NOT_HELD"
    );
    assert_eq!(
        code(change(&cluster, 1, "nobody", "").await),
        "NODE_NOT_FOUND"
    );
    assert_eq!(code(change(&cluster, 1, "", "").await), "INVALID_ARGUMENT");
    let elsewhere = ChangeVotersRequest {
        shard: 9,
        add: fourth.clone(),
        remove: String::new(),
    };
    let answer = cluster.node(1).admin().change_voters(elsewhere).await;
    assert_eq!(code(answer), "SHARD_NOT_FOUND");

    cluster.stop(3).await;
    // Until its silence is noticed it counts as answering.
    sleep(Duration::from_secs(3)).await;
    let before = replicas(&cluster, 1).await;
    let second = names(&cluster, 2);
    assert_eq!(
        code(change(&cluster, 4, "", &second).await),
        "REPLICA_UNSAFE"
    );
    let roles = |all: &[Replica]| all.iter().map(Replica::role).collect::<Vec<_>>();
    assert_eq!(roles(&replicas(&cluster, 1).await), roles(&before));
    cluster.node(4).deposit("two", &account, 100).await.unwrap();

    // The fourth has kept a copy until now.
    cluster.reshape(|topology| topology.shards[0].replicas.push(4));
    cluster.stop(4).await;
    cluster.restart(4).await;
    let role = replica(&cluster, 1, 4).await.role();
    assert_eq!(role, ReplicaRole::Waiting);
    let third = names(&cluster, 3);
    change(&cluster, 1, &fourth, &third).await.unwrap();
    assert_eq!(replica(&cluster, 1, 4).await.role(), ReplicaRole::Voter);
    assert_eq!(replica(&cluster, 1, 3).await.role(), ReplicaRole::Removed);

    // Removed while it was away, it learns of it and keeps quiet.
    cluster.restart(3).await;
    until("it knows", || async {
        let own = replica(&cluster, 3, 3).await;
        own.role() == ReplicaRole::Removed && own.reachable
    })
    .await;
    // The leader is removed as any other: it hands over first.
    let leads = leader(&cluster, 1).await;
    let leading = names(&cluster, leads);
    change(&cluster, 3, &third, &leading).await.unwrap();
    let next = leader(&cluster, 1).await;
    assert_ne!(next, leads);
    assert_eq!(replica(&cluster, 1, 3).await.role(), ReplicaRole::Voter);
    cluster.node(leads).settles_at(&account, 200).await;
    cluster.shutdown().await;
}

//! The real program, killed again and again.
//!
//! Seven nodes of two regions run as processes with their own disks; one of them votes nowhere and
//! keeps copies only. Customers pay and ask as they do in the simulator, through the client that
//! ships. Meanwhile nodes are killed as `kill -9` does, one or several at a time, whatever they are
//! doing, and started again. Some lose, as with a power cut, what they had written and not synced:
//! the end of their write-ahead log is cut off. At the end the same judges as in the simulator compare the customers'
//! receipts with what is on the disks.
//!
//! What must hold, at every kill and at the end:
//!
//! - no vote that was on a disk is taken back;
//! - every directory passes the offline verifier, both chains, books and channels;
//! - no acknowledged outcome is missing or another, and money is conserved;
//! - every node's read models say what the logs come to.
//!
//! Nothing here can be replayed: time and the machine have their say. A seed only makes the
//! workload and the choice of victims the same.

mod disk;
mod processes;
mod round;
mod wal;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use node::{client::Options, verify};
use replication::world::{SystemClock, TcpNetwork};
use tokio::{
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep},
};

use crate::{
    Seed,
    plan::Habits,
    scenario::{
        bank::Bank,
        customer::{Hours, Lobby, customer, registrar},
        evidence::Evidence,
        judge::judge,
        tally,
    },
    simulation::ClientContext,
    topology::{Place, Topology},
    trace::Trace,
};
use disk::Votes;
use processes::Processes;
pub use round::Kills;

const SHARDS_PER_REGION: u32 = 2;
const ACCOUNTS_PER_SHARD: usize = 4;
const CUSTOMERS_PER_REGION: usize = 4;
const HOMES: [&str; 2] = ["eu-west", "us-east"];
/// The longest that anything but the workload may take.
const PATIENCE: Duration = Duration::from_secs(90);
const MOMENT: Duration = Duration::from_millis(100);

/// What to do.
#[derive(Debug, Clone)]
pub struct Torture {
    /// For how long nodes are killed.
    pub length: Duration,
    /// What the workload and the victims are drawn from.
    pub seed: Seed,
    /// The program `meridian`.
    pub program: PathBuf,
    /// Where the nodes keep their data; made here.
    pub dir: PathBuf,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Progress {
    /// Seconds since the first kill could come.
    pub seconds: u64,
    /// What was killed so far.
    pub kills: Kills,
    /// Outcomes that customers hold a receipt for.
    pub receipts: u64,
}

/// What came of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Survived {
    /// How far it went.
    pub progress: Progress,
    /// What happened, in numbers.
    pub counts: tally::Counts,
    /// Indexes that the verifier read, over all directories.
    pub verified: u64,
}

/// What did not hold, or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file or a process.
    #[error("{what}: {cause}")]
    Machine {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: io::Error,
    },
    /// A promise is broken.
    #[error("{0}")]
    Broken(String),
    /// Something that must come did not.
    #[error("after {PATIENCE:?} it was not so that {0}")]
    NotSo(&'static str),
}

fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    |cause| Failure::Machine { what, cause }
}

/// Tortures, and judges. On a failure the directory stays.
///
/// # Errors
///
/// The first thing that did not hold.
pub async fn torture(options: Torture, tell: impl FnMut(Progress)) -> Result<Survived, Failure> {
    let local = LocalSet::new();
    local.run_until(play(options, tell)).await
}

async fn play(options: Torture, mut tell: impl FnMut(Progress)) -> Result<Survived, Failure> {
    // The fourth node of the second region votes nowhere: it has copies only.
    let world = Topology::empty().region(HOMES[0], 3).region(HOMES[1], 4);
    let count = world.places().len();
    let ports = processes::free_ports(2 * count).map_err(machine("find free ports"))?;
    let (ports, metrics) = ports.split_at(count);
    let address = |place: &Place| {
        let number = usize::try_from(place.node_id - 1).expect("seven nodes");
        format!("127.0.0.1:{}", ports[number])
    };
    let (shards_of, accounts) = (|_: &str| SHARDS_PER_REGION, ACCOUNTS_PER_SHARD);
    let bank = Bank::found_at(options.seed, &world, &shards_of, accounts, &address);
    let mut nodes = Processes::prepare(&options.dir, &options.program, &bank, metrics)?;
    nodes.start_all()?;

    let lobby = Lobby::new(bank.clone());
    let mut people = invite(&options, &lobby);
    wait_until("all accounts are opened", &mut people, |_| {
        lobby.opened.get() == bank.accounts().len()
    })
    .await?;
    lobby.hours.set(Hours::Open);
    let mut votes = Votes::default();
    let mut progress = Progress::default();
    let mut rng = options.seed.derive("victims").rng();
    let began = Instant::now();
    while began.elapsed() < options.length {
        let kills = round::play(&mut nodes, &lobby, &mut votes, &mut rng).await?;
        progress.kills += kills;
        progress.seconds = began.elapsed().as_secs();
        progress.receipts = receipts(&lobby);
        tell(progress);
        people.check().await?;
    }
    lobby.hours.set(Hours::Closed);
    wait_until("all customers have left", &mut people, |_| {
        lobby.inside.get() == 0
    })
    .await?;
    let evidence = arrived(&mut nodes, &bank, &mut votes).await?;
    nodes.start_all()?;
    lobby.hours.set(Hours::Audit);
    wait_until("every balance was read once more", &mut people, |people| {
        people.0.is_empty()
    })
    .await?;
    views_agree(&nodes, &bank, &evidence).await?;

    nodes.kill_all().await?;
    votes.look(&nodes, nodes.names())?;
    let evidence = gather(&nodes, &bank)?;
    let records = lobby.history.records();
    judge(&lobby, &evidence, &[]).map_err(Failure::Broken)?;
    let verified = verify_all(&nodes)?;
    Ok(Survived {
        progress,
        counts: tally::of(&records, &evidence),
        verified,
    })
}

/// The registrar, and customers in the home regions.
fn invite(options: &Torture, lobby: &Lobby) -> People {
    let trace = Trace::fingerprint_only();
    let context = |name: String, region: &str| ClientContext {
        region: region.to_owned(),
        network: Arc::new(TcpNetwork),
        clock: Arc::new(SystemClock),
        seed: options.seed.derive(&name),
        trace: trace.of(&name),
        name,
    };
    let founder = context("registrar".to_owned(), HOMES[0]);
    let mut people = vec![tokio::task::spawn_local(registrar(founder, lobby.clone()))];
    for region in HOMES {
        for number in 1..=CUSTOMERS_PER_REGION {
            let who = context(format!("customer-{region}-{number}"), region);
            people.push(tokio::task::spawn_local(customer(
                who,
                lobby.clone(),
                Habits::default(),
            )));
        }
    }
    People(people)
}

/// Everybody who asks for something.
struct People(Vec<JoinHandle<turmoil::Result>>);

impl People {
    /// Somebody who left early has met what no customer may meet.
    async fn check(&mut self) -> Result<(), Failure> {
        let left = self.0.extract_if(.., |person| person.is_finished());
        for person in left.collect::<Vec<_>>() {
            let ended = person.await.map_err(|e| Failure::Broken(e.to_string()))?;
            ended.map_err(|e| Failure::Broken(format!("a customer was told: {e}")))?;
        }
        Ok(())
    }
}

async fn wait_until(
    what: &'static str,
    people: &mut People,
    is_so: impl Fn(&People) -> bool,
) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_so(people) {
        people.check().await?;
        if began.elapsed() > PATIENCE {
            return Err(Failure::NotSo(what));
        }
        sleep(MOMENT).await;
    }
    Ok(())
}

fn receipts(lobby: &Lobby) -> u64 {
    use crate::history::Outcome;
    let records = lobby.history.records();
    let told =
        |outcome: &Outcome| matches!(outcome, Outcome::Accepted { .. } | Outcome::Rejected { .. });
    records
        .iter()
        .filter(|record| told(&record.outcome))
        .count() as u64
}

/// Kills everybody and reads the disks, as often as it takes for all transfers to have arrived.
async fn arrived(
    nodes: &mut Processes,
    bank: &Bank,
    votes: &mut Votes,
) -> Result<Evidence, Failure> {
    const ARRIVAL: Duration = Duration::from_secs(5);
    let began = Instant::now();
    loop {
        sleep(ARRIVAL).await;
        nodes.kill_all().await?;
        votes.look(nodes, nodes.names())?;
        let evidence = gather(nodes, bank)?;
        if evidence.under_way() == 0 {
            return Ok(evidence);
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::NotSo("all transfers have arrived"));
        }
        nodes.start_all()?;
    }
}

fn gather(nodes: &Processes, bank: &Bank) -> Result<Evidence, Failure> {
    Evidence::gather(bank, |node, shard| disk::stored(&nodes.data(node), shard))
        .map_err(Failure::Broken)
}

/// Every node's read models, local as they are, come to say what the logs do.
async fn views_agree(nodes: &Processes, bank: &Bank, evidence: &Evidence) -> Result<(), Failure> {
    let began = Instant::now();
    for (name, address) in nodes.addresses() {
        let options = Options::new("auditor");
        let client = node::client::Client::new(vec![address.to_owned()], options)
            .map_err(|e| Failure::Broken(e.to_string()))?;
        for account in bank.accounts() {
            let wanted = evidence.balances().get(&account.id).copied().unwrap_or(0);
            loop {
                let said = local_balance(&client, &account.id).await;
                if said == Ok(wanted) {
                    break;
                }
                if began.elapsed() > PATIENCE {
                    let id = &account.id;
                    return Err(Failure::Broken(format!(
                        "{name} answers {said:?} for {id}, the logs come to {wanted}"
                    )));
                }
                sleep(MOMENT).await;
            }
        }
    }
    Ok(())
}

async fn local_balance(client: &node::client::Client, account: &str) -> Result<i64, String> {
    use node::api::{
        atm::v1::GetBalanceRequest,
        v1::{
            ReadMode,
            read_mode::{Local, Mode},
        },
    };
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode: Some(ReadMode {
            mode: Some(Mode::Local(Local {})),
        }),
    };
    let reply = client.balance(request).await.map_err(|e| e.to_string())?;
    let posted = reply.balance.and_then(|balance| balance.posted);
    posted
        .map(|money| money.minor_units)
        .ok_or_else(|| "no balance".to_owned())
}

/// The offline verifier finds nothing in any directory.
fn verify_all(nodes: &Processes) -> Result<u64, Failure> {
    let mut indexes = 0;
    for name in nodes.names() {
        let report = verify::verify(&nodes.data(name), verify::Options::default(), &|_| ());
        let report = report.map_err(|e| Failure::Broken(format!("{name}: {e}")))?;
        if let Some(finding) = report.findings.first() {
            return Err(Failure::Broken(format!("{name}: {finding}")));
        }
        indexes += report.shards.iter().map(|shard| shard.indexes).sum::<u64>();
    }
    Ok(indexes)
}

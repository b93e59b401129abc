//! The real program in the real world, where everything goes wrong again and again.
//!
//! Seven nodes of two regions run as processes with their own disks; one of them votes nowhere and
//! keeps copies only. Customers pay and ask as they do in the simulator, through the client that
//! ships. A plan that follows from a seed says what goes wrong meanwhile, in the words
//! of the simulator's plans:
//!
//! - processes are killed as `kill -9` does, one or several at a time, or stand still (SIGSTOP);
//! - where there is root, every node has a network and a file system of its own. Regions are as far
//!   apart as in the world, links are slow, lossy, clogged or cut, one way or both; disks are full,
//!   so far that the node takes nothing new, or to the last byte; and machines lose power: the file
//!   system stops in the middle of whatever it does, without what was not synced, and the process is
//!   killed. Then the file system is mounted again, and has only its journal to go by.
//!
//! At the end all of that is over, everything comes to rest, and the same judges as in the
//! simulator compare what customers were told with what is on the disks; all of them. Beside that,
//! no vote that was on a disk may be taken back, at any time, and every directory must pass the
//! offline verifier.
//!
//! Nothing here can be replayed: time and the machine have their say. A seed only makes the
//! workload and the choice of troubles the same.

mod closing;
mod disk;
mod exchange;
mod ground;
mod linux;
mod probe;
mod processes;
mod strikes;
mod switch;
mod troubles;
mod volume;
mod wal;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use replication::world::{Network, SystemClock, TcpNetwork};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, LocalSet},
    time::{Instant, sleep},
};

use crate::{
    Seed,
    history::History,
    plan::{
        Anomaly, Habits, Plan,
        redundancy::{covers, losers},
    },
    scenario::{
        bank::Bank,
        customer::{Hours, Lobby, customer, registrar},
        desk::Desk,
        judge::Judged,
        tally,
    },
    simulation::ClientContext,
    topology::{Place, Topology},
    trace::Trace,
};
use closing::Closing;
use disk::Votes;
use ground::{Fabric, Lodging};
use processes::Processes;
use strikes::Strikes;
use troubles::{Able, Act};
use volume::Volume;

pub use ground::Ground;
pub use strikes::{Done, Kills};

/// The longest that anything but the workload may take.
const PATIENCE: Duration = Duration::from_secs(90);
const MOMENT: Duration = Duration::from_millis(100);
/// Between two words about how far it is.
const SECOND: Duration = Duration::from_secs(1);
/// How long an operator waits for an answer.
const BRIEFLY: Duration = Duration::from_secs(2);

/// What to do.
#[derive(Debug, Clone)]
pub struct Torture {
    /// For how long things go wrong.
    pub length: Duration,
    /// What the workload and the troubles are drawn from.
    pub seed: Seed,
    /// The program `meridian`.
    pub program: PathBuf,
    /// Where the nodes keep their data; made here.
    pub dir: PathBuf,
    /// What may be done to the machine.
    pub ground: Ground,
    /// What customers are after; none for all that customers do.
    pub hunts: Option<Anomaly>,
    /// Power cuts take also what was synced, on every node. No redundancy covers that: it shows
    /// that the judges would notice a program that does not sync before it acknowledges.
    pub disks_lie: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Progress {
    /// Seconds since the first thing could go wrong.
    pub seconds: u64,
    /// What was done so far.
    #[serde(flatten)]
    pub done: Done,
    /// Outcomes that customers hold a receipt for.
    pub receipts: u64,
}

/// Something to tell while it lasts.
#[derive(Debug, Clone)]
pub enum Tidings {
    /// Something that this machine does not allow, so it is not done.
    LeftOut(String),
    /// How far it is.
    Progress(Progress),
    /// Nothing goes wrong any more; now it is judged.
    Peace,
}

/// What came of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Survived {
    /// What it was drawn from.
    pub seed: Seed,
    /// What this machine does not allow.
    pub left_out: Vec<String>,
    /// How far it went.
    #[serde(flatten)]
    pub progress: Progress,
    /// What happened, in numbers.
    pub counts: tally::Counts,
    /// How many things each oracle has looked at.
    pub judged: Judged,
    /// Indexes that the verifier read, over all directories.
    pub verified: u64,
    /// The most memory that a node has used, in bytes.
    pub memory: u64,
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
    /// Somebody has had enough.
    #[error("interrupted")]
    Interrupted,
}

fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    let what = what.into();
    |cause| Failure::Machine { what, cause }
}

/// Tortures, and judges. On a failure the directory stays. Processes, networks and mounts never do.
///
/// # Errors
///
/// The first thing that did not hold.
pub async fn torture(options: Torture, tell: impl FnMut(Tidings)) -> Result<Survived, Failure> {
    let on = |kind| signal(kind).map_err(machine("listen to signals"));
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let local = LocalSet::new();
    tokio::select! {
        ended = local.run_until(play(options, tell)) => ended,
        _ = interrupt.recv() => Err(Failure::Interrupted),
        _ = terminate.recv() => Err(Failure::Interrupted),
    }
}

/// What is built for a torture.
struct Site {
    fabric: Option<Fabric>,
    lodgings: BTreeMap<String, Lodging>,
    volumes: BTreeMap<String, Volume>,
    left_out: Vec<String>,
}

impl Site {
    fn build(options: &Torture, topology: &Topology) -> Result<Self, Failure> {
        let dir = &options.dir;
        fs::create_dir_all(dir).map_err(machine(format!("make {}", dir.display())))?;
        let places = topology.places();
        let names = places.iter().map(|place| place.name.as_str());
        let mut site = Site {
            fabric: None,
            lodgings: BTreeMap::new(),
            volumes: BTreeMap::new(),
            left_out: options.ground.left_out().into_iter().collect(),
        };
        if !options.ground.is_apart() {
            let lodgings = processes::lodgings_in_common(names);
            site.lodgings = lodgings.map_err(machine("find free ports"))?;
            return Ok(site);
        }
        let built = ground::build(topology, options.seed);
        let (fabric, lodgings) = built.map_err(machine("build a network"))?;
        (site.fabric, site.lodgings) = (Some(fabric), lodgings);
        match mount_all(dir, names) {
            Ok(volumes) => site.volumes = volumes,
            Err(error) => site.left_out.push(format!(
                "full disks, and what disks lose with the power: no file systems ({error})"
            )),
        }
        Ok(site)
    }

    fn able(&self) -> Able {
        Able {
            network: self.fabric.is_some(),
            disks: !self.volumes.is_empty(),
        }
    }

    fn network_of(&self, region: &str) -> Arc<dyn Network> {
        match &self.fabric {
            Some(fabric) => fabric.network_of(region),
            None => Arc::new(TcpNetwork),
        }
    }
}

fn mount_all<'a>(
    dir: &Path,
    names: impl Iterator<Item = &'a str>,
) -> io::Result<BTreeMap<String, Volume>> {
    let volumes = names.map(|name| {
        let volume = Volume::mount(&dir.join(format!("{name}.img")), &dir.join(name))?;
        Ok((name.to_owned(), volume))
    });
    volumes.collect()
}

async fn play(options: Torture, mut tell: impl FnMut(Tidings)) -> Result<Survived, Failure> {
    // The world is the same whatever goes wrong in it.
    let world = troubles::plan(options.seed, Duration::ZERO, Able::default()).topology();
    let mut site = Site::build(&options, &world)?;
    let left_out = site.left_out.clone();
    for what in &left_out {
        tell(Tidings::LeftOut(what.clone()));
    }
    let mut plan = troubles::plan(options.seed, options.length, site.able());
    if options.disks_lie {
        plan.lying_disks = plan.nodes();
    }
    if let Some(anomaly) = options.hunts {
        anomaly.set_upon(&mut plan.clients);
    }
    let address = |place: &Place| site.lodgings[&place.name].address.clone();
    let shards_of = |region: &str| plan.shards_of(region);
    let accounts = plan.accounts_per_shard;
    let bank = Bank::found_at(options.seed, &world, &shards_of, accounts, &address);
    let (lodgings, volumes) = (
        std::mem::take(&mut site.lodgings),
        std::mem::take(&mut site.volumes),
    );
    let (dir, program) = (&options.dir, &options.program);
    let mut nodes = Processes::prepare(dir, program, &bank, lodgings, volumes)?;
    nodes.start_all()?;

    let lobby = Lobby::noting(bank.clone(), History::in_real_time());
    let mut people = invite(&plan, &lobby, &site)?;
    let accounts = bank.accounts().len();
    let opened = |_: &People| lobby.opened.get() == accounts;
    people.wait_until("all accounts are opened", opened).await?;
    lobby.hours.set(Hours::Open);

    let mut votes = Votes::default();
    let mut progress = Progress::default();
    let mut strikes = Strikes {
        operators: operators(&plan, &lobby)?,
        nodes: &mut nodes,
        fabric: site.fabric.as_mut(),
        lobby: &lobby,
        votes: &mut votes,
        liars: &plan.lying_disks,
        rng: options.seed.derive("strikes").rng(),
        done: Done::default(),
    };
    let began = Instant::now();
    let acts = troubles::acts(&plan);
    let mut before = 0;
    'all: for batch in acts.chunk_by(|(a, _), (b, _)| a == b) {
        let at = batch[0].0;
        let next = Instant::now() + Duration::from_millis(at - before);
        before = at;
        loop {
            progress.seconds = began.elapsed().as_secs();
            progress.done = strikes.done;
            progress.receipts = lobby.history.receipts() as u64;
            tell(Tidings::Progress(progress));
            people.check().await?;
            strikes.nodes.check_all()?;
            if began.elapsed() > options.length {
                break 'all;
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sleep(left.min(SECOND)).await;
        }
        let acts: Vec<Act> = batch.iter().map(|(_, act)| act.clone()).collect();
        strikes.strike(&acts).await?;
    }
    progress.done = strikes.done;
    tell(Tidings::Peace);
    if let Some(fabric) = &mut site.fabric {
        fabric.calm_all();
    }
    nodes.make_peace().await?;

    let voters: BTreeMap<u32, Vec<String>> = bank.shards().collect();
    let lost = losers(&plan, voters.keys().copied());
    covers(&voters, &lost)
        .map_err(|crossed| Failure::Broken(format!("no promise covers the plan: {crossed}")))?;
    let closing = Closing {
        plan: &plan,
        nodes: &mut nodes,
        lobby: &lobby,
        votes: &mut votes,
        people: &mut people,
    };
    let judgement = closing.close().await?;
    progress.receipts = lobby.history.receipts() as u64;
    Ok(Survived {
        seed: options.seed,
        left_out,
        progress,
        counts: judgement.counts,
        judged: judgement.judged,
        verified: judgement.verified,
        memory: judgement.memory,
    })
}

fn context(plan: &Plan, name: &str, region: &str, network: Arc<dyn Network>) -> ClientContext {
    ClientContext {
        name: name.to_owned(),
        region: region.to_owned(),
        network,
        clock: Arc::new(SystemClock),
        seed: plan.seed.derive(name),
        trace: Trace::fingerprint_only().of(name),
    }
}

/// The registrar, who has no distance to anybody, and the customers.
fn invite(plan: &Plan, lobby: &Lobby, site: &Site) -> Result<People, Failure> {
    let first = &plan.regions[0].name;
    let founder = context(plan, "registrar", first, Arc::new(TcpNetwork));
    let mut people = vec![tokio::task::spawn_local(registrar(founder, lobby.clone()))];
    for client in &plan.clients {
        let network = site.network_of(&client.region);
        let who = context(plan, &client.name, &client.region, network);
        let customer = customer(who, lobby.clone(), client.habits.clone());
        people.push(tokio::task::spawn_local(customer));
    }
    Ok(People(people))
}

/// Somebody in every region who asks now and then.
fn operators(plan: &Plan, lobby: &Lobby) -> Result<BTreeMap<String, Desk>, Failure> {
    let regions = plan.regions.iter();
    let desks = regions.map(|region| {
        let name = format!("operator-{}", region.name);
        let who = context(plan, &name, &region.name, Arc::new(TcpNetwork));
        let desk = Desk::with_patience(&who, lobby.clone(), &Habits::default(), BRIEFLY);
        let desk = desk.map_err(|e| Failure::Broken(e.to_string()))?;
        Ok((region.name.clone(), desk))
    });
    desks.collect()
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

    async fn wait_until(
        &mut self,
        what: &'static str,
        is_so: impl Fn(&People) -> bool,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        while !is_so(self) {
            self.check().await?;
            if began.elapsed() > PATIENCE {
                return Err(Failure::NotSo(what));
            }
            sleep(MOMENT).await;
        }
        Ok(())
    }
}

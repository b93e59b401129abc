use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    panic::{self, AssertUnwindSafe},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rand::{Rng, rngs::SmallRng};

use super::{
    ClientContext, Fault, StartNode,
    host::Machine,
    links::{Condition, Links},
};
use crate::{
    Seed,
    determinism::{EPOCH, take_panic},
    topology::Topology,
    trace::Trace,
    world::{SimArchive, SimClock, SimDisk, SimNetwork, Wire},
};

/// Time moves by this much for each host in turn. Latencies are rounded up to it, so that within
/// a region a round trip takes two.
const TICK: Duration = Duration::from_millis(1);

/// Segments a TCP socket can hold. turmoil panics when there are more, and its default of 64 is
/// less than a busy HTTP/2 connection sends in a round trip around the world.
const TCP_CAPACITY: usize = 65_536;

/// turmoil's own time limit, which must never be the one that ends a run.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The name under which the driver writes to the trace.
pub(super) const DRIVER: &str = "world";

/// A run that must be looked into.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed} failed at {at:?}: {cause}")]
pub struct Failure {
    /// The seed to replay it with.
    pub seed: Seed,
    /// The simulated time.
    pub at: Duration,
    /// What went wrong.
    pub cause: Cause,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A task of some host panicked.
    #[error("{0}")]
    Panic(String),
    /// A host ended with an error.
    #[error("a host ended: {0}")]
    HostFailed(String),
    /// The clients had not finished when their time was up.
    #[error("the clients did not finish by {0:?}")]
    OutOfTime(Duration),
    /// What was waited for did not come to be.
    #[error("by {by:?} it was not so that {what}")]
    NotSo {
        /// What was waited for.
        what: String,
        /// How long.
        by: Duration,
    },
    /// A node logged an error: it asks for a person.
    #[error("a node called for help: {0}")]
    ErrorLogged(String),
    /// An oracle found a promise broken.
    #[error("{0}")]
    PromiseBroken(String),
}

impl Cause {
    /// Which kind of cause it is, whatever the names and times in it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Cause::Panic(_) => "panic",
            Cause::HostFailed(_) => "a host ended",
            Cause::OutOfTime(_) => "out of time",
            Cause::NotSo { .. } => "not so",
            Cause::ErrorLogged(_) => "a call for help",
            Cause::PromiseBroken(_) => "a promise broken",
        }
    }
}

/// A world of hosts, and the hand that moves its time.
pub struct Simulation {
    /// None after a panic: see [`Simulation::step`].
    sim: Option<turmoil::Sim<'static>>,
    pub(super) elapsed: Duration,
    seed: Seed,
    pub(super) rng: SmallRng,
    pub(super) topology: Topology,
    pub(super) machines: BTreeMap<String, Rc<Machine>>,
    pub(super) links: Links,
    planned: BTreeMap<(Duration, u64), Fault>,
    faults_planned: u64,
    pub(super) trace: Trace,
}

/// So many regions have an archive: to seal segments takes a machine longer than most else that nodes do.
const ARCHIVED: f64 = 0.33;

impl Simulation {
    /// A world in which every node of the topology is about to start. Make it inside of
    /// [`determinism::run`](crate::determinism::run), under the same seed.
    #[must_use]
    pub fn new(seed: Seed, topology: Topology, trace: Trace, start: StartNode) -> Self {
        let sim = turmoil::Builder::new()
            .rng_seed(seed.derive("turmoil").0)
            .epoch(SystemTime::UNIX_EPOCH + EPOCH)
            .simulation_duration(FOREVER)
            .tick_duration(TICK)
            .tcp_capacity(TCP_CAPACITY)
            .build();
        sim.set_message_latency_curve(topology.decay());
        let mut simulation = Simulation {
            sim: Some(sim),
            elapsed: Duration::ZERO,
            seed,
            rng: seed.derive("faults").rng(),
            machines: BTreeMap::new(),
            links: Links::default(),
            planned: BTreeMap::new(),
            faults_planned: 0,
            trace,
            topology,
        };
        let regions = simulation.topology.regions().iter();
        let archives: BTreeMap<String, _> = regions
            .filter_map(|region| {
                let seed = seed.derive("archive").derive(&region.name);
                let archive = SimArchive::new(seed.derive("behaviour"));
                let has_one = seed.rng().random_bool(ARCHIVED);
                has_one.then(|| (region.name.clone(), Arc::new(archive)))
            })
            .collect();
        let start = Rc::new(start);
        for place in simulation.topology.places() {
            let archive = archives.get(&place.region).cloned();
            let machine = Machine::new(place.clone(), seed, archive);
            simulation
                .machines
                .insert(place.name.clone(), machine.clone());
            let (start, trace) = (start.clone(), simulation.trace.clone());
            simulation
                .sim()
                .host(place.name.as_str(), move || start(machine.boot(&trace)));
            simulation.connect(&place.name, &place.region);
        }
        simulation
    }

    /// Adds a client in a region. The run is complete when all clients have ended; an error
    /// from one fails it. Clients cannot crash.
    pub fn client<F, Fut>(&mut self, region: &str, name: &str, start: F)
    where
        F: FnOnce(ClientContext) -> Fut,
        Fut: Future<Output = turmoil::Result> + 'static,
    {
        let context = ClientContext {
            name: name.to_owned(),
            region: region.to_owned(),
            network: Arc::new(SimNetwork::default()),
            clock: Arc::new(SimClock::default()),
            seed: self.seed.derive(name),
            trace: self.trace.of(name),
        };
        self.sim().client(name, start(context));
        self.connect(name, region);
    }

    fn connect(&mut self, name: &str, region: &str) {
        let others: Vec<String> = self
            .links
            .hosts()
            .map(|(other, _)| other.to_owned())
            .collect();
        let is_node = self.machines.contains_key(name);
        let changes = self.links.add_host(name, region, is_node);
        for other in others {
            self.set_latency(name, &other, Condition::default());
        }
        self.apply_to_links(changes);
    }

    /// Applies a fault when simulated time reaches `at`. Faults of one time keep their order.
    pub fn plan(&mut self, at: Duration, fault: Fault) {
        self.planned.insert((at, self.faults_planned), fault);
        self.faults_planned += 1;
    }

    /// Applies the faults that are due, then moves time by one tick. Returns whether all clients
    /// have ended (which is so, too, when there are none).
    ///
    /// # Errors
    ///
    /// When a task panics or a host ends with an error. The world is over then.
    ///
    /// # Panics
    ///
    /// When called again after a panic.
    pub fn step(&mut self) -> Result<bool, Failure> {
        while let Some(entry) = self.planned.first_entry()
            && entry.key().0 <= self.elapsed
        {
            let fault = entry.remove();
            self.apply(&fault);
        }
        let stepped = panic::catch_unwind(AssertUnwindSafe(|| self.sim().step()));
        match stepped {
            Ok(Ok(is_complete)) => {
                self.elapsed += TICK;
                self.take_down_the_powerless();
                Ok(is_complete)
            }
            Ok(Err(error)) => Err(self.failure(Cause::HostFailed(error.to_string()))),
            Err(_) => {
                // Its runtimes are in the middle of a turn: dropping them would run destructors
                // of tasks that may panic again, and abort the process. Leak them.
                mem::forget(self.sim.take());
                Err(self.failure(Cause::Panic(take_panic())))
            }
        }
    }

    /// Moves time until `at`, whatever the clients do.
    ///
    /// # Errors
    ///
    /// As [`Simulation::step`].
    pub fn run_until(&mut self, at: Duration) -> Result<(), Failure> {
        while self.elapsed < at {
            self.step()?;
        }
        Ok(())
    }

    /// Moves time until all clients have ended.
    ///
    /// # Errors
    ///
    /// As [`Simulation::step`], and when the clients have not ended by `limit`.
    pub fn run_until_clients_end(&mut self, limit: Duration) -> Result<(), Failure> {
        while !self.step()? {
            if self.elapsed >= limit {
                return Err(self.failure(Cause::OutOfTime(limit)));
            }
        }
        Ok(())
    }

    /// A failure of this run, now. Writes it to the trace.
    #[must_use]
    pub fn failure(&self, cause: Cause) -> Failure {
        let failure = Failure {
            seed: self.seed,
            at: self.elapsed,
            cause,
        };
        self.trace.record_at(self.elapsed, DRIVER, &failure);
        failure
    }

    /// How much simulated time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Chance for the driver: which fault, when, to whom.
    pub fn rng(&mut self) -> &mut SmallRng {
        &mut self.rng
    }

    /// The names of all nodes, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.machines.keys().map(String::as_str)
    }

    /// The names of the nodes of a region, in order.
    pub fn nodes_of<'a>(&'a self, region: &'a str) -> impl Iterator<Item = &'a str> {
        self.machines
            .iter()
            .filter(move |(_, machine)| machine.region() == region)
            .map(|(name, _)| name.as_str())
    }

    /// Whether a node's process is running.
    pub fn is_running(&mut self, node: &str) -> bool {
        self.machine(node);
        self.sim().is_host_running(node)
    }

    /// The disk of a node, to look into.
    #[must_use]
    pub fn disk(&self, node: &str) -> Arc<SimDisk> {
        self.machine(node).disk.clone()
    }

    /// The archive of a node's region, to look into, if that has one.
    #[must_use]
    pub fn archive(&self, node: &str) -> Option<Arc<SimArchive>> {
        self.machine(node).archive.clone()
    }

    /// From now on all archives answer, and soon.
    pub fn calm_archives(&self) {
        let archives = self.machines.values().filter_map(|it| it.archive.as_ref());
        archives.for_each(|archive| archive.calm());
    }

    /// What a node has sent, to look into.
    #[must_use]
    pub fn wire(&self, node: &str) -> Arc<Wire> {
        self.machine(node).wire.clone()
    }

    /// The clock of a node, to look at.
    #[must_use]
    pub fn clock(&self, node: &str) -> Arc<SimClock> {
        self.machine(node).clock.clone()
    }

    pub(super) fn machine(&self, node: &str) -> &Machine {
        self.machines
            .get(node)
            .unwrap_or_else(|| panic!("no node is named {node}"))
    }

    pub(super) fn sim(&mut self) -> &mut turmoil::Sim<'static> {
        self.sim.as_mut().expect("the world ended with a panic")
    }
}

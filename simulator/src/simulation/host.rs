use std::{cell::Cell, future::Future, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use replication::world::{Archive, Clock, Network, World};

use crate::{
    Seed,
    topology::Place,
    trace::{HostTrace, Trace},
    world::{Power, SimArchive, SimClock, SimDisk, SimEntropy, SimNetwork, Wire},
};

/// What a node is given when it starts.
#[derive(Clone)]
pub struct HostContext {
    /// The host's name, by which others connect to it.
    pub name: String,
    /// The name of its region.
    pub region: String,
    /// Its number, unique in the world.
    pub node_id: u64,
    /// Which start this is, from 1.
    pub boot: u64,
    /// The seams. Clock, entropy and disk are the same over all starts of the host.
    pub world: World,
    /// A seed for what the node cannot draw from the seams; a new one for each start.
    pub seed: Seed,
    /// Where to write what should be compared between runs.
    pub trace: HostTrace,
}

/// What a client is given when it starts.
#[derive(Clone)]
pub struct ClientContext {
    /// The host's name.
    pub name: String,
    /// The name of the region it is in.
    pub region: String,
    /// How to connect.
    pub network: Arc<dyn Network>,
    /// What time it is for the client.
    pub clock: Arc<dyn Clock>,
    /// The client's chance.
    pub seed: Seed,
    /// Where to write what should be compared between runs.
    pub trace: HostTrace,
}

/// A node at work. It ends when the node stops; an error fails the run.
pub type Starting = Pin<Box<dyn Future<Output = turmoil::Result>>>;

/// How a node starts. Called again each time the host comes back.
pub type StartNode = Box<dyn Fn(HostContext) -> Starting>;

/// Makes a [`StartNode`] of an async function.
pub fn start_with<F, Fut>(start: F) -> StartNode
where
    F: Fn(HostContext) -> Fut + 'static,
    Fut: Future<Output = turmoil::Result> + 'static,
{
    Box::new(move |context| Box::pin(start(context)))
}

/// A node's machine: what survives when its process does not.
pub(super) struct Machine {
    place: Place,
    seed: Seed,
    boots: Cell<u64>,
    pub(super) entropy: Arc<SimEntropy>,
    pub(super) clock: Arc<SimClock>,
    pub(super) disk: Arc<SimDisk>,
    /// Its region's, if that has one.
    pub(super) archive: Option<Arc<SimArchive>>,
    pub(super) power: Arc<Power>,
    pub(super) wire: Arc<Wire>,
    /// How long it will be down when its power fails in the middle of something.
    pub(super) down: Cell<Duration>,
    pub(super) has_lost_its_disk: Cell<bool>,
    /// Nobody starts it any more.
    pub(super) stays_away: Cell<bool>,
}

impl Machine {
    pub(super) fn new(place: Place, run: Seed, archive: Option<Arc<SimArchive>>) -> Rc<Self> {
        let seed = run.derive(&place.name);
        let power = Arc::new(Power::default());
        Rc::new(Machine {
            place,
            seed,
            boots: Cell::new(0),
            entropy: Arc::new(SimEntropy::new(seed.derive("entropy"))),
            clock: Arc::new(SimClock::default()),
            disk: Arc::new(SimDisk::new(seed.derive("disk"), power.clone())),
            archive,
            power,
            wire: Arc::default(),
            down: Cell::default(),
            has_lost_its_disk: Cell::default(),
            stays_away: Cell::default(),
        })
    }

    pub(super) fn region(&self) -> &str {
        &self.place.region
    }

    /// The context of the next start.
    pub(super) fn boot(&self, trace: &Trace) -> HostContext {
        let boot = self.boots.get() + 1;
        self.boots.set(boot);
        HostContext {
            name: self.place.name.clone(),
            region: self.place.region.clone(),
            node_id: self.place.node_id,
            boot,
            world: World {
                archive: self.archive.clone().map(|it| it as Arc<dyn Archive>),
                clock: self.clock.clone(),
                entropy: self.entropy.clone(),
                network: Arc::new(SimNetwork::new(self.power.clone(), self.wire.clone())),
                disk: self.disk.clone(),
            },
            seed: self.seed.derive(&format!("boot {boot}")),
            trace: trace.of(&self.place.name),
        }
    }
}

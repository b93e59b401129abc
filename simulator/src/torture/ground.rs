//! What the machine allows, and the network that is built where it does.
//!
//! With root, every node gets a network namespace of its own, and in it a network device whose other
//! end is this program: whatever it sends goes through the [`Switch`], packet by packet, and nothing
//! can pass it by. So latency, losses and cuts need nothing of the kernel but namespaces and TUN
//! devices (netem is often not there), programs see nothing of it, and TCP meets what it meets in the
//! world: packets that are late, sent again, or never answered.

use std::{collections::BTreeMap, io, net::Ipv4Addr, sync::Arc};

use replication::world::{Connecting, Connection, Listening, Network, TcpNetwork};
use tokio::net::TcpSocket;

use super::{
    exchange::{Exchange, Host},
    linux::{self, Quarters},
    switch::Switch,
};
use crate::{
    Seed,
    simulation::{Disturbance, links::Links},
    topology::{Place, Topology},
};

/// Where nodes listen, for their peers and for monitoring.
const PORTS: [u16; 2] = [7400, 7401];
/// The last part of the address of a region's customers. No region has so many nodes.
const CUSTOMERS: u8 = 200;
/// Whoever looks after the nodes, without any distance.
const OPERATOR: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

/// What this program may do to the machine.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Why there are no namespaces; none where there are.
    missing: Option<String>,
}

impl Ground {
    /// Takes this thread, and all that it starts, out of the machine's network and mounts, where
    /// that is allowed. To be called before there are other threads.
    #[must_use]
    pub fn claim() -> Self {
        let tried = Quarters::build(OPERATOR).and_then(|_| linux::leave_the_machine());
        let missing = tried.err().map(|error| error.to_string());
        Self { missing }
    }

    /// Stays where it is.
    #[must_use]
    pub fn common() -> Self {
        let missing = Some("not asked for".to_owned());
        Self { missing }
    }

    /// Whether there are namespaces.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.missing.is_none()
    }

    /// What is left out for lack of them.
    pub(super) fn left_out(&self) -> Option<String> {
        let why = self.missing.as_ref()?;
        Some(format!(
            "latency between regions, cuts, losses, full disks, and what disks lose with the power: \
             no namespaces ({why})"
        ))
    }
}

/// Where a node is.
#[derive(Debug, Default)]
pub(super) struct Lodging {
    /// Where it listens.
    pub(super) address: String,
    /// Where it tells its metrics.
    pub(super) metrics: String,
    /// Its network, where it has one of its own.
    pub(super) quarters: Option<Quarters>,
}

/// The network of nodes and customers.
pub(super) struct Fabric {
    links: Links,
    switch: Switch,
    customers: BTreeMap<String, Ipv4Addr>,
    /// This thread's own part of it.
    _own: Quarters,
}

fn address(topology: &Topology, region: &str, last: u64) -> Ipv4Addr {
    let regions = topology.regions().iter();
    let number = regions.take_while(|known| known.name != region).count() + 1;
    let part = |number: u64| u8::try_from(number).expect("worlds are small");
    Ipv4Addr::new(10, 88, part(number as u64), part(last))
}

/// Builds a network of its own for every node, and connects them.
pub(super) fn build(
    topology: &Topology,
    seed: Seed,
) -> io::Result<(Fabric, BTreeMap<String, Lodging>)> {
    let mut links = Links::default();
    let (mut hosts, mut devices) = (Vec::new(), Vec::new());
    let mut lodgings = BTreeMap::new();
    for Place {
        name,
        region,
        node_id,
    } in topology.places()
    {
        let address = address(topology, &region, node_id);
        let quarters = Quarters::build(address)?;
        links.add_host(&name, &region, true);
        hosts.push(Host {
            name: name.clone(),
            region: Some(region),
            address,
            device: devices.len(),
        });
        devices.push(quarters.device.try_clone()?);
        let [listen, metrics] = PORTS.map(|port| format!("{address}:{port}"));
        let lodging = Lodging {
            address: listen,
            metrics,
            quarters: Some(quarters),
        };
        lodgings.insert(name, lodging);
    }
    let mut customers = BTreeMap::new();
    for region in topology.regions() {
        let name = format!("customers of {}", region.name);
        let address = address(topology, &region.name, CUSTOMERS.into());
        links.add_host(&name, &region.name, false);
        hosts.push(Host {
            name,
            region: Some(region.name.clone()),
            address,
            device: devices.len(),
        });
        customers.insert(region.name.clone(), address);
    }
    hosts.push(Host {
        name: "operator".to_owned(),
        region: None,
        address: OPERATOR,
        device: devices.len(),
    });
    let all: Vec<Ipv4Addr> = [OPERATOR]
        .into_iter()
        .chain(customers.values().copied())
        .collect();
    let own = Quarters::furnish(&all)?;
    devices.push(own.device.try_clone()?);
    let exchange = Exchange::new(hosts, topology, seed.derive("network").rng());
    let fabric = Fabric {
        links,
        switch: Switch::start(devices, exchange)?,
        customers,
        _own: own,
    };
    Ok((fabric, lodgings))
}

impl Fabric {
    /// Something begins to be wrong.
    pub(super) fn disturb(&mut self, disturbance: &Disturbance) {
        let changes = self.links.disturb(disturbance);
        self.switch.change(&changes);
    }

    /// Something ends being wrong.
    pub(super) fn calm(&mut self, disturbance: &Disturbance) {
        let changes = self.links.calm(disturbance);
        self.switch.change(&changes);
    }

    /// All is well again.
    pub(super) fn calm_all(&mut self) {
        let changes = self.links.calm_all();
        self.switch.change(&changes);
    }

    /// How the customers of a region connect.
    pub(super) fn network_of(&self, region: &str) -> Arc<dyn Network> {
        Arc::new(From(self.customers[region]))
    }
}

/// TCP of the operating system, from one address of several.
#[derive(Debug, Clone, Copy)]
struct From(Ipv4Addr);

impl Network for From {
    fn listen(&self, address: &str) -> Listening {
        TcpNetwork.listen(address)
    }

    fn connect(&self, address: &str) -> Connecting {
        let (address, from) = (address.parse(), self.0);
        Box::pin(async move {
            let address = address.map_err(io::Error::other)?;
            let socket = TcpSocket::new_v4()?;
            socket.bind((from, 0).into())?;
            let connected = socket.connect(address).await?;
            connected.set_nodelay(true)?;
            Ok(Box::new(connected) as Box<dyn Connection>)
        })
    }
}

//! The network between the hosts, packet by packet: what is late, what waits, what is lost.
//!
//! It knows nothing of devices and threads, and is told the time: see [`switch`](super::switch) for
//! both.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
    time::Duration,
};

use rand::{Rng, rngs::SmallRng};
use tokio::time::Instant;

use crate::{
    simulation::links::{Change, Condition, Flow},
    topology::Topology,
};

/// Packets that wait for a link, at most; more are lost, as in a router.
const WAITING: usize = 4_096;
/// Where an IPv4 packet has its source; its destination follows.
const SOURCE: usize = 12;

/// A host.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// As links are named.
    pub(super) name: String,
    /// How far it is from others; none for one that is nowhere and everywhere, and next to all.
    pub(super) region: Option<String>,
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Behind which device it is.
    pub(super) device: usize,
}

/// One way from one host to another.
#[derive(Debug, Default)]
struct Lane {
    usual: Duration,
    tail: Duration,
    condition: Condition,
    is_cut: bool,
    /// What was sent last arrives then: nothing overtakes it.
    last: Option<Instant>,
    waiting: VecDeque<Vec<u8>>,
}

/// A packet and the device that it goes to.
pub(super) type Delivery = (usize, Vec<u8>);

/// All lanes, and what is on them.
pub(super) struct Exchange {
    hosts: Vec<Host>,
    by_address: BTreeMap<Ipv4Addr, usize>,
    lanes: BTreeMap<(usize, usize), Lane>,
    decay: f64,
    rng: SmallRng,
    due: BTreeMap<(Instant, u64), Delivery>,
    sent: u64,
}

impl Exchange {
    /// A network in which all is well.
    pub(super) fn new(hosts: Vec<Host>, topology: &Topology, rng: SmallRng) -> Self {
        let mut lanes = BTreeMap::new();
        for (from, a) in hosts.iter().enumerate() {
            for (to, b) in hosts.iter().enumerate() {
                let mut lane = Lane::default();
                if let (Some(a), Some(b)) = (&a.region, &b.region) {
                    lane.usual = topology.one_way(a, b);
                    lane.tail = topology.tail(a, b);
                }
                lanes.insert((from, to), lane);
            }
        }
        let numbered = hosts.iter().enumerate();
        Self {
            by_address: numbered.map(|(n, host)| (host.address, n)).collect(),
            hosts,
            lanes,
            decay: topology.decay(),
            rng,
            due: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Links change.
    pub(super) fn change(&mut self, changes: &[Change], now: Instant) {
        for Change { link, after, .. } in changes {
            let (Some(a), Some(b)) = (self.host(&link.0), self.host(&link.1)) else {
                continue;
            };
            let (forth, back) = match after.flow {
                Flow::Open | Flow::Held => (false, false),
                Flow::CutForth => (true, false),
                Flow::CutBack => (false, true),
                Flow::Cut => (true, true),
            };
            for (lane, is_cut) in [((a, b), forth), ((b, a), back)] {
                let known = self.lanes.get_mut(&lane).expect("a lane between any two");
                known.condition = *after;
                known.is_cut = is_cut;
                if after.flow != Flow::Held {
                    for packet in std::mem::take(&mut known.waiting) {
                        self.send(lane, packet, now);
                    }
                }
            }
        }
    }

    fn host(&self, name: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == name)
    }

    /// A host has sent a packet.
    pub(super) fn take(&mut self, packet: Vec<u8>, now: Instant) {
        let address = |at: usize| {
            let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            self.by_address.get(&Ipv4Addr::from(bytes)).copied()
        };
        let (Some(from), Some(to)) = (address(SOURCE), address(SOURCE + 4)) else {
            return;
        };
        self.send((from, to), packet, now);
    }

    #[expect(clippy::float_arithmetic, reason = "chance, no money")]
    fn send(&mut self, lane: (usize, usize), packet: Vec<u8>, now: Instant) {
        let device = self.hosts[lane.1].device;
        let lane = self.lanes.get_mut(&lane).expect("a lane between any two");
        let is_lost = self.rng.random_range(0..1000) < lane.condition.lost_per_mille;
        if lane.is_cut || is_lost {
            return;
        }
        if lane.condition.flow == Flow::Held {
            if lane.waiting.len() < WAITING {
                lane.waiting.push_back(packet);
            }
            return;
        }
        let rare = -self.rng.random_range(f64::EPSILON..1.0).ln() / self.decay;
        let late = lane.tail.mul_f64(rare.min(1.0));
        let slower = Duration::from_millis(lane.condition.slower_millis);
        let due = now + lane.usual + late + slower;
        let due = lane.last.map_or(due, |last| due.max(last));
        lane.last = Some(due);
        self.sent += 1;
        self.due.insert((due, self.sent), (device, packet));
    }

    /// What has arrived by now, in order.
    pub(super) fn arrived(&mut self, now: Instant) -> Vec<Delivery> {
        let later = self.due.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.due, later)
            .into_values()
            .collect()
    }

    /// When something arrives next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Seed,
        simulation::{Disturbance, Way, links::Links},
    };

    fn hosts() -> Vec<Host> {
        let host = |name: &str, region: Option<&str>, last| Host {
            name: name.to_owned(),
            region: region.map(str::to_owned),
            address: Ipv4Addr::new(10, 0, 0, last),
            device: usize::from(last),
        };
        vec![
            host("eu-1", Some("eu"), 1),
            host("us-1", Some("us"), 2),
            host("operator", None, 3),
        ]
    }

    struct World {
        exchange: Exchange,
        links: Links,
        began: Instant,
    }

    impl World {
        fn new() -> Self {
            let topology = Topology::empty().region("eu", 1).region("us", 1);
            let topology = topology.round_trip("eu", "us", Duration::from_millis(80));
            let exchange = Exchange::new(hosts(), &topology, Seed(1).rng());
            let mut links = Links::default();
            links.add_host("eu-1", "eu", true);
            links.add_host("us-1", "us", true);
            let began = Instant::now();
            Self {
                exchange,
                links,
                began,
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.began + Duration::from_millis(millis)
        }

        fn send(&mut self, from: u8, to: u8, what: u8, millis: u64) {
            let mut packet = vec![0; SOURCE];
            packet.extend([10, 0, 0, from, 10, 0, 0, to, what]);
            self.exchange.take(packet, self.at(millis));
        }

        /// Device and content of what has arrived.
        fn arrived(&mut self, millis: u64) -> Vec<(usize, u8)> {
            let arrived = self.exchange.arrived(self.at(millis)).into_iter();
            arrived
                .map(|(device, packet)| (device, packet[packet.len() - 1]))
                .collect()
        }

        fn disturb(&mut self, disturbance: &Disturbance, millis: u64) {
            let changes = self.links.disturb(disturbance);
            self.exchange.change(&changes, self.at(millis));
        }

        fn calm(&mut self, disturbance: &Disturbance, millis: u64) {
            let changes = self.links.calm(disturbance);
            self.exchange.change(&changes, self.at(millis));
        }
    }

    #[test]
    fn regions_are_as_far_apart_as_the_topology_says_and_the_operator_is_next_to_all() {
        let mut world = World::new();
        world.send(1, 2, b'a', 0);
        world.send(3, 2, b'b', 0);
        world.send(1, 9, b'c', 0);
        assert_eq!(world.arrived(39), [(2, b'b')]);
        assert_eq!(world.arrived(40), [(2, b'a')]);
        assert_eq!(world.exchange.next(), None, "nobody has that address");
    }

    #[test]
    fn a_cut_is_one_way_where_it_says_so() {
        let mut world = World::new();
        let host = "eu-1".to_owned();
        let way = Way::Out;
        let cut = Disturbance::Isolated { host, way };
        world.disturb(&cut, 0);
        world.send(1, 2, b'a', 0);
        world.send(2, 1, b'b', 0);
        assert_eq!(world.arrived(100), [(1, b'b')]);
        world.calm(&cut, 100);
        world.send(1, 2, b'c', 100);
        assert_eq!(world.arrived(140), [(2, b'c')]);
    }

    #[test]
    fn what_is_held_comes_in_order_when_it_is_released_and_nothing_overtakes() {
        let mut world = World::new();
        let host = "us-1".to_owned();
        let held = Disturbance::Held { host: host.clone() };
        let slow = Disturbance::Slow { host, millis: 100 };
        world.disturb(&held, 0);
        world.send(1, 2, b'a', 0);
        world.send(1, 2, b'b', 1);
        assert_eq!(world.arrived(1_000), []);
        world.disturb(&slow, 1_000);
        world.calm(&held, 1_000);
        world.calm(&slow, 1_000);
        world.send(1, 2, b'c', 1_000);
        assert_eq!(world.arrived(1_139), []);
        assert_eq!(world.arrived(1_140), [(2, b'a'), (2, b'b'), (2, b'c')]);
    }

    #[test]
    fn a_lossy_link_loses_about_as_much_as_it_says() {
        let mut world = World::new();
        let host = "us-1".to_owned();
        let per_mille = 300;
        world.disturb(&Disturbance::Lossy { host, per_mille }, 0);
        for number in 0..1_000 {
            world.send(1, 2, b'a', number);
        }
        let arrived = world.arrived(10_000).len();
        assert!((600..800).contains(&arrived), "{arrived} of 1000");
    }
}

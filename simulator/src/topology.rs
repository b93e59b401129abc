//! Which regions and nodes a simulated world has, and how far apart they are.

use std::{collections::BTreeMap, time::Duration};

/// The regions of a world, their nodes, and the round trips between them.
#[derive(Debug, Clone)]
pub struct Topology {
    regions: Vec<Region>,
    round_trips: BTreeMap<(String, String), Duration>,
    within_a_region: Duration,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name, as in `eu-west`.
    pub name: String,
    /// How many nodes it has. They are named `eu-west-1` and so on.
    pub nodes: u64,
}

/// One node, as the topology places it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The host's name, by which others connect to it.
    pub name: String,
    /// The name of its region.
    pub region: String,
    /// Its number, from 1, unique in the world.
    pub node_id: u64,
}

impl Topology {
    /// A world without regions, whose machines within a region are a millisecond's round trip
    /// apart.
    #[must_use]
    pub fn empty() -> Self {
        Topology {
            regions: Vec::new(),
            round_trips: BTreeMap::new(),
            within_a_region: Duration::from_millis(1),
        }
    }

    /// Three regions of three nodes: `eu-west`, `us-east` and `ap-south`, with round trips as
    /// between Ireland, Virginia and Mumbai, rounded.
    #[must_use]
    pub fn three_regions() -> Self {
        Topology::empty()
            .region("eu-west", 3)
            .region("us-east", 3)
            .region("ap-south", 3)
            .round_trip("eu-west", "us-east", Duration::from_millis(80))
            .round_trip("us-east", "ap-south", Duration::from_millis(150))
            .round_trip("eu-west", "ap-south", Duration::from_millis(120))
    }

    /// Adds a region.
    #[must_use]
    pub fn region(mut self, name: &str, nodes: u64) -> Self {
        let name = name.to_owned();
        self.regions.push(Region { name, nodes });
        self
    }

    /// Says how long a message and its answer take between two regions.
    #[must_use]
    pub fn round_trip(mut self, a: &str, b: &str, time: Duration) -> Self {
        self.round_trips.insert(unordered(a, b), time);
        self
    }

    /// The regions, in the order they were added.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// All nodes, region by region.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let named = self.regions.iter().flat_map(|region| {
            (1..=region.nodes).map(move |number| (region, format!("{}-{number}", region.name)))
        });
        named
            .zip(1..)
            .map(|((region, name), node_id)| Place {
                name,
                region: region.name.clone(),
                node_id,
            })
            .collect()
    }

    /// How long a message takes from a host of one region to a host of another, or of the same.
    ///
    /// # Panics
    ///
    /// When the round trip between two different regions was never said.
    #[must_use]
    pub fn one_way(&self, a: &str, b: &str) -> Duration {
        let round_trip = match self.round_trips.get(&unordered(a, b)) {
            Some(round_trip) => *round_trip,
            None if a == b => self.within_a_region,
            None => panic!("the topology has no round trip between {a} and {b}"),
        };
        round_trip / 2
    }
}

fn unordered(a: &str, b: &str) -> (String, String) {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    (first.to_owned(), second.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_after_their_region_and_numbered_through() {
        let places = Topology::three_regions().places();
        assert_eq!(places.len(), 9);
        assert_eq!(
            (places[3].name.as_str(), places[3].node_id),
            ("us-east-1", 4)
        );
    }

    #[test]
    fn latency_is_half_the_round_trip_whichever_way() {
        let topology = Topology::three_regions();
        let millis = Duration::from_millis;
        assert_eq!(topology.one_way("us-east", "eu-west"), millis(40));
        assert_eq!(topology.one_way("eu-west", "us-east"), millis(40));
        assert_eq!(topology.one_way("ap-south", "us-east"), millis(75));
        assert_eq!(
            topology.one_way("eu-west", "eu-west"),
            Duration::from_micros(500)
        );
    }
}

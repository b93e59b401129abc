//! Which regions and nodes a simulated world has, and how far apart they are.

use std::{collections::BTreeMap, time::Duration};

/// The regions of a world, their nodes, and the round trips between them.
#[derive(Debug, Clone)]
pub struct Topology {
    regions: Vec<Region>,
    round_trips: BTreeMap<(String, String), Duration>,
    within_a_region: Duration,
    /// How much longer than usual a message may take, in parts of a thousand of the usual.
    tail_per_mille: u32,
    decay: f64,
}

/// How many of a region's nodes vote in a shard, if there are so many; others keep copies only.
const VOTERS: usize = 3;

/// Even next door a message is late now and then, where any is.
const LEAST_TAIL: Duration = Duration::from_millis(4);

/// How fast long delays get rare; turmoil's own default.
const DECAY: f64 = 5.0;

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
            tail_per_mille: 0,
            decay: DECAY,
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

    /// Says that messages take longer than usual by up to so many parts of a thousand of the usual.
    /// Delays fall off exponentially: of the tail, a message takes one part in `decay` on average,
    /// and hardly ever all of it.
    #[must_use]
    pub fn tail_of(mut self, per_mille: u32, decay: f64) -> Self {
        self.tail_per_mille = per_mille;
        self.decay = decay;
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

    /// The names of the nodes that vote in each shard. Shards are numbered from 1, region by region;
    /// the first three nodes vote, or all there are.
    #[must_use]
    pub fn voters(&self, shards_of: &dyn Fn(&str) -> u32) -> BTreeMap<u32, Vec<String>> {
        let places = self.places();
        let homes = self.regions.iter().flat_map(|region| {
            let shards = 0..shards_of(&region.name);
            shards.map(move |_| &region.name)
        });
        (1..)
            .zip(homes)
            .map(|(shard, region)| {
                let of_region = places.iter().filter(|place| place.region == *region);
                let voting = of_region.take(VOTERS);
                (shard, voting.map(|place| place.name.clone()).collect())
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

    /// How much longer than usual a message may take between hosts of these regions.
    #[must_use]
    pub fn tail(&self, a: &str, b: &str) -> Duration {
        if self.tail_per_mille == 0 {
            return Duration::ZERO;
        }
        (self.one_way(a, b) * self.tail_per_mille / 1000).max(LEAST_TAIL)
    }

    /// How fast long delays get rare.
    #[must_use]
    pub fn decay(&self) -> f64 {
        self.decay
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
    fn three_nodes_vote_or_all_there_are() {
        let topology = Topology::empty().region("a", 1).region("b", 5);
        let voters = topology.voters(&|region| if region == "a" { 1 } else { 2 });
        let voters: Vec<String> = voters.values().map(|names| names.join(" ")).collect();
        assert_eq!(voters, ["a-1", "b-1 b-2 b-3", "b-1 b-2 b-3"]);
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

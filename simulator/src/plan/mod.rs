//! What will happen in a run, as data: who is where, what clients do, and what goes wrong when.
//!
//! A [`Plan`] is [generated](Plan::generate) from a seed by a pure function. It can be stored as
//! JSON, read by a person, made smaller, and played again: a run is a function of its plan.
//!
//! [`distances`] has the round trips between regions, [`workload`](Client) what clients do, and
//! [`Trouble`] what goes wrong. Nothing that goes wrong asks more of the ledger than it promises:
//! [`redundancy`] draws the line, the generator stays on this side of it, and the end of a run
//! shows that it did. What a node may call for help about follows from what befell it
//! ([`earned`]), and when it cannot know how old its answers are from whose clocks were wrong
//! ([`clocks`]).

pub mod clocks;
pub mod distances;
pub mod earned;
pub(crate) mod generate;
mod hunt;
pub mod redundancy;
mod trouble;
mod workload;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

pub use hunt::{Anomaly, Hunt, Role, UnknownAnomaly};
pub use trouble::{Trouble, Unlikely, What};
pub use workload::{Client, Consumed, Consumes, Habits, Reads};

use crate::{Seed, simulation::Fault, topology::Topology};

/// All that happens in a run but what the nodes do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What is left to chance in the world (delays, losses, the order of things) and in what
    /// clients and nodes draw follows from it.
    pub seed: Seed,
    /// How long clients ask and things go wrong, in milliseconds of simulated time.
    pub length_ms: u64,
    /// The regions.
    pub regions: Vec<Region>,
    /// How far they are apart.
    pub round_trips: Vec<RoundTrip>,
    /// How much longer than usual a message may take, in parts of a thousand of the usual.
    pub tail_per_mille: u32,
    /// How fast long delays get rare: of that tail a message takes one part in so many on average.
    pub decay: u32,
    /// How many accounts each shard has.
    pub accounts_per_shard: usize,
    /// Who asks.
    pub clients: Vec<Client>,
    /// What goes wrong.
    pub troubles: Vec<Trouble>,
    /// Whether it goes wrong from the first moment on, while the shards are founded and the accounts
    /// are opened. Otherwise times count from when the bank has opened.
    #[serde(default)]
    pub troubled_founding: bool,
    /// Nodes whose disks call synced what a power cut can still take. No redundancy covers that, so
    /// no plan is generated with any: they are for showing that the judges would notice.
    #[serde(default)]
    pub lying_disks: Vec<String>,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// How many nodes it has.
    pub nodes: u64,
    /// How many shards are at home in it.
    pub shards: u32,
}

/// How far two regions are apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTrip {
    /// The two regions.
    pub between: [String; 2],
    /// Milliseconds there and back.
    pub millis: u64,
}

impl Plan {
    /// The world it is played in.
    #[must_use]
    pub fn topology(&self) -> Topology {
        let empty = Topology::empty().tail_of(self.tail_per_mille, f64::from(self.decay));
        let regions = self.regions.iter().fold(empty, |topology, region| {
            topology.region(&region.name, region.nodes)
        });
        self.round_trips.iter().fold(regions, |topology, trip| {
            let [a, b] = &trip.between;
            topology.round_trip(a, b, Duration::from_millis(trip.millis))
        })
    }

    /// How many shards are at home in a region.
    #[must_use]
    pub fn shards_of(&self, region: &str) -> u32 {
        let region = self.regions.iter().find(|known| known.name == region);
        region.map_or(0, |region| region.shards)
    }

    /// All faults, in the order of their times in milliseconds after the troubles may begin.
    #[must_use]
    pub fn faults(&self) -> Vec<(u64, Fault)> {
        let mut faults: Vec<_> = self.troubles.iter().flat_map(Trouble::faults).collect();
        faults.sort_by_key(|(at, _)| *at);
        faults
    }

    /// How many troubles of each kind there are.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for trouble in &self.troubles {
            *kinds.entry(trouble.what.kind()).or_default() += 1;
        }
        kinds
    }
}

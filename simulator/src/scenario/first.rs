//! The first world of real nodes: three regions, customers in each, a leader that loses power, a
//! region that is cut off, and peace afterwards.
//!
//! The story, in simulated time:
//!
//! 1. The nodes found their shards, and all accounts are opened.
//! 2. Customers come. They pay in and out and to each other, within a shard, between shards and
//!    around the world, sometimes to accounts that do not exist, and read what they have.
//! 3. Whoever signed the last receipt of some shard loses power, and comes back seconds later.
//! 4. All nodes of some region lose power at once, and come back.
//! 5. Whoever signed the last receipt of some shard loses touch with all other nodes, but not with
//!    its customers.
//! 6. Some region is cut off from the others, and comes back.
//! 7. Customers leave. All transfers arrive. Every balance is read once more.
//! 8. The [judges](super::judge) compare what clients were told with what the logs say.

use std::{collections::BTreeMap, time::Duration};

use rand::seq::IteratorRandom;

use super::{
    Played, Run,
    bank::{Bank, Care},
    world::{Excused, World},
};
use crate::{
    history::Outcome,
    plan::{Client, Habits},
    simulation::{Disturbance, Failure, Fault, Way},
    topology::Topology,
};

const SHARDS_PER_REGION: u32 = 2;
const ACCOUNTS_PER_SHARD: usize = 2;
const CUSTOMERS_PER_REGION: usize = 2;
const LENGTH: Duration = Duration::from_secs(60);

/// Plays the scenario.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn first(run: &Run) -> Result<Played, Failure> {
    let trace = run.trace.clone();
    trace.with_tracing_events(tracing::Level::INFO, || {
        First(world(run)).play(run.length.unwrap_or(LENGTH))
    })
}

fn world(run: &Run) -> World<'_> {
    let topology = Topology::three_regions();
    let shards_of = |_: &str| SHARDS_PER_REGION;
    let bank = Bank::found(run.seed, &topology, &shards_of, ACCOUNTS_PER_SHARD);
    let regions = topology.regions().iter();
    let clients: Vec<Client> = regions
        .flat_map(|region| {
            (1..=CUSTOMERS_PER_REGION).map(|number| Client {
                name: format!("customer-{}-{number}", region.name),
                region: region.name.clone(),
                habits: Habits {
                    far_nodes: 1,
                    stale_looks: 400,
                    ..Habits::default()
                },
            })
        })
        .collect();
    World::new(run, topology, bank, Care::None, &clients)
}

struct First<'a>(World<'a>);

impl First<'_> {
    fn play(mut self, length: Duration) -> Result<Played, Failure> {
        self.0.open()?;
        let opened = self.0.simulation.elapsed();
        let tenth = length / 10;
        self.0.run_until(opened + tenth)?;
        let outage = self.cut_power_of_a_leader(2 * tenth)?;
        self.0.run_until(opened + 4 * tenth)?;
        self.cut_power_of_a_region(tenth)?;
        self.0.run_until(opened + 6 * tenth)?;
        self.estrange_a_leader(3 * tenth / 2)?;
        self.0.run_until(opened + 8 * tenth)?;
        self.cut_off_a_region(tenth)?;
        self.0.run_until(opened + length)?;
        let (mut played, _) = self.0.close(&Excused::default())?;
        played.counts.insert("acknowledged in the outage", outage);
        Ok(played)
    }

    /// Lets something be wrong with the network for a while.
    fn disturb(&mut self, disturbance: Disturbance, time: Duration) -> Result<(), Failure> {
        let world = &mut self.0;
        world.simulation.apply(&Fault::Disturb(disturbance.clone()));
        world.run_until(world.simulation.elapsed() + time)?;
        world.simulation.apply(&Fault::Calm(disturbance));
        Ok(())
    }

    /// Cuts the power of a leader, and gives it back. Returns how many receipts of its shard others
    /// have signed meanwhile.
    fn cut_power_of_a_leader(&mut self, time: Duration) -> Result<u64, Failure> {
        let (shard, node) = self.a_leader()?;
        let before = self.receipts_of(shard);
        self.0
            .simulation
            .apply(&Fault::PowerCut { node: node.clone() });
        self.0.run_until(self.0.simulation.elapsed() + time)?;
        let meanwhile = self.receipts_of(shard) - before;
        self.0.simulation.apply(&Fault::Start { node });
        Ok(meanwhile)
    }

    /// Cuts the power of a whole region at once: what none of its disks has is gone.
    fn cut_power_of_a_region(&mut self, time: Duration) -> Result<(), Failure> {
        let region = self.a_region();
        let nodes: Vec<String> = self
            .0
            .simulation
            .nodes_of(&region)
            .map(ToOwned::to_owned)
            .collect();
        for node in &nodes {
            let node = node.clone();
            self.0.simulation.apply(&Fault::PowerCut { node });
        }
        self.0.run_until(self.0.simulation.elapsed() + time)?;
        for node in nodes {
            self.0.simulation.apply(&Fault::Start { node });
        }
        Ok(())
    }

    /// Lets a leader go on among its clients while the others choose a new one.
    fn estrange_a_leader(&mut self, time: Duration) -> Result<(), Failure> {
        let (_, node) = self.a_leader()?;
        self.disturb(Disturbance::Estranged { node }, time)
    }

    fn cut_off_a_region(&mut self, time: Duration) -> Result<(), Failure> {
        let region = self.a_region();
        let way = Way::Both;
        self.disturb(Disturbance::CutOff { region, way }, time)
    }

    /// Some shard, and the node that signed its last receipt.
    fn a_leader(&mut self) -> Result<(u32, String), Failure> {
        self.0.wait_until("somebody leads a shard", |world| {
            Ok(!world.lobby.signed_by.borrow().is_empty())
        })?;
        let leaders: BTreeMap<u32, String> = self.0.lobby.signed_by.borrow().clone();
        Ok(leaders
            .into_iter()
            .choose(self.0.simulation.rng())
            .expect("just waited for"))
    }

    fn a_region(&mut self) -> String {
        let accounts = self.0.lobby.bank.accounts().iter();
        accounts
            .map(|account| account.region.clone())
            .choose(self.0.simulation.rng())
            .expect("every region has accounts")
    }

    /// How many receipts clients hold of a shard.
    fn receipts_of(&self, shard: u32) -> u64 {
        let prefix = format!("{shard}:");
        let records = self.0.lobby.history.records();
        let of_shard = records.iter().filter(|record| {
            matches!(&record.outcome, Outcome::Accepted { position, .. } if position.starts_with(&prefix))
        });
        of_shard.count() as u64
    }
}

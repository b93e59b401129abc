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
    bank::Bank,
    customer::{Hours, Lobby, customer, registrar},
    evidence::Evidence,
    judge::judge,
    tally,
};
use crate::{
    history::Outcome,
    simulation::{Cause, Failure, Fault, Simulation},
    topology::Topology,
};
use replication::{log::StoredRecord, world::Store};

const SHARDS_PER_REGION: u32 = 2;
const ACCOUNTS_PER_SHARD: usize = 2;
const CUSTOMERS_PER_REGION: usize = 2;
/// The longest that anything but the workload may take.
const PATIENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Plays the scenario.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn first(run: &Run) -> Result<Played, Failure> {
    let trace = run.trace.clone();
    trace.with_tracing_events(tracing::Level::INFO, || World::new(run).play(run.length))
}

struct World<'a> {
    run: &'a Run,
    simulation: Simulation,
    lobby: Lobby,
}

impl<'a> World<'a> {
    fn new(run: &'a Run) -> Self {
        let topology = Topology::three_regions();
        let bank = Bank::found(run.seed, &topology, SHARDS_PER_REGION, ACCOUNTS_PER_SHARD);
        let regions = topology.regions().to_vec();
        let mut simulation = Simulation::new(run.seed, topology, run.trace.clone(), bank.start());
        let lobby = Lobby::new(bank);
        let founder = &regions[0].name;
        let of_registrar = lobby.clone();
        simulation.client(founder, "registrar", |context| {
            registrar(context, of_registrar)
        });
        for region in &regions {
            for number in 1..=CUSTOMERS_PER_REGION {
                let lobby = lobby.clone();
                let name = format!("customer-{}-{number}", region.name);
                simulation.client(&region.name, &name, |context| customer(context, lobby));
            }
        }
        World {
            run,
            simulation,
            lobby,
        }
    }

    fn play(mut self, length: Duration) -> Result<Played, Failure> {
        let accounts = self.lobby.bank.accounts().len();
        self.wait_until("all accounts are opened", |world| {
            Ok(world.lobby.opened.get() == accounts)
        })?;

        self.lobby.hours.set(Hours::Open);
        let opened = self.simulation.elapsed();
        let tenth = length / 10;
        self.run_until(opened + tenth)?;
        let outage = self.cut_power_of_a_leader(2 * tenth)?;
        self.run_until(opened + 4 * tenth)?;
        self.cut_power_of_a_region(tenth)?;
        self.run_until(opened + 6 * tenth)?;
        self.estrange_a_leader(3 * tenth / 2)?;
        self.run_until(opened + 8 * tenth)?;
        self.cut_off_a_region(tenth)?;
        self.run_until(opened + length)?;

        self.lobby.hours.set(Hours::Closed);
        self.wait_until("all customers have left", |world| {
            Ok(world.lobby.inside.get() == 0)
        })?;
        self.wait_until("all transfers have arrived", |world| {
            Ok(world.evidence()?.under_way() == 0)
        })?;
        self.wait_until_all_have_all()?;
        self.lobby.hours.set(Hours::Audit);
        let end = self.simulation.elapsed() + PATIENCE;
        self.simulation.run_until_clients_end(end)?;

        let evidence = self.evidence()?;
        let records = self.lobby.history.records();
        let ids: Vec<String> = self
            .lobby
            .bank
            .accounts()
            .iter()
            .map(|a| a.id.clone())
            .collect();
        judge(&records, &evidence, &ids)
            .map_err(|how| self.simulation.failure(Cause::PromiseBroken(how)))?;
        if let Some(error) = self.run.trace.first_error() {
            return Err(self.simulation.failure(Cause::ErrorLogged(error)));
        }
        let mut counts = tally::of(&records, &evidence);
        counts.insert("acknowledged in the outage", outage);
        Ok(Played {
            time: self.simulation.elapsed(),
            counts,
        })
    }

    /// Cuts the power of a leader, and gives it back. Returns how many receipts of its shard others
    /// have signed meanwhile.
    fn cut_power_of_a_leader(&mut self, time: Duration) -> Result<u64, Failure> {
        let (shard, node) = self.a_leader()?;
        let before = self.receipts_of(shard);
        self.simulation
            .apply(&Fault::PowerCut { node: node.clone() });
        self.run_until(self.simulation.elapsed() + time)?;
        let meanwhile = self.receipts_of(shard) - before;
        self.simulation.apply(&Fault::Start { node });
        Ok(meanwhile)
    }

    /// Cuts the power of a whole region at once: what none of its disks has is gone.
    fn cut_power_of_a_region(&mut self, time: Duration) -> Result<(), Failure> {
        let region = self.a_region();
        let nodes: Vec<String> = self
            .simulation
            .nodes_of(&region)
            .map(ToOwned::to_owned)
            .collect();
        for node in &nodes {
            let node = node.clone();
            self.simulation.apply(&Fault::PowerCut { node });
        }
        self.run_until(self.simulation.elapsed() + time)?;
        for node in nodes {
            self.simulation.apply(&Fault::Start { node });
        }
        Ok(())
    }

    /// Lets a leader go on among its clients while the others choose a new one.
    fn estrange_a_leader(&mut self, time: Duration) -> Result<(), Failure> {
        let (_, node) = self.a_leader()?;
        self.simulation
            .apply(&Fault::Estrange { node: node.clone() });
        self.run_until(self.simulation.elapsed() + time)?;
        self.simulation.apply(&Fault::Reconcile { node });
        Ok(())
    }

    fn cut_off_a_region(&mut self, time: Duration) -> Result<(), Failure> {
        let region = self.a_region();
        self.simulation.apply(&Fault::CutOff {
            region: region.clone(),
        });
        self.run_until(self.simulation.elapsed() + time)?;
        self.simulation.apply(&Fault::Heal { region });
        Ok(())
    }

    /// Some shard, and the node that signed its last receipt.
    fn a_leader(&mut self) -> Result<(u32, String), Failure> {
        self.wait_until("somebody leads a shard", |world| {
            Ok(!world.lobby.signed_by.borrow().is_empty())
        })?;
        let leaders: BTreeMap<u32, String> = self.lobby.signed_by.borrow().clone();
        Ok(leaders
            .into_iter()
            .choose(self.simulation.rng())
            .expect("just waited for"))
    }

    fn a_region(&mut self) -> String {
        let accounts = self.lobby.bank.accounts().iter();
        accounts
            .map(|account| account.region.clone())
            .choose(self.simulation.rng())
            .expect("every region has accounts")
    }

    /// How many receipts clients hold of a shard.
    fn receipts_of(&self, shard: u32) -> u64 {
        let prefix = format!("{shard}:");
        let records = self.lobby.history.records();
        let of_shard = records.iter().filter(|record| {
            matches!(&record.outcome, Outcome::Accepted { position, .. } if position.starts_with(&prefix))
        });
        of_shard.count() as u64
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Failure> {
        while self.simulation.elapsed() < end {
            let next = (self.simulation.elapsed() + SECOND).min(end);
            self.simulation.run_until(next)?;
            (self.run.progress)(next);
        }
        Ok(())
    }

    /// Looks once per simulated second.
    fn wait_until(
        &mut self,
        what: &str,
        is_so: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let start = self.simulation.elapsed();
        while !is_so(self)? {
            if self.simulation.elapsed() >= start + PATIENCE {
                let what = what.to_owned();
                let by = self.simulation.elapsed();
                return Err(self.simulation.failure(Cause::NotSo { what, by }));
            }
            self.run_until(self.simulation.elapsed() + SECOND)?;
        }
        Ok(())
    }

    /// Waits until every node, at home and abroad, has every index that a majority has now: also
    /// what a snapshot let it skip.
    fn wait_until_all_have_all(&mut self) -> Result<(), Failure> {
        let nodes: Vec<String> = self.simulation.nodes().map(ToOwned::to_owned).collect();
        let shards: Vec<_> = self.lobby.bank.shards().collect();
        for (shard, voters) in shards {
            let length = |world: &Self, node: &str| {
                let broken = |how: String| world.simulation.failure(Cause::PromiseBroken(how));
                let stored = world.stored(node, shard);
                Ok(stored.map_err(|e| broken(e.to_string()))?.len())
            };
            let lengths = voters.iter().map(|voter| length(self, voter));
            let mut lengths: Vec<_> = lengths.collect::<Result<_, Failure>>()?;
            lengths.sort_unstable();
            let wanted = lengths[lengths.len() / 2];
            for node in &nodes {
                self.wait_until("every node has all of the history", |world| {
                    Ok(length(world, node)? >= wanted)
                })?;
            }
        }
        Ok(())
    }

    /// What the logs say, as far as a majority of a shard's voters has them.
    fn evidence(&self) -> Result<Evidence, Failure> {
        let broken = |how: String| self.simulation.failure(Cause::PromiseBroken(how));
        Evidence::gather(&self.lobby.bank, |node, shard| self.stored(node, shard)).map_err(broken)
    }

    fn stored(&self, node: &str, shard: u32) -> std::io::Result<Vec<StoredRecord>> {
        match self.simulation.disk(node).store(Store::Log) {
            Some(engine) => replication::log::read_stored(engine, shard),
            None => Ok(Vec::new()),
        }
    }
}

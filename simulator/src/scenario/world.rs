//! A world with a bank in it, and what every scenario does there: open, wait, close, judge.

use std::{collections::BTreeMap, time::Duration};

use ledger_domain::CustomerId;
use replication::{log::StoredRecord, world::Store};

use super::{
    Played, Run,
    bank::{Bank, Care},
    consumers,
    customer::{Hours, Lobby, customer, registrar},
    evidence::Evidence,
    inspector::inspector,
    judge::{self, Judged},
    rest::{self, Broken, Rest},
    tally::{self, Counts},
    watcher::watcher,
};
use crate::{
    history::{Outcome, Person, Request},
    oracle::{
        bounded,
        live::{self, Recovery},
        proven, punctual,
        quiet::{Call, Excuse},
        sealed,
        stated::{Known, Spell},
    },
    plan::Client,
    simulation::{Cause, Failure, Simulation},
    topology::Topology,
    world::Stretch,
};

/// The longest that anything but the workload may take.
const PATIENCE: Duration = live::WITHIN;
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A bank in a simulated world, and whoever drives it.
pub struct World<'a> {
    run: &'a Run,
    /// The world.
    pub simulation: Simulation,
    /// What clients and driver share.
    pub lobby: Lobby,
    recovery: Recovery,
}

/// What a scenario has done that explains what would break a promise otherwise.
#[derive(Debug, Clone, Default)]
pub struct Excused {
    /// Calls for help.
    pub calls: Vec<Excuse>,
    /// When clocks were wrong, and nobody could tell.
    pub clocks: Vec<Spell>,
}

impl<'a> World<'a> {
    /// A world in which the nodes of a bank are about to start, and clients are on their way.
    #[must_use]
    pub fn new(
        run: &'a Run,
        topology: Topology,
        bank: Bank,
        care: Care,
        clients: &[Client],
    ) -> Self {
        let founder = topology.regions()[0].name.clone();
        let trace = run.trace.clone();
        let mut simulation = Simulation::new(run.seed, topology, trace, bank.start(care));
        let lobby = Lobby::new(bank);
        let of_registrar = lobby.clone();
        simulation.client(&founder, "registrar", |context| {
            registrar(context, of_registrar)
        });
        let of_inspector = lobby.clone();
        simulation.client(&founder, "inspector", |context| {
            inspector(context, of_inspector)
        });
        let of_watcher = lobby.clone();
        simulation.client(&founder, "watcher", |context| watcher(context, of_watcher));
        for client in clients {
            let (lobby, habits) = (lobby.clone(), client.habits.clone());
            simulation.client(&client.region, &client.name, |context| {
                customer(context, lobby, habits)
            });
        }
        World {
            run,
            simulation,
            lobby,
            recovery: Recovery::default(),
        }
    }

    /// Opens all accounts, then the bank.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn open(&mut self) -> Result<(), Failure> {
        self.wait_until("all accounts are opened", |world| Ok(world.can_open()))?;
        self.lobby.hours.set(Hours::Open);
        Ok(())
    }

    /// Whether all accounts are opened.
    #[must_use]
    pub fn can_open(&self) -> bool {
        self.lobby.opened.get() == self.lobby.bank.accounts().len()
    }

    /// Whether the bank is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lobby.hours.get() == Hours::Open
    }

    /// Closes the bank, waits until all is at rest, and judges. Nothing goes wrong any more.
    ///
    /// # Errors
    ///
    /// What went wrong, or the first promise that was broken.
    pub fn close(mut self, excused: &Excused) -> Result<(Played, Evidence), Failure> {
        let peace = self.simulation.elapsed();
        self.lobby.hours.set(Hours::Closed);
        self.simulation.calm_archives();
        self.recover("all customers have left", |world| {
            Ok(world.lobby.inside.get() == 0)
        })?;
        self.recover("what was damaged is mended", |world| {
            let mut nodes = world.whole_nodes();
            Ok(nodes.all(|node| !world.simulation.disk(node).is_damaged()))
        })?;
        let before = self.lobby.shown.borrow().len();
        let is_any_made = {
            let shown = self.lobby.shown.borrow();
            shown.iter().any(|it| !bounded::makes_no_read_models(it))
        };
        if is_any_made || self.lobby.rebuilds.get() > 0 {
            self.recover("read models that are made again serve", |world| {
                let shown = world.lobby.shown.borrow();
                let last = |node: &str| shown[before..].iter().rev().find(|it| it.node == node);
                let is_made = |node| last(node).is_some_and(bounded::makes_no_read_models);
                Ok(world.whole_nodes().all(is_made))
            })?;
        }
        self.recover("all transfers have arrived", |world| {
            Ok(world.under_way()? == 0)
        })?;
        let settled = self.simulation.elapsed() - peace;
        self.hush()?;
        let began = self.simulation.elapsed();
        self.wait_until_all_have_all()?;
        self.stage("every node has all of every history", began);
        self.lobby.at_rest.set(true);
        self.recover("every node has shown its queues", |world| {
            let shown = world.lobby.shown.borrow();
            let is_shown = |node: &str| shown.iter().any(|s| s.at_rest && s.node == node);
            Ok(world.whole_nodes().all(is_shown))
        })?;
        self.lobby.at_rest.set(false);
        self.lobby.nobody_asks.set(false);
        let began = self.simulation.elapsed();
        let audited = self.whole_nodes().map(ToOwned::to_owned).collect();
        *self.lobby.audited.borrow_mut() = audited;
        let ends = self.ends()?;
        *self.lobby.ends.borrow_mut() = ends;
        self.lobby.hours.set(Hours::Audit);
        self.simulation.run_until_clients_end(began + PATIENCE)?;
        self.stage("every region serves", began);

        let evidence = self.evidence()?;
        let judged = self.judge(&evidence, settled, excused);
        let judged = judged.map_err(|how| self.simulation.failure(how))?;
        let mut counts: Counts = tally::of(&self.lobby.history.records(), &evidence);
        for (what, count) in self.lobby.asides.borrow().iter() {
            counts.insert(what, *count);
        }
        let played = Played {
            time: self.simulation.elapsed(),
            counts,
            judged,
        };
        Ok((played, evidence))
    }

    /// Has groups ask for nothing until all was at rest, and waits for what they have asked for.
    fn hush(&mut self) -> Result<(), Failure> {
        self.lobby.nobody_asks.set(true);
        if self.lobby.asking.get() > 0 {
            self.recover("groups ask for nothing", |world| {
                Ok(world.lobby.asking.get() == 0)
            })?;
            // A node may still be at what nobody waits for any more.
            self.run_until(self.simulation.elapsed() + 2 * consumers::DEADLINE)?;
        }
        Ok(())
    }

    /// Calls every oracle.
    fn judge(
        &self,
        evidence: &Evidence,
        settled: Duration,
        excused: &Excused,
    ) -> Result<Judged, Cause> {
        let calls = self.run.trace.calls_for_help().into_iter();
        let rest = Rest {
            settled,
            in_the_clear: self.in_the_clear(),
            recovery: self.recovery.clone(),
            calls: calls
                .map(|call| Call {
                    node: call.host,
                    said: call.said,
                })
                .collect(),
        };
        let judged = rest::judge(&self.lobby, evidence, &rest, excused, live::WITHIN);
        let mut judged = judged.map_err(|broken| match broken {
            Broken::Promise(how) => Cause::PromiseBroken(how),
            Broken::Call(how) => Cause::ErrorLogged(how),
        })?;
        let (known, end) = (self.known(evidence), self.simulation.elapsed());
        let punctual = punctual::no_time_is_ahead(&evidence.closed, &known, end, &self.clocks());
        let broken = |oracle, how: String| Cause::PromiseBroken(judge::broken(oracle, how));
        let punctual = punctual.map_err(|e| broken("punctual", e.to_string()))?;
        judged.insert("punctual", punctual as u64);
        let bounded = bounded::queues_are_bounded(&self.lobby.shown.borrow());
        let bounded = bounded.map_err(|e| broken("bounded", e.to_string()))?;
        judged.insert("bounded", bounded as u64);
        let nodes = self.simulation.nodes();
        let seen: Vec<_> = nodes
            .map(|node| (node.to_owned(), self.simulation.disk(node).rash()))
            .collect();
        let proven = proven::causes_are_durable(&seen, evidence.acts);
        let proven = proven.map_err(|e| broken("proven", e.to_string()))?;
        judged.insert("proven", proven as u64);
        if let Some(customer) = self.keys_of_the_erased().first() {
            let how = format!("the key of {customer}, who is erased, is still there");
            return Err(broken("sealed", how));
        }
        let sent = sealed::memos_do_not_leave(&self.sent());
        let sent = sent.map_err(|e| broken("sealed", e.to_string()))?;
        *judged.entry("sealed").or_default() += sent as u64;
        Ok(judged)
    }

    /// What clients knew to be in the logs, out of receipts and answers, and since when.
    fn known(&self, evidence: &Evidence) -> Vec<Known> {
        let history = &self.lobby.history;
        let mut known = judge::known(&history.records(), evidence);
        known.extend(history.readings().into_iter().map(|reading| Known {
            shard: reading.shard,
            index: reading.index,
            since: reading.completed.at,
        }));
        known
    }

    /// What the clocks of each shard's voters have shown.
    fn clocks(&self) -> BTreeMap<u32, Vec<Vec<Stretch>>> {
        let shown = |voters: Vec<String>| {
            let voters = voters.iter();
            let clocks = voters.map(|voter| self.simulation.clock(voter).shown());
            clocks.collect()
        };
        let shards = self.lobby.bank.shards();
        shards
            .map(|(shard, voters)| (shard, shown(voters)))
            .collect()
    }

    /// Where memos are that can be read: in all stores of all nodes, and in all their logs.
    fn in_the_clear(&self) -> Vec<String> {
        let mut found = self.run.trace.in_the_clear();
        for node in self.simulation.nodes() {
            let stores = self.simulation.disk(node).stores_with(sealed::is_in);
            found.extend(
                stores
                    .iter()
                    .map(|store| format!("the {store:?} of {node}")),
            );
        }
        found
    }

    /// Customers whose key is there though somebody was told that they are erased.
    fn keys_of_the_erased(&self) -> Vec<CustomerId> {
        let bank = &self.lobby.bank;
        let records = self.lobby.history.records();
        let erased = records.iter().filter_map(|record| match &record.request {
            Request::Person {
                customer,
                asks: Person::Erase,
            } if matches!(record.outcome, Outcome::Accepted { .. }) => customer.parse().ok(),
            _ => None,
        });
        erased
            .filter(|it: &CustomerId| bank.keys(it.region().as_str()).customers().contains(it))
            .collect()
    }

    /// The memos in the clear in what nodes have sent to each other.
    fn sent(&self) -> Vec<sealed::Sent> {
        let bank = &self.lobby.bank;
        let home = |id: &str| match id.parse::<CustomerId>() {
            Ok(customer) => customer.region().to_string(),
            Err(_) => bank.home_region(id),
        };
        let records = self.lobby.history.records();
        let homes: BTreeMap<&str, String> = records
            .iter()
            .map(|record| (&record.key[..], home(record.request.named_first())))
            .collect();
        let nodes = bank.topology().nodes.iter();
        let domains: BTreeMap<&str, String> = nodes
            .map(|node| (&node.name[..], bank.domain(node.region.as_str())))
            .collect();
        let mut sent = Vec::new();
        for (from, from_domain) in &domains {
            for (to, key) in self.simulation.wire(from).memos() {
                // Clients are told what they asked for.
                let (Some(to_domain), Some(home)) = (domains.get(&to[..]), homes.get(&key[..]))
                else {
                    continue;
                };
                sent.push(sealed::Sent {
                    from: (*from).to_owned(),
                    from_domain: from_domain.clone(),
                    to_domain: to_domain.clone(),
                    to,
                    domain: bank.domain(home),
                });
            }
        }
        sent
    }

    fn recover(
        &mut self,
        what: &str,
        is_so: impl Fn(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let began = self.simulation.elapsed();
        self.wait_until(what, is_so)?;
        self.stage(what, began);
        Ok(())
    }

    fn stage(&mut self, what: &str, began: Duration) {
        let took = self.simulation.elapsed() - began;
        self.recovery.stages.push((what.to_owned(), took));
        let trace = &self.run.trace;
        trace.record_at(
            self.simulation.elapsed(),
            "world",
            format!("{what} after {took:?}"),
        );
    }

    /// The nodes that have not lost their disks.
    fn whole_nodes(&self) -> impl Iterator<Item = &str> {
        let nodes = self.simulation.nodes();
        nodes.filter(|node| !self.simulation.has_lost_its_disk(node))
    }

    /// Moves time until `end`, whatever happens.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn run_until(&mut self, end: Duration) -> Result<(), Failure> {
        while self.simulation.elapsed() < end {
            let next = (self.simulation.elapsed() + SECOND).min(end);
            self.simulation.run_until(next)?;
            (self.run.progress)(next);
        }
        Ok(())
    }

    /// Looks once per simulated second.
    ///
    /// # Errors
    ///
    /// What went wrong, or that it did not come to be.
    pub fn wait_until(
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
        let nodes: Vec<String> = self.whole_nodes().map(ToOwned::to_owned).collect();
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

    /// Up to which index every node has each shard's log.
    fn ends(&self) -> Result<BTreeMap<u32, u64>, Failure> {
        let broken = |how: String| self.simulation.failure(Cause::PromiseBroken(how));
        let mut ends = BTreeMap::new();
        for (shard, _) in self.lobby.bank.shards() {
            for node in self.whole_nodes() {
                let stored = self
                    .stored(node, shard)
                    .map_err(|e| broken(e.to_string()))?;
                let last = stored.last().map_or(0, |it| it.id.index);
                let end = ends.entry(shard).or_insert(last);
                *end = last.min(*end);
            }
        }
        Ok(ends)
    }

    /// What the logs say, as far as a majority of a shard's voters has them.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or contradict each other.
    pub fn evidence(&self) -> Result<Evidence, Failure> {
        let broken = |how: String| self.simulation.failure(Cause::PromiseBroken(how));
        Evidence::gather(&self.lobby.bank, |node, shard| self.stored(node, shard)).map_err(broken)
    }

    fn under_way(&self) -> Result<u64, Failure> {
        let broken = |how: String| self.simulation.failure(Cause::PromiseBroken(how));
        Evidence::under_way_in(&self.lobby.bank, |node, shard| self.stored(node, shard))
            .map_err(broken)
    }

    fn stored(&self, node: &str, shard: u32) -> std::io::Result<Vec<StoredRecord>> {
        match self.simulation.disk(node).store(Store::Log) {
            Some(engine) => {
                let archive = self.simulation.archive(node);
                let object = |name: &str| archive.as_ref()?.object(name);
                replication::log::read_stored_with(engine, shard, &object)
            }
            None => Ok(Vec::new()),
        }
    }
}

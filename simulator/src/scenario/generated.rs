//! A world that follows a [`Plan`]: any topology, clients with habits, and all that can go wrong.
//!
//! The story, in simulated time:
//!
//! 1. The nodes found their shards, and all accounts are opened: in peace, or with troubles already.
//! 2. Clients come and ask, and the plan's troubles begin and end.
//! 3. Peace: whatever is still wrong ends, and nodes that are down come back, but for those whose
//!    disks are lost.
//! 4. Clients leave, damage is mended, transfers arrive, everybody catches up.
//! 5. The [judges](super::judge) compare what clients were told with what the logs say; and the
//!    [redundancy] was not used up, so that they had a right to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Played, Run,
    bank::{Bank, Care},
    consumers,
    evidence::Evidence,
    tally::Counts,
    world::{Excused, World},
};
use crate::{
    history::{Outcome, Record, Request},
    oracle::{
        model::{Step, What},
        stated::Spell,
    },
    plan::{
        Plan, clocks, earned,
        redundancy::{self, Losers},
    },
    simulation::{Cause, Disturbance, Failure, Fault},
};

/// Plays the run's plan, or the one that follows from its seed.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn generated(run: &Run) -> Result<Played, Failure> {
    let mut plan = run.plan.clone().unwrap_or_else(|| Plan::generate(run.seed));
    if let Some(length) = run.length {
        plan.length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    }
    let trace = run.trace.clone();
    trace.with_tracing_events(tracing::Level::INFO, || {
        let topology = plan.topology();
        let shards_of = |region: &str| plan.shards_of(region);
        let bank = Bank::found(run.seed, &topology, &shards_of, plan.accounts_per_shard);
        let world = World::new(run, topology, bank, Care::StartsAgain, &plan.clients);
        Generated { plan: &plan, run }.play(world)
    })
}

struct Generated<'a> {
    plan: &'a Plan,
    run: &'a Run,
}

impl Generated<'_> {
    fn play(&self, mut world: World<'_>) -> Result<Played, Failure> {
        for node in &self.plan.lying_disks {
            let node = node.clone();
            world.simulation.apply(&Fault::Lie { node });
        }
        if !self.plan.troubled_founding {
            world.open()?;
        }
        let opened = world.simulation.elapsed();
        let after = |millis| opened + Duration::from_millis(millis);
        for (at, fault) in self.plan.faults() {
            if at >= self.plan.length_ms {
                break;
            }
            self.run_until(&mut world, after(at))?;
            self.look_around(&world, &fault);
            world.simulation.apply(&fault);
        }
        self.run_until(&mut world, after(self.plan.length_ms))?;
        world.simulation.make_peace();
        if !world.is_open() {
            world.open()?;
        }

        let voters: BTreeMap<u32, Vec<String>> = world.lobby.bank.shards().collect();
        let losers = losers(self.plan, &world, voters.keys());
        redundancy::covers(&voters, &losers).map_err(|crossed| {
            let how = format!("no promise covers the plan: {crossed}");
            world.simulation.failure(Cause::PromiseBroken(how))
        })?;
        let history = world.lobby.history.clone();
        let (mut played, evidence) = world.close(&Excused {
            calls: earned::excuses(self.plan),
            clocks: self.wrong_clocks(opened),
        })?;
        self.look_back(&history.records(), &evidence);
        self.count(&mut played.counts);
        Ok(played)
    }

    /// Goes on, and opens the bank as soon as it can be.
    fn run_until(&self, world: &mut World<'_>, end: Duration) -> Result<(), Failure> {
        while !world.is_open() && world.simulation.elapsed() < end {
            let soon = world.simulation.elapsed() + Duration::from_millis(100);
            world.run_until(soon.min(end))?;
            if world.can_open() {
                self.run.trace.reach("the bank was founded in trouble");
                world.open()?;
            }
        }
        world.run_until(end)
    }

    /// When clocks were wrong, and nobody could tell.
    fn wrong_clocks(&self, opened: Duration) -> Vec<Spell> {
        let after = |millis| opened + Duration::from_millis(millis);
        let spells = clocks::nobody_can_tell(self.plan).into_iter();
        let spells = spells.map(|(from, until)| Spell {
            from: after(from),
            until: after(until),
        });
        spells.collect()
    }

    /// Notes what a fault meets.
    fn look_around(&self, world: &World<'_>, fault: &Fault) {
        let trace = &self.run.trace;
        match fault {
            Fault::PowerCut { node } | Fault::Kill { node } | Fault::LoseDisk { node, .. } => {
                let leaders = world.lobby.signed_by.borrow();
                let led: BTreeSet<u32> = leaders
                    .iter()
                    .filter(|(_, leader)| *leader == node)
                    .map(|(shard, _)| *shard)
                    .collect();
                let accounts = world.lobby.bank.accounts();
                let is_led = |record: &Record| {
                    let account = record.request.named_first();
                    let account = accounts.iter().find(|known| known.id == account);
                    account.is_some_and(|account| led.contains(&account.shard))
                };
                if world.lobby.history.open().iter().any(is_led) {
                    trace.reach("a leader died with requests under way");
                }
            }
            Fault::Disturb(
                Disturbance::CutOff { .. }
                | Disturbance::Parted { .. }
                | Disturbance::Isolated { .. },
            ) => {
                let is_transfer =
                    |record: &Record| matches!(record.request.bare(), Request::Transfer { .. });
                if world.lobby.history.open().iter().any(is_transfer) {
                    trace.reach("a cut in the middle of a transfer");
                }
                let is_journal = |record: &Record| !record.request.legs().is_empty();
                if world.lobby.history.open().iter().any(is_journal) {
                    trace.reach("a cut in the middle of a journal");
                }
            }
            _ => {}
        }
    }

    /// Notes what only the end shows.
    fn look_back(&self, records: &[Record], evidence: &Evidence) {
        let reach = |is_so: bool, situation| {
            if is_so {
                self.run.trace.reach(situation);
            }
        };
        reach(evidence.voids > 0, "an entry was void");
        reach(!evidence.returns.is_empty(), "a transfer was returned");
        reach(!evidence.captured.is_empty(), "a hold was captured");
        for journal in evidence.journals.values() {
            let is_posted = journal.ends.get(&journal.opener) == Some(&None);
            reach(is_posted, "a journal was posted between shards");
            reach(!is_posted, "a journal was cancelled");
        }
        let expired = |step: &Step| matches!(step.what, What::Expired { .. });
        reach(evidence.steps.iter().any(expired), "a hold expired");
        reach(
            consumers::changed_leaders(evidence),
            "a consumer group went on under another leader",
        );
        for record in records {
            reach(!record.told_again.is_empty(), "a request was told again");
            match record.outcome {
                Outcome::Unknown => reach(true, "a request was never told"),
                Outcome::Rejected { .. } => reach(true, "a rejection was recorded"),
                _ => {}
            }
            let is_late =
                matches!(&record.outcome, Outcome::Rejected { code, .. } if code == "HOLD_EXPIRED");
            reach(is_late, "a hold was captured too late");
        }
    }

    fn count(&self, counts: &mut Counts) {
        for (kind, times) in self.plan.kinds() {
            counts.insert(kind, times);
        }
    }
}

/// Who has lost something of what: disks that were lost, and what the plan's flipped bits hit.
fn losers<'a>(plan: &Plan, world: &World<'_>, shards: impl Iterator<Item = &'a u32>) -> Losers {
    let shards: Vec<u32> = shards.copied().collect();
    let mut losers = redundancy::losers(plan, shards.iter().copied());
    for node in world.simulation.nodes() {
        if world.simulation.has_lost_its_disk(node) {
            for shard in &shards {
                losers.entry(*shard).or_default().insert(node.to_owned());
            }
        }
    }
    losers
}

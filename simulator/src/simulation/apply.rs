//! What each fault does to the machines and their links.

use std::{rc::Rc, time::Duration};

use super::{
    Disturbance, Fault, Operation, Simulation, Way,
    driver::DRIVER,
    host::Machine,
    links::{Change, Condition, Flow},
};

impl Simulation {
    /// Applies a fault now.
    ///
    /// # Panics
    ///
    /// When it names a host or region that the world does not have.
    pub fn apply(&mut self, fault: &Fault) {
        self.trace.record_at(self.elapsed, DRIVER, fault);
        match fault {
            Fault::PowerCut { node } => self.cut_power(node),
            Fault::PowerCutAt {
                node,
                during,
                nth,
                down,
            } => {
                let machine = self.machine(node);
                machine.down.set(*down);
                match during {
                    Operation::Write => machine.power.fail_at_write(*nth),
                    Operation::Send => machine.power.fail_at_send(*nth),
                }
            }
            Fault::Kill { node } => {
                self.machine(node);
                self.sim().crash(node.as_str());
            }
            Fault::Start { node } => self.start(node),
            Fault::Disturb(disturbance) => {
                let changes = self.links.disturb(disturbance);
                self.apply_to_links(changes);
            }
            Fault::Calm(disturbance) => {
                let changes = self.links.calm(disturbance);
                self.apply_to_links(changes);
            }
            Fault::SetSkew { node, nanos } => self.machine(node).clock.set_skew_nanos(*nanos),
            Fault::SetDrift { node, ppm } => self.machine(node).clock.set_drift_ppm(*ppm),
            Fault::FailWrites { node, store, count } => {
                self.machine(node).disk.fail_writes(*store, *count);
            }
            Fault::SlowSyncs { node, millis } => {
                let time = Duration::from_millis(*millis);
                self.machine(node).disk.set_sync_time(time);
            }
            Fault::SpoilViews { node } => {
                self.cut_power(node);
                let disk = self.disk(node);
                disk.spoil_views(&mut self.rng);
            }
            Fault::FillDisk { node } => self.machine(node).disk.set_full(true),
            Fault::MakeRoom { node } => self.machine(node).disk.set_full(false),
            Fault::FlipBit { node, shard } => {
                let disk = self.disk(node);
                disk.flip_a_bit(*shard, &mut self.rng);
            }
            Fault::LoseDisk { node, comes_back } => {
                self.cut_power(node);
                let machine = self.machine(node);
                machine.disk.lose();
                machine.has_lost_its_disk.set(true);
                machine.stays_away.set(!comes_back);
            }
            Fault::Rot { node, shard, count } => {
                self.machine(node).disk.rot(*shard, *count);
                self.machine(node).wire.rot(*shard, *count);
            }
            Fault::SetHoldUp { node, millis } => {
                let hold_up = Duration::from_millis(*millis);
                self.machine(node).entropy.set_hold_up(hold_up);
            }
            Fault::SetMishap { node, mishap } => self.machine(node).entropy.set_mishap(*mishap),
            Fault::Lie { node } => self.machine(node).disk.set_lying(true),
        }
    }

    /// Ends everything that is wrong and can be mended: links, clocks, disks; and starts every node
    /// that is down, and those again whose disk has failed them. Who lost its disk stays away.
    pub fn make_peace(&mut self) {
        self.trace.record_at(self.elapsed, DRIVER, "peace");
        let changes = self.links.calm_all();
        self.apply_to_links(changes);
        let machines: Vec<(String, Rc<Machine>)> = self
            .machines
            .iter()
            .map(|(name, machine)| (name.clone(), machine.clone()))
            .collect();
        for (node, machine) in machines {
            machine.clock.set_drift_ppm(0);
            machine.clock.set_skew_nanos(0);
            machine.disk.set_full(false);
            machine.disk.stop_failing_writes();
            machine.disk.rot(0, 0);
            machine.wire.rot(0, 0);
            machine.entropy.set_mishap(None);
            machine.entropy.set_hold_up(Duration::ZERO);
            machine.disk.set_sync_time(Duration::ZERO);
            machine.power.restore();
            if machine.disk.has_failed() {
                self.cut_power(&node);
            }
            self.start(&node);
        }
    }

    /// Whether a node's disk was lost, so that it can never again be who it was.
    #[must_use]
    pub fn has_lost_its_disk(&self, node: &str) -> bool {
        self.machine(node).has_lost_its_disk.get()
    }

    /// Takes down the machines whose power failed in the last turn.
    pub(super) fn take_down_the_powerless(&mut self) {
        let powerless: Vec<(String, Duration)> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.power.has_failed())
            .map(|(name, machine)| (name.clone(), machine.down.get()))
            .collect();
        for (node, down) in powerless {
            let event = format!("the power of {node} has failed");
            self.trace.record_at(self.elapsed, DRIVER, event);
            self.trace
                .reach("a node lost power in the middle of an operation");
            self.cut_power(&node);
            self.plan(self.elapsed + down, Fault::Start { node });
        }
    }

    fn start(&mut self, node: &str) {
        if !self.machine(node).stays_away.get() && !self.is_running(node) {
            self.sim().bounce(node);
        }
    }

    fn cut_power(&mut self, node: &str) {
        let disk = self.disk(node);
        // A crashing host of turmoil's closes its connections, as an operating system does for a
        // killed process. A machine without power says nothing: cut its links meanwhile.
        let alone = Disturbance::Isolated {
            host: node.to_owned(),
            way: Way::Both,
        };
        let changes = self.links.disturb(&alone);
        self.apply_to_links(changes);
        self.sim().crash(node);
        let changes = self.links.calm(&alone);
        self.apply_to_links(changes);
        self.machine(node).power.restore();
        let lost = disk.power_loss(&mut self.rng);
        if lost > 0 {
            self.trace.reach("a power cut took unsynced writes");
        }
        let event = format!("{node} lost {lost} unsynced writes");
        self.trace.record_at(self.elapsed, DRIVER, event);
    }

    #[expect(clippy::float_arithmetic, reason = "turmoil takes a probability")]
    pub(super) fn apply_to_links(&mut self, changes: Vec<Change>) {
        for Change {
            link: (a, b),
            before,
            after,
        } in changes
        {
            let (a, b) = (a.as_str(), b.as_str());
            let sim = self.sim();
            if before.flow != after.flow || before.lost_per_mille != after.lost_per_mille {
                match before.flow {
                    Flow::Held => sim.release(a, b),
                    _ => sim.repair(a, b),
                }
                match after.flow {
                    Flow::Open => {}
                    Flow::Held => sim.hold(a, b),
                    Flow::CutForth => sim.partition_oneway(a, b),
                    Flow::CutBack => sim.partition_oneway(b, a),
                    Flow::Cut => sim.partition(a, b),
                }
                // Chance repairs what it has cut, and would repair any other cut with it.
                let lost = match after.flow {
                    Flow::Open => after.lost_per_mille,
                    _ => 0,
                };
                sim.set_link_fail_rate(a, b, f64::from(lost) / 1000.0);
            }
            if before.slower_millis != after.slower_millis {
                self.set_latency(a, b, after);
            }
        }
    }

    pub(super) fn set_latency(&mut self, a: &str, b: &str, condition: Condition) {
        let (region_a, region_b) = (self.links.region_of(a), self.links.region_of(b));
        let slower = Duration::from_millis(condition.slower_millis);
        let least = self.topology.one_way(region_a, region_b) + slower;
        let most = least + self.topology.tail(region_a, region_b);
        let sim = self.sim();
        sim.set_link_latency(a, b, least);
        if most > least {
            sim.set_link_max_message_latency(a, b, most);
        }
    }
}

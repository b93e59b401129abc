//! Nodes that fail more than their peers are asked nothing for a while: a pure state machine.
//!
//! The model is Envoy's outlier detection, with its numbers. A node is ejected after so many
//! failures in a row, or when it fails clearly more often than the others do; each time for longer.
//! Two things differ. At most half of the nodes are out at a time: if most fail, the trouble is not
//! theirs, and those that are left would only be crushed. And a node comes back by a probe, so that
//! no caller pays for finding out; after it, its first failure sends it out again.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// When a node is an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// So many failures in a row are too many.
    pub in_a_row: u32,
    /// How often nodes are compared with each other.
    pub interval: Duration,
    /// Nodes with fewer answers in an interval are not compared.
    pub volume: u32,
    /// By how much a node's successes may lie below those of its peers, in thousandths of all answers.
    pub margin: u32,
    /// How long a node is out, times how often it was.
    pub first: Duration,
    /// The longest that a node is out.
    pub longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            in_a_row: 5,
            interval: Duration::from_secs(10),
            volume: 100,
            margin: 200,
            first: Duration::from_secs(30),
            longest: Duration::from_secs(300),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    Out {
        until: Instant,
    },
    /// Somebody is trying it; others leave it alone.
    Tried,
}

#[derive(Debug)]
struct Health {
    state: State,
    failures_in_a_row: u32,
    /// In this interval.
    succeeded: u32,
    failed: u32,
    /// Falls by one with each interval that the node serves.
    times_out: u32,
}

impl Health {
    const NEW: Self = Self {
        state: State::Serving,
        failures_in_a_row: 0,
        succeeded: 0,
        failed: 0,
        times_out: 0,
    };

    fn serves(&self) -> bool {
        self.state == State::Serving
    }
}

/// How each node fares, by its address.
#[derive(Debug)]
pub struct Outliers {
    policy: Policy,
    nodes: BTreeMap<String, Health>,
    /// When the nodes were last compared.
    compared: Instant,
}

impl Outliers {
    /// Knows no node yet.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            nodes: BTreeMap::new(),
            compared: now,
        }
    }

    /// These are the nodes from now on. What is known of those that stay is kept.
    pub fn set_nodes<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) {
        let mut known = std::mem::take(&mut self.nodes);
        for address in addresses {
            let health = known.remove(address).unwrap_or(Health::NEW);
            self.nodes.insert(address.to_owned(), health);
        }
    }

    /// Whether a node may be asked. One that is not known may.
    pub fn serves(&self, address: &str) -> bool {
        self.nodes.get(address).is_none_or(Health::serves)
    }

    /// Notes how a call to a node ended, and tells whether the node is ejected for it. Answers that
    /// come late from a node that is out change nothing.
    pub fn note(&mut self, now: Instant, address: &str, succeeded: bool) -> bool {
        self.compare(now);
        let Some(health) = self.nodes.get_mut(address).filter(|node| node.serves()) else {
            return false;
        };
        if succeeded {
            health.succeeded = health.succeeded.saturating_add(1);
            health.failures_in_a_row = 0;
            return false;
        }
        health.failed = health.failed.saturating_add(1);
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        health.failures_in_a_row >= self.policy.in_a_row && self.eject(now, address)
    }

    /// The nodes that have been out for long enough. Each is given to one caller, who tries it and
    /// tells by [`Self::tried`].
    pub fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (address, health) in &mut self.nodes {
            if matches!(health.state, State::Out { until } if until <= now) {
                health.state = State::Tried;
                due.push(address.clone());
            }
        }
        due
    }

    /// Notes how trying a node ended. It serves again, on probation, or stays out for longer.
    pub fn tried(&mut self, now: Instant, address: &str, succeeded: bool) {
        let Some(health) = self.nodes.get_mut(address) else {
            return;
        };
        if health.state != State::Tried {
            return;
        }
        if succeeded {
            *health = Health {
                failures_in_a_row: self.policy.in_a_row.saturating_sub(1),
                times_out: health.times_out,
                ..Health::NEW
            };
        } else {
            health.put_out(&self.policy, now);
        }
    }

    /// Ejects a node, unless half of them are out already.
    fn eject(&mut self, now: Instant, address: &str) -> bool {
        let out = self.nodes.values().filter(|node| !node.serves()).count();
        if (out + 1) * 2 > self.nodes.len() {
            return false;
        }
        if let Some(health) = self.nodes.get_mut(address) {
            health.put_out(&self.policy, now);
        }
        true
    }

    /// At the end of an interval: ejects nodes that succeed clearly less often than all others
    /// together, the worst first.
    fn compare(&mut self, now: Instant) {
        if now.saturating_duration_since(self.compared) < self.policy.interval {
            return;
        }
        self.compared = now;
        let volume = u64::from(self.policy.volume.max(1));
        let counted = |health: &&Health| health.serves() && health.answers() >= volume;
        let all =
            self.nodes
                .values()
                .filter(counted)
                .fold((0, 0), |(succeeded, answers), health| {
                    (
                        succeeded + u64::from(health.succeeded),
                        answers + health.answers(),
                    )
                });
        let mut worse: Vec<(u64, String)> = self
            .nodes
            .iter()
            .filter(|(_, health)| counted(health))
            .filter_map(|(address, health)| {
                let own = thousandths(u64::from(health.succeeded), health.answers())?;
                let peers = thousandths(
                    all.0 - u64::from(health.succeeded),
                    all.1 - health.answers(),
                )?;
                let is_worse = own + u64::from(self.policy.margin) < peers;
                is_worse.then(|| (own, address.clone()))
            })
            .collect();
        worse.sort_unstable();
        for health in self.nodes.values_mut().filter(|health| health.serves()) {
            health.succeeded = 0;
            health.failed = 0;
            health.times_out = health.times_out.saturating_sub(1);
        }
        for (_, address) in worse {
            self.eject(now, &address);
        }
    }
}

impl Health {
    fn answers(&self) -> u64 {
        u64::from(self.succeeded) + u64::from(self.failed)
    }

    fn put_out(&mut self, policy: &Policy, now: Instant) {
        let times_out = self.times_out.saturating_add(1);
        let time = policy.first.saturating_mul(times_out).min(policy.longest);
        *self = Self {
            state: State::Out { until: now + time },
            times_out,
            ..Self::NEW
        };
    }
}

fn thousandths(part: u64, whole: u64) -> Option<u64> {
    part.saturating_mul(1_000).checked_div(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn of(nodes: &[&str]) -> (Outliers, Instant) {
        let now = Instant::now();
        let mut outliers = Outliers::new(Policy::default(), now);
        outliers.set_nodes(nodes.iter().copied());
        (outliers, now)
    }

    fn fail(outliers: &mut Outliers, now: Instant, node: &str, times: u32) -> u32 {
        let ejected = (0..times).filter(|_| outliers.note(now, node, false));
        u32::try_from(ejected.count()).unwrap()
    }

    #[test]
    fn five_failures_in_a_row_eject_and_a_success_between_does_not() {
        let (mut outliers, now) = of(&["a", "b"]);
        assert_eq!(fail(&mut outliers, now, "a", 4), 0);
        outliers.note(now, "a", true);
        assert_eq!(fail(&mut outliers, now, "a", 4), 0);
        assert!(outliers.serves("a"));
        assert_eq!(fail(&mut outliers, now, "a", 1), 1);
        assert!(!outliers.serves("a") && outliers.serves("b"));
        // What was under way does not count against it.
        assert_eq!(fail(&mut outliers, now, "a", 9), 0);
    }

    #[test]
    fn at_most_half_are_out() {
        for (nodes, expected) in [
            (&["a"][..], 0),
            (&["a", "b"], 1),
            (&["a", "b", "c"], 1),
            (&["a", "b", "c", "d"], 2),
        ] {
            let (mut outliers, now) = of(nodes);
            let ejected: u32 = nodes
                .iter()
                .map(|node| fail(&mut outliers, now, node, 20))
                .sum();
            assert_eq!(ejected, expected, "{nodes:?}");
        }
    }

    #[test]
    fn one_probe_decides_and_failed_ones_take_longer_each() {
        let (mut outliers, mut now) = of(&["a", "b"]);
        fail(&mut outliers, now, "a", 5);
        for times in 1..=12 {
            let out = (30 * SECOND * times).min(300 * SECOND);
            assert!(outliers.due(now + out - SECOND).is_empty(), "{times}");
            now += out;
            assert_eq!(outliers.due(now), ["a"]);
            assert!(outliers.due(now).is_empty() && !outliers.serves("a"));
            if times < 12 {
                outliers.tried(now, "a", false);
            }
        }
        outliers.tried(now, "a", true);
        assert!(outliers.serves("a"));
        // On probation, one failure is enough.
        assert_eq!(fail(&mut outliers, now, "a", 1), 1);
        assert!(outliers.due(now + 299 * SECOND).is_empty());
    }

    #[test]
    fn a_node_that_has_served_well_again_starts_afresh() {
        let (mut outliers, mut now) = of(&["a", "b"]);
        for _ in 0..2 {
            fail(&mut outliers, now, "a", 5);
            now += 60 * SECOND;
            assert_eq!(outliers.due(now), ["a"]);
            outliers.tried(now, "a", true);
            outliers.note(now, "a", true);
        }
        for _ in 0..3 {
            now += 10 * SECOND;
            outliers.note(now, "a", true);
        }
        fail(&mut outliers, now, "a", 5);
        assert_eq!(outliers.due(now + 30 * SECOND), ["a"]);
    }

    #[test]
    fn who_fails_clearly_more_often_than_the_others_is_ejected() {
        for (failures, ejected) in [(20, false), (21, true), (50, true)] {
            let (mut outliers, now) = of(&["a", "b", "c"]);
            for turn in 0..100 {
                // Spread evenly, so that they are never many in a row.
                let fails = turn * failures / 100 != (turn + 1) * failures / 100;
                outliers.note(now, "a", !fails);
                outliers.note(now, "b", true);
                outliers.note(now, "c", true);
            }
            assert!(outliers.serves("a"));
            outliers.note(now + 10 * SECOND, "b", true);
            assert_eq!(!outliers.serves("a"), ejected, "{failures} of 100");
        }
    }

    #[test]
    fn where_all_fail_alike_nobody_is_an_outlier() {
        let (mut outliers, now) = of(&["a", "b", "c"]);
        for turn in 0..200 {
            for node in ["a", "b", "c"] {
                outliers.note(now, node, turn % 2 == 0);
            }
        }
        outliers.note(now + 10 * SECOND, "a", true);
        assert!(["a", "b", "c"].iter().all(|node| outliers.serves(node)));
    }

    #[test]
    fn nodes_that_leave_are_forgotten_and_those_that_stay_are_not() {
        let (mut outliers, now) = of(&["a", "b", "c", "d"]);
        fail(&mut outliers, now, "a", 5);
        fail(&mut outliers, now, "b", 5);
        outliers.set_nodes(["b", "c", "d"]);
        assert!(outliers.serves("a") && !outliers.serves("b"));
        assert_eq!(outliers.due(now + 30 * SECOND), ["b"]);
    }
}

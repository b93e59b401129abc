//! One node of a region hears a shard's home; it passes on to the others what it hears. Who that is
//! follows from the numbers of the shard and of the nodes, and from who is there: nobody is asked.
//! Nothing rests on it but the bytes that cross between regions, and how soon they arrive.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{CopyOptions, Halt};
use crate::feed::Failure;
use crate::proto::Relayed;

/// In which order the nodes of a region hear a shard's home for all of them: the first that can
/// does. Every node puts them in the same order, whoever is there (rendezvous hashing, Thaler and
/// Ravishankar 1998), and each comes first for as many shards as any other.
pub fn order(shard: u32, nodes: &[u64]) -> Vec<u64> {
    let weight = |node: &u64| {
        let mut hasher = blake3::Hasher::new_derive_key("meridian 2026-11 order of relays");
        hasher.update(&shard.to_be_bytes());
        hasher.update(&node.to_be_bytes());
        *hasher.finalize().as_bytes()
    };
    let mut order = nodes.to_vec();
    order.sort_by_cached_key(|node| (weight(node), *node));
    order.dedup();
    order
}

/// Why a neighbour is left.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unhelpful {
    #[error(transparent)]
    Feed(#[from] Failure),
    #[error("it has not heard the home for too long")]
    Deaf,
    #[error("it has nothing new, and the home has")]
    Behind,
    #[error("it is told by this node")]
    Circle,
    #[error("{0}")]
    Unfit(Halt),
}

/// What a neighbour's feed says of itself at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// It hears the home.
    Hears,
    /// It has not heard it yet since its start.
    Waits,
    /// It has not heard it for too long.
    Deaf,
    /// What it passes on comes by way of the node that asks.
    Circle,
}

/// What to think of a neighbour's word. `None` is said by nodes of the home, and by neighbours of
/// an earlier release, which all hear it themselves.
pub(super) fn fitness(word: Option<&Relayed>, me: u64, deaf_after: Duration) -> Fitness {
    let Some(word) = word else {
        return Fitness::Hears;
    };
    if word.through.contains(&me) {
        return Fitness::Circle;
    }
    match word.heard_millis.map(Duration::from_millis) {
        None => Fitness::Waits,
        Some(silence) if silence > deaf_after => Fitness::Deaf,
        Some(_) => Fitness::Hears,
    }
}

/// How attempts with one node went lately.
#[derive(Debug, Default)]
struct Attempts {
    /// In a row.
    failures: u32,
    /// Not again before.
    not_before: Option<Instant>,
}

/// Whom one node follows for one shard. It stands in the order itself: following itself means
/// that it hears the home.
pub(super) struct Relay {
    me: u64,
    order: Vec<u64>,
    attempts: BTreeMap<u64, Attempts>,
}

impl Relay {
    /// `nodes` are those of the region, with or without this one.
    pub(super) fn new(shard: u32, me: u64, nodes: &[u64]) -> Self {
        let mut all = nodes.to_vec();
        all.push(me);
        all.sort_unstable();
        Self {
            me,
            order: order(shard, &all),
            attempts: BTreeMap::new(),
        }
    }

    /// The other nodes of the region.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = u64> {
        let others = self.order.iter().copied();
        others.filter(|node| *node != self.me)
    }

    /// The first node in order that is there and with which the last attempt did not just fail.
    pub(super) fn choose(&self, is_there: impl Fn(u64) -> bool, now: Instant) -> Option<u64> {
        let mut order = self.order.iter().copied();
        order.find(|node| self.may_be_tried(*node, &is_there, now))
    }

    /// The same among those before the one that is followed.
    pub(super) fn better(
        &self,
        than: u64,
        is_there: impl Fn(u64) -> bool,
        now: Instant,
    ) -> Option<u64> {
        let order = self.order.iter().copied();
        let mut before = order.take_while(|node| *node != than);
        before.find(|node| self.may_be_tried(*node, &is_there, now))
    }

    fn may_be_tried(&self, node: u64, is_there: &impl Fn(u64) -> bool, now: Instant) -> bool {
        let attempts = self.attempts.get(&node);
        let due = attempts.and_then(|attempts| attempts.not_before);
        due.is_none_or(|due| due <= now) && (node == self.me || is_there(node))
    }

    /// How long until there is somebody to choose, if there is nobody now. Whether a neighbour is
    /// there may change meanwhile; this node itself always is.
    pub(super) fn pause(&self, is_there: impl Fn(u64) -> bool, now: Instant) -> Duration {
        let due = |node: &u64| {
            let due = self.attempts.get(node)?.not_before?;
            (*node == self.me || is_there(*node)).then(|| due.saturating_duration_since(now))
        };
        let due = self.order.iter().filter_map(due).min();
        due.unwrap_or(Duration::ZERO)
    }

    /// An attempt has failed; `random` decides the next one's time in its range. Returns how many
    /// failed in a row.
    pub(super) fn failed(
        &mut self,
        node: u64,
        options: &CopyOptions,
        random: u64,
        now: Instant,
    ) -> u32 {
        let attempts = self.attempts.entry(node).or_default();
        attempts.failures = attempts.failures.saturating_add(1);
        let wait = match attempts.failures {
            // The home has other nodes: the next one is asked at once.
            1 if node == self.me => Duration::ZERO,
            failures if node == self.me => options.backoff(failures - 1, random),
            failures => options.avoidance(failures, random),
        };
        attempts.not_before = Some(now + wait);
        attempts.failures
    }

    /// A node has served well for a while.
    pub(super) fn worked(&mut self, node: u64) {
        self.attempts.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: [u64; 3] = [4, 5, 6];

    fn everybody(_: u64) -> bool {
        true
    }

    #[test]
    fn the_order_is_everybodys_and_each_node_is_first_for_a_third_of_the_shards() {
        let mut first = BTreeMap::from(REGION.map(|node| (node, 0)));
        for shard in 0..600 {
            let order = order(shard, &REGION);
            assert_eq!(order, super::order(shard, &[6, 4, 5]));
            *first.get_mut(&order[0]).unwrap() += 1;
            // Without the first, the others keep their places.
            let others: Vec<_> = REGION.into_iter().filter(|n| *n != order[0]).collect();
            assert_eq!(super::order(shard, &others), order[1..]);
        }
        for (node, shards) in first {
            assert!((160..240).contains(&shards), "{node}: {shards} of 600");
        }
    }

    #[test]
    fn the_first_that_is_there_and_works_is_followed() {
        let now = Instant::now();
        let order = order(1, &REGION);
        let [first, second, third] = order[..] else {
            unreachable!("three nodes")
        };
        let options = CopyOptions::default();
        for me in REGION {
            let mut relay = Relay::new(1, me, &REGION);
            assert_eq!(relay.choose(everybody, now), Some(first));
            let without_first = relay.choose(|node| node != first, now);
            // A node is there for itself.
            assert_eq!(
                without_first,
                Some(if me == first { first } else { second })
            );
            relay.failed(first, &options, 0, now);
            relay.failed(first, &options, 0, now);
            assert_eq!(relay.choose(everybody, now), Some(second));
            assert_eq!(relay.better(third, everybody, now), Some(second));
            assert_eq!(relay.better(second, everybody, now), None);
            let later = now + options.avoid_max;
            assert_eq!(relay.better(second, everybody, later), Some(first));
            for node in [second, third] {
                relay.failed(node, &options, 0, now);
                relay.failed(node, &options, 0, now);
            }
            assert_eq!(relay.choose(everybody, now), None);
            let pause = relay.pause(everybody, now);
            assert!(pause > Duration::ZERO && pause <= options.avoid_min);
            assert!(relay.choose(everybody, now + pause).is_some());
            relay.worked(third);
            assert_eq!(relay.choose(everybody, now), Some(third));
        }
    }

    #[test]
    fn the_homes_next_node_is_asked_at_once_and_a_neighbour_is_let_be_for_longer_each_time() {
        let now = Instant::now();
        let options = CopyOptions::default();
        let mut relay = Relay::new(1, 4, &[4]);
        relay.failed(4, &options, 0, now);
        assert_eq!(relay.choose(everybody, now), Some(4));
        relay.failed(4, &options, 0, now);
        assert_eq!(relay.choose(everybody, now), None);
        let mut relay = Relay::new(1, 4, &[4, 5]);
        let mut last = Duration::ZERO;
        relay.failed(4, &options, 0, now);
        for _ in 0..20 {
            relay.failed(4, &options, 0, now);
            relay.failed(5, &options, 0, now);
            let pause = relay.pause(everybody, now);
            assert!(pause >= last && pause <= options.backoff_max, "{pause:?}");
            assert_eq!(relay.choose(everybody, now), None);
            last = pause;
        }
        assert_eq!(last, options.backoff_max / 2);
        let pause = relay.attempts[&5].not_before.unwrap() - now;
        assert_eq!(pause, options.avoid_max / 2);
    }

    #[test]
    fn a_neighbour_is_judged_by_what_it_says_of_itself() {
        let limit = Duration::from_secs(3);
        let word = |heard_millis, through: &[u64]| {
            Some(Relayed {
                heard_millis,
                home_applied: 9,
                through: through.to_vec(),
            })
        };
        for (word, expected) in [
            (None, Fitness::Hears),
            (word(Some(0), &[]), Fitness::Hears),
            (word(Some(3000), &[5]), Fitness::Hears),
            (word(Some(3001), &[]), Fitness::Deaf),
            (word(Some(u64::MAX), &[]), Fitness::Deaf),
            (word(None, &[]), Fitness::Waits),
            (word(Some(0), &[4]), Fitness::Circle),
            (word(Some(0), &[5, 4]), Fitness::Circle),
            (word(None, &[4]), Fitness::Circle),
        ] {
            assert_eq!(fitness(word.as_ref(), 4, limit), expected, "{word:?}");
        }
    }
}

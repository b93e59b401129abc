//! A leader whose disk is slow hands over.
//!
//! A group commits by its fastest majority, but everything that a leader answers passes its own
//! disk's queue. So a leader compares how long synced writes take here with what its followers tell
//! in their answers to its heartbeats. Where a majority could do without it and is much faster, and
//! that for some seconds, it hands over to the most advanced of them, and rests: it does not stand
//! for election itself for a while, or it would be back before its disk is well. It still votes, and
//! takes over where a leader hands over to it.
//!
//! A process that is stopped compares nothing; the election time-out is for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::group::{Group, Inner};

/// A sync time below which no disk is slow.
const BEARABLE: Duration = Duration::from_millis(100);
/// How many times slower than its followers a leader is before it is too slow.
const FACTOR: u32 = 5;
/// Time between comparisons.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many comparisons in a row, so 3 seconds, and not one stall.
const IN_A_ROW: u32 = 6;
/// How long the heirs together have to take over.
const HAND_OVER: Duration = Duration::from_secs(3);
/// How long one that has handed over does not stand. Bounded, as it may be the only one left with
/// the whole log.
const REST: Duration = Duration::from_secs(15);
/// What a follower told longer ago counts no more.
const TOLD_LATELY: Duration = Duration::from_secs(3);

/// How long synced writes take at the peers, as they told. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<BTreeMap<u64, (Instant, Duration)>>>);

impl Told {
    /// Notes what a peer told: microseconds, or 0 where it could not tell.
    pub(super) fn note(&self, node: u64, sync_micros: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sync_micros > 0 {
            told.insert(node, (Instant::now(), Duration::from_micros(sync_micros)));
        }
    }

    fn lately(&self, voters: &BTreeSet<u64>) -> Vec<Duration> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let voters = told.iter().filter(|(node, _)| voters.contains(node));
        let lately = voters.filter(|(_, (at, _))| at.elapsed() < TOLD_LATELY);
        lately.map(|(_, (_, time))| *time).collect()
    }
}

/// Whether a leader is to hand over: it is slow, and of so many voters a majority that can do
/// without it is much faster.
fn is_too_slow(own: Option<Duration>, others: &[Duration], voters: usize) -> bool {
    let Some(own) = own.filter(|own| *own > BEARABLE) else {
        return false;
    };
    let faster = others.iter().filter(|other| **other * FACTOR < own);
    faster.count() > voters / 2
}

/// Has a replica that leads too slowly hand over, for as long as the group lives.
pub(super) async fn follow(group: Weak<Inner>) {
    let mut slow = 0;
    loop {
        sleep(LOOK_EVERY).await;
        let Some(group) = group.upgrade().map(Group) else {
            return;
        };
        let Some(too_slow) = group.leads_too_slowly() else {
            return;
        };
        slow = if too_slow { slow + 1 } else { 0 };
        if slow >= IN_A_ROW {
            slow = 0;
            group.retire().await;
        }
    }
}

impl Group {
    /// `None` when the group has ended.
    fn leads_too_slowly(&self) -> Option<bool> {
        let leadership = self.leadership();
        leadership.has_changed().ok()?;
        if leadership.borrow().reign.is_none() {
            return Some(false);
        }
        let own = self.0.log.pace().sync_time();
        // Most leaders, most of the time: nothing to compare.
        if own.is_none_or(|own| own <= BEARABLE) {
            return Some(false);
        }
        let voters = self.members().voters;
        let others = self.0.transport.told().lately(&voters);
        Some(is_too_slow(own, &others, voters.len()))
    }

    /// Hands over, and does not stand for a while.
    async fn retire(&self) {
        let sync_time = self.0.log.pace().sync_time();
        tracing::warn!(
            shard = self.shard(),
            ?sync_time,
            "this leader's disk is much slower than its followers': it hands over"
        );
        self.0.retired.fetch_add(1, Ordering::Relaxed);
        self.0.resting.store(true, Ordering::Relaxed);
        self.raft().runtime_config().elect(false);
        self.hand_over(HAND_OVER).await;
        let (group, rest) = (Arc::downgrade(&self.0), REST);
        tokio::spawn(async move {
            sleep(rest).await;
            if let Some(group) = group.upgrade().map(Group) {
                group.0.resting.store(false, Ordering::Relaxed);
                let removed = group.0.removed.load(Ordering::Relaxed);
                group.raft().runtime_config().elect(!removed);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowness_as_a_table() {
        for (own, others, voters, expected) in [
            (None, vec![1, 1], 3, false),
            (Some(90), vec![1, 1], 3, false),
            (Some(110), vec![1, 1], 3, true),
            (Some(110), vec![1, 30], 3, false),
            (Some(600), vec![100, 100], 3, true),
            (Some(400), vec![100, 100], 3, false),
            // One follower tells nothing: without this leader there may be no majority.
            (Some(9_000), vec![1], 3, false),
            (Some(9_000), vec![1, 1], 5, false),
            (Some(9_000), vec![1, 1, 1], 5, true),
            (Some(9_000), vec![1, 1, 1, 8_000], 5, true),
            (Some(9_000), vec![], 1, false),
        ] {
            let millis = Duration::from_millis;
            let others: Vec<_> = others.into_iter().map(millis).collect();
            let judged = is_too_slow(own.map(millis), &others, voters);
            assert_eq!(judged, expected, "{own:?} {others:?} of {voters}");
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use ledger_domain::{ShardId, SignedHead};

use crate::hex::hex;
use crate::log::Head;

/// How many heads are kept of a shard, beside those that are another than this node's own.
const KEPT: usize = 8;

/// How a told head compares with this node's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The index is not here yet.
    Waits,
    /// They are the same: so is all before them.
    Agrees,
    /// They are not: there are two histories.
    Differs,
}

/// Two histories of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// What the home region has signed.
    pub told: SignedHead,
    /// The head of this node's log after the same index.
    pub here: Head,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SignedHead {
            shard,
            index,
            head,
            region,
            ..
        } = &self.told;
        let (head, here) = (hex(head), hex(&self.here));
        write!(
            f,
            "shard {shard} has two histories: at ({index}, {head}) as {region} has signed it, and \
             at ({index}, {here}) here"
        )
    }
}

/// What the exchange of heads has come to since the node was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadsStatus {
    /// Heads that this node signed.
    pub signed: u64,
    /// Heads that were told by others, rightly signed and not known before.
    pub told: u64,
    /// Heads that were told and not rightly signed.
    pub refused: u64,
    /// Heads that were compared with this node's own.
    pub compared: u64,
    /// Heads that are another than this node's own; those of earlier starts too.
    pub forks: Vec<Fork>,
}

/// The signed heads that a node knows. Cheap to clone.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    status: HeadsStatus,
    mine: BTreeMap<ShardId, SignedHead>,
    told: BTreeMap<ShardId, Vec<(SignedHead, Comparison)>>,
    unsaved: BTreeSet<ShardId>,
}

impl Told {
    /// How the exchange fares.
    pub fn status(&self) -> HeadsStatus {
        self.lock().status.clone()
    }

    /// The newest heads that this node signed, by shard.
    pub fn mine(&self) -> Vec<SignedHead> {
        self.lock().mine.values().cloned().collect()
    }

    /// The heads that others have told, by shard and index, and how they compare.
    pub fn told(&self) -> Vec<(SignedHead, Comparison)> {
        self.lock().told.values().flatten().cloned().collect()
    }

    pub(super) fn sign(&self, head: SignedHead) {
        let mut state = self.lock();
        state.status.signed += 1;
        state.mine.insert(head.shard, head);
    }

    /// How far a shard is signed already.
    pub(super) fn signed(&self, shard: ShardId) -> Option<u64> {
        self.lock().mine.get(&shard).map(|head| head.index)
    }

    pub(super) fn refuse(&self) {
        self.lock().status.refused += 1;
    }

    /// Takes back what an earlier start has kept.
    pub(super) fn restore(&self, shard: ShardId, heads: impl Iterator<Item = SignedHead>) {
        let heads = heads.map(|head| (head, Comparison::Waits));
        self.lock().told.insert(shard, heads.collect());
    }

    /// Keeps a head, unless it is known.
    pub(super) fn keep(&self, head: SignedHead) {
        let mut state = self.lock();
        let known = state.told.entry(head.shard).or_default();
        let same = |it: &SignedHead| (it.index, it.head) == (head.index, head.head);
        if known.iter().any(|(it, _)| same(it)) {
            return;
        }
        let place = known.partition_point(|(it, _)| it.index <= head.index);
        let shard = head.shard;
        known.insert(place, (head, Comparison::Waits));
        // The oldest go, but never the proof of a fork.
        let others = known.iter().filter(|(_, it)| *it != Comparison::Differs);
        if others.count() > KEPT
            && let Some(oldest) = known.iter().position(|(_, it)| *it != Comparison::Differs)
        {
            known.remove(oldest);
        }
        state.status.told += 1;
        state.unsaved.insert(shard);
    }

    /// The heads that wait for their index.
    pub(super) fn waiting(&self) -> Vec<SignedHead> {
        let state = self.lock();
        let waiting = state.told.values().flatten();
        let waiting = waiting.filter(|(_, it)| *it == Comparison::Waits);
        waiting.map(|(head, _)| head.clone()).collect()
    }

    /// Lays a told head beside this node's own. Answers the fork where they differ.
    pub(super) fn compare(&self, told: SignedHead, here: Head) -> Option<Fork> {
        let mut state = self.lock();
        state.status.compared += 1;
        let agrees = told.head == here;
        let known = state.told.entry(told.shard).or_default();
        if let Some((_, comparison)) = known.iter_mut().find(|(it, _)| *it == told) {
            *comparison = match agrees {
                true => Comparison::Agrees,
                false => Comparison::Differs,
            };
        }
        if agrees {
            return None;
        }
        let fork = Fork { told, here };
        state.status.forks.push(fork.clone());
        Some(fork)
    }

    /// What has changed since it was last asked, to be stored.
    pub(super) fn take_unsaved(&self) -> Vec<(ShardId, Vec<SignedHead>)> {
        let mut state = self.lock();
        let unsaved = std::mem::take(&mut state.unsaved).into_iter();
        let heads = unsaved.map(|shard| {
            let kept = state.told.get(&shard).into_iter().flatten();
            (shard, kept.map(|(head, _)| head.clone()).collect())
        });
        heads.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

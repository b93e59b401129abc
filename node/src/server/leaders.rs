//! Who led which shard when last asked, so that a request goes there first.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ledger_domain::ShardId;

/// What was learnt of each shard. It is only where to begin: whoever does not lead says so.
#[derive(Debug, Default)]
pub(super) struct Leaders(Mutex<BTreeMap<ShardId, Learnt>>);

#[derive(Debug, Clone, Copy)]
enum Learnt {
    /// This node answered as a leader does.
    Answers(u64),
    /// This node did not answer, or not as a leader: others come first.
    Fails(u64),
}

/// A request on its way to a node. Unless it was answered, dropped included, that node comes last
/// the next time.
pub(super) struct Attempt<'a> {
    leaders: &'a Leaders,
    shard: ShardId,
    node: u64,
    learnt: Learnt,
}

impl Leaders {
    /// Those who may lead in the order in which to ask them.
    pub(super) fn ordered(&self, shard: ShardId, holders: Vec<u64>) -> VecDeque<u64> {
        let mut nodes = VecDeque::from(holders);
        let learnt = self.lock().get(&shard).copied();
        if let Some(Learnt::Answers(node) | Learnt::Fails(node)) = learnt
            && let Some(place) = nodes.iter().position(|it| *it == node)
        {
            nodes.remove(place);
            match learnt {
                Some(Learnt::Answers(_)) => nodes.push_front(node),
                _ => nodes.push_back(node),
            }
        }
        nodes
    }

    /// A request goes to a node.
    pub(super) fn attempt(&self, shard: ShardId, node: u64) -> Attempt<'_> {
        Attempt {
            leaders: self,
            shard,
            node,
            learnt: Learnt::Fails(node),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Learnt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The node answered as a leader does.
    pub(super) fn was_answered(mut self) {
        self.learnt = Learnt::Answers(self.node);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.leaders.lock().insert(self.shard, self.learnt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answered_is_asked_first_and_who_did_not_last() {
        let (leaders, shard) = (Leaders::default(), ShardId(1));
        let ordered = |leaders: &Leaders| Vec::from(leaders.ordered(shard, vec![1, 2, 3]));
        assert_eq!(ordered(&leaders), [1, 2, 3]);
        leaders.attempt(shard, 2).was_answered();
        assert_eq!(ordered(&leaders), [2, 1, 3]);
        assert_eq!(Vec::from(leaders.ordered(ShardId(2), vec![1, 2])), [1, 2]);
        drop(leaders.attempt(shard, 2));
        assert_eq!(ordered(&leaders), [1, 3, 2]);
        assert_eq!(Vec::from(leaders.ordered(shard, vec![7])), [7]);
    }
}

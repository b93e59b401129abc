use std::collections::{BTreeMap, VecDeque};

use ledger_domain::{HybridTime, ShardId};

/// In which order several shards are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each in its own order; between them as they come.
    Shard,
    /// By time, over all of them: what is told is all that there is up to its time.
    Cut,
}

/// What was read of several shards and is not told yet.
///
/// In the order of the cut nothing is due before every shard is complete up to its time. A shard whose
/// items wait needs not be read on: the one that is behind is the one that has none.
pub struct Merge<T> {
    order: Order,
    shards: BTreeMap<ShardId, Waiting<T>>,
}

struct Waiting<T> {
    complete: HybridTime,
    items: VecDeque<(HybridTime, T)>,
}

impl<T> Merge<T> {
    /// Of these shards, each complete up to a time.
    pub fn new(order: Order, shards: impl IntoIterator<Item = (ShardId, HybridTime)>) -> Self {
        let waiting = |(shard, complete)| {
            let items = VecDeque::new();
            (shard, Waiting { complete, items })
        };
        let shards = shards.into_iter().map(waiting).collect();
        Self { order, shards }
    }

    /// Adds the next item of a shard, of a later time than those before.
    pub fn push(&mut self, shard: ShardId, time: HybridTime, item: T) {
        if let Some(waiting) = self.shards.get_mut(&shard) {
            waiting.items.push_back((time, item));
        }
    }

    /// A shard has given all up to a time.
    pub fn complete(&mut self, shard: ShardId, time: HybridTime) {
        if let Some(waiting) = self.shards.get_mut(&shard) {
            waiting.complete = waiting.complete.max(time);
        }
    }

    /// The next item of a shard, due or not.
    pub fn first(&self, shard: ShardId) -> Option<&T> {
        let waiting = self.shards.get(&shard)?;
        waiting.items.front().map(|(_, item)| item)
    }

    /// Takes the next item that is due.
    pub fn pop(&mut self) -> Option<(ShardId, T)> {
        let waiting = self.shards.iter();
        let heads = waiting.filter_map(|(shard, it)| Some((it.items.front()?.0, *shard)));
        let (time, shard) = heads.min()?;
        if self.order == Order::Cut && self.shards.values().any(|it| it.complete < time) {
            return None;
        }
        let (_, item) = self.shards.get_mut(&shard)?.items.pop_front()?;
        Some((shard, item))
    }

    /// The shards that others wait for.
    pub fn behind(&self) -> Vec<ShardId> {
        let heads = self.shards.values();
        let first = heads.filter_map(|it| it.items.front()).map(|it| it.0).min();
        let Some(first) = first.filter(|_| self.order == Order::Cut) else {
            return Vec::new();
        };
        let shards = self.shards.iter();
        let behind = shards.filter(|(_, it)| it.complete < first);
        behind.map(|(shard, _)| *shard).collect()
    }
}

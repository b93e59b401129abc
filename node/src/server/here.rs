use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use ledger_domain::ShardId;

/// What this node has of each shard. More may come while it runs; nothing goes before it stops.
pub(super) struct Here<T>(RwLock<BTreeMap<ShardId, T>>);

impl<T> Default for Here<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Clone> Here<T> {
    pub(super) fn get(&self, shard: ShardId) -> Option<T> {
        let here = self.0.read().unwrap_or_else(PoisonError::into_inner);
        here.get(&shard).cloned()
    }

    /// All that is here now.
    pub(super) fn all(&self) -> BTreeMap<ShardId, T> {
        let here = self.0.read().unwrap_or_else(PoisonError::into_inner);
        here.clone()
    }

    pub(super) fn insert(&self, shard: ShardId, what: T) {
        let mut here = self.0.write().unwrap_or_else(PoisonError::into_inner);
        here.insert(shard, what);
    }
}

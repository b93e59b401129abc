use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::peer::Closing;

type Sources = BTreeMap<u32, watch::Receiver<u64>>;

/// The shards a node serves feeds of, and how far. Cheap to clone.
#[derive(Clone, Default)]
pub struct Feeds {
    sources: Arc<RwLock<Sources>>,
    closing: Closing,
}

impl Feeds {
    /// Serves a shard from now on, up to the index that `served` shows: what is applied of a shard
    /// that lives here, what is synced of a copy. Index 0 may be shown before there is any.
    ///
    /// Its feeds end when the sender of `served` is dropped.
    pub fn insert(&self, shard: u32, served: watch::Receiver<u64>) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.insert(shard, served);
    }

    /// How far a shard is served here, if it is.
    pub fn get(&self, shard: u32) -> Option<watch::Receiver<u64>> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.get(&shard).cloned()
    }

    /// All shards served here, rising.
    pub fn shards(&self) -> Vec<u32> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        sources.keys().copied().collect()
    }

    /// Ends all feeds, those that begin later too: the node stops.
    pub fn close(&self) {
        self.closing.close();
    }

    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.closing.closed()
    }
}

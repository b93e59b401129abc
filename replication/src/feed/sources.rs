use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::copy::ShardCopy;
use crate::peer::Closing;
use crate::proto::Relayed;

type Sources = BTreeMap<u32, Source>;

/// What is known at this moment of where a copy comes from.
pub(crate) type Origin = Arc<dyn Fn() -> Relayed + Send + Sync>;

/// How far a shard is served here.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) served: watch::Receiver<u64>,
    /// `None` at the shard's home.
    pub(super) origin: Option<Origin>,
}

/// The shards a node serves feeds of, and how far. Cheap to clone.
#[derive(Clone, Default)]
pub struct Feeds {
    sources: Arc<RwLock<Sources>>,
    closing: Closing,
}

impl Feeds {
    /// Serves a shard that lives here from now on, up to the index that `served` shows: what is
    /// applied. Index 0 may be shown before there is any.
    ///
    /// Its feeds end when the sender of `served` is dropped.
    pub fn insert(&self, shard: u32, served: watch::Receiver<u64>) {
        let origin = None;
        self.put(shard, Source { served, origin });
    }

    /// Passes a copy on from now on, as far as it is synced.
    pub fn pass_on(&self, copy: &ShardCopy) {
        let (served, origin) = (copy.copied(), Some(copy.origin()));
        self.put(copy.shard(), Source { served, origin });
    }

    fn put(&self, shard: u32, source: Source) {
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.insert(shard, source);
    }

    /// How far a shard is served here, if it is.
    pub fn get(&self, shard: u32) -> Option<watch::Receiver<u64>> {
        self.source(shard).map(|source| source.served)
    }

    pub(super) fn source(&self, shard: u32) -> Option<Source> {
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

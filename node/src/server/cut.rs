//! Up to when several shards are complete at this node.

use ledger_domain::{HybridTime, ShardId};
use replication::{topology::Directory as _, view::Cut};

use super::Server;

impl Server {
    /// All shards of the ledger, in their order.
    pub(super) fn every_shard(&self) -> Vec<ShardId> {
        let shards = self.directory.topology().shards.iter();
        let mut shards: Vec<_> = shards.map(|shard| ShardId(shard.id)).collect();
        shards.sort_unstable();
        shards
    }

    /// The cut through shards, as far as they are viewed here. A view that has stopped or has not
    /// begun is complete up to no time.
    pub(super) fn cut(&self, shards: &[ShardId]) -> Cut {
        let complete = |shard: &ShardId| self.views.watermark(*shard).ok().flatten();
        let times = shards
            .iter()
            .map(|shard| (*shard, complete(shard).map(|found| found.time)));
        Cut::through(times)
    }

    /// By how much the truth of any of these shards may be newer than what they were at a time; the
    /// greatest number where that is not known.
    pub(super) fn cut_staleness_ms(&self, shards: &[ShardId], at: HybridTime) -> u64 {
        let bounds = shards
            .iter()
            .map(|shard| self.staleness_bound_ms(*shard, at));
        bounds.max().unwrap_or_default()
    }
}

//! Up to when several shards are complete at this node.

use std::collections::BTreeSet;

use ledger_domain::{HybridTime, ShardId};
use replication::{topology::Directory as _, view::Cut};

use tonic::Status;

use super::{Server, refusal};

impl Server {
    /// All shards of the ledger, in their order.
    pub(super) fn every_shard(&self) -> Vec<ShardId> {
        let shards = self.directory.topology().shards.iter();
        let mut shards: Vec<_> = shards.map(|shard| ShardId(shard.id)).collect();
        shards.sort_unstable();
        shards
    }

    /// The shard that a caller names.
    pub(super) fn shard_named(&self, shard: u32) -> Result<ShardId, Status> {
        let known = self.directory.topology().shard(ShardId(shard));
        known.map_or_else(
            || Err(refusal::unknown_shard(shard)),
            |shard| Ok(ShardId(shard.id)),
        )
    }

    /// The shards whose home is the region that a caller names.
    pub(super) fn shards_at_home(&self, region: &str) -> Result<BTreeSet<ShardId>, Status> {
        let topology = self.directory.topology();
        let mut regions = topology.regions.iter();
        if !regions.any(|known| known.name.as_str() == region) {
            return Err(refusal::unknown_region(region));
        }
        let shards = topology.shards.iter();
        let at_home = shards.filter(|shard| shard.region.as_str() == region);
        Ok(at_home.map(|shard| ShardId(shard.id)).collect())
    }

    /// The cut through shards, as far as they are viewed here. A view that has stopped or has not
    /// begun is complete up to no time.
    pub(super) fn cut(&self, shards: &[ShardId]) -> Cut {
        let complete = |shard: &ShardId| self.views().watermark(*shard).ok().flatten();
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

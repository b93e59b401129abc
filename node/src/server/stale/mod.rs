//! Why what this node answers is as old as it is: what holds its views, the cut through them, and
//! transfers back.
//!
//! ```text
//!  WhyStale ──▶ `facts`: what this node knows of itself, and what every other node, asked at once with
//!               a deadline, tells of itself ──▶ `causes`, a pure function of the facts ──▶ `reply`
//! ```
//!
//! Nothing is guessed: what only a node knows that did not answer is not in the answer, and the node is
//! named.

mod causes;
mod facts;
mod reply;
mod why;

use std::{collections::BTreeSet, sync::Arc};

use ledger_domain::{HybridTime, RegionName, ShardId};
use replication::topology::Directory as _;
use tonic::Status;

use super::{Server, prepare, refusal};
use crate::api::admin::v1::{WhyStaleReply, why_stale_request::Scope};

impl Server {
    /// What holds the views of the shards in a scope back.
    pub(super) async fn why_stale(
        self: &Arc<Self>,
        scope: Option<Scope>,
    ) -> Result<WhyStaleReply, Status> {
        let shards = self.in_scope(scope)?;
        let told = self.ask_all().await;
        let now = HybridTime {
            wall_nanos: self.world.clock.wall_nanos(),
            count: 0,
        };
        let facts = facts::gather(self, &shards, &told);
        let causes = causes::causes(&facts);
        Ok(reply::reply(self, now, &facts, causes, &told))
    }

    fn in_scope(&self, scope: Option<Scope>) -> Result<BTreeSet<ShardId>, Status> {
        let topology = self.directory.topology();
        let shards = topology.shards.iter();
        match scope {
            None => Ok(shards.map(|shard| ShardId(shard.id)).collect()),
            Some(Scope::Shard(shard)) => match topology.shard(ShardId(shard)) {
                Some(_) => Ok(BTreeSet::from([ShardId(shard)])),
                None => Err(refusal::unknown_shard(shard)),
            },
            Some(Scope::Region(region)) => {
                let name: RegionName = region.parse().map_err(refusal::invalid)?;
                if topology.region(&name).is_none() {
                    return Err(refusal::unknown_region(&region));
                }
                let at_home = shards.filter(|shard| shard.region == name);
                Ok(at_home.map(|shard| ShardId(shard.id)).collect())
            }
            Some(Scope::AccountId(account)) => {
                let account = prepare::account(&account)?;
                Ok(BTreeSet::from([self.home(&account)?]))
            }
        }
    }
}

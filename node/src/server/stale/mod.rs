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

use ledger_domain::{HybridTime, ShardId};
use tonic::Status;

use super::{Server, prepare};
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
        match scope {
            None => Ok(self.every_shard().into_iter().collect()),
            Some(Scope::Shard(shard)) => Ok(BTreeSet::from([self.shard_named(shard)?])),
            Some(Scope::Region(region)) => self.shards_at_home(&region),
            Some(Scope::AccountId(account)) => {
                let account = prepare::account(&account)?;
                Ok(BTreeSet::from([self.home(&account)?]))
            }
        }
    }
}

use std::{sync::Arc, time::Duration};

use ledger_domain::{ShardId, state::State as _};
use replication::{
    raft::{Role, Standing},
    shard::Shard,
    topology::Directory as _,
};
use tonic::{Request, Response, Status};

use crate::{
    api::{
        admin::v1::{RebuildViewsReply, RebuildViewsRequest, ReplicaRole},
        internal::v1::{
            Copy, Matched, NodeStatusReply, NodeStatusRequest, Replica, StoppedChannel, View,
            nodes_server::Nodes,
        },
    },
    server::{Server, receipt},
};

/// Tells other nodes of this one.
#[derive(Clone)]
pub(in crate::server) struct Service(pub(in crate::server) Arc<Server>);

#[tonic::async_trait]
impl Nodes for Service {
    async fn node_status(
        &self,
        _: Request<NodeStatusRequest>,
    ) -> Result<Response<NodeStatusReply>, Status> {
        Ok(Response::new(self.0.node_status()))
    }

    async fn rebuild_views(
        &self,
        request: Request<RebuildViewsRequest>,
    ) -> Result<Response<RebuildViewsReply>, Status> {
        let reply = self.0.rebuild_views(&request.get_ref().reason)?;
        Ok(Response::new(reply))
    }
}

fn role(standing: Standing) -> ReplicaRole {
    match standing {
        Standing::Waiting => ReplicaRole::Waiting,
        Standing::Learner => ReplicaRole::Learner,
        Standing::Voter => ReplicaRole::Voter,
        Standing::Removed => ReplicaRole::Removed,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn stopped_channels(shard: &Shard) -> Vec<StoppedChannel> {
    let stopped = shard.inbox().stopped().into_iter();
    let stopped = stopped.map(|(from, cause)| StoppedChannel {
        from_shard: from.0,
        cause,
    });
    stopped.collect()
}

/// This node, as it is now.
pub(super) fn status(server: &Server) -> NodeStatusReply {
    let shards = server.shards.all();
    let replicas = shards.iter().map(|(id, shard)| {
        let metrics = shard.group().metrics();
        let members = shard.group().members();
        let missing = shard.group().missing().borrow().clone();
        let matched = metrics.matched.iter();
        Replica {
            shard: id.0,
            epoch: metrics.term.epoch,
            term: metrics.term.term,
            leads: metrics.role == Role::Leader,
            applied_index: metrics.applied.unwrap_or_default(),
            role: role(shard.group().standing()).into(),
            last_index: metrics.last_log.unwrap_or_default(),
            membership_index: members.index,
            voters: members.voters.into_iter().collect(),
            learners: members.learners.into_iter().collect(),
            matched: matched
                .map(|(node, index)| Matched {
                    node: *node,
                    index: *index,
                })
                .collect(),
            missing: missing.map_or(0, |missing| missing.end - missing.start),
            closed_through: shard.book().closed_through().map(|date| date.days()),
            in_quorum: shard.group().in_quorum(),
            silent_ms: shard.group().silence().map(millis),
            stopped_channels: stopped_channels(shard),
            failure: shard.failure().map(|f| f.to_string()).unwrap_or_default(),
        }
    });
    let held = server.served.keys();
    let views = held.filter_map(|shard| {
        // A view that has stopped or has not begun is complete up to no time.
        let found = server.views().watermark(*shard).ok()??;
        Some(View {
            position: Some(receipt::position(found.position)),
            watermark: Some(receipt::time(found.time)),
            staleness_bound_ms: server.staleness_bound_ms(*shard, found.time),
        })
    });
    let abroad = |shard: &ShardId| {
        let shard = server.directory.topology().shard(*shard);
        shard.is_some_and(|shard| shard.region != server.region)
    };
    let copies = server.copies.iter().filter(|(id, _)| abroad(id));
    let copies = copies.map(|(id, copy)| Copy {
        shard: id.0,
        hears_home: copy.status().borrow().hears_home(),
        bytes_across: copy.received().across.get(),
        bytes_within: copy.received().within.get(),
    });
    NodeStatusReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        wall_unix_nanos: server.world.clock.wall_nanos(),
        replicas: replicas.collect(),
        views: views.collect(),
        integrity: Some(server.integrity()),
        copies: copies.collect(),
        privileged: server.privileged.iter().cloned().collect(),
        views_generation: server.read_models.generation(),
        views_building: server.building(),
    }
}

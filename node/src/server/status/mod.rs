//! What an operator asks of any node: the whole deployment at a glance.
//!
//! The node that is asked asks all others at once, each over its peer line, and waits for none
//! longer than [`PATIENCE`]: a region that is cut off is shown as such and holds nobody up. Each
//! node tells of itself only (`node`); `overview` is a pure function of what was told.

mod cuts;
mod node;
mod overview;
mod replicas;
mod views;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use ledger_domain::HybridTime;
use replication::topology::{self, Directory as _};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{Server, receipt, refusal};
use crate::api::{
    admin::v1::{self as pb, admin_server::Admin},
    internal::v1::{NodeStatusReply, NodeStatusRequest, nodes_client::NodesClient},
};
pub(super) use node::Service as NodeService;
pub(super) use overview::All;
use overview::Told;
pub(super) use replicas::{leader, told, voters};

/// How long another node may take to tell of itself.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

#[tonic::async_trait]
impl Admin for Service {
    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusReply>, Status> {
        let server = &self.0;
        let topology = server.directory.topology();
        let told = server.ask_all().await;
        let now = HybridTime {
            wall_nanos: server.world.clock.wall_nanos(),
            count: 0,
        };
        let epoch = |shard| server.directory.epoch(shard).unwrap_or_default();
        Ok(Response::new(pb::StatusReply {
            served_by: Some(server.served_by()),
            time: Some(receipt::time(now)),
            regions: overview::regions(topology, now, &told),
            nodes: overview::nodes(topology, &told),
            shards: overview::shards(topology, epoch, &told),
            lags: overview::lags(topology, &told),
            crossings: overview::crossings(topology, &told),
            cuts: cuts::cuts(topology, &told),
            ledger: topology.ledger.clone(),
        }))
    }

    async fn heads(
        &self,
        _: Request<pb::HeadsRequest>,
    ) -> Result<Response<pb::HeadsReply>, Status> {
        Ok(Response::new(pb::HeadsReply {
            served_by: Some(self.0.served_by()),
            heads: self.0.heads(),
        }))
    }

    async fn nodes(
        &self,
        _: Request<pb::NodesRequest>,
    ) -> Result<Response<pb::NodesReply>, Status> {
        Ok(Response::new(pb::NodesReply {
            served_by: Some(self.0.served_by()),
            nodes: overview::members(self.0.directory.topology()),
        }))
    }

    async fn replicas(
        &self,
        request: Request<pb::ReplicasRequest>,
    ) -> Result<Response<pb::ReplicasReply>, Status> {
        let server = &self.0;
        let topology = server.directory.topology();
        let told = server.ask_all().await;
        let wanted = request.get_ref().shard;
        let shards = topology.shards.iter();
        let shards = shards.filter(|shard| wanted.is_none_or(|wanted| wanted == shard.id));
        let mut replicas: Vec<_> = shards
            .flat_map(|shard| replicas::of(topology, shard, &told))
            .collect();
        replicas.sort_by(|a, b| (a.shard, &a.node).cmp(&(b.shard, &b.node)));
        if replicas.is_empty() {
            return Err(refusal::unknown_shard(wanted.unwrap_or_default()));
        }
        Ok(Response::new(pb::ReplicasReply {
            served_by: Some(server.served_by()),
            replicas,
        }))
    }

    async fn why_stale(
        &self,
        request: Request<pb::WhyStaleRequest>,
    ) -> Result<Response<pb::WhyStaleReply>, Status> {
        let reply = self.0.why_stale(request.into_inner().scope).await?;
        Ok(Response::new(reply))
    }

    async fn views(
        &self,
        _: Request<pb::ViewsRequest>,
    ) -> Result<Response<pb::ViewsReply>, Status> {
        let server = &self.0;
        let told = server.ask_all().await;
        Ok(Response::new(pb::ViewsReply {
            served_by: Some(server.served_by()),
            nodes: overview::views(server.directory.topology(), &told),
        }))
    }

    async fn rebuild_views(
        &self,
        request: Request<pb::RebuildViewsRequest>,
    ) -> Result<Response<pb::RebuildViewsReply>, Status> {
        self.0.rebuild_views_of(request.into_inner()).await
    }

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        self.0.snapshot(request).await
    }

    async fn snapshot_chunk(
        &self,
        request: Request<pb::SnapshotChunkRequest>,
    ) -> Result<Response<pb::SnapshotChunkReply>, Status> {
        self.0.snapshot_chunk(request).await
    }

    async fn change_voters(
        &self,
        request: Request<pb::ChangeVotersRequest>,
    ) -> Result<Response<pb::ChangeVotersReply>, Status> {
        self.0.change_voters(request).await
    }
}

impl Server {
    /// What all nodes tell of themselves, this one included. Who does not in time is missing.
    pub(super) async fn ask_all(&self) -> BTreeMap<u64, Told> {
        let nodes = self.directory.topology().nodes.iter();
        let told = join_all(nodes.map(|node| self.ask(node))).await;
        told.into_iter().flatten().collect()
    }

    /// What a node tells of itself, if it does so in time.
    async fn ask(&self, node: &topology::Node) -> Option<(u64, Told)> {
        if node.name == self.name {
            let (status, clock_offset_ms) = (self.node_status(), 0);
            let told = Told {
                status,
                clock_offset_ms,
            };
            return Some((node.id, told));
        }
        let (status, asked, answered) = self.ask_peer(node.id).await?;
        Some((node.id, Told::new(status, asked, answered)))
    }

    /// What another node tells of itself, if it does so in time, and when on this node's clock it
    /// was asked and had answered.
    pub(super) async fn ask_peer(&self, node: u64) -> Option<(NodeStatusReply, u64, u64)> {
        let line = self.peers.line(node).ok()?;
        let mut client = NodesClient::new(line.channel());
        let asked = self.world.clock.wall_nanos();
        let answer = timeout(PATIENCE, client.node_status(NodeStatusRequest {})).await;
        let answered = self.world.clock.wall_nanos();
        match answer {
            Ok(Ok(reply)) => Some((reply.into_inner(), asked, answered)),
            _ => {
                self.peers.suspect(&line);
                None
            }
        }
    }

    /// What this node tells of itself.
    fn node_status(&self) -> NodeStatusReply {
        node::status(self)
    }
}

//! Snapshots of shards, for backups: told by whichever voter has them.

use ledger_domain::ShardId;
use replication::topology::Directory as _;
use tonic::{Request, Response, Status, transport::Channel};

use super::{Server, deadline::Deadline, refusal, route};
use crate::api::{
    admin::v1::{self as pb, admin_client::AdminClient},
    rejection,
};

impl Server {
    /// How a voter refers to the newest snapshot it has; empty where none has any.
    pub(super) async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        let shard = self.shard_there_is(request.get_ref().shard)?;
        let (deadline, limit) = (Deadline::of(&request), self.peers.options().message_limit);
        let is_last = !route::is_forwarded(request.metadata().as_ref());
        let told = self.at_leader(
            shard,
            request,
            deadline,
            |shard, _| async move {
                // Voters take snapshots of their own: where there is none here, another may have one.
                let newest = shard.group().newest_snapshot();
                let newest = newest.ok_or_else(|| refusal::not_leader(None))?;
                Ok(pb::SnapshotReply {
                    snapshot: newest.into(),
                })
            },
            |channel, request| async move { admin(channel, limit).snapshot(request).await },
        );
        told.await.or_else(|status| none(status, is_last))
    }

    /// A chunk of a snapshot, from whichever voter still has it; empty where none has.
    pub(super) async fn snapshot_chunk(
        &self,
        request: Request<pb::SnapshotChunkRequest>,
    ) -> Result<Response<pb::SnapshotChunkReply>, Status> {
        let pb::SnapshotChunkRequest { shard, hash } = request.get_ref();
        let shard = self.shard_there_is(*shard)?;
        let hash: Result<[u8; 32], _> = hash[..].try_into();
        let hash = hash.map_err(|_| refusal::invalid("a hash has 32 bytes"))?;
        let (deadline, limit) = (Deadline::of(&request), self.peers.options().message_limit);
        let is_last = !route::is_forwarded(request.metadata().as_ref());
        let told = self.at_leader(
            shard,
            request,
            deadline,
            |shard, _| async move {
                let found = shard.group().snapshot_chunk(&hash);
                let found = found.unwrap_or_else(|error| {
                    tracing::error!(%error, "a chunk of a snapshot cannot be read");
                    None
                });
                let content = found.ok_or_else(|| refusal::not_leader(None))?;
                Ok(pb::SnapshotChunkReply {
                    content: content.into(),
                })
            },
            |channel, request| async move { admin(channel, limit).snapshot_chunk(request).await },
        );
        told.await.or_else(|status| none(status, is_last))
    }

    fn shard_there_is(&self, shard: u32) -> Result<ShardId, Status> {
        let known = self.directory.topology().shard(ShardId(shard));
        known.map_or_else(
            || Err(refusal::unknown_shard(shard)),
            |it| Ok(ShardId(it.id)),
        )
    }
}

fn admin(channel: Channel, limit: usize) -> AdminClient<Channel> {
    AdminClient::new(channel).max_decoding_message_size(limit)
}

/// An empty answer, at the node that was asked first, where every voter has said that it has nothing.
fn none<T: Default>(status: Status, is_last: bool) -> Result<Response<T>, Status> {
    let detail = rejection::from_status(&status);
    match is_last && detail.is_some_and(|detail| detail.code == "NOT_LEADER") {
        true => Ok(Response::new(T::default())),
        false => Err(status),
    }
}

//! Snapshots of shards, for backups: told by whichever voter has them.

use ledger_domain::ShardId;
use replication::topology::Directory as _;
use tonic::{Request, Response, Status};

use super::{Server, deadline::Deadline, refusal};
use crate::api::admin::v1::{self as pb, admin_client::AdminClient};

impl Server {
    fn shard_there_is(&self, shard: u32) -> Result<ShardId, Status> {
        let known = self.directory.topology().shard(ShardId(shard));
        known.map_or_else(
            || Err(refusal::unknown_shard(shard)),
            |it| Ok(ShardId(it.id)),
        )
    }

    /// How a voter refers to the newest snapshot it has.
    pub(super) async fn snapshot(
        &self,
        request: Request<pb::SnapshotRequest>,
    ) -> Result<Response<pb::SnapshotReply>, Status> {
        let deadline = Deadline::of(&request);
        let shard = self.shard_there_is(request.get_ref().shard)?;
        let told = self.at_leader(
            shard,
            request,
            deadline,
            |shard, _| async move {
                let newest = shard.group().newest_snapshot();
                Ok(pb::SnapshotReply {
                    snapshot: newest.map(Into::into).unwrap_or_default(),
                })
            },
            |channel, request| async move { AdminClient::new(channel).snapshot(request).await },
        );
        told.await
    }

    /// A chunk of a snapshot, from whichever voter still has it.
    pub(super) async fn snapshot_chunk(
        &self,
        request: Request<pb::SnapshotChunkRequest>,
    ) -> Result<Response<pb::SnapshotChunkReply>, Status> {
        let deadline = Deadline::of(&request);
        let pb::SnapshotChunkRequest { shard, hash } = request.get_ref();
        let shard = self.shard_there_is(*shard)?;
        let hash: Result<[u8; 32], _> = hash[..].try_into();
        let hash = hash.map_err(|_| refusal::invalid("a hash has 32 bytes"))?;
        let told =
            self.at_leader(
                shard,
                request,
                deadline,
                |shard, _| async move {
                    let found = shard.group().snapshot_chunk(&hash);
                    let found = found.map_err(|error| Status::data_loss(error.to_string()))?;
                    // Voters take snapshots of their own: another may have it.
                    let content = found.ok_or_else(|| refusal::not_leader(None))?;
                    Ok(pb::SnapshotChunkReply {
                        content: content.into(),
                    })
                },
                |channel, request| async move {
                    AdminClient::new(channel).snapshot_chunk(request).await
                },
            );
        told.await
    }
}

//! A shard's snapshot, chunk by chunk.

use bytes::Bytes;
use replication::peer::PeerOptions;
use tonic::transport::Channel;

use super::attempt::Call;
use super::calls::Client;
use super::error::Error;
use crate::api::admin::v1::{SnapshotChunkRequest, SnapshotRequest, admin_client::AdminClient};

impl Client {
    /// How a voter of a shard refers to the newest snapshot it has; `None` where none was taken yet.
    pub async fn snapshot(&self, shard: u32) -> Result<Option<Bytes>, Error> {
        let request = SnapshotRequest { shard };
        let told = self.call(Call::read(), &request, |channel, request| async move {
            admin(channel).snapshot(request).await
        });
        let snapshot = told.await?.snapshot;
        Ok((!snapshot.is_empty()).then(|| snapshot.into()))
    }

    /// A chunk of a snapshot by its hash; `None` where it is swept: there is a newer snapshot. Whoever asks
    /// compares the hash.
    pub async fn snapshot_chunk(
        &self,
        shard: u32,
        hash: &[u8; 32],
    ) -> Result<Option<Bytes>, Error> {
        let request = SnapshotChunkRequest {
            shard,
            hash: hash.to_vec(),
        };
        let told = self.call(Call::read(), &request, |channel, request| async move {
            admin(channel).snapshot_chunk(request).await
        });
        let content = told.await?.content;
        Ok((!content.is_empty()).then(|| content.into()))
    }
}

fn admin(channel: Channel) -> AdminClient<Channel> {
    let limit = PeerOptions::default().message_limit;
    AdminClient::new(channel).max_decoding_message_size(limit)
}

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::group::Group;
use super::types::Types;
use super::wire::{self, Malformed};
use crate::log::Space;
use crate::peer::{Closing, Identity, Peers};
use crate::proto::raft_server::{Raft, RaftServer};
use crate::proto::{
    AppendReply, AppendRequest, AttendReply, AttendRequest, Chunk, ChunksRequest,
    InstallSnapshotReply, InstallSnapshotRequest, IntroduceReply, IntroduceRequest, MembersReply,
    MembersRequest, TransferLeaderReply, TransferLeaderRequest, VoteReply, VoteRequest,
};

/// The shards this node is a member of, by number. Cheap to clone.
#[derive(Clone, Default)]
pub struct Groups {
    members: Arc<RwLock<BTreeMap<u32, Group>>>,
    closing: Closing,
}

impl Groups {
    /// Adds a shard: its peers' calls are answered from now on.
    pub fn insert(&self, group: Group) {
        let mut groups = self.members.write().unwrap_or_else(PoisonError::into_inner);
        groups.insert(group.shard(), group);
    }

    /// The group of a shard, if this node is a member of it.
    pub fn get(&self, shard: u32) -> Option<Group> {
        self.members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&shard)
            .cloned()
    }

    /// All groups, by rising shard.
    pub fn all(&self) -> Vec<Group> {
        self.members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Ends all streams of appends: the node stops. A stream ends otherwise only when its sender
    /// closes it.
    pub fn close(&self) {
        self.closing.close();
    }
}

/// Decides by a sender's time whether to listen to it. What it refuses is answered with its
/// status; nothing reaches Raft or the store, for which an error would be the end of the node.
pub type ClockCheck = Arc<dyn Fn(&[u8]) -> Result<(), Status> + Send + Sync>;

/// Raft's calls to all the shards of a node.
pub struct RaftService {
    groups: Groups,
    clock: ClockCheck,
    peers: Peers,
}

impl RaftService {
    /// The service, with the peers' limit of a message.
    pub fn server(groups: Groups, clock: ClockCheck, peers: &Peers) -> RaftServer<Self> {
        let options = peers.options();
        let service = Self {
            groups,
            clock,
            peers: peers.clone(),
        };
        RaftServer::new(service)
            .max_decoding_message_size(options.message_limit)
            .max_encoding_message_size(options.message_limit)
    }

    fn identity(&self) -> Result<&Identity, Status> {
        let nobody = || Status::unavailable("this node does not know yet who it is");
        self.peers.identity().ok_or_else(nobody)
    }

    /// The group that a call is for, once the call is known to be between disks that have met.
    fn group(&self, metadata: &MetadataMap, shard: u32) -> Result<Group, Status> {
        let none = || Status::not_found(format!("this node has no replica of shard {shard}"));
        let group = self.groups.get(shard).ok_or_else(none)?;
        self.identity()?.check(metadata)?;
        Ok(group)
    }
}

impl From<Malformed> for Status {
    fn from(malformed: Malformed) -> Self {
        Status::invalid_argument(malformed.to_string())
    }
}

/// The group no longer runs: for the caller, the same as a node that is down.
fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

/// Refuses what would be written to a disk that is full: the sender tries again, as if this node
/// were not there.
fn taken(space: &Space, writes: bool) -> Result<(), Status> {
    if writes && !space.has_room() {
        return Err(Status::resource_exhausted("this node's disk is full"));
    }
    Ok(())
}

/// The requests of one append stream as Raft wants them: it ends with the first that is refused,
/// and the reason waits in `refusal` until what was taken before has been answered.
fn admitted(
    shard: u32,
    space: Space,
    clock: ClockCheck,
    refusal: Arc<Mutex<Option<Status>>>,
    requests: impl Stream<Item = Result<AppendRequest, Status>> + Send + 'static,
) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static {
    let admit = move |request: Result<AppendRequest, Status>| {
        let request = request?;
        if request.shard != shard {
            return Err(Status::invalid_argument(
                "a stream of appends is of one shard",
            ));
        }
        clock(&request.time)?;
        taken(&space, !request.records.is_empty())?;
        Ok(wire::parsed_append(request)?)
    };
    requests.map(admit).scan((), move |(), admitted| {
        let taken = match admitted {
            Ok(request) => Some(request),
            Err(status) => {
                *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                None
            }
        };
        std::future::ready(taken)
    })
}

/// Whoever has a lower vote leads no longer, and counts as nobody.
fn hear(group: &Group, result: &StreamAppendResult<Types>) {
    if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
        group.hear();
    }
}

#[tonic::async_trait]
impl Raft for RaftService {
    type StreamAppendStream = Pin<Box<dyn Stream<Item = Result<AppendReply, Status>> + Send>>;

    async fn stream_append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let (metadata, _, mut requests) = request.into_parts();
        let Some(first) = requests.message().await? else {
            return Ok(Response::new(stream::empty().boxed()));
        };
        let shard = first.shard;
        let group = self.group(&metadata, shard)?;
        let refusal = Arc::new(Mutex::new(None));
        let requests = stream::iter([Ok(first)]).chain(requests);
        let space = group.space().clone();
        let requests = admitted(shard, space, self.clock.clone(), refusal.clone(), requests)
            .take_until(self.groups.closing.closed());
        let hearing = group.clone();
        let replies = group
            .stream_append(requests)
            .await
            .map(move |reply| match reply {
                Ok(result) => {
                    hear(&hearing, &result);
                    Ok(wire::append_reply(&result))
                }
                Err(fatal) => Err(stopped(fatal)),
            });
        let ending = stream::once(async move {
            refusal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .map(Err)
        });
        Ok(Response::new(
            replies.chain(ending.filter_map(std::future::ready)).boxed(),
        ))
    }

    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let group = self.group(&metadata, request.shard)?;
        (self.clock)(&request.time)?;
        taken(group.space(), !request.records.is_empty())?;
        let request = wire::parsed_append(request)?;
        let prev = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id).or(prev);
        let response = group
            .raft()
            .append_entries(request)
            .await
            .map_err(stopped)?;
        if prev.is_none() && matches!(response, AppendEntriesResponse::Conflict) {
            return Err(Status::internal("a conflict before the first index"));
        }
        let result = response.into_stream_result(prev, last);
        hear(&group, &result);
        let sync_micros = group.sync_micros();
        Ok(Response::new(AppendReply {
            sync_micros,
            ..wire::append_reply(&result)
        }))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let group = self.group(&metadata, request.shard)?;
        (self.clock)(&request.time)?;
        let response = group
            .raft()
            .vote(wire::parsed_vote(&request)?)
            .await
            .map_err(stopped)?;
        Ok(Response::new(wire::vote_reply(&response)))
    }

    async fn pre_vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let group = self.group(&metadata, request.shard)?;
        (self.clock)(&request.time)?;
        let asked = wire::parsed_vote(&request)?;
        let lost = wire::parsed_lost(&request)?;
        let response = group.pre_vote(asked, lost).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_reply(&response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let group = self.group(&metadata, request.shard)?;
        let request = wire::parsed_transfer(request)?;
        let from = *request.from_leader();
        let response = group
            .raft()
            .handle_transfer_leader(request)
            .await
            .map_err(stopped)?;
        Ok(Response::new(wire::transfer_reply(&from, &response)))
    }
    async fn install_snapshot(
        &self,
        request: Request<InstallSnapshotRequest>,
    ) -> Result<Response<InstallSnapshotReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        let group = self.group(&metadata, request.shard)?;
        (self.clock)(&request.time)?;
        taken(group.space(), true)?;
        let vote = wire::parsed_ballot(request.ballot)?;
        let response = group.receive_snapshot(vote, request.snapshot).await?;
        let ballot = Some(wire::ballot(&response.vote));
        Ok(Response::new(InstallSnapshotReply { ballot }))
    }

    type ChunksStream = Pin<Box<dyn Stream<Item = Result<Chunk, Status>> + Send>>;

    async fn chunks(
        &self,
        request: Request<ChunksRequest>,
    ) -> Result<Response<Self::ChunksStream>, Status> {
        let (metadata, _, ChunksRequest { shard, hashes }) = request.into_parts();
        let snapshots = self.group(&metadata, shard)?.snapshots().clone();
        let chunks = stream::iter(hashes).map(move |hash| {
            let hash = hash[..].try_into();
            let hash = hash.map_err(|_| Status::invalid_argument("a hash has 32 bytes"))?;
            let content = snapshots.chunk(&hash);
            let content = content.map_err(|cause| Status::data_loss(cause.to_string()))?;
            let gone = || Status::not_found("the snapshot has been replaced by a newer one");
            content.map(|content| Chunk { content }).ok_or_else(gone)
        });
        Ok(Response::new(chunks.boxed()))
    }

    async fn introduce(
        &self,
        request: Request<IntroduceRequest>,
    ) -> Result<Response<IntroduceReply>, Status> {
        let IntroduceRequest { node, disk } = request.into_inner();
        let mine = self.identity()?.meet(node, &disk).await?;
        let groups = self.groups.all();
        let begun = groups.iter().filter(|group| group.0.log.last().is_some());
        let mut shards: BTreeSet<u32> = begun.map(|group| group.shard()).collect();
        let stored = self.identity()?.begun();
        shards.extend(stored.map_err(|error| Status::unavailable(error.to_string()))?);
        Ok(Response::new(IntroduceReply {
            disk: Bytes::copy_from_slice(&mine),
            shards: shards.into_iter().collect(),
            holds: groups.iter().map(Group::shard).collect(),
        }))
    }

    async fn members(
        &self,
        request: Request<MembersRequest>,
    ) -> Result<Response<MembersReply>, Status> {
        let (metadata, _, MembersRequest { shard }) = request.into_parts();
        let group = self.group(&metadata, shard)?;
        Ok(Response::new(group.told_members()))
    }

    async fn attend(&self, _: Request<AttendRequest>) -> Result<Response<AttendReply>, Status> {
        self.groups.closing.closed().await;
        Ok(Response::new(AttendReply {}))
    }
}

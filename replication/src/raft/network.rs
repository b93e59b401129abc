use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::BasicNode;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetAppend, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote,
    RPCOption, RaftNetworkFactory, stream_append_sequential,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use super::retirement::Told;
use super::types::{SnapshotOf, Types, Vote};
use super::wire;
use crate::peer::{Line, Peers, Presence, Signature, blames_the_line};
use crate::proto::raft_client::RaftClient;
use crate::proto::{self, AppendReply};

/// Longest time a follower may take to fetch and install a snapshot.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(3600);

/// The sender's time, as it travels with a call.
pub type Stamp = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

/// How the members of one shard call each other.
#[derive(Clone)]
pub struct Transport {
    shard: u32,
    peers: Peers,
    stamp: Stamp,
    append_deadline: Duration,
    told: Told,
}

impl Transport {
    /// `append_deadline` is how long a follower may leave an append on a stream unanswered: above
    /// the worst sync of a disk, as the stream is then broken off and begun again.
    pub fn new(shard: u32, peers: Peers, stamp: Stamp, append_deadline: Duration) -> Self {
        Self {
            shard,
            peers,
            stamp,
            append_deadline,
            told: Told::default(),
        }
    }

    /// A stream's appends as they travel; `sent` counts them.
    // Outside `stream_append`: a closure made there would drag its lifetime along.
    fn requests<S>(
        &self,
        input: S,
        sent: Arc<AtomicU64>,
    ) -> impl Stream<Item = proto::AppendRequest> + Send + use<S>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + 'static,
    {
        let shard = self.shard;
        let stamp = self.stamp.clone();
        input.map(move |request| {
            sent.fetch_add(1, Ordering::Relaxed);
            wire::append_request(shard, request, stamped(&stamp))
        })
    }

    /// What the connections to a peer tell of its process.
    pub(super) fn presence(&self, node: u64) -> Presence {
        self.peers.presence(node)
    }

    /// How long synced writes take at the peers.
    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Asks a peer whether it would vote, a leadership being lost.
    pub(super) async fn canvass(
        &self,
        node: u64,
        request: &VoteRequest<Types>,
        lost: &Vote,
    ) -> Result<VoteResponse<Types>, Failure> {
        let link = self.link(node, "", false);
        let request = proto::VoteRequest {
            lost: Some(wire::ballot(lost)),
            ..link.vote_request(request)
        };
        let (mut client, line) = link.open().await?;
        let reply = Ok(client.pre_vote(request).await);
        wire::vote_response(line.settled(reply)?).map_err(network)
    }

    /// Asks a peer for the committed membership. `None` where it does not tell.
    pub(super) async fn members(&self, node: u64) -> Option<proto::MembersReply> {
        let shard = self.shard;
        let (mut client, line) = self.link(node, "", false).open().await.ok()?;
        let reply = Ok(client.members(proto::MembersRequest { shard }).await);
        line.settled(reply).ok()
    }

    fn link(&self, node: u64, address: &str, pulse: bool) -> Link {
        Link {
            transport: self.clone(),
            node,
            address: address.to_owned(),
            pulse,
        }
    }
}

impl RaftNetworkFactory<Types> for Transport {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Link {
        self.link(target, &node.addr, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Link {
        self.link(target, &node.addr, true)
    }
}

/// The way from a member of a shard to one other.
pub struct Link {
    transport: Transport,
    node: u64,
    address: String,
    /// Carries heartbeats only: one unary call each, where a stream would be opened and closed.
    pulse: bool,
}

type Failure = RPCError<Types>;

/// Calls that say which disks they are between.
type Caller = RaftClient<InterceptedService<Channel, Signature>>;

fn unreachable(error: impl ToString) -> Failure {
    RPCError::Unreachable(Unreachable::from_string(error))
}

fn network(error: impl ToString) -> Failure {
    RPCError::Network(NetworkError::from_string(error))
}

/// Unreachable makes openraft wait before it tries again, Network makes it try at once. A peer
/// that is down, does not know the shard or refuses our clock is not helped by haste.
fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::Unavailable
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Unimplemented => unreachable(status),
        _ => network(status),
    }
}

impl Link {
    /// The present line to the peer and a client on it, once the two know each other.
    async fn open(&self) -> Result<(Caller, Watched), Failure> {
        let peers = self.transport.peers.clone();
        let line = peers
            .line_or(self.node, &self.address)
            .map_err(unreachable)?;
        let limit = peers.options().message_limit;
        let nobody = || unreachable("this node does not know yet who it is");
        let identity = peers.identity().ok_or_else(nobody)?.clone();
        let line = Watched { peers, line };
        let signature = match identity.signature(self.node) {
            Some(signature) => signature,
            None => {
                let introduced = identity.introduce(line.line.channel(), self.node).await;
                introduced.map_err(|status| line.failed(&status))?;
                let met = identity.signature(self.node);
                met.ok_or_else(|| unreachable("the peer was not met"))?
            }
        };
        let client = RaftClient::with_interceptor(line.line.channel(), signature)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit);
        Ok((client, line))
    }

    fn vote_request(&self, request: &VoteRequest<Types>) -> proto::VoteRequest {
        proto::VoteRequest {
            shard: self.transport.shard,
            ballot: Some(wire::ballot(&request.vote)),
            last: request.last_log_id.as_ref().map(wire::log_id),
            leadership_transfer: request.leadership_transfer,
            time: stamped(&self.transport.stamp),
            lost: None,
        }
    }
}

/// A line on which a call is under way.
struct Watched {
    peers: Peers,
    line: Line,
}

impl Watched {
    /// What a call under a deadline has come to.
    fn settled<T>(
        &self,
        answer: Result<Result<Response<T>, Status>, Elapsed>,
    ) -> Result<T, Failure> {
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        answer
            .map(Response::into_inner)
            .map_err(|status| self.failed(&status))
    }

    /// Casts suspicion on the line where it may be at fault.
    fn failed(&self, status: &Status) -> Failure {
        if blames_the_line(status) {
            self.peers.suspect(&self.line);
        }
        failure(status)
    }
}

fn stamped(stamp: &Stamp) -> Bytes {
    Bytes::copy_from_slice(&stamp())
}

impl NetStreamAppend<Types> for Link {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<Types>, Failure>>, Failure>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
    {
        if self.pulse {
            return stream_append_sequential(self, input, option);
        }
        // Not the option's deadline, which is a heartbeat's: a stream opens on a line that may
        // first have to connect, and its first answer follows a sync.
        let deadline = self.transport.append_deadline;
        Box::pin(async move {
            // openraft waits after a failure where a request is drawn, and nowhere else: dialed
            // before the first is there, a peer that is down would be dialed without a pause.
            let mut input = input;
            let Some(first) = input.next().await else {
                return Ok(stream::empty().boxed());
            };
            let input = stream::iter([first]).chain(input);
            let sent = Arc::new(AtomicU64::new(0));
            let requests = self.transport.requests(input, sent.clone());
            let (mut client, line) = self.open().await?;
            let opened = timeout(deadline, client.stream_append(requests)).await;
            let answers = line.settled(opened)?;
            Ok(Answers {
                answers,
                sent,
                received: 0,
                deadline,
                line,
            }
            .into_stream())
        })
    }
}

/// The answers of an append stream, which may be silent for as long as nothing is asked.
struct Answers {
    answers: Streaming<AppendReply>,
    sent: Arc<AtomicU64>,
    received: u64,
    deadline: Duration,
    line: Watched,
}

impl Answers {
    /// The answers until the first failure.
    fn into_stream<'s>(self) -> BoxStream<'s, Result<StreamAppendResult<Types>, Failure>> {
        Box::pin(stream::unfold(Some(self), |answers| async move {
            let mut answers = answers?;
            let answer = answers.next().await?;
            let rest = answer.is_ok().then_some(answers);
            Some((answer, rest))
        }))
    }

    async fn next(&mut self) -> Option<Result<StreamAppendResult<Types>, Failure>> {
        loop {
            // Only what was under way before the wait counts, so a request is given between one
            // and two deadlines: no clock is read per request.
            let waiting = self.sent.load(Ordering::Relaxed) > self.received;
            match timeout(self.deadline, self.answers.next()).await {
                Ok(None) => return None,
                Ok(Some(Ok(reply))) => {
                    self.received += 1;
                    return Some(wire::append_result(reply).map_err(network));
                }
                Ok(Some(Err(status))) => return Some(Err(self.line.failed(&status))),
                Err(_) if waiting => {
                    let silence = format!("an append is unanswered after {:?}", self.deadline);
                    return Some(Err(self.line.failed(&Status::deadline_exceeded(silence))));
                }
                Err(_) => {}
            }
        }
    }
}

impl NetAppend<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, Failure> {
        let nothing_to_conflict_with = request.prev_log_id.is_none();
        let time = stamped(&self.transport.stamp);
        let request = wire::append_request(self.transport.shard, request, time);
        let (mut client, line) = self.open().await?;
        let reply = timeout(option.soft_ttl(), client.append(request)).await;
        let reply = line.settled(reply)?;
        self.transport.told.note(self.node, reply.sync_micros);
        let response = wire::append_result(reply).map_err(network)?.into();
        // openraft takes this pair for impossible and would panic.
        if nothing_to_conflict_with && matches!(response, AppendEntriesResponse::Conflict) {
            return Err(network(
                "the peer reports a conflict before the first index",
            ));
        }
        Ok(response)
    }
}

impl NetVote<Types> for Link {
    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let request = self.vote_request(&request);
        let (mut client, line) = self.open().await?;
        let reply = timeout(option.soft_ttl(), client.vote(request)).await;
        let reply = line.settled(reply)?;
        wire::vote_response(reply).map_err(network)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, Failure> {
        let request = self.vote_request(&request);
        let (mut client, line) = self.open().await?;
        let reply = timeout(option.soft_ttl(), client.pre_vote(request)).await;
        let reply = line.settled(reply)?;
        wire::vote_response(reply).map_err(network)
    }
}

impl NetTransferLeader<Types> for Link {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, Failure> {
        let sent = wire::transfer_request(self.transport.shard, &request);
        let (mut client, line) = self.open().await?;
        let reply = timeout(option.soft_ttl(), client.transfer_leader(sent)).await;
        let reply = line.settled(reply)?;
        wire::transfer_response(&request, reply).map_err(network)
    }
}

impl NetSnapshot<Types> for Link {
    type SnapshotData = Bytes;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let request = proto::InstallSnapshotRequest {
            shard: self.transport.shard,
            ballot: Some(wire::ballot(&vote)),
            snapshot: snapshot.snapshot,
            time: stamped(&self.transport.stamp),
        };
        let (mut client, line) = self.open().await.map_err(streaming)?;
        // The option's deadline is a heartbeat's. The peer fetches gigabytes, perhaps; that it
        // lives is seen by the connection's own pings.
        let answer = timeout(SNAPSHOT_DEADLINE, client.install_snapshot(request));
        let reply = tokio::select! {
            answer = answer => line.settled(answer).map_err(streaming)?,
            closed = cancel => return Err(closed.into()),
        };
        let vote = wire::parsed_ballot(reply.ballot);
        let vote = vote.map_err(|cause| streaming(network(cause)))?;
        Ok(SnapshotResponse::new(vote))
    }
}

/// openraft knows no other failures of a snapshot's way than of a call's.
fn streaming(failure: Failure) -> StreamingError<Types> {
    match failure {
        RPCError::Network(cause) => cause.into(),
        RPCError::Unreachable(cause) => cause.into(),
        other => StreamingError::Unreachable(Unreachable::from_string(other)),
    }
}

impl NetBackoff<Types> for Link {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

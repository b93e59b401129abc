use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{Fatal, InitializeError, LinearizableReadError, RaftError};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use openraft::{BasicNode, Instant as _, ReadPolicy, ServerState};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::leadership::{self, Leadership, Reign};
use super::log_store::LogStore;
use super::machine::{Adapter, Machine};
use super::mishap::Luck;
use super::network::Transport;
use super::options::GroupOptions;
use super::proposal::{self, Proposed};
use super::snapshot::Snapshots;
use super::types::{Payload, Runtime, Term, Types};
use super::{retirement, succession, voters};
use crate::log::Space;
use crate::metrics::Counter;
use crate::peer::Peers;

type Raft = openraft::Raft<Types, Adapter>;

/// Why a group could not be started or founded.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The timing contradicts itself.
    #[error("options of shard {shard}: {cause}")]
    Options {
        /// The shard.
        shard: u32,
        /// What is wrong with them.
        cause: String,
    },
    /// The group has stopped, usually because its log cannot be read or written.
    #[error("shard {shard} has stopped: {cause}")]
    Stopped {
        /// The shard.
        shard: u32,
        /// Why.
        cause: String,
    },
    /// The members to found the group with do not include this node.
    #[error("node {node} is none of the founding members of shard {shard}")]
    NotAMember {
        /// The shard.
        shard: u32,
        /// This node.
        node: u64,
    },
}

/// Why a strong read cannot be served here and now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another node leads.
    #[error("this node does not lead the shard")]
    NotLeader {
        /// Who to ask, if that is known.
        leader: Option<u64>,
    },
    /// Nobody can be asked for now: no quorum answers, or this node is behind or has stopped.
    #[error("no strong read for now: {0}")]
    Unavailable(String),
}

/// What part a replica plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides, and replicates to the others.
    Leader,
    /// Votes, and follows a leader or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Follows without a vote, or has no members yet.
    Learner,
    /// Has stopped.
    Stopped,
}

/// A group's state at one moment, for metrics and operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetrics {
    /// The part this replica plays.
    pub role: Role,
    /// The highest term seen.
    pub term: Term,
    /// The last index in the log here.
    pub last_log: Option<u64>,
    /// The last index known to be committed.
    pub committed: Option<u64>,
    /// The last index applied here.
    pub applied: Option<u64>,
    /// On the leader: the last index known to be durable on each member.
    pub matched: BTreeMap<u64, Option<u64>>,
    /// How often this replica stood for election because its leader's process had ended, and not
    /// for a silence.
    pub stood_at_once: u64,
    /// How often this replica handed over because its disk was slow.
    pub retired: u64,
}

/// One shard's replica on this node: the only way to Raft for the rest of the program.
/// Cheap to clone; the replica runs until [`Group::shutdown`].
#[derive(Clone)]
pub struct Group(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) options: GroupOptions,
    raft: Raft,
    leadership: watch::Receiver<Leadership>,
    applied: watch::Receiver<u64>,
    snapshots: Snapshots,
    bytes: Arc<AtomicU64>,
    streams: AtomicU64,
    pub(super) log: LogStore,
    pub(super) transport: Transport,
    /// How often this replica stood because its leader's process had ended.
    pub(super) stood: AtomicU64,
    /// How often this replica handed over because its disk was slow.
    pub(super) retired: AtomicU64,
    /// Whether this replica is not to stand for election, having led too slowly.
    pub(super) resting: AtomicBool,
    /// Whether this replica knows that it was removed, though its log may not.
    pub(super) removed: AtomicBool,
    /// Held by whoever changes the voters.
    pub(super) changing: tokio::sync::Mutex<()>,
    leader_changes: Arc<Counter>,
    started: Instant,
    /// When the leader was last heard, in milliseconds after `started`; 0 before it was.
    heard: AtomicU64,
    /// Where mishaps come from, if any do.
    pub(super) luck: Luck,
}

impl Group {
    /// Starts the replica over its own shard's log. Before this returns, all that is known here
    /// to be committed has been applied to the machine again, from index 0.
    pub async fn start(
        options: GroupOptions,
        log: LogStore,
        machine: Arc<dyn Machine>,
        transport: Transport,
    ) -> Result<Self, GroupError> {
        let shard = options.shard;
        assert_eq!(log.shard(), shard, "a replica runs over its own log");
        let config = options.config().map_err(|cause| GroupError::Options {
            shard,
            cause: cause.to_string(),
        })?;
        let (applied_sender, applied) = watch::channel(0);
        let unreadable = |cause: std::io::Error| GroupError::Stopped {
            shard,
            cause: cause.to_string(),
        };
        let snapshots = log.snapshots().map_err(unreadable)?;
        let bytes = Arc::new(AtomicU64::new(0));
        let luck = Luck::default();
        let adapter = Adapter::new(
            machine,
            snapshots.clone(),
            applied_sender,
            bytes.clone(),
            luck.clone(),
        );
        let starting = Raft::new(
            options.node_id,
            Arc::new(config),
            transport.clone(),
            log.clone(),
            adapter,
        );
        let raft = Runtime::scope(options.seed, starting)
            .await
            .map_err(|fatal| stopped(shard, &fatal))?;
        let (sender, leadership) = watch::channel(Leadership::unknown(Term::default()));
        let leader_changes = Arc::<Counter>::default();
        let changes = leader_changes.clone();
        let leading = leadership::follow(shard, raft.server_metrics(), sender, changes);
        tokio::spawn(leading);
        let (me, peers) = (options.node_id, transport.peers().clone());
        let group = Arc::new(Inner {
            options,
            raft,
            leadership: leadership.clone(),
            applied,
            snapshots,
            bytes,
            streams: AtomicU64::new(0),
            log,
            transport,
            stood: AtomicU64::new(0),
            retired: AtomicU64::new(0),
            resting: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
            leader_changes,
            started: Instant::now(),
            heard: AtomicU64::new(0),
            luck,
        });
        let succession = succession::follow(Arc::downgrade(&group), peers, me, leadership);
        tokio::spawn(succession);
        tokio::spawn(retirement::follow(Arc::downgrade(&group)));
        tokio::spawn(voters::follow(Arc::downgrade(&group)));
        Ok(Self(group))
    }

    /// The shard.
    pub fn shard(&self) -> u32 {
        self.0.options.shard
    }

    /// This node.
    pub fn node_id(&self) -> u64 {
        self.0.options.node_id
    }

    /// Founds the group with its first voters and their peer addresses. Does nothing where it has
    /// been founded already. Several members may do it with the same members, never with others.
    pub async fn initialize(&self, members: BTreeMap<u64, String>) -> Result<(), GroupError> {
        let raft = self.raft();
        if raft
            .is_initialized()
            .await
            .map_err(|fatal| stopped(self.shard(), &fatal))?
        {
            return Ok(());
        }
        let members: BTreeMap<u64, BasicNode> = members
            .into_iter()
            .map(|(node, address)| (node, BasicNode::new(address)))
            .collect();
        match raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                Err(GroupError::NotAMember {
                    shard: self.shard(),
                    node: self.node_id(),
                })
            }
            Err(RaftError::Fatal(fatal)) => Err(stopped(self.shard(), &fatal)),
        }
    }

    /// Who leads, from now on. Values may be skipped: a reign that came and went was none.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.clone()
    }

    /// Hands an entry to Raft, fenced: if this node's reign is not `reign` when its turn comes, it
    /// is never appended. Returns as soon as it is queued, in the order of the calls.
    ///
    /// A reign takes no proposals before a quorum has heard of it, or while its lease on them has
    /// run out; either shows as [`Proposed::NeverAppended`] without a leader. Propose nothing
    /// before the blank entry of the reign has been applied here.
    ///
    /// `done` is called exactly once, on the task that decides the fate: it must be short and
    /// must not block.
    pub async fn propose(
        &self,
        reign: Reign,
        payload: Bytes,
        done: impl FnOnce(Proposed) + Send + 'static,
    ) {
        match self.mishap() {
            None => self.queue(reign, payload, done).await,
            Some(mishap) => self.suffer(mishap, reign, payload, done).await,
        }
    }

    pub(super) async fn queue(
        &self,
        reign: Reign,
        payload: Bytes,
        done: impl FnOnce(Proposed) + Send + 'static,
    ) {
        let queued = self
            .raft()
            .write(Payload(payload))
            .with_leader(reign)
            .responder(proposal::callback(done))
            .await;
        // A group that has stopped drops the responder, which answers `done`.
        drop(queued);
    }

    /// An index at or above everything acknowledged before this call, once it has been applied
    /// here: what the machine shows from now on is at least that fresh. Costs a round trip to a
    /// quorum, and trusts no clock.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let raft = self.raft();
        let unavailable = |fatal: Fatal<Types>| ReadError::Unavailable(fatal.to_string());
        let read = raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
            .map_err(|e| match e {
                RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                    ReadError::NotLeader {
                        leader: forward.leader_id,
                    }
                }
                RaftError::APIError(LinearizableReadError::QuorumNotEnough(lost)) => {
                    tracing::trace!(
                        target: "situation",
                        "a strong read was asked of a leader in vain"
                    );
                    ReadError::Unavailable(lost.to_string())
                }
                RaftError::Fatal(fatal) => unavailable(fatal),
            })?;
        let index = read.read_log_id().index();
        let deadline = self.0.options.timing.read_deadline;
        match read
            .try_await_ready(raft, Some(deadline))
            .await
            .map_err(unavailable)?
        {
            Ok(_) => Ok(index),
            Err(behind) => Err(ReadError::Unavailable(format!(
                "index {index} is not applied here within {deadline:?}: {behind}"
            ))),
        }
    }

    /// The last index applied here; 0, the founding membership's, also before there is any.
    pub fn applied(&self) -> u64 {
        *self.0.applied.borrow()
    }

    /// The last index applied here, from now on.
    pub fn applied_watch(&self) -> watch::Receiver<u64> {
        self.0.applied.clone()
    }

    /// Asks this leader to hand over to another member. Whether it happened shows in
    /// [`Group::leadership`]; where this node does not lead, nothing does.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), GroupError> {
        let asked = self.raft().trigger().transfer_leader(to).await;
        asked.map_err(|fatal| stopped(self.shard(), &fatal))
    }

    /// Has another member lead, where this node does: the most advanced first, then the others
    /// for as long as `patience` lasts. Returns whether this node leads no longer.
    pub async fn hand_over(&self, patience: Duration) -> bool {
        let mut leadership = self.leadership();
        let mut heirs: Vec<_> = self.metrics().matched.into_iter().collect();
        let voters = self.members().voters;
        heirs.retain(|(node, _)| *node != self.node_id() && voters.contains(node));
        heirs.sort_by_key(|(_, matched)| Reverse(*matched));
        let tries = u32::try_from(heirs.len()).unwrap_or(u32::MAX).max(1);
        for (heir, _) in heirs {
            if leadership.borrow().reign.is_none() {
                break;
            }
            if self.transfer_leader(heir).await.is_err() {
                break;
            }
            let over = leadership.wait_for(|now| now.reign.is_none());
            // One that does not take over in its time leaves the next a chance.
            let _ = timeout(patience / tries, over).await;
        }
        leadership.borrow().reign.is_none()
    }

    /// The group's state now.
    pub fn metrics(&self) -> GroupMetrics {
        // Cloned at once: Raft itself waits while it is borrowed.
        let metrics = self.raft().metrics().borrow_watched().clone();
        let role = match metrics.state {
            _ if metrics.running_state.is_err() => Role::Stopped,
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        };
        let matched = metrics.replication.unwrap_or_default();
        GroupMetrics {
            role,
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            applied: metrics.last_applied.map(|id| id.index),
            stood_at_once: self.0.stood.load(Ordering::Relaxed),
            retired: self.0.retired.load(Ordering::Relaxed),
            matched: matched
                .into_iter()
                .map(|(node, id)| (node, id.map(|id| id.index)))
                .collect(),
        }
    }

    /// How many reigns this replica has seen begin since it started.
    pub fn leader_changes(&self) -> u64 {
        self.0.leader_changes.get()
    }

    /// Is this replica in a quorum, as far as it knows: has it lately heard its leader, or, where
    /// it leads, a majority? An election's silence is too long.
    pub fn in_quorum(&self) -> bool {
        let silence = self.0.options.timing.election_max;
        let metrics = self.raft().metrics().borrow_watched().clone();
        if metrics.running_state.is_err() {
            return false;
        }
        match metrics.state {
            ServerState::Leader => {
                let voters = metrics.membership_config.voter_ids().count();
                let acked = metrics.last_quorum_acked;
                voters == 1 || acked.is_some_and(|acked| acked.elapsed() < silence)
            }
            ServerState::Follower | ServerState::Learner => self.hears_a_leader(),
            _ => false,
        }
    }

    /// For how long this replica has not been in a quorum's hearing: since it heard its leader, or,
    /// where it leads, a majority. `None` where that has not been since it was started.
    pub fn silence(&self) -> Option<Duration> {
        let metrics = self.raft().metrics().borrow_watched().clone();
        if metrics.state == ServerState::Leader {
            let voters = metrics.membership_config.voter_ids().count();
            let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
            return if voters == 1 {
                Some(Duration::ZERO)
            } else {
                acked
            };
        }
        let heard = self.0.heard.load(Ordering::Relaxed);
        let since = self.0.started + Duration::from_millis(heard);
        (heard > 0).then(|| since.elapsed())
    }

    /// Was a leader heard lately?
    pub(super) fn hears_a_leader(&self) -> bool {
        let heard = self.0.heard.load(Ordering::Relaxed);
        let heard = self.0.started + Duration::from_millis(heard);
        heard > self.0.started && heard.elapsed() < self.0.options.timing.election_max
    }

    /// The leader was heard, and it is one.
    pub(super) fn hear(&self) {
        let millis = self.0.started.elapsed().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).max(1);
        self.0.heard.store(millis, Ordering::Relaxed);
    }

    /// Stops the replica. Proposals under way end as unknown.
    pub async fn shutdown(&self) {
        // An error here tells that Raft's task panicked: it has stopped all the same.
        drop(self.raft().shutdown().await);
    }

    /// The last index that is applied and, with all before it, in the log here: how far a reader
    /// that begins at index 0 can be served.
    pub fn held(&self) -> watch::Receiver<u64> {
        self.0.snapshots.mark().held()
    }

    /// The indexes that came in a snapshot and are not in the log here yet.
    pub fn missing(&self) -> watch::Receiver<Option<Range<u64>>> {
        self.0.snapshots.mark().missing()
    }

    /// Bytes of entries applied since this start.
    pub fn applied_bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether this node's disk has room.
    #[must_use]
    pub fn space(&self) -> &Space {
        self.0.log.pace().space()
    }

    pub(super) fn snapshots(&self) -> &Snapshots {
        &self.0.snapshots
    }

    pub(super) fn peers(&self) -> &Peers {
        self.0.transport.peers()
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// How long synced writes take here, in microseconds; 0 where that cannot be told.
    pub(super) fn sync_micros(&self) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let sync_time = self.0.log.pace().sync_time();
        sync_time.map_or(0, |time| micros(time).max(1))
    }

    /// Feeds a leader's stream of appends to Raft, which spawns a task for it.
    pub(super) async fn stream_append(
        &self,
        requests: impl Stream<Item = AppendEntriesRequest<Types>> + Send + 'static,
    ) -> impl Stream<Item = Result<StreamAppendResult<Types>, Fatal<Types>>> + Send + 'static {
        let number = self.0.streams.fetch_add(1, Ordering::Relaxed);
        let seed = self.0.options.seed.wrapping_add(number);
        Runtime::scope(seed, async { self.raft().stream_append(requests) }).await
    }
}

fn stopped(shard: u32, fatal: &Fatal<Types>) -> GroupError {
    GroupError::Stopped {
        shard,
        cause: fatal.to_string(),
    }
}

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_adv;

/// openraft's configuration of this project's types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Types;

/// A Raft term under a reign: compared epoch first, so that the log of a later reign always
/// beats that of an earlier one, whatever happened to the counters in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// Which reign of the shard's home.
    pub epoch: u64,
    /// Raft's own counter within the reign.
    pub term: u64,
}

/// Before the first election of a shard's first reign.
///
/// openraft takes the default for the vote of an empty node and for the founding membership at
/// index 0, and every later term is counted from it. Epochs begin at 1, so that an epoch of 0 in
/// a record is always a field that was forgotten.
impl Default for Term {
    fn default() -> Self {
        Self { epoch: 1, term: 0 }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.term)
    }
}

impl openraft::vote::RaftTerm for Term {
    fn next(&self) -> Self {
        Self {
            epoch: self.epoch,
            term: self.term + 1,
        }
    }

    fn as_u64(&self) -> Option<u64> {
        Some(self.term)
    }
}

/// An entry of the shard's writer: the domain's framed bytes, shared, never copied.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What became of a proposed entry when its turn came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is part of the ledger.
    Accepted,
    /// It failed a check at apply: it keeps its index and means nothing.
    Void,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Runs a closure when a proposal is decided, on the task that decided it: one call answers all
/// the callers that share an entry, without a channel or a task per entry.
pub struct Callback<T>(pub Box<dyn FnOnce(T) + Send + 'static>);

impl<T: Send + 'static> openraft::raft::responder::Responder<Types, T> for Callback<T> {
    fn on_complete(self, result: T) {
        (self.0)(result)
    }
}

impl openraft::RaftTypeConfig for Types {
    type D = Payload;
    type R = Applied;
    type NodeId = u64;
    type Node = openraft::BasicNode;
    type Term = Term;
    type LeaderId = LeaderId;
    type Vote = openraft::impls::Vote<LeaderId>;
    type Payload = openraft::EntryPayload<Payload, u64, openraft::BasicNode>;
    type Entry = openraft::Entry<LeaderId, Self::Payload>;
    type Responder<T>
        = Callback<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type AsyncRuntime = Runtime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// tokio, with openraft's election jitter drawn from the node's seed.
pub type Runtime =
    openraft_rt::deterministic_rng::DeterministicRng<openraft_rt_tokio::TokioRuntime>;
/// The pair (term, node): with a plain term, two forks could have equal ids for other entries.
pub type LeaderId = leader_id_adv::LeaderId<Term, u64>;
/// (term, node, index).
pub type LogId = openraft::type_config::alias::LogIdOf<Types>;
/// A vote, or the leadership it became.
pub type Vote = openraft::type_config::alias::VoteOf<Types>;
/// One index of the log.
pub type Entry = openraft::type_config::alias::EntryOf<Types>;
/// What an index carries.
pub type EntryPayload = <Types as openraft::RaftTypeConfig>::Payload;
/// The voters.
pub type Membership = openraft::Membership<u64, openraft::BasicNode>;
/// A node as a membership names it: its peer address.
pub type Member = openraft::BasicNode;
/// The voters and where the log says so.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
/// The metadata of a snapshot.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
/// A snapshot, if there were any.
pub type SnapshotOf = openraft::type_config::alias::SnapshotOf<Types, Bytes>;

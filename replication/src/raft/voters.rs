//! Who votes in a group, and how that changes while it runs.
//!
//! The truth is the membership in the log. A topology only says with which voters a group is
//! founded, and which nodes hold a replica of it. A node that is to vote becomes a learner first:
//! the leader gives it the log, or a snapshot and the rest, and nobody waits for it meanwhile. Once
//! it is near the end of the log the voters change in one step of joint consensus, in which both
//! sets have to agree.
//!
//! One change at a time, made by the leader, and none that would leave the group without a majority
//! that answers. A change that its leader could not end, because it lost its leadership between the
//! two halves of a joint consensus, is ended by the next one.
//!
//! A replica that was removed keeps its data. It may have been away when that was decided, and then
//! its own log counts it as a voter: one that hears no leader therefore asks the others, and does
//! not stand for election once a later membership is without it. Until it knows, the pre-votes that
//! it asks for are refused by all who hear a leader.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, Instant as _};
use tokio::time::{Instant, sleep, timeout};

use super::group::{Group, Inner};
use super::types::{Membership, StoredMembership, Types};
use crate::log::record;
use crate::proto;

/// A learner that lacks no more entries than these is near enough to vote.
const NEAR: u64 = 100;
/// How often a learner is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long one half of a change may take to be committed before its outcome counts as open.
const COMMIT: Duration = Duration::from_secs(10);
/// How long the voters together have to take over from a leader that is to be removed.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How often a replica looks whether a change was left half done, or whether it was removed.
const REVIEW_EVERY: Duration = Duration::from_secs(1);
/// How long a majority may take to answer before a change counts as unsafe. A leader that itself had
/// no turn for a while has heard nobody, and all may be well.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a node may take to say what it holds.
const ASKED: Duration = Duration::from_secs(1);

/// Who is in a group, as the newest membership in a replica's log has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// The index in the log that says so; `None` before there is any.
    pub index: Option<u64>,
    /// Those who vote; while they change, those who did and those who will.
    pub voters: BTreeSet<u64>,
    /// Those who are given the log without a vote.
    pub learners: BTreeSet<u64>,
    /// Whether this is not committed yet, or is half of a change.
    pub is_changing: bool,
}

/// What a replica is to its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not been added yet.
    Waiting,
    /// It is given the log, and has no vote.
    Learner,
    /// It votes.
    Voter,
    /// It was removed. What it holds stays.
    Removed,
}

/// A change of the voters: one to add, one to remove, or both at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who is to vote, and where its peers reach it.
    pub add: Option<(u64, String)>,
    /// Who is to be no member any longer.
    pub remove: Option<u64>,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is made.
    Done,
    /// The new node is given the log: asked again, the change goes on.
    CatchingUp {
        /// The last index that is durable there.
        matched: Option<u64>,
        /// The last index of the leader.
        last: u64,
    },
}

/// Why the voters are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another node leads, and could change them.
    #[error("this node does not lead the shard")]
    NotLeader {
        /// Who to ask, if that is known.
        leader: Option<u64>,
    },
    /// One change at a time.
    #[error("another change of the voters is under way")]
    Busy,
    /// Too few voters answer for the group to go on afterwards.
    #[error("of the voters {voters:?} only {answering:?} answer, which is no majority")]
    Unsafe {
        /// The voters now, or those there would be.
        voters: BTreeSet<u64>,
        /// Those of them that answer.
        answering: BTreeSet<u64>,
    },
    /// A group has a voter.
    #[error("node {0} is the last voter")]
    LastVoter(u64),
    /// The node to add does not answer.
    #[error("node {0} does not answer")]
    Unreachable(u64),
    /// The node to add has no place for the shard.
    #[error("node {0} holds no replica of the shard")]
    NotHeld(u64),
    /// It is open whether the change is made.
    #[error("it is open whether the voters have changed: {0}")]
    Open(String),
}

impl From<&StoredMembership> for Members {
    fn from(stored: &StoredMembership) -> Self {
        let membership = stored.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        Self {
            index: stored.log_id().as_ref().map(|id| id.index),
            learners: membership
                .nodes()
                .map(|(node, _)| *node)
                .filter(|node| !voters.contains(node))
                .collect(),
            voters,
            is_changing: membership.get_joint_config().len() > 1,
        }
    }
}

/// Whether those who answer are a majority of the voters.
fn carry(voters: &BTreeSet<u64>, answering: &BTreeSet<u64>) -> bool {
    voters.intersection(answering).count() > voters.len() / 2
}

/// The voters after a change, or why there must be none such: before it and after it, a majority
/// has to answer. Who is added answers: it is asked, and given the log, first.
fn planned(
    voters: &BTreeSet<u64>,
    answering: &BTreeSet<u64>,
    change: &Change,
) -> Result<BTreeSet<u64>, ChangeError> {
    let mut answering = answering.clone();
    let mut after = voters.clone();
    if let Some((node, _)) = &change.add {
        answering.insert(*node);
        after.insert(*node);
    }
    if let Some(node) = change.remove {
        after.remove(&node);
        if after.is_empty() {
            return Err(ChangeError::LastVoter(node));
        }
    }
    for voters in [voters, &after] {
        if !carry(voters, &answering) {
            return Err(ChangeError::Unsafe {
                voters: voters.clone(),
                answering: voters.intersection(&answering).copied().collect(),
            });
        }
    }
    Ok(after)
}

impl Group {
    /// Who is in the group, as far as this replica knows.
    pub fn members(&self) -> Members {
        // Cloned at once: Raft itself waits while it is borrowed.
        let metrics = self.raft().metrics().borrow_watched().clone();
        let mut members = Members::from(&*metrics.membership_config);
        let committed = metrics.committed_membership_config.log_id();
        members.is_changing |= metrics.membership_config.log_id() != committed;
        members
    }

    /// What this replica is to the group, as far as it knows.
    pub fn standing(&self) -> Standing {
        let members = self.members();
        let me = self.node_id();
        if self.0.removed.load(Ordering::Relaxed) {
            Standing::Removed
        } else if members.voters.contains(&me) {
            Standing::Voter
        } else if members.learners.contains(&me) {
            Standing::Learner
        } else if !self.0.log.has_voted() {
            Standing::Waiting
        } else if self.hears_a_leader() {
            // What adds it is on its way, or what removes it has just come.
            Standing::Learner
        } else {
            Standing::Removed
        }
    }

    /// Changes the voters, and waits no longer than `patience` for a new one to catch up. A change
    /// that is made already is [`Progress::Done`]: it may be asked for until it is.
    ///
    /// A leader that is to be removed hands over instead, and names the one to ask.
    pub async fn change_voters(
        &self,
        change: Change,
        patience: Duration,
    ) -> Result<Progress, ChangeError> {
        // On a task of its own: whoever gives up asking must not leave half a change.
        let group = self.clone();
        let changing = tokio::spawn(async move { group.change(change, patience).await });
        let ended = changing.await;
        ended.unwrap_or_else(|panicked| Err(ChangeError::Open(panicked.to_string())))
    }

    async fn change(&self, change: Change, patience: Duration) -> Result<Progress, ChangeError> {
        let _turn = self.0.changing.try_lock().map_err(|_| ChangeError::Busy)?;
        let leadership = *self.leadership().borrow();
        if leadership.reign.is_none() {
            let leader = leadership.leader;
            return Err(ChangeError::NotLeader { leader });
        }
        let members = self.members();
        if members.is_changing {
            return Err(ChangeError::Busy);
        }
        let after = self.planned(&members.voters, &change).await?;
        let is_gone = |node| !members.learners.contains(&node);
        if after == members.voters && change.remove.is_none_or(is_gone) {
            return Ok(Progress::Done);
        }
        if change.remove == Some(self.node_id()) && change.add.is_none() {
            return Err(self.make_way().await);
        }
        if let Some((node, address)) = &change.add
            && !members.voters.contains(node)
        {
            if !members.learners.contains(node) {
                self.is_held_by(*node).await?;
                let member = BasicNode::new(address);
                self.committed(self.raft().add_learner(*node, member, false))
                    .await?;
                tracing::info!(shard = self.shard(), node, "a replica is added");
            }
            let begun = Instant::now();
            while let Some(behind) = self.behind(*node) {
                if begun.elapsed() >= patience {
                    return Ok(behind);
                }
                sleep(LOOK_EVERY).await;
            }
            // Others may have fallen silent meanwhile.
            self.planned(&members.voters, &change).await?;
        }
        if change.remove == Some(self.node_id()) {
            return Err(self.make_way().await);
        }
        let changes = match after == members.voters {
            true => ChangeMembers::RemoveNodes(change.remove.into_iter().collect()),
            false => ChangeMembers::ReplaceAllVoters(after.clone()),
        };
        self.committed(self.raft().change_membership(changes, false))
            .await?;
        tracing::info!(shard = self.shard(), voters = ?after, "the voters have changed");
        Ok(Progress::Done)
    }

    /// The voters after a change that is safe, or becomes so within a moment.
    async fn planned(
        &self,
        voters: &BTreeSet<u64>,
        change: &Change,
    ) -> Result<BTreeSet<u64>, ChangeError> {
        let begun = Instant::now();
        loop {
            match planned(voters, &self.answering(), change) {
                Err(ChangeError::Unsafe { .. }) if begun.elapsed() < SILENCE => {
                    sleep(LOOK_EVERY).await;
                }
                sorted => return sorted,
            }
        }
    }

    /// How far a learner is behind, where it is too far to vote.
    fn behind(&self, node: u64) -> Option<Progress> {
        let metrics = self.metrics();
        let matched = metrics.matched.get(&node).copied().flatten();
        let last = metrics.last_log.unwrap_or_default();
        let is_near = matched.is_some_and(|matched| matched + NEAR >= last);
        (!is_near).then_some(Progress::CatchingUp { matched, last })
    }

    /// Makes a leader that is to be removed a follower, and says who leads instead.
    async fn make_way(&self) -> ChangeError {
        self.hand_over(HAND_OVER).await;
        let mut leadership = self.leadership();
        let next = leadership.wait_for(|now| now.leader.is_some_and(|it| it != self.node_id()));
        let next = timeout(HAND_OVER, next).await;
        let leader = next.ok().and_then(|next| next.ok()?.leader);
        ChangeError::NotLeader { leader }
    }

    async fn is_held_by(&self, node: u64) -> Result<(), ChangeError> {
        match timeout(ASKED, self.peers().meet(node)).await {
            Ok(Some(reply)) if reply.holds.contains(&self.shard()) => Ok(()),
            Ok(Some(_)) => Err(ChangeError::NotHeld(node)),
            _ => Err(ChangeError::Unreachable(node)),
        }
    }

    /// This leader, and those that have lately answered it.
    fn answering(&self) -> BTreeSet<u64> {
        let silence = self.0.options.timing.election_max;
        // Cloned at once: Raft itself waits while it is borrowed.
        let metrics = self.raft().metrics().borrow_watched().clone();
        let heard = metrics.heartbeat.unwrap_or_default().into_iter();
        let lately = heard.filter(|(_, at)| at.is_some_and(|at| at.elapsed() < silence));
        let mut answering: BTreeSet<u64> = lately.map(|(node, _)| node).collect();
        answering.insert(self.node_id());
        answering
    }

    /// Waits until a membership is committed, and sorts what became of it.
    async fn committed<T>(
        &self,
        change: impl Future<Output = Result<T, RaftError<Types, ClientWriteError<Types>>>>,
    ) -> Result<(), ChangeError> {
        use ClientWriteError as Refused;
        let open = |cause: String| Err(ChangeError::Open(cause));
        match timeout(COMMIT, change).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(Refused::ForwardToLeader(forward)))) => {
                let leader = forward.leader_id;
                Err(ChangeError::NotLeader { leader })
            }
            Ok(Err(RaftError::APIError(Refused::ChangeMembershipError(
                ChangeMembershipError::InProgress(_)
                | ChangeMembershipError::UncommittedLeaderLog(_),
            )))) => Err(ChangeError::Busy),
            Ok(Err(other)) => open(other.to_string()),
            Err(_) => open(format!("it is not committed within {COMMIT:?}")),
        }
    }

    /// The committed membership, for a replica that hears no leader.
    pub(super) fn told_members(&self) -> proto::MembersReply {
        let metrics = self.raft().metrics().borrow_watched().clone();
        let stored = &metrics.committed_membership_config;
        let id = stored.log_id().as_ref().map(record::record_id);
        proto::MembersReply {
            id: id.map(record::stored_id),
            membership: Some(record::stored_membership(stored.membership())),
        }
    }
}

/// Ends changes that were left half done, and notices where this replica was removed, for as long
/// as the group lives.
pub(super) async fn follow(group: Weak<Inner>) {
    loop {
        sleep(REVIEW_EVERY).await;
        let Some(group) = group.upgrade().map(Group) else {
            return;
        };
        if group.leadership().has_changed().is_err() {
            return;
        }
        if group.0.removed.load(Ordering::Relaxed) {
            // Only a leader that has it among its members speaks to it.
            group.set_removed(!group.hears_a_leader());
        } else if group.leadership().borrow().reign.is_some() {
            group.settle().await;
        } else if !group.hears_a_leader() && group.was_removed().await {
            let shard = group.shard();
            tracing::warn!(shard, "this replica was removed: it asks for no votes");
            group.set_removed(true);
        }
    }
}

impl Group {
    /// Ends a joint consensus that no other leader will end.
    async fn settle(&self) {
        let Ok(_turn) = self.0.changing.try_lock() else {
            return;
        };
        let metrics = self.raft().metrics().borrow_watched().clone();
        let newest = &metrics.membership_config;
        let is_committed = newest.log_id() == metrics.committed_membership_config.log_id();
        if is_committed && newest.membership().get_joint_config().len() > 1 {
            let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
            let settled = self.raft().change_membership(nobody, false);
            if let Err(error) = self.committed(settled).await {
                let shard = self.shard();
                tracing::warn!(shard, %error, "a change of the voters is not ended yet");
            }
        }
    }

    fn set_removed(&self, removed: bool) {
        self.0.removed.store(removed, Ordering::Relaxed);
        let resting = self.0.resting.load(Ordering::Relaxed);
        self.raft().runtime_config().elect(!removed && !resting);
    }

    /// Whether a voter knows of a committed membership, later than all that this replica knows, that
    /// is without it.
    async fn was_removed(&self) -> bool {
        let me = self.node_id();
        let mine = self.members();
        for node in mine.voters.iter().filter(|node| **node != me) {
            let Ok(Some(told)) = timeout(ASKED, self.0.transport.members(*node)).await else {
                continue;
            };
            if is_without(me, mine.index, told) {
                return true;
            }
        }
        false
    }
}

/// Whether a membership is later than the index of another, and names no such node.
fn is_without(node: u64, than: Option<u64>, told: proto::MembersReply) -> bool {
    let later = told.id.is_some_and(|id| Some(id.index) > than);
    let membership = told.membership.map(record::parsed_membership);
    let named = |membership: &Membership| membership.nodes().any(|(named, _)| *named == node);
    later && matches!(&membership, Some(Ok(membership)) if !named(membership))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<const N: usize>(nodes: [u64; N]) -> BTreeSet<u64> {
        BTreeSet::from(nodes)
    }

    fn change(add: Option<u64>, remove: Option<u64>) -> Change {
        let add = add.map(|node| (node, String::new()));
        Change { add, remove }
    }

    #[test]
    fn a_majority_answers_before_and_after() {
        let three = set([1, 2, 3]);
        for (answering, add, remove, expected) in [
            (set([1, 2, 3]), Some(4), None, Some(set([1, 2, 3, 4]))),
            (set([1, 2]), Some(4), None, Some(set([1, 2, 3, 4]))),
            (set([1, 2]), None, Some(3), Some(set([1, 2]))),
            (set([1, 2]), Some(4), Some(3), Some(set([1, 2, 4]))),
            (set([1, 2]), None, Some(2), None),
            (set([1]), Some(4), None, None),
            (set([1]), None, Some(3), None),
            // Whom nobody knows may be removed again.
            (set([1, 2, 3]), None, Some(9), Some(set([1, 2, 3]))),
        ] {
            let change = change(add, remove);
            let planned = planned(&three, &answering, &change).ok();
            assert_eq!(planned, expected, "{answering:?} {change:?}");
        }
        let last = planned(&set([1]), &set([1]), &change(None, Some(1)));
        assert_eq!(last, Err(ChangeError::LastVoter(1)));
    }

    #[test]
    fn only_a_later_membership_removes() {
        let told = |index, nodes: &[u64]| proto::MembersReply {
            id: Some(proto::LogId {
                index,
                ..proto::LogId::default()
            }),
            membership: Some(proto::Membership {
                configs: vec![proto::Voters {
                    nodes: nodes.to_vec(),
                }],
                members: nodes
                    .iter()
                    .map(|node| proto::Member {
                        node: *node,
                        address: String::new(),
                    })
                    .collect(),
            }),
        };
        assert!(is_without(3, Some(0), told(5, &[1, 2])));
        assert!(!is_without(3, Some(5), told(5, &[1, 2])));
        assert!(!is_without(3, Some(9), told(5, &[1, 2])));
        assert!(!is_without(3, Some(0), told(5, &[1, 2, 3])));
        assert!(!is_without(3, Some(0), proto::MembersReply::default()));
    }
}

//! When a leader's process dies, its followers need not wait for silence to tell.
//!
//! A dead process's connections are closed by its system, and calls to it are refused: that is
//! [`Presence::Gone`]. A follower that sees it of its leader canvasses the other voters at once
//! with a pre-vote that names the lost leadership. They agree if they have seen the same, or if
//! their lease on the leader has run out. On a majority's yes the follower stands, and the voters
//! let go of the lease, as they do when a leader hands over. The followers take turns, so that two
//! do not split the vote; one whose log is behind is refused, and the next turn is another's.
//!
//! This is about time, never about safety. Votes are counted and logs compared as in any election,
//! and no read rests on a lease: a strong read asks a majority. So a lease may be broken at any
//! moment, and a wrong word about a leader costs no more than an election.
//!
//! What a cut link, a slow one or a stopped process looks like is silence. Silence never begins
//! this; the election time-out is for it.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::RaftError;
use openraft::raft::{TransferLeaderRequest, VoteRequest, VoteResponse};
use openraft::vote::RaftTerm;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::group::{Group, Inner};
use super::leadership::Leadership;
use super::types::{LeaderId, LogId, Types, Vote};
use crate::peer::{Peers, Presence};

/// How long a follower's turn to canvass lasts: a round trip within a region, with room for a busy
/// machine.
const TURN: Duration = Duration::from_millis(30);
/// How long a canvassed voter has to answer, and an election to show.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a follower would stand on after its leader.
#[derive(Debug, Clone)]
pub(super) struct Campaign {
    lost: Vote,
    last: Option<LogId>,
    /// The voters: one set of them, or two while they change.
    configs: Vec<BTreeSet<u64>>,
}

impl Campaign {
    fn request(&self, me: u64) -> VoteRequest<Types> {
        let leader_id = LeaderId {
            term: self.lost.leader_id.term.next(),
            node_id: me,
        };
        let vote = Vote {
            leader_id,
            committed: false,
        };
        VoteRequest::new(vote, self.last)
    }

    /// The voters that are left.
    fn others(&self) -> BTreeSet<u64> {
        without(&self.configs, self.lost.leader_id.node_id)
    }

    /// Whether those who agree are a majority of each set of voters.
    fn is_carried_by(&self, agreed: &BTreeSet<u64>) -> bool {
        let majority =
            |voters: &BTreeSet<u64>| voters.intersection(agreed).count() > voters.len() / 2;
        self.configs.iter().all(majority)
    }
}

/// All voters but one.
fn without(configs: &[BTreeSet<u64>], node: u64) -> BTreeSet<u64> {
    let mut voters: BTreeSet<u64> = configs.iter().flatten().copied().collect();
    voters.remove(&node);
    voters
}

/// A follower's place among those who take turns: another for each shard, so that the shards of a
/// dead node do not all go to one heir.
fn place(me: u64, others: &BTreeSet<u64>, shard: u32) -> Option<u32> {
    let count = u32::try_from(others.len()).ok()?;
    let rank = others.iter().position(|node| *node == me)?;
    let rank = u32::try_from(rank).ok()?;
    Some((rank + count - shard % count) % count)
}

/// How things stand after a leader whose process is gone.
enum Vacancy {
    /// This replica still counts as its follower.
    Followed(Campaign),
    /// Somebody has stood since, and nobody leads yet.
    Contested { voters: BTreeSet<u64> },
}

/// Has the replica succeed to leaders whose process is gone, for as long as the group runs.
pub(super) async fn follow(
    group: Weak<Inner>,
    peers: Peers,
    me: u64,
    mut leadership: watch::Receiver<Leadership>,
) {
    let mut last = None;
    loop {
        let now = *leadership.borrow_and_update();
        last = now.leader.or(last);
        let succeeding = async {
            match last.filter(|leader| *leader != me) {
                Some(leader) => succeed(&group, &peers, leader).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = leadership.changed() => if changed.is_err() { return },
            () = succeeding => return,
        }
    }
}

/// Stands for election while the leader's process is gone. Returns when the group has ended.
async fn succeed(group: &Weak<Inner>, peers: &Peers, leader: u64) {
    let mut watch = peers.watch(leader);
    let mut turn_has_come = false;
    loop {
        watch.gone().await;
        let Some(group) = group.upgrade().map(Group) else {
            return;
        };
        let pause = match group.vacancy(leader) {
            None => TURN,
            Some(vacancy) if !turn_has_come => {
                turn_has_come = true;
                let (voters, wait) = match vacancy {
                    Vacancy::Followed(campaign) => (campaign.others(), Duration::ZERO),
                    // The election under way comes first.
                    Vacancy::Contested { voters } => (voters, PATIENCE / 4),
                };
                wait + TURN * place(group.node_id(), &voters, group.shard()).unwrap_or(1)
            }
            Some(Vacancy::Followed(campaign)) => {
                if group.canvass(&campaign).await {
                    group.stand(&campaign).await;
                    PATIENCE
                } else {
                    TURN * u32::try_from(campaign.others().len()).unwrap_or(1)
                }
            }
            Some(Vacancy::Contested { .. }) => {
                // Whoever has voted for a candidate is bound by no lease.
                let _ = group.raft().trigger().elect(true).await;
                PATIENCE
            }
        };
        drop(group);
        sleep(pause).await;
    }
}

impl Group {
    /// How things stand after a leader: not vacant, where another leads or this replica is not to.
    fn vacancy(&self, leader: u64) -> Option<Vacancy> {
        let stands = |flag: &AtomicBool| !flag.load(Ordering::Relaxed);
        if !stands(&self.0.resting) || !stands(&self.0.removed) {
            return None;
        }
        // Cloned at once: Raft itself waits while it is borrowed.
        let metrics = self.raft().metrics().borrow_watched().clone();
        let lost = metrics.vote;
        let configs = metrics.membership_config.membership().get_joint_config();
        if !configs.iter().any(|set| set.contains(&self.node_id())) {
            return None;
        }
        if !lost.committed {
            let voters = without(configs, leader);
            return Some(Vacancy::Contested { voters });
        }
        let campaign = Campaign {
            lost,
            last: self.0.log.last(),
            configs: configs.clone(),
        };
        (lost.leader_id.node_id == leader).then_some(Vacancy::Followed(campaign))
    }

    /// Asks the other voters whether they would vote for this replica, the leader being gone.
    async fn canvass(&self, campaign: &Campaign) -> bool {
        let me = self.node_id();
        let mut agreed = BTreeSet::from([me]);
        let request = campaign.request(me);
        let others = campaign.others();
        let asked = others.iter().filter(|node| **node != me).map(|node| {
            let asking = self.0.transport.canvass(*node, &request, &campaign.lost);
            async move { (*node, timeout(PATIENCE, asking).await) }
        });
        let mut answers: FuturesUnordered<_> = asked.collect();
        while !campaign.is_carried_by(&agreed) {
            match answers.next().await {
                Some((node, Ok(Ok(response)))) if response.vote_granted => {
                    agreed.insert(node);
                }
                Some(_) => {}
                None => return false,
            }
        }
        true
    }

    /// Stands for election at once, and not for a silence: the lease on the lost leader no longer
    /// counts, here or at those who vote. openraft knows this as the election of a leader's
    /// appointed heir. It demands nothing of the log; the voters do.
    async fn stand(&self, campaign: &Campaign) {
        tracing::info!(
            shard = self.shard(),
            leader = campaign.lost.leader_id.node_id,
            "the leader's process has ended: this replica stands for election"
        );
        self.0.stood.fetch_add(1, Ordering::Relaxed);
        let heir = TransferLeaderRequest::new(campaign.lost, self.node_id(), None);
        // A group that has stopped stands no more; its watcher sees it end.
        let _ = self.raft().handle_transfer_leader(heir).await;
    }

    /// Would this replica vote for another? With a leadership that the other takes for lost, and
    /// that this replica follows and has seen the end of too, the lease on it does not count.
    pub(super) async fn pre_vote(
        &self,
        asked: VoteRequest<Types>,
        lost: Option<Vote>,
    ) -> Result<VoteResponse<Types>, RaftError<Types>> {
        let vote = self.raft().metrics().borrow_watched().vote;
        let is_lost = |lost: &Vote| {
            *lost == vote && self.0.transport.presence(lost.leader_id.node_id) == Presence::Gone
        };
        if !lost.as_ref().is_some_and(is_lost) {
            return self.raft().pre_vote(asked).await;
        }
        let last = self.0.log.last();
        let granted = asked.last_log_id >= last && asked.vote > vote;
        Ok(VoteResponse::new(vote, last, granted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Term;

    fn set<const N: usize>(nodes: [u64; N]) -> BTreeSet<u64> {
        BTreeSet::from(nodes)
    }

    #[test]
    fn followers_take_turns_and_shards_take_other_heirs() {
        let others = set([4, 7]);
        assert_eq!(
            (place(4, &others, 0), place(7, &others, 0)),
            (Some(0), Some(1))
        );
        assert_eq!(
            (place(4, &others, 1), place(7, &others, 1)),
            (Some(1), Some(0))
        );
        assert_eq!(place(5, &others, 1), None);
        assert_eq!(place(5, &set([5]), 9), Some(0));
        for shard in 0..20 {
            let others = set([1, 2, 5, 9]);
            let places = others.iter().map(|node| place(*node, &others, shard));
            assert_eq!(places.collect::<BTreeSet<_>>().len(), 4);
        }
    }

    #[test]
    fn a_campaign_needs_a_majority_of_each_set_of_voters() {
        let campaign = |configs| Campaign {
            lost: Vote {
                leader_id: LeaderId {
                    term: Term::default(),
                    node_id: 1,
                },
                committed: true,
            },
            last: None,
            configs,
        };
        let three = campaign(vec![set([1, 2, 3])]);
        assert!(!three.is_carried_by(&set([2])));
        assert!(three.is_carried_by(&set([2, 3])));
        assert_eq!(three.others(), set([2, 3]));
        let four = campaign(vec![set([1, 2, 3, 4])]);
        assert!(!four.is_carried_by(&set([2, 3])));
        let changing = campaign(vec![set([1, 2, 3]), set([3, 4, 5])]);
        assert!(!changing.is_carried_by(&set([2, 3])));
        assert!(changing.is_carried_by(&set([2, 3, 4])));
        assert_eq!(changing.others(), set([2, 3, 4, 5]));
        assert!(campaign(vec![set([7])]).is_carried_by(&set([7])));
    }
}

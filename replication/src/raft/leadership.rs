use std::sync::Arc;

use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;

use super::types::{LeaderId, Term, Types};
use crate::metrics::Counter;

/// One leadership of a shard: who, and since which term. No two are ever equal, so whoever
/// decides under a reign can have its proposals refused under any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reign {
    /// The pair (epoch, term).
    pub term: Term,
    /// The leader.
    pub node: u64,
}

impl From<Reign> for LeaderId {
    fn from(reign: Reign) -> Self {
        Self {
            term: reign.term,
            node_id: reign.node,
        }
    }
}

/// Who leads a shard, as this node sees it. It may be wrong by the time it is read: only a
/// proposal's fate and a read index are proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<u64>,
    /// This node's own reign, while it leads.
    pub reign: Option<Reign>,
    /// The highest term seen.
    pub term: Term,
}

impl Leadership {
    /// No leader is known.
    pub(super) fn unknown(term: Term) -> Self {
        Self {
            leader: None,
            reign: None,
            term,
        }
    }
}

impl From<&RaftServerMetrics<Types>> for Leadership {
    fn from(metrics: &RaftServerMetrics<Types>) -> Self {
        let LeaderId { term, node_id } = metrics.vote.leader_id;
        let reigns =
            metrics.state == ServerState::Leader && metrics.vote.committed && node_id == metrics.id;
        Self {
            leader: metrics.current_leader,
            reign: reigns.then_some(Reign {
                term,
                node: node_id,
            }),
            term,
        }
    }
}

/// Publishes the leadership for as long as the group runs, and none when it has ended. Counts the
/// reigns that are seen.
pub(super) async fn follow(
    shard: u32,
    mut metrics: WatchReceiverOf<Types, RaftServerMetrics<Types>>,
    leadership: watch::Sender<Leadership>,
    changes: Arc<Counter>,
) {
    let mut last_known = None;
    loop {
        let now = Leadership::from(&*metrics.borrow_watched());
        if let Some(leader) = now.leader
            && last_known.replace((now.term, leader)) != Some((now.term, leader))
        {
            changes.increment();
        }
        leadership.send_if_modified(|last| {
            if let Some(reign) = now.reign.filter(|reign| last.reign != Some(*reign)) {
                tracing::info!(shard, term = %reign.term, "this node leads the shard");
            }
            let changed = *last != now;
            *last = now;
            changed
        });
        if metrics.changed().await.is_err() {
            let term = leadership.borrow().term;
            leadership.send_replace(Leadership::unknown(term));
            return;
        }
    }
}

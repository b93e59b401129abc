//! What a plan excuses: which calls for help a node may make, given what befell it (any other fails
//! the run, as an ERROR asks a person to get up).

use std::collections::BTreeSet;

use super::{Plan, What};
use crate::oracle::quiet::Excuse;

/// What a node says whose disk fails it.
const DISK_FAILS: &[&str] = &[
    "the disk is full: nothing new is written",
    "a write to the log failed: this node writes no more",
    "the log takes no more writes since one failed",
    "the views' store: no storage space",
    // A consensus group whose log failed has ended; whoever still talks to it, in Raft's own words:
    // a command, an append, a heartbeat that is answered after that.
    "failed to receive from RaftCore",
    "failed to send RaftMsg to RaftCore",
    "RaftCore stopped",
    "to RaftCore; when:(",
];

/// What a node says that reads something else than was written.
const DAMAGED: &[&str] = &[
    "what is stored is not what was written",
    "what is stored here is damaged",
    "a log cannot be scrubbed any further",
    "a feed cannot go on",
    "a book cannot be folded",
    "a view has stopped and is not served",
    "a replica waits until its log is mended",
    "a channel is stopped: its log cannot be read",
];

/// What a node says that is told another history by one whose memory rots.
const TOLD_ANOTHER: &[&str] = &["a neighbour passes on what does not fit"];

/// What a node says that has lost its disk and finds that others knew it with another.
const ANOTHER: &[&str] = &["this node stops: its number is another's"];

/// What a node says where members of a consumer group cannot process an event.
const PARKED: &str = "a consumer's share is parked";

/// What each node may say, given what befalls it in the plan.
#[must_use]
pub fn excuses(plan: &Plan) -> Vec<Excuse> {
    let each = plan.troubles.iter().flat_map(|trouble| {
        let (node, says) = match &trouble.what {
            What::FailWrites { node, .. } | What::FullDisk { node } => (node, DISK_FAILS),
            What::FlipBit { node, .. }
            | What::Rot { node, .. }
            | What::RottenMemory { node, .. } => (node, DAMAGED),
            What::LoseDisk { node, .. } => (node, ANOTHER),
            _ => return Vec::new(),
        };
        let excuse = |says: &&'static str| Excuse {
            node: node.clone(),
            says,
        };
        says.iter().map(excuse).collect()
    });
    let told = plan
        .troubles
        .iter()
        .flat_map(|trouble| match &trouble.what {
            What::RottenMemory { node, .. } => neighbours(plan, node),
            _ => Vec::new(),
        });
    let told = told.flat_map(|node| {
        let excuse = move |says| Excuse {
            node: node.clone(),
            says,
        };
        TOLD_ANOTHER.iter().copied().map(excuse)
    });
    let is_consumed = plan.clients.iter().any(|it| it.habits.consumes.is_some());
    let nodes = plan.nodes().into_iter().filter(|_| is_consumed);
    let parked = nodes.map(|node| Excuse { node, says: PARKED });
    let each: BTreeSet<Excuse> = each.chain(told).chain(parked).collect();
    each.into_iter().collect()
}

/// The other nodes of a node's region.
fn neighbours(plan: &Plan, node: &str) -> Vec<String> {
    let places = plan.topology().places();
    let region = places.iter().find(|place| place.name == node);
    let region = region.map(|place| place.region.clone());
    let others = places
        .into_iter()
        .filter(|place| place.name != node && Some(&place.region) == region.as_ref());
    others.map(|place| place.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Seed,
        oracle::quiet::{Call, nobody_calls_without_cause},
        plan::Trouble,
    };

    #[test]
    fn only_what_befell_a_node_excuses_it() {
        let node = "eu-west-1".to_owned();
        let mut plan = Plan::generate(Seed(1));
        plan.clients.clear();
        plan.troubles = vec![Trouble {
            at_ms: 0,
            lasts_ms: 1,
            what: What::FullDisk { node: node.clone() },
        }];
        let excuses = excuses(&plan);
        assert_eq!(excuses.len(), DISK_FAILS.len());
        assert!(excuses.iter().all(|excuse| excuse.node == node));
        // Two lines of one node, as they were written: the cause, and a heartbeat that was answered
        // when the group had ended for it.
        let calls = [
            "ERROR replication::log::writer: a write to the log failed: this node writes no more \
             error=write data/log: IO error: While fdatasync: Input/output error",
            "ERROR openraft::core::heartbeat::worker: HeartbeatWorker(id=1, target=3) failed to send \
             HeartbeatProgress: target=3, leader_vote: StreamId(3), sending_time: 12:21:20.420423 \
             (heartbeat_round=61) to RaftCore; when:(send HeartbeatProgress)",
        ];
        let calls = calls.map(|said| Call {
            node: node.clone(),
            said: said.to_owned(),
        });
        assert_eq!(nobody_calls_without_cause(&calls, &excuses), Ok(2));
        assert!(nobody_calls_without_cause(&calls, &[]).is_err());
    }
}

//! Replicas of a shard, added and removed while it runs.
//!
//! Every node may be asked; the shard's leader does it. It is answered within seconds: a node that is
//! still given the log does not vote yet, and whoever wants it to asks again.

use std::time::Duration;

use ledger_domain::ShardId;
use replication::{
    raft::{Change, ChangeError, Progress},
    shard::Shard,
    topology::{self, Directory as _},
};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Request, Response, Status};

use super::{Server, deadline::Deadline, refusal};
use crate::api::{
    admin::v1::{ChangeVotersReply, ChangeVotersRequest, admin_client::AdminClient},
    rejection::to_status,
};

/// How long a new replica is waited for in one call.
const PATIENCE: Duration = Duration::from_secs(2);

impl Server {
    /// All nodes that hold a replica of a shard, or may: as the topology has it, and as far as it is
    /// known here who has become a member since.
    pub(super) fn holders(&self, shard: ShardId) -> Vec<u64> {
        let topology = self.directory.topology().shard(shard);
        let mut holders = topology.map(topology::Shard::holders).unwrap_or_default();
        if let Some(local) = self.shards.get(shard) {
            let members = local.group().members();
            let later = members.voters.into_iter().chain(members.learners);
            let later: Vec<_> = later.filter(|node| !holders.contains(node)).collect();
            holders.extend(later);
        }
        holders
    }

    /// Adds a voter, removes one, or both.
    pub(super) async fn change_voters(
        &self,
        request: Request<ChangeVotersRequest>,
    ) -> Result<Response<ChangeVotersReply>, Status> {
        let asked = request.get_ref();
        let shard = ShardId(asked.shard);
        let change = self.change(asked)?;
        let deadline = Deadline::of(&request);
        let until = deadline.patience();
        let changing = self.at_leader(
            shard,
            request,
            deadline,
            |leader, _| self.change_here(leader, change.clone(), until),
            |channel, request| async move { AdminClient::new(channel).change_voters(request).await },
        );
        let late = || {
            refused(&ChangeError::Open(
                "the deadline came before the answer".to_owned(),
            ))
        };
        timeout_at(until, changing)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn change_here(
        &self,
        leader: Shard,
        change: Change,
        until: Instant,
    ) -> Result<ChangeVotersReply, Status> {
        // Half of what is left is for making the change once the new replica is near.
        let patience = until.saturating_duration_since(Instant::now()) / 2;
        let changing = leader.group().change_voters(change, patience.min(PATIENCE));
        let progress = changing.await.map_err(|error| refused(&error))?;
        let (done, matched_index, last_index) = match progress {
            Progress::Done => (true, None, leader.group().applied()),
            Progress::CatchingUp { matched, last } => (false, matched, last),
        };
        Ok(ChangeVotersReply {
            served_by: Some(self.served_by()),
            done,
            matched_index,
            last_index,
        })
    }

    /// What is asked for, by the numbers of nodes that there are.
    fn change(&self, asked: &ChangeVotersRequest) -> Result<Change, Status> {
        let topology = self.directory.topology();
        let shard = topology.shard(ShardId(asked.shard));
        let shard = shard.ok_or_else(|| refusal::unknown_shard(asked.shard))?;
        let named = |name: &str| {
            let mut nodes = topology.nodes.iter();
            nodes.find(|node| node.name == name || node.id.to_string() == name)
        };
        let add = match asked.add.as_str() {
            "" => None,
            name => {
                let node = named(name).filter(|node| node.region == shard.region);
                let node = node.ok_or_else(|| unknown_node(name, shard))?;
                Some((node.id, node.address.clone()))
            }
        };
        let remove = match asked.remove.as_str() {
            "" => None,
            name => {
                // The topology may have forgotten it already.
                let node = named(name).map(|node| node.id).or(name.parse().ok());
                Some(node.ok_or_else(|| unknown_node(name, shard))?)
            }
        };
        if add.as_ref().map(|(node, _)| *node) == remove {
            return Err(refusal::invalid(
                "name a node to add, one to remove, or two",
            ));
        }
        Ok(Change { add, remove })
    }
}

fn unknown_node(name: &str, shard: &topology::Shard) -> Status {
    let message = format!("region {} has no node `{name}`", shard.region);
    let help = "Nothing was changed. Put the node into the topology of every node first.";
    to_status(
        Code::NotFound,
        &refusal::detail("NODE_NOT_FOUND", message, false, help),
    )
}

/// The face of a change that is not made.
fn refused(error: &ChangeError) -> Status {
    let (grpc, code, retryable, help) = match error {
        ChangeError::NotLeader { leader } => return refusal::not_leader(*leader),
        ChangeError::Busy => (
            Code::Aborted,
            "REPLICA_BUSY",
            true,
            "Nothing was changed. Ask again when the other change is made.",
        ),
        ChangeError::Unsafe { .. } => (
            Code::FailedPrecondition,
            "REPLICA_UNSAFE",
            false,
            "Nothing was changed. Bring voters back, or add one that answers, first.",
        ),
        ChangeError::LastVoter(_) => (
            Code::FailedPrecondition,
            "REPLICA_LAST_VOTER",
            false,
            "Nothing was changed. Add another voter first.",
        ),
        ChangeError::Unreachable(_) => (
            Code::Unavailable,
            "REPLICA_UNREACHABLE",
            true,
            "Nothing was changed. Start the node, and see that the leader's topology has its address.",
        ),
        ChangeError::NotHeld(_) => (
            Code::FailedPrecondition,
            "REPLICA_NOT_HELD",
            false,
            "Nothing was changed. Name the node among the shard's `replicas` in its topology and \
             start it again.",
        ),
        ChangeError::Open(_) => (
            Code::DeadlineExceeded,
            "OUTCOME_UNKNOWN",
            true,
            "It may have happened. Ask again: what is made already is not made twice.",
        ),
    };
    let detail = refusal::detail(code, error.to_string(), retryable, help);
    to_status(grpc, &detail)
}

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::group::{Group, GroupError};
use crate::proto::IntroduceReply;

/// How soon a node that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// Who is asked before a group is founded, beside its voters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// The other nodes of the home region. Each must say that it has no log of the group.
    pub at_home: Vec<u64>,
    /// Nodes of other regions. A copy of the log at any that answers shows that there is a group.
    pub abroad: Vec<u64>,
}

impl Group {
    /// Founds the group, unless anybody has any log of it.
    ///
    /// All voters must be asked: one of them may be what is left of a group whose other disks were
    /// lost, and a second founding would forget it. And not only they: the voters that a topology
    /// names now need not be those that the group was founded with, and may all be new. So this
    /// waits until every node of the region is there; it is needed once in the life of a shard.
    pub async fn found(
        self,
        members: BTreeMap<u64, String>,
        witnesses: Witnesses,
    ) -> Result<(), GroupError> {
        let others = members.keys().chain(&witnesses.at_home).copied();
        let others: Vec<u64> = others.filter(|node| *node != self.node_id()).collect();
        while self.0.log.last().is_none() {
            let all = others.iter().chain(&witnesses.abroad);
            let mut told = join_all(all.map(|node| self.peers().meet(*node))).await;
            let knows = |reply: &IntroduceReply| reply.shards.contains(&self.shard());
            if told.iter().flatten().any(knows) {
                // Its leader will tell this one, once it is a member.
                return Ok(());
            }
            told.truncate(others.len());
            if told.iter().all(Option::is_some) {
                return self.initialize(members).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

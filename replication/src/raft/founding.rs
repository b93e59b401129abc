use std::collections::BTreeMap;
use std::time::Duration;

use super::group::{Group, GroupError};

/// How soon a voter that did not answer is asked again.
const AGAIN: Duration = Duration::from_millis(100);

impl Group {
    /// Founds the group, unless any of its voters has any log of it.
    ///
    /// All must be asked: one of them may be what is left of a group whose other disks were lost,
    /// and a second founding would forget it. So this waits until every voter is there; it is
    /// needed once in the life of a shard.
    pub async fn found(self, members: BTreeMap<u64, String>) -> Result<(), GroupError> {
        let others = members.keys().copied();
        let others: Vec<u64> = others.filter(|node| *node != self.node_id()).collect();
        while self.0.log.last().is_none() {
            let mut empty = 0;
            for other in &others {
                match self.peers().meet(*other).await {
                    // Its leader will tell this one.
                    Some(reply) if reply.shards.contains(&self.shard()) => return Ok(()),
                    Some(_) => empty += 1,
                    None => {}
                }
            }
            if empty == others.len() {
                return self.initialize(members).await;
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }
}

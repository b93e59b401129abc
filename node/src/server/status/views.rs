//! The read models of nodes, and making them again.

use std::time::Duration;

use replication::topology::Directory as _;
use replication::view::{Building, CannotBuild};
use tokio::time::{Instant, timeout};
use tonic::{Response, Status};

use crate::{
    api::{
        admin::v1::{self as pb, RebuildViewsReply, RebuildViewsRequest},
        internal::v1::nodes_client::NodesClient,
    },
    server::{Server, refusal},
};

/// How long another node may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

impl Server {
    /// How far the read models are that are made beside those that serve, if any are.
    pub(in crate::server) fn building(&self) -> Option<pb::ViewsBuilding> {
        let building = self.read_models.building()?;
        let (mut folded, mut began, mut records) = (0, 0, 0);
        for (shard, held) in &self.served {
            // Index 0 counts as held before it is there.
            let held = match *held.borrow() {
                0 => 0,
                last => last + 1,
            };
            let of = |next: Option<&u64>| next.copied().unwrap_or(0).min(held);
            folded += of(building.next.get(shard));
            began += of(building.began.get(shard));
            records += held;
        }
        Some(told(&building, folded, began, records))
    }

    /// Begins to make the read models here again. Where that goes on already, nothing is begun.
    pub(super) fn rebuild_views(&self, reason: &str) -> Result<RebuildViewsReply, Status> {
        let why = match reason {
            "" => "an operator asked for it".to_owned(),
            reason => format!("an operator asked for it: {reason}"),
        };
        match self.read_models.rebuild(&why) {
            Ok(()) | Err(CannotBuild::UnderWay) => {}
            Err(CannotBuild::NotGone) => return Err(refusal::rebuild_too_soon()),
            Err(error) => return Err(refusal::not_now(error.to_string())),
        }
        Ok(RebuildViewsReply {
            views: Some(pb::NodeViews {
                region: self.region.to_string(),
                node: self.name.clone(),
                reachable: true,
                generation: self.read_models.generation(),
                building: self.building(),
            }),
        })
    }

    /// The same at any node.
    pub(super) async fn rebuild_views_of(
        &self,
        request: RebuildViewsRequest,
    ) -> Result<Response<RebuildViewsReply>, Status> {
        let name = &request.node;
        if name.is_empty() || *name == self.name {
            return self.rebuild_views(&request.reason).map(Response::new);
        }
        let mut nodes = self.directory.topology().nodes.iter();
        let Some(node) = nodes.find(|node| node.name == *name) else {
            let what = format!("this ledger has no node `{name}`; `meridian status` names them");
            return Err(refusal::invalid(what));
        };
        let unreachable = || refusal::not_now(format!("{name} does not answer"));
        let line = self.peers.line(node.id).map_err(|_| unreachable())?;
        let mut client = NodesClient::new(line.channel());
        let asked = timeout(PATIENCE, client.rebuild_views(request.clone()));
        match asked.await {
            Ok(Ok(reply)) => Ok(reply),
            // It has an answer of its own.
            Ok(Err(status)) if !status.details().is_empty() => Err(status),
            _ => {
                self.peers.suspect(&line);
                Err(unreachable())
            }
        }
    }
}

fn told(building: &Building, folded: u64, began: u64, records: u64) -> pb::ViewsBuilding {
    let running = Instant::now().duration_since(building.since);
    let stopped = building.stopped.iter();
    pb::ViewsBuilding {
        why: building.why.clone(),
        running_ms: millis(running),
        folded,
        records,
        remaining_ms: remaining(running, folded - began, records - folded).map(millis),
        stopped: stopped
            .map(|(shard, cause)| pb::ViewsStopped {
                shard: shard.0,
                cause: cause.clone(),
            })
            .collect(),
    }
}

/// How long the rest takes at the pace so far.
fn remaining(running: Duration, done: u64, left: u64) -> Option<Duration> {
    if done == 0 {
        return None;
    }
    let nanos = running.as_nanos() * u128::from(left) / u128::from(done);
    Some(Duration::from_nanos(
        u64::try_from(nanos).unwrap_or(u64::MAX),
    ))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done_took() {
        let second = Duration::from_secs(1);
        assert_eq!(remaining(second, 0, 10), None);
        assert_eq!(remaining(second, 10, 30), Some(3 * second));
        assert_eq!(remaining(second, 10, 0), Some(Duration::ZERO));
    }
}

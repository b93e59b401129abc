//! Calls whose sender's time is beyond the bound reach neither Raft nor the store.

use replication::{
    proto::{AppendRequest, Ballot, VoteRequest, raft_client::RaftClient},
    raft::{GroupMetrics, Role},
};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::cluster::{ABSURD, Cluster, PATIENCE, SHARD, accepted};

/// A ballot that would end every reign, were it heard.
fn overruling() -> Option<Ballot> {
    Some(Ballot {
        epoch: 9,
        term: 99,
        node: 3,
        committed: true,
    })
}

fn append(time: [u8; 16]) -> AppendRequest {
    AppendRequest {
        shard: SHARD,
        ballot: overruling(),
        time: time.to_vec().into(),
        ..Default::default()
    }
}

fn vote(time: [u8; 16]) -> VoteRequest {
    let ballot = overruling().map(|ballot| Ballot {
        committed: false,
        ..ballot
    });
    VoteRequest {
        shard: SHARD,
        ballot,
        time: time.to_vec().into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_time_is_beyond_the_bound_is_refused() {
    let cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &["before".to_owned()]).await;
    let known = |metrics: GroupMetrics| (metrics.role, metrics.term, metrics.last_log);
    let before = known(leader.group.metrics());
    assert_eq!((before.0, before.1), (Role::Leader, reign.term));

    let other = cluster.replicas.keys().find(|node| **node != reign.node);
    let other = &cluster.replicas[other.expect("there are three")].peers;
    let signature = other.identity().unwrap().signature(reign.node).unwrap();
    let line = other.line(reign.node).unwrap();
    let mut raft = RaftClient::with_interceptor(line.channel(), signature);
    let refused = |status: Status| {
        assert_eq!(
            (status.code(), status.message()),
            (Code::FailedPrecondition, "beyond the bound")
        );
    };
    refused(raft.vote(vote(ABSURD)).await.unwrap_err());
    refused(raft.pre_vote(vote(ABSURD)).await.unwrap_err());
    refused(raft.append(append(ABSURD)).await.unwrap_err());
    let stream = futures_util::stream::iter([append(ABSURD)]);
    let mut replies = raft.stream_append(stream).await.unwrap().into_inner();
    refused(replies.message().await.unwrap_err());
    assert_eq!(known(leader.group.metrics()), before);
    accepted(&leader.group, reign, &["after".to_owned()]).await;

    // The same call in time is heard: what was refused above was refused for its time.
    let heard = raft.append(append([0; 16])).await;
    assert!(heard.is_ok(), "{heard:?}");
    let mut leadership = leader.group.leadership();
    let deposed = leadership.wait_for(|now| now.term.epoch == 9);
    timeout(PATIENCE, deposed).await.unwrap().unwrap();
    cluster.stop().await;
}

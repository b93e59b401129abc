//! Voters that are added and removed while the group runs.

use std::time::Duration;

use replication::raft::{Change, ChangeError, Group, Progress, Standing, Witnesses};
use tokio::time::{sleep, timeout};

use super::cluster::{Cluster, ENTRIES_BEFORE_SNAPSHOT, PATIENCE, accepted};
use super::payloads;

const NEW: u64 = 4;

fn add(cluster: &Cluster, node: u64) -> Change {
    let address = cluster.addresses[&node].clone();
    Change {
        add: Some((node, address)),
        remove: None,
    }
}

fn remove(node: u64) -> Change {
    Change {
        add: None,
        remove: Some(node),
    }
}

/// Asks whoever leads until the change is made.
async fn make(cluster: &Cluster, change: &Change) {
    let making = async {
        loop {
            let (leader, _) = cluster.leader(None).await;
            let made = leader.group.change_voters(change.clone(), PATIENCE).await;
            match made {
                Ok(Progress::Done) => return,
                Ok(Progress::CatchingUp { .. })
                | Err(ChangeError::NotLeader { .. } | ChangeError::Busy) => {}
                Err(error) => panic!("{change:?}: {error}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, making).await.expect("it is made");
}

async fn becomes(group: &Group, standing: Standing) {
    let waiting = async {
        while group.standing() != standing {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{:?} is not {standing:?}", group.standing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_replica_is_given_a_snapshot_and_votes_in_place_of_a_dead_one() {
    let mut cluster = Cluster::start_with_spares(1).await;
    let (leader, reign) = cluster.leader(None).await;
    let count = 4 * ENTRIES_BEFORE_SNAPSHOT as usize;
    let last = accepted(&leader.group, reign, &payloads("before", count)).await[count - 1];
    cluster.journals(last).await;
    for replica in cluster.replicas.values() {
        replica.group.snapshot().await.unwrap();
    }
    let dead = reign.node % 3 + 1;
    cluster.kill(dead).await;

    cluster.start_replica(NEW, 10).await;
    let waiting = &cluster.replicas[&NEW].group;
    assert_eq!(waiting.standing(), Standing::Waiting);
    assert!(!waiting.in_quorum());
    make(&cluster, &add(&cluster, NEW)).await;
    becomes(&cluster.replicas[&NEW].group, Standing::Voter).await;
    make(&cluster, &remove(dead)).await;
    // Made already.
    make(&cluster, &remove(dead)).await;
    make(&cluster, &add(&cluster, NEW)).await;

    let (leader, reign) = cluster.leader(None).await;
    let last = accepted(&leader.group, reign, &payloads("after", 10)).await[9];
    let journals = cluster.journals(last).await;
    assert!(journals.iter().all(|journal| *journal == journals[0]));
    assert_eq!(cluster.replicas[&NEW].journal.restored(), 1);
    let members = leader.group.members();
    assert!(members.voters.contains(&NEW) && !members.voters.contains(&dead));
    assert_eq!((members.voters.len(), members.learners.len()), (3, 0));
    assert!(!members.is_changing);

    // Its vote counts: with it the group outlives another.
    cluster.kill(reign.node).await;
    let (leader, next) = cluster.leader(Some(reign)).await;
    accepted(&leader.group, next, &payloads("later", 10)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_step_puts_a_node_in_the_place_of_another() {
    let mut cluster = Cluster::start_with_spares(1).await;
    cluster.start_replica(NEW, 10).await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", 10)).await;
    let old = reign.node % 3 + 1;
    let replace = Change {
        remove: Some(old),
        ..add(&cluster, NEW)
    };
    make(&cluster, &replace).await;
    let voters = cluster.leader(None).await.0.group.members().voters;
    assert!(voters.contains(&NEW) && !voters.contains(&old) && voters.len() == 3);
    becomes(&cluster.replicas[&old].group, Standing::Removed).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_removed_hands_over_and_disturbs_nobody() {
    let cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", 10)).await;
    let old = leader.group.clone();
    let asked = old.change_voters(remove(reign.node), PATIENCE).await;
    let Err(ChangeError::NotLeader { leader: Some(heir) }) = asked else {
        panic!("a leader removed itself: {asked:?}");
    };
    assert_ne!(heir, reign.node);
    make(&cluster, &remove(reign.node)).await;
    becomes(&old, Standing::Removed).await;

    let (_, before) = cluster.leader(None).await;
    sleep(Duration::from_secs(4)).await;
    let (leader, after) = cluster.leader(None).await;
    assert_eq!(before, after, "nobody has stood for election");
    let voters = leader.group.members().voters;
    assert!(!voters.contains(&reign.node) && voters.len() == 2);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_removed_while_it_was_away_learns_of_it() {
    let mut cluster = Cluster::start().await;
    let (leader, reign) = cluster.leader(None).await;
    let last = accepted(&leader.group, reign, &payloads("before", 10)).await[9];
    cluster.journals(last).await;
    let away = reign.node % 3 + 1;
    cluster.kill(away).await;
    make(&cluster, &remove(away)).await;
    let (leader, before) = cluster.leader(None).await;
    let after = accepted(&leader.group, before, &payloads("after", 1)).await[0];

    cluster.start_replica(away, 10).await;
    let back = cluster.replicas[&away].group.clone();
    // It does not know at first.
    becomes(&back, Standing::Voter).await;
    becomes(&back, Standing::Removed).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(cluster.leader(None).await.1, before);
    assert!(
        back.applied() < after,
        "what it has stays, and nothing is added"
    );

    // And it may come back.
    make(&cluster, &add(&cluster, away)).await;
    becomes(&back, Standing::Voter).await;
    cluster.journals(after).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_would_leave_no_majority_changes_nothing() {
    let mut cluster = Cluster::start_with_spares(1).await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", 1)).await;
    let before = leader.group.members();
    let last = leader.group.metrics().last_log;
    let group = leader.group.clone();
    // Nobody is there.
    let asked = group.change_voters(add(&cluster, NEW), PATIENCE).await;
    assert_eq!(asked, Err(ChangeError::Unreachable(NEW)));

    let (dead, other) = (reign.node % 3 + 1, (reign.node + 1) % 3 + 1);
    cluster.kill(dead).await;
    let refused = async {
        // Until its silence is noticed it counts as answering, and the change may be made: so the
        // first question comes after that.
        sleep(Duration::from_secs(2)).await;
        group.change_voters(remove(other), PATIENCE).await
    };
    let refused = refused.await;
    assert!(
        matches!(refused, Err(ChangeError::Unsafe { .. })),
        "{refused:?}"
    );
    assert_eq!(group.members(), before);
    assert_eq!(group.metrics().last_log, last, "nothing was proposed");
    accepted(&group, reign, &payloads("after", 1)).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_founds_no_second_group() {
    let mut cluster = Cluster::start_with_spares(1).await;
    let (leader, reign) = cluster.leader(None).await;
    accepted(&leader.group, reign, &payloads("before", 1)).await;
    cluster.start_replica(NEW, 10).await;
    let group = cluster.replicas[&NEW].group.clone();
    // As if its topology named it the only voter.
    let alone = [(NEW, cluster.addresses[&NEW].clone())].into();
    let region = Witnesses {
        at_home: vec![1, 2, 3],
        abroad: Vec::new(),
    };
    let founding = group.clone().found(alone, region);
    timeout(PATIENCE, founding).await.unwrap().unwrap();
    // What was founded would show some time after.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(group.standing(), Standing::Waiting);
    assert_eq!(group.metrics().last_log, None);
    cluster.stop().await;
}

//! A shard of one voter, which never idles by itself.

use std::collections::BTreeMap;

use ledger_domain::ShardId;

use crate::shard::*;
use crate::{
    peer::{PeerOptions, Peers},
    raft::{ENTRIES_BEFORE_SNAPSHOT, Timing},
    rocks::RocksDisk,
    world::{Disk as _, Store, SystemClock, TcpNetwork},
};

const PATIENCE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

async fn shard(disk: &RocksDisk) -> Shard {
    shard_with(disk, |writer| WriterOptions {
        idle_min: HOUR,
        idle_max: HOUR,
        ..writer
    })
    .await
}

/// A shard whose writer has options of the test's own.
pub(super) async fn shard_with(
    disk: &RocksDisk,
    options_of: impl FnOnce(WriterOptions) -> WriterOptions,
) -> Shard {
    let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    let log = hub.shard(1).unwrap();
    let nobody = Arc::new(|_| None);
    let peers = Peers::new(Arc::new(TcpNetwork), nobody, PeerOptions::default());
    let transport = Transport::new(1, peers, Arc::new(|| [0; 16]), PATIENCE);
    let options = GroupOptions {
        shard: 1,
        node_id: 1,
        seed: 1,
        timing: Timing::default(),
        entries_before_snapshot: ENTRIES_BEFORE_SNAPSHOT,
    };
    let writer = options_of(WriterOptions::new(ShardId(1), 1, jiff::tz::TimeZone::UTC));
    let clock = Arc::new(SystemClock);
    Shard::start(options, writer, clock, hub, log, transport)
        .await
        .unwrap()
}

pub(super) async fn found(shard: &Shard) {
    let members = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
    shard.group().initialize(members).await.unwrap();
    let mut leadership = shard.group().leadership();
    let leads = leadership.wait_for(|leads| leads.reign.is_some());
    tokio::time::timeout(PATIENCE, leads)
        .await
        .unwrap()
        .unwrap();
}

fn from_now(ahead: Duration) -> HybridTime {
    let ahead = u64::try_from(ahead.as_nanos()).unwrap();
    HybridTime {
        wall_nanos: SystemClock.wall_nanos() + ahead,
        count: 0,
    }
}

async fn close(shard: &Shard, through: HybridTime) -> Result<(), SubmitError> {
    let closing = shard.close_time(through);
    tokio::time::timeout(PATIENCE, closing)
        .await
        .expect("an idle shard closes its time at once")
}

#[tokio::test]
async fn an_idle_leader_closes_a_time_at_once_and_one_that_is_over_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shard = shard(&RocksDisk::new(dir.path().to_owned())).await;
    let now = from_now(Duration::ZERO);
    let early = close(&shard, now).await;
    assert_eq!(early, Err(SubmitError::NotLeader { leader: None }));
    found(&shard).await;

    close(&shard, now).await.unwrap();
    assert!(shard.book().time() > now);
    let applied = shard.book().applied();
    close(&shard, now).await.unwrap();
    assert_eq!(shard.book().applied(), applied, "nothing more is written");

    // Another node's clock may be ahead, within the bound.
    let ahead = from_now(Duration::from_millis(300));
    close(&shard, ahead).await.unwrap();
    assert!(shard.book().time() > ahead);
    let beyond = close(&shard, from_now(HOUR)).await;
    assert!(matches!(beyond, Err(SubmitError::Clock(_))), "{beyond:?}");
    shard.group().shutdown().await;
}

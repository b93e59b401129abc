//! How often an idle shard closes its time, with somebody who wants it and without.

use crate::shard::*;
use crate::world::SystemClock;

use super::closing::{found, shard_with};
use crate::rocks::RocksDisk;

const WHILE: Duration = Duration::from_secs(2);

async fn written(shard: &Shard, time: Duration) -> u64 {
    let before = shard.book().applied();
    tokio::time::sleep(time).await;
    shard.book().applied() - before
}

#[tokio::test]
async fn an_idle_shard_closes_its_time_often_only_while_somebody_wants_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let shard = shard_with(&disk, |writer| WriterOptions {
        idle_min: Duration::from_millis(100),
        idle_max: Duration::from_secs(3_600),
        interest: Duration::from_millis(500),
        ..writer
    })
    .await;
    let nobody = shard.want_freshness();
    assert_eq!(nobody, Err(SubmitError::NotLeader { leader: None }));
    found(&shard).await;
    // After a while of doubling, seconds pass without an entry.
    tokio::time::sleep(4 * WHILE).await;
    let unasked = written(&shard, WHILE).await;
    assert!(unasked <= 1, "{unasked}");

    shard.want_freshness().unwrap();
    let now = SystemClock.wall_nanos();
    tokio::time::sleep(Duration::from_millis(90)).await;
    let closed = shard.book().time().wall_nanos;
    assert!(closed >= now, "the first who asks is not kept waiting");

    let asking = async {
        loop {
            shard.want_freshness().unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let asked = tokio::select! {
        asked = written(&shard, WHILE) => asked,
        never = asking => never,
    };
    // A busy machine may be late, never early.
    assert!((10..=21).contains(&asked), "{asked}");

    tokio::time::sleep(4 * WHILE).await;
    let unasked = written(&shard, WHILE).await;
    assert!(unasked <= 1, "{unasked}");
    shard.group().shutdown().await;
}

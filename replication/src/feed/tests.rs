use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Code, Request};

use super::{FeedService, Feeds};
use crate::log::LogHub;
use crate::proto::FeedRequest;
use crate::proto::feed_server::Feed;
use crate::rocks::RocksDisk;
use crate::scripted_home::ScriptedHome;
use crate::world::{Disk, Durability, Op, Store};

const SHARD: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// A node that serves a home's whole log up to an index.
async fn serving(home: &ScriptedHome, last: u64) -> (TempDir, FeedService, watch::Sender<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksDisk::new(dir.path().to_owned())
        .open(Store::Log)
        .unwrap();
    let hub = LogHub::open(engine).unwrap();
    home.store(&hub, 0..home.next()).await;
    let (served, receiver) = watch::channel(last);
    let feeds = Feeds::default();
    feeds.insert(SHARD, receiver);
    (dir, FeedService::new(hub, feeds), served)
}

async fn follow(
    service: &FeedService,
    shard: u32,
    from: u64,
) -> Result<<FeedService as Feed>::FollowStream, tonic::Status> {
    let request = Request::new(FeedRequest {
        shard,
        from,
        heartbeat_millis: 0,
    });
    Ok(service.follow(request).await?.into_inner())
}

#[tokio::test]
async fn a_feed_gives_what_may_be_served_and_then_waits() {
    let home = ScriptedHome::eventful(SHARD);
    let (_dir, service, served) = serving(&home, 9).await;
    let mut feed = follow(&service, SHARD, 3).await.unwrap();
    let batch = feed.next().await.unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.applied), (7, 9));
    for (received, record) in batch.records.iter().zip(&home.records[3..]) {
        assert_eq!(received.record, record.record);
        assert_eq!(received.head[..], record.head);
    }
    let heartbeat = timeout(PATIENCE, feed.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(heartbeat.records.is_empty());
    served.send_replace(10);
    let batch = timeout(PATIENCE, feed.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!((batch.records.len(), batch.applied), (1, 10));
    drop(served);
    let ended = timeout(PATIENCE, feed.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
}

#[tokio::test]
async fn what_a_feed_cannot_give_is_named() {
    let home = ScriptedHome::eventful(SHARD);
    let (_dir, service, _served) = serving(&home, home.next() - 1).await;
    let unknown = follow(&service, 77, 0).await.err().unwrap();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("shard 77"));
    drop(service);

    let dir = tempfile::tempdir().unwrap();
    let disk = RocksDisk::new(dir.path().to_owned());
    let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
    home.store(&hub, 0..home.next()).await;
    drop(hub);
    // Indexes 4 and 5 are lost from the disk, as a purge before a backfill loses them.
    let engine = disk.open(Store::Log).unwrap();
    let key = |index: u64| [&[0x10, 0, 0, 0, 4][..], &index.to_be_bytes()].concat();
    engine
        .write(vec![Op::DeleteRange(key(4)..key(6))], Durability::Synced)
        .unwrap();
    let hub = LogHub::open(engine).unwrap();
    let (_served, receiver) = watch::channel(home.next() - 1);
    let feeds = Feeds::default();
    feeds.insert(SHARD, receiver);
    let service = FeedService::new(hub, feeds);
    let mut feed = follow(&service, SHARD, 0).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().records.len(), 4);
    let missing = feed.next().await.unwrap().unwrap_err();
    assert_eq!(missing.code(), Code::OutOfRange);
    let message = missing.message();
    assert!(
        message.contains("index 4 of shard 4") && message.contains('6'),
        "{message}"
    );
}

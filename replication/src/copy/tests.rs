use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{CopyOptions, Halt, Places, ShardCopy, Unfit};
use crate::feed::{FeedService, Feeds};
use crate::log::{CopyRecord, LogHub};
use crate::peer::{self, PeerOptions, Peers};
use crate::scripted_home::{ScriptedHome, free_address, hub, tampered};
use crate::world::{Network, SystemEntropy, TcpNetwork};

const SHARD: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// A node of the home, serving its feed on loopback.
struct Source {
    served: watch::Sender<u64>,
    hub: LogHub,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _dir: TempDir,
}

/// Serves feeds at an address, until the sender is gone.
async fn serve(address: &str, hub: &LogHub, feeds: Feeds) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let options = PeerOptions::brisk();
    let service = FeedService::server(hub.clone(), feeds, &options);
    let incoming = TcpNetwork.listen(address).await.unwrap();
    let router = peer::server(&options).add_service(service);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let stopped = async move { drop(stopped.await) };
        peer::serve(router, incoming, stopped, PATIENCE)
            .await
            .unwrap();
    });
    (stop, serving)
}

impl Source {
    async fn start(address: &str, records: &[CopyRecord], last: u64) -> Self {
        let (dir, hub) = hub();
        hub.append_copy(SHARD, records.to_vec()).await.unwrap();
        let (served, receiver) = watch::channel(last);
        let feeds = Feeds::default();
        feeds.insert(SHARD, receiver);
        let (stop, serving) = serve(address, &hub, feeds).await;
        Self {
            served,
            hub,
            stop,
            serving,
            _dir: dir,
        }
    }

    /// Ends its feeds and its server, and frees its address.
    async fn stop(self) {
        drop(self.served);
        drop(self.stop);
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

/// A copy of the home whose nodes, from 1, are at these addresses.
fn copy_from(addresses: &[&str], hub: &LogHub) -> ShardCopy {
    let places = Places {
        home: (1..=addresses.len() as u64).collect(),
        is_abroad: true,
        node: 11,
        region: Vec::new(),
    };
    copy_with(addresses, places, hub)
}

fn copy_with(addresses: &[&str], places: Places, hub: &LogHub) -> ShardCopy {
    let nodes = 1..=addresses.len() as u64;
    let known: BTreeMap<u64, String> = nodes
        .zip(addresses.iter().map(|at| (*at).to_owned()))
        .collect();
    let directory = Arc::new(move |node| known.get(&node).cloned());
    let peers = Peers::new(Arc::new(TcpNetwork), directory, PeerOptions::brisk());
    let options = CopyOptions {
        patience: Duration::from_millis(500),
        backoff_max: Duration::from_millis(200),
        ..CopyOptions::default()
    };
    let entropy = Arc::new(SystemEntropy);
    ShardCopy::start(SHARD, places, hub.clone(), peers, entropy, options).unwrap()
}

async fn reaches(copy: &ShardCopy, index: u64) {
    let mut copied = copy.copied();
    let reached = copied.wait_for(|copied| *copied >= index);
    timeout(PATIENCE, reached)
        .await
        .expect("the copy arrives")
        .unwrap();
}

/// Neither missing nor doubled: record by record, and head by head.
fn assert_copied(hub: &LogHub, home: &ScriptedHome, indexes: u64) {
    let records = hub.read(SHARD, 0..u64::MAX, usize::MAX).unwrap();
    let heads = hub.heads(SHARD, 0..u64::MAX).unwrap();
    let copied: Vec<_> = records
        .into_iter()
        .zip(heads)
        .map(|(record, (_, head))| CopyRecord {
            record: record.record,
            head,
        })
        .collect();
    assert!(
        copied == home.records[..indexes as usize],
        "{} of {indexes}",
        copied.len()
    );
}

#[tokio::test]
async fn a_copy_catches_up_and_resumes_wherever_it_was_cut() {
    let home = ScriptedHome::eventful(SHARD);
    let (first, second) = (free_address(), free_address());
    let (_dir, held) = hub();
    let copy = copy_from(&[&first, &second], &held);
    assert_eq!((copy.last_heard(), *copy.copied().borrow()), (None, 0));
    // Only one of the two is ever up, and each restart goes a little further.
    let mut through = 0;
    for turn in 0..4 {
        let address = if turn % 2 == 0 { &first } else { &second };
        let source = Source::start(address, &home.records, through + 3).await;
        reaches(&copy, through + 3).await;
        source.served.send_replace(through + 30);
        reaches(&copy, through + 30).await;
        through += 30;
        source.stop().await;
    }
    assert_copied(&held, &home, through + 1);
    drop(copy);
    // A new life of the node that keeps the copy.
    let last = home.next() - 1;
    let source = Source::start(&first, &home.records, last).await;
    let copy = copy_from(&[&first], &held);
    reaches(&copy, last).await;
    assert_copied(&held, &home, home.next());
    assert!(copy.last_heard().is_some());
    assert_eq!(copy.status().borrow().home_applied, last);
    source.stop().await;
}

#[tokio::test]
async fn a_copy_leaves_a_node_that_has_nothing_new() {
    let home = ScriptedHome::eventful(SHARD);
    let (first, second) = (free_address(), free_address());
    let behind = Source::start(&first, &home.records, 10).await;
    let ahead = Source::start(&second, &home.records, 40).await;
    let (_dir, held) = hub();
    let copy = copy_from(&[&first, &second], &held);
    reaches(&copy, 40).await;
    assert_copied(&held, &home, 41);
    behind.stop().await;
    ahead.stop().await;
}

#[tokio::test]
async fn a_tampered_record_stops_the_copy_and_is_named() {
    let home = ScriptedHome::eventful(SHARD);
    let mut records = home.records.clone();
    records[20] = tampered(&records[20]);
    let address = free_address();
    let source = Source::start(&address, &records, home.next() - 1).await;
    assert!(
        source.hub.read(SHARD, 20..21, 1).is_ok(),
        "its frame is whole"
    );
    let (_dir, held) = hub();
    let copy = copy_from(&[&address], &held);
    let mut status = copy.status();
    let halted = status.wait_for(|status| status.halt.is_some());
    timeout(PATIENCE, halted).await.unwrap().unwrap();
    let halt = copy.halt().unwrap();
    assert!(matches!(
        halt,
        Halt::Unfit {
            shard: SHARD,
            index: 20,
            node: 1,
            cause: Unfit::Head { .. }
        }
    ));
    assert!(
        halt.to_string()
            .starts_with("shard 4, index 20, as node 1 sent it"),
        "{halt}"
    );
    assert_eq!(*copy.copied().borrow(), 19);
    assert_copied(&held, &home, 20);
    source.stop().await;
}

/// A region's node for which the neighbour comes first: the home is node 1, the neighbour node 2.
fn second_to_the_neighbour() -> Places {
    let me = (11..).find(|me| super::order(SHARD, &[2, *me])[0] == 2);
    let node = me.unwrap();
    Places {
        home: vec![1],
        is_abroad: true,
        node,
        region: vec![2, node],
    }
}

#[tokio::test]
async fn a_copy_is_passed_on_and_the_home_is_heard_when_it_no_longer_is() {
    let home = ScriptedHome::eventful(SHARD);
    let (at_home, beside) = (free_address(), free_address());
    let source = Source::start(&at_home, &home.records, 30).await;
    let (_first_dir, first_hub) = hub();
    let first = copy_from(&[&at_home], &first_hub);
    reaches(&first, 30).await;
    let feeds = Feeds::default();
    feeds.pass_on(&first);
    let (stop, passing_on) = serve(&beside, &first_hub, feeds.clone()).await;

    let (_dir, held) = hub();
    let second = copy_with(&[&at_home, &beside], second_to_the_neighbour(), &held);
    reaches(&second, 30).await;
    source.served.send_replace(60);
    reaches(&second, 60).await;
    let status = second.status().borrow().clone();
    assert_eq!((status.node, &status.through[..]), (Some(2), &[2][..]));
    assert_eq!(status.home_applied, 60);
    assert_eq!(second.received().across.get(), 0);
    assert!(second.received().within.get() >= first.received().across.get() / 2);

    // The neighbour is gone.
    feeds.close();
    drop(stop);
    timeout(PATIENCE, passing_on).await.unwrap().unwrap();
    source.served.send_replace(90);
    reaches(&second, 90).await;
    assert!(second.status().borrow().hears_home());
    assert_copied(&held, &home, 91);
    drop((first, second));
    source.stop().await;
}

#[tokio::test]
async fn a_neighbour_that_tampers_is_left_and_the_copy_goes_on() {
    let home = ScriptedHome::eventful(SHARD);
    let mut records = home.records.clone();
    records[20] = tampered(&records[20]);
    let (at_home, beside) = (free_address(), free_address());
    let last = home.next() - 1;
    let source = Source::start(&at_home, &home.records, last).await;
    let neighbour = Source::start(&beside, &records, last).await;
    let (_dir, held) = hub();
    let copy = copy_with(&[&at_home, &beside], second_to_the_neighbour(), &held);
    reaches(&copy, last).await;
    assert_eq!(copy.halt(), None);
    assert!(copy.received().within.get() > 0 && copy.received().across.get() > 0);
    assert_copied(&held, &home, home.next());
    drop(copy);
    source.stop().await;
    neighbour.stop().await;
}

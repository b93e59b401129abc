//! What crosses between two regions: each record once, whoever dies; and everything arrives.
//! `--nocapture` shows the bytes and the times.

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../failover/processes.rs"]
mod processes;
mod readers;
#[allow(dead_code, reason = "its own test uses the rest")]
#[path = "../nodes/metrics/scrape.rs"]
mod scrape;

use std::{process::Command, time::Duration};

use cluster::{Cluster, Region};
use processes::{Processes, Tellers};
use readers::{FAR, Heard, Reader, Watched, until};
use tokio::time::{Instant, sleep};

const TELLERS: usize = 4;
const ROUND_TRIP_MS: u64 = 40;
/// What is asserted of times that are printed too: machines that run tests are busy.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shards_history_crosses_once_and_whoever_dies_is_succeeded() {
    let mut processes = Processes::start_with(&[FAR], ROUND_TRIP_MS).await;
    let far: Vec<_> = processes
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.region == FAR.name)
        .map(|(place, _)| place)
        .collect();
    let readers = |processes: &Processes, without: usize| -> Vec<Reader> {
        let places = far.iter().filter(|place| **place != without);
        let metrics = places.map(|place| processes.members[*place].metrics.clone());
        metrics.map(Reader).collect()
    };
    let all = readers(&processes, usize::MAX);
    let hears = Heard::by_one(&all).await;
    let first = far[hears];

    let tellers = Tellers::start(&processes, TELLERS).await;
    let (before, from) = (Heard::of(&all).await, tellers.count());
    tellers.go_on(400).await;
    let (after, to) = (Heard::of(&all).await, tellers.count());
    let [across, within] = after.since(&before);
    let transfers = (to - from) as u64;
    println!(
        "{} bytes cross per transfer, {} are passed on; {} crossed when each node heard the home",
        across / transfers,
        within / transfers,
        across * all.len() as u64 / transfers,
    );
    assert!(
        across > 0 && 10 * within > 18 * across,
        "{across}, {within}"
    );

    // Its process ends; another succeeds it; it comes back and is followed again.
    let others = readers(&processes, first);
    let watched = Watched::start(&others);
    tellers.go_on(50).await;
    let killed = Instant::now();
    processes.members[first].kill();
    until("another hears the home", async || {
        Heard::of(&others).await.nodes.len() == 1
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    let pauses = watched.pauses(killed);
    println!("the others went without news after kill -9: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause < SOON), "{pauses:?}");
    drop(watched);
    processes.members[first].start();
    until("it is followed again", async || {
        Reader::serves(&all).await && Heard::of(&all).await.nodes == [hears]
    })
    .await;

    // It stops without a word.
    let watched = Watched::start(&others);
    tellers.go_on(50).await;
    let stopped = Instant::now();
    processes.members[first].signal("-STOP");
    sleep(Duration::from_secs(4)).await;
    let pauses = watched.pauses(stopped);
    println!("the others went without news after SIGSTOP: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause < SOON), "{pauses:?}");
    assert_eq!(Heard::of(&others).await.nodes.len(), 1);
    processes.members[first].signal("-CONT");
    until("it is followed again", async || {
        Heard::of(&all).await.nodes == [hears]
    })
    .await;
    drop(watched);

    // Every index is there, once, and follows from the one before.
    tellers.go_on(50).await;
    tellers.stop().await;
    let home = Reader(processes.members[0].metrics.clone());
    until("the copies are complete", async || {
        let applied = home.applied().await;
        let copied = Heard::of(&all).await.indexes;
        copied.iter().all(|copied| *copied == applied)
    })
    .await;
    for member in processes.members.iter_mut() {
        member.stop();
    }
    for place in &far {
        let verified = Command::new(env!("CARGO_BIN_EXE_meridian"))
            .arg("verify")
            .arg(processes.members[*place].data())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{said}");
    }
}

/// The home, in the cluster of one process.
const HOME: Region = Region {
    name: processes::HOME.name,
    time_zone: "UTC",
    nodes: 1,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_home_keeps_nobody_waiting_and_follows_others() {
    let cluster = Cluster::start_apart(&[HOME, FAR], ROUND_TRIP_MS).await;
    let far = cluster
        .nodes()
        .iter()
        .filter(|node| node.region == FAR.name);
    let far: Vec<_> = far.collect();
    let all: Vec<_> = far
        .iter()
        .map(|node| Reader(node.metrics.clone()))
        .collect();
    let hears = Heard::by_one(&all).await;
    let cut = far[hears].id;
    let home = cluster.at(HOME.name);
    let account = &home.open(HOME.name, "a").await;

    let watched = Watched::start(&all);
    let begun = Instant::now();
    cluster.cut_off(cut);
    let mut deposits = 0;
    while begun.elapsed() < Duration::from_secs(12) {
        deposits += 1;
        home.deposit(&format!("d{deposits}"), account, 1)
            .await
            .unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    let pauses = watched.pauses(begun);
    println!(
        "when node {cut} was cut off from the home, nodes {:?} went without news: {pauses:?}",
        far.iter().map(|node| node.id).collect::<Vec<_>>()
    );
    assert!(pauses.iter().all(|pause| *pause < SOON), "{pauses:?}");
    let now = Heard::of(&all).await;
    assert!(now.nodes.len() == 1 && now.nodes != [hears], "{now:?}");

    cluster.reconnect(cut);
    until("it is followed again", async || {
        Heard::of(&all).await.nodes == [hears]
    })
    .await;
    drop(watched);
    cluster.shutdown().await;
}

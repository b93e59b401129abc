//! What a node that dies, stops or has a slow disk costs the others.
//!
//! The test that always runs asserts causes, not times. The others measure, and take a while:
//! `cargo test --release --workspace --test failover -- --ignored --nocapture --test-threads 1`.

#[path = "../cluster/mod.rs"]
mod cluster;
mod processes;

use std::time::Duration;

use processes::{Processes, Tellers};
use tokio::time::{Instant, sleep};

const TELLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_succeeded_because_its_lines_closed() {
    let mut processes = Processes::start().await;
    let tellers = Tellers::start(&processes, TELLERS).await;
    tellers.go_on(100).await;
    let [first, _, _] = processes.elections();

    // A stopped process keeps its lines: nobody stands for that.
    let leader = processes.leader().await;
    processes.members[leader].signal("-STOP");
    sleep(Duration::from_millis(500)).await;
    processes.members[leader].signal("-CONT");
    tellers.go_on(100).await;
    assert_eq!(processes.elections(), [first, 0, 0]);

    processes.members[leader].kill();
    tellers.go_on(100).await;
    let [leads, stands, retires] = processes.elections();
    assert!(stands >= 1, "the time-out was not waited for");
    assert_eq!((leads, retires), (first + 1, 0));
    assert_ne!(processes.leader().await, leader);
    tellers.stop().await;
}

/// Seconds that the long measurements take, if the environment says so.
fn seconds(default: u64) -> Duration {
    let told = std::env::var("MERIDIAN_SECONDS").ok();
    let told = told.and_then(|told| told.parse().ok());
    Duration::from_secs(told.unwrap_or(default))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn pauses_of_writes_by_kind_of_failure() {
    let mut processes = Processes::start().await;
    let tellers = Tellers::start(&processes, TELLERS).await;
    let calm = Duration::from_secs(4);
    for round in 0..5 {
        sleep(calm).await;
        let leader = processes.leader().await;
        let begun = Instant::now();
        processes.members[leader].kill();
        sleep(calm).await;
        println!(
            "round {round}: kill -9 of the leader: {:?}",
            tellers.longest_pause(begun)
        );
        processes.members[leader].start();
        sleep(calm).await;

        let leader = processes.leader().await;
        let begun = Instant::now();
        processes.members[leader].signal("-STOP");
        sleep(2 * calm).await;
        println!(
            "round {round}: SIGSTOP of the leader: {:?}",
            tellers.longest_pause(begun)
        );
        processes.members[leader].signal("-CONT");
        sleep(calm).await;

        let before = tellers.count();
        sleep(calm).await;
        let quiet = tellers.count() - before;
        let leader = processes.leader().await;
        let follower = (leader + 1) % processes.members.len();
        let memory = processes.members[leader].memory();
        let begun = Instant::now();
        processes.members[follower].signal("-STOP");
        // The tellers whose node it was find another one first.
        sleep(calm).await;
        let settled = tellers.count();
        sleep(calm).await;
        let stopped = tellers.count() - settled;
        println!(
            "round {round}: SIGSTOP of a follower: {:?}; then {stopped} transfers where {quiet} were; the leader had {memory} MiB and has {}",
            tellers.longest_pause(begun),
            processes.members[leader].memory(),
        );
        processes.members[follower].signal("-CONT");
    }
    println!(
        "leaders, stood at once, retired: {:?}",
        processes.elections()
    );
    tellers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn stalls_of_a_second_under_load_move_no_leader() {
    let processes = Processes::start().await;
    let tellers = Tellers::start(&processes, 64).await;
    tellers.go_on(100).await;
    let before = processes.elections();
    let leader = processes.leader().await;
    let end = Instant::now() + seconds(120);
    let (begun, mut stalls) = (Instant::now(), 0);
    while Instant::now() < end {
        let member = &processes.members[(leader + stalls) % processes.members.len()];
        member.signal("-STOP");
        sleep(Duration::from_secs(1)).await;
        member.signal("-CONT");
        stalls += 1;
        sleep(Duration::from_secs(4)).await;
    }
    println!(
        "{stalls} stalls of 1 s in {:?}, {} transfers, longest pause {:?}, elections {before:?} -> {:?}",
        begun.elapsed(),
        tellers.count(),
        tellers.longest_pause(begun),
        processes.elections(),
    );
    assert_eq!(processes.elections(), before, "nobody moved");
    tellers.stop().await;
}

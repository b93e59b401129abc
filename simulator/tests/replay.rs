//! A run is a function of its seed, whatever ran before it in the process.
//!
//! The hosts here are not nodes. They use each seam once, in ways that would show any leak of the
//! real world: hash order, entropy, timers, `select!`, many tasks dropped at a crash.

use std::{
    collections::HashMap,
    future, io,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rand::Rng;
use replication::world::{Connection, Durability, Op, Store};
use simulator::{
    Seed,
    determinism::run,
    simulation::{
        Cause, ClientContext, Disturbance, Failure, Fault, HostContext, Simulation, Way, start_with,
    },
    topology::Topology,
    trace::Trace,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tokio_stream::StreamExt;

const PORT: u16 = 7000;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn cut_off(region: &str) -> Disturbance {
    let way = Way::Both;
    let region = region.to_owned();
    Disturbance::CutOff { region, way }
}

fn node(name: &str) -> String {
    name.to_owned()
}

/// Numbers every message it gets and answers with the number. Every third number is synced.
async fn echo_server(context: HostContext) -> turmoil::Result {
    let store = context.world.disk.open(Store::Log)?;
    let mut kept = 0_u64;
    store.scan(&[]..&[0xff; 16], &mut |_, _| {
        kept += 1;
        ControlFlow::Continue(())
    })?;
    let wall = context.world.clock.wall_nanos();
    context
        .trace
        .record(format!("boot {} with {kept} kept at {wall}", context.boot));

    // Hash order and drop order are both easily left to chance.
    let shuffled: HashMap<u64, ()> = (0..20).map(|key| (key, ())).collect();
    context.trace.record(format!(
        "hash order {:?}",
        shuffled.keys().collect::<Vec<_>>()
    ));
    for task in 0..13 {
        let dying = Dying(task, context.clone());
        tokio::spawn(async move {
            let _dying = dying;
            future::pending::<()>().await;
        });
    }

    let kept = Arc::new(AtomicU64::new(kept));
    let mut incoming = context
        .world
        .network
        .listen(&format!("{}:{PORT}", context.name))
        .await?;
    tracing::info!(port = PORT, "listening");
    while let Some(connection) = incoming.next().await {
        let mut connection = connection?;
        let (context, store, kept) = (context.clone(), store.clone(), kept.clone());
        tokio::spawn(async move {
            while let Ok(message) = connection.read_u64().await {
                let number = 1 + kept.fetch_add(1, Ordering::Relaxed);
                let put = Op::Put(number.to_be_bytes().to_vec(), Bytes::new());
                let durability = match number % 3 {
                    0 => Durability::Synced,
                    _ => Durability::Later,
                };
                store
                    .write(vec![put], durability)
                    .expect("no fault is injected here");
                let wait = context.world.entropy.next_u64() % 3;
                sleep(millis(wait)).await;
                context
                    .trace
                    .record(format!("message {message:x} is number {number}"));
                if connection.write_u64(number).await.is_err() {
                    break;
                }
            }
        });
    }
    Ok(())
}

/// Shows in which order the tasks of a crashed host were dropped.
struct Dying(u32, HostContext);

impl Drop for Dying {
    fn drop(&mut self) {
        self.1.trace.record(format!("task {} dropped", self.0));
    }
}

async fn echo_client(context: ClientContext, until: Duration) -> turmoil::Result {
    let mut rng = context.seed.rng();
    let mut connection: Option<Box<dyn Connection>> = None;
    while turmoil::sim_elapsed() < Some(until) {
        let server = format!("eu-1:{PORT}");
        let asked = timeout(millis(100), async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => context.network.connect(&server).await?,
            };
            open.write_u64(rng.random()).await?;
            let answer = tokio::select! {
                answer = open.read_u64() => answer?,
                () = sleep(millis(95)) => return Err(io::ErrorKind::TimedOut.into()),
            };
            Ok::<_, io::Error>((open, answer))
        })
        .await;
        match asked {
            Ok(Ok((open, answer))) => {
                context.trace.record(format!("answer {answer}"));
                connection = Some(open);
            }
            Ok(Err(error)) => context.trace.record(format!("failed: {:?}", error.kind())),
            Err(_) => context.trace.record("no answer in time"),
        }
        sleep(millis(rng.random_range(1..20))).await;
    }
    Ok(())
}

fn two_regions() -> Topology {
    Topology::empty()
        .region("eu", 2)
        .region("us", 1)
        .round_trip("eu", "us", millis(40))
}

/// Plays two seconds with a power cut, a kill, a region cut off and a skewed clock.
fn play(seed: Seed) -> Vec<String> {
    let played = run(seed, || {
        let trace = Trace::in_memory();
        trace.clone().with_tracing_events(tracing::Level::INFO, || {
            let start = start_with(echo_server);
            let mut simulation = Simulation::new(seed, two_regions(), trace.clone(), start);
            for (region, name) in [("eu", "near"), ("us", "far")] {
                simulation.client(region, name, |context| echo_client(context, millis(2000)));
            }
            let faults = [
                (300, Fault::PowerCut { node: node("eu-1") }),
                (500, Fault::Start { node: node("eu-1") }),
                (800, Fault::Disturb(cut_off("us"))),
                (
                    1000,
                    Fault::SetSkew {
                        node: node("eu-1"),
                        nanos: -5_000_000,
                    },
                ),
                (1200, Fault::Kill { node: node("eu-1") }),
                (1300, Fault::Start { node: node("eu-1") }),
                (1500, Fault::Calm(cut_off("us"))),
            ];
            for (at, fault) in faults {
                simulation.plan(millis(at), fault);
            }
            simulation.run_until_clients_end(millis(5000))?;
            Ok::<_, Failure>(trace.to_lines())
        })
    });
    played.expect("no panic").expect("no failure")
}

fn assert_same(first: &[String], second: &[String]) {
    for (number, (a, b)) in first.iter().zip(second).enumerate() {
        assert_eq!(a, b, "the runs part at line {}", number + 1);
    }
    assert_eq!(first.len(), second.len());
}

/// Moves tokio's counter of task ids, as anything else in the process may. In a run of its own, for
/// the tests of this file share the counter.
fn spawn_tasks(count: u64) {
    let spawned = run(Seed(0), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        for _ in 0..count {
            runtime.spawn(async {});
        }
        Ok::<_, io::Error>(())
    });
    spawned
        .expect("no panic")
        .expect("build a runtime without drivers");
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for seed in [1, 2, 3].map(Seed) {
        let first = play(seed);
        let other = play(Seed(seed.0 + 100));
        spawn_tasks(seed.0);
        let again = play(seed);
        assert_same(&first, &again);
        assert!(
            first
                .iter()
                .any(|line| line.ends_with("us-1 INFO replay listening port=7000")),
            "an event of tracing is missing, or misses its host"
        );
        assert_ne!(first, other);
    }
}

#[test]
fn a_power_cut_loses_only_unsynced_writes_and_peers_hear_nothing_of_it() {
    let mut losses = Vec::new();
    for seed in 0..8 {
        let lines = play(Seed(seed));
        let number = |what: &str| -> Vec<u64> {
            lines
                .iter()
                .filter_map(|line| line.split_once(what)?.1.split(' ').next()?.parse().ok())
                .collect()
        };
        let kept = number("eu-1 boot 2 with ")[0];
        let lost = number("eu-1 lost ")[0];
        let answered = lines
            .iter()
            .take_while(|line| !line.contains("power cut"))
            .filter(|line| line.contains(" eu-1 message "))
            .count() as u64;
        assert!(lost <= 2, "every third write is synced, {lost} were lost");
        assert!(
            kept + lost >= answered,
            "{kept} kept, {lost} lost, {answered} answered"
        );
        losses.push(lost);

        assert!(lines.iter().any(|line| line.contains("world cut off us")));
        assert!(
            lines
                .iter()
                .any(|line| line.contains("far no answer in time")
                    || line.contains("far failed: ConnectionRefused")
                    || line.contains("far failed: TimedOut"))
        );
        let errors_between = |from: &str, to: &str| -> Vec<String> {
            lines
                .iter()
                .skip_while(|line| !line.contains(from))
                .take_while(|line| !line.contains(to))
                .filter_map(|line| Some(line.split_once("near failed: ")?.1.to_owned()))
                .collect()
        };
        let unpowered = errors_between("world power cut eu-1", "world start eu-1");
        assert!(
            unpowered.iter().all(|error| error == "TimedOut"),
            "a machine without power said something: {unpowered:?}"
        );
        let killed = errors_between("world kill eu-1", "eu-1 boot 3");
        assert_ne!(
            killed[0], "TimedOut",
            "a killed process's connections are closed"
        );
        // The operating system outlives the process, and keeps what was written.
        let before_kill = lines
            .iter()
            .take_while(|line| !line.contains("world kill"))
            .filter_map(|line| line.split_once(" is number ")?.1.parse::<u64>().ok())
            .max()
            .expect("messages came before the kill");
        assert!(number("eu-1 boot 3 with ")[0] >= before_kill);
    }
    assert!(
        losses.iter().any(|lost| *lost > 0),
        "no seed lost anything: {losses:?}"
    );
}

#[test]
fn a_panic_in_a_task_is_a_failure_with_its_seed() {
    let failure = run(Seed(9), || {
        let start = start_with(|context: HostContext| async move {
            tokio::spawn(async move {
                sleep(millis(20)).await;
                assert!(context.node_id != 2, "the second node gives up");
            });
            future::pending().await
        });
        let trace = Trace::in_memory();
        let mut simulation = Simulation::new(Seed(9), two_regions(), trace, start);
        simulation.run_until(millis(100))
    });
    let failure = failure
        .expect("the panic is caught")
        .expect_err("a task panicked");
    assert_eq!(failure.seed, Seed(9));
    assert!((millis(15)..millis(25)).contains(&failure.at), "{failure}");
    assert!(
        matches!(&failure.cause, Cause::Panic(text) if text.contains("the second node gives up"))
    );
}

#[test]
fn messages_take_half_a_round_trip_each_way() {
    let trips = run(Seed(1), || {
        let trace = Trace::in_memory();
        let start = start_with(echo_server);
        let mut simulation = Simulation::new(Seed(1), two_regions(), trace.clone(), start);
        for (region, name) in [("eu", "near"), ("us", "far")] {
            simulation.client(region, name, |context: ClientContext| async move {
                sleep(millis(10)).await;
                let server = format!("eu-2:{PORT}");
                let mut open = context.network.connect(&server).await?;
                let before = turmoil::elapsed();
                open.write_u64(1).await?;
                open.read_u64().await?;
                let trip = turmoil::elapsed() - before;
                context.trace.record(format!("trip {}", trip.as_millis()));
                Ok(())
            });
        }
        simulation
            .run_until_clients_end(millis(1000))
            .map(|()| trace.to_lines())
    });
    let lines = trips.expect("no panic").expect("no failure");
    // The server thinks for up to two milliseconds; each way is rounded up to the next tick.
    let trip = |client: &str| -> u128 {
        let of_client = lines
            .iter()
            .find_map(|line| line.split_once(&format!("{client} trip ")));
        of_client
            .expect("the client measured")
            .1
            .parse()
            .expect("a number")
    };
    assert!((1..=5).contains(&trip("near")), "{}", trip("near"));
    assert!((40..=45).contains(&trip("far")), "{}", trip("far"));
}

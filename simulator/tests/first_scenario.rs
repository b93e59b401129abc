//! The scenario `first`, as a person plays it: the binary, a seed, a trace.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// Long enough for all faults, each of them longer than an election.
const SECONDS: &str = "60";

/// Plays a seed in a process of its own, and returns the report.
fn play(seed: u64, trace: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_meridian-sim"))
        .args(["run", "--scenario", "first", "--json"])
        .args(["--seed", &seed.to_string(), "--seconds", SECONDS])
        .arg("--trace")
        .arg(trace)
        .output()
        .expect("start meridian-sim");
    let report = String::from_utf8(output.stdout).expect("a report is text");
    assert!(
        output.status.success(),
        "seed {seed}: {report} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&report).expect("a report is JSON")
}

fn lines(trace: &Path) -> impl Iterator<Item = String> {
    let file = File::open(trace).expect("a trace was written");
    BufReader::new(file)
        .lines()
        .map(|line| line.expect("a trace is text"))
}

fn assert_same(first: &Path, second: &Path) {
    let mut others = lines(second);
    for (number, line) in lines(first).enumerate() {
        assert_eq!(
            Some(line),
            others.next(),
            "the runs part at line {}",
            number + 1
        );
    }
    assert_eq!(others.next(), None, "the second run has more to tell");
}

#[test]
fn all_promises_hold_and_a_seed_replays_line_by_line() {
    let directory = tempfile::tempdir().expect("a directory for traces");
    let [one, again, two] = ["one", "again", "two"].map(|name| directory.path().join(name));
    let report = play(1, &one);
    assert_eq!(report["failure"], Value::Null);
    assert_eq!(report, play(1, &again));
    assert_same(&one, &again);
    for event in ["a snapshot is fetched", "history is fetched"] {
        let came = lines(&one).any(|line| line.contains(event));
        assert!(came, "nobody was away long enough: {event}");
    }

    // A run in which nothing happens keeps every promise too.
    for what in [
        "accepted",
        "acknowledged in the outage",
        "arrived in another shard",
        "read",
        "rejected",
        "returned",
        "told again",
    ] {
        assert!(
            report["counts"][what].as_u64() > Some(0),
            "{what}: {report}"
        );
    }
    for what in [
        "world power cut",
        " boot 2",
        "world estrange",
        "world reconcile",
        "world cut off",
        "world heal",
    ] {
        assert!(lines(&one).any(|line| line.contains(what)), "no {what}");
    }

    let other = play(2, &two);
    assert_eq!(other["failure"], Value::Null);
    assert_ne!(report["trace"], other["trace"]);
}

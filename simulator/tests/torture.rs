//! A short torture of the real program, without anything that needs root. `make torture` is the long
//! one, and `make test` has two minutes with all that the machine allows.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Tortures for so many seconds, without root.
fn torture(directory: &Path, seconds: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian-sim"))
        .args(["torture", "--without-root", "--json", "--seconds", seconds])
        .args(more)
        .arg("--dir")
        .arg(directory.join("nodes"))
        .output()
        .expect("start meridian-sim")
}

#[test]
fn a_program_that_does_not_sync_would_be_noticed() {
    // Real machines are not the same twice: what a cut takes may be what nobody was told yet.
    let mut survived = Vec::new();
    for seed in ["3", "4", "5", "6"] {
        let directory = tempfile::tempdir().expect("a directory for the nodes");
        let output = torture(directory.path(), "25", &["--lying-disks", "--seed", seed]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code() == Some(1) {
            let told = format!("FAILED with seed {seed}");
            assert!(said.starts_with(&told), "{said}");
            return;
        }
        survived.push(said);
    }
    panic!("nobody has noticed: {survived:#?}");
}

#[test]
fn nothing_acknowledged_is_lost_by_processes_that_are_killed() {
    let directory = tempfile::tempdir().expect("a directory for the nodes");
    let output = torture(directory.path(), "15", &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{progress}");
    assert!(progress.contains("left out: "), "{progress}");
    let survived: Value = serde_json::from_str(&said).expect("the result is JSON");
    let count = |pointer: &str| {
        survived
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    assert!(count("/receipts") > 0, "nobody was told anything");
    let kills = ["leaders", "followers", "copies"];
    let killed: u64 = kills
        .iter()
        .map(|role| count(&format!("/kills/{role}")))
        .sum();
    assert!(killed + count("/stops") >= 3, "{survived}");
    assert!(count("/verified") > 0, "no directory was verified");
    for oracle in [
        "conservation",
        "acknowledged",
        "linearizable",
        "version_order",
        "stated",
        "as_of",
        "views",
        "agreement",
        "one_writer",
        "no_overdraft",
        "settled",
        "sealed",
        "live",
        "quiet",
    ] {
        let judged = survived.pointer(&format!("/judged/{oracle}"));
        assert!(judged.is_some(), "{oracle} did not judge: {survived}");
    }
}

//! The workloads that hunt for one anomaly each, in simulated worlds and on real processes. That their
//! judges would notice is shown beside them, in `oracle::anomalies`.

use std::process::{Command, Output};

use serde_json::Value;
use simulator::{
    Seed,
    plan::{Anomaly, Plan, Role},
};

fn meridian_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meridian-sim"))
        .args(arguments)
        .output()
        .expect("start meridian-sim")
}

/// What a run has told as JSON; it must have gone well.
fn told(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stdout);
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{progress}");
    serde_json::from_str(&said).expect("the result is JSON")
}

fn judged(told: &Value, anomaly: Anomaly) -> u64 {
    let judged = &told["judged"][anomaly.name()];
    judged.as_u64().unwrap_or(0)
}

#[test]
fn nobody_is_shown_an_anomaly_in_a_world() {
    for anomaly in Anomaly::ALL {
        for seed in ["1", "2", "3"] {
            let run = [
                "run",
                "--scenario",
                anomaly.name(),
                "--json",
                "--seed",
                seed,
            ];
            let told = told(&meridian_sim(&run));
            assert_eq!(told["failure"], Value::Null, "{anomaly}");
            assert!(judged(&told, anomaly) >= 10, "{anomaly}: {told}");
        }
    }
}

#[test]
fn nobody_is_shown_an_anomaly_by_real_processes() {
    for anomaly in Anomaly::ALL {
        let directory = tempfile::tempdir().expect("a directory for the nodes");
        let nodes = directory.path().join("nodes");
        let nodes = nodes.to_str().expect("temporary files have plain names");
        let torture = ["torture", "--without-root", "--json", "--seconds", "10"];
        let what = ["--workload", anomaly.name(), "--dir", nodes];
        let told = told(&meridian_sim(&[&torture[..], &what].concat()));
        assert!(judged(&told, anomaly) >= 5, "{anomaly}: {told}");
    }
}

#[test]
fn a_plan_of_hunters_can_be_stored_and_others_are_as_they_were() {
    let mut plan = Plan::generate(Seed(1));
    let before = serde_json::to_string(&plan).expect("a plan is JSON");
    assert!(!before.contains("hunts"));
    for anomaly in Anomaly::ALL {
        anomaly.set_upon(&mut plan.clients);
        let stored = serde_json::to_string(&plan).expect("a plan is JSON");
        let read: Plan = serde_json::from_str(&stored).expect("and can be read again");
        assert_eq!(plan, read);
        let roles = plan.clients.iter().filter_map(|it| it.habits.hunts);
        let roles: Vec<Role> = roles.map(|hunt| hunt.role).collect();
        assert!(roles.contains(&Role::Writes) && roles.contains(&Role::Looks));
    }
}

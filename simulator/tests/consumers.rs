//! A consumer group in simulated worlds is told everything and in order, whatever goes wrong there and
//! whoever of its members comes and goes.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_group_in_a_world_misses_nothing_up_to_what_it_acknowledged() {
    for seed in ["1", "2"] {
        let run = ["run", "--scenario", "consumers", "--json", "--seed", seed];
        let output = Command::new(env!("CARGO_BIN_EXE_meridian-sim"))
            .args(run)
            .output()
            .expect("start meridian-sim");
        let said = String::from_utf8_lossy(&output.stdout);
        let progress = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{progress}");
        let told: Value = serde_json::from_str(&said).expect("the result is JSON");
        assert_eq!(told["failure"], Value::Null);
        let judged = told["judged"]["told"].as_u64().unwrap_or_default();
        assert!(judged >= 50, "{told}");
    }
}

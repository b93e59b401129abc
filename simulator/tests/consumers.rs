//! Consumer groups in simulated worlds are told everything at least once and in order, whatever goes wrong
//! there and whoever of their members comes and goes.

use std::process::Command;

use serde_json::Value;

#[test]
fn groups_in_a_world_are_told_everything_and_go_on_over_what_was_acknowledged() {
    let mut judged = 0;
    for seed in ["1", "2", "3"] {
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
        judged += told["judged"]["consumed"].as_u64().unwrap_or_default();
    }
    assert!(judged >= 200, "{judged}");
}

//! Read models made again by command.

use serde_json::Value;

use super::program::{Node, OK, REJECTED, USAGE, failing};

fn answer(node: &Node, arguments: &[&str]) -> Value {
    let output = node.ask(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(OK), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn read_models_are_made_again_by_command_and_the_answers_stay() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let deposited = node.ask(&["deposit", &node.account.clone(), "12.50", "USD"]);
    assert_eq!(deposited.status.code(), Some(OK), "{deposited:?}");
    let before = answer(&node, &["views", "list"]);
    assert_eq!(before["nodes"][0]["generation"], 0);
    assert_eq!(before["nodes"][0]["building"], Value::Null);
    let rebuild = ["views", "rebuild", "--reason", "a test"];
    let after = answer(&node, &rebuild);
    assert_eq!(after["nodes"][0]["generation"], 1, "{after}");
    assert_eq!(node.balance(), 1_250);
    let said = node.ask(&["views", "list"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("GENERATION"), "{said}");
    // What served before is kept a while for who still reads it.
    let again = node.with_address(&["views", "rebuild"]);
    let said = failing(&again, REJECTED);
    assert!(said.contains("not gone yet"), "{said}");
    let said = failing(&["views"], USAGE);
    assert!(said.contains("rebuild"), "{said}");
}

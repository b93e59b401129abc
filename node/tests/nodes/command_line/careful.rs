//! Conditions and dry runs as people write them.

use std::fs;

use serde_json::Value;

use super::program::{Node, OK, REJECTED, failing_in_json};

fn answer(node: &Node, arguments: &[&str]) -> Value {
    let output = node.ask(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(OK), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn conditions_are_refused_with_the_actual_value_and_a_dry_run_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    let done = answer(
        &node,
        &["deposit", &account, "12.50 USD", "--if-version", "1"],
    );
    assert_eq!(done["balances_after"][0]["version"], 2);
    assert_eq!(done["dry_run"], false);

    let tried = ["withdraw", &account, "2.50 USD", "--dry-run"];
    let would = answer(&node, &[&tried[..], &["--min-balance", "10.00"]].concat());
    assert_eq!(
        (&would["dry_run"], &would["status"]),
        (&true.into(), &"settled".into())
    );
    assert_eq!(would["balances_after"][0]["posted"]["minor_units"], 1_000);
    let said = node.ask(&tried);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("would be settled"), "{said}");
    assert_eq!(node.balance(), 1_250);

    for (arguments, code, says) in [
        (
            vec!["withdraw", &account, "1 USD", "--if-version", "7"],
            "VERSION_MISMATCH",
            "at version 2, not at 7",
        ),
        (
            vec![
                "withdraw",
                &account,
                "2.51 USD",
                "--min-balance",
                "10.00",
                "--dry-run",
            ],
            "BALANCE_BELOW_MINIMUM",
            "999 minor units would be left",
        ),
        // Of an amount without a currency the account has it.
        (
            vec!["account", "close", &account, "--max-balance", "12.49"],
            "BALANCE_ABOVE_MAXIMUM",
            "1250 minor units",
        ),
    ] {
        let error = failing_in_json(&node.with_address(&arguments), REJECTED);
        assert_eq!(error["code"], code);
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    assert_eq!(node.balance(), 1_250);
    node.stop();
}

#[test]
fn a_file_of_commands_is_done_as_a_whole_or_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    let opened = answer(
        &node,
        &["account", "open", "--currency", "USD", "--beside", &account],
    );
    let other = opened["account"].as_str().unwrap().to_owned();
    let file = data.path().join("group.csv");
    let write = |amount: &str| {
        let lines = [
            "kind,account,to,amount,currency".to_owned(),
            format!("deposit,{account},,10.00,USD"),
            format!("transfer,{account},{other},{amount},USD"),
        ];
        fs::write(&file, lines.join("\n")).unwrap();
        file.to_str().unwrap()
    };
    let file = write("10.01");
    let error = failing_in_json(&node.with_address(&["group", file]), REJECTED);
    assert_eq!(error["code"], "INSUFFICIENT_FUNDS");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("command 2 of 2: "), "{message}");
    assert_eq!(node.balance(), 0);

    let file = write("4.00");
    let would = answer(&node, &["group", file, "--dry-run"]);
    assert_eq!(would["receipts"][0]["dry_run"], true);
    assert_eq!(node.balance(), 0);
    for _ in 0..2 {
        let done = answer(&node, &["group", file, "--key", "once"]);
        assert_eq!(done["receipts"].as_array().unwrap().len(), 2);
        assert_eq!(node.balance(), 600);
    }
    node.stop();
}

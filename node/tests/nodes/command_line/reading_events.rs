//! `meridian events`.

use serde_json::Value;

use super::program::{Node, OK, REJECTED, USAGE, failing};

pub fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_command_line_prints_events_and_goes_on_by_a_cursor() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    for amount in ["1.00 USD", "2.00 USD", "4.00 USD"] {
        let paid = node.ask(&["deposit", &account, amount]);
        assert_eq!(paid.status.code(), Some(OK), "{paid:?}");
    }
    let all = ["events", "--account", &account, "--until-now"];
    let told = node.ask(&[&all[..], &["--json"]].concat());
    assert_eq!(told.status.code(), Some(OK), "{told:?}");
    let lines = json_lines(&told.stdout);
    let kinds: Vec<_> = lines
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    let paid = "FundsDeposited";
    assert_eq!(kinds, ["AccountOpened", paid, paid, paid]);
    assert_eq!(lines[3]["amounts"][0]["minor_units"], 400);
    assert_eq!(lines[3]["after"][0]["posted_minor_units"], 700);
    assert_eq!(lines[3]["command"]["channel"], "teller");
    let cursor = lines[3]["cursor"].as_str().unwrap().to_owned();

    let from_two = ["--minimum", "2.00 USD", "--kind", paid];
    let told = node.ask(&[&all[..], &from_two].concat());
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| line.contains(&account)), "{text}");
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(said.starts_with("To go on from here: --from "), "{said}");

    // It waits for what comes.
    let paid = node.ask(&["deposit", &account, "8.00 USD"]);
    assert_eq!(paid.status.code(), Some(OK), "{paid:?}");
    let on = [
        "events",
        "--account",
        &account,
        "--from",
        &cursor,
        "--count",
        "1",
    ];
    let told = node.ask(&on);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("8.00 USD"), "{text}");

    let wrong = node.with_address(&["events", "--account", &account, "--kind", "Deposit"]);
    assert!(failing(&wrong, REJECTED).contains("no event is called `Deposit`"));
    failing(&node.with_address(&["events"]), USAGE);
}

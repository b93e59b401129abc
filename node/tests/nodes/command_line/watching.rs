//! `meridian watch`.

use serde_json::Value;

use super::program::{Node, OK, REJECTED, USAGE, failing};

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_command_line_prints_changes_and_goes_on_by_a_token() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    let pay_in = |amount: &str| {
        let paid = node.ask(&["deposit", &account, amount]);
        assert_eq!(paid.status.code(), Some(OK), "{paid:?}");
    };
    pay_in("1.00 USD");
    // It begins with what there is.
    let begun = node.ask(&["watch", &account, "--count", "1", "--json"]);
    assert_eq!(begun.status.code(), Some(OK), "{begun:?}");
    let [now] = &json_lines(&begun.stdout)[..] else {
        panic!("{begun:?}");
    };
    assert_eq!(now["posted"]["minor_units"], 100);
    assert_eq!(now["line"], Value::Null);
    let token = now["resume_token"].as_str().unwrap().to_owned();

    pay_in("2.00 USD");
    pay_in("4.00 USD");
    let on = ["watch", &account, "--from", &token, "--count", "2"];
    let told = node.ask(&[&on[..], &["--json"]].concat());
    assert_eq!(told.status.code(), Some(OK), "{told:?}");
    let lines = json_lines(&told.stdout);
    let amounts: Vec<_> = lines
        .iter()
        .map(|it| it["line"]["amount"]["minor_units"].clone())
        .collect();
    assert_eq!(amounts, [200, 400]);
    assert_eq!(lines[1]["available"]["minor_units"], 700);
    assert_eq!(lines[1]["line"]["kind"], "deposit");
    assert!(lines[1]["line"].get("memo").is_none());
    assert!(lines[1]["resume_token"].is_string());

    let told = node.ask(&on);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(|line| line.contains(&account)), "{text}");
    assert!(
        text.contains("2.00 USD") && text.contains("7.00 USD"),
        "{text}"
    );
    let said = String::from_utf8(told.stderr).unwrap();
    assert!(said.starts_with("To go on from here: --from "), "{said}");

    let wrong = node.with_address(&["watch", &account, "--from", "here"]);
    assert!(failing(&wrong, REJECTED).contains("not a token of watching"));
    failing(&node.with_address(&["watch"]), USAGE);
}

//! `meridian reference` and `meridian find`.

use serde_json::Value;

use super::program::{Node, OK, REJECTED, USAGE};

const IBAN: &str = "DE89 3704 0044 0532 0130 00";

#[test]
fn the_command_line_claims_a_reference_and_finds_its_account() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let open = ["account", "open", "--currency", "USD", "--json"];
    let opened = node.ask(&[&open[..], &["--iban", IBAN, "--known-as", "x"]].concat());
    assert_eq!(opened.status.code(), Some(OK), "{opened:?}");
    let opened: Value = serde_json::from_slice(&opened.stdout).unwrap();
    let account = opened["account"].as_str().unwrap().to_owned();

    for by in [["--iban", "de89370400440532013000"], ["--known-as", "x"]] {
        let found = node.ask(&[&["find", "--json"][..], &by].concat());
        assert_eq!(found.status.code(), Some(OK), "{found:?}");
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        assert_eq!(found["regions"][0]["account_id"], account.as_str());
        assert_eq!(found["regions_missing"], Value::Array(Vec::new()));
    }
    let other = node.account.clone();
    let taken = node.ask(&["reference", "claim", &other, "--known-as", "x"]);
    assert_eq!(taken.status.code(), Some(REJECTED), "{taken:?}");
    let said = String::from_utf8(taken.stderr).unwrap();
    assert!(
        said.contains("REFERENCE_TAKEN") && !said.contains(&account),
        "{said}"
    );

    let released = node.ask(&["reference", "release", &account, "--known-as", "x"]);
    assert_eq!(released.status.code(), Some(OK), "{released:?}");
    let found = node.ask(&["find", "--known-as", "x"]);
    assert_eq!(found.status.code(), Some(REJECTED), "{found:?}");
    let said = String::from_utf8(found.stdout).unwrap();
    assert!(said.contains("none"), "{said}");

    let wrong = node.ask(&["find", "--iban", "DE89 3704 0044 0532 0130 01"]);
    assert_eq!(wrong.status.code(), Some(REJECTED), "{wrong:?}");
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("check digits") && !said.contains("3704"),
        "{said}"
    );
    assert_eq!(node.ask(&["find"]).status.code(), Some(USAGE));
}

//! The real `meridian`: what it says on standard error, and its exit codes.

mod careful;
mod consuming;
mod finding;
mod journals;
mod making_views;
mod program;
mod reading_events;
mod starting;
mod submit;
mod submit_groups;
mod watching;

use std::{fs, net::TcpListener};

use program::{
    Node, OK, REJECTED, UNAVAILABLE, UNKNOWN, USAGE, failing, failing_in_json, free_address,
};

#[test]
fn refusals_of_the_ledger_and_wrong_words_have_their_exit_codes() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    let deposited = node.ask(&["deposit", &account, "12.50", "USD"]);
    assert_eq!(deposited.status.code(), Some(OK), "{deposited:?}");
    let before = node.balance();

    let withdraw = ["withdraw", &account, "20 USD"];
    let said = failing(&node.with_address(&withdraw), REJECTED);
    assert!(
        said.starts_with("meridian: INSUFFICIENT_FUNDS: 1250 minor units are available"),
        "{said}"
    );
    let error = failing_in_json(&node.with_address(&withdraw), REJECTED);
    assert_eq!(error["code"], "INSUFFICIENT_FUNDS");
    assert_eq!(error["retryable"], true);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("2000 were asked for"),
        "{error}"
    );

    for (arguments, exit_code, says) in [
        (
            vec!["deposit", &account, "12.505 USD"],
            USAGE,
            "USD has 2 decimals; `12.505` has more",
        ),
        (
            vec!["deposit", &account, "1.5 JPY"],
            USAGE,
            "JPY has 0 decimals",
        ),
        (
            vec!["deposit", &account, "1 XXX"],
            USAGE,
            "`XXX` is not a currency",
        ),
        (
            vec!["deposit", &account, "12"],
            USAGE,
            "write an amount as `12.50 USD`",
        ),
        (
            vec!["deposit", &account, "99999999999999999999 USD"],
            USAGE,
            "more than an account can hold",
        ),
        (
            vec!["deposit", &account, "1e3 USD"],
            USAGE,
            "is not an amount",
        ),
        (
            vec!["deposit", &account, "1 USD", "--as", ""],
            USAGE,
            "caller's name",
        ),
        (
            vec!["deposit", &account, "1 USD", "--deadline", "0"],
            USAGE,
            "1 to 3600 seconds",
        ),
        (vec!["deposit"], USAGE, "required"),
        (
            vec!["deposit", &account, "0 USD"],
            REJECTED,
            "an amount must be above zero",
        ),
        (
            vec!["deposit", &account, "-1", "USD"],
            REJECTED,
            "an amount must be above zero",
        ),
        (
            vec!["deposit", &account, "1 EUR"],
            REJECTED,
            "CURRENCY_MISMATCH",
        ),
        (
            vec!["deposit", "nonsense", "1 USD"],
            REJECTED,
            "an account id reads",
        ),
        (
            vec![
                "deposit",
                &account,
                "1 USD",
                "--effective-date",
                "2026-02-30",
            ],
            REJECTED,
            "`2026-02-30` is not a date",
        ),
        (
            vec!["transfer", &account, &account, "1 USD"],
            REJECTED,
            "SAME_ACCOUNT",
        ),
        (
            vec!["transaction", "tx-1"],
            REJECTED,
            "not a transaction id",
        ),
    ] {
        let said = failing(&node.with_address(&arguments), exit_code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    // Of several balances some may be refused: a refusal is a part of the answer.
    let output = node.ask(&["balance", &account, "--session", "forged"]);
    assert_eq!(output.status.code(), Some(REJECTED));
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(answer.contains("not a session token"), "{answer}");
    assert_eq!(node.balance(), before, "nothing has changed");
    node.stop();
}

#[test]
fn a_node_that_is_not_there_and_one_that_is_silent_are_told_apart() {
    let account = "home.0000-0000-0000-0000-0";
    let nowhere = free_address();
    let ask = [
        "deposit",
        account,
        "1 USD",
        "--deadline",
        "1",
        "--node",
        &nowhere,
    ];
    let said = failing(&ask, UNAVAILABLE);
    assert!(said.contains("no node answered"), "{said}");
    assert_eq!(failing_in_json(&ask, UNAVAILABLE)["retryable"], true);

    // It takes the connection, and the request, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silence = silent.local_addr().unwrap().to_string();
    let ask = [
        "deposit",
        account,
        "1 USD",
        "--deadline",
        "1",
        "--key",
        "k",
        "--node",
        &silence,
    ];
    let said = failing(&ask, UNKNOWN);
    assert!(
        said.contains("it is open whether the command was accepted"),
        "{said}"
    );
    assert!(said.contains("--key k --first-attempt "), "{said}");
    let error = failing_in_json(&ask, UNKNOWN);
    assert_eq!(
        (&error["key"], &error["retryable"]),
        (&"k".into(), &true.into())
    );
    assert!(error["first_attempt_unix_ms"].as_i64().unwrap() > 0);
}

const ACCOUNTS: &str = "account,home_region,currency,may_go_negative,opened_on\n\
     world,home,USD,true,2024-01-01\nme,home,USD,false,2024-01-01\n";
const TRANSFERS: &str = "seq,effective_date,transaction,memo,from_account,to_account,currency,amount_minor\n\
     1,2024-01-02,t1,Pay,world,me,USD,100\n";
const BALANCES: &str = "as_of_date,account,currency,amount_minor\n2024-01-03,me,USD,100\n";

#[test]
fn nodes_are_found_by_a_name_or_by_one_that_answers() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let (by_name, dead) = (format!("dns:///{}", node.address), free_address());
    let several = format!("{dead},{}", node.address);
    for nodes in [
        &["--node", by_name.as_str()][..],
        &["--node", &dead, "--node", &by_name],
        &["--node", &several, "--near", "home"],
        &["--node", &several],
    ] {
        let arguments = [&["account", "show", &node.account], nodes].concat();
        let output = program::run(&arguments);
        assert_eq!(output.status.code(), Some(OK), "{nodes:?}: {output:?}");
    }
    for (seed, says) in [
        ("dns:///bank", "is not an address of the form host:port"),
        (
            "topology:/nowhere/topology.toml",
            "/nowhere/topology.toml: ",
        ),
    ] {
        let said = failing(&["status", "--node", seed], USAGE);
        assert!(said.contains(says), "{said}");
    }
    node.stop();
}

#[test]
fn a_file_with_a_bad_line_is_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let nowhere = free_address();
    for (file, from, to, says) in [
        (
            "accounts.csv",
            "home,USD,false",
            "home,XXX,false",
            "accounts.csv:3: ",
        ),
        (
            "transfers.csv",
            "me,USD,100",
            "me,USD,1.5",
            "transfers.csv:2: ",
        ),
        (
            "transfers.csv",
            "world,me",
            "world,you",
            "transfers.csv:2: account `you` is not in accounts.csv",
        ),
        (
            "balances.csv",
            "2024-01-03",
            "2024-02-30",
            "balances.csv:2: ",
        ),
        ("balances.csv", "as_of_date", "date", "balances.csv"),
    ] {
        for (name, text) in [
            ("accounts.csv", ACCOUNTS),
            ("transfers.csv", TRANSFERS),
            ("balances.csv", BALANCES),
        ] {
            let text = if name == file {
                text.replace(from, to)
            } else {
                text.to_owned()
            };
            fs::write(folder.path().join(name), text).unwrap();
        }
        // There is no node: exit code 2 and not 3 shows that none was asked.
        let said = failing(
            &["import", "books", "--from", &path, "--node", &nowhere],
            USAGE,
        );
        assert!(said.contains(says), "{file}: {said}");
    }
    let said = failing(
        &["import", "No Name!", "--from", &path, "--node", &nowhere],
        USAGE,
    );
    assert!(said.contains("names no import"), "{said}");
    fs::remove_file(folder.path().join("transfers.csv")).unwrap();
    let said = failing(
        &["import", "books", "--from", &path, "--node", &nowhere],
        USAGE,
    );
    assert!(said.contains("transfers.csv"), "{said}");
}

//! `meridian consumer`.

use std::fs;

use super::program::{Node, OK, REJECTED, USAGE, failing};
use super::reading_events::json_lines;

#[test]
fn the_command_line_takes_part_in_a_group_and_shows_what_stops_it() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(data.path());
    let account = node.account.clone();
    let done = |arguments: &[&str]| {
        let answer = node.ask(arguments);
        assert_eq!(answer.status.code(), Some(OK), "{answer:?}");
        answer.stdout
    };
    for amount in ["1.00 USD", "2.00 USD", "4.00 USD"] {
        done(&["deposit", &account, amount]);
    }
    let create = ["consumer", "create", "sums", "--account", &account];
    let paid = ["--kind", "FundsDeposited", "--order", "account"];
    done(&[&create[..], &paid].concat());
    failing(&node.with_address(&[&create[..], &paid].concat()), REJECTED);
    let first = done(&["consumer", "read", "sums", "--count", "1", "--json"]);
    let first = json_lines(&first);
    assert_eq!(first[0]["amounts"][0]["minor_units"], 100);
    assert_eq!(first[0]["attempt"], 1);

    // The first was acknowledged; the command takes the second, and not the third.
    let taken = data.path().join("taken");
    let command = format!("grep -v '\"minor_units\":400' >> {}", taken.display());
    let read = ["consumer", "read", "sums", "--retries", "1"];
    let exec = ["--exec", &command, "--count", "3"];
    done(&[&read[..], &exec].concat());
    let lines = json_lines(&fs::read(&taken).unwrap());
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["amounts"][0]["minor_units"], 200);
    let shown = String::from_utf8(done(&["consumer", "show", "sums"])).unwrap();
    assert!(
        shown.contains("parked at") && shown.contains("exit status: 1"),
        "{shown}"
    );
    let listed = String::from_utf8(done(&["consumer", "list"])).unwrap();
    assert!(listed.contains("share 0 !"), "{listed}");

    failing(
        &node.with_address(&["consumer", "resume", "sums", "--share", "0"]),
        USAGE,
    );
    done(&["consumer", "resume", "sums", "--share", "0", "--retry"]);
    let again = json_lines(&done(&[
        "consumer", "read", "sums", "--count", "1", "--json",
    ]));
    assert_eq!(again[0]["amounts"][0]["minor_units"], 400);
    done(&["consumer", "move", "sums", "--to", "beginning"]);
    let all = json_lines(&done(&[
        "consumer", "read", "sums", "--count", "3", "--json",
    ]));
    assert_eq!(all.len(), 3);
    done(&["consumer", "remove", "sums"]);
    let missing = node.with_address(&["consumer", "show", "sums"]);
    assert!(failing(&missing, REJECTED).contains("no consumer"));
}

//! `meridian submit`: files of commands, killed and run again.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path, process::Stdio, time::Duration};

use serde_json::Value;

use super::program::{Node, OK, REJECTED, USAGE, failing, meridian};

pub fn results(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn submit(node: &Node, arguments: &[&str], exit_code: i32) -> Value {
    let output = node.ask(&[&["submit", "--json"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit_code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_that_is_killed_and_run_again_is_done_once() {
    const LINES: usize = 1_500;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let file = dir.path().join("payments.csv");
    let mut text = "kind,account,amount,currency,reference\n".to_owned();
    for n in 0..LINES {
        text.push_str(&format!("deposit,{},0.01,USD,r{n}\n", node.account));
    }
    fs::write(&file, &text).unwrap();
    let (file, out) = (
        file.to_str().unwrap(),
        dir.path().join("payments.csv.results.jsonl"),
    );

    // Killed twice, somewhere in the middle.
    for enough in [100, 400] {
        let arguments = node.with_address(&["submit", file]);
        let mut process = meridian(&arguments).stdout(Stdio::null()).spawn().unwrap();
        let mut looks = 0;
        while results(&out).len() < enough {
            looks += 1;
            assert!(looks < 6_000 && process.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(results(&out).len() < LINES);
    // As the kill may have left it.
    let mut torn = fs::OpenOptions::new().append(true).open(&out).unwrap();
    torn.write_all(b"{\"line\":1400,\"kind\":\"dep").unwrap();

    let summary = submit(&node, &[file], OK);
    assert_eq!(summary["lines"], LINES);
    assert_eq!(summary["accepted"], LINES);
    assert!(
        summary["answered_earlier"].as_u64().unwrap() >= 400,
        "{summary}"
    );
    assert_eq!(node.balance(), LINES);
    let written = results(&out);
    let lines: BTreeSet<_> = written.iter().map(|it| it["line"].as_u64()).collect();
    assert_eq!((written.len(), lines.len()), (LINES, LINES));
    let ids = written
        .iter()
        .map(|it| it["receipt"]["transaction_id"].as_str());
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), LINES);

    // There is nothing left to do; and a file that was changed is another one.
    let summary = submit(&node, &[file], OK);
    assert_eq!(summary["answered_earlier"], LINES);
    fs::write(file, text.replacen("0.01", "0.02", 1)).unwrap();
    let said = failing(&node.with_address(&["submit", file]), USAGE);
    assert!(said.contains("the file has changed since"), "{said}");
    // Lost results are no reason to do anything twice.
    fs::write(file, text).unwrap();
    let other = dir.path().join("other.jsonl");
    let summary = submit(&node, &[file, "--results", other.to_str().unwrap()], OK);
    assert_eq!(summary["duplicates"], LINES);
    assert_eq!(node.balance(), LINES);
    node.stop();
}

#[test]
fn a_line_that_cannot_be_read_is_named_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let account = node.account.clone();
    let file = dir.path().join("payments.jsonl");
    let good =
        format!(r#"{{"kind":"deposit","account":"{account}","amount":"12.50","currency":"USD"}}"#);
    let bad = good.replace("12.50", "12.505");
    fs::write(&file, format!("{good}\n\n{bad}\n{good}\nnonsense\n")).unwrap();
    let name = file.to_str().unwrap();
    for check in [&["submit", name, "--check"][..], &["submit", name]] {
        let said = failing(&node.with_address(check), USAGE);
        assert!(
            said.contains("payments.jsonl:3: amount: USD has 2 decimals"),
            "{said}"
        );
        assert!(
            said.contains("payments.jsonl:5: not a JSON object"),
            "{said}"
        );
        assert!(said.contains("nothing was sent"), "{said}");
    }
    assert_eq!(node.balance(), 0);
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 2, "no results were begun");
    let same = good.replace("\"kind\"", "\"key\":\"k\",\"kind\"");
    fs::write(&file, format!("{same}\n{same}\n")).unwrap();
    let said = failing(&node.with_address(&["submit", name, "--check"]), USAGE);
    assert!(
        said.contains("payments.jsonl:2: key: line 1 has the same one"),
        "{said}"
    );
    fs::write(&file, &good).unwrap();
    // Checking asks nobody.
    let output = meridian(&["submit", name, "--check", "--node", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(OK), "{output:?}");
    node.stop();
}

#[test]
fn what_became_of_each_line_is_written_and_counted_by_code() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let account = node.account.clone();
    let out = dir.path().join("out.jsonl");
    let out_name = out.to_str().unwrap();
    let text = format!(
        "kind,account,to,amount,region,currency,scope,name,hold,key,overdraft_limit\n\
         deposit,{account},,100.00,,USD,,,,,\n\
         open,,,,home,USD,s,n,,,10.00\n\
         withdraw,{account},,500 USD,,,,,,mine,\n\
         hold-place,{account},,30.00,,USD,,,,,\n\
         limit,{account},,,,USD,,,,,5.00\n\
         close,{account},,,,,,,,,\n"
    );
    let arguments = [
        "submit",
        "-",
        "--format",
        "csv",
        "--results",
        out_name,
        "--json",
    ];
    let arguments = node.with_address(&arguments);
    let run = || {
        let mut process = meridian(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(REJECTED));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let summary = run();
    assert_eq!(
        (summary["accepted"].as_u64(), summary["rejected"].as_u64()),
        (Some(3), Some(3)),
        "{summary}"
    );
    assert_eq!(summary["by_code"]["INSUFFICIENT_FUNDS"], 1);
    assert_eq!(summary["by_code"]["NOT_PRIVILEGED"], 1);
    assert_eq!(summary["by_code"]["HOLDS_OPEN"], 1);
    let written = results(&out);
    let outcomes = written.iter().map(|it| it["outcome"].as_str().unwrap());
    let expected = [
        "settled", "settled", "rejected", "settled", "rejected", "rejected",
    ];
    assert!(outcomes.eq(expected), "{written:?}");
    let lines: Vec<_> = written
        .iter()
        .map(|it| it["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7]);
    assert!(written[1]["account_id"].as_str().unwrap().len() > 10);
    assert_eq!(written[2]["key"], "mine");
    let message = written[2]["rejection"]["message"].as_str().unwrap();
    assert!(
        message.contains("10000 minor units are available, 50000"),
        "{message}"
    );
    // The ledger lists what it refused, the newest first.
    let output = node.ask(&["account", "declined", &account, "--json"]);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let commands = listed["commands"].as_array().unwrap();
    let kinds = commands.iter().map(|it| it["kind"].as_str().unwrap());
    assert!(kinds.eq(["close", "withdrawal"]), "{listed}");
    assert_eq!(commands[1]["channel"], "batch");
    assert_eq!(commands[1]["figures"][1]["meaning"], "asked for");
    assert_eq!(commands[1]["figures"][1]["value"], 50_000);
    let output = node.ask(&["account", "declined", &account, "--limit", "1"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("HOLDS_OPEN: 3000 minor units") && said.contains("1 of 2 refused"),
        "{said}"
    );
    // What was only refused for now is tried again, and nothing else.
    let summary = run();
    assert_eq!(summary["answered_earlier"], 5);
    assert_eq!(results(&out).len(), 6);
    let output = node.ask(&["submit", "-", "--format", "csv"]);
    assert_eq!(output.status.code(), Some(USAGE));
    node.stop();
}

//! `meridian submit`: lines of a file that are done together or not at all.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use serde_json::Value;

use super::{
    program::{Node, OK, REJECTED, USAGE, failing, meridian},
    submit::{results, submit},
};

/// Of each group its lines in the results.
fn by_group(results: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for written in results {
        let group = written["group"].as_str().unwrap_or_default();
        groups.entry(group).or_default().push(written);
    }
    groups
}

fn write(path: &Path, header: &str, lines: &[String]) {
    fs::write(path, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
}

#[test]
fn a_group_of_a_file_is_done_once_however_often_the_file_is_killed() {
    const GROUPS: usize = 500;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let account = &node.account;
    let file = dir.path().join("fees.csv");
    let mut lines = Vec::new();
    for n in 0..GROUPS {
        lines.push(format!("deposit,{account},0.03,USD,{n}"));
        lines.push(format!("withdraw,{account},0.02,USD,{n}"));
        // Alone.
        lines.push(format!("deposit,{account},0.01,USD,"));
    }
    write(&file, "kind,account,amount,currency,group", &lines);
    let out = dir.path().join("fees.csv.results.jsonl");
    let file = file.to_str().unwrap();
    for enough in [100, 400] {
        let arguments = node.with_address(&["submit", file]);
        let mut process = meridian(&arguments).stdout(Stdio::null()).spawn().unwrap();
        let mut looks = 0;
        while results(&out).len() < enough {
            looks += 1;
            assert!(looks < 6_000 && process.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    // As a crash may have left it: the first line of a group is there, and of the second a part.
    let text = fs::read_to_string(&out).unwrap();
    let second = text
        .match_indices("\"kind\":\"withdraw\"")
        .last()
        .unwrap()
        .0;
    fs::write(&out, &text[..second]).unwrap();
    let left = results(&out);
    let last = left.last().unwrap();
    assert!(
        last["group"].is_string() && left.len() < lines.len(),
        "{last}"
    );

    let summary = submit(&node, &[file], OK);
    assert_eq!(summary["lines"], lines.len());
    assert_eq!(summary["accepted"], lines.len());
    assert!(summary["duplicates"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["answered_earlier"], left.len());
    assert_eq!(node.balance(), 2 * GROUPS);
    let written = results(&out);
    let mut numbers: Vec<_> = written.iter().map(|it| it["line"].as_u64()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq((2..).take(lines.len()).map(Some)));
    let groups = by_group(&written);
    assert_eq!((groups.len(), groups[""].len()), (GROUPS + 1, GROUPS));
    for (group, lines) in groups.iter().filter(|(group, _)| !group.is_empty()) {
        let [first, second] = lines[..] else {
            panic!("{group}: {} lines", lines.len());
        };
        assert_eq!(first["key"], second["key"]);
        let (first, second) = (&first["receipt"], &second["receipt"]);
        assert_eq!(first["position"], second["position"], "one entry");
        assert_ne!(first["transaction_id"], second["transaction_id"]);
    }
    let summary = submit(&node, &[file], OK);
    assert_eq!(summary["answered_earlier"], lines.len());
    assert_eq!(node.balance(), 2 * GROUPS);
    node.stop();
}

#[test]
fn a_group_of_a_file_that_is_refused_says_by_which_line_and_stops_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let account = &node.account;
    let opened = ledger_domain::AccountId::derive("home".parse().unwrap(), "t", "new");
    let file = dir.path().join("mixed.csv");
    let lines = [
        format!("deposit,{account},1.00,,,"),
        format!("withdraw,{account},0.40,,rent,mine"),
        format!("withdraw,{account},5.00,,rent,mine"),
        format!("deposit,{account},9.00,,rent,"),
        format!("open,{opened},,,start,"),
        format!("deposit,{opened},0.50,,start,"),
        format!("transfer,{opened},0.20,{account},start,"),
        format!("withdraw,{account},1.20,,,"),
    ];
    let lines = lines.map(|line| format!("{line},USD"));
    write(&file, "kind,account,amount,to,group,key,currency", &lines);
    let summary = submit(&node, &[file.to_str().unwrap()], REJECTED);
    assert_eq!(summary["rejected"], 3);
    assert_eq!(summary["by_code"]["INSUFFICIENT_FUNDS"], 3);
    assert_eq!(summary["accepted"], 5);
    assert_eq!(node.balance(), 0);
    let written = results(&dir.path().join("mixed.csv.results.jsonl"));
    let told = written.iter().map(|it| {
        let outcome = it["outcome"].as_str().unwrap();
        (
            it["line"].as_u64().unwrap(),
            it["kind"].as_str().unwrap(),
            outcome,
        )
    });
    assert!(
        told.eq([
            (2, "deposit", "settled"),
            (3, "withdraw", "rejected"),
            (4, "withdraw", "rejected"),
            (5, "deposit", "rejected"),
            (6, "open", "settled"),
            (7, "deposit", "settled"),
            (8, "transfer", "settled"),
            (9, "withdraw", "settled"),
        ]),
        "{written:?}"
    );
    for refused in &written[1..4] {
        assert_eq!(
            (&refused["group"], &refused["key"]),
            (&"rent".into(), &"mine".into())
        );
        let why = &refused["rejection"];
        assert_eq!(
            (&why["group_item"], &why["recorded"]),
            (&2.into(), &true.into())
        );
        let message = why["message"].as_str().unwrap();
        assert!(message.starts_with("command 2 of 3: 60 minor"), "{message}");
    }
    assert_eq!(written[4]["account_id"], opened.to_string());
    assert!(written[5]["account_id"].is_null() && written[0]["group"].is_null());
    let after = &written[6]["receipt"]["balances_after"][0]["posted"]["minor_units"];
    assert_eq!(*after, 30);
    node.stop();
}

#[test]
fn what_cannot_be_a_group_is_named_by_its_line_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&dir.path().join("data"));
    let account = node.account.clone();
    let file = dir.path().join("bad.jsonl");
    let name = file.to_str().unwrap();
    let line = |group: &str, more: &str| {
        format!(
            r#"{{"kind":"deposit","account":"{account}","amount":"1 USD","group":"{group}"{more}}}"#
        )
    };
    let key = |key: &str| format!(r#","key":"{key}""#);
    let journal = format!(
        r#"{{"kind":"journal","legs":"{account} debit 1 USD;cash credit 1 USD","group":"a"}}"#
    );
    let long = key(&"k".repeat(121));
    let many = vec![line("a", ""); 66];
    let one = |group| line(group, "");
    for (lines, says) in [
        (
            vec![one("a"), one("a"), one(""), one("a")],
            "4: group: `a`, of line 1, has ended",
        ),
        (many, "65: group: `a`, of line 1, has more than 64 lines"),
        (
            vec![one("a"), line("a", &key("k"))],
            "2: key: that of a group stands in its first line, 1",
        ),
        (
            vec![
                line("a", &key("k")),
                line("a", &key("k")),
                line("a", &key("l")),
            ],
            "3: key: the group has `k`, by its first line, 1",
        ),
        (
            vec![line("", &key("k")), line("a", &key("k"))],
            "2: key: line 1 has the same one",
        ),
        (
            vec![line("a", &long)],
            "1: key: that of a group has at most 120 bytes",
        ),
        (
            vec![one("a"), journal],
            "2: kind: `journal` is none of a group",
        ),
    ] {
        fs::write(&file, lines.join("\n")).unwrap();
        for check in [&["submit", name, "--check"][..], &["submit", name]] {
            let said = failing(&node.with_address(check), USAGE);
            assert!(said.contains(&format!("bad.jsonl:{says}")), "{said}");
            assert!(said.contains("nothing was sent"), "{said}");
            assert_eq!(said.matches("bad.jsonl:").count(), 1, "{said}");
        }
    }
    assert_eq!(node.balance(), 0);
    // What says it is a group as a whole has none in it.
    fs::write(&file, one("a")).unwrap();
    let said = failing(&node.with_address(&["group", name]), USAGE);
    assert!(
        said.contains("bad.jsonl:1: `group` is no field of `deposit`"),
        "{said}"
    );
    node.stop();
}

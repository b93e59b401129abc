//! `meridian verify` and `meridian export` as programs, beside a node that runs and one that was
//! killed.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const MERIDIAN: &str = env!("CARGO_BIN_EXE_meridian");

fn meridian(arguments: &[&str]) -> Output {
    Command::new(MERIDIAN).args(arguments).output().unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(said).unwrap()
}

/// A node that is killed when the test ends.
struct Node(Child);

impl Node {
    fn start(data: &Path, listen: &str) -> Self {
        let mut command = Command::new(MERIDIAN);
        command.arg("node").arg("--data").arg(data);
        command.args(["--listen", listen]).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tries for half a minute.
fn eventually(mut done: impl FnMut() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it was not done in time");
}

#[test]
fn a_running_nodes_directory_is_left_alone_and_a_killed_ones_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let directory = data.to_str().unwrap();
    assert_eq!(exit(&meridian(&["verify", directory])), 2);

    let listen = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listen = listen.to_string();
    let node = Node::start(&data, &listen);
    let ask = |line: &str| {
        let line: Vec<_> = line.split(' ').chain(["--node", &listen]).collect();
        meridian(&line)
    };
    let open = "account open --currency USD --scope test --name a --key open";
    eventually(|| exit(&ask(open)) == 0);
    let id = ledger_domain::AccountId::derive("home".parse().unwrap(), "test", "a").to_string();
    assert_eq!(exit(&ask(&format!("deposit {id} 12.50 USD"))), 0);

    let refused = meridian(&["verify", directory]);
    assert_eq!(exit(&refused), 2);
    assert!(
        said(&refused).contains("in use by a running node"),
        "{}",
        said(&refused)
    );
    assert_eq!(
        exit(&ask(&format!("deposit {id} 1.00 USD"))),
        0,
        "the node never noticed"
    );
    drop(node);

    let text = meridian(&["verify", directory]);
    assert_eq!(exit(&text), 0, "{}", said(&text));
    let text = said(&text);
    assert!(
        text.contains("customers have 13.50 USD, the book comes to 0.00 USD"),
        "{text}"
    );
    assert!(text.ends_with("Everything holds.\n"), "{text}");
    let json = meridian(&["verify", directory, "--json"]);
    let json = String::from_utf8(json.stdout).unwrap();
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["holds"], true);

    let heads = dir.path().join("heads");
    let heads_file = heads.to_str().unwrap();
    for (printed, expected) in [
        (text.clone(), 0),
        (json.clone(), 0),
        (json.replace(r#""head":""#, r#""head":"00"#), 2),
        (altered_head(&told), 5),
        ("nothing\n".to_owned(), 2),
    ] {
        std::fs::write(&heads, &printed).unwrap();
        let compared = meridian(&["verify", directory, "--heads", heads_file]);
        assert_eq!(exit(&compared), expected, "{printed}{}", said(&compared));
    }

    let names = dir.path().join("names.csv");
    std::fs::write(&names, format!("id,name,more\n{id},Assets:Cash,x\n")).unwrap();
    let names = names.to_str().unwrap();
    let journal = meridian(&[
        "export",
        directory,
        "--format",
        "beancount",
        "--names",
        names,
    ]);
    assert_eq!(exit(&journal), 0, "{}", said(&journal));
    let journal = said(&journal);
    assert!(journal.contains("  Assets:Cash  12.50 USD\n"), "{journal}");
    assert!(
        journal.contains("  Equity:Meridian:Home:House:Cash  -12.50 USD\n"),
        "{journal}"
    );

    // Looking changed nothing: the node goes on.
    let _node = Node::start(&data, &listen);
    let balance = format!("balance {id} --strong");
    eventually(|| said(&ask(&balance)).contains("13.50 USD"));
}

/// What was told, with one digit of a head changed.
fn altered_head(told: &serde_json::Value) -> String {
    let shard = &told["shards"][0];
    let head = shard["head"].as_str().unwrap();
    let digit = if head.starts_with('0') { "1" } else { "0" };
    format!(
        "{} {} {digit}{}\n",
        shard["shard"],
        shard["head_index"],
        &head[1..]
    )
}

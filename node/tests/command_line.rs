//! The real `meridian`: what it says on standard error, and its exit codes.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

const OK: i32 = 0;
const REJECTED: i32 = 1;
const USAGE: i32 = 2;
const UNAVAILABLE: i32 = 3;
const UNKNOWN: i32 = 4;
const BROKEN: i32 = 6;

fn meridian(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args(arguments)
        .env_remove("MERIDIAN_NODES")
        .env("RUST_LOG", "off")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    meridian(arguments).output().unwrap()
}

/// Runs a command that fails; what it says.
fn failing(arguments: &[&str], exit_code: i32) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(exit_code),
        "{arguments:?}: {said}"
    );
    assert!(
        output.stdout.is_empty(),
        "errors do not go to standard output"
    );
    said
}

/// As [`failing`], with `--json`; the error's body.
fn failing_in_json(arguments: &[&str], exit_code: i32) -> Value {
    let said = failing(&[arguments, &["--json"]].concat(), exit_code);
    let mut body: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(body["error"]["exit_code"], exit_code);
    body["error"].take()
}

fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

/// A node in a process of its own; killed with the test.
struct Node {
    process: Child,
    address: String,
    account: String,
}

impl Node {
    fn start(data: &Path) -> Self {
        let address = free_address();
        let data = data.to_str().unwrap();
        let process = meridian(&["node", "--data", data, "--listen", &address])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut node = Self {
            process,
            address,
            account: String::new(),
        };
        // The command itself tries on for its deadline.
        for _ in 0..10 {
            let open = node.ask(&[
                "account",
                "open",
                "--currency",
                "USD",
                "--region",
                "home",
                "--key",
                "a",
                "--json",
            ]);
            if open.status.success() {
                let answer: Value = serde_json::from_slice(&open.stdout).unwrap();
                node.account = answer["account"].as_str().unwrap().to_owned();
                return node;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the node did not get ready");
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        run(&self.with_address(arguments))
    }

    fn with_address<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--node", &self.address]].concat()
    }

    fn balance(&self) -> Value {
        let output = self.ask(&["account", "show", &self.account, "--json"]);
        assert_eq!(output.status.code(), Some(OK), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["posted"]["minor_units"].clone()
    }

    /// As a service manager stops it.
    fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        let ended = self.process.wait().unwrap();
        assert_eq!(
            ended.code(),
            Some(OK),
            "a node that is told to stop has done it"
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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

/// Every file of a directory with what is in it.
fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    found.sort();
    found
}

const NO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A topology of three nodes, whose one shard has these voters.
fn topology(ledger: &str, voters: &str) -> String {
    let mut text = format!(
        "ledger = \"{ledger}\"\n[[regions]]\nname = \"home\"\ntime_zone = \"UTC\"\ndomain = \"home\"\n\
         domain_key = \"{NO_KEY}\"\ntoken_key = \"{NO_KEY}\"\n\
         [[shards]]\nid = 1\nregion = \"home\"\nvoters = {voters}\n"
    );
    for id in 1..=3 {
        text += &format!(
            "[[nodes]]\nid = {id}\nname = \"n{id}\"\nregion = \"home\"\naddress = \"127.0.0.1:{id}\"\n"
        );
    }
    text
}

#[test]
fn a_node_does_not_start_on_what_is_not_its_own() {
    let dirs = tempfile::tempdir().unwrap();
    let data = dirs.path().join("data");
    Node::start(&data).stop();
    let before = contents(&data);
    let (data_text, free) = (data.to_str().unwrap(), free_address());
    let write = |name: &str, text: &str| {
        let path = dirs.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = |topology: &str| format!("data = \"{data_text}\"\ntopology = \"{topology}\"\n");
    let other_node = write("node2.toml", &format!("node = 2\ndata = \"{data_text}\"\n"));
    let voters = write("voters", &topology("meridian", "[1, 2, 3]"));
    let voters = write("voters.toml", &config(&voters));
    let ledger = write("ledger", &topology("another", "[1]"));
    let ledger = write("ledger.toml", &config(&ledger));
    let broken = write("broken", &topology("meridian", "[1, 2]"));
    let broken = write("broken.toml", &config(&broken));
    let no_node = write("four", &topology("meridian", "[1]"));
    let no_node = write("four.toml", &format!("node = 4\n{}", config(&no_node)));
    let unknown = write("unknown.toml", "dta = \"x\"\n");
    let zero = write("zero.toml", "[limits]\nqueue = 0\n");
    let lost = write("lost.toml", &config("/nowhere/topology.toml"));
    for (arguments, says) in [
        (
            vec!["--config", &other_node],
            "belongs to node `1`, not `2`: nothing was changed",
        ),
        (
            vec!["--data", data_text, "--region", "other", "--listen", &free],
            "belongs to region `home`, not `other`",
        ),
        (
            vec!["--config", &ledger],
            "belongs to ledger `meridian`, not `another`",
        ),
        (
            vec!["--config", &voters],
            "belongs to shards `1 of home on [1]`, not `1 of home on [1, 2, 3]`",
        ),
        (
            vec!["--config", &broken],
            "shard 1 needs an odd number of voters",
        ),
        (vec!["--config", &no_node], "the topology has no node 4"),
        (vec!["--config", &unknown], "unknown field `dta`"),
        (vec!["--config", &zero], "zero.toml"),
        (vec!["--config", &lost], "/nowhere/topology.toml"),
        (vec!["--config", "/nowhere/node.toml"], "/nowhere/node.toml"),
    ] {
        let said = failing(&[&["node"], &arguments[..]].concat(), USAGE);
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(contents(&data), before, "{arguments:?} changed something");
    }

    // A directory without secrets gets none from a node that it does not belong to.
    fs::rename(data.join("secrets.toml"), dirs.path().join("secrets.toml")).unwrap();
    failing(&["node", "--config", &other_node], USAGE);
    assert!(!data.join("secrets.toml").exists());
    fs::rename(dirs.path().join("secrets.toml"), data.join("secrets.toml")).unwrap();

    let marker = data.join("node.toml");
    fs::write(&marker, "format = 2\nnews = true\n").unwrap();
    let newer = contents(&data);
    let said = failing(&["node", "--data", data_text, "--listen", &free], USAGE);
    assert!(
        said.contains("has format 2; this program knows 1: use a newer one"),
        "{said}"
    );
    fs::write(&marker, "not a marker\n").unwrap();
    let said = failing(&["node", "--data", data_text, "--listen", &free], USAGE);
    assert!(said.contains("is not a node's marker"), "{said}");
    assert_eq!(contents(&data).len(), newer.len());
}

#[test]
fn a_port_in_use_and_a_directory_in_use_are_named() {
    let dirs = tempfile::tempdir().unwrap();
    let data = dirs.path().join("data");
    let node = Node::start(&data);
    let other = dirs.path().join("other");
    let said = failing(
        &[
            "node",
            "--data",
            other.to_str().unwrap(),
            "--listen",
            &node.address,
        ],
        BROKEN,
    );
    assert!(
        said.contains(&format!("cannot listen on {}", node.address)),
        "{said}"
    );
    let error = failing_in_json(
        &[
            "node",
            "--data",
            other.to_str().unwrap(),
            "--listen",
            &node.address,
        ],
        BROKEN,
    );
    assert_eq!(error["retryable"], false);
    let said = failing(
        &[
            "node",
            "--data",
            data.to_str().unwrap(),
            "--listen",
            &free_address(),
        ],
        BROKEN,
    );
    assert!(said.contains("the log cannot be opened"), "{said}");
    assert_eq!(node.balance(), 0, "it serves on");
    node.stop();
}

const ACCOUNTS: &str = "account,home_region,currency,may_go_negative,opened_on\n\
     world,home,USD,true,2024-01-01\nme,home,USD,false,2024-01-01\n";
const TRANSFERS: &str = "seq,effective_date,transaction,memo,from_account,to_account,currency,amount_minor\n\
     1,2024-01-02,t1,Pay,world,me,USD,100\n";
const BALANCES: &str = "as_of_date,account,currency,amount_minor\n2024-01-03,me,USD,100\n";

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

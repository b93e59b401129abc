//! The program as a process: what it is asked, how it ends, what it says.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;

pub const OK: i32 = 0;
pub const REJECTED: i32 = 1;
pub const USAGE: i32 = 2;
pub const UNAVAILABLE: i32 = 3;
pub const UNKNOWN: i32 = 4;
pub const BROKEN: i32 = 6;

pub fn meridian(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args(arguments)
        .env_remove("MERIDIAN_NODES")
        .env_remove("MERIDIAN_REGION")
        .env("RUST_LOG", "off")
        .stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Output {
    meridian(arguments).output().unwrap()
}

/// Runs a command that fails; what it says.
pub fn failing(arguments: &[&str], exit_code: i32) -> String {
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
pub fn failing_in_json(arguments: &[&str], exit_code: i32) -> Value {
    let said = failing(&[arguments, &["--json"]].concat(), exit_code);
    let mut body: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(body["error"]["exit_code"], exit_code);
    body["error"].take()
}

pub fn free_address() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

/// A node in a process of its own; killed with the test.
pub struct Node {
    process: Child,
    pub address: String,
    pub account: String,
}

impl Node {
    pub fn start(data: &Path) -> Self {
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

    pub fn ask(&self, arguments: &[&str]) -> Output {
        run(&self.with_address(arguments))
    }

    pub fn with_address<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--node", &self.address]].concat()
    }

    pub fn balance(&self) -> Value {
        let output = self.ask(&["account", "show", &self.account, "--json"]);
        assert_eq!(output.status.code(), Some(OK), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["posted"]["minor_units"].clone()
    }

    /// As a service manager stops it.
    pub fn stop(mut self) {
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

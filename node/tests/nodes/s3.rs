//! A server that speaks S3's protocol, as a process of its own, with its bucket in a directory.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::tools;

/// Installed by `deploy/setup.sh s3-server`.
const PROGRAM: &str = "s3s-fs-0.14.1/bin/s3s-fs";
/// The bucket there is.
pub const BUCKET: &str = "vault";
const ACCESS_KEY: &str = "teller";
const SECRET_KEY: &str = "a secret of the test";

/// A running server. It ends with what this is.
pub struct Server {
    process: Child,
    address: String,
    root: PathBuf,
}

impl Server {
    /// Starts one whose bucket is in a directory.
    pub fn start(root: &Path) -> Self {
        let program = tools::installed(PROGRAM);
        let program = program.expect("an S3 server: `deploy/setup.sh s3-server` installs it");
        std::fs::create_dir_all(root.join(BUCKET)).unwrap();
        let mut process = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(root)
            .env("RUST_LOG", "s3s_fs=info")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = said.find_map(|line| {
            let line = line.unwrap();
            let (_, after) = line.split_once("running at ")?;
            let end = |c: char| c.is_whitespace() || c == ',';
            Some(after.split(end).next()?.to_owned())
        });
        // What is no longer read would stop it.
        std::thread::spawn(move || said.for_each(drop));
        Self {
            process,
            address: address.expect("it says where it is"),
            root: root.to_owned(),
        }
    }

    /// What tells a program where it is and who asks.
    pub fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT", self.address.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ]
    }

    /// Where its objects are, by their keys.
    pub fn bucket(&self) -> PathBuf {
        self.root.join(BUCKET)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

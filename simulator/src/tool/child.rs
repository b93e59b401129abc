//! One run in a process of its own.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::Seed;

/// What a child plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Played {
    /// What follows from a seed.
    Seed(Seed),
    /// The plan in a file.
    Plan(PathBuf),
}

/// How children are started.
#[derive(Debug, Clone)]
pub struct Children {
    /// This program.
    pub program: PathBuf,
    /// Which scenario they play.
    pub scenario: String,
    /// How many simulated seconds the workload lasts, if not as long as the scenario says.
    pub seconds: Option<u64>,
    /// Which known bug is planted, by name.
    pub bug: Option<String>,
}

/// What a child has to tell: of [`scenario::Report`](crate::scenario::Report), what others need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How much simulated time passed, in milliseconds.
    pub simulated_ms: u64,
    /// What happened, in numbers.
    pub counts: BTreeMap<String, u64>,
    /// How many things each oracle has looked at.
    pub judged: BTreeMap<String, u64>,
    /// How often each situation came up.
    pub situations: BTreeMap<String, u64>,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
    /// Which kind of thing that was.
    pub kind: Option<String>,
}

impl Children {
    /// Arguments under which a person gets the same run.
    #[must_use]
    pub fn arguments(&self, played: &Played) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into()];
        match played {
            Played::Seed(seed) => {
                let seed = seed.to_string();
                let scenario = self.scenario.clone();
                arguments.extend(["--scenario".into(), scenario.into()]);
                arguments.extend(["--seed".into(), seed.into()]);
            }
            Played::Plan(file) => arguments.extend(["--plan".into(), file.into()]),
        }
        if let Some(seconds) = self.seconds {
            arguments.extend(["--seconds".into(), seconds.to_string().into()]);
        }
        if let Some(bug) = &self.bug {
            arguments.extend(["--bug".into(), bug.into()]);
        }
        arguments
    }

    /// The command under which a person gets the same run.
    #[must_use]
    pub fn command(&self, played: &Played) -> String {
        let mut command = String::from("meridian-sim");
        for argument in self.arguments(played) {
            command.push(' ');
            command.push_str(&argument.to_string_lossy());
        }
        command
    }

    /// Plays in a child, and waits for it.
    ///
    /// # Errors
    ///
    /// When no child can be started. A child that crashes is a run that failed.
    pub fn play(&self, played: &Played, trace: Option<&Path>) -> io::Result<Told> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(played)).arg("--json");
        if let Some(trace) = trace {
            command.arg("--trace").arg(trace);
        }
        let output = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        if let Ok(told) = serde_json::from_slice(&output.stdout) {
            return Ok(told);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        Ok(Told {
            simulated_ms: 0,
            counts: BTreeMap::new(),
            judged: BTreeMap::new(),
            situations: BTreeMap::new(),
            failure: Some(format!(
                "the process ended with {}: {last:?}",
                output.status
            )),
            kind: Some("crash".to_owned()),
        })
    }
}

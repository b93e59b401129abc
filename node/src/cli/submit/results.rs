//! What is kept beside a file while its commands are done: how they were begun, and what became of
//! each.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::exit::Failure;
use crate::durable;

/// How a file was begun. Every later run sends the same, so that keys and times are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// What the keys of its lines derive from.
    pub run: String,
    /// Of all that is in the file.
    pub digest: String,
    /// Keys belong to them.
    pub caller: String,
    /// The first attempt of every command.
    pub first_attempt_unix_ms: i64,
}

/// What became of a line, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    pub line: u64,
    pub kind: String,
    pub key: String,
    /// The group that it is of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<String>,
    /// `settled`, `accepted`, `returned` or `rejected`.
    pub outcome: String,
    /// The id of an account that was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub receipt: Value,
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub rejection: Value,
}

impl Written {
    /// Whether the ledger has decided the command. Otherwise it is sent again by the next run.
    pub fn is_decided(&self) -> bool {
        self.rejection.is_null() || self.outcome == "returned" || self.rejection["recorded"] == true
    }

    /// The code of the refusal, if it was refused or returned.
    pub fn code(&self) -> Option<&str> {
        self.rejection["code"].as_str()
    }

    /// Whether it had been done before it was sent.
    pub fn is_duplicate(&self) -> bool {
        self.receipt["duplicate"] == true
    }
}

/// The two files, for as long as a run uses them.
pub struct Results {
    pub start: Start,
    /// What earlier runs have had decided, by line.
    pub earlier: BTreeMap<u64, Written>,
    file: File,
    path: PathBuf,
    /// Locked: two runs at a time would write over each other.
    _start: File,
}

impl Results {
    /// Begins, or goes on where an earlier run was.
    pub fn open(path: &Path, start: Start) -> Result<Self, Failure> {
        let beside = path.with_added_extension("start");
        let is_new = !beside.exists();
        if is_new {
            if path.exists() {
                return Err(Failure::Usage(format!(
                    "{} is there without {}, which says how it was begun: name other --results",
                    path.display(),
                    beside.display()
                )));
            }
            let text = serde_json::to_string(&start).map_err(|e| wrong(&beside, e))?;
            durable::write_new(&beside, &text, 0o644).map_err(|e| wrong(&beside, e))?;
        }
        let lock = File::open(&beside).map_err(|e| wrong(&beside, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.display();
                return Err(Failure::Usage(format!("another run writes {path}")));
            }
            Err(TryLockError::Error(error)) => return Err(wrong(&beside, error)),
        }
        let begun = fs::read_to_string(&beside).map_err(|e| wrong(&beside, e))?;
        let begun: Start = serde_json::from_str(&begun).map_err(|e| wrong(&beside, e))?;
        same(&begun, &start, path)?;
        let earlier = go_on(path)?;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        Ok(Self {
            start: begun,
            earlier,
            file: file.map_err(|e| wrong(path, e))?,
            path: path.to_owned(),
            _start: lock,
        })
    }

    /// Writes what became of lines, at once. One that a crash tears is done again under its key.
    pub fn write(&mut self, written: &[Written]) -> Result<(), Failure> {
        let mut lines = String::new();
        for written in written {
            lines += &serde_json::to_string(written).map_err(|e| wrong(&self.path, e))?;
            lines.push('\n');
        }
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|e| wrong(&self.path, e))
    }

    /// All that was written is on the disk when this returns.
    pub fn close(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|e| wrong(&self.path, e))
    }
}

/// Another file, run or caller would make other keys: commands would be done twice.
fn same(begun: &Start, now: &Start, path: &Path) -> Result<(), Failure> {
    let what = match () {
        () if begun.digest != now.digest => "the file has changed since".to_owned(),
        () if begun.run != now.run => format!("the run was `{}`", begun.run),
        () if begun.caller != now.caller => format!("it was sent as `{}`", begun.caller),
        () => return Ok(()),
    };
    Err(Failure::Usage(format!(
        "{} was begun otherwise: {what}. What it has stands; put what is new into a file of its own",
        path.display()
    )))
}

/// Keeps what is decided and nothing else: what a crash tore, and what was only refused for now, is
/// to be done again.
fn go_on(path: &Path) -> Result<BTreeMap<u64, Written>, Failure> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.map_err(|e| wrong(path, e))?,
    };
    let mut earlier = BTreeMap::new();
    let mut kept = String::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if !line.ends_with('\n') {
            break;
        }
        let written: Written = serde_json::from_str(line)
            .map_err(|error| Failure::Usage(format!("{}:{number}: {error}", path.display())))?;
        if written.is_decided() {
            kept.push_str(line);
            earlier.insert(written.line, written);
        }
    }
    if kept != text {
        let unfinished = path.with_added_extension("new");
        let write = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(kept.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, path)
        };
        write().map_err(|e| wrong(path, e))?;
    }
    Ok(earlier)
}

fn wrong(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn start() -> Start {
        Start {
            run: "june".to_owned(),
            digest: "d".to_owned(),
            caller: "cli".to_owned(),
            first_attempt_unix_ms: 7,
        }
    }

    fn written(line: u64, rejection: Value) -> Written {
        Written {
            line,
            kind: "deposit".to_owned(),
            key: format!("k{line}"),
            group: None,
            outcome: if rejection.is_null() {
                "settled"
            } else {
                "rejected"
            }
            .to_owned(),
            account_id: None,
            receipt: Value::Null,
            rejection,
        }
    }

    #[test]
    fn a_later_run_has_what_is_decided_and_the_time_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.results.jsonl");
        let mut first = Results::open(&path, start()).unwrap();
        assert!(
            matches!(Results::open(&path, start()), Err(Failure::Usage(_))),
            "locked"
        );
        let recorded = |recorded| json!({"code": "X", "recorded": recorded});
        first.write(&[written(1, Value::Null)]).unwrap();
        let refused = [written(2, recorded(true)), written(3, recorded(false))];
        first.write(&refused).unwrap();
        first.file.write_all(b"{\"line\":4,\"ki").unwrap();
        first.close().unwrap();
        let later = Start {
            first_attempt_unix_ms: 99,
            ..start()
        };
        let again = Results::open(&path, later).unwrap();
        assert_eq!(again.start, start());
        assert_eq!(again.earlier.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(again.earlier[&2].code(), Some("X"));
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn results_of_something_else_are_not_gone_on_with() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.results.jsonl");
        Results::open(&path, start()).unwrap().close().unwrap();
        let refused = |start: Start| match Results::open(&path, start) {
            Err(Failure::Usage(said)) => said,
            _ => panic!("it goes on"),
        };
        let changed = |change: fn(&mut Start)| {
            let mut start = start();
            change(&mut start);
            refused(start)
        };
        assert!(changed(|it| it.digest.push('x')).contains("has changed since"));
        assert!(changed(|it| it.run.push('x')).contains("the run was `june`"));
        assert!(changed(|it| it.caller.push('x')).contains("sent as `cli`"));
        fs::remove_file(path.with_added_extension("start")).unwrap();
        fs::write(&path, "").unwrap();
        assert!(refused(start()).contains("name other --results"));
    }
}

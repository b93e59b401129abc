use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::determinism::{FNV_OFFSET, fnv1a, simulated_elapsed};

/// The trace of one run. Clones write to the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    kept: Kept,
    fingerprint: Fingerprint,
    calls_for_help: Vec<CallForHelp>,
    in_the_clear: Vec<String>,
    situations: BTreeMap<String, u64>,
}

/// An event by which a node called for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallForHelp {
    /// Which node.
    pub host: String,
    /// What it said.
    pub said: String,
}

/// More calls for help than these are not kept: they would not tell more.
const CALLS_KEPT: usize = 1_000;

enum Kept {
    Nothing,
    InMemory(Vec<String>),
    InFile(BufWriter<File>),
    /// Writing failed; told when the trace is finished, so that the run itself stays the same.
    Failed(io::Error),
}

/// Says whether two traces are equal without keeping them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Fingerprint {
    /// How many lines there are.
    pub lines: u64,
    /// A hash over all of them.
    pub hash: u64,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} over {} lines", self.hash, self.lines)
    }
}

impl Trace {
    /// A trace of which only the fingerprint remains.
    #[must_use]
    pub fn fingerprint_only() -> Self {
        Trace::new(Kept::Nothing)
    }

    /// A trace kept in memory, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Trace::new(Kept::InMemory(Vec::new()))
    }

    /// A trace written to a file, replacing it.
    ///
    /// # Errors
    ///
    /// When the file cannot be created.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Trace::new(Kept::InFile(BufWriter::new(file))))
    }

    fn new(kept: Kept) -> Self {
        let fingerprint = Fingerprint {
            lines: 0,
            hash: FNV_OFFSET,
        };
        Trace(Arc::new(Mutex::new(Lines {
            kept,
            fingerprint,
            calls_for_help: Vec::new(),
            in_the_clear: Vec::new(),
            situations: BTreeMap::new(),
        })))
    }

    /// Records what a host does now. Callable from inside of the host.
    pub fn record(&self, host: &str, event: impl fmt::Display) {
        self.record_at(simulated_elapsed(), host, event);
    }

    /// Records what happens at a given simulated time.
    pub fn record_at(&self, at: Duration, host: &str, event: impl fmt::Display) {
        // One event, one line: else a comparison by line would show halves of events.
        let event = event.to_string().replace('\n', "\\n");
        let line = format!("{:>14} {host} {event}", at.as_nanos());
        self.lines().push(line);
    }

    /// Remembers an event by which a node called for a person.
    pub(super) fn note_call_for_help(&self, host: &str, said: &str) {
        let mut lines = self.lines();
        if lines.calls_for_help.len() < CALLS_KEPT {
            lines.calls_for_help.push(CallForHelp {
                host: host.to_owned(),
                said: said.to_owned(),
            });
        }
    }

    /// The events by which nodes called for a person, in order.
    #[must_use]
    pub fn calls_for_help(&self) -> Vec<CallForHelp> {
        self.lines().calls_for_help.clone()
    }

    /// Remembers the first lines of logs that hold what is sealed.
    pub(super) fn note_in_the_clear(&self, host: &str, said: &str) {
        let mut lines = self.lines();
        if lines.in_the_clear.len() < CALLS_KEPT {
            lines
                .in_the_clear
                .push(format!("the log of {host}: {said}"));
        }
    }

    /// Lines of the nodes' logs that hold what is sealed, in order.
    #[must_use]
    pub fn in_the_clear(&self) -> Vec<String> {
        self.lines().in_the_clear.clone()
    }

    /// Counts that a situation has come up.
    pub fn reach(&self, situation: &str) {
        let mut lines = self.lines();
        match lines.situations.get_mut(situation) {
            Some(times) => *times += 1,
            None => drop(lines.situations.insert(situation.to_owned(), 1)),
        }
    }

    /// How often each situation has come up; those that never did are not there.
    #[must_use]
    pub fn situations(&self) -> BTreeMap<String, u64> {
        self.lines().situations.clone()
    }

    /// A handle that records for one host.
    #[must_use]
    pub fn of(&self, host: &str) -> HostTrace {
        HostTrace {
            trace: self.clone(),
            host: host.into(),
        }
    }

    /// The fingerprint of the lines so far.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.lines().fingerprint
    }

    /// The lines so far, if the trace is kept in memory; else none.
    #[must_use]
    pub fn to_lines(&self) -> Vec<String> {
        match &self.lines().kept {
            Kept::InMemory(lines) => lines.clone(),
            _ => Vec::new(),
        }
    }

    /// Makes sure that all lines are in the file.
    ///
    /// # Errors
    ///
    /// When any line could not be written.
    pub fn finish(&self) -> io::Result<Fingerprint> {
        let mut lines = self.lines();
        match &mut lines.kept {
            Kept::InFile(file) => file.flush()?,
            Kept::Failed(error) => return Err(io::Error::new(error.kind(), error.to_string())),
            Kept::Nothing | Kept::InMemory(_) => {}
        }
        Ok(lines.fingerprint)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        // The lines before a panic are the ones worth reading.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn push(&mut self, line: String) {
        self.fingerprint.lines += 1;
        self.fingerprint.hash = fnv1a(self.fingerprint.hash, line.as_bytes());
        self.fingerprint.hash = fnv1a(self.fingerprint.hash, b"\n");
        match &mut self.kept {
            Kept::InMemory(lines) => lines.push(line),
            Kept::InFile(file) => {
                if let Err(error) = writeln!(file, "{line}") {
                    self.kept = Kept::Failed(error);
                }
            }
            Kept::Nothing | Kept::Failed(_) => {}
        }
    }
}

/// Records the events of one host.
#[derive(Clone)]
pub struct HostTrace {
    trace: Trace,
    host: Arc<str>,
}

impl HostTrace {
    /// Records what the host does now.
    pub fn record(&self, event: impl fmt::Display) {
        self.trace.record(&self.host, event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_host_and_event() {
        let trace = Trace::in_memory();
        trace.record_at(
            Duration::from_micros(3),
            "eu-west-1",
            "became leader\nof shard 1",
        );
        assert_eq!(
            trace.to_lines(),
            ["          3000 eu-west-1 became leader\\nof shard 1"]
        );
    }

    #[test]
    fn the_fingerprint_depends_on_order_and_not_on_where_lines_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        let traces = [Trace::in_memory(), Trace::to_file(&path).unwrap()];
        for trace in &traces {
            trace.record_at(Duration::ZERO, "a", "one");
            trace.record_at(Duration::ZERO, "b", "two");
        }
        let [in_memory, in_file] = traces.map(|trace| trace.finish().unwrap());
        assert_eq!(in_memory, in_file);
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 2);

        let swapped = Trace::fingerprint_only();
        swapped.record_at(Duration::ZERO, "b", "two");
        swapped.record_at(Duration::ZERO, "a", "one");
        assert_ne!(swapped.fingerprint(), in_memory);
    }
}

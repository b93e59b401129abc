use std::{collections::BTreeMap, fmt, time::Duration};

use super::{judge::Judged, tally::Counts};
use crate::{
    Seed,
    determinism::{self, Panicked},
    plan::Plan,
    simulation::Failure,
    trace::{Fingerprint, Trace},
};

/// What a scenario is given.
#[derive(Clone)]
pub struct Run {
    /// Everything the scenario does follows from it.
    pub seed: Seed,
    /// How much simulated time the workload lasts; none for as long as the scenario says.
    pub length: Option<Duration>,
    /// What will happen, for a scenario that plays plans; none for what follows from the seed.
    pub plan: Option<Plan>,
    /// Where to write what happens.
    pub trace: Trace,
    /// Called now and then with the simulated time, for whoever waits.
    pub progress: fn(Duration),
}

/// A run that went well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// How much simulated time passed.
    pub time: Duration,
    /// What happened, in numbers.
    pub counts: Counts,
    /// How many things each oracle has looked at.
    pub judged: Judged,
}

/// Plays once, to the end or to the first failure.
pub type Scenario = fn(&Run) -> Result<Played, Failure>;

/// What became of a run. Equal for equal seeds, so that reports can be compared too.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The seed.
    pub seed: Seed,
    /// How much simulated time passed, in milliseconds.
    pub simulated_ms: u64,
    /// Of the trace.
    pub trace: Fingerprint,
    /// What happened, in numbers; empty where something went wrong.
    pub counts: Counts,
    /// How many things each oracle has looked at; empty where something went wrong.
    pub judged: Judged,
    /// How often each situation came up.
    pub situations: BTreeMap<String, u64>,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
    /// Which kind of thing that was.
    pub kind: Option<String>,
}

/// Plays a scenario under the conditions of [`determinism::run`].
#[must_use]
pub fn play(scenario: Scenario, run: &Run) -> Report {
    let played = determinism::run(run.seed, || scenario(run));
    let mut passed = Duration::ZERO;
    let (mut counts, mut judged) = (Counts::new(), Judged::new());
    let mut broken = None;
    match played {
        Ok(Ok(played)) => {
            (passed, counts, judged) = (played.time, played.counts, played.judged);
        }
        Ok(Err(failure)) => {
            passed = failure.at;
            broken = Some((failure.to_string(), failure.cause.kind()));
        }
        Err(panicked @ Panicked { .. }) => broken = Some((panicked.to_string(), "panic")),
    }
    let (failure, kind) = broken.unzip();
    Report {
        seed: run.seed,
        simulated_ms: u64::try_from(passed.as_millis()).unwrap_or(u64::MAX),
        trace: run.trace.fingerprint(),
        counts,
        judged,
        situations: run.trace.situations(),
        failure,
        kind: kind.map(ToOwned::to_owned),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = Duration::from_millis(self.simulated_ms);
        match &self.failure {
            None => write!(f, "seed {}: every promise held for {passed:?}", self.seed)?,
            Some(failure) => write!(f, "{failure}")?,
        }
        write!(f, "; trace {}", self.trace)?;
        for (what, count) in &self.counts {
            write!(f, "\n{count:>8} {what}")?;
        }
        for (oracle, count) in &self.judged {
            write!(f, "\n{count:>8} judged by {oracle}")?;
        }
        Ok(())
    }
}

use std::{fmt, time::Duration};

use crate::{
    Seed,
    determinism::{self, Panicked},
    simulation::Failure,
    trace::{Fingerprint, Trace},
};

/// What a scenario is given.
#[derive(Clone)]
pub struct Run {
    /// Everything the scenario does follows from it.
    pub seed: Seed,
    /// How much simulated time the workload lasts.
    pub length: Duration,
    /// Where to write what happens.
    pub trace: Trace,
}

/// Plays once, to the end or to the first failure; returns how much simulated time passed.
pub type Scenario = fn(&Run) -> Result<Duration, Failure>;

/// What became of a run. Equal for equal seeds, so that reports can be compared too.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The seed.
    pub seed: Seed,
    /// How much simulated time passed, in milliseconds.
    pub simulated_ms: u64,
    /// Of the trace.
    pub trace: Fingerprint,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
}

/// Plays a scenario under the conditions of [`determinism::run`].
#[must_use]
pub fn play(scenario: Scenario, run: &Run) -> Report {
    let played = determinism::run(run.seed, || scenario(run));
    let (passed, failure) = match played {
        Ok(Ok(passed)) => (passed, None),
        Ok(Err(failure)) => (failure.at, Some(failure.to_string())),
        Err(panicked @ Panicked { .. }) => (Duration::ZERO, Some(panicked.to_string())),
    };
    Report {
        seed: run.seed,
        simulated_ms: u64::try_from(passed.as_millis()).unwrap_or(u64::MAX),
        trace: run.trace.fingerprint(),
        failure,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = Duration::from_millis(self.simulated_ms);
        match &self.failure {
            None => write!(f, "seed {}: every promise held for {passed:?}", self.seed)?,
            Some(failure) => write!(f, "{failure}")?,
        }
        write!(f, "; trace {}", self.trace)
    }
}

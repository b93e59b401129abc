use std::time::{Duration, Instant};

/// Real time, for what happens outside of simulations.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "outside of the simulation, about the real time it takes"
    )]
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// How long it has been.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

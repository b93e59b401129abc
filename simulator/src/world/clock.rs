use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use replication::world::Clock;

use crate::determinism::{EPOCH, simulated_elapsed};

/// The wall clock of one host: simulated time, off by an adjustable skew and a drift.
#[derive(Debug)]
pub struct SimClock(Mutex<Vec<Stretch>>);

/// A time in which a clock runs evenly. It ends where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// When it begins, in simulated time.
    pub from: Duration,
    /// How far the clock is ahead of the truth then, in nanoseconds (behind, where negative).
    pub ahead_nanos: i64,
    /// How fast it runs, in parts of a million (slow, where negative).
    pub drift_ppm: i64,
}

impl Stretch {
    /// What a clock showed at a time of this stretch, in nanoseconds since 1970.
    #[must_use]
    pub fn shown_at(&self, elapsed: Duration) -> u64 {
        let truth = u64::try_from((EPOCH + elapsed).as_nanos());
        let truth = truth.expect("simulated time fits 584 years");
        truth.saturating_add_signed(self.ahead_at(elapsed))
    }

    fn ahead_at(&self, elapsed: Duration) -> i64 {
        let since = i128::try_from(elapsed.saturating_sub(self.from).as_nanos());
        let drifted = since.map(|since| since * i128::from(self.drift_ppm) / 1_000_000);
        let drifted = drifted.ok().and_then(|drifted| i64::try_from(drifted).ok());
        self.ahead_nanos + drifted.expect("a run is short")
    }
}

impl Default for SimClock {
    fn default() -> Self {
        let right = Stretch {
            from: Duration::ZERO,
            ahead_nanos: 0,
            drift_ppm: 0,
        };
        SimClock(Mutex::new(vec![right]))
    }
}

impl SimClock {
    /// Sets how far the clock is ahead of the truth (behind, where negative). It jumps at once, and
    /// a drift begins anew from there.
    pub fn set_skew_nanos(&self, nanos: i64) {
        let drift_ppm = self.now().drift_ppm;
        self.go_on(nanos, drift_ppm);
    }

    /// Lets the clock run fast by so many parts in a million (slow, where negative), from where it
    /// stands now.
    pub fn set_drift_ppm(&self, ppm: i64) {
        let ahead = self.now().ahead_at(simulated_elapsed());
        self.go_on(ahead, ppm);
    }

    /// All that it has shown so far.
    #[must_use]
    pub fn shown(&self) -> Vec<Stretch> {
        self.stretches().clone()
    }

    fn go_on(&self, ahead_nanos: i64, drift_ppm: i64) {
        let from = simulated_elapsed();
        self.stretches().push(Stretch {
            from,
            ahead_nanos,
            drift_ppm,
        });
    }

    fn now(&self) -> Stretch {
        *self.stretches().last().expect("there is always one")
    }

    fn stretches(&self) -> MutexGuard<'_, Vec<Stretch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn wall_nanos(&self) -> u64 {
        self.now().shown_at(simulated_elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_clock_is_off_by_its_skew() {
        let clock = SimClock::default();
        let truth = clock.wall_nanos();
        assert_eq!(u128::from(truth), EPOCH.as_nanos());
        clock.set_skew_nanos(250);
        assert_eq!(clock.wall_nanos(), truth + 250);
        clock.set_skew_nanos(-250);
        assert_eq!(clock.wall_nanos(), truth - 250);
        // Outside of a run no time passes, so nothing has drifted yet.
        clock.set_drift_ppm(100);
        assert_eq!(clock.wall_nanos(), truth - 250);
        let [.., last] = clock.shown()[..] else {
            panic!("it has shown nothing");
        };
        let second = Duration::from_secs(1);
        assert_eq!(last.shown_at(second), truth + 1_000_000_000 - 250 + 100_000);
    }
}

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use replication::world::Clock;

use crate::determinism::{EPOCH, simulated_elapsed};

/// The wall clock of one host: simulated time, off by an adjustable skew and a drift.
#[derive(Debug, Default)]
pub struct SimClock {
    skew_nanos: AtomicI64,
    drift_ppm: AtomicI64,
    /// Since when it drifts, in nanoseconds of simulated time.
    drifts_since: AtomicU64,
}

impl SimClock {
    /// Sets how far the clock is ahead of the truth (behind, where negative). It jumps at once, and
    /// a drift begins anew from there.
    pub fn set_skew_nanos(&self, nanos: i64) {
        self.skew_nanos.store(nanos, Ordering::Relaxed);
        self.drifts_since.store(elapsed(), Ordering::Relaxed);
    }

    /// Lets the clock run fast by so many parts in a million (slow, where negative), from where it
    /// stands now.
    pub fn set_drift_ppm(&self, ppm: i64) {
        self.set_skew_nanos(self.off_by());
        self.drift_ppm.store(ppm, Ordering::Relaxed);
    }

    fn off_by(&self) -> i64 {
        let since = elapsed().saturating_sub(self.drifts_since.load(Ordering::Relaxed));
        let drifted =
            i128::from(since) * i128::from(self.drift_ppm.load(Ordering::Relaxed)) / 1_000_000;
        let drifted = i64::try_from(drifted).expect("a run is short");
        self.skew_nanos.load(Ordering::Relaxed) + drifted
    }
}

impl Clock for SimClock {
    fn wall_nanos(&self) -> u64 {
        let truth = EPOCH.as_nanos() + u128::from(elapsed());
        let truth = u64::try_from(truth).expect("simulated time fits 584 years");
        truth.saturating_add_signed(self.off_by())
    }
}

fn elapsed() -> u64 {
    u64::try_from(simulated_elapsed().as_nanos()).expect("a run is short")
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
    }
}

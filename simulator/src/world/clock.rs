use std::sync::atomic::{AtomicI64, Ordering};

use replication::world::Clock;

use crate::determinism::{EPOCH, simulated_elapsed};

/// The wall clock of one host: simulated time, off by an adjustable skew.
#[derive(Debug, Default)]
pub struct SimClock {
    skew_nanos: AtomicI64,
}

impl SimClock {
    /// Sets how far the clock is ahead of the truth (behind, where negative). It jumps at once.
    pub fn set_skew_nanos(&self, nanos: i64) {
        self.skew_nanos.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_nanos(&self) -> u64 {
        let truth = EPOCH + simulated_elapsed();
        let truth = u64::try_from(truth.as_nanos()).expect("simulated time fits 584 years");
        truth.saturating_add_signed(self.skew_nanos.load(Ordering::Relaxed))
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
    }
}

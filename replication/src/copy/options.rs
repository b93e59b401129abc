use std::time::Duration;

use crate::feed::HEARTBEAT;

/// How a copy follows its home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Longest wait for a feed to begin.
    pub begin: Duration,
    /// Longest silence of a feed, which has a heartbeat, before it counts as dead.
    pub silence: Duration,
    /// How long one node may have nothing new before another is asked: a replica that is cut off
    /// from its leader is alive and knows nothing.
    pub patience: Duration,
    /// The first wait after a failure. It doubles with each failure in a row, and each wait is
    /// drawn between its half and its whole.
    pub backoff_min: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            begin: Duration::from_secs(3),
            silence: 4 * HEARTBEAT,
            patience: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(3),
        }
    }
}

impl CopyOptions {
    /// The wait after a number of failures in a row, from 1; `random` decides where in its range.
    pub(crate) fn backoff(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let longest = self.backoff_min.saturating_mul(1 << doublings);
        let longest = longest.min(self.backoff_max);
        let half = longest / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
        half + Duration::from_nanos(random % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_bound_and_is_never_less_than_half() {
        let options = CopyOptions::default();
        for (failures, longest_ms) in [(1, 50), (2, 100), (5, 800), (9, 3000), (u32::MAX, 3000)] {
            let longest = Duration::from_millis(longest_ms);
            for random in [0, 1, 12_345_678_901, u64::MAX] {
                let wait = options.backoff(failures, random);
                assert!(
                    (longest / 2..=longest).contains(&wait),
                    "{failures}: {wait:?}"
                );
            }
        }
    }
}

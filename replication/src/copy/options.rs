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
    /// How soon after the last word a neighbour that passes a copy on says that it is alive.
    pub beat: Duration,
    /// Longest silence of a neighbour, and longest wait for its feed to begin.
    pub neighbour_silence: Duration,
    /// How long a neighbour may not have heard the home. Longer than it takes it to leave a node of
    /// the home that is silent for another.
    pub deaf: Duration,
    /// How long a neighbour may have nothing new while the home is known to have.
    pub behind: Duration,
    /// How often it is looked whether a node that comes earlier in the order can be followed again.
    pub review: Duration,
    /// How long such a node may take to show it.
    pub probe: Duration,
    /// For how long a neighbour is let be after a failure. It doubles with each failure in a row,
    /// as the waits do, so that one that comes and goes is not followed each time.
    pub avoid_min: Duration,
    /// The longest such time. A neighbour that was followed for so long counts as sound again.
    pub avoid_max: Duration,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            begin: Duration::from_secs(2),
            silence: HEARTBEAT * 5 / 2,
            patience: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(3),
            beat: Duration::from_millis(250),
            neighbour_silence: Duration::from_millis(600),
            deaf: Duration::from_millis(3500),
            behind: Duration::from_millis(1500),
            review: Duration::from_secs(1),
            probe: Duration::from_secs(1),
            avoid_min: Duration::from_secs(1),
            avoid_max: Duration::from_secs(30),
        }
    }
}

impl CopyOptions {
    /// The wait after a number of failures in a row, from 1; `random` decides where in its range.
    pub(crate) fn backoff(&self, failures: u32, random: u64) -> Duration {
        wait(self.backoff_min, self.backoff_max, failures, random)
    }

    /// For how long a neighbour is let be after a number of failures in a row, from 1.
    pub(super) fn avoidance(&self, failures: u32, random: u64) -> Duration {
        wait(self.avoid_min, self.avoid_max, failures, random)
    }
}

fn wait(min: Duration, max: Duration, failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let longest = min.saturating_mul(1 << doublings).min(max);
    let half = longest / 2;
    let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
    half + Duration::from_nanos(random % (span + 1))
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

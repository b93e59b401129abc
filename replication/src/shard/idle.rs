//! When a shard with nothing to decide closes its time.

use std::time::Duration;

use tokio::time::Instant;

/// Counts the quiet since the last entry. An idle shard closes time after the shortest quiet, and
/// then after twice as long each time, up to the longest; while somebody wants freshness, always
/// after the shortest.
///
/// Times fall on the wall clock's multiples of the quiet: shards that are idle together close their
/// times together, and share one synced write.
#[derive(Debug)]
pub(super) struct Idle {
    min: Duration,
    max: Duration,
    /// How long the quiet may be now.
    quiet: Duration,
    /// When the last entry was decided, by either clock.
    since: Instant,
    since_wall: u64,
}

impl Idle {
    pub(super) fn new(min: Duration, max: Duration, now: Instant, wall: u64) -> Self {
        Self {
            min,
            max,
            quiet: min,
            since: now,
            since_wall: wall,
        }
    }

    /// An entry with something in it was decided.
    pub(super) fn busy(&mut self, now: Instant, wall: u64) {
        self.quiet = self.min;
        self.decided(now, wall);
    }

    /// An empty entry was decided because the quiet had been long enough.
    pub(super) fn closed(&mut self, now: Instant, wall: u64, wanted: bool) {
        self.quiet = match wanted {
            true => self.min,
            false => (self.quiet * 2).min(self.max),
        };
        self.decided(now, wall);
    }

    /// An entry was decided; it says nothing about how busy the shard is.
    pub(super) fn decided(&mut self, now: Instant, wall: u64) {
        (self.since, self.since_wall) = (now, wall);
    }

    /// When to close time if nothing else comes, and whether somebody wants freshness.
    pub(super) fn due(&self, wanted: bool) -> Instant {
        let quiet = if wanted { self.min } else { self.quiet };
        self.since + until_multiple(self.since_wall, quiet)
    }
}

/// The time from `wall` to a multiple of a period: the next one, or if that comes too soon, the one
/// after. So it is between a quarter of the period and five.
fn until_multiple(wall: u64, period: Duration) -> Duration {
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    let next = Duration::from_nanos(nanos - wall % nanos);
    if next < period / 4 {
        next + period
    } else {
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(500);
    const MAX: Duration = Duration::from_secs(10);

    /// When time is closed within a minute of idleness, in milliseconds.
    fn closings(begun_ms: u64, wanted: impl Fn(u64) -> bool) -> Vec<u64> {
        let start = Instant::now();
        let wall = |at: Instant| begun_ms * 1_000_000 + (at - start).as_nanos() as u64;
        let mut idle = Idle::new(MIN, MAX, start, wall(start));
        let mut closed = Vec::new();
        loop {
            let last = closed.last().copied().unwrap_or(begun_ms);
            let at = idle.due(wanted(last));
            let ms = wall(at) / 1_000_000;
            if ms > begun_ms + 60_000 {
                return closed;
            }
            closed.push(ms);
            idle.closed(at, wall(at), wanted(ms));
        }
    }

    #[tokio::test]
    async fn quiet_grows_up_to_ten_seconds_and_then_all_close_together() {
        let unasked = closings(1_000_123, |_| false);
        let gaps: Vec<_> = unasked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(unasked.len() <= 11, "{unasked:?}");
        assert!(gaps.iter().all(|gap| *gap <= 12_500), "{gaps:?}");
        assert!(gaps.ends_with(&[10_000, 10_000, 10_000]), "{gaps:?}");
        let another = closings(1_003_456, |_| false);
        let end = |all: &[u64]| all.iter().rev().take(3).map(|ms| ms % 10_000).sum::<u64>();
        assert_eq!((end(&unasked), end(&another)), (0, 0));
    }

    #[tokio::test]
    async fn while_it_is_wanted_time_is_closed_every_half_second() {
        let wanted = closings(1_000_123, |ms| ms < 1_020_000);
        let early = wanted.iter().filter(|ms| **ms < 1_020_000);
        assert!((38..=40).contains(&early.count()), "{wanted:?}");
        let late = wanted.iter().filter(|ms| **ms > 1_030_000);
        assert!(late.count() <= 6, "{wanted:?}");
        assert!(wanted[1..].iter().all(|ms| ms % 500 == 0), "{wanted:?}");
    }

    #[test]
    fn it_is_never_long_nor_at_once() {
        for ms in 0..2_000 {
            let wait = until_multiple(ms * 1_000_000, MIN);
            assert!(wait >= MIN / 4 && wait <= MIN * 5 / 4, "{ms}: {wait:?}");
        }
    }
}

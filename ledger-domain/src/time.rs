//! Hybrid logical time, guarded.
//!
//! A hybrid logical clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014) gives each
//! event a time close to the wall clock's and above that of everything the event could know of.
//! The algorithm is `hybrid-clocks`'; this module closes what it leaves open: a message may not
//! raise the epoch (which would freeze the clock), nor carry an absurd count, nor be further
//! ahead than the bound.

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hybrid_clocks::{Clock, ClockSource, OffsetLimiter, Timestamp, WallNST};

use crate::planted::{Bug, planted};

/// A label that orders: nanoseconds of wall clock, then a count within the same nanosecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HybridTime {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_nanos: u64,
    /// Ties within one nanosecond.
    pub count: u32,
}

/// A count above this is not a clock that ticked but a message that lies.
const MAX_COUNT: u32 = 1 << 30;

impl HybridTime {
    /// Before every time a clock gives.
    pub const ZERO: Self = Self {
        wall_nanos: 0,
        count: 0,
    };

    /// The first time of a millisecond since 1970.
    pub const fn from_millis(ms: u64) -> Self {
        Self {
            wall_nanos: ms.saturating_mul(1_000_000),
            count: 0,
        }
    }

    /// Whole milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.wall_nanos / 1_000_000
    }

    /// 16 bytes that sort as the times do.
    pub fn to_bytes(self) -> [u8; 16] {
        self.timestamp().to_bytes()
    }

    /// From 16 bytes; `None` where they are no time of this clock.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let t = Timestamp::<WallNST>::from_bytes(bytes);
        (t.epoch == 0 && t.count <= MAX_COUNT).then(|| Self {
            wall_nanos: t.time.as_u64(),
            count: t.count,
        })
    }

    fn timestamp(self) -> Timestamp<WallNST> {
        Timestamp {
            epoch: 0,
            time: WallNST::of_u64(self.wall_nanos),
            count: self.count,
        }
    }
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.wall_nanos);
        match jiff::Timestamp::from_nanosecond(nanos) {
            Ok(t) if self.count == 0 => write!(f, "{t:.3}"),
            Ok(t) => write!(f, "{t:.3}+{}", self.count),
            Err(_) => write!(f, "{}ns+{}", self.wall_nanos, self.count),
        }
    }
}

/// A time that a clock refuses to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// Further ahead of this clock than the bound.
    #[error("time {ahead:?} ahead of this clock, beyond the bound of {bound:?}")]
    Ahead {
        /// How far.
        ahead: Duration,
        /// How far is allowed.
        bound: Duration,
    },
    /// A count no clock reaches.
    #[error("count {0} within one nanosecond is not credible")]
    Count(u32),
}

/// The reading that the caller gave, where the library looks for it.
#[derive(Debug)]
struct Given(Arc<AtomicU64>);

impl ClockSource for Given {
    type Time = WallNST;
    type Delta = Duration;

    fn now(&mut self) -> hybrid_clocks::Result<WallNST> {
        Ok(WallNST::of_u64(self.0.load(Ordering::Relaxed)))
    }
}

/// A clock that never goes back, follows what it observes, and refuses to follow too far.
///
/// It reads no clock itself: every call is given the wall clock's reading.
#[derive(Debug)]
pub struct GuardedClock {
    reading: Arc<AtomicU64>,
    clock: OffsetLimiter<Given>,
    bound: Duration,
}

impl GuardedClock {
    /// A clock above `last` (the highest time in the log), following at most `bound` ahead.
    pub fn new(last: HybridTime, bound: Duration) -> Self {
        let bound = match planted(Bug::ClockBoundIgnored) {
            true => Duration::from_secs(365 * 24 * 3600),
            false => bound,
        };
        let reading = Arc::new(AtomicU64::new(last.wall_nanos));
        let mut clock = Clock::new(Given(reading.clone())).expect("a given reading cannot fail");
        clock.observe(&last.timestamp());
        Self {
            reading,
            clock: clock.with_max_diff(bound),
            bound,
        }
    }

    /// The bound.
    pub const fn bound(&self) -> Duration {
        self.bound
    }

    /// A time above every time given or observed before.
    pub fn now(&mut self, wall_nanos: u64) -> HybridTime {
        self.reading.store(wall_nanos, Ordering::Relaxed);
        let t = self.clock.now().expect("a given reading cannot fail");
        HybridTime {
            wall_nanos: t.time.as_u64(),
            count: t.count,
        }
    }

    /// Follows a time that a message carried, so that what comes next is above it.
    pub fn observe(&mut self, time: HybridTime, wall_nanos: u64) -> Result<(), OutOfBounds> {
        if time.count > MAX_COUNT {
            return Err(OutOfBounds::Count(time.count));
        }
        self.reading.store(wall_nanos, Ordering::Relaxed);
        self.clock
            .observe(&time.timestamp())
            .map_err(|_| OutOfBounds::Ahead {
                ahead: Duration::from_nanos(time.wall_nanos.saturating_sub(wall_nanos)),
                bound: self.bound,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(500);
    const T: u64 = 1_000_000_000_000;

    fn at(wall_nanos: u64, count: u32) -> HybridTime {
        HybridTime { wall_nanos, count }
    }

    #[test]
    fn time_rises_while_the_wall_clock_stands_still_or_goes_back() {
        let mut clock = GuardedClock::new(at(T, 7), BOUND);
        let mut last = at(T, 7);
        for wall in [T, T, T - 5, T + 1, T, T + 1] {
            let now = clock.now(wall);
            assert!(now > last, "{now:?} after {last:?}");
            last = now;
        }
    }

    #[test]
    fn what_was_observed_is_before_what_comes_next() {
        let mut clock = GuardedClock::new(HybridTime::ZERO, BOUND);
        let seen = at(T + 400_000_000, 3);
        clock.observe(seen, T).unwrap();
        assert!(clock.now(T) > seen);
    }

    #[test]
    fn a_time_beyond_the_bound_is_refused_and_changes_nothing() {
        let mut clock = GuardedClock::new(HybridTime::ZERO, BOUND);
        let before = clock.now(T);
        assert!(matches!(
            clock.observe(at(T + 600_000_000, 0), T),
            Err(OutOfBounds::Ahead { .. })
        ));
        assert!(matches!(
            clock.observe(at(T, u32::MAX), T),
            Err(OutOfBounds::Count(_))
        ));
        assert_eq!(clock.now(T).wall_nanos, before.wall_nanos);
    }

    #[test]
    fn bytes_sort_as_times_do_and_a_foreign_epoch_is_no_time() {
        let (a, b) = (at(T, 9), at(T + 1, 0));
        assert!(a.to_bytes() < b.to_bytes());
        assert_eq!(HybridTime::from_bytes(a.to_bytes()), Some(a));
        let mut frozen = a.to_bytes();
        frozen[3] = 1;
        assert_eq!(HybridTime::from_bytes(frozen), None);
    }
}

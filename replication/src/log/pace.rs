//! How long synced writes take here, lately.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Space;

/// How many writes are remembered.
const KEPT: usize = 15;
/// Fewer than these tell nothing: one stall is no slow disk.
const ENOUGH: usize = 5;
/// Older writes tell nothing either.
const RECENT: Duration = Duration::from_secs(10);
/// A write that is under way for so long tells by itself: a disk that hangs finishes none.
const HANGS: Duration = Duration::from_secs(2);

/// What a disk without room is told to take for a write: longer than any that works.
const NEVER: Duration = Duration::from_secs(3_600);

/// How long a node's synced writes take. Cheap to clone; the log's writer notes, others read.
#[derive(Clone, Default)]
pub struct Pace {
    recent: Arc<Mutex<Recent>>,
    space: Space,
}

#[derive(Default)]
struct Recent {
    /// When each ended, and how long it took; the newest last.
    done: VecDeque<(Instant, Duration)>,
    /// When the one under way began.
    begun: Option<Instant>,
}

impl Pace {
    /// How long a synced write takes: the median of those made lately, or how long one has hung.
    /// `None` where too few were made to tell. A disk without room is slower than any other.
    pub fn sync_time(&self) -> Option<Duration> {
        if !self.space.has_room() {
            return Some(NEVER);
        }
        self.lock().sync_time(Instant::now())
    }

    /// Whether the disk has room.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A synced write begins.
    pub(super) fn begin(&self) {
        self.lock().begun = Some(Instant::now());
    }

    /// It has ended.
    pub(super) fn end(&self) {
        let mut recent = self.lock();
        if let Some(begun) = recent.begun {
            recent.done(begun, Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn done(&mut self, begun: Instant, now: Instant) {
        self.begun = None;
        if self.done.len() == KEPT {
            self.done.pop_front();
        }
        self.done.push_back((now, now - begun));
    }

    fn sync_time(&self, now: Instant) -> Option<Duration> {
        let recent = self.done.iter().filter(|(ended, _)| now - *ended < RECENT);
        let mut times: Vec<_> = recent.map(|(_, time)| *time).collect();
        times.sort_unstable();
        let median = (times.len() >= ENOUGH).then(|| times[times.len() / 2]);
        let under_way = self.begun.map(|begun| now - begun);
        median.max(under_way.filter(|time| *time >= HANGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_median_of_recent_writes_as_a_table() {
        let start = Instant::now();
        // Writes of so many milliseconds, one after the other; then an idle time; then what is told.
        for (writes, idle, told) in [
            (vec![], 0, None),
            (vec![1_000], 0, None),
            (vec![1, 1, 1, 1], 0, None),
            (vec![1, 1, 1, 1, 1], 0, Some(1)),
            (vec![1, 1, 900, 1, 1], 0, Some(1)),
            (vec![1, 1, 300, 300, 300], 0, Some(300)),
            (vec![1, 1, 300, 300, 300], 9_900, None),
            (vec![1, 1, 300, 300, 300], 20_000, None),
            ([vec![300; 20], vec![2; 8]].concat(), 0, Some(2)),
        ] {
            let mut recent = Recent::default();
            let mut now = start;
            for write in &writes {
                let begun = now;
                now += millis(*write);
                recent.done(begun, now);
            }
            now += millis(idle);
            assert_eq!(recent.sync_time(now), told.map(millis), "{writes:?} {idle}");
        }
    }

    #[test]
    fn a_write_that_hangs_tells_by_itself() {
        let start = Instant::now();
        let recent = Recent {
            begun: Some(start),
            ..Recent::default()
        };
        assert_eq!(recent.sync_time(start + millis(1_999)), None);
        assert_eq!(recent.sync_time(start + millis(2_500)), Some(millis(2_500)));
    }
}

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The power of one machine, and the moment at which it will fail.
///
/// A host cannot be taken down in the middle of its turn. But nothing that it does after its power
/// has failed may count: its disk keeps nothing and its network sends nothing from the very
/// operation on at which it failed, and the driver takes the host down when its turn is over.
#[derive(Debug, Default)]
pub struct Power {
    has_failed: AtomicBool,
    /// Operations left until it fails; zero where none was named.
    writes_left: AtomicU64,
    sends_left: AtomicU64,
}

impl Power {
    /// Lets the power fail at the n-th write to the disk from now on: that one is lost.
    pub fn fail_at_write(&self, nth: u64) {
        self.writes_left.store(nth, Ordering::Relaxed);
    }

    /// Lets the power fail when the n-th piece of data from now on is about to be sent.
    pub fn fail_at_send(&self, nth: u64) {
        self.sends_left.store(nth, Ordering::Relaxed);
    }

    /// The power is back, and no failure is planned.
    pub fn restore(&self) {
        self.has_failed.store(false, Ordering::Relaxed);
        self.fail_at_write(0);
        self.fail_at_send(0);
    }

    /// Whether it has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Counts a write. Returns whether it happens.
    pub(super) fn writes(&self) -> bool {
        self.counts_down(&self.writes_left)
    }

    /// Counts a piece of data to be sent. Returns whether it is.
    pub(super) fn sends(&self) -> bool {
        self.counts_down(&self.sends_left)
    }

    fn counts_down(&self, left: &AtomicU64) -> bool {
        match left.load(Ordering::Relaxed) {
            0 => {}
            1 => self.has_failed.store(true, Ordering::Relaxed),
            more => left.store(more - 1, Ordering::Relaxed),
        }
        !self.has_failed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_at_the_nth_operation_and_stays_off() {
        let power = Power::default();
        assert!(power.writes());
        power.fail_at_write(2);
        assert!(power.writes() && power.sends());
        assert!(!power.writes());
        assert!(power.has_failed() && !power.sends());
        power.restore();
        assert!(power.writes() && power.sends());
    }
}

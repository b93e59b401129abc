use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use replication::world::{Clock, SystemClock};

/// The operating system's clock, wrong by as much as a test says.
#[derive(Clone, Default)]
pub struct WrongClock(Arc<AtomicI64>);

impl WrongClock {
    pub fn set_ahead_ms(&self, millis: i64) {
        self.0.store(millis * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for WrongClock {
    fn wall_nanos(&self) -> u64 {
        let ahead = self.0.load(Ordering::Relaxed);
        SystemClock.wall_nanos().saturating_add_signed(ahead)
    }
}

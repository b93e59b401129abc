//! Room on the disk: what happens before there is none.
//!
//! A file system that is full fails a write in the middle, and after a failed write nobody knows
//! what is stored: the log stops until the node is started again. So a node takes nothing new long
//! before: below a reserve of free bytes its writers decide nothing, its replicas take no entries,
//! its copies pull none. All of that only waits, as if a network were cut; when there is room again
//! it goes on where it was. Reads need no room.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::world::Disk;

/// Time between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether a node's disk has room for more. Cheap to clone. There is room until it is watched.
#[derive(Clone)]
pub struct Space(Arc<watch::Sender<bool>>);

impl Default for Space {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Space {
    /// Whether something new may be written.
    #[must_use]
    pub fn has_room(&self) -> bool {
        *self.0.borrow()
    }

    /// Tells of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Returns when there is room.
    pub async fn room(&self) {
        // This holds the sender, so the wait ends with room only.
        let _ = self.0.subscribe().wait_for(|has_room| *has_room).await;
    }

    /// Looks at a disk for as long as the node runs: below `reserve` free bytes there is no room,
    /// and with a quarter more than that there is room again. Returns at once where the disk cannot
    /// tell, or nothing is to be reserved.
    pub async fn watch(self, disk: Arc<dyn Disk>, reserve: u64) {
        while let (Some(room), true) = (disk.room(), reserve > 0) {
            let (had_room, free) = (self.has_room(), room.free);
            let has_room = has_room(free, reserve, had_room);
            if had_room && !has_room {
                tracing::error!(free, reserve, "the disk is full: nothing new is written");
            } else if has_room && !had_room {
                tracing::warn!(free, reserve, "the disk has room again");
            }
            self.0
                .send_if_modified(|now| std::mem::replace(now, has_room) != has_room);
            sleep(LOOK_EVERY).await;
        }
    }
}

fn has_room(free: u64, reserve: u64, had_room: bool) -> bool {
    match had_room {
        true => free >= reserve,
        false => free >= reserve.saturating_add(reserve / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_with_a_quarter_more_than_the_reserve() {
        for (free, had_room, expected) in [
            (100, true, true),
            (99, true, false),
            (124, false, false),
            (125, false, true),
            (u64::MAX, false, true),
            (0, true, false),
        ] {
            assert_eq!(has_room(free, 100, had_room), expected, "{free} {had_room}");
        }
    }
}

//! A disk that a test can get its hands on while its node runs.

use std::{
    io,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use replication::{
    rocks::RocksDisk,
    world::{Disk, Engine, Room, Store},
};

/// The log store of a running node, and how much room its disk has. Does not keep the store open.
#[derive(Clone)]
pub struct LogInReach {
    engine: Arc<Mutex<Option<Weak<dyn Engine>>>>,
    free: Arc<AtomicU64>,
}

impl Default for LogInReach {
    fn default() -> Self {
        Self {
            engine: Arc::default(),
            free: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }
}

impl LogInReach {
    /// The store, until it is let go of. The node cannot stop before.
    pub fn get(&self) -> Arc<dyn Engine> {
        let log = self.engine.lock().unwrap();
        log.as_ref().and_then(Weak::upgrade).expect("the node runs")
    }

    /// Says how many bytes the disk has left.
    pub fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }
}

pub struct InReach {
    pub disk: RocksDisk,
    pub log: LogInReach,
}

impl Disk for InReach {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        let engine = self.disk.open(store)?;
        if store == Store::Log {
            *self.log.engine.lock().unwrap() = Some(Arc::downgrade(&engine));
        }
        Ok(engine)
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        self.disk.wipe(store)
    }

    fn has(&self, store: Store) -> bool {
        self.disk.has(store)
    }

    fn room(&self) -> Option<Room> {
        let room = self.disk.room()?;
        let free = room.free.min(self.log.free.load(Ordering::Relaxed));
        Some(Room { free, ..room })
    }
}

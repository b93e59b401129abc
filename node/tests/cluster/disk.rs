//! A disk that a test can get its hands on while its node runs.

use std::{
    io,
    sync::{Arc, Mutex, Weak},
};

use replication::{
    rocks::RocksDisk,
    world::{Disk, Engine, Store},
};

/// The log store of a running node. Does not keep it open.
#[derive(Clone, Default)]
pub struct LogInReach(Arc<Mutex<Option<Weak<dyn Engine>>>>);

impl LogInReach {
    /// The store, until it is let go of. The node cannot stop before.
    pub fn get(&self) -> Arc<dyn Engine> {
        let log = self.0.lock().unwrap();
        log.as_ref().and_then(Weak::upgrade).expect("the node runs")
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
            *self.log.0.lock().unwrap() = Some(Arc::downgrade(&engine));
        }
        Ok(engine)
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        self.disk.wipe(store)
    }
}

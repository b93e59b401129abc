use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::rngs::SmallRng;
use replication::world::{Disk, Engine, Store};

use super::{
    Power, SimEngine,
    log_key::{self, RECORD},
};
use crate::Seed;

/// The first bytes of keys of read models, as their layout says.
const VIEW_CURSOR: u8 = 0x10;
const VIEW_ACCOUNT: u8 = 0x20;

/// The disk of one host. It lives outside of the host and survives its crashes.
#[derive(Debug)]
pub struct SimDisk {
    seed: Seed,
    power: Arc<Power>,
    lies: AtomicBool,
    sync_time: Mutex<Duration>,
    stores: Mutex<BTreeMap<Store, Arc<SimEngine>>>,
}

impl SimDisk {
    /// An empty disk of a machine with this power.
    #[must_use]
    pub fn new(seed: Seed, power: Arc<Power>) -> Self {
        let stores = Mutex::default();
        SimDisk {
            seed,
            power,
            lies: AtomicBool::new(false),
            sync_time: Mutex::default(),
            stores,
        }
    }

    /// Cuts the power: each store keeps its synced writes and a seeded prefix of the others, and
    /// injected write failures end. Returns how many batches were lost. Call it after the host
    /// has stopped.
    pub fn power_loss(&self, rng: &mut SmallRng) -> usize {
        let stores = self.stores();
        stores.values().map(|engine| engine.power_loss(rng)).sum()
    }

    /// Lets the next `count` writes to a store fail, until power is cut. A failed write may
    /// nevertheless turn out to be stored. Does nothing to a store never opened.
    pub fn fail_writes(&self, store: Store, count: u32) {
        if let Some(engine) = self.stores().get(&store) {
            engine.fail_writes(count);
        }
    }

    /// Lets no more writes fail than have failed.
    pub fn stop_failing_writes(&self) {
        self.stores()
            .values()
            .for_each(|store| store.fail_writes(0));
    }

    /// Lets every write fail for want of room, or no longer. Does nothing to stores never opened.
    pub fn set_full(&self, is_full: bool) {
        self.stores()
            .values()
            .for_each(|engine| engine.set_full(is_full));
    }

    /// Lets syncs take so long, roughly; no time at all where it is zero. A device's slowness
    /// outlives the process that meets it.
    pub fn set_sync_time(&self, time: Duration) {
        *self
            .sync_time
            .lock()
            .expect("an operation on this disk panicked") = time;
        self.stores()
            .values()
            .for_each(|engine| engine.set_sync_time(time));
    }

    /// Flips a bit in something that a node reads of its read models when it starts, as the views'
    /// layout has it: a cursor, or an account's row. Returns whether there was one.
    pub fn spoil_views(&self, rng: &mut SmallRng) -> bool {
        let Some(views) = self.store(Store::Views) else {
            return false;
        };
        let of = |kind: u8| [kind]..[kind + 1];
        let [cursors, accounts] = [VIEW_CURSOR, VIEW_ACCOUNT].map(of);
        let mut flip = |it: std::ops::Range<[u8; 1]>| views.flip_a_bit(&it.start..&it.end, rng);
        flip(accounts) || flip(cursors)
    }

    /// Lets the disk call synced what a power cut can still take: more than any redundancy covers.
    pub fn set_lying(&self, lies: bool) {
        self.lies.store(lies, Ordering::Relaxed);
        self.stores()
            .values()
            .for_each(|engine| engine.set_lying(lies));
    }

    /// Takes everything away. Call it after the host has stopped.
    pub fn lose(&self) {
        self.stores().clear();
    }

    /// Whether a write has failed since the stores were opened: a node writes no more after that.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.stores().values().any(|engine| engine.has_failed())
    }

    /// Flips a bit of one of a shard's records, whatever it is needed for. Returns whether there was
    /// one.
    pub fn flip_a_bit(&self, shard: u32, rng: &mut SmallRng) -> bool {
        let Some(log) = self.store(Store::Log) else {
            return false;
        };
        let (start, end) = (log_key::of(RECORD, shard), log_key::of(RECORD, shard + 1));
        log.flip_a_bit(start.as_slice()..end.as_slice(), rng)
    }

    /// Lets the next `count` records of a shard be changed between their check and the disk, or no
    /// more.
    pub fn rot(&self, shard: u32, count: u32) {
        if let Some(log) = self.store(Store::Log) {
            log.rot(shard, count);
        }
    }

    /// Entries that were written here while what they act upon was here and could still be lost.
    #[must_use]
    pub fn rash(&self) -> Vec<String> {
        self.store(Store::Log)
            .map_or_else(Vec::new, |log| log.rash())
    }

    /// Whether a flipped bit has not been mended yet.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.stores().values().any(|engine| engine.is_damaged())
    }

    /// The stores with a key or a value that is so.
    pub fn stores_with(&self, is_so: impl Fn(&[u8]) -> bool) -> Vec<Store> {
        let stores = self.stores();
        let such = stores.iter().filter(|(_, engine)| engine.holds(&is_so));
        such.map(|(store, _)| *store).collect()
    }

    /// A store as it is now, for a test or an oracle to look into. None if it was never opened.
    #[must_use]
    pub fn store(&self, store: Store) -> Option<Arc<SimEngine>> {
        self.stores().get(&store).cloned()
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<Store, Arc<SimEngine>>> {
        self.stores
            .lock()
            .expect("an operation on this disk panicked")
    }
}

impl Disk for SimDisk {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        let mut stores = self.stores();
        let engine = stores.entry(store).or_insert_with(|| {
            let seed = self.seed.derive(&format!("{store:?}"));
            Arc::new(SimEngine::new(seed, self.power.clone()))
        });
        engine.set_lying(self.lies.load(Ordering::Relaxed));
        engine.set_sync_time(
            *self
                .sync_time
                .lock()
                .expect("an operation on this disk panicked"),
        );
        engine.reopen();
        Ok(engine.clone())
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        let mut stores = self.stores();
        // RocksDB refuses to destroy a database that is open.
        if stores
            .get(&store)
            .is_some_and(|engine| Arc::strong_count(engine) > 1)
        {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("wipe the store {store:?}: it is open"),
            ));
        }
        stores.remove(&store);
        Ok(())
    }

    fn has(&self, store: Store) -> bool {
        self.stores().contains_key(&store)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use replication::world::{Durability, Op};

    use super::*;

    #[test]
    fn a_store_outlives_its_handles_and_ends_with_a_wipe() {
        let disk = SimDisk::new(Seed(1), Arc::default());
        let engine = disk.open(Store::Views).unwrap();
        let put = Op::Put(b"key".to_vec(), Bytes::from_static(b"value"));
        engine.write(vec![put], Durability::Later).unwrap();
        assert_eq!(
            disk.wipe(Store::Views).unwrap_err().kind(),
            io::ErrorKind::ResourceBusy
        );
        drop(engine);

        let engine = disk.open(Store::Views).unwrap();
        assert!(engine.get(b"key").unwrap().is_some());
        assert!(
            disk.open(Store::Log)
                .unwrap()
                .get(b"key")
                .unwrap()
                .is_none()
        );
        drop(engine);

        disk.wipe(Store::Views).unwrap();
        let engine = disk.open(Store::Views).unwrap();
        assert!(engine.get(b"key").unwrap().is_none());
    }
}

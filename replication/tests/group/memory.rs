use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use replication::world::{Batch, Durability, Engine, Op, SortedRow, WriterHost, batch};

/// An ordered map that forgets everything with the test.
#[derive(Default)]
pub struct MemoryEngine {
    pairs: RwLock<BTreeMap<Vec<u8>, Bytes>>,
    sync_millis: AtomicU64,
}

impl MemoryEngine {
    /// From now on a synced write takes so long.
    pub fn slow_down(&self, sync: Duration) {
        let millis = u64::try_from(sync.as_millis()).expect("no age");
        self.sync_millis.store(millis, Ordering::Relaxed);
    }

    fn pairs(&self, range: Range<&[u8]>) -> Vec<(Vec<u8>, Bytes)> {
        if range.start >= range.end {
            return Vec::new();
        }
        let map = self.pairs.read().unwrap_or_else(PoisonError::into_inner);
        map.range(range.start.to_vec()..range.end.to_vec())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let millis = self.sync_millis.load(Ordering::Relaxed);
        if durability == Durability::Synced && millis > 0 {
            std::thread::sleep(Duration::from_millis(millis));
        }
        let mut map = self.pairs.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch {
            match op {
                Op::Put(key, value) => {
                    map.insert(key, value);
                }
                Op::Delete(key) => {
                    map.remove(&key);
                }
                Op::DeleteRange(range) => map.retain(|key, _| !range.contains(key)),
            }
        }
        Ok(())
    }

    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        self.write(batch(rows), Durability::Later)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        Ok(self
            .pairs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned())
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for (key, value) in self.pairs(range) {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for (key, value) in self.pairs(range).into_iter().rev() {
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn writer_host(&self) -> WriterHost {
        WriterHost::Thread
    }
}

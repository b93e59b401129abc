//! Reading the stores of a stopped node, and changing nothing.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rocksdb::{DB, DBRecoveryMode};
use rustix::fs::{FlockOperation, fcntl_lock};

use super::{RocksDisk, RocksEngine, failed};
use crate::world::{Engine, Store};

/// A store that is only read.
pub struct Stopped {
    /// What is in it.
    pub engine: Arc<dyn Engine>,
    /// The newest write is incomplete and left out: whoever wrote was cut off, or the file was cut
    /// or damaged at its end.
    pub torn_end: bool,
}

impl RocksDisk {
    /// Opens a store for reading only. No file is made or changed, and no node can open the store
    /// until the engine is dropped.
    ///
    /// Fails with `NotFound` where there is no store, and with `ResourceBusy` where another process
    /// has it open. A node in this very process is not noticed: such locks are a process's.
    pub fn open_stopped(&self, store: Store) -> io::Result<Stopped> {
        let path = self.path(store);
        if !path.join("CURRENT").is_file() {
            let what = format!("{} is not a store", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let held = hold(&path)?;
        // A node that starts again leaves out what comes after a damaged write. Here that would
        // hide what is damaged.
        let open = |mode| {
            let mut options = self.options(store);
            options.set_wal_recovery_mode(mode);
            DB::open_for_read_only(&options, &path, false)
        };
        let (opened, torn_end) = match open(DBRecoveryMode::AbsoluteConsistency) {
            Err(cause) if cause.kind() == rocksdb::ErrorKind::Corruption => {
                (open(DBRecoveryMode::TolerateCorruptedTailRecords), true)
            }
            opened => (opened, false),
        };
        let db = opened.map_err(|cause| failed("open", &path, &cause))?;
        let engine = Arc::new(RocksEngine {
            db,
            options: None,
            runs: path.join("runs"),
            next_run: AtomicU64::new(0),
            held,
        });
        Ok(Stopped { engine, torn_end })
    }
}

/// Shares the lock that RocksDB takes for itself where it writes: readers may be many, but not
/// beside a writer. A copied directory may have come without the lock's file, and without anybody
/// to lock out.
fn hold(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path.join("LOCK")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match fcntl_lock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
            let what = format!("{} is open in a running node", path.display());
            Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::world::{Disk, Durability, Op};

    #[test]
    fn a_stopped_store_is_read_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().to_owned());
        assert_eq!(
            disk.open_stopped(Store::Log).err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
        let put = Op::Put("k".into(), Bytes::from_static(b"v"));
        let engine = disk.open(Store::Log).unwrap();
        engine.write(vec![put.clone()], Durability::Synced).unwrap();
        drop(engine);
        let files = |store: &Path| {
            let mut files: Vec<_> = std::fs::read_dir(store)
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
                .collect();
            files.sort();
            files
        };
        let store = dir.path().join("log");
        let before = files(&store);

        let Stopped { engine, torn_end } = disk.open_stopped(Store::Log).unwrap();
        assert!(!torn_end);
        assert_eq!(engine.get(b"k").unwrap().unwrap(), "v");
        assert!(engine.write(vec![put], Durability::Later).is_err());
        drop(engine);
        assert_eq!(files(&store), before);
    }
}

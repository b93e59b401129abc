//! The disk of a real node: two RocksDB databases, `log` and `views`, in one directory.
//!
//! Both recover to a point in time: after a crash the database is what it was after some write,
//! at or after the last synced one. A write-ahead log that is cut, lost or damaged before that
//! point is an error at opening, never a silent gap. Memory is bounded: one block cache for both
//! databases, few and small memtables.

mod read_only;

use std::fs::{self, File};
use std::io;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, DBRecoveryMode,
    IngestExternalFileOptions, Options, ReadOptions, SstFileWriter, WriteBatch, WriteOptions,
};

pub use read_only::Stopped;

use crate::world::{
    Batch, Disk, Durability, Engine, Op, Room, SortedRow, Store, WriterHost, batch,
};

/// What both databases together use unless told otherwise, in bytes: a fifth for the cache, the rest
/// for memtables. Those are small, so that a flush is short: with 128 MB each, throughput dipped for
/// seconds.
pub const DEFAULT_MEMORY: usize = 320 << 20;
const DATABASES: usize = 2;
const MEMTABLES: i32 = 4;
/// Index and filter blocks of open files are counted by the cache; the handles are not.
const OPEN_FILES: i32 = 256;

/// From so many rows on it is cheaper to write a file of them than to put each into a memtable.
const ROWS_OF_A_FILE: usize = 4_096;

/// RocksDB in a directory.
pub struct RocksDisk {
    dir: PathBuf,
    cache: Cache,
    memtable: usize,
}

impl RocksDisk {
    /// A disk whose stores are in `dir`, which is made when the first is opened.
    pub fn new(dir: PathBuf) -> Self {
        Self::with_memory(dir, DEFAULT_MEMORY)
    }

    /// A disk that uses about this many bytes of memory.
    pub fn with_memory(dir: PathBuf, bytes: usize) -> Self {
        let cache = bytes / 5;
        Self {
            dir,
            cache: Cache::new_lru_cache(cache),
            memtable: (bytes - cache) / (DATABASES * MEMTABLES as usize),
        }
    }

    fn path(&self, store: Store) -> PathBuf {
        self.dir.join(match store {
            Store::Log => "log",
            Store::Views => "views",
            Store::ViewsBeside => "views-beside",
        })
    }

    fn options(&self, store: Store) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_cache_index_and_filter_blocks(true);

        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_paranoid_checks(true);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_write_buffer_size(self.memtable);
        options.set_max_write_buffer_number(MEMTABLES);
        options.set_max_background_jobs(2);
        options.set_bytes_per_sync(1 << 20);
        options.set_max_open_files(OPEN_FILES);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 << 20);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_compression_type(match store {
            // Sealed data does not compress, and the rest is small.
            Store::Log => DBCompressionType::None,
            Store::Views | Store::ViewsBeside => DBCompressionType::Lz4,
        });
        options
    }
}

impl Disk for RocksDisk {
    fn open(&self, store: Store) -> io::Result<Arc<dyn Engine>> {
        fs::create_dir_all(&self.dir)?;
        let path = self.path(store);
        let db =
            DB::open(&self.options(store), &path).map_err(|cause| failed("open", &path, &cause))?;
        // RocksDB syncs its own directory; that the directory exists is up to us.
        File::open(&self.dir)?.sync_all()?;
        let runs = path.join("runs");
        // What a crash left there is in no database.
        if runs.exists() {
            fs::remove_dir_all(&runs)?;
        }
        Ok(Arc::new(RocksEngine {
            db,
            options: Some(self.options(store)),
            runs,
            next_run: AtomicU64::new(0),
            held: None,
        }))
    }

    fn wipe(&self, store: Store) -> io::Result<()> {
        let path = self.path(store);
        if !path.exists() {
            return Ok(());
        }
        // RocksDB's own way refuses while the store is open.
        DB::destroy(&self.options(store), &path).map_err(|cause| failed("wipe", &path, &cause))?;
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(&self.dir)?.sync_all(),
        }
    }

    fn has(&self, store: Store) -> bool {
        self.path(store).exists()
    }

    fn room(&self) -> Option<Room> {
        let system = rustix::fs::statvfs(&self.dir).ok()?;
        Some(Room {
            log: size(&self.path(Store::Log)),
            views: size(&self.path(Store::Views)) + size(&self.path(Store::ViewsBeside)),
            free: system.f_bavail.saturating_mul(system.f_frsize),
        })
    }
}

/// The size of a database's files, which are in one directory. A file that goes away meanwhile
/// counts for nothing.
fn size(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok());
    sizes.map(|file| file.len()).sum()
}

type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// One RocksDB database.
struct RocksEngine {
    db: DB,
    /// What a file of rows is written with; `None` where the database is only read.
    options: Option<Options>,
    /// Where files of rows are written, before the database takes them.
    runs: PathBuf,
    next_run: AtomicU64,
    /// Where the database is only read: the lock that keeps a node from starting meanwhile.
    #[allow(dead_code, reason = "it is let go when the engine is dropped")]
    held: Option<File>,
}

impl Engine for RocksEngine {
    fn write(&self, batch: Batch, durability: Durability) -> io::Result<()> {
        let mut writes = WriteBatch::default();
        for op in batch {
            match op {
                Op::Put(key, value) => writes.put(key, value),
                Op::Delete(key) => writes.delete(key),
                Op::DeleteRange(range) => writes.delete_range(range.start, range.end),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db
            .write_opt(writes, &options)
            .map_err(|cause| failed("write", self.db.path(), &cause))
    }

    /// The file's rows lie over whatever a memtable has of the same keys: RocksDB then flushes that
    /// first, and syncs it. So a file never outlives a batch that was written before it.
    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        let (Some(options), false) = (&self.options, rows.len() < ROWS_OF_A_FILE) else {
            return self.write(batch(rows), Durability::Later);
        };
        fs::create_dir_all(&self.runs)?;
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let path = self.runs.join(format!("{number}.sst"));
        let failing = |cause| failed("write", &path, &cause);
        let mut file = SstFileWriter::create(options);
        file.open(&path).map_err(failing)?;
        for (key, value) in rows {
            match value {
                Some(value) => file.put(key, value),
                None => file.delete(key),
            }
            .map_err(failing)?;
        }
        file.finish().map_err(failing)?;
        let mut taking = IngestExternalFileOptions::default();
        taking.set_move_files(true);
        self.db
            .ingest_external_file_opts(&taking, vec![&path])
            .map_err(|cause| failed("write", self.db.path(), &cause))
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let found = self.db.get_pinned(key);
        let found = found.map_err(|cause| failed("read", self.db.path(), &cause))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.visit(
            range,
            DBRawIterator::seek_to_first,
            DBRawIterator::next,
            visit,
        )
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.visit(
            range,
            DBRawIterator::seek_to_last,
            DBRawIterator::prev,
            visit,
        )
    }

    fn writer_host(&self) -> WriterHost {
        WriterHost::Thread
    }
}

impl RocksEngine {
    /// Walks a range. Both ends are given to RocksDB: an iterator without bounds would wade
    /// through the tombstones of whatever lies beside the range.
    fn visit<'db>(
        &'db self,
        range: Range<&[u8]>,
        start: fn(&mut DBRawIterator<'db>),
        step: fn(&mut DBRawIterator<'db>),
        visit: &mut Visit<'_>,
    ) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start);
        options.set_iterate_upper_bound(range.end);
        let mut iterator = self.db.raw_iterator_opt(options);
        start(&mut iterator);
        while let Some((key, value)) = iterator.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            step(&mut iterator);
        }
        // An iterator ends at an error as it does at the end of the range.
        iterator
            .status()
            .map_err(|cause| failed("scan", self.db.path(), &cause))
    }
}

fn failed(what: &str, path: &Path, cause: &rocksdb::Error) -> io::Error {
    let kind = match cause.kind() {
        rocksdb::ErrorKind::Corruption => io::ErrorKind::InvalidData,
        rocksdb::ErrorKind::Busy => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{what} {}: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Op {
        Op::Put(key.into(), Bytes::copy_from_slice(value.as_bytes()))
    }

    fn keys(engine: &dyn Engine, range: Range<&str>, back: bool, at_most: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            found.push(String::from_utf8_lossy(key).into_owned());
            if found.len() == at_most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let range = range.start.as_bytes()..range.end.as_bytes();
        let outcome = if back {
            engine.scan_back(range, &mut visit)
        } else {
            engine.scan(range, &mut visit)
        };
        outcome.unwrap();
        found
    }

    #[test]
    fn a_scan_stays_within_its_range_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().join("node"));
        let engine = disk.open(Store::Views).unwrap();
        let batch = ["a", "b", "c", "d", "e"].map(|key| put(key, key)).to_vec();
        engine.write(batch, Durability::Later).unwrap();
        engine
            .write(
                vec![
                    Op::Delete("d".into()),
                    Op::DeleteRange("b".into().."c".into()),
                ],
                Durability::Synced,
            )
            .unwrap();
        assert_eq!(keys(&*engine, "a".."e", false, 9), ["a", "c"]);
        assert_eq!(keys(&*engine, "a".."f", true, 2), ["e", "c"]);
        assert_eq!(keys(&*engine, "e".."a", false, 9), Vec::<String>::new());
    }

    /// Few rows go into a memtable and many into a file of their own. What is newer wins either way.
    #[test]
    fn many_rows_are_stored_as_few_are_over_and_under_them() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().join("node"));
        let many = 2 * ROWS_OF_A_FILE;
        let key = |n: usize| format!("{n:06}");
        let row = |n: usize, value: Option<&str>| {
            let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
            (key(n).into_bytes(), value)
        };
        let engine = disk.open(Store::Views).unwrap();
        engine
            .ingest(vec![row(1, Some("few")), row(2, Some("few"))])
            .unwrap();
        let run = (0..many)
            .map(|n| row(n, (n != 2).then_some("many")))
            .collect();
        engine.ingest(run).unwrap();
        engine.ingest(vec![row(3, Some("newest"))]).unwrap();
        drop(engine);
        // What a crash left of a file that no database took is gone.
        let left = dir.path().join("node/views/runs");
        fs::write(left.join("9.sst"), "half").unwrap();
        let engine = disk.open(Store::Views).unwrap();
        assert!(!left.exists());
        let found = |n: usize| engine.get(key(n).as_bytes()).unwrap();
        assert_eq!(found(1).unwrap(), "many");
        assert_eq!(found(2), None);
        assert_eq!(found(3).unwrap(), "newest");
        assert_eq!(
            keys(&*engine, "000000".."9", false, usize::MAX).len(),
            many - 1
        );
    }

    #[test]
    fn a_store_outlives_its_handle_until_it_is_wiped() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().join("node"));
        let engine = disk.open(Store::Log).unwrap();
        engine
            .write(vec![put("k", "v")], Durability::Synced)
            .unwrap();
        assert!(disk.wipe(Store::Log).is_err(), "an open store was wiped");
        drop(engine);
        assert_eq!(
            disk.open(Store::Log).unwrap().get(b"k").unwrap().unwrap(),
            "v"
        );
        disk.wipe(Store::Log).unwrap();
        disk.wipe(Store::Views).unwrap();
        assert_eq!(disk.open(Store::Log).unwrap().get(b"k").unwrap(), None);
    }
}

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ledger_domain::frame;
use ledger_domain::planted::{Bug, planted};
use tokio::sync::oneshot;

use super::archived::InArchive;
use super::damage::{Damage, NotHeld, Place};
use super::keys;
use super::pace::Pace;
use super::record::{Malformed, StoredRecord};
use super::shard_log::ShardLog;
use super::writer::{Done, Writer, WriterCounts, WriterStopped};
use crate::archive::shelf::Shelf;
use crate::metrics::Counter;
use crate::raft::RecordId;
use crate::world::{Archive, Batch, Engine, Op};

/// The audited chain's head after an index.
pub type Head = [u8; 32];

/// What a copy receives of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRecord {
    /// The framed `LogRecord`, as stored at home.
    pub record: Bytes,
    /// The audited chain's head after it, which the caller has checked.
    pub head: Head,
}

impl CopyRecord {
    pub(super) fn parse(self, shard: u32) -> io::Result<(StoredRecord, Head)> {
        let record = StoredRecord::parse(self.record).map_err(|cause| {
            let what = format!("a record received of shard {shard}: {cause}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok((record, self.head))
    }
}

/// The log store of a node: the logs of the shards that live here and the copies of others.
///
/// Cheap to clone. The store is closed when the last clone, and the last
/// [`LogStore`](crate::raft::LogStore) of it, are gone.
#[derive(Clone)]
pub struct LogHub(Arc<Inner>);

struct Inner {
    // Dropped first: the writer holds the engine until all that is queued is stored.
    writer: Writer,
    engine: Arc<dyn Engine>,
    /// Records that were read out of the logs, since the hub was opened.
    read: Counter,
    /// What was moved out of the logs.
    shelf: Shelf,
    /// Records that are durable, since the hub was opened.
    records: Arc<Counter>,
    shards: Mutex<BTreeMap<u32, Shard>>,
}

#[derive(Clone)]
struct Shard {
    log: Arc<ShardLog>,
    /// Held from the check of a copied batch until it is stored, so that two cannot cross.
    copying: Arc<tokio::sync::Mutex<()>>,
}

impl LogHub {
    /// Opens the log over an engine and starts its writer: on a task where the engine wants one,
    /// so this must be called within a runtime.
    pub fn open(engine: Arc<dyn Engine>) -> io::Result<Self> {
        Self::open_with(engine, None)
    }

    /// The same, with the archive that holds what was moved out of the log.
    pub fn open_with(
        engine: Arc<dyn Engine>,
        archive: Option<Arc<dyn Archive>>,
    ) -> io::Result<Self> {
        let writer = Writer::start(engine.clone())?;
        Ok(Self(Arc::new(Inner {
            writer,
            shelf: Shelf::new(archive, engine.writer_host()),
            engine,
            records: Arc::default(),
            read: Counter::default(),
            shards: Mutex::default(),
        })))
    }

    /// The records of a range, in order and without a gap. Stops after `max_bytes` of records (one
    /// is given even if it is longer), at an index that is not here, or at the end of the log.
    /// Fails with [`NotHeld`] where the first is missing but the log goes on, with
    /// [`InArchive`](super::InArchive) where it was moved out of the log, and with
    /// [`Damaged`](super::Damaged) at a record that cannot be read.
    ///
    /// At home this shows what Raft has accepted, committed or not: a feed must end its range at
    /// what is applied. A copy holds nothing but what was applied.
    pub fn read(
        &self,
        shard: u32,
        indexes: Range<u64>,
        max_bytes: usize,
    ) -> io::Result<Vec<StoredRecord>> {
        let log = self.shard_log(shard)?;
        let records = log.read(indexes.clone(), max_bytes)?;
        self.0.read.add(records.len() as u64);
        let in_log = log.last().is_some_and(|last| indexes.start <= last.index);
        if records.is_empty() && indexes.start < log.archived_end() {
            // It was moved meanwhile.
            let index = indexes.start;
            return Err(InArchive { shard, index }.into());
        }
        if records.is_empty() && !indexes.is_empty() && in_log {
            let next = log.first_stored(indexes.start)?;
            let missing = NotHeld {
                shard,
                index: indexes.start,
                next,
            };
            return Err(io::Error::new(io::ErrorKind::NotFound, missing));
        }
        Ok(records)
    }

    /// The last index of a shard's log or copy here.
    pub fn last(&self, shard: u32) -> io::Result<Option<RecordId>> {
        Ok(self.shard_log(shard)?.last())
    }

    /// The last index of a copy that is durable here. The feed is resumed after it.
    pub fn copy_last(&self, shard: u32) -> io::Result<Option<RecordId>> {
        self.last(shard)
    }

    /// Adds the next records of a copy; they are durable and readable when this returns. The first
    /// must follow [`LogHub::copy_last`], or be index 0. Giving up on this call does not undo it.
    pub async fn append_copy(&self, shard: u32, records: Vec<CopyRecord>) -> io::Result<()> {
        let Shard { log, copying } = self.shard_entry(shard)?;
        let turn = copying.lock_owned().await;
        let Some((batch, parsed)) = self.copy_batch(&log, records)? else {
            return Ok(());
        };
        let (sender, receiver) = oneshot::channel();
        let durable = self.0.records.clone();
        let done: Done = Box::new(move |outcome| {
            if outcome.is_ok() {
                durable.add(parsed.len() as u64);
                log.copied(parsed);
            }
            drop(turn);
            // The caller may have given up.
            let _ = sender.send(outcome);
        });
        match planted(Bug::CopyUnsynced) {
            true => self.0.writer.submit_unsynced(batch, done).await?,
            false => self.0.writer.submit(batch, done).await?,
        }
        receiver
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?
    }

    /// Stores audited heads of a shard, some time: they can be computed again. Readable at once.
    pub fn put_heads(&self, shard: u32, heads: impl IntoIterator<Item = (u64, Head)>) {
        let heads = heads.into_iter();
        self.0
            .writer
            .put_later(heads.map(|(index, head)| (keys::head(shard, index), seal(&head))));
    }

    /// The audited heads of a range that are here, in rising order.
    pub fn heads(&self, shard: u32, indexes: Range<u64>) -> io::Result<Vec<(u64, Head)>> {
        if indexes.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(index) = self.shard_log(shard)?.distrusted(indexes.clone()) {
            return Err(Damage::Doubtful.at(Place::Head { shard, index }));
        }
        let bounds = keys::heads(shard, indexes);
        // Asked before the store: what is written in between is then seen twice, not missed.
        let pending = self.0.writer.pending(bounds.clone());
        let mut found = BTreeMap::new();
        self.0
            .engine
            .scan(&bounds.start..&bounds.end, &mut |key, value| {
                found.insert(keys::index_of(key), Bytes::copy_from_slice(value));
                ControlFlow::Continue(())
            })?;
        found.extend(
            pending
                .into_iter()
                .map(|(key, value)| (keys::index_of(&key), value)),
        );
        found
            .into_iter()
            .map(|(index, stored)| Ok((index, open(shard, index, &stored)?)))
            .collect()
    }

    /// The audited head after an index, if it is here.
    pub fn head(&self, shard: u32, index: u64) -> io::Result<Option<Head>> {
        let found = self.heads(shard, index..index.saturating_add(1))?;
        Ok(found.into_iter().next().map(|(_, head)| head))
    }

    /// Fills in records that are missing below Raft's view; they are durable and readable when this
    /// returns. The first must be the first that is missing.
    pub(crate) async fn fill(&self, shard: u32, records: Vec<CopyRecord>) -> io::Result<()> {
        let log = self.shard_log(shard)?;
        let mut batch = Batch::with_capacity(records.len());
        let mut parsed = Vec::with_capacity(records.len());
        for received in records {
            let (record, head) = received.parse(shard)?;
            batch.push(Op::Put(keys::head(shard, record.id.index), seal(&head)));
            parsed.push(record);
        }
        let Some(last) = parsed.last().map(|record| record.id.index) else {
            return Ok(());
        };
        batch.append(&mut log.fill(&parsed)?);
        self.write(batch).await?;
        log.filled(last + 1);
        Ok(())
    }

    /// The shards of which any log is stored here, copies included.
    pub(crate) fn begun(&self) -> io::Result<Vec<u32>> {
        let range = keys::lasts();
        let mut shards = Vec::new();
        let mut read = |key: &[u8], _: &[u8]| {
            shards.push(keys::shard_of(key));
            ControlFlow::Continue(())
        };
        let engine = self.engine();
        engine.scan(&range.start..&range.end, &mut read)?;
        Ok(shards)
    }

    /// The names of disks that were put here, by node.
    pub(crate) fn disks(&self) -> io::Result<BTreeMap<u64, [u8; 16]>> {
        let range = keys::disks();
        let mut disks = BTreeMap::new();
        let mut damaged = None;
        let mut read = |key: &[u8], value: &[u8]| {
            let node = keys::node_of(key);
            let named = frame::open(&Bytes::copy_from_slice(value)).map_err(Malformed::from);
            let named = named.and_then(|name| {
                <[u8; 16]>::try_from(&name[..]).map_err(|_| Malformed::Missing("a name"))
            });
            match named {
                Ok(name) => drop(disks.insert(node, name)),
                Err(cause) => damaged = Some(Damage::from(cause).at(Place::Disk { node })),
            }
            ControlFlow::Continue(())
        };
        let engine = self.engine();
        engine.scan(&range.start..&range.end, &mut read)?;
        damaged.map_or(Ok(disks), Err)
    }

    /// Stores the name of a node's disk.
    pub(crate) async fn put_disk(&self, node: u64, name: &[u8; 16]) -> io::Result<()> {
        self.write(vec![Op::Put(keys::disk(node), seal(name))])
            .await
    }

    /// The archive as this node reads it.
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// How long synced writes take on this node.
    pub fn pace(&self) -> &Pace {
        self.0.writer.pace()
    }

    pub(crate) fn shard_log(&self, shard: u32) -> io::Result<Arc<ShardLog>> {
        Ok(self.shard_entry(shard)?.log)
    }

    pub(crate) async fn append(
        &self,
        log: &Arc<ShardLog>,
        records: Vec<StoredRecord>,
        done: Done,
    ) -> io::Result<()> {
        let number = records.len() as u64;
        let (batch, append) = log.append(records)?;
        let (log, durable) = (log.clone(), self.0.records.clone());
        let written: Done = Box::new(move |outcome| {
            if outcome.is_ok() {
                durable.add(number);
                log.written(append);
            }
            done(outcome);
        });
        self.0.writer.submit(batch, written).await
    }

    pub(crate) async fn write(&self, batch: Batch) -> io::Result<()> {
        self.0.writer.write(batch).await
    }

    pub(crate) async fn write_later(&self, batch: Batch) -> io::Result<()> {
        self.0.writer.write_later(batch).await
    }

    /// What the writer has done.
    pub(crate) fn counts(&self) -> &WriterCounts {
        self.0.writer.counts()
    }

    /// How many jobs wait for the writer.
    pub(crate) fn waiting(&self) -> usize {
        self.0.writer.waiting()
    }

    /// How many records have become durable since this was opened.
    pub(crate) fn durable_records(&self) -> u64 {
        self.0.records.get()
    }

    /// How many records have been read out of the logs since this was opened.
    pub(crate) fn read_records(&self) -> u64 {
        self.0.read.get()
    }

    /// Does the log take writes? After one that failed it takes none.
    pub fn is_writable(&self) -> bool {
        self.counts().failures.get() == 0
    }

    /// Why the log takes no more writes, if one has failed.
    pub fn write_failure(&self) -> Option<WriterStopped> {
        self.0.writer.stopped().cloned()
    }

    fn shard_entry(&self, shard: u32) -> io::Result<Shard> {
        let mut shards = self
            .0
            .shards
            .lock()
            .expect("nobody panics while holding this");
        if let Some(open) = shards.get(&shard) {
            return Ok(open.clone());
        }
        let log = Arc::new(ShardLog::open(self.0.engine.clone(), shard)?);
        let opened = Shard {
            log,
            copying: Arc::default(),
        };
        shards.insert(shard, opened.clone());
        Ok(opened)
    }

    fn copy_batch(
        &self,
        log: &ShardLog,
        records: Vec<CopyRecord>,
    ) -> io::Result<Option<(Batch, Vec<StoredRecord>)>> {
        let shard = log.shard();
        if log.is_at_home() {
            let what = format!("shard {shard} lives on this node: it takes no copy");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut heads = Batch::with_capacity(records.len());
        let mut parsed = Vec::with_capacity(records.len());
        for received in records {
            let (record, head) = received.parse(shard)?;
            heads.push(Op::Put(keys::head(shard, record.id.index), seal(&head)));
            parsed.push(record);
        }
        let Some(first) = parsed.first() else {
            return Ok(None);
        };
        let last = log.last();
        if last.is_none() && first.id.index != 0 {
            return Err(log.out_of_order(last, first.id.index));
        }
        let mut batch = log.batch(last, &parsed)?;
        batch.append(&mut heads);
        Ok(Some((batch, parsed)))
    }
}

pub(super) fn seal(bytes: &[u8]) -> Bytes {
    frame::seal(bytes.len(), |out| out.extend_from_slice(bytes))
}

pub(super) fn open(shard: u32, index: u64, stored: &Bytes) -> io::Result<Head> {
    let bad = |cause: Malformed| Damage::from(cause).at(Place::Head { shard, index });
    let head = frame::open(stored).map_err(|cause| bad(cause.into()))?;
    Head::try_from(&head[..]).map_err(|_| bad(Malformed::HeadLength(head.len())))
}

//! The one writer of a node's log store.
//!
//! Whoever has something to store queues a job. The writer takes everything that waits, makes it
//! one batch and one synced write, and answers the jobs in their order. So the cost of a sync is
//! shared by all shards, and what is durable is always a prefix of what was queued.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::planted::{Bug, planted};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::pace::Pace;
use crate::metrics::{self, Counter, Histogram};
use crate::world::{Batch, Durability, Engine, Op, WriterHost};

/// Where a batch is cut, so that the first job of a long queue need not wait for the last.
const BATCH_BYTES: usize = 8 << 20;
/// Jobs that may wait; whoever queues one more waits too.
const QUEUE: usize = 256;

/// Called once, when a job is durable or has failed. Runs on the writer: it must be short.
pub(super) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// The first failed write ended the writer. Whether that write is stored is unknown, so nothing
/// may be written behind it; the node has to be restarted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log takes no more writes since one failed: {first}")]
pub struct WriterStopped {
    /// What the failed write said.
    pub first: String,
}

/// What the writer has done. Read by whoever asks, counted by the writer alone.
#[derive(Debug)]
pub(crate) struct WriterCounts {
    pub(crate) batches: Counter,
    pub(crate) bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_seconds: Histogram,
    /// Writes that failed: the first ended the writer.
    pub(crate) failures: Counter,
}

impl Default for WriterCounts {
    fn default() -> Self {
        Self {
            batches: Counter::default(),
            bytes: Counter::default(),
            syncs: Counter::default(),
            sync_seconds: Histogram::of(&metrics::LOG_SYNC_SECONDS),
            failures: Counter::default(),
        }
    }
}

struct Job {
    batch: Batch,
    durability: Durability,
    done: Option<Done>,
}

/// The writer's end that jobs are put in.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    later: Arc<Later>,
    pace: Pace,
    counts: Arc<WriterCounts>,
    stopped: Arc<OnceLock<WriterStopped>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(engine: Arc<dyn Engine>) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel(QUEUE);
        let later = Arc::new(Later::default());
        let pace = Pace::default();
        let counts = Arc::new(WriterCounts::default());
        let stopped = Arc::<OnceLock<WriterStopped>>::default();
        let host = engine.writer_host();
        let mut pen = Pen {
            engine,
            later: later.clone(),
            pace: pace.clone(),
            counts: counts.clone(),
            stopped: stopped.clone(),
        };
        let thread = match host {
            WriterHost::Thread => {
                let name = "log-writer".to_owned();
                Some(std::thread::Builder::new().name(name).spawn(move || {
                    while let Some(job) = waiting.blocking_recv() {
                        let page = pen.take_up(Some(job), &mut waiting);
                        pen.write(page);
                    }
                    let page = pen.take_up(None, &mut waiting);
                    pen.write(page);
                })?)
            }
            WriterHost::Task => {
                tokio::spawn(async move {
                    while let Some(job) = waiting.recv().await {
                        let page = pen.take_up(Some(job), &mut waiting);
                        let takes = pen.sync_time(&page);
                        if !takes.is_zero() {
                            tokio::time::sleep(takes).await;
                        }
                        pen.write(page);
                    }
                    let page = pen.take_up(None, &mut waiting);
                    pen.write(page);
                });
                None
            }
        };
        Ok(Self {
            jobs: Some(jobs),
            later,
            pace,
            counts,
            stopped,
            thread,
        })
    }

    pub(super) fn counts(&self) -> &WriterCounts {
        &self.counts
    }

    /// Why nothing is written any more, if a write has failed.
    pub(super) fn stopped(&self) -> Option<&WriterStopped> {
        self.stopped.get()
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> usize {
        let jobs = self.jobs.as_ref();
        jobs.map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    }

    /// Queues a batch; `done` hears when it is durable.
    pub(super) async fn submit(&self, batch: Batch, done: Done) -> io::Result<()> {
        self.queue(Job {
            batch,
            durability: Durability::Synced,
            done: Some(done),
        })
        .await
    }

    /// For a planted bug alone: `done` hears of what is not durable.
    pub(super) async fn submit_unsynced(&self, batch: Batch, done: Done) -> io::Result<()> {
        self.queue(Job {
            batch,
            durability: Durability::Later,
            done: Some(done),
        })
        .await
    }

    /// Stores a batch durably.
    pub(super) async fn write(&self, batch: Batch) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // Nobody waits for a caller that gave up.
            let _ = sender.send(outcome);
        });
        self.submit(batch, done).await?;
        receiver.await.map_err(|_| closed())?
    }

    /// Queues a batch in its place among the others, to be synced when they are.
    pub(super) async fn write_later(&self, batch: Batch) -> io::Result<()> {
        self.queue(Job {
            batch,
            durability: Durability::Later,
            done: None,
        })
        .await
    }

    /// Stores values some time, in no order with the queue. They are readable at once, by
    /// [`Writer::pending`].
    pub(super) fn put_later(&self, values: impl IntoIterator<Item = (Vec<u8>, Bytes)>) {
        let nothing_waited = self.later.put(values);
        if let (true, Some(jobs)) = (nothing_waited, &self.jobs) {
            // A full queue needs no waking: the writer takes these along with its next batch.
            let wake = Job {
                batch: Batch::new(),
                durability: Durability::Later,
                done: None,
            };
            let _ = jobs.try_send(wake);
        }
    }

    /// What [`Writer::put_later`] was given in a range and may not be in the store yet.
    pub(super) fn pending(&self, range: Range<Vec<u8>>) -> BTreeMap<Vec<u8>, Bytes> {
        self.later.range(range)
    }

    /// How long synced writes take.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    async fn queue(&self, job: Job) -> io::Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }
}

/// A store cannot be opened again while its writer holds it, so the last handle waits.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A writer that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log writer has stopped")
}

/// The writer's own side.
struct Pen {
    engine: Arc<dyn Engine>,
    later: Arc<Later>,
    pace: Pace,
    counts: Arc<WriterCounts>,
    stopped: Arc<OnceLock<WriterStopped>>,
}

/// Jobs that become one write.
struct Page {
    batch: Batch,
    bytes: usize,
    durability: Durability,
    answers: Vec<Done>,
    begun: Instant,
}

impl Page {
    fn is_synced(&self) -> bool {
        self.durability == Durability::Synced && !self.batch.is_empty()
    }
}

impl Pen {
    /// Takes up everything that waits, as far as one write may go. The write begins.
    fn take_up(&mut self, first: Option<Job>, waiting: &mut mpsc::Receiver<Job>) -> Page {
        let mut batch = self.later.take();
        let mut bytes = size(&batch);
        let mut durability = Durability::Later;
        let mut answers = Vec::new();
        let mut next = first;
        while let Some(mut job) = next.take() {
            bytes += size(&job.batch);
            batch.append(&mut job.batch);
            if job.durability == Durability::Synced && !planted(Bug::NoSyncBeforeAck) {
                durability = Durability::Synced;
            }
            answers.extend(job.done);
            if bytes < BATCH_BYTES {
                next = waiting.try_recv().ok();
            }
        }
        let page = Page {
            batch,
            bytes,
            durability,
            answers,
            begun: Instant::now(),
        };
        if page.is_synced() && self.stopped.get().is_none() {
            self.pace.begin();
        }
        page
    }

    /// How long a disk whose writes return at once is to take for this one.
    fn sync_time(&self, page: &Page) -> Duration {
        match page.is_synced() && self.stopped.get().is_none() {
            true => self.engine.sync_time(),
            false => Duration::ZERO,
        }
    }

    /// Writes, and answers in the order of the jobs.
    fn write(&mut self, mut page: Page) {
        let answers = std::mem::take(&mut page.answers);
        let outcome = self.store(page);
        self.later.settle(outcome.is_ok());
        for done in answers {
            done(outcome.clone().map_err(io::Error::other));
        }
    }

    fn store(&mut self, page: Page) -> Result<(), WriterStopped> {
        if let Some(stopped) = self.stopped.get() {
            return Err(stopped.clone());
        }
        if page.batch.is_empty() {
            return Ok(());
        }
        let written = self.engine.write(page.batch, page.durability);
        if page.durability == Durability::Synced {
            self.pace.end();
        }
        match &written {
            Ok(()) => self.counts.written(page.bytes, page.durability, page.begun),
            Err(_) => self.counts.failures.increment(),
        }
        written.map_err(|error| {
            tracing::error!(%error, "a write to the log failed: this node writes no more");
            let first = error.to_string();
            self.stopped.get_or_init(|| WriterStopped { first }).clone()
        })
    }
}

impl WriterCounts {
    fn written(&self, bytes: usize, durability: Durability, begun: Instant) {
        self.batches.increment();
        self.bytes.add(bytes as u64);
        if durability == Durability::Synced {
            self.syncs.increment();
            self.sync_seconds.observe(begun.elapsed());
        }
    }
}

fn size(batch: &Batch) -> usize {
    let op = |op: &Op| match op {
        Op::Put(key, value) => key.len() + value.len(),
        Op::Delete(key) => key.len(),
        Op::DeleteRange(range) => range.start.len() + range.end.len(),
    };
    batch.iter().map(op).sum()
}

/// Values that wait for somebody else's write. They are few: what is applied was logged first,
/// through the same writer.
#[derive(Default)]
struct Later(Mutex<Shelves>);

#[derive(Default)]
struct Shelves {
    waiting: BTreeMap<Vec<u8>, Bytes>,
    /// Being written: no longer waiting, and not yet to be read from the store.
    writing: BTreeMap<Vec<u8>, Bytes>,
    closed: bool,
}

impl Later {
    /// Did nothing wait before?
    fn put(&self, values: impl IntoIterator<Item = (Vec<u8>, Bytes)>) -> bool {
        let mut shelves = self.lock();
        if shelves.closed {
            return false;
        }
        let nothing_waited = shelves.waiting.is_empty();
        shelves.waiting.extend(values);
        nothing_waited
    }

    fn take(&self) -> Batch {
        let mut shelves = self.lock();
        shelves.writing = std::mem::take(&mut shelves.waiting);
        shelves
            .writing
            .iter()
            .map(|(key, value)| Op::Put(key.clone(), value.clone()))
            .collect()
    }

    fn settle(&self, written: bool) {
        let mut shelves = self.lock();
        shelves.writing.clear();
        if !written {
            shelves.waiting.clear();
            shelves.closed = true;
        }
    }

    fn range(&self, range: Range<Vec<u8>>) -> BTreeMap<Vec<u8>, Bytes> {
        if range.is_empty() {
            return BTreeMap::new();
        }
        let shelves = self.lock();
        let newer = shelves.waiting.range(range.clone());
        let older = shelves.writing.range(range);
        older
            .chain(newer)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().expect("nobody panics while holding this")
    }
}

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use ledger_domain::{Account, AccountId, Hold, ShardId, TransactionId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fold::{Base, Misfit, Step};
use super::rows::{Cursor, Item};
use super::states::Restrictions;
use super::views::Unstored;
use super::{Error, Views, keys};
use crate::log::{Head, LogHub};
use crate::world::WriterHost;

/// Records folded in one step. A step is short, so that the reads that wait for it wait little.
const STEP_BYTES: usize = 128 << 10;
/// How much of a shard waits to be stored in one run, in bytes, about: the more, the less a row costs,
/// and the more is folded again after a crash.
const RUN_BYTES: usize = 16 << 20;
/// How long it waits if it is less.
const RUN_AGE: Duration = Duration::from_secs(1);
/// The same for all shards together where they go through a backlog: most of what a run stores of an
/// account costs the same for one line as for ten, and many accounts have few lines in little of a log.
const BACKLOG_BYTES: usize = 128 << 20;
/// How long it waits at most in a backlog.
const BACKLOG_AGE: Duration = Duration::from_secs(10);
/// How soon a log that could not be folded is read again: a scrub may have mended it.
const AGAIN: Duration = Duration::from_secs(1);

impl Views {
    /// Folds a shard's records into its view as they come, after those that are folded already.
    /// `served` shows how far they may be read: what is applied of a shard that lives here, what is
    /// synced of a copy.
    ///
    /// Where the log cannot be read, or is not the one that was folded, the view is not served, and
    /// tried again until it can be: damage is mended while a node runs. Where a snapshot let this
    /// replica skip records, the view is served as old as it is until they have been fetched.
    ///
    /// Ends when the sender of `served` is dropped, with the error at which the view had stopped by
    /// then, if it had; or with one that no other log can cure. Either is logged already. Dropping
    /// the future at any time loses nothing. A second one of the same shard waits for the first.
    pub async fn follow(
        self,
        shard: ShardId,
        epoch: u64,
        hub: LogHub,
        served: watch::Receiver<u64>,
    ) -> Result<(), Error> {
        let folding = self.begin(shard);
        let turn = folding.lock_owned().await;
        let ended = match Folder::open(self.clone(), shard, epoch, hub) {
            Ok(folder) => folder.run(served).await,
            Err(error) => Err(error),
        };
        drop(turn);
        ended.inspect_err(|error| {
            self.stop(shard, error);
        })
    }
}

struct Folder {
    views: Views,
    hub: LogHub,
    cursor: Cursor,
    items: BTreeMap<(ShardId, u64), Item>,
    /// Whether the view is not served because the log could not be folded further.
    is_stopped: bool,
    /// Whether it was told that the view waits for records.
    is_waiting: bool,
    /// The run that is being stored, where that takes a thread of its own.
    storing: Option<JoinHandle<Result<(), Error>>>,
}

impl Base for Folder {
    fn account(&self, id: &AccountId) -> Option<(ShardId, Account)> {
        self.views.cache().account(id)
    }

    fn restrictions(&self, id: &AccountId) -> Restrictions {
        self.views.cache().restrictions(id)
    }

    fn item(&self, destination: ShardId, number: u64) -> Option<Item> {
        self.items.get(&(destination, number)).copied()
    }

    fn hold(&self, account: &AccountId, number: u64) -> Result<Option<Hold>, Misfit> {
        let hold = self.views.hold(self.shard(), account, number);
        hold.map_err(|error| Misfit::Rows(error.to_string()))
    }

    fn declined(&self, account: &AccountId) -> Result<u64, Misfit> {
        let newest = self.views.newest_declined(self.shard(), account);
        newest.map_err(|error| Misfit::Rows(error.to_string()))
    }

    fn reversal(
        &self,
        original: &TransactionId,
        journal: u64,
    ) -> Result<Option<TransactionId>, Misfit> {
        let found = self.views.reversal(original, journal);
        found.map_err(|error| Misfit::Rows(error.to_string()))
    }
}

impl Folder {
    fn open(views: Views, shard: ShardId, epoch: u64, hub: LogHub) -> Result<Self, Error> {
        let cursor = views.cursor(shard)?;
        let cursor = cursor.unwrap_or_else(|| Cursor::at_genesis(shard, epoch));
        let items = views.rows(shard, &keys::items(shard)).items(shard)?;
        Ok(Self {
            views,
            hub,
            cursor,
            items,
            is_stopped: false,
            is_waiting: false,
            storing: None,
        })
    }

    fn shard(&self) -> ShardId {
        self.cursor.fence.shard
    }

    async fn run(mut self, mut served: watch::Receiver<u64>) -> Result<(), Error> {
        self.stored().await?;
        loop {
            let last = *served.borrow_and_update();
            match self.fold_through(last).await {
                Ok(()) => {}
                Err(error) if error.awaits_history() && served.has_changed().is_ok() => {
                    self.wait_for_history(&error);
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) if error.may_pass() && served.has_changed().is_ok() => {
                    self.views.stop(self.shard(), &error);
                    self.is_stopped = true;
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            let Unstored { since, .. } = self.views.unstored(self.shard());
            let changed = match since {
                None => served.changed().await,
                Some(since) => {
                    let due = since + RUN_AGE;
                    match tokio::time::timeout_at(due, served.changed()).await {
                        Ok(changed) => changed,
                        Err(_) => {
                            self.store().await?;
                            continue;
                        }
                    }
                }
            };
            if changed.is_err() {
                self.store().await?;
                return self.stored().await;
            }
        }
    }

    /// Tells that the view waits, once.
    fn wait_for_history(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.is_waiting, true) {
            let shard = self.shard();
            tracing::warn!(%shard, %error, "a view waits for what comes before a snapshot");
        }
    }

    async fn fold_through(&mut self, last: u64) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            self.views.may_fold().await;
            let began = Instant::now();
            if self.cursor.next > last || !self.step(last).await? {
                return Ok(());
            }
            if std::mem::take(&mut self.is_stopped) {
                self.views.resume(self.shard());
            }
            self.is_waiting = false;
            // What was there already when this began takes long: it is no longer what just came.
            let is_backlog = started.elapsed() >= RUN_AGE;
            let (bytes, age) = match is_backlog {
                true => (BACKLOG_BYTES / self.views.shards().max(1), BACKLOG_AGE),
                false => (RUN_BYTES, RUN_AGE),
            };
            let bytes = bytes.max(RUN_BYTES);
            let unstored = self.views.unstored(self.shard());
            let is_old = unstored.since.is_some_and(|since| since.elapsed() >= age);
            let is_due = unstored.bytes >= bytes || is_old;
            // What is folded while a run is stored waits for the next, but not without end.
            let most = if is_backlog { bytes } else { 2 * bytes };
            if is_due && !unstored.is_storing || unstored.bytes >= most {
                self.store().await?;
            }
            // Reads of other tasks come between two steps.
            match self.views.spares() {
                true => tokio::time::sleep(began.elapsed()).await,
                false => tokio::task::yield_now().await,
            }
        }
    }

    /// Begins to store what is folded; where a disk returns at once, it is stored then.
    async fn store(&mut self) -> Result<(), Error> {
        self.stored().await?;
        let Some(run) = self.views.run(self.shard()) else {
            return Ok(());
        };
        let views = self.views.clone();
        match views.writer_host() {
            WriterHost::Task => views.store(&run),
            WriterHost::Thread => {
                let storing = tokio::task::spawn_blocking(move || views.store(&run));
                self.storing = Some(storing);
                Ok(())
            }
        }
    }

    /// Waits until the run that was begun is stored, by this folder or by one before it.
    async fn stored(&mut self) -> Result<(), Error> {
        if let Some(storing) = &mut self.storing {
            let stored = storing.await;
            self.storing = None;
            stored.map_err(|error| Error::Io(io::Error::other(error)))??;
        }
        while self.views.unstored(self.shard()).is_storing {
            tokio::time::sleep(AGAIN / 100).await;
        }
        Ok(())
    }

    /// Folds some of the records up to `last`. Was there any?
    async fn step(&mut self, last: u64) -> Result<bool, Error> {
        let shard = self.cursor.fence.shard;
        let from = self.cursor.next;
        let unreadable = |source| Error::Log {
            shard,
            index: from,
            source,
        };
        let indexes = from..last.saturating_add(1);
        let records = self
            .hub
            .read_through(shard.0, indexes, STEP_BYTES)
            .await
            .map_err(unreadable)?;
        if records.is_empty() {
            // Index 0 counts as served before it is there.
            return Ok(false);
        }
        // What was folded before may have been another history: its end is compared as well.
        if let Some(before) = from.checked_sub(1) {
            self.compare(before, self.cursor.audited_head)?;
        }
        let mut step = Step::after(self.cursor);
        for record in &records {
            let folded = step.fold(self, record);
            folded.map_err(|misfit| self.misfit(record.id.index, misfit))?;
        }
        self.compare(step.cursor.next - 1, step.cursor.audited_head)?;
        self.views.commit(&mut step);
        self.cursor = step.cursor;
        for (key, item) in step.items {
            match item {
                Some(item) => self.items.insert(key, item),
                None => self.items.remove(&key),
            };
        }
        Ok(true)
    }

    /// The head computed here must be the one the log has, if it has one yet.
    fn compare(&self, index: u64, computed: Head) -> Result<(), Error> {
        let shard = self.cursor.fence.shard;
        let head = self.hub.head(shard.0, index).map_err(|source| Error::Log {
            shard,
            index,
            source,
        })?;
        match head {
            Some(head) if head != computed => Err(Error::OtherHistory { shard, index }),
            _ => Ok(()),
        }
    }

    fn misfit(&self, index: u64, misfit: Misfit) -> Error {
        let shard = self.cursor.fence.shard;
        match misfit {
            Misfit::Damage(damage) => Error::Entry {
                shard,
                index,
                damage,
            },
            Misfit::Rows(what) => Error::Inconsistent { shard, index, what },
        }
    }
}

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{
    Account, AccountId, Date, ShardId,
    planted::{Bug, planted},
};
use tokio::{sync::watch, time::Instant};

use super::declined::KEPT;
use super::fold::Step;
use super::rows::{Cursor, Item};
use super::stored::{self, Malformed};
use super::{BalanceRow, Error, Place, ReadError, Watermark, keys};
use crate::world::{Batch, Durability, Engine, Op};

/// The read models of a node, of every shard it holds. Cheap to clone.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    disk: Disk,
    cache: RwLock<Cache>,
}

/// What is kept in memory: enough to answer for a balance.
#[derive(Default)]
pub(super) struct Cache {
    /// Never walked: its order is nobody's.
    accounts: HashMap<AccountId, (ShardId, Account)>,
    shards: BTreeMap<ShardId, ShardState>,
}

struct ShardState {
    watermark: Option<Watermark>,
    /// When it last moved on, or was read from the disk.
    moved: Instant,
    stopped: Option<String>,
    /// Tells that one of the two has changed.
    progress: watch::Sender<()>,
    /// Held by whoever folds the shard, so that nobody else does.
    folding: Arc<tokio::sync::Mutex<()>>,
}

impl Default for ShardState {
    fn default() -> Self {
        Self {
            watermark: None,
            moved: Instant::now(),
            stopped: None,
            progress: watch::Sender::default(),
            folding: Arc::default(),
        }
    }
}

impl Views {
    /// Opens the views over their engine and reads every account into memory. Where this fails and
    /// [`Error::is_cured_by_rebuilding`], the store is to be wiped and opened again.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Self, Error> {
        let steps = RwLock::default();
        let disk = Disk { engine, steps };
        disk.check_format()?;
        let cache = RwLock::new(disk.load()?);
        Ok(Self(Arc::new(Inner { disk, cache })))
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.0.disk
    }

    pub(super) fn cache(&self) -> RwLockReadGuard<'_, Cache> {
        self.0.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache_mut(&self) -> RwLockWriteGuard<'_, Cache> {
        self.0.cache.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops serving a shard, loudly, and gives what its reads are answered from now on.
    pub(super) fn stop(&self, shard: ShardId, error: &Error) -> ReadError {
        let mut cache = self.cache_mut();
        let state = cache.shards.entry(shard).or_default();
        let cause = state.stopped.get_or_insert_with(|| {
            tracing::error!(shard = shard.0, %error, "a view has stopped and is not served");
            error.to_string()
        });
        let cause = cause.clone();
        state.progress.send_replace(());
        ReadError::Stopped { shard, cause }
    }

    /// Serves a shard again.
    pub(super) fn resume(&self, shard: ShardId) {
        let mut cache = self.cache_mut();
        let state = cache.shards.entry(shard).or_default();
        state.stopped = None;
        tracing::info!(shard = shard.0, "a view goes on and is served again");
        state.progress.send_replace(());
    }

    /// Makes a shard known, and gives the lock of whoever folds it.
    pub(super) fn begin(&self, shard: ShardId) -> Arc<tokio::sync::Mutex<()>> {
        self.cache_mut()
            .shards
            .entry(shard)
            .or_default()
            .folding
            .clone()
    }

    /// An account's row, and what is read out of the rows on disk beside it: both are of one state,
    /// as no step is written meanwhile. `None` where no shard viewed here has opened it yet.
    pub(super) fn with_row<T>(
        &self,
        account: &AccountId,
        read: impl FnOnce(&Disk) -> Result<T, Error>,
    ) -> Result<Option<(BalanceRow, T)>, ReadError> {
        let disk = self.disk();
        let reading = disk.steps.read();
        let reading = reading.expect("nobody panics while holding this");
        let Some(row) = self.balance(account)? else {
            return Ok(None);
        };
        let found = read(disk);
        drop(reading);
        let found = found.map_err(|error| self.stop(row.shard, &error))?;
        Ok(Some((row, found)))
    }

    /// Stores a step, and then shows it.
    pub(super) fn commit(&self, step: &Step) -> Result<(), Error> {
        let shard = step.cursor.fence.shard;
        let batch = self.disk().batch(step)?;
        let writing = self
            .disk()
            .steps
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.disk().store(batch)?;
        let mut cache = self.cache_mut();
        let changed = step.accounts.iter();
        cache
            .accounts
            .extend(changed.map(|(id, account)| (*id, (shard, *account))));
        let state = cache.shards.entry(shard).or_default();
        let watermark = step.cursor.watermark();
        if state.watermark != watermark {
            state.watermark = watermark;
            state.moved = Instant::now();
        }
        state.progress.send_replace(());
        drop(cache);
        drop(writing);
        Ok(())
    }
}

impl Cache {
    /// For a planted bug alone.
    pub(super) fn first_shard(&self) -> Option<ShardId> {
        self.shards.keys().next().copied()
    }

    pub(super) fn account(&self, id: &AccountId) -> Option<(ShardId, Account)> {
        self.accounts.get(id).copied()
    }

    pub(super) fn balance(&self, id: &AccountId) -> Result<Option<BalanceRow>, ReadError> {
        let Some((shard, account)) = self.account(id) else {
            return Ok(None);
        };
        let watermark = self.watermark(shard)?.ok_or(ReadError::NoView(shard))?;
        Ok(Some(BalanceRow {
            account,
            shard,
            watermark,
        }))
    }

    pub(super) fn watermark(&self, shard: ShardId) -> Result<Option<Watermark>, ReadError> {
        let state = self.shards.get(&shard).ok_or(ReadError::NoView(shard))?;
        match &state.stopped {
            None => Ok(state.watermark),
            Some(cause) => Err(ReadError::Stopped {
                shard,
                cause: cause.clone(),
            }),
        }
    }

    pub(super) fn quiet(&self, shard: ShardId) -> Duration {
        let state = self.shards.get(&shard);
        state.map_or(Duration::ZERO, |state| state.moved.elapsed())
    }

    pub(super) fn progress(&self, shard: ShardId) -> Result<watch::Receiver<()>, ReadError> {
        let state = self.shards.get(&shard).ok_or(ReadError::NoView(shard))?;
        Ok(state.progress.subscribe())
    }
}

/// The rows as stored.
pub(super) struct Disk {
    engine: Arc<dyn Engine>,
    /// Written by a step while it is stored and shown; read by whoever must not see half of one.
    pub(super) steps: RwLock<()>,
}

impl Disk {
    fn check_format(&self) -> Result<(), Error> {
        let expected = stored::FORMAT;
        let found = match self.engine.get(&keys::FORMAT)? {
            Some(value) => read(Place::Format, stored::open_format(&value))?,
            None if self.is_empty()? => {
                let format = Op::Put(keys::FORMAT.to_vec(), stored::seal_format());
                self.engine.write(vec![format], Durability::Later)?;
                expected
            }
            None => 0,
        };
        if found == expected {
            Ok(())
        } else {
            Err(Error::Format { found, expected })
        }
    }

    fn is_empty(&self) -> io::Result<bool> {
        let mut empty = true;
        self.engine.scan(&[0]..&[u8::MAX], &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    fn load(&self) -> Result<Cache, Error> {
        let mut cache = Cache::default();
        self.scan(keys::cursors(), |key, value| {
            let shard = keys::shard_of(key).ok_or_else(Self::foreign_key)?;
            let cursor = read(Place::Cursor(shard), stored::open_cursor(shard, value))?;
            cache.shards.entry(shard).or_default().watermark = cursor.watermark();
            Ok(ControlFlow::Continue(()))
        })?;
        self.scan(keys::accounts(), |key, value| {
            let id = keys::account_of(key).ok_or_else(Self::foreign_key)?;
            let (shard, account) = read(Place::Account(id), stored::open_account(value))?;
            if !cache.shards.contains_key(&shard) {
                let what = format!("{id} has a row, and its shard has no cursor");
                return Err(Error::Inconsistent {
                    shard,
                    index: 0,
                    what,
                });
            }
            cache.accounts.insert(id, (shard, account));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(cache)
    }

    /// A shard's cursor, if it has one.
    pub(super) fn cursor(&self, shard: ShardId) -> Result<Option<Cursor>, Error> {
        let (key, place) = (keys::cursor(shard), Place::Cursor(shard));
        self.row(&key, place, |stored| stored::open_cursor(shard, stored))
    }

    /// A shard's transfers under way.
    pub(super) fn items(&self, shard: ShardId) -> Result<BTreeMap<(ShardId, u64), Item>, Error> {
        let mut items = BTreeMap::new();
        self.scan(keys::items(shard), |key, value| {
            let (destination, number) = keys::item_of(key).ok_or_else(Self::foreign_key)?;
            let place = Place::Item {
                shard,
                destination,
                number,
            };
            let item = read(place, stored::open_item(shard, value))?;
            items.insert((destination, number), item);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(items)
    }

    /// The row under a key, if there is one.
    pub(super) fn row<T>(
        &self,
        key: &[u8],
        place: Place,
        open: impl FnOnce(&Bytes) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Error> {
        let stored = self.engine.get(key)?;
        read(place, stored.as_ref().map(open).transpose())
    }

    /// The sum of an account's days up to and with one.
    pub(super) fn days_until(&self, account: &AccountId, last: Date) -> Result<i128, Error> {
        let mut total = 0;
        self.scan(keys::days_until(account, last), |_, value| {
            total += read(Place::Day(*account), stored::open_day(value))?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(total)
    }

    /// The batch that stores a step.
    fn batch(&self, step: &Step) -> Result<Batch, Error> {
        let shard = step.cursor.fence.shard;
        let mut batch = Batch::new();
        for (id, account) in &step.accounts {
            let row = stored::seal_account(shard, account);
            batch.push(Op::Put(keys::account(id), row));
        }
        for (id, line) in &step.lines {
            batch.push(Op::Put(
                keys::line(id, line.version),
                stored::seal_line(line),
            ));
        }
        for ((id, date), added) in &step.days {
            let key = keys::day(id, *date);
            let before = self
                .row(&key, Place::Day(*id), stored::open_day)?
                .unwrap_or(0);
            batch.push(Op::Put(key, stored::seal_day(before + added)));
        }
        for ((destination, number), item) in &step.items {
            let key = keys::item(shard, *destination, *number);
            batch.push(match item {
                Some(item) => Op::Put(key, stored::seal_item(item)),
                None => Op::Delete(key),
            });
        }
        for ((destination, number), ended) in &step.ended {
            let key = keys::ended(shard, *destination, *number);
            batch.push(Op::Put(key, stored::seal_ended(ended)));
        }
        for ((source, number), recorded) in &step.recorded {
            let key = keys::recorded(shard, *source, *number);
            batch.push(Op::Put(key, stored::seal_recorded(recorded)));
        }
        for (id, opening) in &step.openings {
            let row = stored::seal_opening(opening);
            batch.push(Op::Put(keys::opening(id), row));
        }
        for ((id, number), hold) in &step.holds {
            let row = stored::seal_hold(hold);
            batch.push(Op::Put(keys::hold(id, *number), row));
        }
        for ((id, number), declined) in &step.declined {
            let row = stored::seal_declined(declined);
            batch.push(Op::Put(keys::declined(id, *number), row));
            if let Some(old) = number.checked_sub(KEPT) {
                batch.push(Op::Delete(keys::declined(id, old)));
            }
        }
        for ((original, by), reversal) in &step.reversals {
            let key = keys::reversal(original, by);
            batch.push(match reversal {
                Some(reversal) => Op::Put(key, stored::seal_reversal(reversal)),
                None => Op::Delete(key),
            });
        }
        for (number, decided) in &step.journals {
            let row = stored::seal_journal(decided);
            batch.push(Op::Put(keys::journal(shard, *number), row));
        }
        for index in &step.voids {
            batch.push(Op::Put(keys::void(shard, *index), stored::seal_void()));
        }
        let cursor = stored::seal_cursor(&step.cursor);
        batch.push(Op::Put(keys::cursor(shard), cursor));
        Ok(batch)
    }

    /// Writes a step, its rows and its cursor at once.
    fn store(&self, mut batch: Batch) -> io::Result<()> {
        if planted(Bug::CursorBeforeRows) {
            let cursor = batch.split_off(batch.len().saturating_sub(1));
            self.engine.write(cursor, Durability::Later)?;
        }
        self.engine.write(batch, Durability::Later)
    }

    /// Visits the pairs of a range, rising, until the visitor breaks or fails.
    pub(super) fn scan(
        &self,
        range: Range<Vec<u8>>,
        mut visit: impl FnMut(&[u8], &Bytes) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut failure = None;
        self.engine
            .scan(&range.start..&range.end, &mut |key, value| match visit(
                key,
                &Bytes::copy_from_slice(value),
            ) {
                Ok(flow) => flow,
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            })?;
        failure.map_or(Ok(()), Err)
    }

    /// The last pair of a range.
    pub(super) fn last(&self, range: Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
        let mut last = None;
        self.engine
            .scan_back(&range.start..&range.end, &mut |key, value| {
                last = Some((key.to_vec(), Bytes::copy_from_slice(value)));
                ControlFlow::Break(())
            })?;
        Ok(last)
    }

    pub(super) fn foreign_key() -> Error {
        Error::Damaged {
            place: Place::Key,
            cause: Malformed::Key,
        }
    }
}

fn read<T>(place: Place, row: Result<T, Malformed>) -> Result<T, Error> {
    row.map_err(|cause| Error::Damaged { place, cause })
}

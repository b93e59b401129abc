//! The read models in memory, and how they get to the disk.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{Account, AccountId, ShardId};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

use super::disk::{Disk, Merged, read};
use super::fold::Step;
use super::rows::{AccountRow, Cursor, Label, LastDates};
use super::states::{Restrictions, SNAPSHOT_EVERY};
use super::stored::{self, Malformed};
use super::tail::{ByAccount, Rows, Tail};
use super::{BalanceRow, Error, Place, ReadError, Watermark};
use crate::world::{Durability, Engine, SortedRow, WriterHost};

/// How many replay states from the log at once: each reads as much of it as an account is old.
const REPLAYS_AT_ONCE: usize = 2;

/// The read models of a node, of every shard it holds. Cheap to clone.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    disk: Disk,
    cache: RwLock<Cache>,
    /// How many runs were begun to be stored.
    runs: AtomicU64,
    /// Whether nothing is folded for a moment.
    paused: watch::Sender<bool>,
    /// Whether folding leaves half of the time to others.
    spares: AtomicBool,
    /// Whether the store is of a format that has the states of accounts.
    has_states: bool,
    /// Who has a place may replay states from the log.
    replays: Semaphore,
    /// How many states a chunk has at most.
    snapshot_every: AtomicUsize,
    /// What is wrong with the rows and can be cured by making them again.
    ailing: watch::Sender<Option<String>>,
}

/// While it lives, nothing is folded.
pub(super) struct Paused(Views);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.0.paused.send_replace(false);
    }
}

/// What is kept in memory: enough to answer for a balance, and what is not stored yet.
#[derive(Default)]
pub(super) struct Cache {
    accounts: ByAccount<AccountRow>,
    /// Of those accounts that are restricted.
    restrictions: ByAccount<Restrictions>,
    shards: BTreeMap<ShardId, ShardState>,
}

/// Why a shard is not served, and since when.
#[derive(Clone)]
struct Stopped {
    cause: String,
    since: Instant,
}

struct ShardState {
    watermark: Option<Watermark>,
    /// When it last moved on, or was read from the disk.
    moved: Instant,
    stopped: Option<Stopped>,
    /// Tells that one of the two has changed.
    progress: watch::Sender<()>,
    /// Held by whoever folds the shard, so that nobody else does.
    folding: Arc<tokio::sync::Mutex<()>>,
    /// What is folded since the last run.
    tail: Tail,
    /// The run that is being stored.
    storing: Option<Arc<Tail>>,
}

impl Default for ShardState {
    fn default() -> Self {
        Self {
            watermark: None,
            moved: Instant::now(),
            stopped: None,
            progress: watch::Sender::default(),
            folding: Arc::default(),
            tail: Tail::default(),
            storing: None,
        }
    }
}

impl ShardState {
    /// What is not stored yet, the older first.
    fn tails(&self) -> impl Iterator<Item = &Tail> {
        self.storing.as_deref().into_iter().chain([&self.tail])
    }
}

/// What is about to be stored of a shard.
pub(super) struct Run {
    shard: ShardId,
    tail: Arc<Tail>,
    accounts: Vec<(AccountId, AccountRow, Option<Restrictions>)>,
}

/// How much of a shard is not stored yet.
pub(super) struct Unstored {
    /// Bytes, about.
    pub(super) bytes: usize,
    /// Since when; `None` where all is stored or being stored.
    pub(super) since: Option<Instant>,
    /// Whether a run is being stored.
    pub(super) is_storing: bool,
}

/// Takes rows out of what is not stored yet.
type Gather<'a> = dyn Fn(&Tail, &mut Rows) + 'a;

impl Views {
    /// Opens the views over their engine and reads every account into memory. Where this fails and
    /// [`Error::is_cured_by_rebuilding`], the store is to be wiped and opened again.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Self, Error> {
        let disk = Disk { engine };
        let expected = stored::FORMAT;
        match disk.label()? {
            None => disk.put_label(&Label::whole(0), Durability::Later)?,
            Some(Label { format, .. }) if format == expected => {}
            Some(Label { format: found, .. }) => return Err(Error::Format { found, expected }),
        }
        Self::load(disk)
    }

    /// Whatever a disk has, of a format that can be served.
    pub(super) fn load(disk: Disk) -> Result<Self, Error> {
        let label = disk.label()?;
        Ok(Self(Arc::new(Inner {
            cache: RwLock::new(disk.load()?),
            disk,
            runs: AtomicU64::new(0),
            paused: watch::Sender::new(false),
            spares: AtomicBool::new(false),
            has_states: label.is_none_or(|label| label.format >= stored::WITH_STATES),
            replays: Semaphore::new(REPLAYS_AT_ONCE),
            snapshot_every: AtomicUsize::new(SNAPSHOT_EVERY),
            ailing: watch::Sender::new(None),
        })))
    }

    /// Keeps anything from being folded until what this gives is dropped.
    pub(super) fn pause(&self) -> Paused {
        self.0.paused.send_replace(true);
        Paused(self.clone())
    }

    /// Waits while folding is paused.
    pub(super) async fn may_fold(&self) {
        if *self.0.paused.borrow() {
            // The sender is in the views.
            let _ = self.0.paused.subscribe().wait_for(|paused| !paused).await;
        }
    }

    /// Whether folding is to leave half of the time to others.
    pub(super) fn spares(&self) -> bool {
        self.0.spares.load(Ordering::Relaxed)
    }

    pub(super) fn set_sparing(&self, spares: bool) {
        self.0.spares.store(spares, Ordering::Relaxed);
    }

    /// Tells what is wrong with the rows, where making them again would cure it.
    pub(super) fn ailing(&self) -> watch::Receiver<Option<String>> {
        self.0.ailing.subscribe()
    }

    /// Whether what accounts were is kept here, or is to be folded from the log.
    pub(crate) fn has_states(&self) -> bool {
        self.0.has_states
    }

    /// Places for those who replay states from the log.
    pub(crate) fn replays(&self) -> &Semaphore {
        &self.0.replays
    }

    /// Begins a new chunk of states, and so a new snapshot, after so many.
    #[cfg(test)]
    pub(super) fn set_snapshot_every(&self, states: usize) {
        self.0.snapshot_every.store(states, Ordering::Relaxed);
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
        if error.is_cured_by_rebuilding() {
            let ailment = &self.0.ailing;
            ailment.send_if_modified(|ailment| {
                let is_new = ailment.is_none();
                ailment.get_or_insert_with(|| error.to_string());
                is_new
            });
        }
        let mut cache = self.cache_mut();
        let state = cache.shards.entry(shard).or_default();
        let cause = state.stopped.get_or_insert_with(|| {
            tracing::error!(shard = shard.0, %error, "a view has stopped and is not served");
            let (cause, since) = (error.to_string(), Instant::now());
            Stopped { cause, since }
        });
        let cause = cause.cause.clone();
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

    /// An account's row, and what `read` finds in the rows of a range beside it: both are of one
    /// state. `None` where no shard viewed here has opened it yet.
    pub(super) fn with_row<T>(
        &self,
        account: &AccountId,
        range: &Range<Vec<u8>>,
        read: impl Fn(&Merged<'_>) -> Result<T, Error>,
    ) -> Result<Option<(BalanceRow, T)>, ReadError> {
        loop {
            let runs = self.0.runs.load(Ordering::SeqCst);
            let gather = |tail: &Tail, rows: &mut Rows| tail.rows_of(range, rows);
            let Some((row, [fresh])) = self.beside(account, [&gather])? else {
                return Ok(None);
            };
            let found = read(&self.disk().with(fresh));
            // A run that was begun meanwhile may have stored what came after the row.
            if self.0.runs.load(Ordering::SeqCst) == runs {
                let found = found.map_err(|error| self.stop(row.shard, &error))?;
                return Ok(Some((row, found)));
            }
        }
    }

    /// An account's row, and what is not stored yet beside it, by each of some ways to gather it: all
    /// are of one state.
    pub(super) fn beside<const N: usize>(
        &self,
        account: &AccountId,
        gather: [&Gather<'_>; N],
    ) -> Result<Option<(BalanceRow, [Rows; N])>, ReadError> {
        let cache = self.cache();
        let Some(row) = cache.balance(account)? else {
            return Ok(None);
        };
        let rows = gather.map(|gather| cache.gathered(row.shard, gather));
        Ok(Some((row, rows)))
    }

    /// The rows of a range in the view of a shard. Only whoever folds it can tell of which state.
    pub(super) fn rows(&self, shard: ShardId, range: &Range<Vec<u8>>) -> Merged<'_> {
        let gather = |tail: &Tail, rows: &mut Rows| tail.rows_of(range, rows);
        let fresh = self.cache().gathered(shard, gather);
        self.disk().with(fresh)
    }

    /// The row under a key in the view of a shard, if there is one.
    pub(super) fn row<T>(
        &self,
        shard: ShardId,
        key: &[u8],
        place: Place,
        open: impl FnOnce(&Bytes) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Error> {
        let fresh = self.cache().shards.get(&shard).and_then(|state| {
            let newest = state.tail.row(key);
            newest.or_else(|| state.storing.as_ref()?.row(key))
        });
        let row = match fresh {
            Some(row) => row,
            None => self.disk().engine.get(key)?,
        };
        read(place, row.as_ref().map(open).transpose())
    }

    /// How far a shard is folded, if it is.
    pub(super) fn cursor(&self, shard: ShardId) -> Result<Option<Cursor>, Error> {
        let cache = self.cache();
        let state = cache.shards.get(&shard);
        let tails = state.into_iter().flat_map(ShardState::tails);
        let unstored = tails.filter_map(Tail::cursor).last();
        drop(cache);
        match unstored {
            Some(cursor) => Ok(Some(cursor)),
            None => self.disk().cursor(shard),
        }
    }

    /// Shows a step, which is to be stored.
    pub(super) fn commit(&self, step: &mut Step) {
        let shard = step.cursor.fence.shard;
        let mut cache = self.cache_mut();
        let Cache {
            accounts,
            restrictions,
            shards,
        } = &mut *cache;
        let state = shards.entry(shard).or_default();
        #[expect(
            clippy::iter_over_hash_type,
            reason = "each account is dealt with by itself"
        )]
        for (id, account) in &step.accounts {
            let account = *account;
            let new = AccountRow {
                shard,
                account,
                last: None,
                restated: None,
            };
            accounts
                .entry(*id)
                .and_modify(|row| row.account = account)
                .or_insert(new);
        }
        for (id, line) in &mut step.lines {
            let Some(row) = accounts.get_mut(id) else {
                continue;
            };
            if let Some(last) = row.last {
                line.booked_on = line.booked_on.max(last.booked_on);
                line.front = line.front.max(last.front);
            }
            state.tail.add_line(*id, line, row.last);
            row.last = Some(LastDates {
                booked_on: line.booked_on,
                front: line.front,
            });
        }
        if self.0.has_states {
            for (id, restricted) in std::mem::take(&mut step.restrictions) {
                match restricted.is_empty() {
                    true => restrictions.remove(&id),
                    false => restrictions.insert(id, restricted),
                };
            }
            let most = self.0.snapshot_every.load(Ordering::Relaxed);
            for (id, restated) in &mut step.states {
                let Some(row) = accounts.get_mut(id) else {
                    continue;
                };
                restated.follow(row.restated);
                state.tail.add_state(*id, restated, most);
                row.restated = Some(restated.restated());
            }
        }
        state.tail.add_rows(step);
        let watermark = step.cursor.watermark();
        if state.watermark != watermark {
            state.watermark = watermark;
            state.moved = Instant::now();
        }
        state.progress.send_replace(());
    }

    /// How many shards are viewed.
    pub(super) fn shards(&self) -> usize {
        self.cache().shards.len()
    }

    /// How much of a shard is still to be stored.
    pub(super) fn unstored(&self, shard: ShardId) -> Unstored {
        let cache = self.cache();
        let state = cache.shards.get(&shard);
        Unstored {
            bytes: state.map_or(0, |state| state.tail.bytes()),
            since: state.and_then(|state| state.tail.since()),
            is_storing: state.is_some_and(|state| state.storing.is_some()),
        }
    }

    /// Begins a run of what is folded of a shard, if there is any and no other run is being stored. Only
    /// whoever folds it may ask.
    pub(super) fn run(&self, shard: ShardId) -> Option<Run> {
        let cache = self.cache();
        let state = cache.shards.get(&shard)?;
        let tail = &state.tail;
        if tail.since().is_none() || state.storing.is_some() {
            return None;
        }
        // Nobody else changes the accounts of this shard, so that readers are not in the way.
        let row = |id: &AccountId| {
            let restrictions = cache.restrictions.get(id).cloned();
            Some((*id, *cache.accounts.get(id)?, restrictions))
        };
        let accounts = tail.changed().filter_map(row).collect();
        drop(cache);
        let mut cache = self.cache_mut();
        let state = cache.shards.get_mut(&shard)?;
        let tail = Arc::new(std::mem::take(&mut state.tail));
        state.storing = Some(tail.clone());
        Some(Run {
            shard,
            tail,
            accounts,
        })
    }

    /// Stores a run. Takes as long as a disk does.
    pub(super) fn store(&self, run: &Run) -> Result<(), Error> {
        let rows: Vec<SortedRow> = run.tail.run(run.shard, &run.accounts);
        self.0.runs.fetch_add(1, Ordering::SeqCst);
        self.disk().store(rows, run.shard)?;
        if let Some(state) = self.cache_mut().shards.get_mut(&run.shard) {
            state.storing = None;
        }
        Ok(())
    }

    /// Where runs are to be stored.
    pub(super) fn writer_host(&self) -> WriterHost {
        self.disk().engine.writer_host()
    }
}

impl Cache {
    /// For a planted bug alone.
    pub(super) fn first_shard(&self) -> Option<ShardId> {
        self.shards.keys().next().copied()
    }

    /// Takes up where a stored view went.
    pub(super) fn loaded(&mut self, shard: ShardId, cursor: &Cursor) {
        self.shards.entry(shard).or_default().watermark = cursor.watermark();
    }

    pub(super) fn knows(&self, shard: ShardId) -> bool {
        self.shards.contains_key(&shard)
    }

    pub(super) fn put(&mut self, id: AccountId, row: AccountRow, restrictions: Restrictions) {
        self.accounts.insert(id, row);
        if !restrictions.is_empty() {
            self.restrictions.insert(id, restrictions);
        }
    }

    pub(super) fn restrictions(&self, id: &AccountId) -> Restrictions {
        self.restrictions.get(id).cloned().unwrap_or_default()
    }

    /// How many states an account has.
    pub(super) fn restated(&self, id: &AccountId) -> u64 {
        let row = self.accounts.get(id).and_then(|row| row.restated);
        row.map_or(0, |restated| restated.number)
    }

    pub(super) fn account(&self, id: &AccountId) -> Option<(ShardId, Account)> {
        let row = self.accounts.get(id)?;
        Some((row.shard, row.account))
    }

    /// What is not stored yet of a shard, as far as `gather` takes it.
    pub(super) fn gathered(&self, shard: ShardId, gather: impl Fn(&Tail, &mut Rows)) -> Rows {
        let mut rows = Rows::new();
        let state = self.shards.get(&shard);
        for tail in state.into_iter().flat_map(ShardState::tails) {
            gather(tail, &mut rows);
        }
        rows
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
            Some(stopped) => Err(ReadError::Stopped {
                shard,
                cause: stopped.cause.clone(),
            }),
        }
    }

    /// How far each shard is folded; `None` before its first index.
    pub(super) fn folded(&self) -> BTreeMap<ShardId, Option<u64>> {
        let shards = self.shards.iter();
        let index = |state: &ShardState| Some(state.watermark?.position.index);
        shards
            .map(|(shard, state)| (*shard, index(state)))
            .collect()
    }

    /// The shards that are not served, and why.
    pub(super) fn all_stopped(&self) -> BTreeMap<ShardId, String> {
        let shards = self.shards.iter();
        let stopped = |state: &ShardState| Some(state.stopped.as_ref()?.cause.clone());
        shards
            .filter_map(|(shard, state)| Some((*shard, stopped(state)?)))
            .collect()
    }

    /// For how long a shard has not been served because its view has stopped, if it has.
    pub(super) fn stopped_for(&self, shard: ShardId) -> Option<Duration> {
        let stopped = self.shards.get(&shard)?.stopped.as_ref()?;
        Some(stopped.since.elapsed())
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

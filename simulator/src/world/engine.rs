use std::{
    collections::BTreeMap,
    io, mem,
    ops::{Bound, ControlFlow, Range},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use bytes::Bytes;
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use replication::world::{Batch, Durability, Engine, Op, SortedRow, WriterHost, batch};

use super::{Power, rot::Rot};
use crate::Seed;

mod rash;
#[cfg(test)]
mod tests;

type Pairs = BTreeMap<Vec<u8>, Bytes>;
/// So many of a range are its last.
const LAST: usize = 6;

type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// One store of a [`SimDisk`](super::SimDisk), in memory.
///
/// It holds what readers see, what is durable, and the batches in between, in order. Losing power
/// keeps a prefix of those batches and drops the rest, as a write-ahead log does.
///
/// A batch is atomic here, as RocksDB makes it: a write that the power cut tore in two is one that
/// was lost.
#[derive(Debug)]
pub struct SimEngine {
    state: RwLock<State>,
    power: Arc<Power>,
}

#[derive(Debug)]
struct State {
    view: Pairs,
    durable: Pairs,
    unsynced: Vec<Batch>,
    /// A write that was reported as failed is stored all the same, unseen by readers.
    hides_a_write: bool,
    failing_writes: u32,
    is_full: bool,
    /// Calls a write synced that is not.
    lies: bool,
    /// How long a sync takes, roughly.
    sync_time: Duration,
    /// A write has failed since the store was opened.
    has_failed: bool,
    /// Values that are not what was written, as they are.
    flipped: Pairs,
    rots: Option<Rot>,
    /// Entries that acted upon what was not durable.
    rash: Vec<String>,
    rng: SmallRng,
}

impl SimEngine {
    pub(super) fn new(seed: Seed, power: Arc<Power>) -> Self {
        SimEngine {
            power,
            state: RwLock::new(State {
                view: Pairs::new(),
                durable: Pairs::new(),
                unsynced: Vec::new(),
                hides_a_write: false,
                failing_writes: 0,
                is_full: false,
                lies: false,
                sync_time: Duration::ZERO,
                has_failed: false,
                flipped: Pairs::new(),
                rots: None,
                rash: Vec::new(),
                rng: seed.rng(),
            }),
        }
    }

    /// How many batches would be at stake if power were lost now.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.read().unsynced.len()
    }

    /// Cuts the power: a prefix of the unsynced batches, its length drawn from `rng`, is kept.
    /// Returns how many batches were lost.
    pub(super) fn power_loss(&self, rng: &mut SmallRng) -> usize {
        let mut state = self.write_state();
        let unsynced = mem::take(&mut state.unsynced);
        let kept = rng.random_range(0..=unsynced.len());
        for batch in &unsynced[..kept] {
            apply(&mut state.durable, batch);
        }
        state.view = state.durable.clone();
        state.hides_a_write = false;
        state.has_failed = false;
        // A device that was power-cycled starts over.
        state.failing_writes = 0;
        unsynced.len() - kept
    }

    /// Opens the store again: its log is replayed, and with it what a failed write left there.
    pub(super) fn reopen(&self) {
        let mut state = self.write_state();
        let state = &mut *state;
        state.has_failed = false;
        if mem::take(&mut state.hides_a_write) {
            state.view = state.durable.clone();
            for batch in &state.unsynced {
                apply(&mut state.view, batch);
            }
        }
    }

    /// Whether some key or value, seen, durable or on its way, is so.
    pub(super) fn holds(&self, is_so: impl Fn(&[u8]) -> bool) -> bool {
        let state = self.read();
        let stored = [&state.view, &state.durable].into_iter().flatten();
        let under_way = state.unsynced.iter().flatten().filter_map(|op| match op {
            Op::Put(key, value) => Some((key, value)),
            Op::Delete(_) | Op::DeleteRange(_) => None,
        });
        stored
            .chain(under_way)
            .any(|(key, value)| is_so(key) || is_so(value))
    }

    /// Lets the next writes fail.
    pub(super) fn fail_writes(&self, count: u32) {
        self.write_state().failing_writes = count;
    }

    /// Lets every write fail for want of room, or no longer. A power cut makes no room.
    pub(super) fn set_full(&self, is_full: bool) {
        self.write_state().is_full = is_full;
    }

    /// Lets the store call synced what a power cut can still take.
    pub(super) fn set_lying(&self, lies: bool) {
        self.write_state().lies = lies;
    }

    /// Lets syncs take so long, roughly; no time at all where it is zero.
    pub(super) fn set_sync_time(&self, time: Duration) {
        self.write_state().sync_time = time;
    }

    /// Whether a write has failed since the store was opened.
    pub(super) fn has_failed(&self) -> bool {
        self.read().has_failed
    }

    /// Flips a bit of one durable value of a range, half of the time one of its last. Returns
    /// whether there was one.
    pub(super) fn flip_a_bit(&self, range: Range<&[u8]>, rng: &mut SmallRng) -> bool {
        let mut state = self.write_state();
        let state = &mut *state;
        let keys: Vec<&Vec<u8>> = in_range(&state.durable, range)
            .map(|(key, _)| key)
            // Flipped twice, it could be what it was.
            .filter(|key| !state.flipped.contains_key(*key))
            .collect();
        let among = match rng.random_bool(0.5) {
            true => &keys[keys.len().saturating_sub(LAST)..],
            false => &keys[..],
        };
        let Some(key) = among.choose(rng).map(|key| (*key).clone()) else {
            return false;
        };
        let mut damaged = state.durable[&key].to_vec();
        let place = rng.random_range(0..damaged.len());
        damaged[place] ^= 1 << rng.random_range(0..8);
        let damaged = Bytes::from(damaged);
        state.durable.insert(key.clone(), damaged.clone());
        state.view.insert(key.clone(), damaged.clone());
        state.flipped.insert(key, damaged);
        true
    }

    /// Lets the next records of a shard be changed on their way to the disk.
    pub(super) fn rot(&self, shard: u32, count: u32) {
        self.write_state().rots = Some(Rot { shard, left: count });
    }

    /// Entries that acted upon what a power cut could still have taken.
    pub(super) fn rash(&self) -> Vec<String> {
        self.read().rash.clone()
    }

    /// Whether some value is still not what was written, after [`SimEngine::flip_a_bit`].
    pub(super) fn is_damaged(&self) -> bool {
        let state = self.read();
        let is_so = |(key, value): (&Vec<u8>, &Bytes)| {
            // What was removed since, or written again, is not wrong any more.
            state.view.get(key) == Some(value)
        };
        state.flipped.iter().any(is_so)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("a write to this store panicked")
    }

    fn write_state(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("a write to this store panicked")
    }
}

impl Engine for SimEngine {
    fn write(&self, mut batch: Batch, durability: Durability) -> io::Result<()> {
        let has_power = self.power.writes();
        let mut state = self.write_state();
        let state = &mut *state;
        if !has_power {
            // Nobody will hear of what the host believes until its turn ends.
            apply(&mut state.view, &batch);
            return Ok(());
        }
        if state.is_full {
            state.has_failed = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            state.has_failed = true;
            // A failed write may have reached the log all the same. No reader sees it before the
            // store is opened again.
            if state.rng.random_bool(0.5) {
                state.hides_a_write = true;
                state.unsynced.push(batch);
            }
            return Err(io::Error::other("the simulated disk failed this write"));
        }
        if !state.unsynced.is_empty() && !state.lies {
            let rash = rash::rash(&batch, &state.unsynced);
            state.rash.extend(rash);
        }
        if let Some(rot) = &mut state.rots {
            state.flipped.extend(rot.spoil(&mut batch));
        }
        apply(&mut state.view, &batch);
        state.unsynced.push(batch);
        if durability == Durability::Synced && !state.lies {
            for batch in mem::take(&mut state.unsynced) {
                apply(&mut state.durable, &batch);
            }
        }
        Ok(())
    }

    fn ingest(&self, rows: Vec<SortedRow>) -> io::Result<()> {
        self.write(batch(rows), Durability::Later)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        Ok(self.read().view.get(key).cloned())
    }

    fn scan(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        visit_all(in_range(&self.read().view, range), visit);
        Ok(())
    }

    fn scan_back(
        &self,
        range: Range<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        visit_all(in_range(&self.read().view, range).rev(), visit);
        Ok(())
    }

    fn writer_host(&self) -> WriterHost {
        WriterHost::Task
    }

    fn sync_time(&self) -> Duration {
        let mut state = self.write_state();
        let usual = state.sync_time;
        match usual.is_zero() {
            true => usual,
            false => state.rng.random_range(usual / 2..=usual * 3 / 2),
        }
    }
}

fn apply(pairs: &mut Pairs, batch: &Batch) {
    for op in batch {
        match op {
            Op::Put(key, value) => {
                pairs.insert(key.clone(), value.clone());
            }
            Op::Delete(key) => {
                pairs.remove(key);
            }
            Op::DeleteRange(range) => {
                let doomed: Vec<Vec<u8>> = in_range(pairs, &range.start..&range.end)
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in doomed {
                    pairs.remove(&key);
                }
            }
        }
    }
}

/// The pairs of a half-open range; none where it ends before it starts.
fn in_range<'a>(
    pairs: &'a Pairs,
    range: Range<&[u8]>,
) -> impl DoubleEndedIterator<Item = (&'a Vec<u8>, &'a Bytes)> {
    let end = range.end.max(range.start);
    pairs.range::<[u8], _>((Bound::Included(range.start), Bound::Excluded(end)))
}

fn visit_all<'a>(pairs: impl Iterator<Item = (&'a Vec<u8>, &'a Bytes)>, visit: &mut Visitor<'_>) {
    for (key, value) in pairs {
        if visit(key, value).is_break() {
            break;
        }
    }
}

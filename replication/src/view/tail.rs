//! What is folded and not stored yet.
//!
//! A row put into the database one at a time costs more than everything else about an event. So the
//! rows of many entries are gathered in memory, and stored as one sorted run with the cursor that says
//! how far they go. What a crash takes of them is folded again from the log.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use bytes::Bytes;
use ledger_domain::{AccountId, Date, ShardId};
use tokio::time::Instant;

use super::declined::KEPT;
use super::fold::Step;
use super::lines::{Chunk, Gaps};
use super::rows::{AccountRow, Cursor, LastDates};
use super::states::{Chunk as StateChunk, Restrictions, State};
use super::{Line, keys, stored};
use crate::world::SortedRow;

/// Rows by their keys; `None` where one is removed.
pub(super) type Rows = BTreeMap<Vec<u8>, Option<Bytes>>;

/// What is about as much for one row as its key, its place and its frame, in bytes.
const ROW_BYTES: usize = 64;

/// By account. Never walked where the order would show: it is another in every process.
pub(super) type ByAccount<T> = HashMap<AccountId, T, foldhash::fast::RandomState>;

/// What is folded of an account whose row is another now.
#[derive(Default)]
struct Changed {
    /// The chunk that its lines are added to.
    lines: Option<Box<Chunk>>,
    /// The chunk that late ones are added to.
    late: Option<Box<Chunk>>,
    /// The chunk that its states are added to.
    states: Option<Box<StateChunk>>,
}

impl Changed {
    fn open(&self, gaps: Gaps) -> Option<&Chunk> {
        match gaps {
            Gaps::None => self.lines.as_deref(),
            Gaps::Some => self.late.as_deref(),
        }
    }
}

/// What was folded of a shard after its last stored run.
#[derive(Default)]
pub(super) struct Tail {
    rows: Rows,
    changed: ByAccount<Changed>,
    cursor: Option<Cursor>,
    bytes: usize,
    since: Option<Instant>,
}

impl Tail {
    /// How far it goes; `None` while it is empty.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// Since when there is something in it.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a line. `last` is where its account's lines went up to before it.
    pub(super) fn add_line(&mut self, id: AccountId, line: &Line, last: Option<LastDates>) {
        let front = last.map(|last| last.front);
        let (rows, bytes) = (&mut self.rows, &mut self.bytes);
        let Changed { lines, late, .. } = changed(&mut self.changed, bytes, id);
        *bytes += add(lines, rows, Gaps::None, id, line, front);
        if line.is_late() {
            *bytes += add(late, rows, Gaps::Some, id, line, front);
        }
    }

    /// Adds a state. A chunk has at most so many.
    pub(super) fn add_state(&mut self, id: AccountId, state: &State, most: usize) {
        let (rows, bytes) = (&mut self.rows, &mut self.bytes);
        let Changed { states, .. } = changed(&mut self.changed, bytes, id);
        if let Some(chunk) = states {
            let before = chunk.len();
            if chunk.add(state, most) {
                *bytes += chunk.len() - before;
                return;
            }
            rows.insert(keys::state(&id, chunk.first()), Some(chunk.seal()));
        }
        let chunk = states.insert(Box::new(StateChunk::begin(state)));
        *bytes += ROW_BYTES + size_of::<StateChunk>() + chunk.len();
    }

    /// Adds everything else of a step.
    pub(super) fn add_rows(&mut self, step: &Step) {
        let shard = step.cursor.fence.shard;
        #[expect(
            clippy::iter_over_hash_type,
            reason = "each account is dealt with by itself"
        )]
        for id in step.accounts.keys() {
            changed(&mut self.changed, &mut self.bytes, *id);
        }
        for ((destination, number), item) in &step.items {
            let key = keys::item(shard, *destination, *number);
            self.put(key, item.as_ref().map(stored::seal_item));
        }
        for ((destination, number), ended) in &step.ended {
            let key = keys::ended(shard, *destination, *number);
            self.put(key, Some(stored::seal_ended(ended)));
        }
        for ((source, number), recorded) in &step.recorded {
            let key = keys::recorded(shard, *source, *number);
            self.put(key, Some(stored::seal_recorded(recorded)));
        }
        for (id, opening) in &step.openings {
            self.put(keys::opening(id), Some(stored::seal_opening(opening)));
        }
        for ((id, number), hold) in &step.holds {
            self.put(keys::hold(id, *number), Some(stored::seal_hold(hold)));
        }
        for ((id, number), declined) in &step.declined {
            let row = stored::seal_declined(declined);
            self.put(keys::declined(id, *number), Some(row));
            if let Some(old) = number.checked_sub(KEPT) {
                self.put(keys::declined(id, old), None);
            }
        }
        for ((original, by), reversal) in &step.reversals {
            let key = keys::reversal(original, by);
            self.put(key, reversal.as_ref().map(stored::seal_reversal));
        }
        for (number, decided) in &step.journals {
            let key = keys::journal(shard, *number);
            self.put(key, Some(stored::seal_journal(decided)));
        }
        for index in &step.voids {
            self.put(keys::void(shard, *index), Some(stored::seal_void()));
        }
        self.cursor = Some(step.cursor);
        self.since.get_or_insert_with(Instant::now);
    }

    fn put(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += ROW_BYTES + value.as_ref().map_or(0, Bytes::len);
        self.rows.insert(key, value);
    }

    /// The row under a key, if it is here; `Some(None)` where it is removed.
    pub(super) fn row(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.rows.get(key).cloned()
    }

    /// Adds the rows of a range to those given, whose place they take.
    pub(super) fn rows_of(&self, range: &Range<Vec<u8>>, rows: &mut Rows) {
        let here = self.rows.range(range.clone());
        rows.extend(here.map(|(key, value)| (key.clone(), value.clone())));
    }

    /// The same, of an account's lines.
    pub(super) fn lines_of(&self, account: &AccountId, gaps: Gaps, rows: &mut Rows) {
        let key = key(gaps);
        self.rows_of(&(key(account, 0)..key(account, u64::MAX)), rows);
        let changed = self.changed.get(account);
        if let Some(chunk) = changed.and_then(|changed| changed.open(gaps)) {
            rows.insert(key(account, chunk.first()), Some(chunk.seal()));
        }
    }

    /// The same, of an account's states.
    pub(super) fn states_of(&self, account: &AccountId, rows: &mut Rows) {
        self.rows_of(
            &(keys::state(account, 0)..keys::state(account, u64::MAX)),
            rows,
        );
        let states = self.changed.get(account).map(|it| &it.states);
        if let Some(Some(chunk)) = states {
            rows.insert(keys::state(account, chunk.first()), Some(chunk.seal()));
        }
    }

    /// The accounts whose rows are to be stored with it.
    pub(super) fn changed(&self) -> impl Iterator<Item = &AccountId> {
        self.changed.keys()
    }

    /// All of it, with the rows of its accounts as they are at its end, in the order of the keys. The
    /// cursor stands where its key does.
    pub(super) fn run(
        &self,
        shard: ShardId,
        accounts: &[(AccountId, AccountRow, Option<Restrictions>)],
    ) -> Vec<SortedRow> {
        let sealed = |gaps| {
            let open = self.changed.iter();
            open.filter_map(move |(id, changed)| {
                let chunk = changed.open(gaps)?;
                Some((key(gaps)(id, chunk.first()), Some(chunk.seal())))
            })
        };
        let (lines, late) = (sealed(Gaps::None), sealed(Gaps::Some));
        let rows = self.rows.iter().map(|(k, v)| (k.clone(), v.clone()));
        let states = self.changed.iter().filter_map(|(id, changed)| {
            let chunk = changed.states.as_ref()?;
            Some((keys::state(id, chunk.first()), Some(chunk.seal())))
        });
        let accounts = accounts.iter().map(|(id, row, restrictions)| {
            let stored = stored::seal_account(row, restrictions.as_ref());
            (keys::account(id), Some(stored))
        });
        let cursor = self.cursor.iter().map(|cursor| {
            let stored = stored::seal_cursor(cursor);
            (keys::cursor(shard), Some(stored))
        });
        let all = rows.chain(lines).chain(late).chain(states);
        let all = all.chain(accounts).chain(cursor);
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

type Key = fn(&AccountId, u64) -> Vec<u8>;

/// Where chunks of a kind are kept.
fn key(gaps: Gaps) -> Key {
    match gaps {
        Gaps::None => keys::line,
        Gaps::Some => keys::late,
    }
}

/// What is folded of an account, which counts as one that changed.
fn changed<'a>(
    all: &'a mut ByAccount<Changed>,
    bytes: &mut usize,
    id: AccountId,
) -> &'a mut Changed {
    all.entry(id).or_insert_with(|| {
        *bytes += ROW_BYTES + size_of::<(AccountId, Changed)>();
        Changed::default()
    })
}

/// Adds a line to a chunk, or closes it and begins another. Gives about how many bytes that took.
fn add(
    open: &mut Option<Box<Chunk>>,
    rows: &mut Rows,
    gaps: Gaps,
    id: AccountId,
    line: &Line,
    front: Option<Date>,
) -> usize {
    if let Some(chunk) = open {
        let before = chunk.len();
        if chunk.add(line) {
            return chunk.len() - before;
        }
        rows.insert(key(gaps)(&id, chunk.first()), Some(chunk.seal()));
    }
    let chunk = open.insert(Box::new(Chunk::begin(id, line, front, gaps)));
    ROW_BYTES + size_of::<Chunk>() + chunk.len()
}

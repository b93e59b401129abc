use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use ledger_domain::{
    ShardId,
    planted::{Bug, planted},
};

use super::rows::{Cursor, Item, Label};
use super::stored::{self, Malformed};
use super::tail::Rows;
use super::views::Cache;
use super::{Error, Place, keys};
use crate::world::{Durability, Engine, Op, SortedRow};

/// The rows as stored.
pub(super) struct Disk {
    pub(super) engine: Arc<dyn Engine>,
}

impl Disk {
    /// What the store says of itself; `None` where nothing is in it yet.
    pub(super) fn label(&self) -> Result<Option<Label>, Error> {
        match self.engine.get(&keys::FORMAT)? {
            Some(value) => read(Place::Format, stored::open_label(&value)).map(Some),
            None if self.is_empty()? => Ok(None),
            None => Err(Error::Format {
                found: 0,
                expected: stored::FORMAT,
            }),
        }
    }

    pub(super) fn put_label(&self, label: &Label, durability: Durability) -> io::Result<()> {
        let put = Op::Put(keys::FORMAT.to_vec(), stored::seal_label(label));
        self.engine.write(vec![put], durability)
    }

    fn is_empty(&self) -> io::Result<bool> {
        let mut empty = true;
        self.engine.scan(&[0]..&[u8::MAX], &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        Ok(empty)
    }

    pub(super) fn load(&self) -> Result<Cache, Error> {
        let mut cache = Cache::default();
        let all = self.with(Rows::new());
        all.scan(keys::cursors(), |key, value| {
            let shard = keys::shard_of(key).ok_or_else(foreign_key)?;
            let cursor = read(Place::Cursor(shard), stored::open_cursor(shard, value))?;
            cache.loaded(shard, &cursor);
            Ok(ControlFlow::Continue(()))
        })?;
        all.scan(keys::accounts(), |key, value| {
            let id = keys::account_of(key).ok_or_else(foreign_key)?;
            let row = read(Place::Account(id), stored::open_account(value));
            let (row, restrictions) = row?;
            if !cache.knows(row.shard) {
                let what = format!("{id} has a row, and its shard has no cursor");
                return Err(Error::Inconsistent {
                    shard: row.shard,
                    index: 0,
                    what,
                });
            }
            cache.put(id, row, restrictions);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(cache)
    }

    /// How far a shard is stored, if it is.
    pub(super) fn cursor(&self, shard: ShardId) -> Result<Option<Cursor>, Error> {
        let stored = self.engine.get(&keys::cursor(shard))?;
        let cursor = stored.map(|stored| stored::open_cursor(shard, &stored));
        read(Place::Cursor(shard), cursor.transpose())
    }

    /// These rows, beside and before what is stored.
    pub(super) fn with(&self, fresh: Rows) -> Merged<'_> {
        Merged { disk: self, fresh }
    }

    /// Stores a run, its rows and its cursor at once.
    pub(super) fn store(&self, mut run: Vec<SortedRow>, shard: ShardId) -> io::Result<()> {
        if planted(Bug::CursorBeforeRows) {
            let cursor = keys::cursor(shard);
            let at = run.iter().position(|(key, _)| *key == cursor);
            let cursor = at.map(|at| run.remove(at));
            self.engine.ingest(cursor.into_iter().collect())?;
        }
        self.engine.ingest(run)
    }
}

/// Rows that are not stored yet, with those that are: the first where both have a key.
pub(super) struct Merged<'a> {
    disk: &'a Disk,
    fresh: Rows,
}

type Visit<'a> = dyn FnMut(&[u8], &Bytes) -> Result<ControlFlow<()>, Error> + 'a;

impl Merged<'_> {
    /// Visits the pairs of a range, rising, until the visitor breaks or fails.
    pub(super) fn scan(
        &self,
        range: Range<Vec<u8>>,
        mut visit: impl FnMut(&[u8], &Bytes) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let fresh = self.fresh.range(range.clone());
        let mut merging = Merging::new(fresh, |a, b| a < b, &mut visit);
        let bounds = &range.start..&range.end;
        let engine = &self.disk.engine;
        engine.scan(bounds.start..bounds.end, &mut |k, v| merging.stored(k, v))?;
        merging.end()
    }

    /// Visits the pairs of a range, falling, until the visitor breaks or fails.
    pub(super) fn scan_back(
        &self,
        range: Range<Vec<u8>>,
        mut visit: impl FnMut(&[u8], &Bytes) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let fresh = self.fresh.range(range.clone()).rev();
        let mut merging = Merging::new(fresh, |a, b| a > b, &mut visit);
        let engine = &self.disk.engine;
        engine.scan_back(&range.start..&range.end, &mut |k, v| merging.stored(k, v))?;
        merging.end()
    }

    /// The last pair of a range.
    pub(super) fn last(&self, range: Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
        let mut last = None;
        self.scan_back(range, |key, value| {
            last = Some((key.to_vec(), value.clone()));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }

    /// A shard's transfers under way.
    pub(super) fn items(&self, shard: ShardId) -> Result<BTreeMap<(ShardId, u64), Item>, Error> {
        let mut items = BTreeMap::new();
        self.scan(keys::items(shard), |key, value| {
            let (destination, number) = keys::item_of(key).ok_or_else(foreign_key)?;
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
}

/// A walk over two sets of pairs at once, in one order.
struct Merging<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>> {
    fresh: Peekable<I>,
    comes_before: fn(&[u8], &[u8]) -> bool,
    visit: &'a mut Visit<'a>,
    ended: Option<Result<(), Error>>,
}

impl<'a, I: Iterator<Item = (&'a Vec<u8>, &'a Option<Bytes>)>> Merging<'a, I> {
    fn new(fresh: I, comes_before: fn(&[u8], &[u8]) -> bool, visit: &'a mut Visit<'a>) -> Self {
        Self {
            fresh: fresh.peekable(),
            comes_before,
            visit,
            ended: None,
        }
    }

    /// Visits what is due before a stored pair, and that one unless it was replaced.
    fn stored(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        while let Some((due, _)) = self.fresh.peek()
            && (self.comes_before)(due, key)
        {
            self.next_fresh()?;
        }
        match self.fresh.peek() {
            Some((same, _)) if same.as_slice() == key => self.next_fresh(),
            _ => self.visit(key, &Bytes::copy_from_slice(value)),
        }
    }

    fn next_fresh(&mut self) -> ControlFlow<()> {
        match self.fresh.next() {
            Some((key, Some(value))) => self.visit(key, value),
            _ => ControlFlow::Continue(()),
        }
    }

    fn visit(&mut self, key: &[u8], value: &Bytes) -> ControlFlow<()> {
        let outcome = (self.visit)(key, value);
        if let Ok(ControlFlow::Continue(())) = outcome {
            return ControlFlow::Continue(());
        }
        self.ended = Some(outcome.map(|_| ()));
        ControlFlow::Break(())
    }

    /// Visits what comes after all that is stored.
    fn end(mut self) -> Result<(), Error> {
        while self.ended.is_none() && self.fresh.peek().is_some() {
            let _ = self.next_fresh();
        }
        self.ended.unwrap_or(Ok(()))
    }
}

pub(super) fn foreign_key() -> Error {
    Error::Damaged {
        place: Place::Key,
        cause: Malformed::Key,
    }
}

pub(super) fn read<T>(place: Place, row: Result<T, Malformed>) -> Result<T, Error> {
    row.map_err(|cause| Error::Damaged { place, cause })
}

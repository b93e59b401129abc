//! One shard's log, index by index.

mod beside;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use replication::world::Engine;

use super::chains::{Audited, Standing, Writers};
use super::entry::{self, Fact, State};
use super::finding::{Findings, Part};
use super::heads::Expected;
use super::layout::{self, HEAD, RECORD};
use super::markers::Markers;
use super::pages;
use super::report::ShardReport;
use super::signers::Signers;
use super::snapshot::Bookmark;
use super::stored::{self, Hash, Read, hex, peer};

/// What all shards of a run share.
pub(super) struct Run<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) bookmarks: &'a [Bookmark],
    pub(super) signers: Option<&'a Signers>,
    pub(super) findings: &'a mut Findings,
    pub(super) expected: &'a mut Expected,
    pub(super) observe: &'a mut dyn FnMut(Fact),
    /// Called after each record.
    pub(super) tick: &'a dyn Fn(),
}

/// Walks a shard's log from its first index to its last.
pub(super) fn walk(run: &mut Run<'_>, shard: u32, markers: &Markers) -> (ShardReport, State) {
    let last_head = match pages::last(run.engine, HEAD, shard) {
        Ok(last) => last,
        Err(error) => {
            run.findings
                .add(shard, None, Part::Store, error.to_string());
            None
        }
    };
    let committed = markers.committed.map(|id| id.index);
    let report = ShardReport {
        at_home: markers.at_home,
        settled: last_head.max(committed),
        ..ShardReport::of(shard)
    };
    let mut walk = Walk {
        run,
        shard,
        markers,
        last_head,
        audited: Audited::genesis(shard),
        writers: Writers::genesis(shard),
        state: State::default(),
        voids: BTreeSet::new(),
        lost: false,
        before: None,
        report,
    };
    walk.markers();
    walk.records();
    walk.finish()
}

struct Walk<'r, 'a> {
    run: &'r mut Run<'a>,
    shard: u32,
    markers: &'r Markers,
    last_head: Option<u64>,
    audited: Audited,
    writers: Writers,
    state: State,
    /// The indexes of void entries.
    voids: BTreeSet<u64>,
    /// A record or an entry could not be read: the book is not all that was written.
    lost: bool,
    /// The identity of the last record that could be read.
    before: Option<peer::LogId>,
    report: ShardReport,
}

impl Walk<'_, '_> {
    fn wrong(&mut self, index: impl Into<Option<u64>>, part: Part, what: impl Into<String>) {
        self.run.findings.add(self.shard, index, part, what);
    }

    fn records(&mut self) {
        let (mut from, mut next) = (Some(0), 0);
        while let Some(start) = from {
            let page = pages::page(self.run.engine, RECORD, self.shard, start);
            let mut heads = self.heads(start, page.next);
            self.strays(&page);
            from = page.next;
            for (index, record) in page.values {
                if index > next {
                    self.lose(next..index);
                }
                self.index(index, record, heads.remove(&index));
                next = index.saturating_add(1);
                (self.run.tick)();
            }
            if let Some(error) = page.failure {
                self.wrong(
                    next,
                    Part::Store,
                    format!("cannot be read any further: {error}"),
                );
                return;
            }
            if from.is_none() {
                heads.retain(|index, _| *index >= next.max(self.markers.end()));
                for index in heads.into_keys() {
                    self.wrong(index, Part::Head, "it lies beyond the end of the log");
                }
            }
        }
        self.markers.check_end(self.shard, next, self.run.findings);
        if self.markers.end() > next {
            self.lose(next..self.markers.end());
        }
    }

    fn heads(&mut self, from: u64, to: Option<u64>) -> BTreeMap<u64, Read<Hash>> {
        let page = pages::all(self.run.engine, HEAD, self.shard, from, to);
        self.strays(&page);
        if let Some(error) = page.failure {
            self.wrong(from, Part::Store, format!("heads cannot be read: {error}"));
        }
        let heads = page.values.into_iter();
        heads
            .map(|(index, stored)| (index, stored::framed_hash(&stored)))
            .collect()
    }

    fn strays(&mut self, page: &pages::Page) {
        for key in &page.strays {
            self.wrong(
                None,
                Part::Store,
                format!("key {} is none of the layout", hex(key)),
            );
        }
    }

    /// Passes over indexes whose records are not here.
    fn lose(&mut self, gap: Range<u64>) {
        let Range { start, end } = self.markers.missing;
        let known = gap.start.max(start)..gap.end.min(end).max(gap.start.max(start));
        if !known.is_empty() {
            self.report.not_held.push((known.start, known.end - 1));
        }
        for lost in [
            gap.start..gap.end.min(known.start),
            gap.start.max(known.end)..gap.end,
        ] {
            let what = match lost.end.saturating_sub(lost.start) {
                0 => continue,
                1 => "it is missing".to_owned(),
                _ => format!("it is missing, and all others through {}", lost.end - 1),
            };
            self.wrong(lost.start, Part::Record, what);
        }
        let head = |index| {
            let key = layout::indexed(HEAD, self.shard, index);
            let head = self.run.engine.get(&key).ok().flatten();
            head.and_then(|head| stored::framed_hash(&head).ok())
        };
        let (at_snapshot, at_end) = (self.report.snapshot.and_then(&head), head(gap.end - 1));
        self.lost = true;
        self.writers.lose();
        if let Some(index) = self.report.snapshot.filter(|index| gap.contains(index)) {
            self.audited.lose(at_snapshot);
            self.snapshot(index, None);
        }
        self.audited.lose(at_end);
    }

    fn index(&mut self, index: u64, record: Bytes, head: Option<Read<Hash>>) {
        self.report.first.get_or_insert(index);
        self.report.last = Some(index);
        self.report.indexes += 1;
        let head = self.head(index, head);
        let record: Read<peer::LogRecord> = stored::framed(&record);
        let record = record.and_then(|record| Ok((record.id.ok_or("its id is missing")?, record)));
        let (id, record) = match record {
            Ok(read) => read,
            Err(what) => {
                self.wrong(index, Part::Record, what);
                self.audited.lose(head);
                self.writers.lose();
                self.lost = true;
                self.snapshot(index, None);
                return;
            }
        };
        self.identity(index, &id);
        if self.markers.missing.contains(&index) {
            let what = "it is here, though the marker says that it is missing";
            self.wrong(index, Part::Marker("missing"), what);
        }
        let agreed = self
            .audited
            .follow(&id, record.kind as u8, &record.payload, head);
        self.content(index, &record);
        if let Err(computed) = agreed {
            let what = format!(
                "the record and all before it come to {}, stored is {}: one of them was altered",
                hex(&computed),
                head.map(|head| hex(&head)).unwrap_or_default(),
            );
            self.wrong(index, Part::Head, what);
            self.writers.suspect();
        }
        let computed = self.audited.head();
        if self.report.settled >= Some(index) {
            self.report.head = computed;
            self.report.head_index = Some(index);
        }
        if let Some(computed) = computed {
            self.told(index, computed);
            self.run
                .expected
                .check(self.shard, index, computed, self.run.findings);
        }
        self.snapshot(index, Some(&id));
        self.bookmarks(index.saturating_add(1));
    }

    /// The stored head of an index, if there is one that can be read.
    fn head(&mut self, index: u64, head: Option<Read<Hash>>) -> Option<Hash> {
        // At home heads are written some time after their records: a crash loses the newest.
        let needed = !self.markers.at_home || self.last_head >= Some(index);
        match head {
            Some(Ok(head)) => return Some(head),
            Some(Err(what)) => self.wrong(index, Part::Head, what),
            None if needed => self.wrong(index, Part::Head, "it is missing"),
            None => {}
        }
        None
    }

    fn identity(&mut self, index: u64, id: &peer::LogId) {
        if id.index != index || id.epoch == 0 {
            let what = format!("it says that it is index {}, epoch {}", id.index, id.epoch);
            self.wrong(index, Part::Record, what);
        }
        let rank = |id: &peer::LogId| (id.epoch, id.term, id.node);
        if let Some(before) = self.before
            && rank(id) < rank(&before)
        {
            let what = format!("its leader {id:?} is older than that of the record before");
            self.wrong(index, Part::Record, what);
        }
        self.before = Some(*id);
        self.markers.check(self.shard, id, self.run.findings);
    }

    fn content(&mut self, index: u64, record: &peer::LogRecord) {
        use peer::RecordKind;
        let kind = RecordKind::try_from(record.kind);
        if index == 0 && kind != Ok(RecordKind::Membership) {
            self.wrong(
                index,
                Part::Record,
                "a log begins with its founding membership",
            );
        }
        match kind {
            Ok(RecordKind::Entry) => {
                let reign = record.id.as_ref().map_or(0, |id| id.epoch);
                self.entry(index, reign, &record.payload);
            }
            Ok(RecordKind::Blank) if record.payload.is_empty() => {}
            Ok(RecordKind::Membership) => {
                let voters: Read<peer::Membership> = stored::message(record.payload.clone());
                match voters {
                    Ok(voters) if !voters.configs.is_empty() => {}
                    Ok(_) => self.wrong(index, Part::Record, "a membership without voters"),
                    Err(what) => self.wrong(index, Part::Record, what),
                }
            }
            _ => {
                let bytes = record.payload.len();
                let what = format!("kind {} with {bytes} bytes is no record", record.kind);
                self.wrong(index, Part::Record, what);
                self.writers.suspect();
            }
        }
    }

    fn entry(&mut self, index: u64, reign: u64, payload: &Bytes) {
        let entry = match entry::read(payload) {
            Ok(entry) => entry,
            Err(what) => {
                self.wrong(index, Part::Entry, what);
                self.writers.lose();
                self.lost = true;
                return;
            }
        };
        match self.writers.judge(&entry.claim, reign, payload) {
            Standing::Counts => {}
            Standing::Unlinked { expected } => {
                let what = format!(
                    "it follows an entry with the hash {}, the one before has {}",
                    hex(&entry.claim.prev_hash),
                    hex(&expected)
                );
                self.wrong(index, Part::Entry, what);
            }
            Standing::Void => return self.void(index),
            Standing::Impossible(what) => {
                self.void(index);
                self.writers.suspect();
                self.wrong(index, Part::Entry, what);
                return;
            }
        }
        self.report.entries += 1;
        // What is not known to be committed may yet be taken back.
        if self.report.settled >= Some(index) && self.report.not_held.is_empty() {
            let Run {
                findings, observe, ..
            } = &mut *self.run;
            self.state
                .follow(self.shard, index, &entry, findings, observe);
        }
    }

    fn void(&mut self, index: u64) {
        self.voids.insert(index);
        self.report.void += 1;
        self.report.first_void.get_or_insert(index);
    }

    /// Reads the originals of reversals again: a log that is whole has them.
    fn originals(&mut self) {
        if self.lost {
            return;
        }
        let engine = self.run.engine;
        let read = |index| {
            if self.voids.contains(&index) {
                return None;
            }
            let stored = engine.get(&layout::indexed(RECORD, self.shard, index));
            let record: peer::LogRecord = stored::framed(&stored.ok()??).ok()?;
            entry::read(&record.payload).ok()
        };
        for (index, what) in self.state.reversals.check(read) {
            self.wrong(index, Part::Entry, what);
        }
    }

    fn finish(mut self) -> (ShardReport, State) {
        self.originals();
        let book = &self.state.book;
        self.report.accounts = book.account_count();
        self.report.sums = book.sums();
        self.report.region = book.regions().first().map(ToString::to_string);
        for (currency, sums) in self.report.sums.clone() {
            if sums.book != 0 {
                let sum = super::book::sum_text(sums.book, currency);
                let index = self.report.head_index;
                self.wrong(
                    index,
                    Part::Book,
                    format!("all accounts come to {sum}, not to zero"),
                );
            }
        }
        (self.report, self.state)
    }
}

//! All of a directory, in one pass.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ledger_domain::frame;
use replication::world::{Archive, Engine};

use super::archived::WithArchive;
use super::between::{self, End};
use super::directory::{Directory, Error};
use super::entry::Fact;
use super::finding::{Findings, Part};
use super::heads::Expected;
use super::layout::{CHUNK, DISK, HEAD, NOWHERE, RECORD};
use super::markers::{self, Markers};
use super::report::Report;
use super::signers::Signers;
use super::stored::hex;
use super::{journals, pages, shard, snapshot};

/// What to compare with, and how much to list.
#[derive(Clone)]
pub struct Options {
    /// Heads that must be met.
    pub expected: Expected,
    /// Who may sign heads; `None`: signatures are not looked at.
    pub signers: Option<Signers>,
    /// Where the old part of logs is; `None`: all of them must be in the directory.
    pub archive: Option<Arc<dyn Archive>>,
    /// How many findings to list; the others are counted.
    pub limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            expected: Expected::default(),
            signers: None,
            archive: None,
            limit: 100,
        }
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Records read.
    pub done: u64,
    /// Records there should be.
    pub total: u64,
}

/// Reads a stopped node's data directory and says what does not hold.
pub fn verify(dir: &Path, options: Options, progress: &dyn Fn(Progress)) -> Result<Report, Error> {
    read(dir, options, &mut |_| {}, progress)
}

/// Verifies a directory and shows everything its ledgers say, shard by shard, in the order of their
/// logs.
pub fn read(
    dir: &Path,
    options: Options,
    observe: &mut dyn FnMut(Fact),
    progress: &dyn Fn(Progress),
) -> Result<Report, Error> {
    let directory = Directory::open(dir)?;
    let broken = |cause| Error::Store {
        path: dir.to_owned(),
        cause,
    };
    let whole = WithArchive::open(directory.engine.clone(), options.archive).map_err(broken)?;
    if let Some((shard, until)) = whole.first().filter(|_| !whole.has_archive()) {
        let path = dir.to_owned();
        return Err(Error::Archived { path, shard, until });
    }
    let engine: &dyn Engine = &whole;
    let mut findings = Findings::up_to(options.limit);
    stray_keys(engine, &mut findings).map_err(broken)?;
    disks(engine, &mut findings).map_err(broken)?;
    let markers = markers::read(engine, &mut findings).map_err(broken)?;
    // What is there is looked for in the store alone: the head after each segment is.
    let shards = shards(directory.engine.as_ref(), &markers).map_err(broken)?;

    let newest = markers.iter();
    let newest = newest.filter_map(|(shard, it)| Some((*shard, it.snapshot.as_ref()?)));
    let bookmarks: Vec<_> = newest
        .flat_map(|(shard, newest)| snapshot::bookmarks(engine, shard, newest))
        .collect();
    let total = markers.values().map(Markers::end).sum();
    let done = Cell::new(0);
    let tick = || {
        done.set(done.get() + 1);
        let done = done.get();
        progress(Progress { done, total });
    };
    let mut expected = options.expected;
    let mut walked = Vec::new();
    for shard in shards {
        let mut markers = markers.get(&shard).cloned().unwrap_or_default();
        // What only Raft writes is never there without a vote.
        let votes = directory.founded.contains(&shard) && markers.last.is_some()
            || markers.committed.is_some()
            || markers.snapshot.is_some();
        if votes && !markers.at_home {
            let what = "it is missing, though the shard's group has a replica here";
            findings.add(shard, None, Part::Marker("vote"), what);
        }
        markers.at_home |= votes;
        let mut run = shard::Run {
            engine,
            bookmarks: &bookmarks,
            signers: options.signers.as_ref(),
            findings: &mut findings,
            expected: &mut expected,
            observe,
            tick: &tick,
        };
        let (mut report, state) = shard::walk(&mut run, shard, &markers);
        report.region = directory.homes.get(&shard).cloned().or(report.region);
        walked.push((report, state));
    }
    expected.finish(&mut findings);

    let ends: Vec<_> = walked
        .iter()
        .filter(|(report, _)| report.not_held.is_empty())
        .map(|(report, state)| End {
            shard: report.shard,
            ends: &state.ends,
            journals: &state.journals,
            reversals: &state.reversals,
            houses: &state.book.houses,
            settled: report.head_index,
        })
        .collect();
    let pairs = ends
        .iter()
        .flat_map(|from| ends.iter().map(move |to| (from, to)));
    let channels = pairs
        .filter(|(from, to)| from.shard != to.shard)
        .filter_map(|(from, to)| between::compare(from, to, &mut findings))
        .collect();
    for from in &ends {
        for to in ends.iter().filter(|to| to.shard != from.shard) {
            journals::compare(from, to, &mut findings);
            if from.shard < to.shard {
                journals::clearing_agrees(from, to, &mut findings);
            }
        }
    }
    drop(ends);
    let (findings, found) = findings.into_parts();
    Ok(Report {
        node: directory.node,
        region: directory.region,
        torn_end: directory.torn_end,
        shards: walked.into_iter().map(|(report, _)| report).collect(),
        channels,
        findings,
        found,
    })
}

/// Every shard that has left anything here.
fn shards(engine: &dyn Engine, markers: &BTreeMap<u32, Markers>) -> io::Result<BTreeSet<u32>> {
    let mut shards: BTreeSet<u32> = markers.keys().copied().collect();
    for kind in [RECORD, HEAD, CHUNK] {
        let mut from = Some(0);
        while let Some(shard) = from {
            let found = pages::shard_from(engine, kind, shard)?;
            shards.extend(found);
            from = found.and_then(|shard| shard.checked_add(1));
        }
    }
    Ok(shards)
}

/// Names of disks: this node's, and those it has met.
fn disks(engine: &dyn Engine, findings: &mut Findings) -> io::Result<()> {
    engine.scan(&[DISK]..&[DISK + 1], &mut |key, value| {
        let named = frame::open(&Bytes::copy_from_slice(value)).is_ok_and(|name| name.len() == 16);
        if key.len() != 9 || !named {
            let what = format!("key {} does not name a disk", hex(key));
            findings.add(None, None, Part::Store, what);
        }
        std::ops::ControlFlow::Continue(())
    })
}

/// Keys under prefixes that have no meaning.
fn stray_keys(engine: &dyn Engine, findings: &mut Findings) -> io::Result<()> {
    for (from, to) in NOWHERE {
        // No key of the layout is that long.
        let end = to.map_or_else(|| vec![0xff; 64], |to| vec![to]);
        engine.scan(&[from]..&end, &mut |key, _| {
            let what = format!("key {} is none of the layout", hex(key));
            findings.add(None, None, Part::Store, what);
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

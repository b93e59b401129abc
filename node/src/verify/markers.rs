//! The markers of a shard, and how they must agree with its records.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use replication::world::Engine;

use super::finding::{Findings, Part};
use super::layout::{self, Marker};
use super::signers::Told;
use super::stored::{self, hex, peer};

/// What a shard's markers say; one that cannot be read is found and left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Markers {
    /// The shard votes here, so its log is written here and not copied.
    pub(super) at_home: bool,
    pub(super) committed: Option<peer::LogId>,
    pub(super) purged: Option<peer::LogId>,
    pub(super) last: Option<peer::LogId>,
    pub(super) snapshot: Option<peer::Snapshot>,
    /// Indexes that must still come from a peer.
    pub(super) missing: Range<u64>,
    /// Heads that the shard's home has signed.
    pub(super) told: Vec<Told>,
}

impl Marker {
    fn name(self) -> &'static str {
        match self {
            Self::Vote => "vote",
            Self::Committed => "committed",
            Self::Purged => "purged",
            Self::Last => "last",
            Self::Snapshot => "snapshot",
            Self::Missing => "missing",
            Self::Told => "told",
        }
    }
}

/// Reads the markers of all shards.
pub(super) fn read(
    engine: &dyn Engine,
    findings: &mut Findings,
) -> io::Result<BTreeMap<u32, Markers>> {
    let mut shards: BTreeMap<u32, Markers> = BTreeMap::new();
    let (from, to) = layout::MARKERS;
    engine.scan(&[from]..&[to], &mut |key, value| {
        let Some((marker, shard)) = layout::marker_of(key) else {
            let what = format!("key {} is none of the layout", hex(key));
            findings.add(None, None, Part::Store, what);
            return ControlFlow::Continue(());
        };
        let value = Bytes::copy_from_slice(value);
        let entry = shards.entry(shard).or_default();
        let read = match marker {
            Marker::Vote => {
                entry.at_home = true;
                stored::framed::<peer::Ballot>(&value).map(drop)
            }
            Marker::Committed => id(&value).map(|id| entry.committed = Some(id)),
            Marker::Purged => id(&value).map(|id| entry.purged = Some(id)),
            Marker::Last => id(&value).map(|id| entry.last = Some(id)),
            Marker::Snapshot => stored::framed(&value).map(|it| entry.snapshot = Some(it)),
            Marker::Missing => stored::framed(&value)
                .map(|peer::Range { from, until }| entry.missing = from..until),
            Marker::Told => told(shard, &value).map(|it| entry.told = it),
        };
        if let Err(what) = read {
            findings.add(shard, None, Part::Marker(marker.name()), what);
        }
        ControlFlow::Continue(())
    })?;
    Ok(shards)
}

fn told(shard: u32, value: &Bytes) -> stored::Read<Vec<Told>> {
    let told: peer::ToldHeads = stored::framed(value)?;
    let heads = told.heads.iter().map(Told::read);
    let heads = heads.collect::<stored::Read<Vec<_>>>()?;
    match heads.iter().find(|head| head.shard != shard) {
        Some(head) => Err(format!("it has a head of shard {}", head.shard)),
        None => Ok(heads),
    }
}

fn id(value: &Bytes) -> stored::Read<peer::LogId> {
    let id: peer::LogId = stored::framed(value)?;
    match id.epoch {
        0 => Err("its epoch is missing".to_owned()),
        _ => Ok(id),
    }
}

impl Markers {
    /// Does a record agree with the markers that name its index?
    pub(super) fn check(&self, shard: u32, id: &peer::LogId, findings: &mut Findings) {
        for (marker, named) in [
            (Marker::Committed, &self.committed),
            (Marker::Last, &self.last),
        ] {
            if let Some(named) = named.filter(|named| named.index == id.index)
                && named != *id
            {
                let what = format!("it names {named:?}, the record is {id:?}");
                findings.add(shard, id.index, Part::Marker(marker.name()), what);
            }
        }
    }

    /// Does the log end where the markers say? `end` is the index after its last record.
    pub(super) fn check_end(&self, shard: u32, end: u64, findings: &mut Findings) {
        let marked = self.last.map_or(0, |last| last.index.saturating_add(1));
        let part = Part::Marker(Marker::Last.name());
        if self.last.is_none() && end > 0 {
            let what = format!(
                "it is not there, though the log has records through {}",
                end - 1
            );
            findings.add(shard, None, part, what);
        } else if marked < end {
            let what = format!("records lie beyond it, through {}", end - 1);
            findings.add(shard, self.last.map(|last| last.index), part, what);
        }
        if let Some(committed) = self.committed.filter(|id| id.index >= end.max(marked)) {
            let part = Part::Marker(Marker::Committed.name());
            let what = "it names an index beyond the end of the log".to_owned();
            findings.add(shard, committed.index, part, what);
        }
    }

    /// Is what is missing within what was purged?
    pub(super) fn check_missing(&self, shard: u32, findings: &mut Findings) {
        let purged = self
            .purged
            .map_or(0, |purged| purged.index.saturating_add(1));
        if self.missing.end > purged {
            let (missing, part) = (&self.missing, Part::Marker(Marker::Missing.name()));
            let what = format!("it names {missing:?}, where the log is purged before {purged}");
            findings.add(shard, self.missing.start, part, what);
        }
    }

    /// The index after the last that must be there.
    pub(super) fn end(&self) -> u64 {
        self.last.map_or(0, |last| last.index.saturating_add(1))
    }
}

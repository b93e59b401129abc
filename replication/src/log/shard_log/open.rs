use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use super::{ShardLog, State, index};
use crate::log::damage::{Damage, Place};
use crate::log::{AppliedMark, keys, record};
use crate::proto;
use crate::raft::RecordId;
use crate::world::Engine;

impl ShardLog {
    /// Reads the markers, and checks them against each other and the end of the records. A record
    /// that cannot be read is no reason to fail here: others can tell what it was.
    pub(crate) fn open(engine: Arc<dyn Engine>, shard: u32) -> io::Result<Self> {
        let log = Self {
            shard,
            applied: AppliedMark::default(),
            state: Mutex::default(),
            engine,
        };
        let vote = log.marker(keys::vote(shard), "vote")?;
        let purged = log.id_marker(keys::purged(shard), "purged")?;
        let last = log.id_marker(keys::last(shard), "last")?;
        let committed = log.id_marker(keys::committed(shard), "committed")?;
        let missing: Option<proto::Range> = log.marker(keys::missing(shard), "missing")?;
        let missing = missing.map(|range| range.from..range.until);
        log.check_missing(missing.clone(), purged)?;
        log.applied.set_missing(missing);
        log.check_end(purged, last)?;
        if let Some(committed) = committed.filter(|id| Some(id.index) > index(purged)) {
            log.check_names(committed, "committed")?;
        }
        let archived = log.read_archived()?;
        let first = match purged {
            Some(purged) => purged.index + 1,
            None if archived.end() > 0 => 0,
            None => log.first_stored(0)?.unwrap_or(0),
        };
        *log.lock() = State {
            vote,
            committed,
            purged,
            last,
            first,
            archived,
            ..State::default()
        };
        Ok(log)
    }

    /// The `last` marker must name the last record, or what was purged if there is none after it.
    fn check_end(&self, purged: Option<RecordId>, last: Option<RecordId>) -> io::Result<()> {
        let after = last.map_or(0, |id| id.index + 1);
        if let Some(index) = self.last_stored(after..u64::MAX)? {
            return Err(Damage::Beyond.at(Place::Record {
                shard: self.shard,
                index,
            }));
        }
        match (purged, last) {
            (Some(purged), None) => Err(self.disagrees("purged", Some(purged), None)),
            (Some(purged), Some(last)) if last.index < purged.index => {
                Err(self.disagrees("purged", Some(purged), Some(last)))
            }
            (Some(purged), Some(last)) if last == purged => Ok(()),
            (_, Some(last)) => self.check_names(last, "last"),
            (None, None) => Ok(()),
        }
    }

    /// The last record must be there and readable, unless it was purged.
    pub(crate) fn check_last(&self) -> io::Result<()> {
        let (last, purged) = {
            let state = self.lock();
            (state.last, state.purged)
        };
        let Some(last) = last.filter(|last| Some(*last) != purged) else {
            return Ok(());
        };
        match self.read(last.index..last.index + 1, 0)?.is_empty() {
            true => Err(self.is_missing(last.index)),
            false => Ok(()),
        }
    }

    /// What is missing lies in what was purged.
    fn check_missing(
        &self,
        missing: Option<Range<u64>>,
        purged: Option<RecordId>,
    ) -> io::Result<()> {
        let Some(missing) = missing else {
            return Ok(());
        };
        if !missing.is_empty() && missing.end <= purged.map_or(0, |id| id.index + 1) {
            return Ok(());
        }
        let (found, expected) = (format!("{missing:?}"), format!("{purged:?} purged"));
        let place = Place::Marker {
            shard: self.shard,
            name: "missing",
        };
        Err(Damage::Disagrees { found, expected }.at(place))
    }

    /// The entry that a marker names must be the one in the log, where that can be read.
    fn check_names(&self, id: RecordId, name: &'static str) -> io::Result<()> {
        let stored = self.engine.get(&keys::record(self.shard, id.index))?;
        match self.parse_row(id.index, stored) {
            Ok(record) if record.id != id => Err(self.disagrees(name, Some(id), Some(record.id))),
            // A survey finds what cannot be read, before Raft rests on it.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn disagrees(
        &self,
        name: &'static str,
        found: Option<RecordId>,
        expected: Option<RecordId>,
    ) -> io::Error {
        let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
        let place = Place::Marker {
            shard: self.shard,
            name,
        };
        Damage::Disagrees { found, expected }.at(place)
    }

    fn last_stored(&self, range: Range<u64>) -> io::Result<Option<u64>> {
        let mut found = None;
        let bounds = keys::records(self.shard, range);
        self.engine
            .scan_back(&bounds.start..&bounds.end, &mut |key, _| {
                found = Some(keys::index_of(key));
                ControlFlow::Break(())
            })?;
        Ok(found)
    }

    fn id_marker(&self, key: Vec<u8>, name: &'static str) -> io::Result<Option<RecordId>> {
        let place = Place::Marker {
            shard: self.shard,
            name,
        };
        let stored: Option<proto::LogId> = self.marker(key, name)?;
        let parsed = stored.map(record::parsed_id).transpose();
        parsed.map_err(|cause| Damage::from(cause).at(place))
    }

    fn marker<M: prost::Message + Default>(
        &self,
        key: Vec<u8>,
        name: &'static str,
    ) -> io::Result<Option<M>> {
        let place = Place::Marker {
            shard: self.shard,
            name,
        };
        let stored = self.engine.get(&key)?;
        let message = stored.map(|stored| record::message(&stored)).transpose();
        message.map_err(|cause| Damage::from(cause).at(place))
    }
}

//! What is on the disk of a node that was killed.

use std::{collections::BTreeMap, io, ops::ControlFlow, path::Path, sync::Arc};

use ledger_domain::frame;
use prost::Message as _;
use replication::{
    log::StoredRecord,
    proto::Ballot,
    rocks::RocksDisk,
    world::{Engine, Store},
};

use super::{Failure, processes::Processes};

/// The key under which a shard's vote is stored, as `docs` and the log's layout say.
const VOTE: u8 = 0x20;

/// Greater than all keys.
const END: [u8; 32] = [u8::MAX; 32];

/// Opens a store of a stopped node; none where it never came to make one.
fn open(data: &Path, store: Store) -> io::Result<Option<Arc<dyn Engine>>> {
    match RocksDisk::new(data.to_owned()).open_stopped(store) {
        Ok(stopped) => Ok(Some(stopped.engine)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The stores of a stopped node with a key or a value that is so.
pub(super) fn stores_with(data: &Path, is_so: impl Fn(&[u8]) -> bool) -> io::Result<Vec<Store>> {
    let mut such = Vec::new();
    for store in Store::ALL {
        let Some(engine) = open(data, store)? else {
            continue;
        };
        engine.scan(&[]..&END, &mut |key, value| {
            if is_so(key) || is_so(value) {
                such.push(store);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(such)
}

/// A shard's records as they are on a stopped node's disk, from the first to the first that is not
/// there. A node that never came to store anything has none.
pub(super) fn stored(data: &Path, shard: u32) -> io::Result<Vec<StoredRecord>> {
    match open(data, Store::Log)? {
        Some(engine) => replication::log::read_stored(engine, shard),
        None => Ok(Vec::new()),
    }
}

/// A vote, in the order in which votes may follow each other.
type Vote = (u64, u64, u64, bool);

/// The votes seen on disks so far.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<(String, u32), Vote>);

impl Votes {
    /// Reads the votes of nodes that were killed: none may be lower than it was.
    pub(super) fn look<'a>(
        &mut self,
        nodes: &Processes,
        killed: impl Iterator<Item = &'a str>,
    ) -> Result<(), Failure> {
        for name in killed {
            let found = votes(&nodes.data(name));
            let found = found.map_err(|e| Failure::Broken(format!("{name}: {e}")))?;
            for (shard, vote) in found {
                let before = self.0.insert((name.to_owned(), shard), vote);
                if before.is_some_and(|before| vote < before) {
                    return Err(Failure::Broken(format!(
                        "{name} took back its vote in shard {shard}: {before:?}, then {vote:?}"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn votes(data: &Path) -> io::Result<BTreeMap<u32, Vote>> {
    let mut votes = BTreeMap::new();
    let Some(engine) = open(data, Store::Log)? else {
        return Ok(votes);
    };
    let mut unreadable = None;
    engine.scan(&[VOTE]..&[VOTE + 1], &mut |key, value| {
        let shard = key.get(1..5).and_then(|shard| shard.try_into().ok());
        let shard = u32::from_be_bytes(shard.unwrap_or_default());
        match ballot(value) {
            Ok(vote) => drop(votes.insert(shard, vote)),
            Err(why) => unreadable = Some(format!("the vote of shard {shard}: {why}")),
        }
        ControlFlow::Continue(())
    })?;
    match unreadable {
        None => Ok(votes),
        Some(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
    }
}

fn ballot(stored: &[u8]) -> Result<Vote, String> {
    let stored = bytes::Bytes::copy_from_slice(stored);
    let payload = frame::open(&stored).map_err(|e| e.to_string())?;
    let ballot = Ballot::decode(payload).map_err(|e| e.to_string())?;
    Ok((ballot.epoch, ballot.term, ballot.node, ballot.committed))
}

//! Views as tests spoil them.

use std::ops::ControlFlow;
use std::sync::Arc;

use ledger_domain::{AccountId, ShardId};

use super::disk::Disk;
use super::rows::Label;
use super::{Opening, Views, keys, stored};
use crate::world::{Durability, Engine, Op};

pub(crate) fn snapshot_every(views: &Views, states: usize) {
    views.set_snapshot_every(states);
}

/// An empty store that says that it is of another format.
pub(crate) fn label_as(engine: &Arc<dyn Engine>, format: u32) {
    let engine = engine.clone();
    let label = Label {
        format,
        ..Label::whole(0)
    };
    let disk = Disk { engine };
    disk.put_label(&label, Durability::Later).unwrap();
}

/// How many chunks of states are stored.
pub(crate) fn states_of(engine: &Arc<dyn Engine>) -> usize {
    chunks(engine).len()
}

/// Takes some of the chunks of states away.
pub(crate) fn delete_states(engine: &Arc<dyn Engine>, which: impl Fn(usize) -> bool) {
    let all = chunks(engine).into_iter().enumerate();
    let deleted = all.filter(|(n, _)| which(*n));
    let deleted = deleted.map(|(_, (key, _))| Op::Delete(key)).collect();
    engine.write(deleted, Durability::Later).unwrap();
}

/// Turns a bit of some of the chunks of states.
pub(crate) fn damage_states(engine: &Arc<dyn Engine>, which: impl Fn(usize) -> bool) {
    let all = chunks(engine).into_iter().enumerate();
    let damaged = all.filter(|(n, _)| which(*n)).map(|(_, (key, mut row))| {
        *row.last_mut().unwrap() ^= 1;
        Op::Put(key, row.into())
    });
    engine.write(damaged.collect(), Durability::Later).unwrap();
}

/// Takes the limits out of the openings of accounts of a shard, as if they had never been kept. Gives
/// how many there were.
pub(crate) fn strip_limits(
    engine: &Arc<dyn Engine>,
    shard: ShardId,
    accounts: impl IntoIterator<Item = AccountId>,
) -> usize {
    let mut stripped = Vec::new();
    for account in accounts {
        let key = keys::opening(&account);
        let Some(row) = engine.get(&key).unwrap() else {
            continue;
        };
        let opening = stored::open_opening(shard, &row).unwrap();
        if opening.limit.is_some() {
            let without = Opening {
                limit: None,
                ..opening
            };
            stripped.push(Op::Put(key, stored::seal_opening(&without)));
        }
    }
    let many = stripped.len();
    engine.write(stripped, Durability::Later).unwrap();
    many
}

fn chunks(engine: &Arc<dyn Engine>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let range = keys::states();
    let scanned = engine.scan(&range.start..&range.end, &mut |key, row| {
        found.push((key.to_vec(), row.to_vec()));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    found
}

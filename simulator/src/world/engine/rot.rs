//! A record that is changed between its check and its disk: memory that rots, under a frame that is
//! made afterwards and is right.

use bytes::Bytes;
use ledger_domain::frame;
use prost::Message as _;
use replication::{
    proto::LogRecord,
    world::{Batch, Op},
};

use super::Pairs;
use crate::world::log_key::{self, RECORD};

/// Which records will be changed.
#[derive(Debug)]
pub(super) struct Rot {
    pub(super) shard: u32,
    pub(super) left: u32,
}

impl Rot {
    /// Changes what is about to be written, and keeps how it was.
    pub(super) fn spoil(&mut self, batch: &mut Batch, was: &mut Pairs) {
        for op in batch {
            let Op::Put(key, value) = op else { continue };
            if self.left == 0 || log_key::shard_of(key, RECORD) != Some(self.shard) {
                continue;
            }
            if let Some(spoiled) = spoiled(value) {
                was.entry(key.clone()).or_insert_with(|| value.clone());
                *value = spoiled;
                self.left -= 1;
            }
        }
    }
}

/// The record as another leader's. What it carries stays, so that whoever believes it is wrong
/// about who wrote the history, and about nothing else that a balance shows.
fn spoiled(record: &Bytes) -> Option<Bytes> {
    let mut message = LogRecord::decode(frame::open(record).ok()?).ok()?;
    message.id.as_mut()?.node += 1;
    Some(frame::seal_message(&message))
}

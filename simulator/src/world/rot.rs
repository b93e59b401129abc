//! A record that is changed between its check and its disk, or on its way to another node: memory
//! that rots, under a frame that is made afterwards and is right.

use bytes::Bytes;
use ledger_domain::{Entry, frame};
use prost::Message as _;
use replication::{
    proto::LogRecord,
    world::{Batch, Op},
};

use super::log_key::{self, RECORD};

/// Which records will be changed.
#[derive(Debug)]
pub(super) struct Rot {
    pub(super) shard: u32,
    pub(super) left: u32,
}

/// The tag of the first field of a message, where it is one of bytes: a record in a feed.
const FIRST_FIELD: u8 = 0x0a;

impl Rot {
    /// Changes what is about to be written. Returns what is written instead, by key.
    pub(super) fn spoil(&mut self, batch: &mut Batch) -> Vec<(Vec<u8>, Bytes)> {
        let mut rotten = Vec::new();
        for op in batch {
            let Op::Put(key, value) = op else { continue };
            if self.left == 0 || log_key::shard_of(key, RECORD) != Some(self.shard) {
                continue;
            }
            if let Some(spoiled) = self.spoiled(value) {
                *value = spoiled;
                rotten.push((key.clone(), value.clone()));
                self.left -= 1;
            }
        }
        rotten
    }

    /// Changes records in what is about to be sent. None where there are none.
    pub(super) fn spoil_sent(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let mut sent = None;
        let mut at = 0;
        while self.left > 0 && at < data.len() {
            let found = field(&data[at..]).and_then(|(begin, field)| {
                let spoiled = self.spoiled(&Bytes::copy_from_slice(field))?;
                // Another length would not fit into what is around it.
                (spoiled.len() == field.len()).then_some((at + begin, spoiled))
            });
            let Some((begin, spoiled)) = found else {
                at += 1;
                continue;
            };
            at = begin + spoiled.len();
            sent.get_or_insert_with(|| data.to_vec())[begin..at].copy_from_slice(&spoiled);
            self.left -= 1;
        }
        sent
    }

    /// The record as another leader's. What it carries stays, so that whoever believes it is wrong
    /// about who wrote the history, and about nothing else that a balance shows.
    fn spoiled(&self, record: &Bytes) -> Option<Bytes> {
        let mut message = LogRecord::decode(frame::open(record).ok()?).ok()?;
        let entry = Entry::decode(&message.payload).ok()?;
        message.id.as_mut()?.node += 1;
        (entry.shard.0 == self.shard).then(|| frame::seal_message(&message))
    }
}

/// Where the value of a message's first field begins, and the value.
fn field(data: &[u8]) -> Option<(usize, &[u8])> {
    let (tag, rest) = data.split_first()?;
    let mut after = rest;
    let length = (*tag == FIRST_FIELD)
        .then(|| prost::decode_length_delimiter(&mut after).ok())
        .flatten()?;
    Some((data.len() - after.len(), after.get(..length)?))
}

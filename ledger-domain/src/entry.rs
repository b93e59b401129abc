//! The unit of consensus: outcomes decided together, with their time and what came before.

use bytes::Bytes;
use prost::Message as _;

use crate::{Date, Hash, HybridTime, Outcome, Position, ShardId, chain, codec, frame, proto};

/// What one entry of a shard's writer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose log.
    pub shard: ShardId,
    /// Which reign wrote it.
    pub epoch: u64,
    /// Above the time of every entry of the shard before.
    pub time: HybridTime,
    /// The home region's date when it was decided.
    pub business_date: Date,
    /// The link of the writer's entry before.
    pub prev_hash: Hash,
    /// Positions in other shards without which this entry would not be.
    pub causes: Vec<Position>,
    /// What was decided. A transaction's ordinal is its place here.
    pub outcomes: Vec<Outcome>,
}

/// Why stored bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The frame.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// Not the message that the frame promises.
    #[error("the entry's message cannot be read: {0}")]
    Message(String),
    /// A field that no writer writes.
    #[error("the entry's field `{0}` holds what no writer writes")]
    Field(&'static str),
    /// An event of a newer program.
    #[error("the entry holds an event that this program does not know: it is from a newer one")]
    UnknownEvent,
}

impl Entry {
    /// The bytes that are stored, hashed and sent.
    pub fn encode(&self) -> Bytes {
        frame::seal_message(&codec::entry_to_proto(self))
    }

    /// From stored bytes. Shares their memory where it can.
    pub fn decode(stored: &Bytes) -> Result<Self, Damage> {
        let payload = frame::open(stored)?;
        let message = proto::Entry::decode(payload).map_err(|e| Damage::Message(e.to_string()))?;
        codec::entry_from_proto(message)
    }

    /// The link this entry makes in the writer's chain.
    pub fn link(stored: &Bytes) -> Hash {
        chain::writer_link(stored)
    }
}

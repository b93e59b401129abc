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
    /// The home region's business date when its decisions began. After a close among them it is later.
    pub business_date: Date,
    /// All days up to this one were closed before it was decided; `None` where none was.
    pub closed_through: Option<Date>,
    /// The link of the writer's entry before.
    pub prev_hash: Hash,
    /// Positions in other shards without which this entry would not be.
    pub causes: Vec<Position>,
    /// What was decided. A transaction's ordinal is its place here.
    pub outcomes: Vec<Outcome>,
}

/// How an entry is stored: the version of its frame. All that this program knows, it reads and
/// writes, so that a cluster can be upgraded node by node: first the programs, each still writing
/// what the others read, and then what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Format {
    /// Every outcome names its accounts and its caller in full.
    InFull = 1,
    /// What outcomes of one entry repeat is said once.
    SaidOnce = 2,
}

impl Format {
    /// All, the oldest first.
    pub const ALL: [Self; 2] = [Self::InFull, Self::SaidOnce];
    /// What is written where nothing else is asked for.
    pub const NEWEST: Self = Self::SaidOnce;

    /// The format with a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }
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
    pub fn encode(&self, format: Format) -> Bytes {
        let message = codec::entry_to_proto(self, format);
        frame::seal_message_as(format.number(), &message)
    }

    /// From stored bytes. Shares their memory where it can.
    pub fn decode(stored: &Bytes) -> Result<Self, Damage> {
        let newest = Format::NEWEST.number();
        let (version, payload) = frame::open_up_to(newest, stored)?;
        let unknown = frame::Error::Version {
            found: version,
            newest,
        };
        let format = Format::from_number(version).ok_or(unknown)?;
        let message = proto::Entry::decode(payload).map_err(|e| Damage::Message(e.to_string()))?;
        codec::entry_from_proto(message, format)
    }

    /// What became of a command: the outcome at `ordinal`, and where that is the first of a group that
    /// was done, those of the whole group. Empty where there is none.
    pub fn together(&self, ordinal: u32) -> &[Outcome] {
        let from = usize::try_from(ordinal).unwrap_or(usize::MAX);
        let Some(first) = self.outcomes.get(from) else {
            return &[];
        };
        let command = first.command.as_ref().filter(|_| first.result.is_ok());
        let group = command.and_then(|command| command.info.group);
        let of = group
            .filter(|group| group.item == 1)
            .map_or(1, |group| group.of);
        let of = usize::try_from(of).unwrap_or(usize::MAX);
        let to = from.saturating_add(of).min(self.outcomes.len());
        &self.outcomes[from..to]
    }

    /// The link this entry makes in the writer's chain.
    pub fn link(stored: &Bytes) -> Hash {
        chain::writer_link(stored)
    }
}

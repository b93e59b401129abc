//! One index of a shard's log, as stored and as sent: a `LogRecord` in its frame.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ledger_domain::frame;
use prost::Message;

use crate::proto::{self, RecordKind};
use crate::raft::types::{Entry, EntryPayload, LeaderId, LogId, Member, Membership, Payload, Term};
use crate::raft::{Content, RecordId};

/// A record and what it says. Both share one piece of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Which index of which leader.
    pub id: RecordId,
    /// What the payload is.
    pub kind: Kind,
    /// The stored bytes: a framed `LogRecord`.
    pub record: Bytes,
    /// What the record carries.
    pub payload: Bytes,
}

/// What an index carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a leader wrote it to begin its reign.
    Blank,
    /// A framed entry of the shard's writer.
    Entry,
    /// The voters.
    Membership,
}

/// Why bytes are not a record, or a value beside one, that this program can read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The frame is damaged.
    #[error("damaged: {0}")]
    Frame(#[from] frame::Error),
    /// The frame holds something else.
    #[error("not the expected message: {0}")]
    Message(#[from] prost::DecodeError),
    /// A required field is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Written by a newer program.
    #[error("record kind {0} is unknown")]
    UnknownKind(i32),
    /// A set of voters that could decide nothing.
    #[error("impossible voters: {0}")]
    Membership(String),
    /// An audited head is 32 bytes.
    #[error("a head of {0} bytes")]
    HeadLength(usize),
}

impl StoredRecord {
    /// The record of an entry.
    pub(crate) fn of(entry: &Entry) -> Self {
        let (kind, payload) = match &entry.payload {
            EntryPayload::Blank => (Kind::Blank, Bytes::new()),
            EntryPayload::Normal(payload) => (Kind::Entry, payload.0.clone()),
            EntryPayload::Membership(voters) => (Kind::Membership, membership_bytes(voters)),
        };
        let id = record_id(&entry.log_id);
        let payload_len = payload.len();
        let message = proto::LogRecord {
            id: Some(stored_id(id)),
            kind: i32::from(RecordKind::from(kind)),
            payload,
        };
        let record = frame::seal_message(&message);
        // Fields are written in the order of their numbers, and the payload has the highest.
        let payload = record.slice(record.len() - payload_len..);
        debug_assert_eq!(payload, message.payload);
        Self {
            id,
            kind,
            record,
            payload,
        }
    }

    /// Reads a record out of its frame.
    pub fn parse(record: Bytes) -> Result<Self, Malformed> {
        let message = proto::LogRecord::decode(frame::open(&record)?)?;
        let id = parsed_id(message.id.ok_or(Malformed::Missing("id"))?)?;
        let kind = match RecordKind::try_from(message.kind) {
            Ok(RecordKind::Blank) => Kind::Blank,
            Ok(RecordKind::Entry) => Kind::Entry,
            Ok(RecordKind::Membership) => Kind::Membership,
            Ok(RecordKind::Unspecified) => return Err(Malformed::Missing("kind")),
            Err(_) => return Err(Malformed::UnknownKind(message.kind)),
        };
        Ok(Self {
            id,
            kind,
            record,
            payload: message.payload,
        })
    }

    /// What a machine is given of it.
    pub fn content(&self) -> Content<'_> {
        match self.kind {
            Kind::Blank => Content::Blank,
            Kind::Entry => Content::Entry(&self.payload),
            Kind::Membership => Content::Membership(&self.payload),
        }
    }

    pub(crate) fn entry(&self) -> Result<Entry, Malformed> {
        let payload = match self.kind {
            Kind::Blank => EntryPayload::Blank,
            Kind::Entry => EntryPayload::Normal(Payload(self.payload.clone())),
            Kind::Membership => EntryPayload::Membership(membership(&self.payload)?),
        };
        Ok(Entry {
            log_id: log_id(self.id),
            payload,
        })
    }
}

impl From<Kind> for RecordKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Blank => Self::Blank,
            Kind::Entry => Self::Entry,
            Kind::Membership => Self::Membership,
        }
    }
}

/// The framed record of an entry.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    StoredRecord::of(entry).record
}

/// The entry of a framed record.
pub(crate) fn decode(record: Bytes) -> Result<Entry, Malformed> {
    StoredRecord::parse(record)?.entry()
}

/// The voters as a record's payload holds them. Nodes come in rising order: equal voters have
/// equal bytes.
pub(crate) fn membership_bytes(membership: &Membership) -> Bytes {
    stored_membership(membership).encode_to_vec().into()
}

pub(crate) fn stored_membership(membership: &Membership) -> proto::Membership {
    let voters = |set: &BTreeSet<u64>| proto::Voters {
        nodes: set.iter().copied().collect(),
    };
    let members: BTreeMap<_, _> = membership.nodes().collect();
    proto::Membership {
        configs: membership.get_joint_config().iter().map(voters).collect(),
        members: members
            .into_iter()
            .map(|(node, at)| proto::Member {
                node: *node,
                address: at.addr.clone(),
            })
            .collect(),
    }
}

fn membership(payload: &Bytes) -> Result<Membership, Malformed> {
    parsed_membership(proto::Membership::decode(payload.clone())?)
}

pub(crate) fn parsed_membership(message: proto::Membership) -> Result<Membership, Malformed> {
    let configs = message
        .configs
        .into_iter()
        .map(|set| set.nodes.into_iter().collect())
        .collect();
    let members = message.members.into_iter();
    let members: BTreeMap<_, _> = members
        .map(|member| {
            (
                member.node,
                Member {
                    addr: member.address,
                },
            )
        })
        .collect();
    Membership::new(configs, members).map_err(|cause| Malformed::Membership(cause.to_string()))
}

pub(crate) fn record_id(id: &LogId) -> RecordId {
    let LeaderId { term, node_id } = id.leader_id;
    RecordId {
        epoch: term.epoch,
        term: term.term,
        node: node_id,
        index: id.index,
    }
}

pub(crate) fn log_id(id: RecordId) -> LogId {
    let term = Term {
        epoch: id.epoch,
        term: id.term,
    };
    LogId {
        leader_id: LeaderId {
            term,
            node_id: id.node,
        },
        index: id.index,
    }
}

/// A place in the log as it is stored and sent.
pub(crate) fn stored_id(id: RecordId) -> proto::LogId {
    proto::LogId {
        epoch: id.epoch,
        term: id.term,
        node: id.node,
        index: id.index,
    }
}

/// Reads a place in the log; epochs count from 1.
pub(crate) fn parsed_id(id: proto::LogId) -> Result<RecordId, Malformed> {
    if id.epoch == 0 {
        return Err(Malformed::Missing("epoch"));
    }
    Ok(RecordId {
        epoch: id.epoch,
        term: id.term,
        node: id.node,
        index: id.index,
    })
}

/// Reads a framed message.
pub(crate) fn message<M: Message + Default>(stored: &Bytes) -> Result<M, Malformed> {
    Ok(M::decode(frame::open(stored)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: EntryPayload) -> Entry {
        Entry {
            log_id: log_id(RecordId {
                epoch: 3,
                term: 2,
                node: 1,
                index: 9,
            }),
            payload,
        }
    }

    #[test]
    fn a_record_reads_back_as_its_entry() {
        let nodes = [(1, "a:1"), (2, "b:2")].map(|(id, at)| (id, Member::new(at)));
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let voters = Membership::new(joint, BTreeMap::from(nodes)).unwrap();
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Payload(Bytes::from_static(b"facts"))),
            EntryPayload::Normal(Payload(Bytes::new())),
            EntryPayload::Membership(voters),
        ] {
            let entry = entry(payload);
            let stored = StoredRecord::of(&entry);
            assert_eq!(StoredRecord::parse(stored.record.clone()).unwrap(), stored);
            assert_eq!(decode(stored.record).unwrap(), entry);
        }
    }

    #[test]
    fn a_reader_shares_the_stored_bytes() {
        let stored = encode(&entry(EntryPayload::Normal(Payload(Bytes::from_static(
            b"facts",
        )))));
        let parsed = StoredRecord::parse(stored.clone()).unwrap();
        assert!(stored.as_ptr_range().contains(&parsed.payload.as_ptr()));
    }

    #[test]
    fn a_forgotten_field_is_named() {
        let parse = |message: proto::LogRecord| {
            StoredRecord::parse(frame::seal_message(&message)).unwrap_err()
        };
        let id = proto::LogId {
            epoch: 1,
            term: 1,
            node: 1,
            index: 1,
        };
        let record = proto::LogRecord {
            id: Some(id),
            kind: 1,
            payload: Bytes::new(),
        };
        let without_id = proto::LogRecord {
            id: None,
            ..record.clone()
        };
        assert_eq!(parse(without_id), Malformed::Missing("id"));
        let without_epoch = proto::LogId { epoch: 0, ..id };
        let without_epoch = proto::LogRecord {
            id: Some(without_epoch),
            ..record.clone()
        };
        assert_eq!(parse(without_epoch), Malformed::Missing("epoch"));
        assert_eq!(
            parse(proto::LogRecord {
                kind: 77,
                ..record.clone()
            }),
            Malformed::UnknownKind(77)
        );
        assert_eq!(
            parse(proto::LogRecord { kind: 0, ..record }),
            Malformed::Missing("kind")
        );
    }
}

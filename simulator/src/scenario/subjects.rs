//! The events of the logs, for those who were told them.

use ledger_domain::{AccountId, Entry, Event, EventKind, Position, TransactionId};

use super::evidence::Evidence;
use crate::oracle::told::Told;

/// What an event is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What it is.
    pub(super) kind: EventKind,
    /// The accounts that it names.
    pub(super) accounts: Vec<AccountId>,
}

impl Evidence {
    /// Notes what has happened in an entry.
    pub(super) fn note_events(&mut self, index: u64, entry: &Entry) {
        let events = self.events.entry(entry.shard.0).or_default();
        let subjects = self.subjects.entry(entry.shard.0).or_default();
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let position = Position {
                shard: entry.shard,
                epoch: entry.epoch,
                index,
            };
            let transaction = TransactionId { position, ordinal }.to_string();
            for (place, event) in (1..).zip(outcome.result.iter().flatten()) {
                events.push(Told {
                    shard: entry.shard.0,
                    index,
                    time: u128::from_be_bytes(entry.time.to_bytes()),
                    transaction: transaction.clone(),
                    place,
                });
                subjects.push(Subject {
                    kind: event.kind(),
                    accounts: event.accounts(),
                });
                if let Event::Consumer(event) = event {
                    self.consumers.push(event.clone());
                }
            }
        }
    }
}

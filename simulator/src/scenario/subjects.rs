//! The events of the logs, for those who were told them.

use ledger_domain::{AccountId, Entry, Event, EventKind, Position, TransactionId};

use super::evidence::Evidence;
use crate::oracle::{claimed::Claim, told::Told};

/// What an event is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What it is.
    pub(super) kind: EventKind,
    /// The accounts that it names.
    pub(super) accounts: Vec<AccountId>,
}

/// That a reference stands for an account, or does no longer.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    /// In whose log it is.
    pub(super) shard: u32,
    /// The reference.
    pub(super) digest: String,
    /// The account.
    pub(super) account: AccountId,
    /// Whether it does no longer.
    pub(super) is_released: bool,
}

impl Evidence {
    /// What the logs say of references, in the words of their judge.
    pub(super) fn claimed(&self) -> Vec<Claim> {
        let claims = self.claims.iter().map(|it| Claim {
            region: it.account.region().to_string(),
            shard: it.shard,
            digest: it.digest.clone(),
            account: it.account.to_string(),
            is_released: it.is_released,
        });
        claims.collect()
    }

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
                match event {
                    Event::Consumer(event) => self.consumers.push(event.clone()),
                    Event::ReferenceClaimed(claim) | Event::ReferenceReleased(claim) => {
                        self.claims.push(Claimed {
                            shard: entry.shard.0,
                            digest: format!("{:?} {:?}", claim.kind, claim.digest),
                            account: claim.account,
                            is_released: matches!(event, Event::ReferenceReleased(_)),
                        });
                    }
                    Event::AccountOpened { account, .. } => {
                        self.opened.insert(account.to_string());
                    }
                    _ => {}
                }
            }
        }
    }
}

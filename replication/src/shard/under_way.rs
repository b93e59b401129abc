use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use ledger_domain::{Entry, Event, JournalEvent, JournalRef, Position, ShardId, state::State as _};
use tokio::sync::watch;

use super::Shard;

/// Something of a shard that ends in its log when others have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    /// A transfer, by destination and number.
    Item(ShardId, u64),
    /// A journal that the shard coordinates, by its number.
    Journal(u64),
}

impl Awaited {
    /// What an event of a shard ends, if anything.
    fn ended_by(event: &Event, shard: ShardId) -> Option<Self> {
        match event {
            Event::TransferSettled {
                destination,
                number,
            }
            | Event::TransferReturned {
                destination,
                number,
                ..
            } => Some(Self::Item(*destination, *number)),
            Event::Journal(
                JournalEvent::Posted { journal, .. } | JournalEvent::Cancelled { journal, .. },
            ) if journal.coordinator == shard => Some(Self::Journal(journal.number)),
            _ => None,
        }
    }
}

/// Who waits for something of a shard to end. Filled by whoever waits, emptied by the applier.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeMap<Awaited, watch::Sender<()>>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Awaited, watch::Sender<()>>> {
        self.0
            .lock()
            .expect("nothing panics while it holds the waiters")
    }

    /// A receiver that fails once this has ended.
    fn wait(&self, what: Awaited) -> watch::Receiver<()> {
        self.lock().entry(what).or_default().subscribe()
    }

    fn forget(&self, what: Awaited) {
        self.lock().remove(&what);
    }

    /// Wakes those who wait for what this entry ends. The book has it already.
    pub(super) fn applied(&self, entry: &Entry) {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            return;
        }
        let outcomes = entry.outcomes.iter();
        for event in outcomes.flat_map(|outcome| outcome.result.iter().flatten()) {
            if let Some(ended) = Awaited::ended_by(event, entry.shard) {
                waiting.remove(&ended);
            }
        }
    }
}

/// This node has stopped deciding for the shard: how the transfer ends is for another to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the shard any longer")]
pub struct Deposed;

impl Shard {
    /// Waits until a transfer that was sent from here has been settled or returned in this book,
    /// and gives a position at which it was. Ends early when this node stops leading.
    pub async fn ended(&self, destination: ShardId, number: u64) -> Result<Position, Deposed> {
        let what = Awaited::Item(destination, number);
        self.end_of(what, || self.has_ended(destination, number))
            .await
    }

    /// Waits until a journal that was opened here is decided in this book, and gives a position at
    /// which it was. Ends early when this node stops leading.
    pub async fn journal_decided(&self, number: u64) -> Result<Position, Deposed> {
        let what = Awaited::Journal(number);
        self.end_of(what, || self.is_journal_decided(number)).await
    }

    async fn end_of(
        &self,
        what: Awaited,
        find: impl Fn() -> Option<Position>,
    ) -> Result<Position, Deposed> {
        let mut leadership = self.group.leadership();
        let reign = leadership.borrow_and_update().reign;
        // Waited for first, looked up then: an end in between is not missed.
        let mut end = self.under_way.wait(what);
        loop {
            if let Some(position) = find() {
                self.under_way.forget(what);
                return Ok(position);
            }
            if reign.is_none() || leadership.borrow_and_update().reign != reign {
                return Err(Deposed);
            }
            tokio::select! {
                biased;
                _ = end.changed() => {}
                changed = leadership.changed() => changed.map_err(|_| Deposed)?,
            }
        }
    }

    /// A position at which a journal that was opened here is decided, if it is.
    pub fn is_journal_decided(&self, number: u64) -> Option<Position> {
        let book = self.book();
        let id = JournalRef {
            coordinator: book.shard(),
            number,
        };
        let decided = book.journal_count().last >= number && book.journal_legs(&id).is_none();
        decided.then(|| Position {
            shard: book.shard(),
            epoch: book.epoch(),
            index: book.applied(),
        })
    }

    /// A position at which a transfer that was sent from here is settled or returned, if it is.
    pub fn has_ended(&self, destination: ShardId, number: u64) -> Option<Position> {
        let book = self.book();
        let closed =
            book.outbound(destination).sent >= number && book.sent(destination, number).is_none();
        closed.then(|| Position {
            shard: book.shard(),
            epoch: book.epoch(),
            index: book.applied(),
        })
    }
}

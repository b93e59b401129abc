use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use ledger_domain::{Entry, Event, JournalRef, Position, ShardId, state::State as _};
use tokio::sync::watch;

use super::Shard;

/// Who waits for transfers of a shard to end, by destination and number. Filled by whoever waits,
/// emptied by the applier.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeMap<(ShardId, u64), watch::Sender<()>>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(ShardId, u64), watch::Sender<()>>> {
        self.0
            .lock()
            .expect("nothing panics while it holds the waiters")
    }

    /// A receiver that fails once the transfer has ended.
    fn wait(&self, destination: ShardId, number: u64) -> watch::Receiver<()> {
        let mut waiting = self.lock();
        waiting
            .entry((destination, number))
            .or_default()
            .subscribe()
    }

    fn forget(&self, destination: ShardId, number: u64) {
        self.lock().remove(&(destination, number));
    }

    /// Wakes those whose transfers this entry ends. The book has it already.
    pub(super) fn applied(&self, entry: &Entry) {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            return;
        }
        let outcomes = entry.outcomes.iter();
        for event in outcomes.flat_map(|outcome| outcome.result.iter().flatten()) {
            if let Event::TransferSettled {
                destination,
                number,
            }
            | Event::TransferReturned {
                destination,
                number,
                ..
            } = event
            {
                waiting.remove(&(*destination, *number));
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
        let mut leadership = self.group.leadership();
        let reign = leadership.borrow_and_update().reign;
        // Waited for first, looked up then: an end in between is not missed.
        let mut end = self.under_way.wait(destination, number);
        loop {
            if let Some(position) = self.has_ended(destination, number) {
                self.under_way.forget(destination, number);
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

    /// Waits until a journal that was opened here is decided in this book, and gives a position at
    /// which it was. Ends early when this node stops leading.
    pub async fn journal_decided(&self, number: u64) -> Result<Position, Deposed> {
        let mut leadership = self.group.leadership();
        let mut applied = self.group.applied_watch();
        let reign = leadership.borrow_and_update().reign;
        loop {
            applied.borrow_and_update();
            if let Some(position) = self.is_journal_decided(number) {
                return Ok(position);
            }
            if reign.is_none() || leadership.borrow_and_update().reign != reign {
                return Err(Deposed);
            }
            let changed = tokio::select! {
                changed = applied.changed() => changed,
                changed = leadership.changed() => changed,
            };
            changed.map_err(|_| Deposed)?;
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

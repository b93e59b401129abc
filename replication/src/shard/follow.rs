use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{Entry, Fence, Position, ShardId};
use tokio::sync::watch;

use super::{Shard, inbox::Bookmark};
use crate::{
    archive::shelf::NotReached,
    log::{Kind, LogHub, NotHeld},
    raft::RecordId,
};

/// How much of a log is read at a time.
const STEP_BYTES: usize = 1 << 20;
/// How soon a log that could not be read is read again: a scrub may have mended it.
const AGAIN: Duration = Duration::from_secs(1);

impl Shard {
    /// Reads another shard's log for what it asks of this one, from where the book needs it and for
    /// as long as `served` lives. `served` shows how far the log is committed and durable in this region.
    pub async fn follow(
        self,
        peer: ShardId,
        epoch: u64,
        hub: LogHub,
        mut served: watch::Receiver<u64>,
    ) {
        let (mut next, mut fence) = match self.inbox.bookmark(peer) {
            Some(Bookmark { next, fence }) => (next, fence),
            None => (0, Fence::new(peer, epoch)),
        };
        let mut is_stopped = false;
        loop {
            let through = *served.borrow_and_update();
            while next <= through {
                let read = hub.read_through(peer.0, next..through + 1, STEP_BYTES);
                match read.await {
                    Ok(records) if records.is_empty() => break,
                    Ok(records) => {
                        is_stopped = false;
                        for record in records {
                            next = record.id.index + 1;
                            if record.kind == Kind::Entry
                                && let Err(why) =
                                    self.observe(&mut fence, record.id, &record.payload)
                            {
                                return self.stop_following(peer, &why);
                            }
                        }
                        let book = self.book();
                        self.inbox.has_read(Bookmark { next, fence }, &book);
                    }
                    Err(error) => {
                        let cause = error.get_ref();
                        let is_missing = cause
                            .is_some_and(|cause| cause.is::<NotHeld>() || cause.is::<NotReached>());
                        match std::mem::replace(&mut is_stopped, true) {
                            true => {}
                            false if is_missing => self.wait_for(peer, &error.to_string()),
                            false => self.stop_following(peer, &error.to_string()),
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                // Other tasks of this thread get their turn: a long log is read in one go.
                tokio::task::yield_now().await;
            }
            if served.changed().await.is_err() {
                return;
            }
        }
    }

    fn observe(&self, fence: &mut Fence, id: RecordId, stored: &Bytes) -> Result<(), String> {
        let entry = Entry::decode(stored).map_err(|e| format!("index {}: {e}", id.index))?;
        fence.under(id.epoch);
        if fence.admit(&entry, stored) {
            let at = Position {
                shard: fence.shard,
                epoch: entry.epoch,
                index: id.index,
            };
            self.inbox
                .observe(at, entry.time, &entry.outcomes, &self.book());
        }
        Ok(())
    }

    /// Tells that a channel waits: the log's replica here began with a snapshot, and is still fetching
    /// what came before.
    fn wait_for(&self, peer: ShardId, why: &str) {
        let shard = self.group.shard();
        tracing::warn!(shard, peer = peer.0, why, "a channel waits for its log");
    }

    /// Tells that a channel is stopped: until its log can be read, or for good where what is
    /// written makes no sense.
    fn stop_following(&self, peer: ShardId, why: &str) {
        let shard = self.group.shard();
        tracing::error!(
            shard,
            peer = peer.0,
            why,
            "a channel is stopped: its log cannot be read"
        );
    }
}

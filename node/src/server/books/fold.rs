use ledger_domain::{Book, HybridTime, ShardId, book};
use replication::{
    archive::shelf::NotReached,
    log::{Kind, LogHub},
};

use super::shard_book::{Sending, ShardBook};

/// How much of a log is folded before other tasks of the thread get their turn.
const STEP_BYTES: usize = 128 << 10;

/// Why a book at a time cannot be folded here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The time is not over yet, as far as this log goes.
    #[error("the log of shard {shard} goes up to {closed} here")]
    Open { shard: ShardId, closed: HybridTime },
    /// The log cannot be read here.
    #[error("the log of shard {shard} cannot be read at index {index}: {cause}")]
    Unreadable {
        shard: ShardId,
        index: u64,
        cause: String,
    },
    /// It is in the archive, which does not answer.
    #[error("{0}")]
    NotReached(String),
    /// An entry does not follow from those before.
    #[error(transparent)]
    Book(#[from] book::Error),
}

/// Folds a shard's log, up to `through` which is as far as it may be served, into its book at a
/// time. Holds one book and one step of the log; dropping the future gives up.
pub(super) async fn book_at(
    hub: &LogHub,
    shard: ShardId,
    epoch: u64,
    through: u64,
    at: HybridTime,
) -> Result<ShardBook, Error> {
    let mut book = Book::without_keys(shard, epoch);
    let mut sending = Sending::default();
    let mut next = 0;
    while next <= through {
        let unreadable = |cause: String| Error::Unreadable {
            shard,
            index: next,
            cause,
        };
        let records = hub
            .read_through(shard.0, next..through + 1, STEP_BYTES)
            .await
            .map_err(|error| match NotReached::is_cause(&error) {
                true => Error::NotReached(error.to_string()),
                false => unreadable(error.to_string()),
            })?;
        if records.is_empty() {
            // Index 0 counts as served before it is there; no other does.
            if next == 0 {
                break;
            }
            return Err(unreadable("it is not here".to_owned()));
        }
        for record in records {
            let index = record.id.index;
            next = index + 1;
            book.under(record.id.epoch);
            match record.kind {
                Kind::Entry => {
                    if book.apply_through(at, index, &record.payload)?.is_none() {
                        return Ok(ShardBook::of(&book, &sending));
                    }
                    sending.see(&book);
                }
                _ => book.skip(index),
            }
        }
        tokio::task::yield_now().await;
    }
    if book.time() == at {
        return Ok(ShardBook::of(&book, &sending));
    }
    Err(Error::Open {
        shard,
        closed: book.time(),
    })
}

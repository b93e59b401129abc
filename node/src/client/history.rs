//! A shard's history as its log has it, record by record, through as many nodes as it takes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use replication::{
    peer::PeerOptions,
    proto::{FeedBatch, FeedRecord, FeedRequest, feed_client::FeedClient},
};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::calls::Client;
use super::error::Error;
use super::following::{Followed, Replies};

/// Records in order, some at a time; an error is the last. Dropped, it ends.
pub struct History(Replies<FeedBatch>);

impl Stream for History {
    type Item = Result<Vec<FeedRecord>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.0).poll_next(cx);
        next.map(|next| next.map(|batch| batch.map(|batch| batch.records)))
    }
}

impl Client {
    /// Reads what a shard's log has from an index on, up to what the first node that answers had
    /// applied then, and at least up to all before `end`: what is not there yet is waited for. Whoever
    /// reads it checks it: each record comes with the audited chain's head.
    ///
    /// Any node serves it, also one that only has a copy; where one fails it goes on with another.
    pub fn history(&self, shard: u32, from: u64, end: u64) -> History {
        History(self.follow(Reading {
            shard,
            next: from,
            wanted: end,
            end: None,
        }))
    }
}

struct Reading {
    shard: u32,
    next: u64,
    /// All before this index is waited for.
    wanted: u64,
    /// The first index that is not read, once that is known.
    end: Option<u64>,
}

impl Followed for Reading {
    type Request = FeedRequest;
    type Reply = FeedBatch;

    fn request(&self) -> FeedRequest {
        FeedRequest {
            shard: self.shard,
            from: self.next,
            heartbeat_millis: 0,
        }
    }

    fn open(
        channel: Channel,
        request: Request<FeedRequest>,
    ) -> impl Future<Output = Result<Response<Streaming<FeedBatch>>, Status>> + Send {
        let limit = PeerOptions::default().message_limit;
        let mut feed = FeedClient::new(channel).max_decoding_message_size(limit);
        async move { feed.follow(request).await }
    }

    fn heard(&mut self, mut batch: FeedBatch) -> FeedBatch {
        // The first batch says how far there is to go. Where it has nothing there is nothing, or not yet:
        // index 0 counts as applied before it is there.
        let served = match batch.records.is_empty() {
            true => self.next,
            false => batch.applied.saturating_add(1),
        };
        let end = *self.end.get_or_insert(served.max(self.wanted));
        // What was written since is for the next time.
        let wanted = end.saturating_sub(self.next);
        batch
            .records
            .truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.next += batch.records.len() as u64;
        batch
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(next: u64, wanted: u64) -> Reading {
        Reading {
            shard: 1,
            next,
            wanted,
            end: None,
        }
    }

    /// A batch of so many records of a node that has applied so much.
    fn batch(records: usize, applied: u64) -> FeedBatch {
        FeedBatch {
            records: vec![FeedRecord::default(); records],
            applied,
            relayed: None,
        }
    }

    #[test]
    fn a_history_ends_where_the_first_node_did_or_where_it_must_come_to() {
        // Next, wanted; the batches, and after each: how many records count, and whether it is over.
        type Heard = (usize, u64, usize, bool);
        let cases: [(u64, u64, &[Heard]); 6] = [
            (0, 0, &[(3, 4, 3, false), (3, 9, 2, true)]),
            (
                0,
                8,
                &[(3, 2, 3, false), (0, 2, 0, false), (9, 20, 5, true)],
            ),
            // It is not founded, and nobody knows better; or somebody does.
            (0, 0, &[(0, 0, 0, true)]),
            (0, 2, &[(0, 0, 0, false), (2, 1, 2, true)]),
            // There is nothing new, or the node is behind what is known.
            (5, 0, &[(0, 4, 0, true)]),
            (5, 0, &[(0, 2, 0, true)]),
        ];
        for (next, wanted, batches) in cases {
            let mut reading = reading(next, wanted);
            for (records, applied, counted, is_over) in batches {
                let heard = reading.heard(batch(*records, *applied));
                assert_eq!(heard.records.len(), *counted, "{batches:?}");
                assert_eq!(reading.is_over(), *is_over, "{batches:?}");
            }
        }
    }
}

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
    /// applied then. Whoever reads it checks it: each record comes with the audited chain's head.
    ///
    /// Any node serves it, also one that only has a copy; where one fails it goes on with another.
    pub fn history(&self, shard: u32, from: u64) -> History {
        History(self.follow(Reading {
            shard,
            next: from,
            through: None,
        }))
    }
}

struct Reading {
    shard: u32,
    next: u64,
    /// Where it ends, once that is known.
    through: Option<u64>,
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
        let through = *self.through.get_or_insert(batch.applied);
        let wanted = through.saturating_add(1).saturating_sub(self.next);
        // What was written since is for the next time.
        batch
            .records
            .truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        self.next += batch.records.len() as u64;
        batch
    }

    fn is_over(&self) -> bool {
        self.through.is_some_and(|through| self.next > through)
    }
}

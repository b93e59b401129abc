//! What changes on accounts, through as many nodes as it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::calls::Client;
use super::error::Error;
use super::following::{Followed, Replies};
use crate::api::atm::v1::{WatchReply, WatchRequest, atm_client::AtmClient};

/// What changes on accounts, without an end; an error is the last.
///
/// Dropped, it ends the watching. It is gone on with by the token of the last reply that was read.
pub struct Watching(Replies<WatchReply>);

impl Stream for Watching {
    type Item = Result<WatchReply, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Client {
    /// Watches accounts, or those of a customer: each line that is booked on them is told once, and for
    /// each account in order, over however many nodes.
    ///
    /// Where a node fails it goes on with another, for as long as that takes, once anything was told;
    /// before, no longer than a call may ([`Options::deadline`](super::Options::deadline)). It ends with
    /// an error that no other attempt can help.
    pub fn watch(&self, request: WatchRequest) -> Watching {
        let versions = BTreeMap::new();
        Watching(self.follow(Watched { request, versions }))
    }
}

struct Watched {
    /// With the token to go on by.
    request: WatchRequest,
    /// The newest of each account that was told: what it is may be told again by another node.
    versions: BTreeMap<String, u64>,
}

impl Followed for Watched {
    type Request = WatchRequest;
    type Reply = WatchReply;

    fn request(&self) -> WatchRequest {
        self.request.clone()
    }

    fn open(
        channel: Channel,
        request: Request<WatchRequest>,
    ) -> impl Future<Output = Result<Response<Streaming<WatchReply>>, Status>> + Send {
        let mut atm = AtmClient::new(channel);
        async move { atm.watch(request).await }
    }

    fn heard(&mut self, mut reply: WatchReply) -> WatchReply {
        self.request.resume_token.clone_from(&reply.resume_token);
        self.request.from.clear();
        if let Some(customer) = &reply.customer {
            // What one is that is given back to the customer is told again.
            let has: BTreeSet<_> = customer.account_ids.iter().collect();
            self.versions.retain(|account, _| has.contains(account));
        }
        reply.changes.retain(|change| {
            let known = self.versions.get(&change.account_id);
            change.line.is_some() || known.is_none_or(|known| change.version > *known)
        });
        for change in &reply.changes {
            self.versions
                .insert(change.account_id.clone(), change.version);
        }
        reply
    }

    fn is_over(&self) -> bool {
        false
    }
}

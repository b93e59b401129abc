//! Events as the log has them, through as many nodes as it takes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::calls::Client;
use super::error::Error;
use super::following::{Followed, Replies};
use crate::api::events::v1::{
    ReadReply, ReadRequest, events_client::EventsClient, read_request::Start,
};

/// Events, in replies; an error is the last. It ends by itself only where it was asked to.
///
/// Dropped, it ends the reading. It is gone on with by the cursor of the last reply that was read.
pub struct Reading(Replies<ReadReply>);

impl Stream for Reading {
    type Item = Result<ReadReply, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx)
    }
}

impl Client {
    /// Reads events: each is told once and in order, over however many nodes.
    ///
    /// Where a node fails it goes on with another, for as long as that takes, once anything was told;
    /// before, no longer than a call may ([`Options::deadline`](super::Options::deadline)). It ends with
    /// an error that no other attempt can help: where a node finds its log damaged, that is told, and
    /// the caller may go on by the cursor, elsewhere.
    pub fn read_events(&self, request: ReadRequest) -> Reading {
        let is_over = false;
        Reading(self.follow(Read { request, is_over }))
    }
}

struct Read {
    /// With the cursor to go on by.
    request: ReadRequest,
    is_over: bool,
}

impl Followed for Read {
    type Request = ReadRequest;
    type Reply = ReadReply;

    fn request(&self) -> ReadRequest {
        self.request.clone()
    }

    fn open(
        channel: Channel,
        request: Request<ReadRequest>,
    ) -> impl Future<Output = Result<Response<Streaming<ReadReply>>, Status>> + Send {
        let mut events = EventsClient::new(channel);
        async move { events.read(request).await }
    }

    fn heard(&mut self, reply: ReadReply) -> ReadReply {
        self.request.start = Some(Start::Cursor(reply.cursor.clone()));
        self.is_over = reply.is_last;
        reply
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

//! A stream of replies that goes on over as many nodes as it takes, each from where the one before was read.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::attempt::{Failure, verdict};
use super::calls::Client;
use super::error::{Error, Unknown};
use super::node::Node;
use super::retry::{self, Decision, Fate, Situation};
use crate::api::{CALLER, WATCH_HEARTBEAT};

/// Without a word for so long, heartbeats included, a node is taken for lost.
const SILENCE: Duration = WATCH_HEARTBEAT.saturating_mul(4);

/// A stream, as it is asked for and gone on with.
pub(super) trait Followed: Send + 'static {
    /// What it is asked for by.
    type Request: Clone + Send + Sync;
    /// What it tells.
    type Reply: Send + 'static;

    /// What to ask for now.
    fn request(&self) -> Self::Request;

    /// Asks.
    fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Reply>>, Status>> + Send;

    /// Takes note of a reply, to go on after it. What is known already may be left out of it.
    fn heard(&mut self, reply: Self::Reply) -> Self::Reply;

    /// Whether nothing follows what was heard.
    fn is_over(&self) -> bool;

    /// Whether a node may end it.
    fn may_end(&self) -> bool {
        self.is_over()
    }
}

/// The replies that were read, in order; an error is the last. Dropped, it ends the stream.
pub(super) struct Replies<T>(mpsc::Receiver<Result<T, Error>>);

impl<T> Stream for Replies<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

impl Client {
    /// Follows a stream: where a node fails it goes on with another, for as long as that takes, once
    /// anything was told; before, no longer than a call may.
    pub(super) fn follow<F: Followed>(&self, followed: F) -> Replies<F::Reply> {
        let (out, replies) = mpsc::channel(1);
        let following = Following {
            client: self.clone(),
            followed,
            heard: 0,
            out,
        };
        tokio::spawn(following.run());
        Replies(replies)
    }
}

struct Following<F: Followed> {
    client: Client,
    followed: F,
    /// How many replies were read.
    heard: u64,
    out: mpsc::Sender<Result<F::Reply, Error>>,
}

impl<F: Followed> Following<F> {
    async fn run(mut self) {
        let mut tried: Vec<Arc<Node>> = Vec::new();
        let mut attempts = 0;
        let end = Instant::now() + self.client.options.deadline;
        loop {
            let before = self.heard;
            let Err(failure) = self.listen(&tried).await else {
                return;
            };
            if self.followed.may_end() {
                return;
            }
            if self.heard > before {
                attempts = 0;
                tried.clear();
            }
            attempts += 1;
            let nodes = self.client.nodes.all().len();
            if failure.fate == Fate::NotSent && attempts as usize >= nodes {
                self.client.nodes.nothing_answers();
            }
            let now = Situation {
                attempts,
                nodes,
                left: match self.heard {
                    0 => end.saturating_duration_since(Instant::now()),
                    _ => Duration::MAX,
                },
                // One connection at a time, and waits between: no load worth a coin.
                affordable: true,
                jitter: self.client.options.entropy.next_u64(),
            };
            match retry::decide(&self.client.options.retry, failure.fate, now) {
                Decision::GiveUp => {
                    let error = verdict(failure, false, Unknown::default());
                    // Whoever does not listen needs no reason.
                    let _ = self.out.send(Err(error)).await;
                    return;
                }
                Decision::Again { after, elsewhere } => {
                    if let Some(node) = failure.node.filter(|_| elsewhere) {
                        self.client.nodes.leave(&node);
                        tried.push(node);
                    }
                    if tried.len() >= nodes {
                        tried.clear();
                    }
                    tokio::select! {
                        () = self.out.closed() => return,
                        () = tokio::time::sleep(after) => {}
                    }
                }
            }
        }
    }

    /// Tells what one node tells, until nobody listens or something is wrong.
    async fn listen(&mut self, tried: &[Arc<Node>]) -> Result<(), Failure> {
        let out = self.out.clone();
        let client = self.client.clone();
        let next = client.nodes.next(false, tried).await;
        let node = next.map_err(|message| Failure::new(Fate::NotSent, None, message))?;
        let _under_way = node.begin();
        let connecting = node.connect(&client.nodes.network, client.nodes.connect);
        let connected = match connecting.await {
            Ok(connected) => connected,
            Err(message) => {
                client.nodes.note(&node, false);
                return Err(Failure::new(Fate::NotSent, Some(node), message));
            }
        };
        let status = tokio::select! {
            biased;
            () = out.closed() => return Ok(()),
            ended = self.hear(connected.channel.clone(), &node) => ended,
        };
        match status {
            Ok(()) => Ok(()),
            Err(status) => Err(client.failed(node, &connected, &status).await),
        }
    }

    async fn hear(&mut self, channel: Channel, node: &Arc<Node>) -> Result<(), Status> {
        let patience = self.client.options.attempt;
        let mut request = Request::new(self.followed.request());
        let caller = self.client.caller.clone();
        request.metadata_mut().insert(CALLER, caller);
        request.set_timeout(patience);
        let opening = tokio::time::timeout(patience, F::open(channel, request));
        let opened = opening.await.map_err(|_| silent())?;
        let mut replies = opened?.into_inner();
        while !self.followed.is_over() {
            let reply = tokio::time::timeout(SILENCE, replies.message()).await;
            let Some(reply) = reply.map_err(|_| silent())?? else {
                return match self.followed.may_end() {
                    true => Ok(()),
                    false => Err(ended_early()),
                };
            };
            self.client.nodes.note(node, true);
            self.heard += 1;
            let reply = self.followed.heard(reply);
            if self.out.send(Ok(reply)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn silent() -> Status {
    Status::deadline_exceeded("the node did not answer in time")
}

fn ended_early() -> Status {
    Status::unavailable("the node ended the stream")
}

//! What changes on accounts, through as many nodes as it takes.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Status};

use super::attempt::{Failure, verdict};
use super::calls::Client;
use super::error::{Error, Unknown};
use super::node::Node;
use super::retry::{self, Decision, Fate, Situation};
use crate::api::atm::v1::{WatchReply, WatchRequest, atm_client::AtmClient};
use crate::api::{CALLER, WATCH_HEARTBEAT};

/// Without a word for so long, heartbeats included, a node is taken for lost.
const SILENCE: Duration = WATCH_HEARTBEAT.saturating_mul(4);

/// What changes on accounts, without an end; an error is the last.
///
/// Dropped, it ends the watching. It is gone on with by the token of the last reply that was read.
pub struct Watching {
    replies: mpsc::Receiver<Result<WatchReply, Error>>,
}

impl Stream for Watching {
    type Item = Result<WatchReply, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.replies.poll_recv(cx)
    }
}

impl Client {
    /// Watches accounts: each line that is booked on them is told once, and for each account in order,
    /// over however many nodes.
    ///
    /// Where a node fails it goes on with another, for as long as that takes, once anything was told;
    /// before, no longer than a call may ([`Options::deadline`](super::Options::deadline)). It ends with
    /// an error that no other attempt can help.
    pub fn watch(&self, request: WatchRequest) -> Watching {
        let (out, replies) = mpsc::channel(1);
        let following = Following {
            client: self.clone(),
            request,
            versions: BTreeMap::new(),
            heard: 0,
            out,
        };
        tokio::spawn(following.run());
        Watching { replies }
    }
}

struct Following {
    client: Client,
    /// With the token to go on by.
    request: WatchRequest,
    /// The newest of each account that was told: what it is may be told again by another node.
    versions: BTreeMap<String, u64>,
    /// How many replies were read.
    heard: u64,
    out: mpsc::Sender<Result<WatchReply, Error>>,
}

impl Following {
    async fn run(mut self) {
        let mut tried: Vec<Arc<Node>> = Vec::new();
        let mut attempts = 0;
        let end = Instant::now() + self.client.options.deadline;
        loop {
            let before = self.heard;
            let Err(failure) = self.listen(&tried).await else {
                return;
            };
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

    async fn hear(
        &mut self,
        channel: tonic::transport::Channel,
        node: &Arc<Node>,
    ) -> Result<(), Status> {
        let patience = self.client.options.attempt;
        let mut request = Request::new(self.request.clone());
        let caller = self.client.caller.clone();
        request.metadata_mut().insert(CALLER, caller);
        request.set_timeout(patience);
        let mut atm = AtmClient::new(channel);
        let opening = tokio::time::timeout(patience, atm.watch(request));
        let opened = opening.await.map_err(|_| silent())?;
        let mut replies = opened?.into_inner();
        loop {
            let reply = tokio::time::timeout(SILENCE, replies.message()).await;
            let reply = reply.map_err(|_| silent())??.ok_or_else(ended_early)?;
            self.client.nodes.note(node, true);
            self.heard += 1;
            self.request.resume_token.clone_from(&reply.resume_token);
            self.request.from.clear();
            let reply = self.news(reply);
            if self.out.send(Ok(reply)).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Without what is known already: the state of an account that another node has told.
    fn news(&mut self, mut reply: WatchReply) -> WatchReply {
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
}

fn silent() -> Status {
    Status::deadline_exceeded("the node did not answer in time")
}

fn ended_early() -> Status {
    Status::unavailable("the node ended the stream")
}

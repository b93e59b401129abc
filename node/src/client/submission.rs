//! A stream of commands, and their answers in the same order, over as many connections as it takes.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt as _};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use super::attempt::{Failure, verdict};
use super::calls::Client;
use super::error::{Error, Rejection, Unknown};
use super::node::Node;
use super::retry::{self, Decision, Fate, Situation};
use crate::api::CALLER;
use crate::api::teller::v1::{
    BatchCommand, SubmitStreamReply, batch_outcome::Outcome, teller_client::TellerClient,
};
use crate::api::v1::Receipt;

/// How many commands are sent ahead of their answers: twice what a node takes, so that it never
/// waits for the next.
const AHEAD: usize = 512;

/// The answer to one command of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// Which command, counted from 0.
    pub place: u64,
    /// What became of it, for good. A receipt may still say that a transfer was returned. Of a group
    /// that was done, the receipt of its first command.
    pub outcome: Result<Receipt, Rejection>,
    /// Of a group that was done, the receipts of its other commands, in their order.
    pub others: Vec<Receipt>,
    /// The id of an account that was opened; empty for all else. Those that a group opens stand in
    /// its receipts.
    pub account_id: String,
}

/// The answers to a stream of commands, in its order: one for each, or an error, which is the last.
///
/// Dropped, it ends the sending. What was sent by then may be done, and is not told.
pub struct Submission {
    answers: mpsc::Receiver<Result<Submitted, Error>>,
}

impl Stream for Submission {
    type Item = Result<Submitted, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_recv(cx)
    }
}

impl Client {
    /// Sends commands as they come, and gives their answers in the same order. No more are taken
    /// than a few hundred ahead of the answer that was read last.
    ///
    /// For every account the commands are done in the order of the stream: one that names it waits
    /// for those before it. A connection that breaks is replaced, and what is not answered is sent
    /// again under the same keys. The stream ends with an error where no answer comes for as long
    /// as a call may take ([`Options::deadline`](super::Options::deadline)); the commands whose
    /// answers were read are done, all others have to be sent again, in order and under their keys.
    pub fn submit(
        &self,
        commands: impl Stream<Item = BatchCommand> + Send + 'static,
    ) -> Submission {
        let (out, answers) = mpsc::channel(1);
        let sending = Sending {
            client: self.clone(),
            commands: commands.boxed(),
            are_all_taken: false,
            unanswered: VecDeque::new(),
            answered: 0,
            out,
        };
        tokio::spawn(sending.run());
        Submission { answers }
    }
}

struct Sending {
    client: Client,
    commands: futures_util::stream::BoxStream<'static, BatchCommand>,
    are_all_taken: bool,
    /// Taken and not answered, the oldest first.
    unanswered: VecDeque<BatchCommand>,
    answered: u64,
    out: mpsc::Sender<Result<Submitted, Error>>,
}

/// Why a connection is not used any longer.
enum Over {
    /// All is answered, or nobody listens.
    Done,
    Failed(Failure),
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Sending {
    async fn run(mut self) {
        let mut tried: Vec<Arc<Node>> = Vec::new();
        let mut attempts = 0;
        let mut open = false;
        let mut end = self.patience();
        loop {
            if self.unanswered.is_empty() {
                // There is no hurry to connect before there is something to send.
                self.take().await;
                if self.unanswered.is_empty() {
                    return;
                }
                end = self.patience();
            }
            let before = self.answered;
            let Over::Failed(failure) = self.send_over_one_connection(&tried).await else {
                return;
            };
            if self.answered > before {
                (attempts, open, end) = (0, false, self.patience());
                tried.clear();
            }
            attempts += 1;
            open |= failure.fate == Fate::Open;
            let nodes = self.client.nodes.all().len();
            if failure.fate == Fate::NotSent && attempts as usize >= nodes {
                self.client.nodes.nothing_answers();
            }
            let now = Situation {
                attempts,
                nodes,
                left: end.saturating_duration_since(Instant::now()),
                affordable: failure.fate == Fate::Refused || self.client.budget.spend(),
                jitter: self.client.options.entropy.next_u64(),
            };
            match retry::decide(&self.client.options.retry, failure.fate, now) {
                Decision::GiveUp => {
                    let error = verdict(failure, open, self.unknown());
                    // Whoever does not listen needs no reason.
                    let _ = self.out.send(Err(error)).await;
                    return;
                }
                Decision::Again { after, elsewhere } => {
                    if let Some(node) = failure.node.filter(|_| elsewhere) {
                        self.client.nodes.leave(&node);
                        tried.push(node);
                    }
                    tokio::time::sleep(after).await;
                }
            }
        }
    }

    fn patience(&self) -> Instant {
        Instant::now() + self.client.options.deadline
    }

    /// The key of the first command without an answer.
    fn unknown(&mut self) -> Unknown {
        let first = self.unanswered.front_mut();
        let context = first.and_then(BatchCommand::context_mut);
        context.map_or_else(Unknown::default, |context| Unknown {
            key: context.idempotency_key.clone(),
            first_attempt_unix_ms: context.first_attempt_unix_ms,
            ..Unknown::default()
        })
    }

    /// Takes the next command, and gives it what it lacks to be sent twice.
    async fn take(&mut self) {
        let next = tokio::select! {
            biased;
            () = self.out.closed() => None,
            next = self.commands.next() => next,
        };
        self.took(next);
    }

    fn took(&mut self, next: Option<BatchCommand>) {
        let Some(mut command) = next else {
            self.are_all_taken = true;
            return;
        };
        if let Some(context) = command.context_mut() {
            self.client.complete(context);
        }
        self.unanswered.push_back(command);
    }

    async fn send_over_one_connection(&mut self, tried: &[Arc<Node>]) -> Over {
        let client = self.client.clone();
        let next = client.nodes.next(true, tried).await;
        let node = match next {
            Ok(node) => node,
            Err(message) => return Failure::new(Fate::NotSent, None, message).into(),
        };
        let _under_way = node.begin();
        let connected = match node
            .connect(&client.nodes.network, client.nodes.connect)
            .await
        {
            Ok(connected) => connected,
            Err(message) => {
                client.nodes.note(&node, false);
                return Failure::new(Fate::NotSent, Some(node), message).into();
            }
        };
        let status = match self.exchange(connected.channel.clone(), &node).await {
            Ok(()) => return Over::Done,
            Err(status) => status,
        };
        client.failed(node, &connected, &status).await.into()
    }

    /// Sends and reads until all is answered, or something is wrong.
    async fn exchange(
        &mut self,
        channel: tonic::transport::Channel,
        node: &Arc<Node>,
    ) -> Result<(), Status> {
        let silence = self.client.options.attempt;
        let (commands, sending) = mpsc::channel(1);
        let mut commands = Some(commands);
        let mut request = Request::new(ReceiverStream::new(sending));
        let caller = self.client.caller.clone();
        request.metadata_mut().insert(CALLER, caller);
        let mut teller = TellerClient::new(channel);
        let opening = tokio::time::timeout(silence, teller.submit_stream(request));
        let opened = opening.await.map_err(|_| silent())?;
        let mut replies = opened?.into_inner();
        // Of those without an answer, how many were sent over this connection; what it has answered.
        let (mut sent, mut places) = (0, 0);
        let mut heard = Instant::now();
        loop {
            let is_all_sent = sent == self.unanswered.len();
            if self.are_all_taken && is_all_sent {
                // The node knows then that nothing more comes.
                commands = None;
            }
            if self.are_all_taken && self.unanswered.is_empty() {
                return Ok(());
            }
            let may_take = !self.are_all_taken && is_all_sent && sent < AHEAD;
            tokio::select! {
                biased;
                () = self.out.closed() => return Ok(()),
                reply = replies.message() => {
                    let reply = reply?.ok_or_else(ended_early)?;
                    if sent == 0 || reply.place != places {
                        return Err(Status::unknown("an answer is out of its place"));
                    }
                    (sent, places) = (sent - 1, places + 1);
                    self.client.nodes.note(node, true);
                    self.client.budget.earn();
                    self.answer(reply).await?;
                    heard = Instant::now();
                }
                room = reserve(&commands), if !is_all_sent => {
                    let room = room.ok_or_else(ended_early)?;
                    room.send(self.unanswered[sent].clone());
                    if sent == 0 {
                        heard = Instant::now();
                    }
                    sent += 1;
                }
                next = self.commands.next(), if may_take => self.took(next),
                () = tokio::time::sleep_until(heard + silence), if sent > 0 => {
                    return Err(silent());
                }
            }
        }
    }

    /// Tells the answer to the oldest command that has none.
    async fn answer(&mut self, reply: SubmitStreamReply) -> Result<(), Status> {
        let outcome = reply.outcome.unwrap_or_default();
        let (told, others) = match outcome.outcome {
            Some(Outcome::Receipt(receipt)) => (Some(Ok(receipt)), Vec::new()),
            Some(Outcome::Rejection(detail)) => (Some(Err(detail.into())), Vec::new()),
            Some(Outcome::Group(group)) => {
                let mut receipts = group.receipts.into_iter();
                (receipts.next().map(Ok), receipts.collect())
            }
            None => (None, Vec::new()),
        };
        let told = Submitted {
            place: self.answered,
            account_id: outcome.account_id,
            outcome: told.ok_or_else(|| Status::unknown("an answer is empty"))?,
            others,
        };
        self.unanswered.pop_front();
        self.answered += 1;
        // That nobody listens is seen at once after this.
        let _ = self.out.send(Ok(told)).await;
        Ok(())
    }
}

async fn reserve(
    commands: &Option<mpsc::Sender<BatchCommand>>,
) -> Option<mpsc::Permit<'_, BatchCommand>> {
    commands.as_ref()?.reserve().await.ok()
}

fn silent() -> Status {
    Status::deadline_exceeded("the node did not answer in time")
}

fn ended_early() -> Status {
    Status::unavailable("the node ended the stream before all was answered")
}

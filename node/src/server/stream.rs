//! A stream of commands: each is answered in its turn, so many are under way at a time, and for
//! every account they are done in the order in which they came ([`order`]).
//!
//! A command without a final answer ends the stream: what was to come after it is not begun, so that
//! the caller, who sends it again, keeps the order too.

mod order;

use std::collections::VecDeque;

use ledger_domain::Code as Reason;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, metadata::MetadataMap};

use super::{batch::refused, deadline::Deadline, door, prepare, refusal, teller::Service};
use crate::api::{
    rejection,
    teller::v1::{self as pb, batch_outcome::Outcome},
    v1::{Receipt, RejectionDetail, TransactionStatus},
};
use order::{Order, Turn};

/// How many commands of a stream are unanswered at a time.
const WIDTH: usize = 256;
/// How many streams a node serves at a time: all together they fill a shard's queue, no more.
pub(super) const STREAMS: u32 = 64;

pub(super) type Replies = ReceiverStream<Result<pb::SubmitStreamReply, Status>>;

type Answer = Result<pb::BatchOutcome, Status>;

/// A command without an answer.
struct Unanswered {
    answer: oneshot::Receiver<Answer>,
    /// For how many it counts.
    count: usize,
}

/// Answers a stream of commands for as long as it lasts.
pub(super) fn submit(
    service: &Service,
    request: Request<Streaming<pb::BatchCommand>>,
) -> Result<Replies, Status> {
    let place = service.0.streams.enter()?;
    let (metadata, _, commands) = request.into_parts();
    // No more than one: a reply that waits here counts as given.
    let (replies, told) = mpsc::channel(1);
    let stream = Stream {
        service: service.clone(),
        metadata,
        replies,
        order: Order::default(),
        under_way: JoinSet::new(),
        unanswered: VecDeque::new(),
        width: 0,
        answered: 0,
        _place: place,
    };
    tokio::spawn(stream.serve(commands));
    Ok(ReceiverStream::new(told))
}

struct Stream {
    service: Service,
    metadata: MetadataMap,
    replies: mpsc::Sender<Result<pb::SubmitStreamReply, Status>>,
    order: Order,
    /// They end with this: nobody waits for their answers then.
    under_way: JoinSet<()>,
    /// In the order of the commands.
    unanswered: VecDeque<Unanswered>,
    /// For how many all of those count.
    width: usize,
    answered: u64,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    async fn serve(mut self, mut commands: Streaming<pb::BatchCommand>) {
        let mut stopping = self.service.0.stopping.subscribe();
        // Set when no more is read: how the stream ends after the last answer.
        let mut end: Option<Result<(), Status>> = None;
        loop {
            if self.unanswered.is_empty()
                && let Some(end) = end
            {
                if let Err(status) = end {
                    // Who does not listen any more need not be told.
                    let _ = self.replies.send(Err(status)).await;
                }
                return;
            }
            let has_room = self.width < WIDTH;
            tokio::select! {
                biased;
                () = self.replies.closed() => return,
                (answer, count) = next(&mut self.unanswered) => {
                    self.width -= count;
                    if self.answer(answer).await.is_err() {
                        return;
                    }
                }
                () = stopped(&mut stopping), if end.is_none() => {
                    end = Some(Err(refusal::stops()));
                }
                read = commands.message(), if end.is_none() && has_room => match read {
                    Ok(Some(command)) => self.begin(command),
                    Ok(None) => end = Some(Ok(())),
                    Err(status) => end = Some(Err(door::face(&status).unwrap_or(status))),
                },
            }
        }
    }

    fn begin(&mut self, mut command: pb::BatchCommand) {
        while self.under_way.try_join_next().is_some() {}
        // An account may get its id from the key, and is then named by it. A key that cannot be
        // is refused when the command is done.
        if let Some(context) = command.context_mut() {
            let _ = prepare::complete(&self.service.0, context);
        }
        let turn = self
            .order
            .take(order::named(&self.service.0.directory, &command));
        let (answer, answered) = oneshot::channel();
        let count = command.count();
        self.unanswered.push_back(Unanswered {
            answer: answered,
            count,
        });
        self.width += count;
        let (service, metadata) = (self.service.clone(), self.metadata.clone());
        self.under_way
            .spawn(do_in_turn(service, command, metadata, turn, answer));
    }

    /// Tells the answer to the first command that has none. Who does not read is waited for, and
    /// nothing more is read meanwhile.
    async fn answer(&mut self, answer: Answer) -> Result<(), Ended> {
        let is_last = answer.is_err();
        let reply = answer.map(|outcome| pb::SubmitStreamReply {
            place: self.answered,
            outcome: Some(outcome),
        });
        self.answered += 1;
        self.replies.send(reply).await.map_err(|_| Ended)?;
        match is_last {
            true => Err(Ended),
            false => Ok(()),
        }
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // That the node is gone is no less.
    let _ = stopping.wait_for(|stops| *stops).await;
}

/// Nothing more is to be told.
struct Ended;

/// The answer to the first of the commands that have none, and for how many it counts; never, if all
/// have one.
async fn next(unanswered: &mut VecDeque<Unanswered>) -> (Answer, usize) {
    let Some(first) = unanswered.front_mut() else {
        return std::future::pending().await;
    };
    let (answer, count) = ((&mut first.answer).await, first.count);
    unanswered.pop_front();
    let given_up = |_| Err(refusal::outcome_unknown("it was given up here", ""));
    (answer.unwrap_or_else(given_up), count)
}

async fn do_in_turn(
    service: Service,
    command: pb::BatchCommand,
    metadata: MetadataMap,
    turn: Turn,
    answer: oneshot::Sender<Answer>,
) {
    let Some(turn) = turn.comes().await else {
        // One before it has no final answer: the stream ends with that.
        return;
    };
    let done = service.one(command, metadata, Deadline::of_one()).await;
    let done = done.or_else(or_refused).and_then(ended);
    if done.is_ok() {
        turn.ends();
    }
    // Nobody waits where the stream has ended.
    let _ = answer.send(done);
}

/// A refusal that stays as it is, is an answer. All else may be different the next time.
fn or_refused(status: Status) -> Answer {
    match rejection::from_status(&status) {
        Some(detail) if is_final(&detail) => Ok(refused(detail)),
        Some(_) => Err(status),
        None => Err(refusal::outcome_unknown(status.message(), "")),
    }
}

fn is_final(detail: &RejectionDetail) -> bool {
    // What a dry run would come to is not recorded, and yet decided.
    let of_the_ledger = |detail: &RejectionDetail| {
        let mut reasons = Reason::ALL.iter();
        reasons.any(|reason| reason.name() == detail.code)
    };
    // What is under way may be so for long: nobody else is to wait for it.
    let waits_for_another = detail.code == refusal::TRANSFER_UNDER_WAY;
    detail.recorded || !detail.retryable || waits_for_another || of_the_ledger(detail)
}

/// A transfer whose end did not come in time has no answer yet, nor has a group with one.
fn ended(outcome: pb::BatchOutcome) -> Answer {
    let receipts = match &outcome.outcome {
        Some(Outcome::Receipt(receipt)) => std::slice::from_ref(receipt),
        Some(Outcome::Group(group)) => &group.receipts,
        Some(Outcome::Rejection(_)) | None => &[],
    };
    let is_open = |it: &&Receipt| it.status() == TransactionStatus::Unknown;
    if let Some(receipt) = receipts.iter().find(is_open) {
        let message = "the time was over before the transfer had ended";
        return Err(refusal::outcome_unknown(message, &receipt.idempotency_key));
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rejection::to_status;

    fn detail(code: &str, retryable: bool, recorded: bool) -> RejectionDetail {
        RejectionDetail {
            code: code.to_owned(),
            retryable,
            recorded,
            ..RejectionDetail::default()
        }
    }

    #[test]
    fn what_may_be_different_the_next_time_is_no_answer() {
        for (code, retryable, recorded, is_answer) in [
            ("INSUFFICIENT_FUNDS", true, true, true),
            // As a dry run says it.
            ("INSUFFICIENT_FUNDS", true, false, true),
            ("INVALID_ARGUMENT", false, false, true),
            ("NOT_PRIVILEGED", false, false, true),
            ("NOT_LEADER", true, false, false),
            ("OVERLOADED", true, false, false),
            ("OUTCOME_UNKNOWN", true, false, false),
        ] {
            let detail = detail(code, retryable, recorded);
            let status = to_status(tonic::Code::Unavailable, &detail);
            let answer = or_refused(status);
            assert_eq!(answer.is_ok(), is_answer, "{code}");
        }
        let lost = or_refused(Status::unavailable("reset")).unwrap_err();
        let told = rejection::from_status(&lost).unwrap();
        assert_eq!(told.code, "OUTCOME_UNKNOWN");
    }

    #[test]
    fn a_transfer_that_has_not_ended_is_no_answer() {
        for (status, is_answer) in [
            (TransactionStatus::Unknown, false),
            (TransactionStatus::Accepted, true),
            (TransactionStatus::Settled, true),
            (TransactionStatus::Returned, true),
        ] {
            let receipt = Receipt {
                status: status.into(),
                ..Receipt::default()
            };
            let settled = Receipt {
                status: TransactionStatus::Settled.into(),
                ..Receipt::default()
            };
            let group = pb::SubmitGroupReply {
                receipts: vec![settled, receipt.clone()],
            };
            for outcome in [Outcome::Receipt(receipt), Outcome::Group(group)] {
                let outcome = pb::BatchOutcome {
                    outcome: Some(outcome),
                    ..pb::BatchOutcome::default()
                };
                assert_eq!(ended(outcome).is_ok(), is_answer, "{status:?}");
            }
        }
    }
}

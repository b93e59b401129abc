//! Several commands in one call, and what became of one of long ago.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use node::{
    api::{
        teller::v1::{
            BatchCommand, BatchOutcome, GetTransactionRequest, TransactionKey,
            batch_command::Command, batch_outcome, get_transaction_request::By,
        },
        v1::{CommandContext, Receipt, TransactionStatus},
    },
    client::{Error, Rejection},
};
use rand::{Rng as _, rngs::SmallRng, seq::IndexedRandom};

use super::{Desk, grouped::Group, happens, orders, some};
use crate::history::{Outcome, Request};

/// What was sent with others.
enum Sent {
    /// A command.
    One {
        id: usize,
        request: Request,
        context: CommandContext,
    },
    /// Several that are done together or not at all.
    Group(Group),
}

impl Sent {
    fn command(&self) -> BatchCommand {
        let command = match self {
            Sent::One {
                request, context, ..
            } => orders::command(request, context),
            Sent::Group(group) => Some(Command::SubmitGroup(group.request.clone())),
        };
        BatchCommand { command }
    }

    /// The accounts that its commands name first, in their order.
    fn accounts(&self) -> Vec<&str> {
        match self {
            Sent::One { request, .. } => vec![request.named_first()],
            Sent::Group(group) => {
                let members = group.members.iter();
                members.map(|it| it.request.named_first()).collect()
            }
        }
    }
}

/// What was answered to it.
#[derive(Clone)]
enum Answer {
    /// It was done: the receipts of its commands.
    Done(Vec<Receipt>),
    /// It was refused, for good.
    Refused(Rejection),
    /// Nothing that settles it.
    Open,
}

impl Answer {
    /// A refusal that is recorded is final, and what may pass leaves it open.
    fn refused(error: Error) -> Result<Self, Error> {
        match error {
            Error::Rejected(rejection) if rejection.recorded => Ok(Answer::Refused(rejection)),
            error => orders::open(error).map(|_| Answer::Open),
        }
    }
}

impl Desk {
    /// Several commands in one call, each with its own place in the history; those that are open are
    /// sent again, together. A group that has commands takes its place among them, as one of them.
    ///
    /// # Errors
    ///
    /// As [`serve`](Desk::serve).
    pub async fn serve_together(
        &mut self,
        requests: Vec<Request>,
        (place, group): (usize, Vec<Request>),
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let history = self.lobby.history.clone();
        let mut open = Vec::new();
        for request in requests {
            let context = self.context();
            let id = history.invoke(&self.name, &context.idempotency_key, request.clone());
            self.trace
                .record(format!("{id} asks {request:?} with others"));
            open.push(Sent::One {
                id,
                request,
                context,
            });
        }
        if !group.is_empty() {
            let group = self.group(group);
            open.insert(place, Sent::Group(group));
            self.lobby.note_aside("groups among others");
        }
        while !open.is_empty() {
            let answers = match rng.random_bool(0.5) {
                true => self.submit_in_order(&open, rng).await?,
                false => self.submit_together(&open, rng).await?,
            };
            let mut left = Vec::new();
            for (sent, answer) in open.into_iter().zip(answers) {
                left.extend(self.take_answer(sent, answer)?);
            }
            open = left;
            if happens(self.habits.gives_up, rng) {
                break;
            }
        }
        Ok(())
    }

    /// Writes down what was answered. What is still open is given back.
    fn take_answer(&mut self, sent: Sent, answer: Answer) -> Result<Option<Sent>, Error> {
        match &sent {
            Sent::Group(group) => match answer {
                Answer::Done(receipts) => self.group_is_done(group, &receipts)?,
                Answer::Refused(why) => self.group_is_refused(group, why)?,
                Answer::Open => return Ok(Some(sent)),
            },
            Sent::One {
                id,
                request,
                context,
            } => {
                let outcome = match answer {
                    Answer::Done(receipts) => match &receipts[..] {
                        [receipt] => self.accepted(request, receipt)?,
                        _ => return Err(Error::Malformed("a group, unasked".to_owned())),
                    },
                    Answer::Refused(why) => orders::recorded(Error::Rejected(why))?,
                    Answer::Open => Outcome::Unknown,
                };
                self.trace.record(format!("{id} is told {outcome:?}"));
                if outcome == Outcome::Unknown {
                    return Ok(Some(sent));
                }
                self.note_hold(request, context, &outcome);
                self.note_opened(*id, request, context, &outcome);
                self.lobby.history.complete(*id, outcome);
                self.remember(*id, request.clone(), context.clone());
            }
        }
        Ok(None)
    }

    /// As a stream, whose answers come in its order, and which may end before all are there.
    async fn submit_in_order(
        &mut self,
        sent: &[Sent],
        rng: &mut SmallRng,
    ) -> Result<Vec<Answer>, Error> {
        let commands: Vec<_> = sent.iter().map(Sent::command).collect();
        let client = some(&self.tellers, rng);
        let mut told = client.submit(stream::iter(commands));
        let mut answers = Vec::new();
        // By account: where its last command of this stream was recorded.
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        while let Some(answer) = told.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let ended = orders::open(error)?;
                    self.trace.record(format!("a stream ends early: {ended:?}"));
                    break;
                }
            };
            let asked = sent.get(answers.len());
            let Some(asked) = asked.filter(|_| answer.place == answers.len() as u64) else {
                let what = format!("answer {} came out of its turn", answer.place);
                return Err(Error::Malformed(what));
            };
            answers.push(match answer.outcome {
                Ok(receipt) => {
                    let receipts: Vec<_> = [receipt].into_iter().chain(answer.others).collect();
                    for (account, receipt) in asked.accounts().into_iter().zip(&receipts) {
                        let at = receipt.position.as_ref().ok_or_else(orders::no_place)?;
                        // What was known under its key already keeps its place.
                        if receipt.duplicate {
                            continue;
                        }
                        let before = last.insert(account, at.index);
                        if before.is_some_and(|before| before > at.index) {
                            let what = format!("commands of {account} were done out of order");
                            return Err(Error::Malformed(what));
                        }
                    }
                    Answer::Done(receipts)
                }
                Err(rejection) => Answer::refused(Error::Rejected(rejection))?,
            });
        }
        self.lobby.note_aside("streams");
        answers.resize(sent.len(), Answer::Open);
        Ok(answers)
    }

    async fn submit_together(
        &mut self,
        sent: &[Sent],
        rng: &mut SmallRng,
    ) -> Result<Vec<Answer>, Error> {
        let client = some(&self.tellers, rng);
        let told = client.submit_batch(sent.iter().map(Sent::command).collect());
        match told.await {
            Ok(reply) if reply.outcomes.len() == sent.len() => {
                reply.outcomes.into_iter().map(answer).collect()
            }
            Ok(reply) => Err(Error::Malformed(format!(
                "{} outcomes of {} commands",
                reply.outcomes.len(),
                sent.len()
            ))),
            // A call that was refused as a whole was refused for each.
            Err(error) => Ok(vec![Answer::refused(error)?; sent.len()]),
        }
    }

    /// Looks up what became of a command of a while ago: it must be what was told then.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense.
    pub async fn look_up(&mut self, rng: &mut SmallRng) -> Result<(), Error> {
        // These are kept under names that the ledger alone knows.
        let has_account = |request: &Request| {
            !matches!(
                request,
                Request::CloseDay { .. }
                    | Request::Refer { .. }
                    | Request::Register { .. }
                    | Request::Attach { .. }
                    | Request::Person { .. }
            )
        };
        let told = self.told.iter().filter(|(_, it, _)| has_account(it));
        let told: Vec<_> = told.collect();
        let Some((id, asked, context)) = told.choose(rng).copied().cloned() else {
            return Ok(());
        };
        let request = GetTransactionRequest {
            by: Some(By::Key(TransactionKey {
                account_id: asked.named_first().to_owned(),
                idempotency_key: context.idempotency_key.clone(),
            })),
        };
        let client = some(&self.tellers, rng);
        let mut receipt = match client.transaction(request).await {
            Ok(reply) => reply.receipt.unwrap_or_default(),
            Err(error) => {
                // It was decided, so it is there: all that may be is that nobody answers now.
                let outcome = orders::recorded(error).or_else(orders::open)?;
                self.trace.record(format!("{id} is looked up: {outcome:?}"));
                return match outcome {
                    Outcome::Unknown => Ok(()),
                    other => Err(Error::Malformed(format!("{id} was decided, not {other:?}"))),
                };
            }
        };
        if receipt.status() == TransactionStatus::Returned {
            // Now with the money back: not what the receipt of then said.
            receipt.balances_after.clear();
        }
        let outcome = match (receipt.status(), receipt.rejection.clone()) {
            (TransactionStatus::Rejected, Some(detail)) => Outcome::Rejected {
                position: None,
                code: detail.code,
            },
            _ => self.told(&asked, &receipt)?,
        };
        self.trace.record(format!("{id} is looked up: {outcome:?}"));
        self.lobby.note_aside("commands looked up");
        self.lobby.history.told_again(id, outcome);
        Ok(())
    }
}

fn answer(outcome: BatchOutcome) -> Result<Answer, Error> {
    match outcome.outcome {
        Some(batch_outcome::Outcome::Receipt(receipt)) => Ok(Answer::Done(vec![receipt])),
        Some(batch_outcome::Outcome::Group(group)) => Ok(Answer::Done(group.receipts)),
        Some(batch_outcome::Outcome::Rejection(detail)) => {
            Answer::refused(Error::Rejected(Rejection::from(detail)))
        }
        None => Err(Error::Malformed("an outcome that is none".to_owned())),
    }
}

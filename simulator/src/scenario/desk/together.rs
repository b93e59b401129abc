//! Several commands in one call, and what became of one of long ago.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use node::{
    api::{
        teller::v1::{
            BatchCommand, BatchOutcome, GetTransactionRequest, TransactionKey, batch_outcome,
            get_transaction_request::By,
        },
        v1::{CommandContext, TransactionStatus},
    },
    client::{Error, Rejection},
};
use rand::{Rng as _, rngs::SmallRng, seq::IndexedRandom};

use super::{Desk, happens, orders, some};
use crate::history::{Outcome, Request};

/// A command that was sent with others.
struct Sent {
    id: usize,
    request: Request,
    context: CommandContext,
}

impl Desk {
    /// Several commands in one call, each with its own place in the history; those that are open are
    /// sent again, together.
    ///
    /// # Errors
    ///
    /// As [`serve`](Desk::serve).
    pub async fn serve_together(
        &mut self,
        requests: Vec<Request>,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        let history = self.lobby.history.clone();
        let mut open = Vec::new();
        for request in requests {
            let context = self.context();
            let id = history.invoke(&self.name, &context.idempotency_key, request.clone());
            self.trace
                .record(format!("{id} asks {request:?} with others"));
            open.push(Sent {
                id,
                request,
                context,
            });
        }
        while !open.is_empty() {
            let outcomes = match rng.random_bool(0.5) {
                true => self.submit_in_order(&open, rng).await?,
                false => self.submit_together(&open, rng).await?,
            };
            let mut left = Vec::new();
            for (sent, outcome) in open.into_iter().zip(outcomes) {
                let id = sent.id;
                self.trace.record(format!("{id} is told {outcome:?}"));
                let is_open = outcome == Outcome::Unknown;
                self.note_hold(&sent.request, &sent.context, &outcome);
                self.note_opened(id, &sent.request, &sent.context, &outcome);
                history.complete(id, outcome);
                match is_open {
                    true => left.push(sent),
                    false => self.remember(id, sent.request, sent.context),
                }
            }
            open = left;
            if happens(self.habits.gives_up, rng) {
                break;
            }
        }
        Ok(())
    }

    /// As a stream, whose answers come in its order, and which may end before all are there.
    async fn submit_in_order(
        &mut self,
        sent: &[Sent],
        rng: &mut SmallRng,
    ) -> Result<Vec<Outcome>, Error> {
        let commands = sent.iter().map(|sent| BatchCommand {
            command: orders::command(&sent.request, &sent.context),
        });
        let commands: Vec<_> = commands.collect();
        let client = some(&self.tellers, rng);
        let mut answers = client.submit(stream::iter(commands));
        let mut outcomes = Vec::new();
        // By account: where its last command of this stream was recorded.
        let mut last: BTreeMap<&str, (u64, String)> = BTreeMap::new();
        while let Some(answer) = answers.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let ended = orders::open(error)?;
                    self.trace.record(format!("a stream ends early: {ended:?}"));
                    break;
                }
            };
            if answer.place != outcomes.len() as u64 {
                let what = format!("answer {} came out of its turn", answer.place);
                return Err(Error::Malformed(what));
            }
            let account = sent[outcomes.len()].request.named_first();
            outcomes.push(match answer.outcome {
                Ok(receipt) => {
                    let at = receipt.position.as_ref().ok_or_else(orders::no_place)?;
                    // What was known under its key already keeps its place.
                    if !receipt.duplicate {
                        let here = (at.index, receipt.transaction_id.clone());
                        let before = last.insert(account, here.clone());
                        if before.is_some_and(|before| before.0 > here.0) {
                            let what = format!("commands of {account} were done out of order");
                            return Err(Error::Malformed(what));
                        }
                    }
                    self.accepted(&sent[outcomes.len()].request, &receipt)?
                }
                Err(rejection) => {
                    orders::recorded(Error::Rejected(rejection)).or_else(orders::open)?
                }
            });
        }
        self.lobby.note_aside("streams");
        outcomes.resize(sent.len(), Outcome::Unknown);
        Ok(outcomes)
    }

    async fn submit_together(
        &mut self,
        sent: &[Sent],
        rng: &mut SmallRng,
    ) -> Result<Vec<Outcome>, Error> {
        let commands = sent.iter().map(|sent| BatchCommand {
            command: orders::command(&sent.request, &sent.context),
        });
        let client = some(&self.tellers, rng);
        let told = client.submit_batch(commands.collect()).await;
        match told {
            Ok(reply) if reply.outcomes.len() == sent.len() => {
                let outcomes = sent.iter().zip(reply.outcomes);
                outcomes
                    .map(|(sent, outcome)| self.told_of_one(&sent.request, outcome))
                    .collect()
            }
            Ok(reply) => Err(Error::Malformed(format!(
                "{} outcomes of {} commands",
                reply.outcomes.len(),
                sent.len()
            ))),
            // A call that was refused as a whole was refused for each.
            Err(error) => Ok(vec![
                orders::recorded(error).or_else(orders::open)?;
                sent.len()
            ]),
        }
    }

    fn told_of_one(&mut self, request: &Request, outcome: BatchOutcome) -> Result<Outcome, Error> {
        match outcome.outcome {
            Some(batch_outcome::Outcome::Receipt(receipt)) => self.accepted(request, &receipt),
            Some(batch_outcome::Outcome::Rejection(detail)) => {
                orders::recorded(Error::Rejected(Rejection::from(detail))).or_else(orders::open)
            }
            Some(batch_outcome::Outcome::Group(_)) => {
                Err(Error::Malformed("a group that nobody asked for".to_owned()))
            }
            None => Err(Error::Malformed("an outcome that is none".to_owned())),
        }
    }

    /// Looks up what became of a command of a while ago: it must be what was told then.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense.
    pub async fn look_up(&mut self, rng: &mut SmallRng) -> Result<(), Error> {
        let has_account = |request: &Request| !matches!(request, Request::CloseDay { .. });
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

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status, transport::Channel};

use super::calls::Client;
use super::error::{Error, Rejection, Unknown};
use super::retry::{self, Decision, Fate, Situation};
use crate::api::v1::{Receipt, TransactionStatus};
use crate::api::{CALLER, rejection};

/// What a call is, apart from its request.
pub(super) struct Call<Rep> {
    /// Whether a lost answer leaves open what happened. A read that was lost was not done.
    pub(super) writes: bool,
    /// The command's key, for a caller who must ask again.
    pub(super) unknown: Unknown,
    /// Where the reply of a write has its receipt.
    pub(super) receipt: Option<fn(&Rep) -> &Option<Receipt>>,
    /// Whether only a settled or returned transaction is an answer.
    pub(super) settle: bool,
}

impl<Rep> Call<Rep> {
    /// A call that changes nothing.
    pub(super) fn read() -> Self {
        Self {
            writes: false,
            unknown: Unknown::default(),
            receipt: None,
            settle: false,
        }
    }

    /// Sorts a reply: an answer, or only word that the deadline came first, with the transaction
    /// if it was accepted.
    fn judge(&self, reply: &Rep) -> Result<Progress, Error> {
        let Some(receipt) = self.receipt else {
            return Ok(Progress::Done);
        };
        let receipt = receipt(reply)
            .as_ref()
            .ok_or_else(|| Error::Malformed("a write was answered without a receipt".to_owned()))?;
        let waiting = match receipt.status() {
            TransactionStatus::Unknown => true,
            TransactionStatus::Accepted => self.settle,
            _ => false,
        };
        if !waiting {
            return Ok(Progress::Done);
        }
        let id = receipt.transaction_id.clone();
        Ok(Progress::Open {
            accepted: (!id.is_empty()).then_some(id),
        })
    }
}

enum Progress {
    Done,
    Open { accepted: Option<String> },
}

struct Failure {
    fate: Fate,
    /// The node that the attempt went to.
    node: usize,
    message: String,
    rejection: Option<Rejection>,
}

impl Client {
    /// Makes attempts until there is an answer, a refusal, the deadline, or no budget.
    pub(super) async fn call<Req, Rep, Rpc, Answer>(
        &self,
        mut call: Call<Rep>,
        request: &Req,
        rpc: Rpc,
    ) -> Result<Rep, Error>
    where
        Req: Clone,
        Rpc: Fn(Channel, Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Rep>, Status>>,
    {
        let end = Instant::now() + self.options.deadline;
        let mut open = false;
        let mut attempts = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let answer = self
                .attempt(request, &rpc, left.min(self.options.attempt))
                .await;
            attempts += 1;
            let failure = match answer {
                Ok((node, reply)) => match call.judge(&reply)? {
                    Progress::Done => {
                        self.budget.earn();
                        return Ok(reply);
                    }
                    Progress::Open { accepted } => {
                        call.unknown.transaction_id = accepted.or(call.unknown.transaction_id);
                        let message = "the deadline came first".to_owned();
                        Failure {
                            fate: Fate::Open,
                            node,
                            message,
                            rejection: None,
                        }
                    }
                },
                Err(failure) => failure,
            };
            open |= call.writes && failure.fate == Fate::Open;

            let now = Situation {
                attempts,
                nodes: self.nodes.len(),
                left: end.saturating_duration_since(Instant::now()),
                affordable: failure.fate == Fate::Refused || self.budget.spend(),
                jitter: self.options.entropy.next_u64(),
            };
            match retry::decide(&self.options.retry, failure.fate, now) {
                Decision::GiveUp => return Err(verdict(failure, open, call.unknown)),
                Decision::Again { after, elsewhere } => {
                    if elsewhere {
                        self.nodes.leave(failure.node);
                    }
                    tokio::time::sleep(after).await;
                }
            }
        }
    }

    async fn attempt<Req, Rep, Rpc, Answer>(
        &self,
        request: &Req,
        rpc: &Rpc,
        time: Duration,
    ) -> Result<(usize, Rep), Failure>
    where
        Req: Clone,
        Rpc: Fn(Channel, Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Rep>, Status>>,
    {
        let connected = self.nodes.connect().await.map_err(|not| Failure {
            fate: Fate::NotSent,
            node: not.node,
            message: not.message,
            rejection: None,
        })?;
        let mut request = Request::new(request.clone());
        request.metadata_mut().insert(CALLER, self.caller.clone());
        request.set_timeout(time);
        // The transport keeps that time only from when it has taken the request.
        let status = match timeout(time, rpc(connected.channel.clone(), request)).await {
            Ok(Ok(reply)) => return Ok((connected.node, reply.into_inner())),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the node did not answer in time"),
        };
        let detail = rejection::from_status(&status);
        if detail.is_none() {
            self.nodes.drop_connection(&connected).await;
        }
        let fate = retry::fate(&status);
        let rejection = match detail {
            Some(detail) => Some(detail.into()),
            None if fate == Fate::Open => None,
            None => Some(Rejection::of_status(status.code(), status.message())),
        };
        let message = format!("{:?}: {}", status.code(), status.message());
        Err(Failure {
            fate,
            node: connected.node,
            message,
            rejection,
        })
    }
}

/// What the caller is told. A command that may have been accepted once stays open, whatever passing
/// trouble a later attempt met; only a refusal for good settles it, because a key that was accepted
/// would have answered with its receipt.
fn verdict(failure: Failure, open: bool, unknown: Unknown) -> Error {
    match (failure.fate, failure.rejection) {
        (Fate::Refused, Some(rejection)) => Error::Rejected(rejection),
        _ if open => Error::Unknown(Unknown {
            message: failure.message,
            ..unknown
        }),
        (Fate::NotNow, Some(rejection)) => Error::Rejected(rejection),
        _ => Error::Unavailable(failure.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(fate: Fate, rejected: bool) -> Failure {
        let rejection = rejected.then(|| Rejection::of_status(tonic::Code::Aborted, "x"));
        Failure {
            fate,
            node: 0,
            message: "m".into(),
            rejection,
        }
    }

    #[test]
    fn a_command_that_may_have_been_accepted_stays_open() {
        let told =
            |fate, rejected, open| verdict(failure(fate, rejected), open, Unknown::default());
        assert!(matches!(told(Fate::Open, false, true), Error::Unknown(_)));
        assert!(matches!(told(Fate::NotNow, true, true), Error::Unknown(_)));
        assert!(matches!(
            told(Fate::NotSent, false, true),
            Error::Unknown(_)
        ));
        assert!(matches!(
            told(Fate::Refused, true, true),
            Error::Rejected(_)
        ));
        assert!(matches!(
            told(Fate::NotNow, true, false),
            Error::Rejected(_)
        ));
        assert!(matches!(
            told(Fate::NotSent, false, false),
            Error::Unavailable(_)
        ));
        assert!(matches!(
            told(Fate::Open, false, false),
            Error::Unavailable(_)
        ));
    }
}

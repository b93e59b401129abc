use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status, transport::Channel};

use super::calls::Client;
use super::error::{Error, Rejection, Unknown};
use super::node::{Connected, Node};
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

    /// Several commands, each with its own key and outcome.
    pub(super) fn batch() -> Self {
        Self {
            writes: true,
            ..Self::read()
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

/// Why an attempt brought no answer.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) fate: Fate,
    /// The node that the attempt went to, if it went to any.
    pub(super) node: Option<Arc<Node>>,
    pub(super) message: String,
    pub(super) rejection: Option<Rejection>,
}

impl Failure {
    pub(super) fn new(fate: Fate, node: Option<Arc<Node>>, message: impl Into<String>) -> Self {
        Self {
            fate,
            node,
            message: message.into(),
            rejection: None,
        }
    }

    /// What it means where an earlier attempt may have been accepted. A node of another domain never looks
    /// for what became of that, so that its refusal tells nothing of it: another node may.
    fn seen_after(mut self, open: bool) -> Self {
        let code = self.rejection.as_ref().map(|it| it.code.as_str());
        if open && code == Some(rejection::OTHER_RESIDENCY_DOMAIN) {
            self.fate = Fate::NotNow;
        }
        self
    }
}

/// A reply, and who gave it.
pub(super) type Answered<Rep> = (Arc<Node>, Rep);

impl Client {
    /// Makes attempts until there is an answer, a refusal, the deadline, or no budget.
    pub(super) async fn call<Req, Rep, Rpc, Answer>(
        &self,
        call: Call<Rep>,
        request: &Req,
        rpc: Rpc,
    ) -> Result<Rep, Error>
    where
        Req: Clone,
        Rpc: Fn(Channel, Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Rep>, Status>>,
    {
        let (writes, rpc) = (call.writes, &rpc);
        let end = Instant::now() + self.options.deadline;
        self.persist(call, end, |tried| async move {
            let time = end.saturating_duration_since(Instant::now());
            let time = time.min(self.options.attempt);
            self.attempt(writes, &tried, request, rpc, time).await
        })
        .await
    }

    /// The same for any way to make an attempt; it is given the nodes that earlier ones went to.
    pub(super) async fn persist<Rep, Attempt, Answer>(
        &self,
        mut call: Call<Rep>,
        end: Instant,
        mut attempt: Attempt,
    ) -> Result<Rep, Error>
    where
        Attempt: FnMut(Vec<Arc<Node>>) -> Answer,
        Answer: Future<Output = Result<Answered<Rep>, Failure>>,
    {
        let mut open = false;
        let mut attempts = 0;
        let mut tried: Vec<Arc<Node>> = Vec::new();
        loop {
            let answer = attempt(tried.clone()).await;
            attempts += 1;
            let failure = match answer {
                Ok((node, reply)) => match call.judge(&reply)? {
                    Progress::Done => {
                        self.budget.earn();
                        return Ok(reply);
                    }
                    Progress::Open { accepted } => {
                        call.unknown.transaction_id = accepted.or(call.unknown.transaction_id);
                        Failure::new(Fate::Open, Some(node), "the deadline came first")
                    }
                },
                Err(failure) => failure,
            };
            open |= call.writes && failure.fate == Fate::Open;
            let failure = failure.seen_after(open);

            let nodes = self.nodes.all().len();
            if failure.fate == Fate::NotSent && usize::try_from(attempts).is_ok_and(|n| n >= nodes)
            {
                self.nodes.nothing_answers();
            }
            let now = Situation {
                attempts,
                nodes,
                left: end.saturating_duration_since(Instant::now()),
                affordable: failure.fate == Fate::Refused || self.budget.spend(),
                jitter: self.options.entropy.next_u64(),
            };
            match retry::decide(&self.options.retry, failure.fate, now) {
                Decision::GiveUp => return Err(verdict(failure, open, call.unknown)),
                Decision::Again { after, elsewhere } => {
                    if let Some(node) = failure.node.filter(|_| elsewhere) {
                        self.nodes.leave(&node);
                        tried.push(node);
                    }
                    tokio::time::sleep(after).await;
                }
            }
        }
    }

    /// One attempt, through one node.
    pub(super) async fn attempt<Req, Rep, Rpc, Answer>(
        &self,
        writes: bool,
        tried: &[Arc<Node>],
        request: &Req,
        rpc: &Rpc,
        time: Duration,
    ) -> Result<Answered<Rep>, Failure>
    where
        Req: Clone,
        Rpc: Fn(Channel, Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Rep>, Status>>,
    {
        let next = self.nodes.next(writes, tried).await;
        let node = next.map_err(|message| Failure::new(Fate::NotSent, None, message))?;
        let _under_way = node.begin();
        let connected = match node.connect(&self.nodes.network, self.nodes.connect).await {
            Ok(connected) => connected,
            Err(message) => {
                self.nodes.note(&node, false);
                return Err(Failure::new(Fate::NotSent, Some(node), message));
            }
        };
        let mut request = Request::new(request.clone());
        request.metadata_mut().insert(CALLER, self.caller.clone());
        request.set_timeout(time);
        // The transport keeps that time only from when it has taken the request.
        let status = match timeout(time, rpc(connected.channel.clone(), request)).await {
            Ok(Ok(reply)) => {
                self.nodes.note(&node, true);
                return Ok((node, reply.into_inner()));
            }
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("the node did not answer in time"),
        };
        Err(self.failed(node, &connected, &status).await)
    }

    /// Notes how an attempt has failed, and reads what that means.
    pub(super) async fn failed(
        &self,
        node: Arc<Node>,
        connected: &Connected,
        status: &Status,
    ) -> Failure {
        if let Some(succeeded) = retry::health(status) {
            self.nodes.note(&node, succeeded);
        }
        let detail = rejection::from_status(status);
        if detail.is_none() {
            node.drop_connection(connected).await;
        }
        let fate = retry::fate(status);
        let rejection = match detail {
            Some(detail) => Some(detail.into()),
            None if fate == Fate::Open => None,
            None => Some(Rejection::of_status(status.code(), status.message())),
        };
        let message = format!("{:?}: {}", status.code(), status.message());
        Failure {
            rejection,
            ..Failure::new(fate, Some(node), message)
        }
    }
}

/// What the caller is told. A command that may have been accepted once stays open, whatever passing
/// trouble a later attempt met; only a refusal for good settles it, because a key that was accepted
/// would have answered with its receipt.
pub(super) fn verdict(failure: Failure, open: bool, unknown: Unknown) -> Error {
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
            rejection,
            ..Failure::new(fate, None, "m")
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

    #[test]
    fn a_node_of_another_domain_does_not_settle_what_another_may_have_accepted() {
        let refused = |code: &str| {
            let mut refused = failure(Fate::Refused, true);
            let rejection = refused.rejection.as_mut();
            rejection.expect("it was rejected").code = code.to_owned();
            refused
        };
        let told = |code, open| {
            let seen = refused(code).seen_after(open);
            (seen.fate, verdict(seen, open, Unknown::default()))
        };
        let elsewhere = rejection::OTHER_RESIDENCY_DOMAIN;
        let (fate, error) = told(elsewhere, true);
        assert_eq!(fate, Fate::NotNow);
        assert!(matches!(error, Error::Unknown(_)), "{error:?}");
        for (code, open) in [(elsewhere, false), ("CUSTOMER_ERASED", true)] {
            let (fate, error) = told(code, open);
            assert_eq!(fate, Fate::Refused);
            assert!(matches!(error, Error::Rejected(_)), "{error:?}");
        }
    }
}

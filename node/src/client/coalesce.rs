use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use ledger_domain::AccountId;
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Request, Response, Status, transport::Channel};

use super::attempt::{Answered, Call, Failure};
use super::calls::Client;
use super::error::Error;
use super::gather::{Gather, Limits, Missing};
use super::node::Node;
use super::retry::{self, Fate};
use crate::api::atm::v1::atm_client::AtmClient;
use crate::api::atm::v1::{
    BalanceOutcome, GetBalanceReply, GetBalanceRequest, GetBalancesRequest, balance_outcome,
};
use crate::api::teller::v1::teller_client::TellerClient;
use crate::api::teller::v1::{
    BatchCommand, BatchOutcome, SubmitBatchRequest, TransferReply, TransferRequest, Wait,
    batch_command::Command, batch_outcome,
};
use crate::api::v1::RejectionDetail;

/// Single transfers and questions of many concurrent callers, sent together. Cheap to clone; clones
/// send together.
///
/// Each caller gets its own answer or error, as from [`Client::transfer`] and [`Client::balance`]:
/// what fails for one fails for it alone, is tried again for it alone, under its key, and pays from
/// the client's one budget. A caller who goes away changes nothing for the others.
///
/// Only what takes the same way goes together: transfers between the same two regions, and questions
/// in the same mode about accounts of one region. So nobody waits for a region that is far or down
/// but those who ask for it.
#[derive(Clone)]
pub struct Coalescing {
    client: Client,
    deadline: Duration,
    transfers: Arc<Ways<TransferWay, TransferRequest, TransferReply>>,
    balances: Arc<Ways<BalanceWay, GetBalanceRequest, GetBalanceReply>>,
}

/// The regions of payer and payee, and when it is answered.
type TransferWay = (String, String, i32);
/// The account's region, and the encoded mode.
type BalanceWay = (String, Vec<u8>);

/// One attempt of one caller.
struct Item<Req> {
    request: Req,
    /// Where its earlier attempts went.
    tried: Vec<Arc<Node>>,
}

type Gathering<Req, Rep> = Arc<Gather<Item<Req>, Answer<Rep>>>;
type Answer<Rep> = Result<Answered<Rep>, Failure>;
type Sending<Rep> = BoxFuture<'static, Vec<Answer<Rep>>>;

/// Ways that nothing travels are forgotten when there are more than this.
const MANY: usize = 64;

/// What may go together, by the way that it takes.
struct Ways<Way, Req, Rep> {
    limits: Limits,
    send: fn(Client, Vec<Item<Req>>, Instant) -> Sending<Rep>,
    gathers: Mutex<BTreeMap<Way, Gathering<Req, Rep>>>,
}

impl<Way: Ord, Req: Send + 'static, Rep: Send + 'static> Ways<Way, Req, Rep> {
    fn new(limits: Limits, send: fn(Client, Vec<Item<Req>>, Instant) -> Sending<Rep>) -> Self {
        Self {
            limits,
            send,
            gathers: Mutex::default(),
        }
    }

    fn of(&self, way: Way, client: &Client) -> Gathering<Req, Rep> {
        let mut gathers = self.gathers.lock().unwrap_or_else(PoisonError::into_inner);
        if gathers.len() > MANY {
            gathers.retain(|_, gather| !gather.is_idle());
        }
        let gather = gathers.entry(way).or_insert_with(|| {
            let (send, client) = (self.send, client.clone());
            let send = move |items, end| send(client.clone(), items, end);
            Arc::new(Gather::new(self.limits, send))
        });
        gather.clone()
    }
}

impl Client {
    /// A handle that sends what its callers ask concurrently in few calls.
    pub fn coalescing(&self, limits: Limits) -> Coalescing {
        Coalescing {
            client: self.clone(),
            deadline: self.options.deadline,
            transfers: Arc::new(Ways::new(limits, |client, items, end| {
                Box::pin(send_transfers(client, items, end))
            })),
            balances: Arc::new(Ways::new(limits, |client, items, end| {
                Box::pin(send_questions(client, items, end))
            })),
        }
    }
}

impl Coalescing {
    /// The same handle, for callers who wait no longer than this.
    pub fn within(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// As [`Client::transfer`].
    pub async fn transfer(&self, mut request: TransferRequest) -> Result<TransferReply, Error> {
        let mut call = self
            .client
            .write(&mut request.context, |reply: &TransferReply| &reply.receipt);
        call.settle = request.wait != Wait::Accepted as i32;
        let way = (
            region(&request.from_account_id),
            region(&request.to_account_id),
            request.wait,
        );
        let gather = self.transfers.of(way, &self.client);
        let bytes = request.encoded_len();
        self.ask(call, gather, request, bytes).await
    }

    /// As [`Client::balance`].
    pub async fn balance(&self, request: GetBalanceRequest) -> Result<GetBalanceReply, Error> {
        let mode = request.mode.as_ref();
        let way = (
            region(&request.account_id),
            mode.map(|mode| mode.encode_to_vec()).unwrap_or_default(),
        );
        let gather = self.balances.of(way, &self.client);
        let bytes = request.encoded_len();
        self.ask(Call::read(), gather, request, bytes).await
    }

    async fn ask<Req, Rep>(
        &self,
        call: Call<Rep>,
        gather: Gathering<Req, Rep>,
        request: Req,
        bytes: usize,
    ) -> Result<Rep, Error>
    where
        Req: Clone + Send + 'static,
        Rep: Send + 'static,
    {
        let end = Instant::now() + self.deadline;
        let (gather, request) = (&gather, &request);
        self.client
            .persist(call, end, |tried| async move {
                let request = request.clone();
                let answer = gather.ask(Item { request, tried }, bytes, end).await;
                answer.unwrap_or_else(|missing| Err(missing.into()))
            })
            .await
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        let (fate, message) = match missing {
            Missing::Full => (Fate::NotNow, "too many wait to be sent"),
            Missing::NotSent => (Fate::NotSent, "the deadline came before it was sent"),
            Missing::Lost => (Fate::Open, "the deadline came first"),
        };
        Self::new(fate, None, message)
    }
}

/// What takes the same way; an id that cannot be read takes one of its own, to be refused there.
fn region(account: &str) -> String {
    let id = account.parse::<AccountId>();
    id.map(|id| id.region().to_string()).unwrap_or_default()
}

async fn send_transfers(
    client: Client,
    items: Vec<Item<TransferRequest>>,
    end: Instant,
) -> Vec<Answer<TransferReply>> {
    let (requests, tried) = apart(items);
    let count = requests.len();
    let commands = requests.into_iter().map(|request| BatchCommand {
        command: Some(Command::Transfer(request)),
    });
    let request = SubmitBatchRequest {
        commands: commands.collect(),
    };
    let rpc = |channel: Channel, request: Request<SubmitBatchRequest>| async move {
        let reply = TellerClient::new(channel).submit_batch(request).await?;
        Ok::<_, Status>(Response::new(reply.into_inner().outcomes))
    };
    let time = client.attempt_until(end);
    let answer = client.attempt(true, &tried, &request, &rpc, time).await;
    each(answer, count, |outcome: BatchOutcome| {
        match outcome.outcome? {
            batch_outcome::Outcome::Receipt(receipt) => {
                let receipt = Some(receipt);
                Some(Ok(TransferReply { receipt }))
            }
            batch_outcome::Outcome::Rejection(detail) => Some(Err(detail)),
            // None was sent.
            batch_outcome::Outcome::Group(_) => None,
        }
    })
}

async fn send_questions(
    client: Client,
    items: Vec<Item<GetBalanceRequest>>,
    end: Instant,
) -> Vec<Answer<GetBalanceReply>> {
    let (requests, tried) = apart(items);
    let count = requests.len();
    // All have one mode: it is in the way that they take.
    let mode = requests.first().and_then(|request| request.mode.clone());
    let account_ids = requests.into_iter().map(|request| request.account_id);
    let request = GetBalancesRequest {
        account_ids: account_ids.collect(),
        mode,
        at_one_time: None,
    };
    let rpc = |channel: Channel, request: Request<GetBalancesRequest>| async move {
        let reply = AtmClient::new(channel).get_balances(request).await?;
        Ok::<_, Status>(Response::new(reply.into_inner().outcomes))
    };
    let time = client.attempt_until(end);
    let answer = client.attempt(false, &tried, &request, &rpc, time).await;
    each(answer, count, |outcome: BalanceOutcome| {
        match outcome.outcome? {
            balance_outcome::Outcome::Balance(balance) => {
                let balance = Some(balance);
                Some(Ok(GetBalanceReply { balance }))
            }
            balance_outcome::Outcome::Rejection(detail) => Some(Err(detail)),
        }
    })
}

impl Client {
    fn attempt_until(&self, end: Instant) -> Duration {
        let left = end.saturating_duration_since(Instant::now());
        left.min(self.options.attempt)
    }
}

/// The requests, and every node that one of them has been to.
fn apart<Req>(items: Vec<Item<Req>>) -> (Vec<Req>, Vec<Arc<Node>>) {
    let mut been: Vec<Arc<Node>> = Vec::new();
    let requests = items.into_iter().map(|item| {
        for node in item.tried {
            if !been.iter().any(|other| Arc::ptr_eq(other, &node)) {
                been.push(node);
            }
        }
        item.request
    });
    (requests.collect(), been)
}

/// To each its own: the answers of a batch, or the failure of the whole. They come in the order of
/// the questions; fewer, or others than there can be, leave all open.
fn each<Outcome, Rep>(
    answer: Result<Answered<Vec<Outcome>>, Failure>,
    count: usize,
    read: impl Fn(Outcome) -> Option<Result<Rep, RejectionDetail>>,
) -> Vec<Answer<Rep>> {
    let all = |failure: Failure| (0..count).map(|_| Err(failure.clone())).collect();
    let (node, outcomes) = match answer {
        Ok(answered) => answered,
        Err(failure) => return all(failure),
    };
    if outcomes.len() != count {
        let message = format!("{} answers came to {count} questions", outcomes.len());
        return all(Failure::new(Fate::Open, Some(node), message));
    }
    let each = outcomes.into_iter().map(|outcome| match read(outcome) {
        Some(Ok(reply)) => Ok((node.clone(), reply)),
        Some(Err(detail)) => Err(Failure {
            rejection: Some(detail.clone().into()),
            ..Failure::new(
                retry::fate_of(&detail),
                Some(node.clone()),
                format!("{}: {}", detail.code, detail.message),
            )
        }),
        None => {
            let message = "an answer is empty";
            Err(Failure::new(Fate::Open, Some(node.clone()), message))
        }
    });
    each.collect()
}

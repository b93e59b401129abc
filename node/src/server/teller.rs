//! The desk: writes, and what belongs to them.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use ledger_domain::{
    Account, Limit, Position, ShardId, TransactionId, account::Status as AccountStatus,
    command::Kind, state::State as _,
};
use replication::shard::{Answer, Shard, Submission};
use tonic::{Request, Response, Status};

use super::{
    Server,
    prepare::{self, Prepared},
    receipt, refusal, route,
};
use crate::api::{
    rejection,
    teller::v1::{self as pb, teller_client::TellerClient, teller_server::Teller},
    v1,
};

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

const MAX_BATCH: usize = 1_000;
/// How many commands of one batch are on their way at a time.
const BATCH_WIDTH: usize = 256;

impl Server {
    /// Decides a checked command on the shard's leader, which is here.
    async fn decide(
        &self,
        shard: &Shard,
        prepared: Prepared,
        caller: &str,
    ) -> Result<v1::Receipt, Status> {
        let key = prepared.context.idempotency_key.clone();
        let command = prepared.command(self, caller)?;
        let submission = Submission {
            command,
            after: None,
        };
        let answer = shard
            .submit(submission)
            .await
            .map_err(|error| refusal::submit(&error, &key))?;
        self.receipt(shard, &answer, &key)
    }
}

/// A write that takes one request to its home's leader and answers with a receipt.
macro_rules! write {
    ($self:ident, $request:ident, $prepare:expr, $method:ident, $reply:expr) => {{
        let server = $self.0.clone();
        let caller = route::caller($request.metadata())?;
        prepare::complete(&server, &mut $request.get_mut().context);
        let home = server.home(&$prepare($request.get_ref())?.action.account())?;
        server
            .at_leader(
                home,
                $request,
                |shard, body| {
                    let (server, caller) = (&server, &caller);
                    async move {
                        let prepared = $prepare(&body)?;
                        let account = prepared.action.account();
                        let receipt = server.decide(&shard, prepared, caller).await?;
                        Ok($reply(receipt, account))
                    }
                },
                |channel, request| async move { TellerClient::new(channel).$method(request).await },
            )
            .await
    }};
}

#[tonic::async_trait]
impl Teller for Service {
    async fn open_account(
        &self,
        mut request: Request<pb::OpenAccountRequest>,
    ) -> Result<Response<pb::OpenAccountReply>, Status> {
        write!(
            self,
            request,
            prepare::open,
            open_account,
            |receipt, account| {
                let account: ledger_domain::AccountId = account;
                pb::OpenAccountReply {
                    receipt: Some(receipt),
                    account_id: account.to_string(),
                }
            }
        )
    }

    async fn close_account(
        &self,
        mut request: Request<pb::CloseAccountRequest>,
    ) -> Result<Response<pb::CloseAccountReply>, Status> {
        write!(
            self,
            request,
            prepare::close,
            close_account,
            |receipt, _| {
                pb::CloseAccountReply {
                    receipt: Some(receipt),
                }
            }
        )
    }

    async fn deposit(
        &self,
        mut request: Request<pb::DepositRequest>,
    ) -> Result<Response<pb::DepositReply>, Status> {
        write!(self, request, prepare::deposit, deposit, |receipt, _| {
            pb::DepositReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn withdraw(
        &self,
        mut request: Request<pb::WithdrawRequest>,
    ) -> Result<Response<pb::WithdrawReply>, Status> {
        write!(self, request, prepare::withdraw, withdraw, |receipt, _| {
            pb::WithdrawReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn transfer(
        &self,
        mut request: Request<pb::TransferRequest>,
    ) -> Result<Response<pb::TransferReply>, Status> {
        let directory = self.0.clone();
        let prepare = |body: &pb::TransferRequest| prepare::transfer(&directory.directory, body);
        write!(self, request, prepare, transfer, |receipt, _| {
            pb::TransferReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountReply>, Status> {
        let server = &self.0;
        let home = server.home(&prepare::account(&request.get_ref().account_id)?)?;
        server
            .at_leader(
                home,
                request,
                |shard, body| async move {
                    let id = prepare::account(&body.account_id)?;
                    let (found, position) = shard
                        .strong(|book| book.account(&id))
                        .await
                        .map_err(|error| refusal::read(&error))?;
                    let account = found.ok_or_else(refusal::unknown_account)?;
                    Ok(pb::GetAccountReply {
                        account: Some(account_reply(&id, &account)),
                        served_by: Some(server.served_by()),
                        position: Some(receipt::position(position)),
                    })
                },
                |channel, request| async move {
                    TellerClient::new(channel).get_account(request).await
                },
            )
            .await
    }

    async fn get_transaction(
        &self,
        request: Request<pb::GetTransactionRequest>,
    ) -> Result<Response<pb::GetTransactionReply>, Status> {
        use pb::get_transaction_request::By;
        let server = &self.0;
        let caller = &route::caller(request.metadata())?;
        let home = match &request.get_ref().by {
            Some(By::TransactionId(id)) => {
                id.parse::<TransactionId>()
                    .map_err(refusal::invalid)?
                    .position
                    .shard
            }
            Some(By::Key(key)) => server.home(&prepare::account(&key.account_id)?)?,
            None => return Err(refusal::invalid("name a transaction by its id or its key")),
        };
        if server.directory_has(home).is_none() {
            return Err(refusal::transaction_not_found());
        }
        server
            .at_leader(
                home,
                request,
                |shard, body| async move { server.transaction(&shard, body, caller).await },
                |channel, request| async move {
                    TellerClient::new(channel).get_transaction(request).await
                },
            )
            .await
    }

    async fn submit_batch(
        &self,
        request: Request<pb::SubmitBatchRequest>,
    ) -> Result<Response<pb::SubmitBatchReply>, Status> {
        let metadata = request.metadata().clone();
        let commands = request.into_inner().commands;
        if commands.len() > MAX_BATCH {
            let n = commands.len();
            return Err(refusal::invalid(format!(
                "{n} commands; a batch has at most {MAX_BATCH}"
            )));
        }
        let outcomes = stream::iter(commands)
            .map(|command| {
                let (service, metadata) = (self.clone(), metadata.clone());
                async move { service.one_of_batch(command, metadata).await }
            })
            .buffered(BATCH_WIDTH)
            .collect()
            .await;
        Ok(Response::new(pb::SubmitBatchReply { outcomes }))
    }

    async fn trial_balance(
        &self,
        request: Request<pb::TrialBalanceRequest>,
    ) -> Result<Response<pb::TrialBalanceReply>, Status> {
        self.0.trial_balance(request).await.map(Response::new)
    }
}

impl Service {
    async fn one_of_batch(
        &self,
        command: pb::BatchCommand,
        metadata: tonic::metadata::MetadataMap,
    ) -> pb::BatchOutcome {
        use pb::batch_command::Command as C;
        use tonic::Extensions;
        fn request<T>(metadata: tonic::metadata::MetadataMap, body: T) -> Request<T> {
            Request::from_parts(metadata, Extensions::default(), body)
        }
        let mut account_id = String::new();
        let outcome = match command.command {
            Some(C::OpenAccount(body)) => {
                self.open_account(request(metadata, body))
                    .await
                    .map(|reply| {
                        let reply = reply.into_inner();
                        account_id = reply.account_id;
                        reply.receipt
                    })
            }
            Some(C::CloseAccount(body)) => self
                .close_account(request(metadata, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Deposit(body)) => self
                .deposit(request(metadata, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Withdraw(body)) => self
                .withdraw(request(metadata, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Transfer(body)) => self
                .transfer(request(metadata, body))
                .await
                .map(|r| r.into_inner().receipt),
            None => Err(refusal::invalid("the batch has an empty command")),
        };
        use pb::batch_outcome::Outcome as O;
        let outcome = match outcome {
            Ok(receipt) => O::Receipt(receipt.unwrap_or_default()),
            Err(status) => O::Rejection(rejection::from_status(&status).unwrap_or_else(|| {
                let help = "It may have happened. Ask again under the same key.";
                refusal::detail("OUTCOME_UNKNOWN", status.message(), true, help)
            })),
        };
        pb::BatchOutcome {
            outcome: Some(outcome),
            account_id,
        }
    }
}

impl Server {
    pub(super) fn directory_has(&self, shard: ShardId) -> Option<u64> {
        use replication::topology::Directory as _;
        self.directory.epoch(shard)
    }

    async fn transaction(
        &self,
        shard: &Shard,
        body: pb::GetTransactionRequest,
        caller: &str,
    ) -> Result<pb::GetTransactionReply, Status> {
        use pb::get_transaction_request::By;
        let (id, key) = match body.by {
            Some(By::TransactionId(id)) => (
                id.parse::<TransactionId>().map_err(refusal::invalid)?,
                String::new(),
            ),
            Some(By::Key(key)) => {
                let account = prepare::account(&key.account_id)?;
                let digest = self
                    .secrets
                    .digest_key()
                    .key(caller, &account, &key.idempotency_key);
                let (found, at) = shard
                    .strong(|book| book.key(&digest))
                    .await
                    .map_err(|error| refusal::read(&error))?;
                let record = found.ok_or_else(refusal::transaction_not_found)?;
                let position = Position {
                    index: record.index,
                    ..at
                };
                (
                    TransactionId {
                        position,
                        ordinal: record.ordinal,
                    },
                    key.idempotency_key,
                )
            }
            None => return Err(refusal::transaction_not_found()),
        };
        let (_, applied) = shard
            .strong(|_| ())
            .await
            .map_err(|error| refusal::read(&error))?;
        if id.position.index > applied.index || id.position.epoch != applied.epoch {
            return Err(refusal::transaction_not_found());
        }
        let entry = replication::shard::read_entry(&self.hub, id.position)
            .map_err(|_| refusal::transaction_not_found())?;
        let outcome = entry.outcomes.get(id.ordinal as usize);
        let Some((outcome, command)) = outcome.and_then(|o| Some((o, o.command.as_ref()?))) else {
            return Err(refusal::transaction_not_found());
        };
        let answer = Answer {
            transaction: id,
            time: entry.time,
            outcome: outcome.clone(),
            repeated: true,
        };
        let receipt = match &outcome.result {
            Ok(_) => self.receipt(shard, &answer, &key)?,
            Err(rejection) => v1::Receipt {
                transaction_id: id.to_string(),
                position: Some(receipt::position(id.position)),
                time: Some(receipt::time(entry.time)),
                served_by: Some(self.served_by()),
                status: v1::TransactionStatus::Rejected.into(),
                idempotency_key: key,
                duplicate: true,
                rejection: Some(refusal::recorded(rejection)),
                ..Default::default()
            },
        };
        Ok(pb::GetTransactionReply {
            receipt: Some(receipt),
            kind: kind(command.kind).into(),
            account_id: command.account.to_string(),
            effective_date: command.effective_date.to_string(),
            business_date: entry.business_date.to_string(),
            actor: command.info.actor.clone(),
            channel: command.info.channel as i32,
            ..Default::default()
        })
    }
}

fn kind(kind: Kind) -> pb::TransactionKind {
    match kind {
        Kind::Open => pb::TransactionKind::Open,
        Kind::Deposit => pb::TransactionKind::Deposit,
        Kind::Withdraw => pb::TransactionKind::Withdrawal,
        Kind::Transfer => pb::TransactionKind::Transfer,
        Kind::Close => pb::TransactionKind::Close,
    }
}

fn account_reply(id: &ledger_domain::AccountId, account: &Account) -> pb::Account {
    use pb::account::Overdraft;
    let status = match account.status {
        AccountStatus::Open => pb::AccountStatus::Open,
        AccountStatus::Closed => pb::AccountStatus::Closed,
    };
    pb::Account {
        account_id: id.to_string(),
        home_region: id.region().to_string(),
        currency: account.currency.to_string(),
        status: status.into(),
        overdraft: Some(match account.limit {
            Limit::Unlimited => Overdraft::Unlimited(pb::Unlimited {}),
            Limit::Overdraft(units) => Overdraft::OverdraftLimitMinorUnits(units),
        }),
        opened_on: account.opened_on.to_string(),
        posted: Some(receipt::money(account.posted, account.currency)),
        held: Some(receipt::money(account.held, account.currency)),
        available: account
            .available()
            .map(|a| receipt::money(a, account.currency)),
        version: account.version,
        ..Default::default()
    }
}

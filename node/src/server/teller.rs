//! The desk: writes, and what belongs to them.

use std::sync::Arc;

use ledger_domain::{
    Account, Book, Limit, ShardId, account::Status as AccountStatus, state::State as _,
};
use replication::view;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Server, customers,
    deadline::{Call, Deadline},
    freeze, holds, prepare, receipt, refusal, route, spending, stream,
};
use crate::api::teller::v1::{self as pb, teller_client::TellerClient, teller_server::Teller};

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

/// A write that takes one request to its home's leader and answers with a receipt.
macro_rules! write {
    ($self:ident, $request:ident, $prepare:expr, $method:ident, $reply:expr) => {{
        let server = $self.0.clone();
        let deadline = Deadline::of(&$request);
        let caller = route::caller($request.metadata())?;
        let context = $request.get_mut().context.get_or_insert_default();
        prepare::complete(&server, context)?;
        let prepared = $prepare($request.get_ref())?;
        let home = server.home(&prepared.action.account())?;
        let call = match prepared.context.dry_run {
            true => Call::Read,
            false => Call::Write {
                key: prepared.context.idempotency_key,
            },
        };
        let answer = server.at_leader(
            home,
            $request,
            deadline,
            |shard, body| {
                let (server, caller) = (&server, &caller);
                async move {
                    let prepared = $prepare(&body)?;
                    let account = prepared.action.account();
                    let receipt = server.decide(&shard, prepared, caller, deadline).await?;
                    Ok($reply(receipt, account))
                }
            },
            |channel, request| async move { TellerClient::new(channel).$method(request).await },
        );
        deadline.keep(call, answer).await
    }};
}

#[tonic::async_trait]
impl Teller for Service {
    async fn open_account(
        &self,
        mut request: Request<pb::OpenAccountRequest>,
    ) -> Result<Response<pb::OpenAccountReply>, Status> {
        let directory = self.0.clone();
        let prepare = |body: &pb::OpenAccountRequest| prepare::open(&directory.directory, body);
        write!(self, request, prepare, open_account, |receipt, account| {
            let account: ledger_domain::AccountId = account;
            pb::OpenAccountReply {
                receipt: Some(receipt),
                account_id: account.to_string(),
            }
        })
    }

    async fn close_account(
        &self,
        mut request: Request<pb::CloseAccountRequest>,
    ) -> Result<Response<pb::CloseAccountReply>, Status> {
        let directory = self.0.clone();
        let prepare = |body: &pb::CloseAccountRequest| prepare::close(&directory.directory, body);
        write!(self, request, prepare, close_account, |receipt, _| {
            pb::CloseAccountReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn clear_suspense(
        &self,
        mut request: Request<pb::ClearSuspenseRequest>,
    ) -> Result<Response<pb::ClearSuspenseReply>, Status> {
        let directory = self.0.clone();
        let prepare =
            |body: &pb::ClearSuspenseRequest| prepare::clear_suspense(&directory.directory, body);
        write!(self, request, prepare, clear_suspense, |receipt, _| {
            pb::ClearSuspenseReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn reverse(
        &self,
        mut request: Request<pb::ReverseRequest>,
    ) -> Result<Response<pb::ReverseReply>, Status> {
        let directory = self.0.clone();
        let prepare = |body: &pb::ReverseRequest| prepare::reverse(&directory.directory, body);
        write!(self, request, prepare, reverse, |receipt, _| {
            pb::ReverseReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn list_suspense(
        &self,
        request: Request<pb::ListSuspenseRequest>,
    ) -> Result<Response<pb::ListSuspenseReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.list_suspense(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn freeze_account(
        &self,
        mut request: Request<pb::FreezeAccountRequest>,
    ) -> Result<Response<pb::FreezeAccountReply>, Status> {
        write!(
            self,
            request,
            freeze::freeze,
            freeze_account,
            |receipt, _| {
                pb::FreezeAccountReply {
                    receipt: Some(receipt),
                }
            }
        )
    }

    async fn set_limit(
        &self,
        mut request: Request<pb::SetLimitRequest>,
    ) -> Result<Response<pb::SetLimitReply>, Status> {
        write!(
            self,
            request,
            prepare::set_limit,
            set_limit,
            |receipt, _| {
                pb::SetLimitReply {
                    receipt: Some(receipt),
                }
            }
        )
    }

    async fn set_spending_limit(
        &self,
        mut request: Request<pb::SetSpendingLimitRequest>,
    ) -> Result<Response<pb::SetSpendingLimitReply>, Status> {
        write!(
            self,
            request,
            spending::set_spending_limit,
            set_spending_limit,
            |receipt, _| {
                pb::SetSpendingLimitReply {
                    receipt: Some(receipt),
                }
            }
        )
    }

    async fn unfreeze_account(
        &self,
        mut request: Request<pb::UnfreezeAccountRequest>,
    ) -> Result<Response<pb::UnfreezeAccountReply>, Status> {
        write!(
            self,
            request,
            freeze::unfreeze,
            unfreeze_account,
            |receipt, _| {
                pb::UnfreezeAccountReply {
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

    async fn place_hold(
        &self,
        mut request: Request<pb::PlaceHoldRequest>,
    ) -> Result<Response<pb::HoldReply>, Status> {
        let prepare = prepare::place_hold;
        write!(self, request, prepare, place_hold, |receipt, _| {
            holds::placed(receipt)
        })
    }

    async fn raise_hold(
        &self,
        mut request: Request<pb::RaiseHoldRequest>,
    ) -> Result<Response<pb::HoldReply>, Status> {
        let hold = request.get_ref().hold_id.clone();
        let hold = &hold;
        let prepare = prepare::raise_hold;
        write!(self, request, prepare, raise_hold, |receipt, _| {
            holds::changed(receipt, hold)
        })
    }

    async fn capture_hold(
        &self,
        mut request: Request<pb::CaptureHoldRequest>,
    ) -> Result<Response<pb::HoldReply>, Status> {
        let hold = request.get_ref().hold_id.clone();
        let hold = &hold;
        let directory = self.0.clone();
        let prepare =
            |body: &pb::CaptureHoldRequest| prepare::capture_hold(&directory.directory, body);
        write!(self, request, prepare, capture_hold, |receipt, _| {
            holds::changed(receipt, hold)
        })
    }

    async fn release_hold(
        &self,
        mut request: Request<pb::ReleaseHoldRequest>,
    ) -> Result<Response<pb::HoldReply>, Status> {
        let hold = request.get_ref().hold_id.clone();
        let hold = &hold;
        let prepare = prepare::release_hold;
        write!(self, request, prepare, release_hold, |receipt, _| {
            holds::changed(receipt, hold)
        })
    }

    async fn list_holds(
        &self,
        request: Request<pb::ListHoldsRequest>,
    ) -> Result<Response<pb::ListHoldsReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.list_holds(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn submit_journal(
        &self,
        mut request: Request<pb::SubmitJournalRequest>,
    ) -> Result<Response<pb::SubmitJournalReply>, Status> {
        let directory = self.0.clone();
        let prepare = |body: &_| prepare::journal(&directory.directory, body);
        write!(self, request, prepare, submit_journal, |receipt, _| {
            pb::SubmitJournalReply {
                receipt: Some(receipt),
            }
        })
    }

    async fn get_journal(
        &self,
        request: Request<pb::GetJournalRequest>,
    ) -> Result<Response<pb::GetJournalReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.get_journal(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn list_journals(
        &self,
        request: Request<pb::ListJournalsRequest>,
    ) -> Result<Response<pb::ListJournalsReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.list_journals(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn register_customer(
        &self,
        mut request: Request<pb::RegisterCustomerRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        // Its id may be made of the key.
        let context = request.get_mut().context.get_or_insert_default();
        prepare::complete(&self.0, context)?;
        let customer = customers::registered(request.get_ref())?;
        let prepare = customers::register;
        write!(self, request, prepare, register_customer, |receipt, _| {
            customers::replied(receipt, customer)
        })
    }

    async fn attach_account(
        &self,
        mut request: Request<pb::AttachAccountRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        let customer = customers::customer(&request.get_ref().customer_id)?;
        let prepare = customers::attach;
        write!(self, request, prepare, attach_account, |receipt, _| {
            customers::replied(receipt, customer)
        })
    }

    async fn detach_account(
        &self,
        mut request: Request<pb::DetachAccountRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        let customer = customers::customer(&request.get_ref().customer_id)?;
        let prepare = customers::detach;
        write!(self, request, prepare, detach_account, |receipt, _| {
            customers::replied(receipt, customer)
        })
    }

    async fn set_profile(
        &self,
        request: Request<pb::SetProfileRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        self.0.set_profile(request).await
    }

    async fn set_legal_hold(
        &self,
        mut request: Request<pb::SetLegalHoldRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        let customer = customers::customer(&request.get_ref().customer_id)?;
        let prepare = customers::legal_hold;
        write!(self, request, prepare, set_legal_hold, |receipt, _| {
            customers::replied(receipt, customer)
        })
    }

    async fn erase_customer(
        &self,
        mut request: Request<pb::EraseCustomerRequest>,
    ) -> Result<Response<pb::CustomerReply>, Status> {
        let customer = customers::customer(&request.get_ref().customer_id)?;
        // That of the node which decides, in the customer's region, counts.
        let years = self.0.retention_years;
        let prepare = |body: &_| customers::erase(body, years);
        write!(self, request, prepare, erase_customer, |receipt, _| {
            customers::replied(receipt, customer)
        })
    }

    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.customer(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn claim_reference(
        &self,
        request: Request<pb::ClaimReferenceRequest>,
    ) -> Result<Response<pb::ReferenceReply>, Status> {
        self.0.claim_reference(request).await
    }

    async fn release_reference(
        &self,
        request: Request<pb::ReleaseReferenceRequest>,
    ) -> Result<Response<pb::ReferenceReply>, Status> {
        self.0.release_reference(request).await
    }

    async fn list_declined(
        &self,
        request: Request<pb::ListDeclinedRequest>,
    ) -> Result<Response<pb::ListDeclinedReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.list_declined(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountReply>, Status> {
        let server = &self.0;
        let deadline = Deadline::of(&request);
        let id = prepare::account(&request.get_ref().account_id)?;
        let home = server.home(&id)?;
        if let Some(as_of) = &request.get_ref().as_of {
            let answer = server.account_as_of(home, id, as_of, deadline);
            return deadline.keep(Call::Read, answer).await.map(Response::new);
        }
        let answer = server.at_leader(
            home,
            request,
            deadline,
            |shard, _| async move {
                let wall_ms = server.world.clock.wall_nanos() / 1_000_000;
                let found = |book: &Book| {
                    let freezes =
                        freeze::in_force(&book.freezes(&id), wall_ms.max(book.time().millis()));
                    let today = server.today(home, book);
                    let spent = ledger_domain::spending::overview(book, &id, today);
                    Some((book.account(&id)?, freezes, (today, spent)))
                };
                let (found, position) = shard
                    .strong(found)
                    .await
                    .map_err(|error| refusal::read(&error))?;
                let (account, freezes, (today, spent)) =
                    found.ok_or_else(refusal::unknown_account)?;
                server.viewed(position, deadline).await?;
                let opening = server.views().opening(&id).map_err(refusal::unreadable)?;
                Ok(pb::GetAccountReply {
                    account: Some(pb::Account {
                        freezes,
                        spending: spent
                            .iter()
                            .map(|it| spending::reply(it, today, account.currency))
                            .collect(),
                        ..account_reply(&id, &account, opening)
                    }),
                    served_by: Some(server.served_by()),
                    position: Some(receipt::position(position)),
                    ..pb::GetAccountReply::default()
                })
            },
            |channel, request| async move { TellerClient::new(channel).get_account(request).await },
        );
        deadline.keep(Call::Read, answer).await
    }

    async fn get_transaction(
        &self,
        request: Request<pb::GetTransactionRequest>,
    ) -> Result<Response<pb::GetTransactionReply>, Status> {
        let deadline = Deadline::of(&request);
        let answer = self.0.find_transaction(request, deadline);
        deadline.keep(Call::Read, answer).await
    }

    async fn submit_batch(
        &self,
        request: Request<pb::SubmitBatchRequest>,
    ) -> Result<Response<pb::SubmitBatchReply>, Status> {
        self.batch(request).await
    }

    async fn submit_group(
        &self,
        request: Request<pb::SubmitGroupRequest>,
    ) -> Result<Response<pb::SubmitGroupReply>, Status> {
        self.0.submit_group(request).await
    }

    type SubmitStreamStream = stream::Replies;

    async fn submit_stream(
        &self,
        request: Request<Streaming<pb::BatchCommand>>,
    ) -> Result<Response<stream::Replies>, Status> {
        stream::submit(self, request).map(Response::new)
    }

    async fn trial_balance(
        &self,
        request: Request<pb::TrialBalanceRequest>,
    ) -> Result<Response<pb::TrialBalanceReply>, Status> {
        self.0.trial_balance(request).await.map(Response::new)
    }

    async fn close_day(
        &self,
        request: Request<pb::CloseDayRequest>,
    ) -> Result<Response<pb::CloseDayReply>, Status> {
        self.0.close_day(request).await
    }

    async fn show_day(
        &self,
        request: Request<pb::ShowDayRequest>,
    ) -> Result<Response<pb::ShowDayReply>, Status> {
        self.0.show_day(request).await
    }
}

impl Server {
    pub(super) fn directory_has(&self, shard: ShardId) -> Option<u64> {
        use replication::topology::Directory as _;
        self.directory.epoch(shard)
    }
}

pub(super) fn account_reply(
    id: &ledger_domain::AccountId,
    account: &Account,
    opening: Option<view::Opening>,
) -> pb::Account {
    use pb::account::Overdraft;
    let money = |units| receipt::money(units, account.currency);
    let status = match account.status {
        AccountStatus::Open => pb::AccountStatus::Open,
        AccountStatus::Closed => pb::AccountStatus::Closed,
    };
    let mut reply = pb::Account {
        account_id: id.to_string(),
        home_region: id.region().to_string(),
        currency: account.currency.to_string(),
        status: status.into(),
        overdraft: Some(match account.limit {
            Limit::Unlimited => Overdraft::Unlimited(pb::Unlimited {}),
            Limit::Overdraft(units) => Overdraft::OverdraftLimitMinorUnits(units),
        }),
        opened_on: account.opened_on.to_string(),
        posted: Some(money(account.posted)),
        held: Some(money(account.held)),
        available: account.available().map(money),
        reserved: Some(money(account.reserved)),
        incoming: Some(money(account.accepted)),
        outgoing: Some(money(account.outgoing)),
        version: account.version,
        in_excess: account.available().is_some_and(|available| available < 0),
        ..pb::Account::default()
    };
    put_opening(&mut reply, opening);
    reply
}

/// Says how an account began, where that is known.
pub(super) fn put_opening(account: &mut pb::Account, opening: Option<view::Opening>) {
    if let Some(opening) = opening {
        account.opened_at = Some(receipt::time(opening.time));
        account.opening_transaction_id = opening.transaction.to_string();
    }
}

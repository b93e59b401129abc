//! Customers: which accounts they have, and what those have at one time, over all regions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use ledger_domain::{
    AccountId, Action, Command, CustomerId, Field, RegionName, ShardId,
    account::Status as AccountStatus, customer::CustomerAction, state::State as _,
};
use replication::{shard::Shard, topology::Directory as _};
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use super::{
    Server,
    deadline::Deadline,
    opening::{is_known, known},
    prepare::{self, Prepared},
    profiles, receipt, refusal, route,
};
use crate::api::{
    UNKNOWN_AGE_MS,
    atm::v1 as atm,
    rejection,
    teller::v1::{self as pb, teller_client::TellerClient},
    v1,
};

/// A customer's id as a caller gives it.
pub(super) fn customer(text: &str) -> Result<CustomerId, Status> {
    text.parse().map_err(refusal::invalid)
}

/// A command that makes a customer known.
pub(super) fn register(r: &pb::RegisterCustomerRequest) -> Result<Prepared, Status> {
    let context = r.context.clone().unwrap_or_default();
    prepared(registered(r)?, CustomerAction::Register, context)
}

/// The id that a customer gets.
pub(super) fn registered(r: &pb::RegisterCustomerRequest) -> Result<CustomerId, Status> {
    let region = || r.home_region.parse::<RegionName>();
    let id = match r.customer_id.as_str() {
        "" => {
            let region = region().map_err(refusal::invalid)?;
            let context = r.context.as_ref();
            CustomerId::derive(region, context.map_or("", |it| &it.idempotency_key))
        }
        id => customer(id)?,
    };
    if !r.home_region.is_empty() && region().map_err(refusal::invalid)? != id.region() {
        return Err(refusal::invalid(format!(
            "the id says {}, but home_region says {}",
            id.region(),
            r.home_region
        )));
    }
    Ok(id)
}

/// A command that gives a customer an account.
pub(super) fn attach(r: &pb::AttachAccountRequest) -> Result<Prepared, Status> {
    let action = CustomerAction::Attach(prepare::account(&r.account_id)?);
    let context = r.context.clone().unwrap_or_default();
    prepared(customer(&r.customer_id)?, action, context)
}

/// A command that takes an account from a customer.
pub(super) fn detach(r: &pb::DetachAccountRequest) -> Result<Prepared, Status> {
    let action = CustomerAction::Detach(prepare::account(&r.account_id)?);
    let context = r.context.clone().unwrap_or_default();
    prepared(customer(&r.customer_id)?, action, context)
}

/// A command that keeps a customer from being erased, or does so no longer.
pub(super) fn legal_hold(r: &pb::SetLegalHoldRequest) -> Result<Prepared, Status> {
    let action = match r.lift {
        false => CustomerAction::PlaceLegalHold,
        true => CustomerAction::LiftLegalHold,
    };
    let context = r.context.clone().unwrap_or_default();
    prepared(customer(&r.customer_id)?, action, context)
}

/// A command that has the key of a customer destroyed.
pub(super) fn erase(
    r: &pb::EraseCustomerRequest,
    retention_years: u16,
) -> Result<Prepared, Status> {
    let action = CustomerAction::Erase { retention_years };
    let context = r.context.clone().unwrap_or_default();
    prepared(customer(&r.customer_id)?, action, context)
}

pub(super) fn prepared(
    customer: CustomerId,
    asked: CustomerAction,
    context: v1::CommandContext,
) -> Result<Prepared, Status> {
    prepare::is_plain(&context, "what is done about a customer")?;
    let mut fields = vec![(Field::Customer, customer.to_string().into_bytes())];
    if let Some(account) = asked.account() {
        fields.push((Field::Counterparty, account.to_string().into_bytes()));
    }
    let action = Action::Customer {
        place: customer.place(),
        customer,
        action: asked,
    };
    prepare::prepare(action, context, fields)
}

impl Server {
    /// Gives a customer an account that is to be opened, or takes it away again.
    pub(super) async fn change_customer(
        &self,
        customer: CustomerId,
        action: CustomerAction,
        context: v1::CommandContext,
        caller: &str,
        deadline: Deadline,
    ) -> Result<v1::Receipt, Status> {
        let key = context.idempotency_key.clone();
        let account = action.account();
        let account = account.map_or_else(String::new, |it| it.to_string());
        let detaches = matches!(action, CustomerAction::Detach(_));
        let action = &action;
        // One message for both: they have the same fields.
        let mut request = Request::new(pb::AttachAccountRequest {
            context: Some(context),
            customer_id: customer.to_string(),
            account_id: account,
        });
        route::set_caller(request.metadata_mut(), caller);
        let changed = self.at_leader(
            self.home(&customer.place())?,
            request,
            deadline,
            |shard, body| async move {
                let context = body.context.unwrap_or_default();
                let prepared = prepared(customer, action.clone(), context)?;
                // Nothing comes before it: this ends here.
                let deciding = Box::pin(self.decide(&shard, prepared, caller, deadline));
                Ok(replied(deciding.await?, customer))
            },
            |channel, request| async move {
                let mut client = TellerClient::new(channel);
                if !detaches {
                    return client.attach_account(request).await;
                }
                let request = request.map(|it| pb::DetachAccountRequest {
                    context: it.context,
                    customer_id: it.customer_id,
                    account_id: it.account_id,
                });
                client.detach_account(request).await
            },
        );
        let changed = changed.await;
        let reply = changed.map_err(|status| refusal::on_the_way(status, &key))?;
        Ok(reply.into_inner().receipt.unwrap_or_default())
    }

    /// Refuses what the customer's own shard cannot know of: to give it an account of a region that is not,
    /// to take one from it that is open, and to erase it where its key cannot be destroyed. Whoever decides asks, and once its key is known nobody does:
    /// what was decided stays so.
    pub(super) async fn may_change(
        &self,
        shard: &Shard,
        command: &Command,
        key: &str,
        dry_run: bool,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let Action::Customer {
            action, customer, ..
        } = &command.action
        else {
            return Ok(());
        };
        if let CustomerAction::Erase { .. } = action {
            return self.can_forget(shard, command, *customer, dry_run).await;
        }
        let Some(account) = action.account() else {
            return Ok(());
        };
        let home = match (action, self.directory.home(&account)) {
            (CustomerAction::Attach(_), Some(_)) | (CustomerAction::Detach(_), None) => {
                return Ok(());
            }
            (_, home) => home,
        };
        if is_known(shard, command).await? {
            return Ok(());
        }
        let Some(home) = home else {
            return Err(refusal::unknown_region(account.region().as_str()));
        };
        let is_open = self.is_open(home, account, deadline).await;
        match is_open.map_err(|status| refusal::on_the_way(status, key))? {
            true => Err(refusal::account_open()),
            false => Ok(()),
        }
    }

    /// Whether an account is there and not closed, as its home knows it.
    async fn is_open(
        &self,
        home: ShardId,
        account: AccountId,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        let request = Request::new(pb::GetAccountRequest {
            account_id: account.to_string(),
            as_of: None,
        });
        let found = self.at_leader(
            home,
            request,
            deadline,
            |shard, _| async move {
                let account = known(&shard, account).await?;
                let account = account.ok_or_else(refusal::unknown_account)?;
                let status = match account.status {
                    AccountStatus::Open => pb::AccountStatus::Open,
                    AccountStatus::Closed => pb::AccountStatus::Closed,
                };
                Ok(pb::GetAccountReply {
                    account: Some(pb::Account {
                        status: status.into(),
                        ..pb::Account::default()
                    }),
                    ..pb::GetAccountReply::default()
                })
            },
            |channel, request| async move { TellerClient::new(channel).get_account(request).await },
        );
        match found.await {
            Ok(reply) => {
                let account = reply.into_inner().account;
                Ok(account.is_some_and(|it| it.status() == pb::AccountStatus::Open))
            }
            Err(status) => match rejection::from_status(&status) {
                // It was attached, and its opening refused.
                Some(detail) if detail.code == "ACCOUNT_NOT_FOUND" => Ok(false),
                _ => Err(status),
            },
        }
    }

    /// A customer as its home knows it.
    pub(super) async fn customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::GetCustomerReply>, Status> {
        let id = customer(&request.get_ref().customer_id)?;
        let asker = self.asker(&request);
        self.at_leader(
            self.home(&id.place())?,
            request,
            deadline,
            |shard, asked| async move {
                let read = shard.strong(|book| (book.customer(&id), book.time())).await;
                let ((found, time), position) = read.map_err(|error| refusal::read(&error))?;
                let found = found.ok_or_else(refusal::unknown_customer)?;
                let told = match asked.without_profile {
                    true => profiles::Told::only(pb::ProfileStatus::LeftOut),
                    false => self.profile(&shard, id, &found, &asker).await,
                };
                let accounts = found.accounts.iter().map(ToString::to_string);
                Ok(pb::GetCustomerReply {
                    customer_id: id.to_string(),
                    home_region: id.region().to_string(),
                    account_ids: accounts.collect(),
                    position: Some(receipt::position(position)),
                    true_at: Some(receipt::time(time)),
                    served_by: Some(self.served_by()),
                    profile_status: told.status.into(),
                    profile: told.profile,
                    profile_unreadable_because: told.why,
                    legal_hold: found.legal_hold,
                    last_detached: found
                        .last_detached
                        .map_or_else(String::new, |date| date.to_string()),
                })
            },
            |channel, request| async move { TellerClient::new(channel).get_customer(request).await },
        )
        .await
    }

    /// What a customer has at one time: of the accounts of every region that is known here as it is
    /// asked for, and in time. The others are named.
    pub(super) async fn customer_accounts(
        self: &Arc<Self>,
        asked: atm::GetCustomerAccountsRequest,
        deadline: Deadline,
    ) -> Result<atm::GetCustomerAccountsReply, Status> {
        let wanted = asked.at_one_time.unwrap_or_default();
        let request = Request::new(pb::GetCustomerRequest {
            customer_id: asked.customer_id,
            without_profile: true,
        });
        let customer = self.customer(request, deadline).await?.into_inner();
        let mut present = customer.account_ids;
        let mut missing = Vec::new();
        let left = deadline
            .patience()
            .saturating_duration_since(Instant::now());
        // Most of the time all are there; otherwise there is time to see which, and for those.
        let part = left / 3;
        let mut told = self.told_within(&present, &wanted, deadline, part).await;
        if told.is_err() {
            let mut by_region: BTreeMap<RegionName, Vec<String>> = BTreeMap::new();
            for id in &present {
                let region = prepare::account(id)?.region();
                by_region.entry(region).or_default().push(id.clone());
            }
            let (server, wanted) = (self, &wanted);
            let tried = by_region.into_iter().map(|(region, ids)| async move {
                let told = server.told_within(&ids, wanted, deadline, part).await;
                (region, told.err())
            });
            let mut gone = BTreeSet::new();
            for (region, why) in join_all(tried).await {
                if let Some(why) = why {
                    gone.insert(region);
                    missing.push(atm::MissingRegion {
                        region: region.to_string(),
                        rejection: Some(why_missing(&why)),
                    });
                }
            }
            present.retain(|id| prepare::account(id).is_ok_and(|id| !gone.contains(&id.region())));
            let rest = deadline
                .patience()
                .saturating_duration_since(Instant::now());
            told = self.told_within(&present, wanted, deadline, rest).await;
        }
        let told = told?;
        let accounts = present.into_iter().zip(told.outcomes);
        let accounts = accounts.map(|(account_id, outcome)| atm::CustomerAccount {
            account_id,
            outcome: Some(outcome),
        });
        Ok(atm::GetCustomerAccountsReply {
            accounts: accounts.collect(),
            regions_missing: missing,
            // Where nothing is told there is nothing whose age is known.
            staleness_bound_ms: match told.true_at.is_some() {
                true => told.staleness_bound_ms,
                false => UNKNOWN_AGE_MS,
            },
            true_at: told.true_at,
            held_back_by: told.held_back_by,
            served_by: Some(self.served_by()),
            customer_position: customer.position,
        })
    }

    async fn told_within(
        self: &Arc<Self>,
        ids: &[String],
        wanted: &atm::AtOneTime,
        deadline: Deadline,
        patience: Duration,
    ) -> Result<atm::GetBalancesReply, Status> {
        let telling = self.balances_at_one_time(ids, wanted, deadline);
        let told = timeout(patience, telling).await;
        told.unwrap_or_else(|_| Err(Status::unavailable("it is not known here in time")))
    }
}

pub(super) fn replied(receipt: v1::Receipt, customer: CustomerId) -> pb::CustomerReply {
    pb::CustomerReply {
        receipt: Some(receipt),
        customer_id: customer.to_string(),
    }
}

fn why_missing(status: &Status) -> v1::RejectionDetail {
    rejection::from_status(status).unwrap_or_else(|| {
        let help = "Ask again, later or in another region.";
        refusal::detail("UNAVAILABLE", status.message(), true, help)
    })
}

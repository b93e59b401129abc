use super::amount;
use super::args::{
    CashArguments, Channel, CloseArguments, ContextArguments, OpenArguments, TransferArguments,
};
use super::exit::Failure;
use super::output::{Output, receipt};
use crate::api::teller::v1::{
    AccountName, CloseAccountRequest, DepositRequest, OpenAccountRequest, TransferRequest,
    Unlimited, Wait, WithdrawRequest, open_account_request::Identity,
    open_account_request::Overdraft,
};
use crate::api::v1::{self, CommandContext};
use crate::client::Client;

pub async fn open(client: &Client, given: OpenArguments) -> Result<Output, Failure> {
    let overdraft = match (given.unlimited, &given.overdraft_limit) {
        (true, _) => Some(Overdraft::Unlimited(Unlimited {})),
        (false, Some(number)) => Some(Overdraft::OverdraftLimitMinorUnits(
            amount::in_currency(number, &given.currency)?.minor_units,
        )),
        (false, None) => None,
    };
    let home_region = match (&given.region, &given.id) {
        (Some(region), _) => region.clone(),
        (None, Some(_)) => String::new(),
        (None, None) => only_region(client).await?,
    };
    let identity = match (given.id, given.scope, given.name) {
        (Some(id), _, _) => Some(Identity::AccountId(id)),
        (None, Some(scope), Some(name)) => Some(Identity::Name(AccountName { scope, name })),
        _ => None,
    };
    let request = OpenAccountRequest {
        context: Some(context(given.context)),
        identity,
        home_region,
        currency: given.currency,
        overdraft,
    };
    let reply = client.open_account(request).await?;
    Ok(receipt(&reply.receipt, &[("account", reply.account_id)]))
}

/// A region is never guessed among several: an id made from a key is only found again in its own.
async fn only_region(client: &Client) -> Result<String, Failure> {
    let regions: Vec<_> = client
        .status()
        .await?
        .regions
        .into_iter()
        .map(|it| it.name)
        .collect();
    match regions.as_slice() {
        [region] => Ok(region.clone()),
        _ => Err(Failure::Usage(format!(
            "name a --region: {}",
            regions.join(", ")
        ))),
    }
}

pub async fn close(client: &Client, given: CloseArguments) -> Result<Output, Failure> {
    let request = CloseAccountRequest {
        context: Some(context(given.context)),
        account_id: given.account,
    };
    Ok(receipt(&client.close_account(request).await?.receipt, &[]))
}

pub async fn deposit(client: &Client, given: CashArguments) -> Result<Output, Failure> {
    let request = DepositRequest {
        amount: Some(amount::read(&given.amount)?),
        context: Some(context(given.context)),
        account_id: given.account,
        house_account: given.house,
    };
    Ok(receipt(&client.deposit(request).await?.receipt, &[]))
}

pub async fn withdraw(client: &Client, given: CashArguments) -> Result<Output, Failure> {
    let request = WithdrawRequest {
        amount: Some(amount::read(&given.amount)?),
        context: Some(context(given.context)),
        account_id: given.account,
        house_account: given.house,
    };
    Ok(receipt(&client.withdraw(request).await?.receipt, &[]))
}

pub async fn transfer(client: &Client, given: TransferArguments) -> Result<Output, Failure> {
    let wait = if given.accepted {
        Wait::Accepted
    } else {
        Wait::Settled
    };
    let request = TransferRequest {
        amount: Some(amount::read(&given.amount)?),
        context: Some(context(given.context)),
        from_account_id: given.from,
        to_account_id: given.to,
        wait: wait.into(),
    };
    Ok(receipt(&client.transfer(request).await?.receipt, &[]))
}

pub(super) fn context(given: ContextArguments) -> CommandContext {
    let channel = match given.channel {
        Channel::Teller => v1::Channel::Teller,
        Channel::Atm => v1::Channel::Atm,
        Channel::Batch => v1::Channel::Batch,
    };
    CommandContext {
        idempotency_key: given.key.unwrap_or_default(),
        first_attempt_unix_ms: given.first_attempt.unwrap_or_default(),
        reference: given.reference,
        correlation_id: given.correlation_id,
        reason: given.reason,
        effective_date: given.effective_date,
        memo: given.memo,
        external_reference: given.external_reference,
        channel: channel.into(),
    }
}

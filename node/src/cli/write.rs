use super::amount;
use super::args::{
    CashArguments, Channel, CloseArguments, ConditionArguments, ContextArguments, LimitArguments,
    OpenArguments, TransferArguments,
};
use super::exit::Failure;
use super::output::{Output, receipt};
use crate::api::teller::v1::{
    AccountName, CloseAccountRequest, DepositRequest, OpenAccountRequest, SetLimitRequest,
    TransferRequest, Unlimited, Wait, WithdrawRequest, close_account_request::Sweep,
    open_account_request::Identity, open_account_request::Overdraft, set_limit_request,
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
        _ if given.beside.is_some() => String::new(),
        (None, None) => only_region(client).await?,
    };
    let identity = match (given.id, given.scope, given.name) {
        (Some(id), _, _) => Some(Identity::AccountId(id)),
        (None, Some(scope), Some(name)) => Some(Identity::Name(AccountName { scope, name })),
        _ => None,
    };
    let request = OpenAccountRequest {
        context: Some(context(given.context, &given.currency)?),
        identity,
        home_region,
        currency: given.currency,
        overdraft,
        beside_account_id: given.beside.unwrap_or_default(),
        references: given.references.all(),
        customer_id: given.customer.unwrap_or_default(),
    };
    let reply = client.open_account(request).await?;
    Ok(receipt(&reply.receipt, &[("account", reply.account_id)]))
}

/// A region is never guessed among several: an id made from a key is only found again in its own.
pub(super) async fn only_region(client: &Client) -> Result<String, Failure> {
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

/// For what a caller waits.
pub fn wait(accepted: bool) -> Wait {
    match accepted {
        true => Wait::Accepted,
        false => Wait::Settled,
    }
}

pub async fn close(client: &Client, given: CloseArguments) -> Result<Output, Failure> {
    let currency = currency_of(client, &given.account, &given.context.conditions).await?;
    let wait = wait(given.accepted);
    let sweep = given.sweep_to.map(Sweep::ToAccountId);
    let request = CloseAccountRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        sweep: sweep.or(given.sweep_house.map(Sweep::ToHouseAccount)),
        wait: wait.into(),
    };
    Ok(receipt(&client.close_account(request).await?.receipt, &[]))
}

pub async fn limit(client: &Client, given: LimitArguments) -> Result<Output, Failure> {
    use set_limit_request::Overdraft;
    let account = client.account(&given.account).await?.account;
    let currency = account.unwrap_or_default().currency;
    let overdraft = match &given.overdraft_limit {
        Some(number) => {
            Overdraft::OverdraftLimitMinorUnits(amount::in_currency(number, &currency)?.minor_units)
        }
        None => Overdraft::Unlimited(Unlimited {}),
    };
    let request = SetLimitRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        overdraft: Some(overdraft),
    };
    Ok(receipt(&client.set_limit(request).await?.receipt, &[]))
}

pub async fn deposit(client: &Client, given: CashArguments) -> Result<Output, Failure> {
    let amount = amount::read(&given.amount)?;
    let request = DepositRequest {
        context: Some(context(given.context, &amount.currency)?),
        amount: Some(amount),
        account_id: given.account,
        house_account: given.house,
    };
    Ok(receipt(&client.deposit(request).await?.receipt, &[]))
}

pub async fn withdraw(client: &Client, given: CashArguments) -> Result<Output, Failure> {
    let amount = amount::read(&given.amount)?;
    let request = WithdrawRequest {
        context: Some(context(given.context, &amount.currency)?),
        amount: Some(amount),
        account_id: given.account,
        house_account: given.house,
    };
    Ok(receipt(&client.withdraw(request).await?.receipt, &[]))
}

pub async fn transfer(client: &Client, given: TransferArguments) -> Result<Output, Failure> {
    let wait = wait(given.accepted);
    let amount = amount::read(&given.amount)?;
    let request = TransferRequest {
        context: Some(context(given.context, &amount.currency)?),
        amount: Some(amount),
        from_account_id: given.from,
        to_account_id: given.to,
        wait: wait.into(),
    };
    Ok(receipt(&client.transfer(request).await?.receipt, &[]))
}

/// The currency of an account, where a condition needs it and the command does not name it.
pub(super) async fn currency_of(
    client: &Client,
    account: &str,
    given: &ConditionArguments,
) -> Result<String, Failure> {
    if given.min_balance.is_none() && given.max_balance.is_none() {
        return Ok(String::new());
    }
    let account = client.account(account).await?.account;
    Ok(account.unwrap_or_default().currency)
}

/// A channel in the words of the API.
pub(super) fn the_channel(channel: Channel) -> v1::Channel {
    match channel {
        Channel::Teller => v1::Channel::Teller,
        Channel::Atm => v1::Channel::Atm,
        Channel::Batch => v1::Channel::Batch,
        Channel::Card => v1::Channel::Card,
        Channel::Online => v1::Channel::Online,
    }
}

pub(super) fn context(given: ContextArguments, currency: &str) -> Result<CommandContext, Failure> {
    Ok(CommandContext {
        idempotency_key: given.key.unwrap_or_default(),
        first_attempt_unix_ms: given.first_attempt.unwrap_or_default(),
        reference: given.reference,
        correlation_id: given.correlation_id,
        reason: given.reason,
        effective_date: given.effective_date,
        memo: given.memo,
        external_reference: given.external_reference,
        channel: the_channel(given.channel).into(),
        conditions: conditions(given.conditions, currency)?,
        dry_run: given.dry_run,
        forced: given.forced,
        into_closed_day: given.into_closed_day,
    })
}

/// Bounds of balances are numbers of the command's currency.
fn conditions(
    given: ConditionArguments,
    currency: &str,
) -> Result<Option<v1::Conditions>, Failure> {
    let units = |number: Option<String>| {
        let money = number.map(|number| amount::in_currency(&number, currency));
        Ok::<_, Failure>(money.transpose()?.map(|money| money.minor_units))
    };
    let conditions = v1::Conditions {
        expected_version: given.if_version,
        minimum_balance_minor_units: units(given.min_balance)?,
        maximum_balance_minor_units: units(given.max_balance)?,
    };
    Ok((conditions != v1::Conditions::default()).then_some(conditions))
}

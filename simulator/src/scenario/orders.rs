//! Requests of customers in the words of the API, and answers in the words of the history.

use node::{
    api::{
        teller::v1::{
            CaptureHoldRequest, ClearSuspenseRequest, CloseAccountRequest, DepositRequest,
            FreezeAccountRequest, FreezeArriving, FreezeBlocks, FreezeType, JournalLeg,
            JournalSide, PlaceHoldRequest, RaiseHoldRequest, ReleaseHoldRequest, ReverseRequest,
            SetLimitRequest, SetSpendingLimitRequest, SubmitJournalRequest, TransferRequest,
            UnfreezeAccountRequest, Wait, WithdrawRequest, batch_command::Command,
            capture_hold_request::Payee, clear_suspense_request::To, close_account_request::Sweep,
            journal_leg::Party, set_limit_request::Overdraft,
        },
        v1::{self, CommandContext, Money, Receipt},
    },
    client::{Client, Error},
};

use super::desk::days;
use crate::history::{Channel, Conditions, Leg, Outcome, Request};

/// Of all accounts.
pub(super) const CURRENCY: &str = "EUR";

/// The command that a customer's request is; none for one that only reads.
pub(super) fn command(request: &Request, context: &CommandContext) -> Option<Command> {
    let mut context = context.clone();
    let asked = request.conditions();
    if asked != Conditions::default() {
        context.conditions = Some(v1::Conditions {
            expected_version: asked.version,
            minimum_balance_minor_units: asked.minimum,
            maximum_balance_minor_units: asked.maximum,
        });
    }
    context.forced = request.is_forced();
    context.channel = the_channel(request.channel()).into();
    if let Some((day, into_closed_day)) = request.dated() {
        context.effective_date = days::text(day);
        context.into_closed_day = into_closed_day;
    }
    let context = Some(context);
    Some(match request.bare().clone() {
        Request::StrongRead { .. }
        | Request::CloseDay { .. }
        | Request::Refer { .. }
        | Request::Register { .. }
        | Request::Attach { .. }
        | Request::Person { .. }
        | Request::Provided { .. }
        | Request::Forced { .. }
        | Request::Through { .. }
        | Request::Dated { .. }
        | Request::Grouped { .. } => {
            return None;
        }
        Request::SetLimit { account, limit } => Command::SetLimit(SetLimitRequest {
            context,
            account_id: account,
            overdraft: Some(Overdraft::OverdraftLimitMinorUnits(limit)),
        }),
        Request::LimitSpending {
            account,
            channel,
            at_once,
            a_day,
        } => Command::SetSpendingLimit(SetSpendingLimitRequest {
            context,
            account_id: account,
            channel: the_channel(channel).into(),
            per_transaction_minor_units: at_once,
            per_day_minor_units: a_day,
        }),
        Request::Deposit { account, amount } => Command::Deposit(DepositRequest {
            context,
            account_id: account,
            amount: money(amount),
            ..DepositRequest::default()
        }),
        Request::Withdraw { account, amount } => Command::Withdraw(WithdrawRequest {
            context,
            account_id: account,
            amount: money(amount),
            ..WithdrawRequest::default()
        }),
        Request::Transfer {
            payer,
            payee,
            amount,
        } => Command::Transfer(TransferRequest {
            context,
            from_account_id: payer,
            to_account_id: payee,
            amount: money(amount),
            wait: Wait::Accepted.into(),
        }),
        Request::Journal { legs, rate, waits } => {
            let wait = if waits { Wait::Settled } else { Wait::Accepted };
            Command::SubmitJournal(SubmitJournalRequest {
                context,
                legs: legs.into_iter().map(leg).collect(),
                rate: rate.unwrap_or_default(),
                wait: wait.into(),
            })
        }
        Request::Hold {
            account,
            amount,
            life_ms,
        } => Command::PlaceHold(PlaceHoldRequest {
            context,
            account_id: account,
            amount: money(amount),
            expires_after_ms: life_ms,
        }),
        Request::Raise {
            account,
            hold,
            amount,
        } => Command::RaiseHold(RaiseHoldRequest {
            context,
            account_id: account,
            hold_id: hold.id,
            amount: money(amount),
        }),
        Request::Capture {
            account,
            hold,
            amount,
            payee,
            is_last,
        } => Command::CaptureHold(CaptureHoldRequest {
            context,
            account_id: account,
            hold_id: hold.id,
            amount: amount.and_then(money),
            payee: payee.map(Payee::ToAccountId),
            r#final: is_last,
            wait: Wait::Accepted.into(),
        }),
        Request::Release { account, hold } => Command::ReleaseHold(ReleaseHoldRequest {
            context,
            account_id: account,
            hold_id: hold.id,
        }),
        Request::Freeze { account, freeze } => {
            let blocks = match (freeze.debits, freeze.credits) {
                (true, false) => FreezeBlocks::Debits,
                (false, true) => FreezeBlocks::Credits,
                _ => FreezeBlocks::All,
            };
            let arriving = match freeze.keeps {
                true => FreezeArriving::Suspense,
                false => FreezeArriving::Returns,
            };
            Command::FreezeAccount(FreezeAccountRequest {
                context,
                account_id: account,
                r#type: FreezeType::Fraud.into(),
                blocks: blocks.into(),
                arriving: arriving.into(),
                until_unix_ms: i64::try_from(freeze.until_ms.unwrap_or(0)).unwrap_or(i64::MAX),
            })
        }
        Request::Unfreeze { account } => Command::UnfreezeAccount(UnfreezeAccountRequest {
            context,
            account_id: account,
            r#type: FreezeType::Fraud.into(),
        }),
        Request::Close { account, sweep } => Command::CloseAccount(CloseAccountRequest {
            context,
            account_id: account,
            sweep: sweep.map(Sweep::ToAccountId),
            wait: Wait::Accepted.into(),
        }),
        Request::Clear { account, item, to } => Command::ClearSuspense(ClearSuspenseRequest {
            context,
            account_id: account,
            transaction_id: item,
            to: Some(To::ToAccountId(to)),
            wait: Wait::Accepted.into(),
        }),
        Request::Reverse {
            account,
            original,
            amount,
            ..
        } => Command::Reverse(ReverseRequest {
            context,
            account_id: account,
            transaction_id: original.id,
            amount: amount.and_then(money),
            wait: Wait::Accepted.into(),
        }),
    })
}

fn leg(leg: Leg) -> JournalLeg {
    let side = match leg.units < 0 {
        true => JournalSide::Debit,
        false => JournalSide::Credit,
    };
    let (party, region) = match leg.house {
        Some(house) => (Party::HouseAccount(leg.account), house.region),
        None => (Party::AccountId(leg.account), String::new()),
    };
    JournalLeg {
        party: Some(party),
        region,
        side: side.into(),
        amount: money(leg.units.abs()),
        ..JournalLeg::default()
    }
}

fn the_channel(channel: Channel) -> v1::Channel {
    match channel {
        Channel::Desk => v1::Channel::Teller,
        Channel::Card => v1::Channel::Card,
        Channel::Online => v1::Channel::Online,
    }
}

/// Sends a command by itself.
pub(super) async fn submit(client: &Client, command: Command) -> Result<Receipt, Error> {
    let receipt = match command {
        Command::OpenAccount(request) => client.open_account(request).await?.receipt,
        Command::CloseAccount(request) => client.close_account(request).await?.receipt,
        Command::SetLimit(request) => client.set_limit(request).await?.receipt,
        Command::SubmitJournal(request) => client.submit_journal(request).await?.receipt,
        Command::SetSpendingLimit(request) => client.set_spending_limit(request).await?.receipt,
        Command::ClearSuspense(request) => client.clear_suspense(request).await?.receipt,
        Command::Reverse(request) => client.reverse(request).await?.receipt,
        Command::FreezeAccount(request) => client.freeze_account(request).await?.receipt,
        Command::UnfreezeAccount(request) => client.unfreeze_account(request).await?.receipt,
        Command::Deposit(request) => client.deposit(request).await?.receipt,
        Command::Withdraw(request) => client.withdraw(request).await?.receipt,
        Command::Transfer(request) => client.transfer(request).await?.receipt,
        Command::PlaceHold(request) => client.place_hold(request).await?.receipt,
        Command::RaiseHold(request) => client.raise_hold(request).await?.receipt,
        Command::CaptureHold(request) => client.capture_hold(request).await?.receipt,
        Command::ReleaseHold(request) => client.release_hold(request).await?.receipt,
        // A desk sends its groups otherwise: each of their commands has its own answer.
        Command::SubmitGroup(_) => return Err(Error::Malformed("a group alone".to_owned())),
    };
    Ok(receipt.unwrap_or_default())
}

/// What a receipt says of a command that was accepted.
///
/// # Errors
///
/// A receipt without a place.
pub(super) fn accepted(receipt: &Receipt) -> Result<Outcome, Error> {
    let position = receipt.position.as_ref().ok_or_else(no_place)?;
    let posted = |after: &node::api::v1::BalanceAfter| {
        let posted = after.posted.as_ref()?.minor_units;
        Some((after.account_id.clone(), posted))
    };
    Ok(Outcome::Accepted {
        position: format!(
            "{}:{}:{} {}",
            position.shard, position.epoch, position.index, receipt.transaction_id
        ),
        balances: receipt.balances_after.iter().filter_map(posted).collect(),
    })
}

pub(super) fn no_place() -> Error {
    Error::Malformed("a receipt without a place".to_owned())
}

/// A refusal that is recorded is what became of a command.
///
/// # Errors
///
/// Any other error.
pub(super) fn recorded(error: Error) -> Result<Outcome, Error> {
    match error {
        Error::Rejected(rejection) if rejection.recorded => Ok(Outcome::Rejected {
            position: None,
            code: rejection.code,
        }),
        error => Err(error),
    }
}

/// What leaves open what happened is an outcome too.
///
/// # Errors
///
/// What a customer of this bank never meets.
pub(super) fn open(error: Error) -> Result<Outcome, Error> {
    match error.retryable() {
        true => Ok(Outcome::Unknown),
        false => Err(error),
    }
}

pub(super) fn money(minor_units: i64) -> Option<Money> {
    Some(Money {
        minor_units,
        currency: CURRENCY.to_owned(),
    })
}

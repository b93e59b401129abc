//! Commands about holds.

use std::time::Duration;

use ledger_domain::{
    Action, Amount, Currency, Field, HoldAction, TransactionId, hold::LONGEST_LIFE,
};
use replication::topology::Directory;
use tonic::Status;

use super::{Prepared, account, money, payee, prepare};
use crate::{
    api::teller::v1::{self as pb, capture_hold_request::Payee as To},
    server::refusal,
};

fn money_fields(amount: Amount, currency: Currency) -> Vec<(Field, Vec<u8>)> {
    vec![
        (Field::Amount, amount.minor_units().to_be_bytes().to_vec()),
        (Field::Currency, currency.code().as_bytes().to_vec()),
    ]
}

fn hold(text: &str) -> Result<(TransactionId, (Field, Vec<u8>)), Status> {
    let hold: TransactionId = text.parse().map_err(refusal::invalid)?;
    Ok((hold, (Field::Hold, hold.to_string().into_bytes())))
}

pub(in crate::server) fn place_hold(r: &pb::PlaceHoldRequest) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let (amount, currency) = money(r.amount.as_ref())?;
    let mut fields = money_fields(amount, currency);
    let life = (r.expires_after_ms > 0).then(|| Duration::from_millis(r.expires_after_ms));
    if let Some(life) = life {
        if life > LONGEST_LIFE {
            let days = LONGEST_LIFE.as_secs() / 86_400;
            return Err(refusal::invalid(format!(
                "a hold lasts {days} days at most"
            )));
        }
        fields.push((Field::Life, r.expires_after_ms.to_be_bytes().to_vec()));
    }
    let action = HoldAction::Place {
        currency,
        amount,
        life,
    };
    let action = Action::Hold { account, action };
    prepare(action, r.context.clone().unwrap_or_default(), fields)
}

pub(in crate::server) fn raise_hold(r: &pb::RaiseHoldRequest) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let (hold, field) = hold(&r.hold_id)?;
    let (amount, currency) = money(r.amount.as_ref())?;
    let mut fields = money_fields(amount, currency);
    fields.push(field);
    let action = HoldAction::Raise {
        hold,
        currency,
        amount,
    };
    let action = Action::Hold { account, action };
    prepare(action, r.context.clone().unwrap_or_default(), fields)
}

pub(in crate::server) fn capture_hold(
    directory: &dyn Directory,
    r: &pb::CaptureHoldRequest,
) -> Result<Prepared, Status> {
    let from = account(&r.account_id)?;
    let (hold, field) = hold(&r.hold_id)?;
    let mut fields = vec![field];
    let money = r.amount.as_ref().map(|it| money(Some(it))).transpose()?;
    if let Some((amount, currency)) = money {
        fields.extend(money_fields(amount, currency));
    }
    if r.r#final {
        fields.push((Field::Last, vec![1]));
    }
    let payee = match &r.payee {
        Some(To::ToAccountId(to)) => payee::account(directory, to, &mut fields)?,
        Some(To::HouseAccount(code)) => payee::house(code, &mut fields)?,
        None => payee::house("", &mut fields)?,
    };
    payee::is_another(&payee, &from)?;
    let action = HoldAction::Capture {
        hold,
        money: money.map(|(amount, currency)| (currency, amount)),
        payee,
        last: r.r#final,
    };
    let action = Action::Hold {
        account: from,
        action,
    };
    let prepared = prepare(action, r.context.clone().unwrap_or_default(), fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

pub(in crate::server) fn release_hold(r: &pb::ReleaseHoldRequest) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let (hold, field) = hold(&r.hold_id)?;
    let action = HoldAction::Release { hold };
    let action = Action::Hold { account, action };
    prepare(action, r.context.clone().unwrap_or_default(), vec![field])
}

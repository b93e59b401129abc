//! Spending limits in the words of the API.

use ledger_domain::{
    Action, Currency, Date, Event, Field, Outcome, Spending, SpendingLimit, command::Channel,
};
use tonic::Status;

use super::{
    prepare::{Prepared, account, prepare},
    receipt::money,
    refusal,
};
use crate::api::{teller::v1 as pb, v1};

/// A command that changes a spending limit.
pub(super) fn set_spending_limit(r: &pb::SetSpendingLimitRequest) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let channel = Channel::from_number(r.channel).filter(|it| Channel::LIMITED.contains(it));
    let channel = channel.ok_or_else(|| {
        refusal::invalid("a spending limit is of a channel: teller, ATM, batch, card or online")
    })?;
    let limit = SpendingLimit {
        per_transaction: r.per_transaction_minor_units,
        per_day: r.per_day_minor_units,
    };
    if !limit.is_valid() {
        return Err(refusal::invalid("a spending limit cannot be negative"));
    }
    let mut fields = vec![(
        Field::LimitedChannel,
        (channel as i32).to_be_bytes().to_vec(),
    )];
    for (field, most) in [
        (Field::PerTransaction, limit.per_transaction),
        (Field::PerDay, limit.per_day),
    ] {
        fields.extend(most.map(|units| (field, units.to_be_bytes().to_vec())));
    }
    let action = Action::SetSpendingLimit {
        account,
        channel,
        limit,
    };
    prepare(action, r.context.clone().unwrap_or_default(), fields)
}

/// What may be spent by a channel, and what was on a date.
pub(super) fn reply(spending: &Spending, date: Date, currency: Currency) -> v1::Spending {
    let Spending {
        channel,
        limit,
        spent,
    } = *spending;
    v1::Spending {
        channel: channel as i32,
        per_transaction: limit.per_transaction.map(|most| money(most, currency)),
        per_day: limit.per_day.map(|most| money(most, currency)),
        business_date: date.to_string(),
        spent: Some(money(spent, currency)),
        left: limit.left_after(spent).map(|left| money(left, currency)),
        in_excess: limit.is_exceeded_by(spent),
    }
}

/// What an outcome says of a limit that it sets.
pub(super) fn set(
    outcome: &Outcome,
    currency: impl Fn(&ledger_domain::AccountId) -> Option<Currency>,
) -> Option<v1::Spending> {
    let events = outcome.result.as_deref().unwrap_or_default();
    events.iter().find_map(|event| match event {
        Event::SpendingLimitSet {
            after,
            channel,
            limit,
            date,
            spent,
        } => {
            let spending = Spending {
                channel: *channel,
                limit: *limit,
                spent: *spent,
            };
            Some(reply(&spending, *date, currency(&after.account)?))
        }
        _ => None,
    })
}

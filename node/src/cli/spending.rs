use clap::Args;
use serde_json::{Value, json};

use super::{
    amount,
    args::{Channel, ContextArguments},
    exit::Failure,
    output::{Output, money, money_json, receipt},
    read::channel,
    write::{context, the_channel},
};
use crate::{
    api::{teller::v1::SetSpendingLimitRequest, v1::Spending},
    client::Client,
};

/// Arguments of `account spending-limit`.
#[derive(Debug, Args)]
pub struct SpendingLimitArguments {
    /// The account's id.
    pub account: String,
    /// Whose spending is limited. (--channel is where this command came in.)
    #[arg(value_enum)]
    pub by: Channel,
    /// The most in one transaction, in the account's currency, such as 200.00. Left out: any amount.
    #[arg(long, value_name = "NUMBER", required_unless_present_any = ["per_day", "none"])]
    pub per_transaction: Option<String>,
    /// The most on one business day, such as 1000.00. Left out: any amount.
    #[arg(long, value_name = "NUMBER")]
    pub per_day: Option<String>,
    /// Limit nothing from now on.
    #[arg(long, conflicts_with_all = ["per_transaction", "per_day"])]
    pub none: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Changes a spending limit.
pub async fn limit(client: &Client, given: SpendingLimitArguments) -> Result<Output, Failure> {
    let account = client.account(&given.account).await?.account;
    let currency = account.unwrap_or_default().currency;
    let units = |number: Option<String>| {
        let money = number.map(|number| amount::in_currency(&number, &currency));
        Ok::<_, Failure>(money.transpose()?.map(|money| money.minor_units))
    };
    let request = SetSpendingLimitRequest {
        per_transaction_minor_units: units(given.per_transaction)?,
        per_day_minor_units: units(given.per_day)?,
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        channel: the_channel(given.by).into(),
    };
    let reply = client.set_spending_limit(request).await?;
    Ok(receipt(&reply.receipt, &[]))
}

/// What may be spent by a channel, and what was, as people read it.
pub fn text(spending: &Spending) -> String {
    let mut parts = Vec::new();
    if spending.per_transaction.is_some() {
        let most = money(&spending.per_transaction);
        parts.push(format!("{most} in one transaction"));
    }
    if spending.per_day.is_some() {
        parts.push(format!("{} a day", money(&spending.per_day)));
    }
    let limits = match parts.is_empty() {
        true => "any amount".to_owned(),
        false => parts.join(", "),
    };
    let (spent, date) = (money(&spending.spent), &spending.business_date);
    let left = match spending.left {
        Some(_) if spending.in_excess => {
            ", IN EXCESS of its daily limit: nothing more before the next business day".to_owned()
        }
        Some(_) => format!(", {} left", money(&spending.left)),
        None => String::new(),
    };
    let by = channel(spending.channel());
    format!("by {by}: {limits}; spent {spent} on {date}{left}")
}

/// The same as programs read it.
pub fn json(spending: &Spending) -> Value {
    json!({
        "channel": channel(spending.channel()),
        "per_transaction": money_json(&spending.per_transaction),
        "per_day": money_json(&spending.per_day),
        "business_date": spending.business_date,
        "spent": money_json(&spending.spent),
        "left": money_json(&spending.left),
        "in_excess": spending.in_excess,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1::{self, Money};

    fn eur(minor_units: i64) -> Option<Money> {
        Some(Money {
            minor_units,
            currency: "EUR".to_owned(),
        })
    }

    #[test]
    fn what_is_left_is_said_and_an_excess_is_not_overlooked() {
        let mut spending = Spending {
            channel: v1::Channel::Card.into(),
            per_transaction: eur(5_000),
            per_day: eur(10_000),
            business_date: "2026-11-21".to_owned(),
            spent: eur(8_000),
            left: eur(2_000),
            in_excess: false,
        };
        assert_eq!(
            text(&spending),
            "by card: 50.00 EUR in one transaction, 100.00 EUR a day; spent 80.00 EUR on \
             2026-11-21, 20.00 EUR left"
        );
        (spending.per_day, spending.left, spending.in_excess) = (eur(5_000), eur(0), true);
        assert!(text(&spending).contains("IN EXCESS"), "{}", text(&spending));
        assert_eq!(json(&spending)["in_excess"], true);
        (spending.per_day, spending.left, spending.in_excess) = (None, None, false);
        spending.per_transaction = None;
        assert_eq!(
            text(&spending),
            "by card: any amount; spent 80.00 EUR on 2026-11-21"
        );
    }
}

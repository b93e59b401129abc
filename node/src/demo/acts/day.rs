//! A business day is closed, and what is booked into it afterwards.

use std::collections::BTreeMap;

use super::{Cluster, Error, Screen, call, dollars, holds, receipt, row, usd};
use crate::{
    api::{
        teller::v1::{
            CloseDayRequest, DepositRequest, OpenAccountRequest, ShardDay, ShowDayRequest,
        },
        v1::{CommandContext, Receipt},
    },
    client::{Client, Error as CallError},
};

const REGION: &str = "eu-west";
/// Where it is closed from.
const ABROAD: &str = "us-east";
const FORGOTTEN: i64 = 4_200;

pub(super) async fn is_closed(cluster: &Cluster, screen: &mut Screen) -> Result<(), Error> {
    screen.act(&format!("8. The business day of {REGION} is closed"));
    let client = cluster.client_near(ABROAD)?;
    let opening = OpenAccountRequest {
        home_region: REGION.to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    let account = call("open account", client.open_account(opening).await)?.account_id;
    let asked = ShowDayRequest {
        region: REGION.to_owned(),
        ..Default::default()
    };
    let before = call("show day", client.show_day(asked.clone()).await)?;
    let today = before.business_date;
    let close = CloseDayRequest {
        region: REGION.to_owned(),
        date: today.clone(),
        ..Default::default()
    };
    let closed = call("close day", client.close_day(close.clone()).await)?;
    let mut rows = vec![row(["frozen", "debit", "credit"])];
    for day in &closed.shards {
        for (kind, (debit, credit)) in by_type(day) {
            let what = format!("shard {}, {kind}", day.shard);
            rows.push([what, dollars(debit), dollars(credit)]);
        }
    }
    screen.table(&rows);
    let late = deposit(&client, &account, &today, false).await;
    let forgotten = deposit(&client, &account, &today, true).await;
    let forgotten = call("deposit", forgotten)?;
    let again = call("close day", client.close_day(close).await)?;
    let after = call("show day", client.show_day(asked).await)?;
    let code = late.as_ref().err().and_then(CallError::code);
    screen.say(&format!(
        "\n  Closed from {ABROAD}, in each shard by its own log: {today} is over, {} has begun.\n\
         \x20 A deposit as of the closed day: {}. Asked for by name it is booked, and says so\n\
         \x20 for ever. What was frozen stays as it was.",
        after.business_date,
        code.unwrap_or_default(),
    ));
    holds(closed.closed && after.business_date > today, || {
        "the day is closed in every shard".to_owned()
    })?;
    holds(code == Some("DAY_CLOSED"), || {
        "nothing is booked into a closed day by mistake".to_owned()
    })?;
    holds(forgotten.into_closed_day, || {
        "what is booked into a closed day says so".to_owned()
    })?;
    let frozen = |days: &[ShardDay]| days.iter().map(|day| day.close.clone()).collect::<Vec<_>>();
    holds(frozen(&closed.shards) == frozen(&again.shards), || {
        "what was frozen stays".to_owned()
    })
}

async fn deposit(
    client: &Client,
    account: &str,
    date: &str,
    into_closed_day: bool,
) -> Result<Receipt, CallError> {
    let request = DepositRequest {
        context: Some(CommandContext {
            effective_date: date.to_owned(),
            into_closed_day,
            ..Default::default()
        }),
        account_id: account.to_owned(),
        amount: Some(usd(FORGOTTEN)),
        ..Default::default()
    };
    let reply = client.deposit(request).await?;
    receipt(reply.receipt).map_err(|error| CallError::Malformed(error.to_string()))
}

/// What was frozen of a shard, debit and credit by type of account.
fn by_type(day: &ShardDay) -> BTreeMap<String, (i64, i64)> {
    let mut sums: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in day.close.iter().flat_map(|close| &close.rows) {
        let (debit, credit) = sums.entry(row.r#type.clone()).or_default();
        *debit += row.debit_minor_units;
        *credit += row.credit_minor_units;
    }
    sums
}

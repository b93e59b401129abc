use serde_json::json;

use super::exit::{self, Failure};
use super::output::{Output, money, position, position_json, served_by_json, time, time_json};
use crate::api::v1::Money;
use crate::client::Client;

pub async fn trial_balance(client: &Client, at: &str) -> Result<Output, Failure> {
    let reply = client.trial_balance(at).await?;
    let amount = |minor_units, currency: &str| {
        money(&Some(Money {
            minor_units,
            currency: currency.to_owned(),
        }))
    };
    let mut text = format!("Trial balance at {}\n\n", time(&reply.at));
    text.push_str(&format!(
        "{:16} {:>5} {:14} {:>20} {:>20}\n",
        "REGION", "SHARD", "ACCOUNT", "DEBIT", "CREDIT"
    ));
    for row in &reply.rows {
        let debit = amount(row.debit_minor_units, &row.currency);
        let credit = amount(row.credit_minor_units, &row.currency);
        text.push_str(&format!(
            "{:16} {:>5} {:14} {debit:>20} {credit:>20}\n",
            row.region, row.shard, row.account
        ));
    }
    text.push('\n');
    for total in &reply.totals {
        let sum = total
            .credit_minor_units
            .saturating_sub(total.debit_minor_units);
        text.push_str(&format!(
            "Book {} sums to {}.\n",
            position(&total.position),
            amount(sum, &total.currency)
        ));
    }
    for channel in &reply.channels {
        let under_way = amount(channel.under_way_minor_units, &channel.currency);
        let verdict = if channel.matched {
            "matched item by item".to_owned()
        } else {
            format!("DIFFERS: {}", channel.difference)
        };
        text.push_str(&format!(
            "Channel {} to {}: {} under way ({under_way}), {verdict}.\n",
            channel.from_shard, channel.to_shard, channel.items_under_way
        ));
    }
    for account in &reply.unlimited_account_ids {
        text.push_str(&format!("Without a limit: {account}\n"));
    }
    text.push_str(if reply.balanced {
        "\nBalanced.\n"
    } else {
        "\nNOT BALANCED.\n"
    });
    let json = json!({
        "at": time_json(&reply.at),
        "balanced": reply.balanced,
        "rows": reply.rows.iter().map(|row| json!({
            "region": row.region, "shard": row.shard, "currency": row.currency,
            "account": row.account, "debit_minor_units": row.debit_minor_units,
            "credit_minor_units": row.credit_minor_units,
        })).collect::<Vec<_>>(),
        "totals": reply.totals.iter().map(|total| json!({
            "region": total.region, "position": position_json(&total.position),
            "currency": total.currency, "debit_minor_units": total.debit_minor_units,
            "credit_minor_units": total.credit_minor_units, "accounts": total.accounts,
        })).collect::<Vec<_>>(),
        "channels": reply.channels.iter().map(|channel| json!({
            "from_shard": channel.from_shard, "to_shard": channel.to_shard,
            "currency": channel.currency, "items_under_way": channel.items_under_way,
            "under_way_minor_units": channel.under_way_minor_units,
            "items_sent": channel.items_sent, "items_taken": channel.items_taken,
            "matched": channel.matched, "difference": channel.difference,
        })).collect::<Vec<_>>(),
        "unlimited_account_ids": reply.unlimited_account_ids,
        "served_by": served_by_json(&reply.served_by),
    });
    let exit_code = if reply.balanced {
        exit::OK
    } else {
        exit::DIFFERS
    };
    Ok(Output {
        text,
        json,
        exit_code,
    })
}

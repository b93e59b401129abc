//! `meridian trial-balance`: all books at one time, or some of them.

use clap::Args;
use serde_json::json;

use super::exit::{self, Failure};
use super::output::{Output, money, position, position_json, served_by_json, time, time_json};
use super::status::age;
use crate::api::UNKNOWN_AGE_MS;
use crate::api::teller::v1::{
    ChannelTotal, TrialBalanceReply, TrialBalanceRequest, trial_balance_request::Scope,
};
use crate::api::v1::Money;
use crate::client::Client;

/// Which books, and at which time.
#[derive(Debug, Args)]
pub struct TrialBalanceArguments {
    /// The time, as an earlier answer wrote it. Default: the newest possible.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "",
        hide_default_value = true
    )]
    at: String,
    /// At the newest time up to which every shard is complete at the asked node: no other is asked.
    #[arg(long, conflicts_with = "at")]
    cut: bool,
    /// Only the book of this shard, and its channels.
    #[arg(long, value_name = "NUMBER", conflicts_with = "region")]
    shard: Option<u32>,
    /// Only the books of the shards whose home is this region, and their channels.
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The rows and channels as CSV, in minor units.
    #[arg(long)]
    csv: bool,
}

pub async fn trial_balance(
    client: &Client,
    given: TrialBalanceArguments,
) -> Result<Output, Failure> {
    let region = given.region.map(Scope::Region);
    let request = TrialBalanceRequest {
        at_hlc: given.at,
        at_cut: given.cut,
        scope: given.shard.map(Scope::Shard).or(region),
    };
    let reply = client.trial_balance_of(request).await?;
    let output = told(&reply);
    Ok(match given.csv {
        true => Output {
            text: csv(&reply),
            ..output
        },
        false => output,
    })
}

/// One line for each row and each channel, with a header. No field has a comma in it.
fn csv(reply: &TrialBalanceReply) -> String {
    let at = time(&reply.at);
    let mut text = "at,kind,region,shard,to_shard,currency,account,type,debit_minor_units,\
                    credit_minor_units,items_under_way,under_way_minor_units,oldest_under_way,\
                    matched,differences\n"
        .to_owned();
    for row in &reply.rows {
        text.push_str(&format!(
            "{at},row,{},{},,{},{},{},{},{},,,,,\n",
            row.region,
            row.shard,
            row.currency,
            row.account,
            row.r#type,
            row.debit_minor_units,
            row.credit_minor_units
        ));
    }
    for channel in &reply.channels {
        let codes: Vec<_> = channel
            .differences
            .iter()
            .map(|it| it.code.as_str())
            .collect();
        text.push_str(&format!(
            "{at},channel,,{},{},{},,,,,{},{},{},{},{}\n",
            channel.from_shard,
            channel.to_shard,
            channel.currency,
            channel.items_under_way,
            channel.under_way_minor_units,
            oldest(channel),
            channel.matched,
            codes.join(" ")
        ));
    }
    text
}

/// When the oldest item under way was sent; empty where none is.
fn oldest(channel: &ChannelTotal) -> String {
    match channel.oldest_under_way {
        Some(_) => time(&channel.oldest_under_way),
        None => String::new(),
    }
}

fn told(reply: &TrialBalanceReply) -> Output {
    let amount = |minor_units, currency: &str| {
        money(&Some(Money {
            minor_units,
            currency: currency.to_owned(),
        }))
    };
    let mut text = format!("Trial balance at {}\n", time(&reply.at));
    if reply.staleness_bound_ms.is_some() {
        let shards: Vec<_> = reply.held_back_by.iter().map(u32::to_string).collect();
        let known = reply.staleness_bound_ms.filter(|ms| *ms != UNKNOWN_AGE_MS);
        text.push_str(&format!(
            "The cut here: {} old at most, held back by shard {}\n",
            age(true, known),
            shards.join(", ")
        ));
    }
    text.push('\n');
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
            let each = channel.differences.iter();
            let each: Vec<_> = each.map(|it| format!("{} {}", it.code, it.what)).collect();
            format!("DIFFERS: {}", each.join("; "))
        };
        let since = match channel.oldest_under_way {
            Some(_) => format!(", the oldest since {}", oldest(channel)),
            None => String::new(),
        };
        text.push_str(&format!(
            "Channel {} to {}: {} under way ({under_way}{since}), {verdict}.\n",
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
            "oldest_under_way": time_json(&channel.oldest_under_way),
            "differences": channel.differences.iter().map(|it| json!({
                "code": it.code, "what": it.what,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "unlimited_account_ids": reply.unlimited_account_ids,
        "served_by": served_by_json(&reply.served_by),
        "staleness_bound_ms": reply.staleness_bound_ms,
        "held_back_by": reply.held_back_by,
    });
    let exit_code = if reply.balanced {
        exit::OK
    } else {
        exit::DIFFERS
    };
    Output {
        text,
        json,
        exit_code,
    }
}

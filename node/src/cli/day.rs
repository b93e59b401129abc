use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{self, Failure};
use super::output::{
    Output, money, position, position_json, rejection_json, served_by_json, time, time_json,
};
use crate::api::teller::v1::{CloseDayRequest, DayClose, ShardDay, ShowDayRequest};
use crate::api::v1::{CommandContext, Money};
use crate::client::Client;

/// What to do with a business day.
#[derive(Debug, Subcommand)]
pub enum DayCommand {
    /// Close a day in every shard of a region, with all days before it, and freeze its trial balance.
    /// Privileged. Asked again it answers the same.
    Close(CloseArguments),
    /// Show what day it is in a region, and what was frozen with one: the last closed, or the one
    /// named.
    Show {
        /// The region.
        region: String,
        /// Which day, such as 2026-11-21.
        #[arg(long, default_value = "")]
        date: String,
    },
}

/// Arguments of `day close`.
#[derive(Debug, Args)]
pub struct CloseArguments {
    /// The region.
    pub region: String,
    /// Which day, such as 2026-11-21. Default: the region's business date.
    #[arg(long, default_value = "")]
    pub date: String,
    /// The idempotency key. Default: a new one.
    #[arg(long, default_value = "")]
    pub key: String,
    /// Why. Not for personal data.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Only tell what would be frozen: nothing is recorded.
    #[arg(long)]
    pub dry_run: bool,
}

pub async fn day(client: &Client, command: DayCommand) -> Result<Output, Failure> {
    match command {
        DayCommand::Close(given) => close(client, given).await,
        DayCommand::Show { region, date } => show(client, region, date).await,
    }
}

async fn close(client: &Client, given: CloseArguments) -> Result<Output, Failure> {
    let date = match given.date.is_empty() {
        true => business_date(client, &given.region).await?,
        false => given.date,
    };
    let request = CloseDayRequest {
        context: Some(CommandContext {
            idempotency_key: given.key,
            reason: given.reason,
            dry_run: given.dry_run,
            ..CommandContext::default()
        }),
        region: given.region,
        date,
        shard: None,
    };
    let reply = client.close_day(request).await?;
    let mut text = format!("Day {} of {}\n", reply.date, reply.region);
    for day in &reply.shards {
        let what = match (&day.close, given.dry_run) {
            (Some(_), _) if day.closed_before => "had closed it before",
            (Some(_), true) => "would close it",
            (Some(_), false) => "has closed it",
            (None, _) => "has not closed it",
        };
        text.push_str(&shard_text(day, what));
    }
    let all_answered = reply.shards.iter().all(|day| day.rejection.is_none());
    text.push_str(match (all_answered, given.dry_run) {
        (true, true) => "\nNothing was closed.\n",
        (true, false) => "\nClosed.\n",
        (false, _) => "\nNOT CLOSED EVERYWHERE. Ask again.\n",
    });
    if !given.dry_run {
        text.push_str(&format!("key {}\n", reply.idempotency_key));
    }
    let json = json!({
        "region": reply.region,
        "date": reply.date,
        "closed": reply.closed,
        "dry_run": given.dry_run,
        "shards": reply.shards.iter().map(shard_json).collect::<Vec<_>>(),
        "key": reply.idempotency_key,
        "served_by": served_by_json(&reply.served_by),
    });
    let exit_code = exit_code(&reply.shards);
    Ok(Output {
        text,
        json,
        exit_code,
    })
}

/// The worst of what became of the shards.
fn exit_code(shards: &[ShardDay]) -> u8 {
    let refused = shards.iter().filter_map(|day| day.rejection.as_ref());
    let codes = refused.map(|why| match why.code.as_str() {
        "OUTCOME_UNKNOWN" => exit::UNKNOWN,
        _ if why.retryable && !why.recorded => exit::UNAVAILABLE,
        _ => exit::REJECTED,
    });
    let worst = codes.max_by_key(|code| (*code == exit::REJECTED, *code));
    worst.unwrap_or(exit::OK)
}

/// The day that it is in all shards of a region. While one of them does not answer, it is not known,
/// and closing another day by mistake could not be undone.
async fn business_date(client: &Client, region: &str) -> Result<String, Failure> {
    let request = ShowDayRequest {
        region: region.to_owned(),
        ..ShowDayRequest::default()
    };
    let today = client.show_day(request).await?.business_date;
    match today.is_empty() {
        true => {
            let what = format!("not every shard of {region} answers: say which day, with --date");
            Err(Failure::Usage(what))
        }
        false => Ok(today),
    }
}

async fn show(client: &Client, region: String, date: String) -> Result<Output, Failure> {
    let request = ShowDayRequest {
        region,
        date: date.clone(),
        shard: None,
    };
    let reply = client.show_day(request).await?;
    let today = match reply.business_date.as_str() {
        "" => "not known",
        today => today,
    };
    let mut text = format!("Business date of {}: {today}\n", reply.region);
    for day in &reply.shards {
        let what = match (&day.close, day.closed_through.as_str()) {
            (Some(close), _) => format!("closed {}", close.date),
            (None, "") => "has closed no day".to_owned(),
            (None, through) => format!("has closed all days through {through}"),
        };
        text.push_str(&shard_text(day, &what));
    }
    let json = json!({
        "region": reply.region,
        "business_date": reply.business_date,
        "shards": reply.shards.iter().map(shard_json).collect::<Vec<_>>(),
        "served_by": served_by_json(&reply.served_by),
    });
    let exit_code = exit_code(&reply.shards);
    Ok(Output {
        text,
        json,
        exit_code,
    })
}

fn shard_text(day: &ShardDay, what: &str) -> String {
    let shard = day.shard;
    if let Some(why) = &day.rejection {
        return format!("\nShard {shard}: {}: {}\n", why.code, why.message);
    }
    let mut text = format!("\nShard {shard} {what}");
    let Some(close) = &day.close else {
        text.push_str(".\n");
        return text;
    };
    if close.position.is_some() {
        let (at, when) = (position(&close.position), time(&close.time));
        text.push_str(&format!(", at {at}, {when}, by {}", close.actor));
    }
    text.push_str(".\n");
    text.push_str(&format!(
        "{:14} {:10} {:>20} {:>20}\n",
        "ACCOUNT", "TYPE", "DEBIT", "CREDIT"
    ));
    for row in &close.rows {
        let amount = |minor_units| {
            money(&Some(Money {
                minor_units,
                currency: row.currency.clone(),
            }))
        };
        let (debit, credit) = (
            amount(row.debit_minor_units),
            amount(row.credit_minor_units),
        );
        text.push_str(&format!(
            "{:14} {:10} {debit:>20} {credit:>20}\n",
            row.account, row.r#type
        ));
    }
    text
}

fn shard_json(day: &ShardDay) -> Value {
    json!({
        "shard": day.shard,
        "business_date": day.business_date,
        "closed_through": day.closed_through,
        "closed_before": day.closed_before,
        "close": day.close.as_ref().map(close_json),
        "rejection": rejection_json(&day.rejection),
    })
}

fn close_json(close: &DayClose) -> Value {
    let rows = close.rows.iter().map(|row| {
        json!({
            "currency": row.currency,
            "account": row.account,
            "type": row.r#type,
            "debit_minor_units": row.debit_minor_units,
            "credit_minor_units": row.credit_minor_units,
        })
    });
    json!({
        "date": close.date,
        "transaction_id": close.transaction_id,
        "position": position_json(&close.position),
        "time": time_json(&close.time),
        "actor": close.actor,
        "rows": rows.collect::<Vec<_>>(),
    })
}

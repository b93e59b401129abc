//! What changes on accounts, a line for each change as it comes.

use std::collections::BTreeSet;
use std::io::{self, Write as _};

use clap::Args;
use futures_util::StreamExt as _;
use ledger_domain::CustomerId;
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Output, money, money_json, position_json, served_by_json, time, time_json};
use super::statement;
use crate::api::UNKNOWN_AGE_MS;
use crate::api::atm::v1::{WatchChange, WatchReply, WatchRequest, WatchedCustomer};
use crate::client::{self, Client};

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArguments {
    /// The accounts' ids, up to 1,000, or a customer's: all accounts that it has and gets.
    #[arg(required = true, value_name = "ACCOUNT|CUSTOMER")]
    pub accounts: Vec<String>,
    /// Go on after what was told up to a token; an earlier run ends with one, and JSON lines have them.
    /// Default: begin with the balances as they are.
    #[arg(long, value_name = "TOKEN", default_value = "")]
    pub from: String,
    /// End after so many lines. Default: when it is interrupted.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Prints until it is told to stop. What is left to say goes to standard error.
pub async fn watch(client: &Client, given: WatchArguments, json: bool) -> Result<Output, Failure> {
    let mut token = given.from.clone();
    let mut watched = WatchRequest {
        resume_token: given.from,
        ..WatchRequest::default()
    };
    match given.accounts.as_slice() {
        [id] if id.starts_with(CustomerId::PREFIX) => watched.customer_id.clone_from(id),
        _ => watched.account_ids = given.accounts,
    }
    let mut replies = client.watch(watched);
    let mut known = None;
    let mut left = given.count;
    while left != Some(0) {
        let reply = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => break,
            reply = replies.next() => reply,
        };
        let Some(reply) = reply else {
            break;
        };
        let reply = reply.inspect_err(|_| say_where(&token, json))?;
        let most = left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let lines = lines(&mut known, &reply, json);
        let shown = &lines[..lines.len().min(most)];
        let mut out = io::stdout().lock();
        let written = shown.iter().try_for_each(|line| writeln!(out, "{line}"));
        if let Err(error) = written.and_then(|()| out.flush()) {
            // Nobody may be reading any more, as in `meridian watch … | head`.
            if error.kind() == io::ErrorKind::BrokenPipe {
                break;
            }
            let message = format!("write the answer: {error}");
            return Err(client::Error::Malformed(message).into());
        }
        drop(out);
        left = left.map(|left| left.saturating_sub(shown.len() as u64));
        if shown.len() == lines.len() {
            token = reply.resume_token;
        }
    }
    say_where(&token, json);
    Ok(Output::ok(String::new(), Value::Null))
}

/// Tells a person how to go on; programs have it in their lines.
fn say_where(token: &str, json: bool) {
    if !token.is_empty() && !json {
        eprintln!("To go on from here: --from {token}");
    }
}

/// A customer's accounts as they were told last, and what a reply tells.
fn lines(known: &mut Option<BTreeSet<String>>, reply: &WatchReply, json: bool) -> Vec<String> {
    let mut lines = match &reply.customer {
        Some(customer) => had(known, customer, reply, json),
        None => Vec::new(),
    };
    lines.extend(changes(reply, json));
    lines
}

/// Which accounts a customer has got, and which it has no more.
fn had(
    known: &mut Option<BTreeSet<String>>,
    customer: &WatchedCustomer,
    reply: &WatchReply,
    json: bool,
) -> Vec<String> {
    let now: BTreeSet<String> = customer.account_ids.iter().cloned().collect();
    let before = known.replace(now.clone());
    if json {
        return vec![
            json!({
                "customer": {
                    "account_ids": now,
                    "position": position_json(&customer.position),
                    "true_at": time_json(&reply.customer_true_at),
                },
                "resume_token": reply.changes.is_empty().then_some(&reply.resume_token),
            })
            .to_string(),
        ];
    }
    let at = time(&reply.customer_true_at);
    let Some(before) = before else {
        return vec![format!("{at}  the customer's accounts: {}", now.len())];
    };
    let got = now.difference(&before).map(|id| (id, "attached"));
    let lost = before.difference(&now).map(|id| (id, "detached"));
    let told = got
        .chain(lost)
        .map(|(id, what)| format!("{at}  {id}  {what}"));
    told.collect()
}

fn changes(reply: &WatchReply, json: bool) -> Vec<String> {
    let last = reply.changes.len().saturating_sub(1);
    let changes = reply.changes.iter().enumerate();
    let line = |(n, change)| match json {
        true => change_json(change, reply, n == last).to_string(),
        false => text(change, reply),
    };
    changes.map(line).collect()
}

fn text(change: &WatchChange, reply: &WatchReply) -> String {
    let (at, amount, kind, with) = match &change.line {
        Some(line) => {
            let with = line.counterparty.as_str();
            (
                time(&line.booked_at),
                money(&line.amount),
                line.kind.as_str(),
                with,
            )
        }
        None => (time(&reply.true_at), String::new(), "balance", ""),
    };
    let available = match &change.available {
        Some(_) => format!("available {}", money(&change.available)),
        None => String::new(),
    };
    let posted = money(&change.posted);
    let line = format!(
        "{at}  {}  {kind:12} {amount:>18}  {posted:>18}  {available:>28}  {with}",
        change.account_id
    );
    line.trim_end().to_owned()
}

fn change_json(change: &WatchChange, reply: &WatchReply, is_last: bool) -> Value {
    let mut line = change.line.as_ref().map(statement::line_json);
    if let Some(Value::Object(fields)) = &mut line {
        // They are not told here, whoever asks.
        for words in ["memo", "correlation_id", "external_reference", "reason"] {
            fields.remove(words);
        }
    }
    let age = reply.staleness_bound_ms;
    json!({
        "account_id": change.account_id,
        "version": change.version,
        "posted": money_json(&change.posted),
        "held": money_json(&change.held),
        "available": money_json(&change.available),
        "line": line,
        "position": position_json(&reply.position),
        "true_at": time_json(&reply.true_at),
        "staleness_bound_ms": (age != UNKNOWN_AGE_MS).then_some(age),
        "served_by": served_by_json(&reply.served_by),
        // What comes before it in the same reply is covered with it.
        "resume_token": is_last.then_some(&reply.resume_token),
    })
}

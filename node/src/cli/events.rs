//! Events as the log has them, a line for each as it comes.

use std::io::{self, Write as _};

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::amount;
use super::args::Channel;
use super::exit::Failure;
use super::moment;
use super::output::{Output, money_json, position_json, served_by_json, time, time_json};
use super::read;
use super::write::the_channel;
use crate::api::UNKNOWN_AGE_MS;
use crate::api::events::v1::{
    AccountAfter, Command, End, Event, Filter, Order, Positions, ReadReply, ReadRequest,
    read_request::{Of, Start},
};
use crate::api::v1::ServedBy;
use crate::client::{self, Client};

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct EventsArguments {
    #[command(flatten)]
    pub of: OfArguments,
    /// Where to begin: `end`, a position such as 1:1:42, a time, or the cursor that an earlier run ended
    /// with. Default: with the first event.
    #[arg(long, value_name = "START", value_parser = start, default_value = "beginning")]
    pub from: From,
    /// By time over all shards of the region: each event once all that is earlier is told.
    #[arg(long)]
    pub cut: bool,
    /// End where all is told that is known now. Default: go on until it is interrupted.
    #[arg(long)]
    pub until_now: bool,
    /// End after so many events. What is printed to go on from may tell the last reply's again.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    #[command(flatten)]
    pub filter: FilterArguments,
}

/// Which events.
#[derive(Debug, Args)]
pub struct FilterArguments {
    /// Only events of these kinds, such as FundsDeposited.
    #[arg(long = "kind", value_name = "KIND")]
    pub kinds: Vec<String>,
    /// Only events that name one of these accounts.
    #[arg(long = "about", value_name = "ACCOUNT")]
    pub about: Vec<String>,
    /// Only what came in by these channels.
    #[arg(long = "channel", value_name = "CHANNEL", value_enum)]
    pub channels: Vec<Channel>,
    /// Only what the ledger did by itself, or took from another shard.
    #[arg(long, conflicts_with = "channels")]
    pub system: bool,
    /// Only what these asked for.
    #[arg(long = "actor", value_name = "NAME")]
    pub actors: Vec<String>,
    /// Only events that name an amount of at least this, such as `100.00 EUR`.
    #[arg(long, value_name = "AMOUNT")]
    pub minimum: Option<String>,
}

/// Whose events.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct OfArguments {
    /// Those that name an account, out of its shard.
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Those of a shard.
    #[arg(long, value_name = "NUMBER")]
    pub shard: Option<u32>,
    /// Those of all shards of a region.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

/// Where to begin.
#[derive(Debug, Clone)]
pub struct From(pub(super) Option<Start>);

pub(super) fn start(text: &str) -> Result<From, String> {
    let start = match text {
        "beginning" => return Ok(From(None)),
        "end" => Start::End(End {}),
        cursor if cursor.contains('_') => Start::Cursor(cursor.to_owned()),
        other => match (moment::position(other), moment::time(other)) {
            (Ok(position), _) => Start::Positions(Positions {
                positions: vec![position],
            }),
            (_, Ok(time)) => Start::Time(time),
            _ => {
                let what = "beginning, end, a position such as 1:1:42, a time, or a cursor";
                return Err(what.to_owned());
            }
        },
    };
    Ok(From(Some(start)))
}

fn request(given: &EventsArguments) -> Result<ReadRequest, Failure> {
    let of = match &given.of {
        OfArguments {
            account: Some(account),
            ..
        } => Of::AccountId(account.clone()),
        OfArguments {
            shard: Some(shard), ..
        } => Of::Shard(*shard),
        OfArguments { region, .. } => Of::Region(region.clone().unwrap_or_default()),
    };
    let order = match given.cut {
        true => Order::Cut,
        false => Order::Shard,
    };
    Ok(ReadRequest {
        of: Some(of),
        order: order.into(),
        start: given.from.0.clone(),
        until_now: given.until_now,
        filter: Some(given.filter.filter()?),
        with_stored: false,
    })
}

impl FilterArguments {
    /// As it is asked for.
    pub(super) fn filter(&self) -> Result<Filter, Failure> {
        let minimum = self.minimum.as_deref().map(amount::of).transpose()?;
        let minimum = minimum.unwrap_or_default();
        let stated = self.channels.iter().map(|it| the_channel(*it));
        let system = self.system.then_some(crate::api::v1::Channel::System);
        let channels = stated.chain(system).map(|it| it as i32);
        Ok(Filter {
            kinds: self.kinds.clone(),
            account_ids: self.about.clone(),
            channels: channels.collect(),
            actors: self.actors.clone(),
            minimum_minor_units: minimum.minor_units,
            currency: minimum.currency,
        })
    }
}

/// Prints until all is told, or until it is told to stop. What is left to say goes to standard error.
pub async fn events(
    client: &Client,
    given: EventsArguments,
    json: bool,
) -> Result<Output, Failure> {
    let request = request(&given)?;
    let mut cursor = match &request.start {
        Some(Start::Cursor(cursor)) => cursor.clone(),
        _ => String::new(),
    };
    let mut replies = client.read_events(request);
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
        let reply = reply.inspect_err(|_| say_where(&cursor, json))?;
        let most = left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let lines = lines(&reply, json);
        let shown = &lines[..lines.len().min(most)];
        let mut out = io::stdout().lock();
        let written = shown.iter().try_for_each(|line| writeln!(out, "{line}"));
        if let Err(error) = written.and_then(|()| out.flush()) {
            // Nobody may be reading any more, as in `meridian events … | head`.
            if error.kind() == io::ErrorKind::BrokenPipe {
                break;
            }
            let message = format!("write the answer: {error}");
            return Err(client::Error::Malformed(message).into());
        }
        drop(out);
        left = left.map(|left| left.saturating_sub(shown.len() as u64));
        if shown.len() == lines.len() {
            cursor = reply.cursor;
        }
    }
    say_where(&cursor, json);
    Ok(Output::ok(String::new(), Value::Null))
}

/// Tells a person how to go on; programs have it in their lines.
fn say_where(cursor: &str, json: bool) {
    if !cursor.is_empty() && !json {
        eprintln!("To go on from here: --from {cursor}");
    }
}

fn lines(reply: &ReadReply, json: bool) -> Vec<String> {
    let last = reply.events.len().saturating_sub(1);
    let events = reply.events.iter().enumerate();
    let line = |(n, event): (usize, &Event)| {
        if !json {
            return event_text(event);
        }
        let shard = event.position.as_ref().map(|it| it.shard);
        let mut watermarks = reply.watermarks.iter();
        let own = watermarks.find(|it| it.position.as_ref().map(|it| it.shard) == shard);
        let age = own.map_or(UNKNOWN_AGE_MS, |it| it.staleness_bound_ms);
        // What comes before it in the same reply is covered with it.
        let cursor = (n == last).then_some(reply.cursor.as_str());
        event_json(event, age, &reply.served_by, cursor).to_string()
    };
    events.map(line).collect()
}

pub(super) fn event_text(event: &Event) -> String {
    let amounts: Vec<_> = event.amounts.iter().map(amount::render).collect();
    let by = match &event.command {
        Some(command) => format!("by {}", command.actor),
        None => "by the ledger".to_owned(),
    };
    let line = format!(
        "{}  {}/{}  {:18} {:>18}  {}  {by}",
        time(&event.time),
        event.transaction_id,
        event.place,
        event.kind,
        amounts.join(" "),
        event.account_ids.join(" "),
    );
    line.trim_end().to_owned()
}

pub(super) fn event_json(
    event: &Event,
    age: u64,
    served_by: &Option<ServedBy>,
    cursor: Option<&str>,
) -> Value {
    let amounts = event.amounts.iter().map(|it| money_json(&Some(it.clone())));
    json!({
        "kind": event.kind,
        "transaction_id": event.transaction_id,
        "place": event.place,
        "position": position_json(&event.position),
        "time": time_json(&event.time),
        "business_date": event.business_date,
        "after": event.after.iter().map(after_json).collect::<Vec<_>>(),
        "account_ids": event.account_ids,
        "amounts": amounts.collect::<Vec<_>>(),
        "refers_to": event.refers_to,
        "memo": event.memo,
        "command": event.command.as_ref().map(command_json),
        "staleness_bound_ms": (age != UNKNOWN_AGE_MS).then_some(age),
        "served_by": served_by_json(served_by),
        "cursor": cursor,
    })
}

fn after_json(after: &AccountAfter) -> Value {
    json!({
        "account_id": after.account_id,
        "posted_minor_units": after.posted_minor_units,
        "held_minor_units": after.held_minor_units,
        "version": after.version,
    })
}

fn command_json(command: &Command) -> Value {
    json!({
        "kind": read::kind(command.kind()),
        "account_id": command.account_id,
        "actor": command.actor,
        "authenticated": command.authenticated,
        "channel": read::channel(command.channel()),
        "privileged": command.privileged,
        "correlation_id": command.correlation_id,
        "reason": command.reason,
        "effective_date": command.effective_date,
        "into_closed_day": command.into_closed_day,
        "group_item": command.group_item,
        "group_of": command.group_of,
        "memo": command.memo,
        "external_reference": command.external_reference,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin_is_read_as_people_write_it() {
        assert_eq!(start("beginning").unwrap().0, None);
        assert_eq!(start("end").unwrap().0, Some(Start::End(End {})));
        let cursor = "1_1_7~2_1_9_3";
        let found = start(cursor).unwrap().0;
        assert_eq!(found, Some(Start::Cursor(cursor.to_owned())));
        let found = start("1:1:42").unwrap().0;
        assert!(matches!(found, Some(Start::Positions(it)) if it.positions[0].index == 42));
        let found = start("2026-11-21T10:00:00Z").unwrap().0;
        assert!(matches!(found, Some(Start::Time(_))));
        assert!(start("somewhere").is_err());
    }
}

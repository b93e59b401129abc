//! `meridian consumer`.

use std::io::{self, Write as _};
use std::process::Stdio;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process};

use super::args::ContextArguments;
use super::events::{FilterArguments, From, event_json, event_text};
use super::exit::Failure;
use super::output::{Output, fields, position_json, receipt, served_by_json};
use super::write::context;
use crate::api::consumers::v1::{
    Consumer as Shown, CreateConsumerRequest, Delivery, Join, MoveConsumerRequest, Order,
    RemoveConsumerRequest, ResumeConsumerRequest, Share,
    consumer::Of as ShownOf,
    create_consumer_request::{Of, Start as Begins},
    move_consumer_request::To,
};
use crate::api::events::v1::read_request::Start;
use crate::client::{self, Client, Consumer};

/// What to do with a consumer group.
#[derive(Debug, Subcommand)]
pub enum ConsumerCommand {
    /// Make a group that reads the events of an account, a shard or a region on.
    Create(Box<CreateArguments>),
    /// List the groups that a region keeps.
    List {
        /// Which region. Default: that of the node that is asked.
        #[arg(long, value_name = "REGION", default_value = "")]
        region: String,
    },
    /// Show how far a group is, who has its shares, and what stops it.
    Show(NameArguments),
    /// Take part in a group: print its events, a line for each, or have each processed by a command.
    Read(ReadArguments),
    /// Let a parked share go on.
    Resume(ResumeArguments),
    /// Set a group's cursors, forward or back.
    Move(MoveArguments),
    /// Remove a group and its cursors.
    Remove(RemoveArguments),
}

/// Which group.
#[derive(Debug, Args)]
pub struct NameArguments {
    /// Its name.
    pub name: String,
    /// The region that keeps it. Default: that of the node that is asked.
    #[arg(long, value_name = "REGION", default_value = "")]
    pub region: String,
}

/// In which order a group is told.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OrderArgument {
    /// Each account's events in order; members share the accounts.
    Account,
    /// Each shard's events in order; members share the shards.
    Shard,
    /// All events by time, up to when every shard is complete; one member at a time.
    Cut,
}

/// Arguments of `consumer create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    #[command(flatten)]
    pub which: NameArguments,
    #[command(flatten)]
    pub of: OfArguments,
    /// In which order.
    #[arg(long, value_enum)]
    pub order: OrderArgument,
    /// In the order of accounts: over how many shares those of a shard are spread. Default: 4.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub spread: u32,
    /// Where to begin: `end`, a position such as 1:1:42, a time, or a cursor of events. Default: with the
    /// first event.
    #[arg(long, value_name = "START", value_parser = super::events::start, default_value = "beginning")]
    pub from: From,
    #[command(flatten)]
    pub filter: FilterArguments,
    #[command(flatten)]
    pub context: ContextArguments,
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
    #[arg(long = "of", value_name = "REGION")]
    pub of_region: Option<String>,
}

/// Arguments of `consumer read`.
#[derive(Debug, Args)]
pub struct ReadArguments {
    #[command(flatten)]
    pub which: NameArguments,
    /// Have each event processed by this command of the shell: it gets the event as a line of JSON on its
    /// standard input, and refuses it by an exit status that is not zero. Without it an event is
    /// processed once it is printed.
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,
    /// How often an event is tried again that was refused, before its share is parked.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub retries: u32,
    /// How many events of a share may be told ahead.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub window: u32,
    /// What this member is called in what is shown.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub member: String,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
}

/// Arguments of `consumer resume`.
#[derive(Debug, Args)]
pub struct ResumeArguments {
    #[command(flatten)]
    pub which: NameArguments,
    /// Which share, as `consumer show` numbers them.
    #[arg(long, value_name = "NUMBER")]
    pub share: u32,
    #[command(flatten)]
    pub how: HowArguments,
    #[command(flatten)]
    pub context: ContextArguments,
}

/// How a share goes on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HowArguments {
    /// After the event that it is parked at: the group is never told that again.
    #[arg(long)]
    pub skip: bool,
    /// With the event that it is parked at.
    #[arg(long)]
    pub retry: bool,
}

/// Arguments of `consumer move`.
#[derive(Debug, Args)]
pub struct MoveArguments {
    #[command(flatten)]
    pub which: NameArguments,
    /// Where to: `beginning`, `end`, a time, or a cursor of events, of some of the group's shards or all.
    #[arg(long, value_name = "START", value_parser = super::events::start)]
    pub to: From,
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `consumer remove`.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    #[command(flatten)]
    pub which: NameArguments,
    #[command(flatten)]
    pub context: ContextArguments,
}

pub async fn consumer(
    client: &Client,
    command: ConsumerCommand,
    json: bool,
) -> Result<Output, Failure> {
    match command {
        ConsumerCommand::Create(given) => create(client, *given).await,
        ConsumerCommand::List { region } => list(client, &region).await,
        ConsumerCommand::Show(given) => show(client, &given).await,
        ConsumerCommand::Read(given) => read(client, given, json).await,
        ConsumerCommand::Resume(given) => {
            let request = ResumeConsumerRequest {
                context: Some(context(given.context, "")?),
                region: given.which.region,
                name: given.which.name,
                share: given.share,
                skip: given.how.skip,
            };
            Ok(receipt(
                &client.resume_consumer(request).await?.receipt,
                &[],
            ))
        }
        ConsumerCommand::Move(given) => {
            let to = match given.to.0 {
                None => None,
                Some(Start::Cursor(cursor)) => Some(To::Cursor(cursor)),
                Some(Start::End(end)) => Some(To::End(end)),
                Some(Start::Time(time)) => Some(To::Time(time)),
                Some(Start::Positions(_)) => {
                    let what = "a group is moved to the beginning, the end, a time or a cursor";
                    return Err(Failure::Usage(what.to_owned()));
                }
            };
            let request = MoveConsumerRequest {
                context: Some(context(given.context, "")?),
                region: given.which.region,
                name: given.which.name,
                to,
            };
            Ok(receipt(&client.move_consumer(request).await?.receipt, &[]))
        }
        ConsumerCommand::Remove(given) => {
            let request = RemoveConsumerRequest {
                context: Some(context(given.context, "")?),
                region: given.which.region,
                name: given.which.name,
            };
            Ok(receipt(
                &client.remove_consumer(request).await?.receipt,
                &[],
            ))
        }
    }
}

async fn create(client: &Client, given: CreateArguments) -> Result<Output, Failure> {
    let of = match given.of {
        OfArguments {
            account: Some(account),
            ..
        } => Of::AccountId(account),
        OfArguments {
            shard: Some(shard), ..
        } => Of::Shard(shard),
        OfArguments { of_region, .. } => Of::OfRegion(of_region.unwrap_or_default()),
    };
    let order = match given.order {
        OrderArgument::Account => Order::Account,
        OrderArgument::Shard => Order::Shard,
        OrderArgument::Cut => Order::Cut,
    };
    let start = given.from.0.map(|start| match start {
        Start::Cursor(cursor) => Begins::Cursor(cursor),
        Start::End(end) => Begins::End(end),
        Start::Time(time) => Begins::Time(time),
        Start::Positions(positions) => Begins::Positions(positions),
    });
    let request = CreateConsumerRequest {
        context: Some(context(given.context, "")?),
        region: given.which.region,
        name: given.which.name,
        of: Some(of),
        order: order.into(),
        spread: given.spread,
        filter: Some(given.filter.filter()?),
        start,
    };
    Ok(receipt(
        &client.create_consumer(request).await?.receipt,
        &[],
    ))
}

async fn list(client: &Client, region: &str) -> Result<Output, Failure> {
    let reply = client.consumers(region).await?;
    let mut text = format!(
        "{:32} {:8} {:>7} {:>7} {:>10} {:>10}  PARKED\n",
        "CONSUMER", "ORDER", "SHARES", "MEMBERS", "ENTRIES", "BEHIND"
    );
    for it in &reply.consumers {
        let entries: u64 = it.shares.iter().map(|share| share.entries_behind).sum();
        let behind = it.shares.iter().map(|share| share.behind_ms).max();
        let parked = it.shares.iter().filter(|share| share.parked.is_some());
        let parked = parked.map(|share| format!("share {} !", share.number));
        text.push_str(&format!(
            "{:32} {:8} {:>7} {:>7} {entries:>10} {:>10}  {}\n",
            format!("{}/{}", it.region, it.name),
            order_name(it.order()),
            it.shares.len(),
            it.members.len(),
            seconds(behind.unwrap_or_default()),
            parked.collect::<Vec<_>>().join(", "),
        ));
    }
    let all: Vec<_> = reply.consumers.iter().map(shown_json).collect();
    let served_by = served_by_json(&reply.served_by);
    Ok(Output::ok(
        text,
        json!({ "consumers": all, "served_by": served_by }),
    ))
}

async fn show(client: &Client, given: &NameArguments) -> Result<Output, Failure> {
    let reply = client.consumer(&given.region, &given.name).await?;
    let it = reply.consumer.unwrap_or_default();
    let reads = match &it.of {
        Some(ShownOf::AccountId(id)) => id.clone(),
        Some(ShownOf::Shard(shard)) => format!("shard {shard}"),
        Some(ShownOf::OfRegion(region)) => format!("region {region}"),
        None => String::new(),
    };
    let mut text = fields(&[
        ("consumer", format!("{}/{}", it.region, it.name)),
        ("reads", reads),
        ("order", order_name(it.order()).to_owned()),
        ("kept by", format!("shard {}", it.kept_by)),
        ("members", it.members.join(", ")),
    ]);
    text.push_str(&format!(
        "{:>5} {:>10} {:>10} {:>7}  {:20} CURSOR\n",
        "SHARE", "ENTRIES", "BEHIND", "AHEAD", "MEMBER"
    ));
    for share in &it.shares {
        text.push_str(&format!(
            "{:>5} {:>10} {:>10} {:>7}  {:20} {}\n",
            share.number,
            share.entries_behind,
            seconds(share.behind_ms),
            share.unacknowledged,
            if share.member.is_empty() {
                "-"
            } else {
                &share.member
            },
            share.cursor,
        ));
        text.push_str(&troubles(share));
    }
    let mut json = shown_json(&it);
    json["position"] = position_json(&reply.position);
    json["served_by"] = served_by_json(&reply.served_by);
    Ok(Output::ok(text, json))
}

fn troubles(share: &Share) -> String {
    let mut text = String::new();
    if let Some(it) = &share.parked {
        text.push_str(&format!(
            "      parked at {}/{} since {} !  {}\n",
            it.transaction_id,
            it.place,
            super::output::time(&Some(crate::api::v1::Time {
                unix_nanos: i64::try_from(it.since_unix_ms).unwrap_or_default() * 1_000_000,
                hlc: String::new(),
            })),
            it.reason,
        ));
    }
    if let Some(it) = &share.retrying {
        text.push_str(&format!(
            "      refused {} times: {}/{}  {}\n",
            it.attempts, it.transaction_id, it.place, it.reason
        ));
    }
    if !share.failing.is_empty() {
        text.push_str(&format!("      cannot be read on !  {}\n", share.failing));
    }
    text
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Account => "account",
        Order::Shard => "shard",
        Order::Cut => "cut",
        Order::Unspecified => "?",
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
}

fn shown_json(it: &Shown) -> Value {
    let (account, shard, region) = match &it.of {
        Some(ShownOf::AccountId(id)) => (Some(id), None, None),
        Some(ShownOf::Shard(shard)) => (None, Some(shard), None),
        Some(ShownOf::OfRegion(region)) => (None, None, Some(region)),
        None => (None, None, None),
    };
    let share = |share: &Share| {
        let parked = share.parked.as_ref().map(|it| {
            json!({
                "transaction_id": it.transaction_id,
                "place": it.place,
                "reason": it.reason,
                "since_unix_ms": it.since_unix_ms,
            })
        });
        let retrying = share.retrying.as_ref().map(|it| {
            json!({
                "transaction_id": it.transaction_id,
                "place": it.place,
                "reason": it.reason,
                "attempts": it.attempts,
            })
        });
        json!({
            "share": share.number,
            "shards": share.shards,
            "cursor": share.cursor,
            "entries_behind": share.entries_behind,
            "behind_ms": share.behind_ms,
            "member": share.member,
            "unacknowledged": share.unacknowledged,
            "parked": parked,
            "retrying": retrying,
            "failing": share.failing,
        })
    };
    json!({
        "region": it.region,
        "name": it.name,
        "account_id": account,
        "shard": shard,
        "of_region": region,
        "order": order_name(it.order()),
        "spread": it.spread,
        "kept_by": it.kept_by,
        "members": it.members,
        "shares": it.shares.iter().map(share).collect::<Vec<_>>(),
    })
}

/// Takes part until it is told to stop.
async fn read(client: &Client, given: ReadArguments, json: bool) -> Result<Output, Failure> {
    let mut consumer = client.consume(Join {
        region: given.which.region,
        name: given.which.name,
        member: given.member,
        window: given.window,
        retries: given.retries,
    });
    let mut left = given.count;
    while left != Some(0) {
        let delivery = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => break,
            delivery = consumer.next() => delivery,
        };
        let Some(delivery) = delivery.transpose()? else {
            break;
        };
        left = left.map(|left| left - 1);
        if !processed(&mut consumer, &delivery, given.exec.as_deref(), json).await? {
            break;
        }
    }
    consumer.leave().await;
    Ok(Output::ok(String::new(), Value::Null))
}

/// Processes an event, and says that it is, or is not. `false` where nobody reads any more.
async fn processed(
    consumer: &mut Consumer,
    delivery: &Delivery,
    command: Option<&str>,
    json: bool,
) -> Result<bool, Failure> {
    let Some(event) = &delivery.event else {
        return Ok(true);
    };
    let line = || {
        let mut line = event_json(
            event,
            delivery.staleness_bound_ms,
            &None,
            Some(&delivery.cursor),
        );
        line["share"] = delivery.share.into();
        line["attempt"] = delivery.attempt.into();
        line.to_string()
    };
    if let Some(command) = command {
        match executed(command, line()).await {
            Ok(()) => consumer.acknowledge(delivery),
            Err(reason) => {
                eprintln!("{}/{}: {reason}", event.transaction_id, event.place);
                consumer.refuse(delivery, &reason);
            }
        }
        return Ok(true);
    }
    let text = match json {
        true => line(),
        false => event_text(event),
    };
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => {
            consumer.acknowledge(delivery);
            Ok(true)
        }
        // Nobody may be reading any more, as in `meridian consumer read … | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            let message = format!("write the answer: {error}");
            Err(client::Error::Malformed(message).into())
        }
    }
}

/// Runs a command with a line on its standard input.
async fn executed(command: &str, line: String) -> Result<(), String> {
    let mut running = process::Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the command cannot be run: {error}"))?;
    if let Some(mut input) = running.stdin.take() {
        // Who does not read it may process the event all the same.
        let _ = input.write_all(format!("{line}\n").as_bytes()).await;
    }
    let ended = running.wait().await;
    let ended = ended.map_err(|error| format!("the command cannot be waited for: {error}"))?;
    match ended.success() {
        true => Ok(()),
        false => Err(format!("the command ended with {ended}")),
    }
}

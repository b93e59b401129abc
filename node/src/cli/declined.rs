//! `meridian account declined`.

use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{
    Output, fields, position, position_json, rejection_json, served_by_json, time, time_json,
};
use super::read::{channel, kind};
use crate::api::teller::v1::{DeclinedCommand, ListDeclinedRequest};
use crate::client::Client;

/// The longest page there is.
const PAGE: usize = 1_000;

pub async fn declined(client: &Client, account: String, limit: usize) -> Result<Output, Failure> {
    let mut request = ListDeclinedRequest {
        account_id: account.clone(),
        ..ListDeclinedRequest::default()
    };
    let mut commands = Vec::new();
    let last = loop {
        // At least one is asked for, to learn how many there are.
        let wanted = (limit - commands.len()).clamp(1, PAGE);
        request.page_size = u32::try_from(wanted).unwrap_or_default();
        let mut reply = client.declined(request.clone()).await?;
        commands.append(&mut reply.commands);
        commands.truncate(limit);
        match reply.next_page_token.is_empty() || commands.len() >= limit {
            true => break reply,
            false => request.page_token.clone_from(&reply.next_page_token),
        }
    };
    let texts: Vec<_> = commands.iter().map(command_text).collect();
    let mut text = texts.join("\n");
    match (commands.len() as u64, last.all) {
        (_, 0) => text.push_str("nothing was refused\n"),
        (shown, all) if shown < all => {
            text.push_str(&format!("\n{shown} of {all} refused commands\n"));
        }
        _ => {}
    }
    let json = json!({
        "account_id": account,
        "commands": commands.iter().map(command_json).collect::<Vec<_>>(),
        "all": last.all,
        "position": position_json(&last.position),
        "served_by": served_by_json(&last.served_by),
    });
    Ok(Output::ok(text, json))
}

fn command_text(command: &DeclinedCommand) -> String {
    let why = command.rejection.clone().unwrap_or_default();
    let figures = command.figures.iter();
    let figures: Vec<_> = figures
        .map(|it| format!("{} {}", it.meaning, it.value))
        .collect();
    let privileged = if command.privileged { "yes" } else { "" };
    fields(&[
        ("transaction", command.transaction_id.clone()),
        ("time", time(&command.time)),
        ("kind", kind(command.kind()).to_owned()),
        ("because", format!("{}: {}", why.code, why.message)),
        ("figures", figures.join(", ")),
        ("effective", command.effective_date.clone()),
        ("by", command.actor.clone()),
        ("through", channel(command.channel()).to_owned()),
        ("privileged", privileged.to_owned()),
        ("reason", command.reason.clone()),
        ("correlation", command.correlation_id.clone()),
        ("position", position(&command.position)),
    ])
}

fn command_json(command: &DeclinedCommand) -> Value {
    let figures = command.figures.iter();
    let figures = figures.map(|it| json!({ "meaning": it.meaning, "value": it.value }));
    json!({
        "number": command.number,
        "transaction_id": command.transaction_id,
        "position": position_json(&command.position),
        "time": time_json(&command.time),
        "kind": kind(command.kind()),
        "rejection": rejection_json(&command.rejection),
        "figures": figures.collect::<Vec<_>>(),
        "effective_date": command.effective_date,
        "channel": channel(command.channel()),
        "actor": command.actor,
        "privileged": command.privileged,
        "reason": command.reason,
        "correlation_id": command.correlation_id,
    })
}

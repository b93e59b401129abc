//! `meridian account declined`.

use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{
    Output, fields, position, position_json, rejection_json, served_by_json, time, time_json,
};
use super::pages::{Listed, listed};
use super::read::{channel, kind};
use crate::api::teller::v1::{DeclinedCommand, ListDeclinedRequest};
use crate::client::Client;

pub async fn declined(client: &Client, account: String, limit: usize) -> Result<Output, Failure> {
    let listed = listed(limit, async |page_size, page_token| {
        let request = ListDeclinedRequest {
            account_id: account.clone(),
            page_size,
            page_token,
        };
        let mut reply = client.declined(request).await?;
        let commands = std::mem::take(&mut reply.commands);
        Ok((commands, reply.next_page_token.clone(), reply))
    });
    let Listed {
        items: commands,
        last,
        ..
    } = listed.await?;
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

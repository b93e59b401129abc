//! `meridian group`: the commands of a small file, all or none.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Format, checked, command, contents, lines};
use crate::api::{
    teller::v1::SubmitGroupRequest,
    v1::{Channel, CommandContext},
};
use crate::cli::exit::Failure;
use crate::cli::output::{Output, receipt};
use crate::client::Client;

/// Arguments of `group`.
#[derive(Debug, Args)]
pub struct GroupArguments {
    /// The file, one command a line, as `submit` takes it, but without keys; `-` for standard input.
    pub file: PathBuf,
    /// How it is written. Default: as its name ends.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The idempotency key; sent again under it, the group is not done twice. Default: a new one.
    #[arg(long)]
    pub key: Option<String>,
    /// When this was first tried, in milliseconds since 1970; give it when repeating a key.
    #[arg(long, value_name = "UNIX_MS", requires = "key")]
    pub first_attempt: Option<i64>,
    /// Why, for every command that does not say so itself. Not for personal data.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Only tell what would become of it: nothing is recorded, and no key is taken.
    #[arg(long)]
    pub dry_run: bool,
}

pub async fn group(client: &Client, given: GroupArguments) -> Result<Output, Failure> {
    let (name, text, format) = contents(&given.file, given.format)?;
    checked(&name, &text, format)?;
    let mut commands = Vec::new();
    for line in lines::read(&text, format) {
        let wrong = |what: String| Failure::Usage(format!("{name}:{}: {what}", line.number));
        let fields = line.fields.clone().map_err(wrong)?;
        let mut item = command::read(fields).map_err(wrong)?;
        if !item.key().is_empty() {
            let what = "key: a group has one, given by --key";
            return Err(wrong(what.to_owned()));
        }
        commands.push(item.command);
    }
    let request = SubmitGroupRequest {
        context: Some(CommandContext {
            idempotency_key: given.key.unwrap_or_default(),
            first_attempt_unix_ms: given.first_attempt.unwrap_or_default(),
            reason: given.reason,
            channel: Channel::Batch.into(),
            dry_run: given.dry_run,
            ..CommandContext::default()
        }),
        commands,
    };
    let receipts = client.submit_group(request).await?.receipts;
    let outputs = receipts.into_iter().map(|it| receipt(&Some(it), &[]));
    let (texts, receipts): (Vec<String>, Vec<Value>) =
        outputs.map(|output| (output.text, output.json)).unzip();
    Ok(Output::ok(
        texts.join("\n"),
        json!({ "receipts": receipts }),
    ))
}

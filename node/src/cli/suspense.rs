//! `meridian suspense`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::ContextArguments;
use super::exit::Failure;
use super::output::{
    Output, fields, money, money_json, position_json, receipt, rejection_json, served_by_json,
    time, time_json,
};
use super::pages::{Listed, listed};
use super::write::{context, currency_of, wait};
use crate::api::teller::v1::{
    ClearSuspenseRequest, ListSuspenseRequest, SuspendedItem, clear_suspense_request::To,
    list_suspense_request::Of,
};
use crate::client::Client;

/// What to do with money in suspense.
#[derive(Debug, Subcommand)]
pub enum SuspenseCommand {
    /// List what is in suspense in a region, the oldest first.
    List {
        /// The region, for example eu-west.
        region: String,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
    },
    /// Give an item to an account anywhere, or to a house account. Takes a privilege.
    Clear(ClearArguments),
}

/// Arguments of `suspense clear`.
#[derive(Debug, Args)]
pub struct ClearArguments {
    /// The id of the account whose item it is.
    pub account: String,
    /// The item: the transaction that put it there.
    pub transaction: String,
    /// Who gets it.
    #[command(flatten)]
    pub to: ToArguments,
    /// Answer when it is safe in the item's region, not only when the payee has it.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Who gets an item.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ToArguments {
    /// The account that gets it, anywhere; also the one whose it is.
    #[arg(long, value_name = "ACCOUNT")]
    pub to: Option<String>,
    /// The code of the house account that gets it.
    #[arg(long, value_name = "CODE")]
    pub house: Option<String>,
}

pub async fn suspense(client: &Client, command: SuspenseCommand) -> Result<Output, Failure> {
    match command {
        SuspenseCommand::List { region, limit } => list(client, region, limit).await,
        SuspenseCommand::Clear(given) => clear(client, given).await,
    }
}

async fn clear(client: &Client, given: ClearArguments) -> Result<Output, Failure> {
    let currency = currency_of(client, &given.account, &given.context.conditions).await?;
    let wait = wait(given.accepted);
    let to = given.to.to.map(To::ToAccountId);
    let request = ClearSuspenseRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        transaction_id: given.transaction,
        to: to.or(given.to.house.map(To::ToHouseAccount)),
        wait: wait.into(),
    };
    Ok(receipt(&client.clear_suspense(request).await?.receipt, &[]))
}

async fn list(client: &Client, region: String, limit: usize) -> Result<Output, Failure> {
    let request = ListSuspenseRequest {
        of: Some(Of::Region(region.clone())),
        ..ListSuspenseRequest::default()
    };
    let listed = listed(limit, async |page_size, page_token| {
        let request = ListSuspenseRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let mut reply = client.suspense(request).await?;
        let items = std::mem::take(&mut reply.items);
        Ok((items, reply.next_page_token.clone(), reply))
    });
    let Listed { items, more, last } = listed.await?;
    let texts: Vec<_> = items.iter().map(item_text).collect();
    let mut text = texts.join("\n");
    match (items.is_empty(), more) {
        (true, false) => text.push_str("nothing is in suspense\n"),
        (_, true) => text.push_str("\nand more: see --limit\n"),
        _ => {}
    }
    let json = json!({
        "region": region,
        "items": items.iter().map(item_json).collect::<Vec<_>>(),
        "more": more,
        "positions": last.positions.iter().map(|at| position_json(&Some(*at))).collect::<Vec<_>>(),
        "served_by": served_by_json(&last.served_by),
    });
    Ok(Output::ok(text, json))
}

fn item_text(item: &SuspendedItem) -> String {
    let why = item.because.clone().unwrap_or_default();
    fields(&[
        ("transaction", item.transaction_id.clone()),
        ("amount", money(&item.amount)),
        ("of", item.account_id.clone()),
        ("other end", item.other_account_id.clone()),
        ("since", time(&item.since)),
        ("because", format!("{}: {}", why.code, why.message)),
    ])
}

fn item_json(item: &SuspendedItem) -> Value {
    json!({
        "transaction_id": item.transaction_id,
        "account_id": item.account_id,
        "other_account_id": item.other_account_id,
        "amount": money_json(&item.amount),
        "since": time_json(&item.since),
        "because": rejection_json(&item.because),
    })
}

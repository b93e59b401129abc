//! `meridian hold`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::{AmountArguments, ContextArguments};
use super::exit::Failure;
use super::output::{
    Output, fields, money, money_json, position_json, receipt, served_by_json, time, time_json,
};
use super::pages::{Listed, listed};
use super::write::{context, currency_of, wait};
use super::{amount, moment};
use crate::api::teller::v1::{
    CaptureHoldRequest, Hold, HoldReply, HoldStatus, ListHoldsRequest, PlaceHoldRequest,
    RaiseHoldRequest, ReleaseHoldRequest, capture_hold_request::Payee,
};
use crate::client::Client;

/// What to do with a hold.
#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Set money of an account aside: what is available falls, what is posted does not.
    Place(PlaceArguments),
    /// Set more aside under the same hold.
    Raise(RaiseArguments),
    /// Pay out of a hold: all that it still holds, or a part of it.
    Capture(CaptureArguments),
    /// Give back what a hold still holds.
    Release(ReleaseArguments),
    /// List the holds of an account.
    List {
        /// The account's id.
        account: String,
        /// Also those that have ended.
        #[arg(long)]
        all: bool,
    },
}

/// Arguments of `hold place`.
#[derive(Debug, Args)]
pub struct PlaceArguments {
    /// The account's id.
    pub account: String,
    /// How much.
    #[command(flatten)]
    pub amount: AmountArguments,
    /// How long it lasts, such as 90m or 72h; 744h (31 days) at most. Default: 7 days.
    #[arg(long, value_name = "TIME", value_parser = moment::duration)]
    pub expires_after: Option<Duration>,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `hold raise`.
#[derive(Debug, Args)]
pub struct RaiseArguments {
    /// The account's id.
    pub account: String,
    /// The hold: the transaction that placed it.
    pub hold: String,
    /// How much more.
    #[command(flatten)]
    pub amount: AmountArguments,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `hold capture`.
#[derive(Debug, Args)]
pub struct CaptureArguments {
    /// The account's id.
    pub account: String,
    /// The hold: the transaction that placed it.
    pub hold: String,
    /// How much. Default: all that it still holds.
    #[command(flatten)]
    pub amount: AmountArguments,
    /// The account that is paid, anywhere.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "house")]
    pub to: Option<String>,
    /// The code of the house account that is paid.
    #[arg(long, value_name = "CODE", default_value = "cash")]
    pub house: String,
    /// Nothing more will be captured: give back what remains.
    #[arg(long = "final")]
    pub last: bool,
    /// Answer when it is safe in the payer's region, not only when the payee has it.
    #[arg(long)]
    pub accepted: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `hold release`.
#[derive(Debug, Args)]
pub struct ReleaseArguments {
    /// The account's id.
    pub account: String,
    /// The hold: the transaction that placed it.
    pub hold: String,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

pub async fn hold(client: &Client, command: HoldCommand) -> Result<Output, Failure> {
    let reply = match command {
        HoldCommand::Place(given) => {
            let life = given.expires_after.map_or(0, |life| life.as_millis());
            let amount = amount::read(&given.amount)?;
            let request = PlaceHoldRequest {
                context: Some(context(given.context, &amount.currency)?),
                amount: Some(amount),
                account_id: given.account,
                expires_after_ms: u64::try_from(life).unwrap_or(u64::MAX),
            };
            client.place_hold(request).await?
        }
        HoldCommand::Raise(given) => {
            let amount = amount::read(&given.amount)?;
            let request = RaiseHoldRequest {
                context: Some(context(given.context, &amount.currency)?),
                amount: Some(amount),
                account_id: given.account,
                hold_id: given.hold,
            };
            client.raise_hold(request).await?
        }
        HoldCommand::Capture(given) => client.capture_hold(capture(client, given).await?).await?,
        HoldCommand::Release(given) => {
            let currency = currency_of(client, &given.account, &given.context.conditions).await?;
            let request = ReleaseHoldRequest {
                context: Some(context(given.context, &currency)?),
                account_id: given.account,
                hold_id: given.hold,
            };
            client.release_hold(request).await?
        }
        HoldCommand::List { account, all } => return list(client, account, all).await,
    };
    let HoldReply {
        receipt: kept,
        hold_id,
    } = reply;
    Ok(receipt(&kept, &[("hold", hold_id)]))
}

async fn capture(client: &Client, given: CaptureArguments) -> Result<CaptureHoldRequest, Failure> {
    let whole = given.amount.positional.is_empty()
        && given.amount.amount.is_none()
        && given.amount.currency.is_none();
    let amount = match whole {
        true => None,
        false => Some(amount::read(&given.amount)?),
    };
    let wait = wait(given.accepted);
    let currency = match &amount {
        Some(amount) => amount.currency.clone(),
        None => currency_of(client, &given.account, &given.context.conditions).await?,
    };
    Ok(CaptureHoldRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        hold_id: given.hold,
        amount,
        payee: Some(match given.to {
            Some(account) => Payee::ToAccountId(account),
            None => Payee::HouseAccount(given.house),
        }),
        r#final: given.last,
        wait: wait.into(),
    })
}

async fn list(client: &Client, account: String, all: bool) -> Result<Output, Failure> {
    let listed = listed(usize::MAX, async |page_size, page_token| {
        let request = ListHoldsRequest {
            account_id: account.clone(),
            include_ended: all,
            page_size,
            page_token,
        };
        let mut reply = client.holds(request).await?;
        let holds = std::mem::take(&mut reply.holds);
        Ok((holds, reply.next_page_token.clone(), reply))
    });
    let Listed {
        items: holds, last, ..
    } = listed.await?;
    let texts: Vec<_> = holds.iter().map(hold_text).collect();
    let text = match texts.is_empty() {
        true => "no holds\n".to_owned(),
        false => texts.join("\n"),
    };
    let json = json!({
        "account_id": account,
        "holds": holds.iter().map(hold_json).collect::<Vec<_>>(),
        "position": position_json(&last.position),
        "served_by": served_by_json(&last.served_by),
    });
    Ok(Output::ok(text, json))
}

fn status(hold: &Hold) -> &'static str {
    match hold.status() {
        HoldStatus::Open => "open",
        HoldStatus::Captured => "captured",
        HoldStatus::Released => "released",
        HoldStatus::Expired => "expired",
        HoldStatus::Unspecified => "unspecified",
    }
}

/// What was paid after its end; nothing where nothing was.
fn late(hold: &Hold) -> String {
    let is_some = hold.late.as_ref().is_some_and(|late| late.minor_units > 0);
    if is_some {
        money(&hold.late)
    } else {
        String::new()
    }
}

fn hold_text(hold: &Hold) -> String {
    fields(&[
        ("hold", hold.hold_id.clone()),
        ("status", status(hold).to_owned()),
        ("amount", money(&hold.amount)),
        ("captured", money(&hold.captured)),
        ("paid late", late(hold)),
        ("held", money(&hold.held)),
        ("expires", time(&hold.expires_at)),
    ])
}

fn hold_json(hold: &Hold) -> Value {
    json!({
        "hold_id": hold.hold_id,
        "status": status(hold),
        "amount": money_json(&hold.amount),
        "captured": money_json(&hold.captured),
        "late": money_json(&hold.late),
        "held": money_json(&hold.held),
        "expires_at": time_json(&hold.expires_at),
    })
}

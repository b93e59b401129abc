//! `meridian customer`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::{BoundArguments, ContextArguments};
use super::exit::{self, Failure};
use super::output::{
    Output, fields, position, position_json, receipt, rejection_json, served_by_json, time,
    time_json,
};
use super::read::{known_age, outcome, within};
use super::write::{context, only_region};
use crate::api::{
    atm::v1::GetCustomerAccountsRequest,
    teller::v1::{
        AttachAccountRequest, DetachAccountRequest, EraseCustomerRequest, Profile, ProfileStatus,
        RegisterCustomerRequest, SetLegalHoldRequest, SetProfileRequest,
    },
};
use crate::client::Client;

/// What to do about a customer.
#[derive(Debug, Subcommand)]
pub enum CustomerCommand {
    /// Make a customer known.
    Open(OpenCustomerArguments),
    /// Show which accounts a customer has, as its home region knows it.
    Show {
        /// The customer's id.
        customer: String,
    },
    /// Show what all accounts of a customer have at one time, over all regions.
    Accounts(CustomerAccountsArguments),
    /// Let a customer have an account; `account open --customer` does that first.
    Attach(AttachArguments),
    /// Let a customer have an account no longer, which is closed.
    Detach(AttachArguments),
    /// Say who a customer is, in place of what was said before; sealed as personal data.
    Profile(ProfileArguments),
    /// Keep a customer from being erased, or do so no longer. Privileged.
    LegalHold(LegalHoldArguments),
    /// Destroy the key of a customer who has no account: nobody reads again who it was. Privileged.
    Erase(EraseArguments),
}

/// Arguments of `customer open`.
#[derive(Debug, Args)]
pub struct OpenCustomerArguments {
    /// Where the customer is kept. Default: the only region, where there is one.
    #[arg(long)]
    pub region: Option<String>,
    /// A complete id of your own. Default: made from the key.
    #[arg(long)]
    pub id: Option<String>,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `customer accounts`.
#[derive(Debug, Args)]
pub struct CustomerAccountsArguments {
    /// The customer's id.
    pub customer: String,
    /// Within a bound.
    #[command(flatten)]
    pub bound: UnconditionalBound,
    /// Not older than this receipt's token; may be repeated.
    #[arg(long, value_name = "TOKEN")]
    pub session: Vec<String>,
}

/// How stale an answer may be, where nothing else is said of how fresh it is.
#[derive(Debug, Args)]
pub struct UnconditionalBound {
    /// Not staler than this, such as 900ms or 5s.
    #[arg(long, value_name = "TIME", value_parser = super::moment::duration)]
    pub max_staleness: Option<std::time::Duration>,
    /// What to do where the asked region has only a staler answer.
    #[arg(
        long = "or",
        value_name = "WHAT",
        default_value = "error",
        requires = "max_staleness"
    )]
    pub otherwise: super::args::Otherwise,
}

/// Arguments of `customer profile`.
#[derive(Debug, Args)]
pub struct ProfileArguments {
    /// The customer's id.
    pub customer: String,
    /// What it is called.
    #[arg(long)]
    pub name: String,
    /// How it is reached; may be repeated.
    #[arg(long, value_name = "CONTACT")]
    pub contact: Vec<String>,
    /// What others call it; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub known_as: Vec<String>,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `customer legal-hold`.
#[derive(Debug, Args)]
pub struct LegalHoldArguments {
    /// The customer's id.
    pub customer: String,
    /// Lift it.
    #[arg(long)]
    pub lift: bool,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `customer erase`.
#[derive(Debug, Args)]
pub struct EraseArguments {
    /// The customer's id.
    pub customer: String,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `customer attach` and `customer detach`.
#[derive(Debug, Args)]
pub struct AttachArguments {
    /// The customer's id.
    pub customer: String,
    /// The account's id.
    pub account: String,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

pub async fn customer(client: &Client, command: CustomerCommand) -> Result<Output, Failure> {
    match command {
        CustomerCommand::Open(given) => open(client, given).await,
        CustomerCommand::Show { customer } => show(client, &customer).await,
        CustomerCommand::Accounts(given) => accounts(client, given).await,
        CustomerCommand::Attach(given) => {
            let request = AttachAccountRequest {
                context: Some(context(given.context, "")?),
                customer_id: given.customer,
                account_id: given.account,
            };
            Ok(receipt(&client.attach_account(request).await?.receipt, &[]))
        }
        CustomerCommand::Detach(given) => {
            let request = DetachAccountRequest {
                context: Some(context(given.context, "")?),
                customer_id: given.customer,
                account_id: given.account,
            };
            Ok(receipt(&client.detach_account(request).await?.receipt, &[]))
        }
        CustomerCommand::Profile(given) => {
            let request = SetProfileRequest {
                context: Some(context(given.context, "")?),
                customer_id: given.customer,
                profile: Some(Profile {
                    name: given.name,
                    contacts: given.contact,
                    references: given.known_as,
                }),
            };
            Ok(receipt(&client.set_profile(request).await?.receipt, &[]))
        }
        CustomerCommand::LegalHold(given) => {
            let request = SetLegalHoldRequest {
                context: Some(context(given.context, "")?),
                customer_id: given.customer,
                lift: given.lift,
            };
            Ok(receipt(&client.set_legal_hold(request).await?.receipt, &[]))
        }
        CustomerCommand::Erase(given) => {
            let request = EraseCustomerRequest {
                context: Some(context(given.context, "")?),
                customer_id: given.customer,
            };
            Ok(receipt(&client.erase_customer(request).await?.receipt, &[]))
        }
    }
}

async fn open(client: &Client, given: OpenCustomerArguments) -> Result<Output, Failure> {
    let home_region = match (given.region, &given.id) {
        (Some(region), _) => region,
        (None, Some(_)) => String::new(),
        (None, None) => only_region(client).await?,
    };
    let request = RegisterCustomerRequest {
        context: Some(context(given.context, "")?),
        customer_id: given.id.unwrap_or_default(),
        home_region,
    };
    let reply = client.register_customer(request).await?;
    Ok(receipt(&reply.receipt, &[("customer", reply.customer_id)]))
}

async fn show(client: &Client, customer: &str) -> Result<Output, Failure> {
    let reply = client.customer(customer).await?;
    let mut lines = vec![
        ("customer", reply.customer_id.clone()),
        ("home", reply.home_region.clone()),
    ];
    let status = match reply.profile_status() {
        ProfileStatus::Unspecified => "unspecified",
        ProfileStatus::LeftOut => "left out",
        ProfileStatus::None => "none",
        ProfileStatus::Read => "read",
        ProfileStatus::Elsewhere => "kept in another residency domain",
        ProfileStatus::Unreadable => "unreadable",
        ProfileStatus::Erased => "erased",
    };
    let profile = reply.profile.clone().unwrap_or_default();
    lines.push(("profile", status.to_owned()));
    lines.push(("because", reply.profile_unreadable_because.clone()));
    lines.push(("name", profile.name.clone()));
    lines.extend(profile.contacts.iter().map(|it| ("contact", it.clone())));
    lines.extend(profile.references.iter().map(|it| ("known as", it.clone())));
    if reply.legal_hold {
        lines.push(("legal hold", "stands".to_owned()));
    }
    lines.push(("last detached", reply.last_detached.clone()));
    let accounts = reply.account_ids.iter();
    lines.extend(accounts.map(|id| ("account", id.clone())));
    lines.push(("true at", time(&reply.true_at)));
    lines.push(("position", position(&reply.position)));
    let json = json!({
        "customer_id": reply.customer_id,
        "home_region": reply.home_region,
        "account_ids": reply.account_ids,
        "true_at": time_json(&reply.true_at),
        "profile_status": status,
        "profile": reply.profile.as_ref().map(|it| json!({
            "name": it.name,
            "contacts": it.contacts,
            "references": it.references,
        })),
        "profile_unreadable_because": reply.profile_unreadable_because,
        "legal_hold": reply.legal_hold,
        "last_detached": reply.last_detached,
        "position": position_json(&reply.position),
        "served_by": served_by_json(&reply.served_by),
    });
    Ok(Output::ok(fields(&lines), json))
}

/// Where a region is missing, the answer says which, and the exit code that there was none of it.
async fn accounts(client: &Client, given: CustomerAccountsArguments) -> Result<Output, Failure> {
    let bound = BoundArguments {
        max_staleness: given.bound.max_staleness,
        otherwise: given.bound.otherwise,
    };
    let request = GetCustomerAccountsRequest {
        customer_id: given.customer,
        at_one_time: Some(within(&bound, given.session)),
    };
    let reply = client.customer_accounts(request).await?;
    let (mut texts, mut items) = (Vec::new(), Vec::new());
    for account in reply.accounts {
        let (text, json, _) = outcome(&account.account_id, account.outcome.unwrap_or_default())?;
        texts.push(text);
        items.push(json);
    }
    texts.push(fields(&[("all true at", time(&reply.true_at))]));
    let missing = reply.regions_missing.iter();
    let missing: Vec<Value> = missing
        .map(|it| json!({ "region": it.region, "rejection": rejection_json(&it.rejection) }))
        .collect();
    for it in &reply.regions_missing {
        let why = it.rejection.clone().unwrap_or_default();
        texts.push(fields(&[
            ("missing", it.region.clone()),
            ("because", format!("{}: {}", why.code, why.message)),
        ]));
    }
    let json = json!({
        "accounts": items,
        "regions_missing": missing,
        "true_at": time_json(&reply.true_at),
        "staleness_bound_ms": known_age(reply.staleness_bound_ms),
        "held_back_by": reply.held_back_by,
        "customer_position": position_json(&reply.customer_position),
        "served_by": served_by_json(&reply.served_by),
    });
    let exit_code = match reply.regions_missing.is_empty() {
        true => exit::OK,
        false => exit::UNAVAILABLE,
    };
    Ok(Output {
        exit_code,
        ..Output::ok(texts.join("\n"), json)
    })
}

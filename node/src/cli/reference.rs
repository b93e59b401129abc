//! `meridian reference` and `meridian find`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::args::ContextArguments;
use super::exit::{self, Failure};
use super::output::{
    Output, fields, position, position_json, receipt, rejection_json, served_by_json, time,
    time_json,
};
use super::write::context;
use crate::api::{
    atm::v1::{FindAccountRequest, FoundInRegion},
    teller::v1::{ClaimReferenceRequest, ReleaseReferenceRequest},
    v1::{AccountReference, ReferenceType},
};
use crate::client::Client;

/// What to do with a reference.
#[derive(Debug, Subcommand)]
pub enum ReferenceCommand {
    /// Let it stand for an account.
    Claim(ClaimArguments),
    /// Let a reference of an account stand for nobody.
    Release(ClaimArguments),
}

/// Arguments of `reference claim` and `reference release`.
#[derive(Debug, Args)]
pub struct ClaimArguments {
    /// The account's id.
    pub account: String,
    /// Which reference.
    #[command(flatten)]
    pub reference: ReferenceArguments,
    /// What every command carries.
    #[command(flatten)]
    pub context: ContextArguments,
}

/// Arguments of `find`.
#[derive(Debug, Args)]
pub struct FindArguments {
    /// Which reference.
    #[command(flatten)]
    pub reference: ReferenceArguments,
    /// Whose accounts. Default: those of all regions in the residency domain of the node that is asked;
    /// a region in another one has to be named, and the reference is sent there.
    #[arg(long, value_name = "REGION", default_value = "")]
    pub region: String,
}

/// A reference.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ReferenceArguments {
    /// An IBAN; spaces and case do not matter.
    #[arg(long, value_name = "IBAN")]
    pub iban: Option<String>,
    /// Another text, of at most 64 bytes.
    #[arg(long, value_name = "TEXT")]
    pub known_as: Option<String>,
}

/// The references of an account that is opened.
#[derive(Debug, Args)]
pub struct ReferencesArguments {
    /// An IBAN that is to stand for it; may be repeated.
    #[arg(long, value_name = "IBAN")]
    pub iban: Vec<String>,
    /// Another text that is to stand for it, of at most 64 bytes; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub known_as: Vec<String>,
}

impl ReferenceArguments {
    fn one(self) -> Option<AccountReference> {
        let external = |text| reference(ReferenceType::External, text);
        let iban = self.iban.map(|text| reference(ReferenceType::Iban, text));
        iban.or(self.known_as.map(external))
    }
}

impl ReferencesArguments {
    /// All of them.
    pub fn all(self) -> Vec<AccountReference> {
        let ibans = self.iban.into_iter().map(|it| (ReferenceType::Iban, it));
        let others = self.known_as.into_iter();
        let others = others.map(|it| (ReferenceType::External, it));
        let all = ibans.chain(others);
        all.map(|(kind, text)| reference(kind, text)).collect()
    }
}

/// A reference in the words of the API.
pub fn reference(kind: ReferenceType, text: String) -> AccountReference {
    AccountReference {
        r#type: kind.into(),
        text,
    }
}

pub async fn reference_command(
    client: &Client,
    command: ReferenceCommand,
) -> Result<Output, Failure> {
    let reply = match command {
        ReferenceCommand::Claim(given) => {
            let request = ClaimReferenceRequest {
                context: Some(context(given.context, "")?),
                account_id: given.account,
                reference: given.reference.one(),
            };
            client.claim_reference(request).await?
        }
        ReferenceCommand::Release(given) => {
            let request = ReleaseReferenceRequest {
                context: Some(context(given.context, "")?),
                account_id: given.account,
                reference: given.reference.one(),
            };
            client.release_reference(request).await?
        }
    };
    Ok(receipt(&reply.receipt, &[]))
}

/// Says what each region knows. None knows of an account: refused, or open where one did not answer.
pub async fn find(client: &Client, given: FindArguments) -> Result<Output, Failure> {
    let request = FindAccountRequest {
        reference: given.reference.one(),
        region: given.region,
    };
    let reply = client.find(request).await?;
    let texts: Vec<_> = reply.regions.iter().map(text).collect();
    let json = json!({
        "regions": reply.regions.iter().map(json).collect::<Vec<_>>(),
        "regions_missing": reply.regions_missing,
        "regions_not_asked": reply.regions_not_asked,
        "served_by": served_by_json(&reply.served_by),
    });
    let is_found = reply.regions.iter().any(|it| !it.account_id.is_empty());
    let exit_code = match (is_found, reply.regions_missing.is_empty()) {
        (true, _) => exit::OK,
        (false, true) => exit::REJECTED,
        (false, false) => exit::UNAVAILABLE,
    };
    Ok(Output {
        exit_code,
        ..Output::ok(texts.join("\n"), json)
    })
}

fn text(found: &FoundInRegion) -> String {
    let account = match &found.rejection {
        Some(why) => format!("no answer: {}: {}", why.code, why.message),
        None if found.account_id.is_empty() => "none".to_owned(),
        None => found.account_id.clone(),
    };
    fields(&[
        ("region", found.region.clone()),
        ("account", account),
        ("true at", time(&found.true_at)),
        ("position", position(&found.position)),
    ])
}

fn json(found: &FoundInRegion) -> Value {
    let account = Some(&found.account_id).filter(|id| !id.is_empty());
    json!({
        "region": found.region,
        "account_id": account,
        "true_at": time_json(&found.true_at),
        "position": position_json(&found.position),
        "served_by": served_by_json(&found.served_by),
        "rejection": rejection_json(&found.rejection),
    })
}

//! When an import began, kept in the ledger.
//!
//! The first run opens an account that never takes money and whose id derives from the import's
//! name: the marker. The time of its opening is the first attempt of every command of the import,
//! in every run. An account is there for ever, so the time can still be read when all keys are
//! forgotten, and no second marker can be opened.

use ledger_domain::{Code, RegionName};

use super::names::ImportName;
use crate::api::rejection::FIRST_ATTEMPT_TOO_OLD;
use crate::api::teller::v1::{OpenAccountRequest, open_account_request::Identity};
use crate::api::v1::{Channel, CommandContext, Time};
use crate::client::{Client, Error};

/// When an import began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The first attempt of all its commands.
    pub unix_ms: i64,
    /// Whether an earlier run began it.
    pub resumed: bool,
}

/// How the marker is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Where, if no region has it yet.
    pub home: RegionName,
    /// In which currency, as every account has one.
    pub currency: String,
    /// What the books' keys rest on. A later run with another digest is refused as a conflict.
    pub digest: String,
}

/// Finds out when the import began, or begins it.
///
/// The marker is looked for in every region of the ledger, because the files may have changed since
/// the first run. Its opening is then sent again, so that its key tells whether these are the books
/// it was opened for; only where it is not found anywhere does that open it. Two first runs at once
/// open the same marker and agree on its time.
pub async fn begin(
    client: &Client,
    name: &ImportName,
    regions: impl IntoIterator<Item = RegionName>,
    mark: Mark,
) -> Result<Start, Error> {
    let mut marker = None;
    for region in regions {
        if let Some(found) = look_up(client, &name.marker(region)).await? {
            marker = Some((region, found));
            break;
        }
    }
    let first = marker.as_ref().map(|(_, found)| found.unix_ms);
    let home = marker.as_ref().map_or(mark.home, |(region, _)| *region);
    let currency = marker.map_or(mark.currency, |(_, found)| found.currency);
    let request = OpenAccountRequest {
        context: Some(CommandContext {
            idempotency_key: name.start_key(),
            first_attempt_unix_ms: first.unwrap_or_default(),
            reference: mark.digest,
            reason: "marks the start of an import".to_owned(),
            channel: Channel::Batch.into(),
            ..CommandContext::default()
        }),
        identity: Some(Identity::AccountId(name.marker(home))),
        home_region: home.to_string(),
        currency,
        overdraft: None,
        ..OpenAccountRequest::default()
    };
    match (client.open_account(request).await, first) {
        (Ok(reply), _) => {
            let receipt = reply.receipt.unwrap_or_default();
            let unix_ms = millis(receipt.time)?;
            Ok(Start {
                unix_ms,
                resumed: first.is_some() || receipt.duplicate,
            })
        }
        // The key is forgotten, or is another caller's: the account still has the time.
        (Err(error), Some(unix_ms)) if stands_already(&error) => Ok(Start {
            unix_ms,
            resumed: true,
        }),
        // Another caller's run was a moment faster.
        (Err(error), None) if error.code() == Some(Code::AccountExists.name()) => {
            let found = look_up(client, &name.marker(home)).await?.ok_or(error)?;
            Ok(Start {
                unix_ms: found.unix_ms,
                resumed: true,
            })
        }
        (Err(error), _) => Err(error),
    }
}

struct Marker {
    unix_ms: i64,
    currency: String,
}

async fn look_up(client: &Client, marker: &str) -> Result<Option<Marker>, Error> {
    match client.account(marker).await {
        Ok(reply) => {
            let account = reply.account.unwrap_or_default();
            let unix_ms = millis(account.opened_at)?;
            Ok(Some(Marker {
                unix_ms,
                currency: account.currency,
            }))
        }
        Err(error) if error.code() == Some(Code::AccountNotFound.name()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn stands_already(error: &Error) -> bool {
    [FIRST_ATTEMPT_TOO_OLD, Code::AccountExists.name()]
        .map(Some)
        .contains(&error.code())
}

fn millis(time: Option<Time>) -> Result<i64, Error> {
    let unix_ms = time.unwrap_or_default().unix_nanos / 1_000_000;
    if unix_ms > 0 {
        return Ok(unix_ms);
    }
    Err(Error::Malformed(
        "the import's marker has no time of opening".to_owned(),
    ))
}

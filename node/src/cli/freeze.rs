use serde_json::{Value, json};

use super::{
    args::{FreezeArguments, FreezeArriving, FreezeBlocks, FreezeType, UnfreezeArguments},
    exit::Failure,
    output::{Output, receipt, time, time_json},
    write::{context, currency_of},
};
use crate::{
    api::{
        teller::v1::{self as pb, FreezeAccountRequest, UnfreezeAccountRequest},
        v1::Time,
    },
    client::Client,
};

pub async fn freeze(client: &Client, given: FreezeArguments) -> Result<Output, Failure> {
    let currency = currency_of(client, &given.account, &given.context.conditions).await?;
    let until = given.until.map_or(0, |at| at.unix_nanos / 1_000_000);
    let request = FreezeAccountRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        r#type: kind(given.kind).into(),
        blocks: blocks(given.blocks).into(),
        arriving: arriving(given.arriving).into(),
        until_unix_ms: until,
    };
    Ok(receipt(&client.freeze_account(request).await?.receipt, &[]))
}

pub async fn unfreeze(client: &Client, given: UnfreezeArguments) -> Result<Output, Failure> {
    let currency = currency_of(client, &given.account, &given.context.conditions).await?;
    let request = UnfreezeAccountRequest {
        context: Some(context(given.context, &currency)?),
        account_id: given.account,
        r#type: kind(given.kind).into(),
    };
    let reply = client.unfreeze_account(request).await?;
    Ok(receipt(&reply.receipt, &[]))
}

pub(super) fn blocks(blocks: FreezeBlocks) -> pb::FreezeBlocks {
    match blocks {
        FreezeBlocks::Debits => pb::FreezeBlocks::Debits,
        FreezeBlocks::Credits => pb::FreezeBlocks::Credits,
        FreezeBlocks::All => pb::FreezeBlocks::All,
    }
}

pub(super) fn arriving(arriving: FreezeArriving) -> pb::FreezeArriving {
    match arriving {
        FreezeArriving::Returns => pb::FreezeArriving::Returns,
        FreezeArriving::Suspense => pb::FreezeArriving::Suspense,
    }
}

pub(super) fn kind(kind: FreezeType) -> pb::FreezeType {
    match kind {
        FreezeType::CourtOrder => pb::FreezeType::CourtOrder,
        FreezeType::Fraud => pb::FreezeType::Fraud,
        FreezeType::Deceased => pb::FreezeType::Deceased,
        FreezeType::Dormant => pb::FreezeType::Dormant,
        FreezeType::OwnRequest => pb::FreezeType::OwnRequest,
    }
}

/// A freeze as people read it.
pub fn text(freeze: &pb::Freeze) -> String {
    let mut text = format!("{} ({}", words(freeze).0, words(freeze).1);
    if freeze.blocks() != pb::FreezeBlocks::Debits {
        text.push_str(&format!(", what arrives: {}", words(freeze).2));
    }
    text.push(')');
    if freeze.until_unix_ms > 0 {
        text.push_str(&format!(" until {}", time(&until(freeze))));
    }
    if !freeze.reason.is_empty() {
        text.push_str(&format!(": {}", freeze.reason));
    }
    text
}

/// A freeze as programs read it.
pub fn json(freeze: &pb::Freeze) -> Value {
    let (kind, blocks, arriving) = words(freeze);
    json!({
        "type": kind.replace(' ', "_"),
        "blocks": blocks,
        "arriving": arriving,
        "until": time_json(&until(freeze)),
        "reason": freeze.reason,
    })
}

fn until(freeze: &pb::Freeze) -> Option<Time> {
    (freeze.until_unix_ms > 0).then(|| Time {
        unix_nanos: freeze.until_unix_ms.saturating_mul(1_000_000),
        hlc: String::new(),
    })
}

fn words(freeze: &pb::Freeze) -> (&'static str, &'static str, &'static str) {
    let kind = match freeze.r#type() {
        pb::FreezeType::CourtOrder => "court order",
        pb::FreezeType::Fraud => "fraud",
        pb::FreezeType::Deceased => "deceased",
        pb::FreezeType::Dormant => "dormant",
        pb::FreezeType::OwnRequest => "own request",
        pb::FreezeType::Unspecified => "unspecified",
    };
    let blocks = match freeze.blocks() {
        pb::FreezeBlocks::Debits => "debits",
        pb::FreezeBlocks::Credits => "credits",
        pb::FreezeBlocks::All => "all",
        pb::FreezeBlocks::Unspecified => "unspecified",
    };
    let arriving = match freeze.arriving() {
        pb::FreezeArriving::Returns => "returns",
        pb::FreezeArriving::Suspense => "suspense",
        pb::FreezeArriving::Unspecified => "unspecified",
    };
    (kind, blocks, arriving)
}

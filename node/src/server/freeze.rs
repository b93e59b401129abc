//! Freezes in the words of the API.

use ledger_domain::{
    Action, Field, Freeze, Freezes,
    freeze::{Arriving, Blocks, FreezeType},
};
use tonic::Status;

use super::{
    prepare::{Prepared, account, prepare},
    refusal,
};
use crate::api::teller::v1 as pb;

pub(super) fn freeze(r: &pb::FreezeAccountRequest) -> Result<Prepared, Status> {
    let context = r.context.clone().unwrap_or_default();
    let until_ms = u64::try_from(r.until_unix_ms)
        .map_err(|_| refusal::invalid("a freeze cannot end before 1970"))?;
    let freeze = Freeze {
        kind: kind(r.r#type)?,
        blocks: match r.blocks() {
            pb::FreezeBlocks::Debits => Blocks::Debits,
            pb::FreezeBlocks::Credits => Blocks::Credits,
            pb::FreezeBlocks::All | pb::FreezeBlocks::Unspecified => Blocks::All,
        },
        arriving: match r.arriving() {
            pb::FreezeArriving::Suspense => Arriving::Suspense,
            pb::FreezeArriving::Returns | pb::FreezeArriving::Unspecified => Arriving::Returns,
        },
        until_ms: (until_ms > 0).then_some(until_ms),
        reason: context.reason.clone(),
    };
    let number = |n: i32| n.to_be_bytes().to_vec();
    let fields = vec![
        (Field::FreezeType, number(freeze.kind as i32)),
        (Field::FreezeBlocks, number(freeze.blocks as i32)),
        (Field::FreezeArriving, number(freeze.arriving as i32)),
        (Field::FreezeUntil, until_ms.to_be_bytes().to_vec()),
    ];
    let account = account(&r.account_id)?;
    prepare(Action::Freeze { account, freeze }, context, fields)
}

pub(super) fn unfreeze(r: &pb::UnfreezeAccountRequest) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let kind = kind(r.r#type)?;
    let fields = vec![(Field::FreezeType, (kind as i32).to_be_bytes().to_vec())];
    let context = r.context.clone().unwrap_or_default();
    prepare(Action::Unfreeze { account, kind }, context, fields)
}

/// The API has the stored numbers.
fn kind(number: i32) -> Result<FreezeType, Status> {
    FreezeType::from_number(number).ok_or_else(|| refusal::invalid("a freeze has a type"))
}

/// Those in force at a time.
pub(super) fn in_force(freezes: &Freezes, now_ms: u64) -> Vec<pb::Freeze> {
    freezes.in_force(now_ms).map(reply).collect()
}

/// A freeze as it is told.
pub(super) fn reply(freeze: &Freeze) -> pb::Freeze {
    pb::Freeze {
        r#type: freeze.kind as i32,
        blocks: freeze.blocks as i32,
        arriving: freeze.arriving as i32,
        until_unix_ms: i64::try_from(freeze.until_ms.unwrap_or(0)).unwrap_or(i64::MAX),
        reason: freeze.reason.clone(),
    }
}

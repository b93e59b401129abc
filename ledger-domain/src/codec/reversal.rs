//! Events about reversals.

use super::{Read, amount, field, position_from_proto, position_to_proto};
use crate::{
    TransactionId, TransactionReversed,
    proto::{self, event::Event as E},
};

pub(super) fn to_proto(event: &TransactionReversed) -> E {
    E::TransactionReversed(proto::TransactionReversed {
        original: Some(position_to_proto(event.original.position)),
        original_ordinal: event.original.ordinal,
        amount: event.amount.minor_units().unsigned_abs(),
        total: event.total.minor_units().unsigned_abs(),
    })
}

pub(super) fn from_proto(e: proto::TransactionReversed) -> Read<TransactionReversed> {
    Ok(TransactionReversed {
        original: TransactionId {
            position: position_from_proto(field(e.original, "original")?),
            ordinal: e.original_ordinal,
        },
        amount: amount(e.amount)?,
        total: amount(e.total)?,
    })
}

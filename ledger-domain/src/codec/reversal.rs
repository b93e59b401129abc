//! What is reversed.

use super::{Read, amount, field, position_from_proto, position_to_proto};
use crate::{TransactionId, TransactionReversed, proto, reversal::ReversedPart};

pub(super) fn reversed_to_proto(event: &TransactionReversed) -> proto::TransactionReversed {
    proto::TransactionReversed {
        original: Some(position_to_proto(event.original.position)),
        original_ordinal: event.original.ordinal,
        amount: event.amount.minor_units().unsigned_abs(),
        total: event.total.minor_units().unsigned_abs(),
    }
}

pub(super) fn reversed_from_proto(e: proto::TransactionReversed) -> Read<TransactionReversed> {
    Ok(TransactionReversed {
        original: TransactionId {
            position: position_from_proto(field(e.original, "original")?),
            ordinal: e.original_ordinal,
        },
        amount: amount(e.amount)?,
        total: amount(e.total)?,
    })
}

pub(super) fn part_to_proto(part: &ReversedPart) -> proto::ReversedPart {
    proto::ReversedPart {
        original: Some(position_to_proto(part.original.position)),
        original_ordinal: part.original.ordinal,
        amount: part.amount.minor_units().unsigned_abs(),
    }
}

pub(super) fn part_from_proto(part: proto::ReversedPart) -> Read<ReversedPart> {
    Ok(ReversedPart {
        original: TransactionId {
            position: position_from_proto(field(part.original, "original")?),
            ordinal: part.original_ordinal,
        },
        amount: amount(part.amount)?,
    })
}

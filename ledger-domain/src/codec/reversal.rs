//! What is reversed.

use super::{Read, amount, transaction_from_proto, transaction_to_proto};
use crate::{TransactionReversed, proto, reversal::ReversedPart};

pub(super) fn reversed_to_proto(event: &TransactionReversed) -> proto::TransactionReversed {
    let (original, original_ordinal) = transaction_to_proto(&event.original);
    proto::TransactionReversed {
        original,
        original_ordinal,
        amount: event.amount.minor_units().unsigned_abs(),
        total: event.total.minor_units().unsigned_abs(),
    }
}

pub(super) fn reversed_from_proto(e: proto::TransactionReversed) -> Read<TransactionReversed> {
    Ok(TransactionReversed {
        original: transaction_from_proto((e.original, e.original_ordinal), "original")?,
        amount: amount(e.amount)?,
        total: amount(e.total)?,
    })
}

pub(super) fn part_to_proto(part: &ReversedPart) -> proto::ReversedPart {
    let (original, original_ordinal) = transaction_to_proto(&part.original);
    proto::ReversedPart {
        original,
        original_ordinal,
        amount: part.amount.minor_units().unsigned_abs(),
    }
}

pub(super) fn part_from_proto(part: proto::ReversedPart) -> Read<ReversedPart> {
    Ok(ReversedPart {
        original: transaction_from_proto((part.original, part.original_ordinal), "original")?,
        amount: amount(part.amount)?,
    })
}

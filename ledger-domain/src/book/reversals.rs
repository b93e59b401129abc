//! What a book counts of reversals.

use super::{Book, stored::shelved};
use crate::{
    Damage, TransactionId, codec,
    proto::{self, book_chunk::Part},
    state::State as _,
};

impl Book {
    pub(super) fn stored_reversals(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(original, total): (TransactionId, i64)| {
            let (original, ordinal) = codec::transaction_to_proto(&original);
            proto::BookReversed {
                original,
                ordinal,
                total,
            }
        };
        shelved(self.reversed.sorted()).map(move |rows| {
            let rows = rows.into_iter().map(row).collect();
            Part::Reversals(proto::BookReversals { rows })
        })
    }

    pub(super) fn fill_reversals(&mut self, part: proto::BookReversals) -> Result<(), Damage> {
        for row in part.rows {
            let original = (row.original, row.ordinal);
            let original = codec::transaction_from_proto(original, "original")?;
            self.set_reversed(original, row.total);
        }
        Ok(())
    }
}

//! Reversals: money that a transaction moved is moved back, all of it or in parts.
//!
//! A reversal is decided where its original was, in the same book: there the log says what the
//! original moved, however long ago, and the book counts what of it has been reversed. So parts
//! never come to more than the original, whoever asks for them, and however often. Within the book,
//! what moves back is a payment like any other, from whoever was paid to whoever paid; an event
//! before it names the original. What went to another shard is moved back by a
//! [journal](crate::journal) of two legs, which this book coordinates: the part counts from when the
//! journal is opened, and no more if the payee's shard refuses.
//!
//! A journal is moved back whole, by the opposite one: every leg on the other side. It counts by the
//! amount of its first leg: none of it is reversed, or all.
//!
//! What a reversal itself moves is not reversed, nor is what was cleared out of suspense: those are
//! new payments, by new commands.

mod moved;

pub use moved::{Moved, MovedJournal, MovedPayment};

use crate::{Amount, TransactionId, evolve::Mismatch, state::State};

/// A part of a transaction is moved back. As an event, the payment is the next one of the outcome; in a
/// journal, that moves it back between shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionReversed {
    /// The transaction that moved it.
    pub original: TransactionId,
    /// How much is moved back.
    pub amount: Amount,
    /// How much of the original has been moved back now.
    pub total: Amount,
}

impl TransactionReversed {
    /// Which part that is.
    pub const fn part(&self) -> ReversedPart {
        ReversedPart {
            original: self.original,
            amount: self.amount,
        }
    }
}

/// A part of a transaction that is moved back by a journal, or is not after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReversedPart {
    /// The transaction.
    pub original: TransactionId,
    /// How much of it.
    pub amount: Amount,
}

/// Counts what is moved back.
pub(crate) fn count<S: State>(state: &mut S, event: &TransactionReversed) -> Result<(), Mismatch> {
    let total = event.total.minor_units();
    let before = state.reversed(&event.original);
    if before.checked_add(event.amount.minor_units()) != Some(total) {
        return Err(Mismatch::Reversed(event.original));
    }
    state.set_reversed(event.original, total);
    Ok(())
}

/// Counts a part no more: it is not moved back after all.
pub(crate) fn give_back<S: State>(state: &mut S, part: &ReversedPart) -> Result<(), Mismatch> {
    let before = state.reversed(&part.original);
    let rest = before.checked_sub(part.amount.minor_units());
    let rest = rest.filter(|rest| *rest >= 0);
    state.set_reversed(
        part.original,
        rest.ok_or(Mismatch::Reversed(part.original))?,
    );
    Ok(())
}

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
//! What a reversal itself moves is not reversed, nor is what was cleared out of suspense: those are
//! new payments, by new commands.

use crate::{
    AccountId, Amount, Currency, Date, Event, Outcome, ShardId, TransactionId, evolve::Mismatch,
    journal::Party, state::State,
};

/// What a transaction moved within its book, as its own events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Who paid.
    pub payer: Party,
    /// Who was paid.
    pub payee: Party,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// From which date it counts.
    pub effective_date: Date,
    /// The item that took it to the payee in another shard: which shard, and the item's number.
    pub elsewhere: Option<(ShardId, u64)>,
}

impl Moved {
    /// What a command's outcome moved, where that can be moved back: `None` for what was refused, for
    /// what moved nothing, for reversals and journals, and for what was cleared out of suspense. What
    /// went to another shard can be moved back once it has arrived: that is not asked here.
    pub fn by(outcome: &Outcome) -> Option<Self> {
        let effective_date = outcome.command.as_ref()?.effective_date;
        let events = outcome.result.as_ref().ok()?;
        if events.iter().any(|event| event.reverses().is_some()) {
            return None;
        }
        events.iter().find_map(|event| {
            let mut elsewhere = None;
            let (payer, payee, currency, amount) = match event {
                Event::FundsDeposited {
                    after,
                    house,
                    currency,
                    amount,
                } => (
                    Party::House(house.clone()),
                    Party::Account(after.account),
                    currency,
                    amount,
                ),
                Event::FundsWithdrawn {
                    after,
                    house,
                    currency,
                    amount,
                } => (
                    Party::Account(after.account),
                    Party::House(house.clone()),
                    currency,
                    amount,
                ),
                Event::FundsTransferred {
                    payer,
                    payee,
                    currency,
                    amount,
                } => (
                    Party::Account(payer.account),
                    Party::Account(payee.account),
                    currency,
                    amount,
                ),
                Event::TransferSent { item, .. } => {
                    elsewhere = Some((item.destination, item.number));
                    (
                        Party::Account(item.payer),
                        Party::Account(item.payee),
                        &item.currency,
                        &item.amount,
                    )
                }
                _ => return None,
            };
            Some(Self {
                payer,
                payee,
                currency: *currency,
                amount: *amount,
                effective_date,
                elsewhere,
            })
        })
    }

    /// Whether an account paid it, or was paid.
    pub fn concerns(&self, account: &AccountId) -> bool {
        let is_it = |party: &Party| matches!(party, Party::Account(id) if id == account);
        is_it(&self.payer) || is_it(&self.payee)
    }

    /// Whether nothing of it is under way to another shard, as its own book knows.
    pub fn has_arrived<S: State>(&self, state: &S) -> bool {
        let item = self.elsewhere;
        item.is_none_or(|(shard, number)| state.sent(shard, number).is_none())
    }

    /// What of it is not reversed, minor units, where so much is.
    pub fn rest(&self, reversed: i64) -> i64 {
        self.amount.minor_units().saturating_sub(reversed)
    }
}

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

//! Reversals: money that a transaction moved is moved back, all of it or in parts.
//!
//! A reversal is decided where its original was, in the same book: there the log says what the
//! original moved, however long ago, and the book counts what of it has been reversed. So parts
//! never come to more than the original, whoever asks for them, and however often. What moves back
//! is a payment like any other, from whoever was paid to whoever paid; an event before it names the
//! original.
//!
//! What a reversal itself moves is not reversed, nor is what was cleared out of suspense: those are
//! new payments, by new commands.

use crate::{AccountId, Amount, Currency, Date, Event, Outcome, TransactionId, journal::Party};

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
}

impl Moved {
    /// What a command's outcome moved, where that can be moved back: `None` for what was refused, for
    /// what moved nothing or moved it to another shard, for reversals and journals, and for what was
    /// cleared out of suspense.
    pub fn by(outcome: &Outcome) -> Option<Self> {
        let effective_date = outcome.command.as_ref()?.effective_date;
        let events = outcome.result.as_ref().ok()?;
        let is_reversal = |event| matches!(event, &Event::Reversed(_));
        if events.iter().any(is_reversal) {
            return None;
        }
        events.iter().find_map(|event| {
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
                _ => return None,
            };
            Some(Self {
                payer,
                payee,
                currency: *currency,
                amount: *amount,
                effective_date,
            })
        })
    }

    /// Whether an account paid it, or was paid.
    pub fn concerns(&self, account: &AccountId) -> bool {
        let is_it = |party: &Party| matches!(party, Party::Account(id) if id == account);
        is_it(&self.payer) || is_it(&self.payee)
    }

    /// What of it is not reversed, minor units, where so much is.
    pub fn rest(&self, reversed: i64) -> i64 {
        self.amount.minor_units().saturating_sub(reversed)
    }
}

/// A part of a transaction was moved back; the payment is the next event of the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionReversed {
    /// The transaction that moved it.
    pub original: TransactionId,
    /// How much is moved back.
    pub amount: Amount,
    /// How much of the original has been moved back now.
    pub total: Amount,
}

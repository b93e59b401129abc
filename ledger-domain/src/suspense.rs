//! Suspense: money that arrived and could not be given to whom it was for.
//!
//! Two things end there: a transfer to an account whose freeze says that what arrives is kept, and
//! a transfer that came back to a payer who can no longer take it. Nothing is ever lost in a sum:
//! each is an item of its own, with whose it is, why, and since when, until a command clears it and
//! says where to. The house account `suspense` has the sum of its items, and what callers book there
//! themselves as on any other account of the bank.
//!
//! To callers an item has the id of the transaction that put it there. Inside a book it has no other
//! name: nobody can name it before that transaction is applied.

use bytes::Bytes;

use crate::{
    AccountId, Amount, Currency, Event, HouseCode, HybridTime, Rejection, ShardId, TransactionId,
    event::{After, ChannelItem},
    state::Sent,
};

/// What is in suspense for one account, out of one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspended {
    /// Whose it would be.
    pub owner: AccountId,
    /// The other end of the transfer that ended here.
    pub other: AccountId,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub amount: Amount,
    /// When it was put here, by the log's time.
    pub since: HybridTime,
    /// Why the account that it was for did not get it.
    pub why: Rejection,
}

impl Suspended {
    /// What an event puts in suspense at a time. `sent` gives the items that are under way before
    /// the event.
    pub fn by(
        event: &Event,
        since: HybridTime,
        sent: impl Fn(ShardId, u64) -> Option<Sent>,
    ) -> Option<Self> {
        match event {
            Event::TransferSuspended {
                payee,
                payer,
                currency,
                amount,
                rejection,
                ..
            } => Some(Self {
                owner: *payee,
                other: *payer,
                currency: *currency,
                amount: *amount,
                since,
                why: rejection.clone(),
            }),
            Event::TransferReturned {
                destination,
                number,
                payer: None,
                rejection,
            } => {
                let item = sent(*destination, *number)?.item;
                Some(Self {
                    owner: item.payer,
                    other: item.payee,
                    currency: item.currency,
                    amount: item.amount,
                    since,
                    why: rejection.clone(),
                })
            }
            _ => None,
        }
    }
}

/// Where an item of suspense went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cleared {
    /// To an account of the book.
    Account(After),
    /// To a house account of the book.
    House(HouseCode),
    /// To an account of another shard: it is under way.
    Sent {
        /// The item of the channel; its payer is the owner, who gets it back where it is refused.
        item: ChannelItem,
        /// Its stored bytes.
        stored: Bytes,
    },
}

/// An item of suspense was cleared: suspense −amount, and where it went +amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspenseCleared {
    /// The transaction that put it there.
    pub put: TransactionId,
    /// Whose it was.
    pub owner: AccountId,
    /// In which currency.
    pub currency: Currency,
    /// How much: all of it.
    pub amount: Amount,
    /// Where it went.
    pub to: Cleared,
}

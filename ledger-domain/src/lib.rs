//! The pure core of the ledger.
//!
//! Nothing in this crate reads a clock, draws a random number, opens a file or waits. It says what
//! money is ([`Money`], [`Amount`]), who owns it ([`AccountId`], [`Account`]), what can be asked
//! ([`Command`]), and what becomes of it: [`decide()`] turns a command and a state into an
//! [`Outcome`], which is a list of [`Event`]s or a [`Rejection`]; [`evolve()`] turns a state and an
//! event into the next state. Both run on the same narrow [`state::State`], so the writer can
//! decide against the applied [`Book`] plus what is in flight above it ([`InFlight`]).
//!
//! Outcomes that were decided together make an [`Entry`]: what Raft carries, what the log keeps,
//! what travels to other regions. Its stored format is fixed by `proto/entry.proto` inside a
//! [`frame`]; hashes are taken over stored bytes, never over a re-encoding. [`chain`] links entries
//! to each other, twice. A transfer to another shard becomes a numbered item of a channel
//! ([`event::ChannelItem`]); [`receive()`] and [`resolve()`] are the two later steps of it.
//!
//! Money is conserved because every event that moves it names two sides, and every account,
//! customer's or house's, is in the book: [`Book::sums`] is zero at every position.

pub mod account;
mod account_id;
mod base32;
pub mod book;
pub mod chain;
pub mod codec;
pub mod command;
mod condition;
pub mod consumer;
pub mod customer;
mod date;
pub mod day;
pub mod decide;
mod digest;
mod entry;
pub mod event;
pub mod evolve;
mod fence;
pub mod frame;
pub mod freeze;
pub mod hold;
pub mod journal;
mod money;
pub mod movement;
mod overlay;
pub mod planted;
mod position;
pub mod posting;
pub mod profile;
pub mod reference;
mod region;
pub mod rejection;
pub mod reversal;
pub mod sealed;
pub mod signed_head;
pub mod spending;
pub mod state;
pub mod subject;
pub mod suspense;
mod time;
pub mod token;

#[allow(missing_docs, clippy::all, reason = "generated from proto/entry.proto")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/meridian.ledger.v1.rs"));
}

pub use account::{Account, HouseCode, HouseType, Limit};
pub use account_id::{AccountId, InvalidAccountId};
pub use book::{Book, Verdict};
pub use chain::Hash;
pub use command::{Action, Command};
pub use condition::Conditions;
pub use consumer::{ConsumerId, InvalidConsumerName};
pub use customer::{CustomerId, InvalidCustomerId};
pub use date::{Date, InvalidDate};
pub use decide::{
    Asked, Circumstances, conclude, decide, decide_together, expire, forget, hear, receive,
    reserve, resolve,
};
pub use digest::{DigestKey, Field, Fingerprint, KeyDigest};
pub use entry::{Damage, Entry, Format};
pub use event::{Event, Outcome};
pub use evolve::evolve;
pub use fence::Fence;
pub use freeze::{Freeze, Freezes};
pub use hold::{Hold, HoldAction, HoldChange, HoldEvent};
pub use journal::{JournalEvent, JournalRef, Party};
pub use money::{Amount, Currency, InvalidAmount, InvalidMoney, Money, UnknownCurrency};
pub use overlay::{InFlight, Overlay};
pub use position::{InvalidTransactionId, Position, ShardId, TransactionId};
pub use reference::{Reference, ReferenceDigest, ReferenceType};
pub use region::{InvalidRegion, RegionName};
pub use rejection::{Code, Rejection};
pub use reversal::{Moved, MovedJournal, MovedPayment, ReversedPart, TransactionReversed};
pub use sealed::Sealed;
pub use signed_head::SignedHead;
pub use spending::{Spending, SpendingLimit, SpendingLimits, Spent};
pub use subject::EventKind;
pub use suspense::{Suspended, SuspenseCleared};
pub use time::{GuardedClock, HybridTime, OutOfBounds};
pub use token::Token;

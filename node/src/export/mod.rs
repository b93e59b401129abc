//! `meridian export`: the ledgers of a stopped node's directory as a plain-text journal.
//!
//! The journal is read the way the verifier reads (`verify::read`), and only out of a directory in which
//! everything holds. All shards that are there go into one journal, at home or copied, customers' accounts
//! and the bank's own.
//!
//! - A movement is a transaction of its own, with the date from which it counts. A transfer between shards
//!   is three of them, and each balances: the payer's shard books the money in transit, the payee's books
//!   what is due from the other, and the payer's closes the transit. Tags or links join the three.
//! - Amounts carry the ledger's sign: positive is the holder's. So customers' money stands where a bank's
//!   own books would have a liability, and all accounts of a book come to zero.
//! - Accounts are called as the caller of the export says (`names`), where that is legal, and otherwise
//!   `Equity:Meridian:<Region>:<Id>`. The bank's own are `Equity:Meridian:<Region>:House:<Code>`; those of
//!   several shards of a region are one.
//! - Nothing that is sealed is opened, and there are no assertions of balances: whoever checks the journal
//!   brings their own.

mod beancount;
mod hledger;
mod journal;
mod names;

pub use journal::{Error, Format, Journal, Selection, journal};
pub use names::{InvalidNames, Names};

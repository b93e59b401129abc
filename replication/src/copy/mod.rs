//! Copies: what a node keeps of shards that live in other regions.
//!
//! ```text
//!   home's replica ──feed──▶ check ──▶ LogHub::append_copy (synced) ──▶ copied index ──▶ views,
//!                              │                                                         feeds,
//!                              └─ a record that does not fit: the copy stops, for good   channels
//! ```
//!
//! A [`ShardCopy`] follows the feed of one of the home's nodes and changes to another when that one
//! fails, falls silent, or has had nothing new for a while (it may be cut off from its leader).
//! Nothing received is believed: each record's frame, its index and its audited head are checked
//! against the record before, and what does not follow ends the copy with an error that names the
//! index. What was checked before stays good and stays served.

mod audit;
mod follow;
mod options;
mod status;
#[cfg(test)]
mod tests;

pub use audit::Unfit;
pub(crate) use audit::{Audit, audited_head};
pub use follow::ShardCopy;
pub use options::CopyOptions;
pub use status::{CopyStatus, Halt};

//! Copies: what a node keeps of shards that live in other regions.
//!
//! ```text
//!   a node of the home,          ┌─▶ LogHub::append_copy (synced) ──▶ copied index ──▶ views,
//!   or of this region ──feed──▶ check                                                  feeds,
//!                                └─ a record that does not fit                         channels
//! ```
//!
//! Of each region one node follows the feed of a node of the home, and the others follow its feed:
//! each record crosses between the two regions once ([`order`] says which node it is, by `relay`). It
//! changes to another node of the home when that one fails, falls silent, or has had nothing new for a
//! while (it may be cut off from its leader). A node that is not served well by a neighbour goes on
//! to the next one in the order, or hears the home itself, and comes back after it has seen that the
//! neighbour is as far as it is.
//!
//! Nothing received is believed: each record's frame, its index and its audited head are checked
//! against the record before. A neighbour that sends what does not follow is left; where a node of
//! the home does, the copy ends with an error that names the index. What was checked before stays
//! good and stays served.

mod audit;
mod follow;
mod follower;
mod options;
mod relay;
mod status;
#[cfg(test)]
mod tests;

pub use audit::Unfit;
pub(crate) use audit::{Audit, audited_head};
pub use follow::{Places, ShardCopy};
pub use options::CopyOptions;
pub use relay::order;
pub use status::{CopyStatus, Halt, Received};

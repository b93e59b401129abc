//! Events out of logs: shards read on, each from a place, and put in one order.
//!
//! A [`Lane`] reads one shard's log and leaves out what means nothing. A [`Merge`] holds what several
//! lanes have read until it is due.

mod lane;
mod merge;
#[cfg(test)]
mod tests;

pub use lane::{Decided, Error, Lane};
pub use merge::{Merge, Order};

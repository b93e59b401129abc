//! Signed chain heads that regions exchange.
//!
//! ```text
//!  home region                                     any other node of the shard
//!  head at the applied index ──signed──▶ Heads ──▶ right signature? ──▶ kept, synced
//!                                                        │
//!                                                        ▼ as soon as the index is here
//!                                           the head of this node's own log: the same,
//!                                           or there are two histories: a fork, (index, h)
//! ```
//!
//! A copy is checked record by record as it comes, so a home that changes what it has sent already
//! is found when the copy goes on. What is exchanged here is for what does not show that way: a
//! replica that has drifted, a home whose log was made anew from some place on and offered to those
//! that were away, and, years later, a directory that somebody has at hand: the heads that are kept
//! in it were signed by somebody else (`meridian verify`).
//!
//! A fork is not acted upon. Which of two histories is the right one is for people to say: it is
//! told as loudly as a node can, again with every start, and the evidence is kept.

mod exchange;
mod service;
#[cfg(test)]
mod tests;
mod told;
mod wire;

pub use exchange::{Exchange, Homes};
pub use service::HeadsService;
pub use told::{Comparison, Fork, HeadsStatus, Told};

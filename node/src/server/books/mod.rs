//! The books of all shards at one time, side by side: the trial balance.
//!
//! ```text
//!  TrialBalance at T (empty: now) ──▶ `cut`: T, and every shard's book at T
//!        for each shard, here where its log is held, else at a node that votes for it:
//!            CloseTime at its leader, if T is not over yet ──▶ wait for the log ──▶ `fold`
//!        all books ──▶ `matching`, a pure function: sums, and channels item by item ──▶ `reply`
//! ```
//!
//! **A cut at T holds, of each shard, all entries that count with a time up to T.** What acts on
//! another shard's entry has a later time than it, so a cut never holds an effect without its
//! cause, and what it holds of a cause without its effect is exactly what is under way.
//!
//! At the cut of this node every time up to T is over here already: no leader is asked.
//!
//! **The books are recomputed from durable history**, the home's log or this region's verified and
//! synced copy, with the domain's own fold and from the first entry. What the nodes have in memory
//! has no part in them. One shard is folded at a time on a node, without the keys.

mod cut;
mod fold;
mod matching;
mod reply;
mod service;
mod shard_book;
mod wire;

pub(super) use service::Service;

/// Refuses a sum that cannot be told in 64 bits.
pub(super) fn sum_overflow(whose: impl ToString) -> tonic::Status {
    cut::too_large(&wire::Malformed::TooLarge(whose.to_string()))
}

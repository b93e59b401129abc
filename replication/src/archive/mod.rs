//! History outside of nodes: sealed segments of a shard's log, and what a backup is made of.
//!
//! A [`segment`] is a run of consecutive records, packed, and opened only as a whole: its hash, every
//! record, and the audited chain from the head before it to the head after. [`backup`] says which
//! segments of which shards make a backup, and which [`snapshot`] a node of one begins with. They are pure; who fetches records and where objects are
//! kept is for others to know.
//!
//! A node that has an archive moves what is old of its logs there (the [`mover`]), and reads it
//! through the [`shelf`].

pub mod backup;
mod column;
#[cfg(test)]
pub(crate) mod in_memory;
pub mod mover;
pub mod segment;
pub mod shelf;
mod shred;
pub mod snapshot;

#[cfg(test)]
mod tests;

//! History outside of nodes: sealed segments of a shard's log, and what a backup is made of.
//!
//! A [`segment`] is a run of consecutive records, packed, and opened only as a whole: its hash, every
//! record, and the audited chain from the head before it to the head after. [`backup`] says which
//! segments of which shards make a backup. All of it is pure; who fetches records and where objects are
//! kept is for others to know.

pub mod backup;
mod column;
pub mod segment;
mod shred;

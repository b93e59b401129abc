//! How events become durable and travel.
//!
//! ```text
//!   proposals ──▶ raft ──▶ log ──▶ world::Engine (RocksDB in production)
//!                  ▲        │
//!           peer ──┘        └──▶ feeds and copies read the same records
//! ```
//!
//! [`world`] is everything that comes from outside: time, randomness, the network, the disk.
//! [`log`] is the one place where records of all shards are stored: the Raft log of the shards
//! that live here, and the copies of those that live elsewhere, under the same keys. [`raft`] is
//! consensus within a shard. [`feed`] serves a shard's records to whoever follows, [`copy`]
//! follows and keeps them, [`events`] reads them as they were decided, [`view`] folds them into what balances and statements are read from.
//! [`past`] is what accounts were, out of views and logs.
//! [`heads`] are told and compared between regions, [`scrub`] reads what is stored again and mends it.
//! [`peer`] is how nodes reach each other. [`rocks`] is the disk of a real node. [`proto`] is what
//! is stored and sent. [`metrics`] declares what all of them count.

#![deny(missing_docs)]

pub mod archive;
pub mod backfill;
pub mod copy;
pub mod events;
pub mod feed;
pub mod heads;
mod hex;
pub mod log;
pub mod metrics;
pub mod past;
pub mod peer;
pub mod raft;
pub mod rocks;
#[cfg(test)]
mod scripted_home;
pub mod scrub;
pub mod shard;
pub mod topology;
pub mod view;
pub mod world;

/// What is stored and sent, as `proto/peer.proto` defines it.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod proto {
    tonic::include_proto!("meridian.peer.v1");
}

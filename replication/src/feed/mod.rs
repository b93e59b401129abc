//! Feeds: how a shard's history leaves a node.
//!
//! Any node that holds a shard serves its feed: a replica up to what it has applied, a copy up to
//! what it has checked and synced. [`Feeds`] says which shards those are and how far each may be
//! served; [`FeedService`] answers whoever follows. A feed has no end: it waits at the last index
//! until there is another. It carries every index, in order; where one is missing here it stops
//! with an error that names it, and the follower goes to another node.
//!
//! What a copy passes on says so, in every batch: when its home was heard, and by way of whom.

mod pull;
mod service;
mod sources;
#[cfg(test)]
mod tests;

pub(crate) use pull::{Failure, Pull};
pub use service::FeedService;
pub(crate) use service::HEARTBEAT;
pub use sources::Feeds;
pub(crate) use sources::Origin;

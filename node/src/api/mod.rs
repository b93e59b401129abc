//! The public API as Rust types, generated from the definitions in `proto/`.
//!
//! [`v1`] has the words that every service shares; [`teller`] writes, [`atm`] reads, [`events`] tells what was recorded, [`consumers`] to groups that read on together, [`admin`] is
//! for operators, [`dev`] for one machine that plays the world. [`rejection`] carries a refusal through a gRPC status and back, for the services
//! and the client alike. The definitions hold the documentation of record.

mod command;
pub mod rejection;

/// Shared words: money, time, positions, receipts, rejections, modes of reading.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("meridian.v1");
}

/// Writes, and what belongs to them.
pub mod teller {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.teller.v1");
    }
}

/// Reads, answered near the person who asks.
pub mod atm {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.atm.v1");
    }
}

/// Events as the log has them.
pub mod events {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.events.v1");
    }
}

/// Events read on by several together, from cursors that the ledger keeps.
pub mod consumers {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.consumers.v1");
    }
}

/// What an operator asks.
pub mod admin {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.admin.v1");
    }
}

/// What nodes ask each other: no part of the public API.
pub(crate) mod internal {
    /// Version 1, the only one.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.internal.v1");
    }
}

/// For one machine that plays the world.
pub mod dev {
    /// Version 1, the only one.
    #[allow(missing_docs, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("meridian.dev.v1");
    }
}

/// The descriptors of all services, encoded, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/meridian.bin"));

/// Request metadata: the caller's name.
pub const CALLER: &str = "meridian-caller";

/// Response metadata: the code of a rejection.
pub const CODE: &str = "meridian-code";

/// The staleness bound of an answer whose age is not known, in milliseconds.
pub const UNKNOWN_AGE_MS: u64 = u64::MAX;

/// The most bytes of the texts that a command carries.
pub mod longest {
    /// Of its key.
    pub const KEY: usize = 128;
    /// Of a group's key: those of its commands are made of it.
    pub const GROUP_KEY: usize = 120;
    /// Of a reference, a correlation id, or a name that an id derives from.
    pub const TEXT: usize = 128;
    /// Of its reason.
    pub const REASON: usize = 256;
    /// Of its memo.
    pub const MEMO: usize = 512;
}

/// How long a watched shard goes without news before its watcher is told that there are none.
pub const WATCH_HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(2);

/// The most bytes of one message, either way.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

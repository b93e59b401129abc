//! The public API as Rust types, generated from the definitions in `proto/`.
//!
//! [`v1`] has the words that every service shares; [`teller`] writes, [`atm`] reads, [`admin`] is
//! for operators, [`dev`] for one machine that plays the world. [`rejection`] carries a refusal through a gRPC status and back, for the services
//! and the client alike. The definitions hold the documentation of record.

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

    use super::v1::CommandContext;

    impl v1::batch_command::Command {
        /// What the command carries, as every command does.
        pub fn context_mut(&mut self) -> &mut Option<CommandContext> {
            match self {
                Self::OpenAccount(open) => &mut open.context,
                Self::CloseAccount(close) => &mut close.context,
                Self::Deposit(deposit) => &mut deposit.context,
                Self::Withdraw(withdraw) => &mut withdraw.context,
                Self::Transfer(transfer) => &mut transfer.context,
                Self::PlaceHold(hold) => &mut hold.context,
                Self::RaiseHold(hold) => &mut hold.context,
                Self::CaptureHold(hold) => &mut hold.context,
                Self::ReleaseHold(hold) => &mut hold.context,
                Self::FreezeAccount(freeze) => &mut freeze.context,
                Self::UnfreezeAccount(freeze) => &mut freeze.context,
                Self::SetLimit(limit) => &mut limit.context,
            }
        }
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

/// The most bytes of one message, either way.
pub const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

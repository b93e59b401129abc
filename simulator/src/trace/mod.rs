//! What happened in a run, line by line, in the order it happened.
//!
//! A line is `<nanoseconds> <host> <event>`. Two runs of one seed must give the same lines; the
//! first line in which they differ is where to look for a leak in [`determinism`](crate::determinism).

mod events;
mod lines;

pub use lines::{CallForHelp, Fingerprint, HostTrace, Trace};

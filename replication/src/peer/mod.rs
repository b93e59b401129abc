//! How nodes reach each other.
//!
//! Two nodes hold one HTTP/2 connection in each direction, whatever the number of shards: appends
//! are streams on it, heartbeats and votes single calls. [`Peers`] dials and redials, [`serve`]
//! answers. Both go through [`crate::world::Network`], so the simulator carries the same bytes.
//!
//! A broken connection is not always an error: a network may swallow packets for ever without
//! closing anything. Three things notice, in this order: HTTP/2 pings, which also run while idle;
//! the deadline that every call has; and [`Peers::suspect`], by which a caller whose call failed
//! has the connection replaced for all.
//!
//! A broken connection can also be news. When a process dies its system closes its connections and
//! refuses new ones, and both arrive within a round trip: [`Presence`] is what the connections tell
//! of a peer's process, and [`Peers::watch`] keeps one open to be told.
//!
//! A node's number stands for one disk, for ever: [`Identity`] remembers which, and lets no call of
//! Raft's go to or come from another.

mod accepted;
mod attendance;
mod closing;
mod identity;
mod lines;
mod options;
mod presence;

pub use accepted::{serve, server};
pub use attendance::Watch;
pub(crate) use closing::Closing;
pub use identity::{Identity, Signature};
pub(crate) use lines::blames_the_line;
pub use lines::{Addresses, Error, Line, Peers};
pub use options::PeerOptions;
pub use presence::Presence;

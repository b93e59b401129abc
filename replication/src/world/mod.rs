//! The seams through which the world comes in.
//!
//! A node touches the outside in five places only: it asks the time, draws random bytes, listens
//! and connects, stores bytes, and moves old ones to an archive. Each is a small trait here. Production hands in the operating
//! system's; the simulator hands in a simulated world's; everything else in this crate and in
//! `node` is the same code in both. Timers and tasks are tokio's own, which the simulator drives
//! with its own clock, so they need no seam.

mod archive;
mod clock;
mod entropy;
mod mishap;
mod network;
mod storage;

use std::sync::Arc;

pub use archive::{Archive, Getting, Putting};
pub use clock::{Clock, SystemClock};
pub use entropy::{Entropy, SystemEntropy};
pub use mishap::Mishap;
pub use network::{Connecting, Connection, Incoming, Listening, Network, Resolving, TcpNetwork};

pub use storage::{Batch, Disk, Durability, Engine, Op, Room, SortedRow, Store, WriterHost, batch};

/// Everything a node takes from outside, in one cheap handle.
#[derive(Clone)]
pub struct World {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Listening and connecting.
    pub network: Arc<dyn Network>,
    /// Opening stores.
    pub disk: Arc<dyn Disk>,
    /// Where the old part of logs is kept, if anywhere but in them.
    pub archive: Option<Arc<dyn Archive>>,
}

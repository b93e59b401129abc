//! The five seams of [`replication::world`], filled with a simulated world's.
//!
//! An archive is a region's, and outlives all hosts. A host's clock, entropy and disk are made once and live outside of it: they survive its crash,
//! as a machine's do. Its network exists only while the host runs, and needs no state of its own. All
//! of a machine hangs on its [`Power`].

mod archive;
mod clock;
mod disk;
mod engine;
mod entropy;
mod log_key;
mod network;
mod power;
mod rot;
mod wire;

pub use archive::SimArchive;
pub use clock::{SimClock, Stretch};
pub use disk::SimDisk;
pub use engine::SimEngine;
pub use entropy::SimEntropy;
pub use network::SimNetwork;
pub use power::Power;
pub use wire::Wire;

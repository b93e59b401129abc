//! What a person does with runs: sweep through fresh seeds, prove that a seed replays, make a
//! failing plan small, and look at a run.
//!
//! Runs of one process take turns (see [`determinism`](crate::determinism)), so every tool here
//! but [`replay`] starts [children](child): one process for each run, as many at a time as there
//! are cores. That a child is a process of its own also makes its memory fresh, and a run that
//! ends with an abort a failure like any other.

pub mod child;
pub mod compare;
pub mod explore;
pub mod memory;
pub mod replay;
pub mod shrink;
mod stopwatch;

pub use stopwatch::Stopwatch;

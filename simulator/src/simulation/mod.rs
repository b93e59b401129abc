//! The world in motion: hosts that start, die and come back, links that are cut, time that moves.
//!
//! [`Simulation`] owns the hosts and is driven from outside of them, step by step. How a node
//! starts is handed in, so that nothing here knows what a node does. Faults are values
//! ([`Fault`]): they can be applied now or [planned](Simulation::plan) for a simulated time, and
//! each is written to the trace.

mod apply;
mod disturbance;
mod driver;
mod fault;
mod host;
pub(crate) mod links;

pub use disturbance::{Disturbance, Way};
pub use driver::{Cause, Failure, Simulation};
pub use fault::{Fault, Operation};
pub use host::{ClientContext, HostContext, StartNode, Starting, start_with};

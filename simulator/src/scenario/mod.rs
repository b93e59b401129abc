//! What is played in a world, and how a run of it is reported.
//!
//! A [`Scenario`] is a function of a seed: it builds a world, drives it, and asks the oracles.
//! [`play`] gives it the conditions under which it can be replayed.

mod play;

pub use play::{Report, Run, Scenario, play};

/// All scenarios, by the name under which the command line finds them. The first is the default.
pub const ALL: &[(&str, Scenario)] = &[];

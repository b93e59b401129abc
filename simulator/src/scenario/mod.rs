//! What is played in a world, and how a run of it is reported.
//!
//! A [`Scenario`] is a function of a seed: it builds a world, drives it, and asks the oracles.
//! [`play`] gives it the conditions under which it can be replayed.
//!
//! What scenarios are made of: a [`bank`] of nodes as they ship, [`customer`]s of it, each at a
//! [`desk`] that keeps the history, the [`evidence`] of the nodes' logs, a [`judge`] that puts both
//! before the oracles after a last audit, an inspector, who reads metrics, a
//! watcher, who is told what changes, an operator, who has read models made again, and a [`tally`], which shows that something happened at all. All of it
//! is held together by a [`world`]. The scenarios: [`first`], which is the same story each time, and
//! [`generated`], which plays a [`Plan`](crate::plan::Plan), and the [`hunts`] for one anomaly each,
//! in the worlds of such plans; there, too, are those who read events,
//! alone or as consumer groups.

mod audit;
pub mod bank;
mod clerk;
mod consumers;
pub mod customer;
pub mod desk;
pub mod evidence;
pub mod first;
pub mod generated;
mod glance;
pub mod hunts;
mod inspector;
mod journals;
pub mod judge;
pub mod keys;
pub mod logs;
mod operator;
mod orders;
mod play;
mod postings;
mod reader;
mod reigns;
pub mod rest;
mod steps;
mod subjects;
pub mod tally;
mod watcher;
pub mod world;

pub use play::{Played, Report, Run, Scenario, play};

/// All scenarios, by the name under which the command line finds them. The first is the default.
pub const ALL: &[(&str, Scenario)] = &[
    ("first", first::first),
    ("generated", generated::generated),
    ("bank", hunts::bank),
    ("long-fork", hunts::long_fork),
    ("causal-reverse", hunts::causal_reverse),
    ("monotonic", hunts::monotonic),
    ("events", reader::events),
    ("consumers", consumers::consumers),
];

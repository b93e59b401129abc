//! The program of the Meridian ledger: what stands between the people who use it and the shards
//! that decide.
//!
//! - [`api`]: the public API, generated from the definitions in `proto/`.
//! - [`client`]: the Rust client: finds a live node and retries safely under one key.
//! - [`import`]: takes whole books from files into the ledger, and checks that they arrived.
//! - [`verify`]: recomputes everything in a stopped node's directory; [`export`]: writes it as a journal.
//! - [`backup`]: keeps all that the ledger has decided outside of its nodes, and takes it back; [`objects`]: where such
//!   things are kept.
//! - [`server`]: a node: its shards, its services, and the way to whoever decides.
//! - [`config`] and [`secrets`]: what a node is started with; [`metrics`]: what can be measured of it.
//! - [`cli`]: the commands of the binary `meridian`; [`demo`]: the whole ledger on one machine, shown in acts.

pub mod api;
pub mod backup;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
mod durable;
pub mod export;
pub mod import;
pub mod keys;
pub mod metrics;
pub mod objects;
pub mod secrets;
pub mod server;
pub mod verify;

//! The client against real nodes: it finds them, reads from the near and healthy ones, and sends
//! together what is asked together.

#[path = "../cluster/mod.rs"]
mod cluster;
mod coalescing;
mod discovery;
mod network;
#[path = "../running/mod.rs"]
mod running;
#[path = "../metrics/scrape.rs"]
#[allow(dead_code, reason = "one counter is all that is read here")]
mod scrape;

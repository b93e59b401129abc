//! The client against real nodes: it finds them, reads from the near and healthy ones, and sends
//! together what is asked together.

mod coalescing;
mod discovery;
mod network;

//! The Rust client: one handle for all nodes of a deployment.
//!
//! A [`Client`] is given nodes, and uses one until it fails, then the next; or it is given seeds
//! ([`Client::discover`]), learns all nodes from one that answers, and then reads from the nearest
//! healthy one with the least to do ([`choice`]). A node that fails more than its peers is left alone
//! for a while ([`outliers`]).
//!
//! A write whose answer is lost is asked for again, through another node if need be, **under the same
//! key**, so it happens at most once. How often and how soon is decided by a pure function,
//! [`retry::decide`]; how often at all by a [`retry::Budget`] that all calls of a client share, so
//! that clients do not finish off a struggling cluster.
//!
//! What remains is an [`Error`] that says the one thing a caller must know: nothing was done
//! ([`Error::Rejected`], [`Error::Unavailable`]), or it is open whether it was ([`Error::Unknown`],
//! with the key to ask under).
//!
//! Reads through a [`Session`] never go back, whichever node answers: it carries the tokens of its
//! receipts and answers along. Through [`Coalescing`], what many callers ask at one time takes few
//! calls. A [`Submission`] sends commands without end and has their answers in order; where a
//! connection breaks it goes on with what is not answered. A [`Watching`] tells what changes on accounts,
//! and goes on through another node where one fails. So does a [`Reading`] of events,
//! and a [`Consumer`] that takes part in a group.
//!
//! The wall clock, randomness and the network come in through [`Options`], so a client runs in a
//! simulated world as it does in the real one.

mod attempt;
mod calls;
pub mod choice;
mod coalesce;
mod consumer;
mod discovery;
mod error;
mod events;
mod following;
mod gather;
mod history;
mod holds;
mod node;
mod nodes;
mod options;
pub mod outliers;
pub mod retry;
mod session;
mod snapshots;
mod submission;
mod survey;
mod watching;

pub use calls::Client;
pub use coalesce::Coalescing;
pub use consumer::Consumer;
pub use discovery::Seed;
pub use error::{Error, Rejection, Unknown};
pub use events::Reading;
pub use gather::Limits;
pub use history::History;
pub use options::Options;
pub use session::Session;
pub use submission::{Submission, Submitted};
pub use watching::Watching;

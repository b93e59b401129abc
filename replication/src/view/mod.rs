//! Read models: what balances and statements are answered from.
//!
//! ```text
//!   log or copy ──▶ follow ──▶ fold (pure) ──▶ tail in memory ──▶ a sorted run ──▶ Store::Views (never synced)
//!                                    │              │                                  │
//!                                    ▼              └───────────────┬──────────────────┘
//!                       accounts in memory + watermark              ▼
//!                                    └───────────────────────────▶ reads
//! ```
//!
//! [`Views`] folds the history of every shard a node holds into account rows and statement lines. To put
//! a row into the database for each of them would cost more than everything else about an event, so
//! what was folded is gathered in memory, lines packed by account, and stored about once a second, or
//! by 8 MiB, as one sorted run. A run and the cursor that says how far it goes are stored at once, so a
//! crash takes whole runs and never a part of one; what it takes is folded again. Reads see what is
//! stored and what is not as one. Nothing here is the ledger: views that are damaged, of another
//! format or of another history are made again from the log, where that can be beside those that serve
//! ([`ReadModels`]).
//!
//! Where the log itself has to be asked, an index tells where: how a transfer between shards ended
//! (from the source's log, and from the destination's), how an account began, and which entries are
//! void. What happened there stands in the log alone.
//!
//! What an account was at a time or place is sought among its statement lines and its states, and
//! answered only once the view knows all of that moment: then it is final, and the same on every node.
//! States that are missing are folded again from the log ([`crate::past`]).
//!
//! Of each account the newest thousand refused commands are kept; their numbers tell how many there
//! were in all. Older ones stand in the log.
//!
//! Who follows accounts is told each of their lines once, from any place on ([`Following`]).
//!
//! Several shards are complete here up to one time: the [`Cut`] through them. What accounts of all of
//! them were at that time belongs together.
//!
//! A read says what it is true for. A balance and its [`Watermark`] come from one state; a
//! statement shows the lines up to the version that the same state has; rows that change are read again
//! where a run was begun to be stored meanwhile.

mod balance;
mod cut;
mod declined;
mod disk;
mod error;
mod fold;
mod follow;
mod generations;
mod history;
mod holds;
mod index;
mod keys;
mod lines;
mod rows;
#[cfg(test)]
pub(crate) mod scratch;
mod statement;
mod states;
mod stored;
mod tail;
#[cfg(test)]
mod tests;
mod under_way;
mod views;
mod watch;

pub use balance::{BalanceRow, ReadError, Watermark};
pub use cut::Cut;
pub use declined::DeclinedCommands;
pub use error::{Error, Place};
pub use generations::{Building, CannotBuild, ReadModels};
pub use history::Moment;
pub(crate) use history::Recalled;
pub use holds::Holds;
pub use rows::{Declined, Ended, Line, Opening, Reversal};
pub use statement::{Mark, Span, Statement, StatementQuery};
pub use states::Restrictions;
pub(crate) use states::{Kept, Refold, State};
pub use stored::Malformed;
pub use under_way::UnderWay;
pub use views::Views;
pub use watch::{Bookmark, Change, Following, Progress, Told};

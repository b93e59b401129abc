//! `meridian verify`: reads a stopped node's data directory and recomputes everything.
//!
//! A verifier that used the ledger's own rules would share its mistakes. So this room has its own
//! reading of what is stored. With the rest of the program it shares the frame around stored values
//! (`ledger_domain::frame`), BLAKE3, the key-value store that the bytes are in, and how ids, dates and
//! amounts are spelled. It is written after the documents, not after the code: `replication/src/log/keys.rs`
//! has the layout of the keys, `replication/proto/peer.proto` the records, `ledger-domain/proto/entry.proto`
//! the entries and what each event moves, `ledger-domain/proto/book.proto` the books of snapshots,
//! `ledger_domain::chain` the two chains.
//!
//! What of a log is in an archive is read there: `archived` says what is shared with the program then.
//!
//! Nothing is changed, and no node can start on the directory meanwhile. An incomplete write at the very
//! end of the store is left out and told of: a loss of power leaves that behind, and so does whoever cuts
//! the end off.
//!
//! # What must hold
//!
//! **The log of each shard**, whether the shard votes here or is copied from another region:
//!
//! 1. *Keys.* Every key in the store is one of the layout.
//! 2. *Frames.* Every value has a known version and the checksum of its bytes.
//! 3. *Continuity.* Indexes run from 0 to the one that the marker `last` names, without a gap, and no
//!    further. Only what the marker `missing` names may be absent, and must be, until it has come from a
//!    peer; it lies at or before the marker `purged`. The book is then not recomputed, and the report says
//!    so.
//! 4. *Identity.* A record says the index it is kept under. Leaders never go back along the log. The
//!    markers `last` and `committed` name records as they are.
//! 5. *The audited chain.* Each index's head is the hash of the head before, the record's identity, kind
//!    and payload. It is computed from the beginning and must be what is stored. A copy has a head for
//!    every index; where the shard votes the newest may be lacking, but none before them.
//! 6. *The writer's chain.* An entry names the hash of the entry before that counts, its shard and its
//!    reign, and its time is later. One that names another entry before it, or another reign, is void: it
//!    keeps its index and means nothing. That is no fault; the report counts such entries.
//!
//! **The book of each shard**, over all entries that count and are known to be committed (they have a
//! stored head, or lie at or before the marker `committed`):
//!
//! 7. *Two sides.* Every movement has them (the table is in `legs`), and all accounts of a book, the
//!    customers' and the bank's own, come to zero in each currency.
//! 8. *Balances after.* An event says what an account has after it, and the account's version; both are
//!    what the sum arrives at. Nothing moves before it was opened or after it was closed, or in another
//!    currency, and an account is closed empty.
//! 9. *Limits.* No debit and no hold leaves an account, without what is held, below zero by more than
//!    its limit.
//!    What is held is held once: a hold holds what was placed and raised and not captured, ends once,
//!    and not later than the first entry at its time, before all else in that.
//!    Within a shard a reference stands for one account at a time, and is released by that.
//!    What is in suspense was put there by a transfer, is cleared once and as a whole, by a privilege.
//!    Days are closed once and in their order, what is frozen of a day is what the book comes to there, no
//!    business date is closed, and what counts from a closed day says so.
//! 10. *Keys of commands.* No key is decided twice within seven days of entry time.
//!
//! **The channels between shards**:
//!
//! 11. *Numbers.* The items to a shard are numbered 1, 2, 3 without a gap, and what is recorded of a
//!     shard's items as well. An item is closed once. What follows from another log names its cause.
//! 12. *Agreement.* Where both logs are here: what one took or refused is what the other sent, by hash,
//!     by place, party and amount; it was closed as it was recorded; and causes are earlier than what
//!     follows from them.
//!
//! **Snapshots**:
//!
//! 13. *Chunks.* A chunk is kept under the hash of its bytes. Those that the marker `snapshot` names are
//!     all here and make one book, in order, with its end. Others may be left over.
//! 14. *The same book.* At its index the book is what the log comes to: both chains' heads, accounts,
//!     house accounts, channels, holds, suspense, closed days, references, customers, consumers, and the keys that still answer. Where it says how far another shard's log
//!     had been read, that log, if it is here, has the writer's head and the time it says.
//!
//! **Told heads**, which the node has kept of what the home of a shard has signed:
//!
//! 15. At its index the log comes to the head. With `--topology` its signature is the home's.
//!
//! **Expected heads** (`--heads`):
//!
//! 16. A head from another node, at the same index, is the same. Alone, a directory cannot show that its
//!     whole history was made anew, or that it was cut at its end, markers and all.
//!
//! What does not hold is named by shard, index and part, and the reading goes on: after a missing or
//! unreadable record both chains are taken up where they go on, and after a wrong balance the one that the
//! event names, so that one fault is not a thousand. The views are not read: they can be deleted at any
//! time and are made again from the log.

mod archived;
mod between;
mod book;
mod chains;
mod channel;
mod consumers;
mod customers;
mod days;
mod directory;
mod entry;
mod finding;
mod freezes;
mod groups;
mod heads;
mod holds;
mod journals;
mod layout;
mod legs;
mod markers;
mod once;
mod pages;
mod references;
mod report;
mod restored;
mod reversals;
mod run;
mod said;
mod shard;
mod signers;
mod snapshot;
mod spending;
mod stored;
mod suspense;

pub use between::Channel;
pub use book::{Sums, sum_text};
pub use directory::Error;
pub use entry::{Fact, Movement};
pub use finding::{Finding, Part};
pub use heads::{Expected, InvalidHeads};
pub use legs::{Holder, Leg};
pub use report::{Report, ShardReport};
pub use run::{Options, Progress, read, verify};
pub use signers::{InvalidTopology, Signers};

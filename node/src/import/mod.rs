//! Takes a set of books in three files into the ledger, and checks that they arrived.
//!
//! [`Books::read`] reads and checks `accounts.csv`, `transfers.csv` and `balances.csv` before
//! anything is sent; what is wrong is named by file and line. [`run`] then opens the accounts, sends
//! the transfers, many at a time, and asserts the balances.
//!
//! **No directory.** An account's id derives from the import's name and the account's, a command's
//! key from the import's name and the row's number ([`names`]). So the same files under the same
//! name are the same commands, and a second run changes nothing. A row that was changed meets its
//! old key and is refused as a conflict; a key belongs to the payer, so changed payers are found by a
//! digest that the first run leaves in the ledger.
//!
//! **Whenever it comes.** Keys are remembered for a limited time only; a command whose first attempt
//! is older is refused instead of being done twice. The first run's own time is therefore kept in
//! the ledger ([`start`]) and every later run sends it. Long after, all its commands are refused as
//! too old, and the balances tell whether the first run was complete.
//!
//! **What waits.** A debit of an account with a limit waits until the credits above it are settled;
//! nothing else waits ([`schedule`]).

mod changed;
mod check;
mod files;
pub mod names;
mod run;
pub mod schedule;
pub mod start;

pub use check::Mismatch;
pub(crate) use files::first_line;
pub use files::{Account, Balance, Books, Problem, Transfer};
pub use names::ImportName;
pub use run::{Error, Progress, Stage, Summary, run};

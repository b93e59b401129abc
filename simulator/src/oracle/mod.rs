//! Judges of a run. Each is a pure function over plain values and names the promise it checks.
//!
//! They are written from the promises, not from the product: no rule of `ledger-domain` is
//! called, and no type of it is seen. Whoever runs a scenario translates what the nodes stored
//! and what the clients were told into the values asked for here.
//!
//! | oracle | promise |
//! |---|---|
//! | [`conservation`] | 1: money is conserved, inside every book and between every two |
//! | [`acknowledged`] | 2: an acknowledged outcome is never lost, no command is applied twice |
//! | [`no_overdraft`] | 3: no unforced debit takes an account below what it may owe |
//! | [`linearizable`] | 4: strong reads and writes of an account are linearizable |
//! | [`stated`] | 4: stale means stated: a balance was so at the place it claims; sessions never go back |
//! | [`agreement`] | under all of them: a shard has one history, whoever holds it |

pub mod acknowledged;
pub mod agreement;
pub mod conservation;
pub mod linearizable;
pub mod no_overdraft;
pub mod stated;

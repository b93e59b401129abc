//! Judges of a run. Each is a pure function over plain values and is named for the promise that it
//! checks.
//!
//! They are written from the promises, not from the product: no rule of `ledger-domain` is
//! called, and no type of it is seen. Whoever runs a scenario translates what the nodes stored
//! and what the clients were told into the values asked for here.
//!
//! | | oracle | promise |
//! |---|---|---|
//! | 1 | [`conservation`] | money is conserved, inside every book and between every two |
//! | 2 | [`acknowledged`] | an acknowledged outcome is never lost, no command is applied twice |
//! | | [`together`] | a group is done as a whole or not at all |
//! | | [`decided`] | a journal is posted by all its shards or by none, as was told; books clear with each other |
//! | 3 | [`version_order`] | strong means linearizable: the log's order is one that real time allows, and the [`model`] decides in it as the ledger did |
//! | | [`linearizable`] | the same, by a search that knows nothing of the log |
//! | 4 | [`stated`] | stale means stated: never older than claimed; sessions never go back |
//! | | [`punctual`] | no time is further ahead of the truth than the clocks of those who gave it |
//! | 5 | [`as_of`] | the past is what the model had then |
//! | 6 | [`views`] | balances, statements and lists of refusals are folds of the log's beginning |
//! | | [`watched`] | whoever watches is told of every booking once, in its order |
//! | | [`told`] | events are told each once and in order, and by time where that is asked for |
//! | | [`claimed`] | a reference stands for one account of a region at a time, and no refused opening leaves one claimed |
//! | | [`consumed`] | consumer groups are told everything at least once, and go on over what was acknowledged |
//! | 7 | [`agreement`] | a shard has one history, whoever holds it |
//! | 8 | [`one_writer`] | one writer per epoch and reign; its chain never breaks or forks |
//! | 9 | [`no_overdraft`] | no unforced debit takes an account below what it may owe |
//! | 10 | [`settled`] | transfers settle or return within a bound; then no money is under way |
//! | 11 | [`sealed`] | sealed data is never in the clear outside of its domain |
//! | 12 | [`live`] | when faults stop the world converges and serves, in bounded time |
//! | 13 | [`quiet`] | no call for help that nothing gives cause to |
//! | | [`bounded`] | queues and memory are bounded; at rest queues are empty |
//! | | [`anomalies`] | four things that a history must not show, of the workloads that are made to show them |
//! | 14 | [`proven`] | nothing acts across a border before its cause would survive |

pub mod acknowledged;
pub mod agreement;
pub mod anomalies;
pub mod as_of;
pub mod bounded;
pub mod claimed;
pub mod conservation;
pub mod consumed;
pub mod decided;
pub mod linearizable;
pub mod live;
pub mod model;
pub mod no_overdraft;
pub mod one_writer;
pub mod proven;
pub mod punctual;
pub mod quiet;
pub mod sealed;
pub mod settled;
pub mod stated;
pub mod together;
pub mod told;
pub mod version_order;
pub mod views;
pub mod watched;

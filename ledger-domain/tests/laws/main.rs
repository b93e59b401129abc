//! The laws of the ledger's core, as properties of random histories.
//!
//! A law is stated once, in a file of its own, over what a few rooms provide: [`generate`] draws
//! commands, [`anything`] what need not make sense, [`writer`] is the smallest writer of one shard that obeys the rules, [`shards`] lets
//! several of them pay each other in any order. What should come of it is told by [`model`], which
//! shares no code with the ledger.

mod anything;
mod generate;
mod model;
mod postings;
mod shards;
mod view;
mod writer;

mod channels;
mod consumers;
mod customers;
mod days;
mod fence;
mod fixtures;
mod groups;
mod holds;
mod journals;
mod keys;
mod machine;
mod references;
mod replay;
mod reversals;
mod spending;
mod stored;
mod stored_book;
mod subject;
mod suspense;
mod tigerbeetle;
mod totality;

use proptest::test_runner::Config;

/// How many histories a law is tried on; `PROPTEST_CASES` asks for another number.
fn tries(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").is_ok();
    let default = Config::default();
    Config {
        cases: if asked { default.cases } else { cases },
        // A failure prints its history shrunk; what is worth keeping becomes a test with a name.
        failure_persistence: None,
        ..default
    }
}

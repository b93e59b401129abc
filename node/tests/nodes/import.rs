//! A household of three years moves into three regions of real nodes.

use std::{fs, path::Path, time::Duration};

use node::{
    client::{Client, Options},
    import::{self, Books, Error, ImportName, Summary},
};

use crate::cluster::{Cluster, THREE_REGIONS};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/household-7");
/// Rows of the two files that become commands.
const COMMANDS: usize = 48 + 2_037;
const BALANCES: usize = 132;

async fn run(client: &Client, books: &Path) -> Result<Summary, Error> {
    let name: ImportName = "household-7".parse().unwrap();
    let books = Books::read(books).unwrap();
    import::run(client, &name, &books, 128, &|_| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_balance_of_the_books_holds_and_a_second_run_changes_nothing() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let addresses = cluster.nodes().iter().map(|node| node.address.clone());
    let mut options = Options::new("importer");
    options.deadline = Duration::from_secs(60);
    let client = Client::new(addresses.collect(), options).unwrap();

    let first = run(&client, Path::new(FILES)).await.unwrap();
    assert_eq!((first.added, first.already_there), (COMMANDS, 0));
    assert_eq!(
        (first.balances, first.asked_elsewhere),
        (BALANCES, BALANCES)
    );
    assert_eq!(first.mismatches, []);

    let second = run(&client, Path::new(FILES)).await.unwrap();
    assert_eq!((second.added, second.already_there), (0, COMMANDS));
    assert_eq!(second.started_unix_ms, first.started_unix_ms);
    assert_eq!((second.balances, second.mismatches.len()), (BALANCES, 0));

    let changed = tempfile::tempdir().unwrap();
    for file in ["accounts.csv", "balances.csv", "transfers.csv"] {
        let text = fs::read_to_string(Path::new(FILES).join(file)).unwrap();
        // The rent of the first month, in line 4 of its file, becomes a dollar dearer.
        fs::write(
            changed.path().join(file),
            text.replacen("240000", "240100", 1),
        )
        .unwrap();
    }
    let refused = run(&client, changed.path()).await.unwrap_err().to_string();
    assert!(refused.contains("transfers.csv:4"), "{refused}");
    assert!(
        refused.contains("changed since it was imported"),
        "{refused}"
    );
    let after = run(&client, Path::new(FILES)).await.unwrap();
    assert_eq!((after.added, after.mismatches.len()), (0, 0));
    cluster.shutdown().await;
}

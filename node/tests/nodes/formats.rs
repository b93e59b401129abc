//! Directories that earlier formats wrote are kept, and opened here by the program of today.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ledger_domain::Format;
use node::{
    api::{
        teller::v1::TransferRequest,
        v1::{
            TransactionStatus,
            read_mode::{Local, Mode},
        },
    },
    config::{Config, Limits},
    verify::{Options, verify},
};
use replication::{proto::RecordKind, topology::Topology};

use crate::cluster::{Cluster, HOME_AND_ABROAD};
use crate::{
    running,
    stopped::{self, HOME, Store},
};

/// The accounts in a kept directory, and what they had when it was kept.
const KEPT: [(&str, i64); 2] = [
    ("eu-west.r20w-7510-fnyc-4tqz-m", 8_603),
    ("eu-west.7h0s-8gfq-ndt5-gwsc-h", 700),
];

fn kept(format: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(format)
}

/// Not a test: keeps a directory as the program of today writes it, before a format changes.
/// `KEEP=format-N cargo test --release --workspace --test nodes -- --ignored keep`
#[test]
#[ignore = "writes into the project"]
fn keep() {
    let format = std::env::var("KEEP").expect("KEEP says under which name");
    let to = kept(&format);
    assert!(!to.exists(), "what is kept is never written again");
    stopped::copy_all(stopped::pristine(), &to);
    for store in ["log", "views"] {
        for of_rocksdb_only in ["LOG", "LOCK"] {
            fs::remove_file(to.join(store).join(of_rocksdb_only)).unwrap();
        }
    }
}

/// The formats of a shard's entries, by how many there are of each.
fn formats_of(dir: &Path, shard: u32) -> BTreeMap<u8, usize> {
    let store = Store::open(dir);
    let mut formats = BTreeMap::new();
    let records = store.records(shard).into_iter();
    for record in records.filter(|it| it.kind() == RecordKind::Entry) {
        *formats.entry(record.payload[0]).or_default() += 1;
    }
    formats
}

fn holds(dir: &Path) {
    let report = verify(dir, Options::default(), &|_| {}).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn a_directory_of_format_1_is_served_and_goes_on_in_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    stopped::copy_all(&kept("format-1"), dir.path());
    holds(dir.path());
    let before = formats_of(dir.path(), HOME);
    assert_eq!(before.keys().collect::<Vec<_>>(), [&1]);

    // The ports of that day may be somebody else's today.
    let text = fs::read_to_string(dir.path().join("topology.toml")).unwrap();
    let mut topology: Topology = toml::from_str(&text).unwrap();
    for node in &mut topology.nodes {
        node.address = running::free_address();
    }
    let file = dir.path().join("topology.toml");
    fs::write(&file, toml::to_string(&topology).unwrap()).unwrap();
    let of_home = topology.shards.iter().find(|it| it.id == HOME).unwrap();
    let id = of_home.voters[0];
    let address = &topology.node(id).unwrap().address;
    let config = || Config {
        node: id,
        data: dir.path().to_owned(),
        topology: Some(file.clone()),
        ..Config::default()
    };

    let mut node = running::start_at(config(), address, "eu-west").await;
    for (account, had) in KEPT {
        let balance = running::strong(&mut node.atm, account).await.unwrap();
        assert_eq!(balance.posted, running::usd(had));
        let local = Some(Mode::Local(Local {}));
        let balance = running::read(&mut node.atm, account, local).await.unwrap();
        assert_eq!(balance.posted, running::usd(had), "its view too");
    }
    let [(payer, had), (payee, _)] = KEPT;
    let request = TransferRequest {
        context: running::context("today"),
        from_account_id: payer.to_owned(),
        to_account_id: payee.to_owned(),
        amount: running::usd(3),
        ..Default::default()
    };
    let reply = node.teller.transfer(request).await.unwrap().into_inner();
    assert_eq!(reply.receipt.unwrap().status(), TransactionStatus::Settled);
    node.stop().await;

    holds(dir.path());
    let after = formats_of(dir.path(), HOME);
    assert_eq!(after[&1], before[&1], "what was written stays as it was");
    assert!(after[&Format::NEWEST.number()] >= 1, "{after:?}");
    let mut node = running::start_at(config(), address, "eu-west").await;
    let balance = running::strong(&mut node.atm, payer).await.unwrap();
    assert_eq!(balance.posted, running::usd(had - 3));
    node.stop().await;
}

#[tokio::test]
async fn nodes_that_write_different_versions_are_one_cluster() {
    let alone = (0, |_: &mut Topology| {});
    let mut cluster =
        Cluster::start_configured(&HOME_AND_ABROAD, alone, Limits::default(), |id, config| {
            config.write_version = Format::ALL[id as usize % 2];
        })
        .await;
    let (here, there) = (cluster.shard("eu-west"), cluster.shard("us-east"));
    let a = cluster.at("eu-west").open("eu-west", "a").await;
    let b = cluster.at("eu-west").open("us-east", "b").await;
    let node = cluster.at("eu-west");
    node.deposit("in", &a, 10_000).await.unwrap();
    // Whoever leads stops, so that each format has its turn.
    for id in [1, 2, 3] {
        cluster.stop(id).await;
        let other = cluster.node(id % 3 + 1);
        for (number, (from, to)) in [(&a, &b), (&b, &a), (&a, &b)].into_iter().enumerate() {
            let key = format!("{id} {number}");
            other.transfer(&key, from, to, 100).await.unwrap();
        }
        cluster.restart(id).await;
    }
    let node = cluster.at("us-east");
    node.settles_at(&a, 9_700).await;
    node.settles_at(&b, 300).await;
    let dirs: Vec<_> = cluster.nodes().iter().map(|it| cluster.data(it)).collect();
    for id in 1..=4 {
        cluster.stop(id).await;
    }
    for dir in &dirs {
        holds(dir);
        let formats = formats_of(dir, here);
        assert!(formats.len() == 2, "{} has {formats:?}", dir.display());
        assert_eq!(formats_of(dir, there).len(), 1);
    }
}

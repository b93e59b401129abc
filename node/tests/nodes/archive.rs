//! Old records in an archive: everything is answered as before, and what is damaged there is sealed again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use node::{
    api::{
        admin::v1::RebuildViewsRequest,
        atm::v1::{GetStatementReply, GetStatementRequest, StatementBasis, StatementLine},
        teller::v1::{DepositRequest, GetTransactionRequest, get_transaction_request::By},
        v1::{
            CommandContext, ReadMode, Receipt,
            read_mode::{Local, Mode, Strong},
        },
    },
    config::{Archiving, Config, Limits},
    objects::Objects,
    verify::{Options, verify},
};
use tonic::Status;

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD, Node, code, eventually, usd},
    metrics::scrape::Scraped,
    s3::{BUCKET, Server},
};

const DEPOSITS: i64 = 300;

/// In the environment of this program, when it asks itself to run a test with its archive in a bucket:
/// where the bucket's objects are.
const BUCKET_FILES: &str = "MERIDIAN_TEST_BUCKET";
/// What is before the archive's objects in the bucket.
const PREFIX: &str = "bank/archive";

/// Where the archive's objects are, beside the nodes' directories or in a bucket.
fn files_of(cluster: &Path) -> PathBuf {
    match std::env::var_os(BUCKET_FILES) {
        Some(bucket) => Path::new(&bucket).join(PREFIX),
        None => cluster.join("archive"),
    }
}

fn archive_of(data: &Path) -> String {
    if std::env::var_os(BUCKET_FILES).is_some() {
        return format!("s3://{BUCKET}/{PREFIX}");
    }
    let cluster = data.parent().expect("it is in the cluster's");
    files_of(cluster).to_str().unwrap().to_owned()
}

/// The nodes at home have an archive, and move all that Raft lets them. The node abroad has none.
fn configure(id: u64, config: &mut Config) {
    if id > 3 {
        return;
    }
    config.archive = Some(Archiving {
        to: archive_of(&config.data),
        after_days: 0,
        segment_bytes: 16 << 10,
        scrub_days: 0,
        look_seconds: 1.try_into().unwrap(),
    });
}

async fn cluster() -> Cluster {
    let limits = Limits {
        snapshot_bytes: 4 << 10,
        snapshot_seconds: 1,
        snapshot_entries: 10,
        scrub_seconds: 1,
        scrub_bytes_per_second: 64 << 20,
        ..Limits::default()
    };
    Cluster::start_configured(&HOME_AND_ABROAD, (0, |_| {}), limits, configure).await
}

async fn deposit(node: &Node, account: &str, n: i64) -> Result<Receipt, Status> {
    let request = DepositRequest {
        context: Some(CommandContext {
            idempotency_key: format!("d{n}"),
            memo: format!("memo {n}"),
            ..CommandContext::default()
        }),
        account_id: account.to_owned(),
        amount: usd(n),
        ..DepositRequest::default()
    };
    let reply = node.teller().deposit(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn statement(node: &Node, account: &str, mode: Mode) -> Result<GetStatementReply, Status> {
    let request = GetStatementRequest {
        account_id: account.to_owned(),
        basis: StatementBasis::Booked.into(),
        page_size: 1_000,
        mode: Some(ReadMode { mode: Some(mode) }),
        ..GetStatementRequest::default()
    };
    Ok(node.atm().get_statement(request).await?.into_inner())
}

/// What a node tells of its home shard.
async fn told(node: &Node, metric: &str) -> f64 {
    let scraped = Scraped::of(&node.metrics).await;
    scraped.value(metric, "shard=1")
}

/// An account with a history, most of which is in the archive on the three nodes at home.
async fn moved(cluster: &Cluster) -> (String, Vec<Receipt>) {
    let home = cluster.node(1);
    let account = home.open("eu-west", "a").await;
    let mut receipts = Vec::new();
    for n in 1..=DEPOSITS {
        receipts.push(deposit(home, &account, n).await.unwrap());
    }
    let last = receipts.last().unwrap().position.unwrap().index;
    let most = f64::from(u32::try_from(last * 6 / 10).unwrap());
    for id in 1..=3 {
        // The newest entries stay, and a segment that is not full.
        eventually("old records are moved", async || {
            told(cluster.node(id), "meridian_archive_end_index").await > most
        })
        .await;
    }
    (account, receipts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_the_archive_is_answered_as_before() {
    let mut cluster = cluster().await;
    let (account, receipts) = moved(&cluster).await;
    let before = statement(cluster.node(1), &account, Mode::Strong(Strong {})).await;
    let expected = before.unwrap().lines;
    let told = |(n, line): (i64, &StatementLine)| line.memo == format!("memo {n}");
    assert!((1..).zip(&expected).all(told), "{expected:?}");
    assert_eq!(expected.len() as i64, DEPOSITS);

    // Nothing is in memory after a restart.
    for id in 1..=3 {
        cluster.stop(id).await;
        cluster.restart(id).await;
    }
    for id in 1..=3 {
        let node = cluster.node(id);
        let lines = statement(node, &account, Mode::Strong(Strong {})).await;
        assert!(lines.unwrap().lines == expected, "node {id}");
    }
    let mut is_fetched = false;
    for id in 1..=3 {
        let scraped = Scraped::of(&cluster.node(id).metrics).await;
        is_fetched |= scraped.value("meridian_archive_read_records_total", "") > 0.0;
    }
    assert!(is_fetched, "the statement was read through");

    // A transaction by its id, and a command that is sent again: its entry is in the archive.
    let node = cluster.node(2);
    let first = &receipts[0];
    let asked = GetTransactionRequest {
        by: Some(By::TransactionId(first.transaction_id.clone())),
    };
    let found = node.teller().get_transaction(asked).await.unwrap();
    assert_eq!(found.into_inner().memo, "memo 1");
    let again = deposit(node, &account, 1).await.unwrap();
    assert_eq!(again.transaction_id, first.transaction_id);
    let other = DepositRequest {
        context: Some(CommandContext {
            idempotency_key: "d1".to_owned(),
            ..CommandContext::default()
        }),
        account_id: account.clone(),
        amount: usd(2),
        ..DepositRequest::default()
    };
    assert_eq!(code(node.teller().deposit(other).await), "KEY_CONFLICT");

    // Read models are made again out of it.
    let asked = RebuildViewsRequest {
        reason: "to read the archive".to_owned(),
        ..RebuildViewsRequest::default()
    };
    node.admin().rebuild_views(asked).await.unwrap();
    Scraped::until(&node.metrics, |it| {
        it.value("meridian_views_generation", "") >= 1.0
    })
    .await;
    let lines = statement(node, &account, Mode::Strong(Strong {})).await;
    assert!(lines.unwrap().lines == expected);

    // A backup has all of it, out of a node that reads it in the archive.
    let place = cluster.directory().join("backups");
    let made = tokio::process::Command::new(env!("CARGO_BIN_EXE_meridian"))
        .args(["backup", "--node", &node.address, "--to"])
        .arg(&place)
        .output();
    let made = made.await.unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert_eq!(made.status.code(), Some(0), "{said}");
    for id in 1..=3 {
        let scraped = Scraped::of(&cluster.node(id).metrics).await;
        assert_eq!(
            scraped.value("meridian_archive_objects_total", "outcome=damaged"),
            0.0
        );
    }
    cluster.stop_and_verify().await;
}

/// The archive's objects, by name.
fn objects(cluster: &Cluster) -> Vec<PathBuf> {
    let shard = files_of(cluster.directory()).join("segments/0000000001");
    let files = std::fs::read_dir(shard).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The tests before and after this one with the archive in a bucket. Where that is and who asks is read
/// out of the environment, which a program can give only to another: so this one runs itself.
#[test]
fn a_bucket_is_an_archive_like_any_other() {
    for test in [
        "archive::what_is_in_the_archive_is_answered_as_before",
        "archive::what_goes_bad_in_the_archive_is_named_and_sealed_again",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path());
        let run = std::process::Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact"])
            .envs(server.environment())
            .env(BUCKET_FILES, server.bucket())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        let passed = run.status.success() && said.contains("1 passed");
        assert!(passed, "{said}{}", String::from_utf8_lossy(&run.stderr));
        let objects = server.bucket().join(PREFIX).join("segments/0000000001");
        assert!(objects.read_dir().unwrap().next().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_bad_in_the_archive_is_named_and_sealed_again() {
    let mut cluster = cluster().await;
    let (account, _) = moved(&cluster).await;
    let files = objects(&cluster);
    let whole = std::fs::read(&files[0]).unwrap();
    assert!(files.len() >= 2, "{files:?}");
    // One byte of one, and all of another.
    let mut bad = whole.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&files[0], bad).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let mended = |cluster: &Cluster| {
        let files = objects(cluster);
        let first = std::fs::read(&files[0]).unwrap();
        first == whole && files.len() >= 2 && files[1].exists()
    };
    eventually("both are sealed again from abroad", async || {
        mended(&cluster)
    })
    .await;
    for id in 1..=3 {
        cluster.stop(id).await;
        cluster.restart(id).await;
        let lines = statement(cluster.node(id), &account, Mode::Strong(Strong {})).await;
        assert_eq!(lines.unwrap().lines.len() as i64, DEPOSITS);
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_away_is_said_to_be() {
    let mut cluster = cluster().await;
    let (account, receipts) = moved(&cluster).await;
    let there = cluster.directory().join("archive/segments");
    let away = cluster.directory().join("away");
    std::fs::rename(&there, &away).unwrap();
    // In its place is what cannot be read.
    std::fs::write(&there, "").unwrap();
    cluster.stop(1).await;
    cluster.restart(1).await;
    let node = cluster.node(1);
    let refused = statement(node, &account, Mode::Local(Local {})).await;
    assert_eq!(code(refused), "ARCHIVE_NOT_REACHED");
    // What needs none of it goes on.
    deposit(node, &account, DEPOSITS + 1).await.unwrap();
    let balance = node.strong(&account).await.unwrap().posted.unwrap();
    assert_eq!(balance.minor_units, (DEPOSITS + 1) * (DEPOSITS + 2) / 2);
    std::fs::remove_file(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    let asked = GetTransactionRequest {
        by: Some(By::TransactionId(receipts[0].transaction_id.clone())),
    };
    let found = node.teller().get_transaction(asked).await.unwrap();
    assert_eq!(found.into_inner().memo, "memo 1");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_verified_with_its_archive() {
    let mut cluster = cluster().await;
    moved(&cluster).await;
    cluster.stop(1).await;
    let data = cluster.data(cluster.node(1));
    let without = verify(&data, Options::default(), &|_| {}).err().unwrap();
    let says = "shard 1 is in the archive before index";
    assert!(without.to_string().contains(says), "{without}");
    let files = objects(&cluster);
    let bytes = std::fs::read(&files[0]).unwrap();
    let open = || Objects::open(&archive_of(&data)).unwrap();
    let verified = || {
        let options = Options {
            archive: Some(Arc::new(open())),
            ..Options::default()
        };
        verify(&data, options, &|_| {}).unwrap()
    };
    let report = verified();
    assert_eq!(report.findings, []);
    let records: u64 = report.shards.iter().map(|it| it.entries).sum();
    assert!(records as i64 > DEPOSITS);
    // Nobody mends it while it is looked at.
    for id in 2..=4 {
        cluster.stop(id).await;
    }
    let mut bad = bytes.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&files[0], bad).unwrap();
    let found = verified().findings;
    let text = found
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    assert!(text.contains("the archived indexes 0 to"), "{text}");
}

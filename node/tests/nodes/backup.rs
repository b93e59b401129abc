//! Backups of running nodes, by the program: made under load, checked, and taken back after everything
//! was lost.

use std::{collections::BTreeSet, path::Path, process::Output, time::Duration};

use node::{
    api::v1::read_mode::{AsOf, Mode, Session, as_of::At},
    config::Limits,
};
use replication::world::{Clock as _, SystemClock};

use crate::cluster::{Cluster, HOME_AND_ABROAD, code, usd};

const MERIDIAN: &str = env!("CARGO_BIN_EXE_meridian");

/// Runs the program.
async fn meridian(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(MERIDIAN);
    command
        .args(arguments)
        .env_remove("MERIDIAN_NODES")
        .output()
        .await
        .unwrap()
}

/// Runs the program, which must do what it is told, and reads its answer.
pub async fn done(arguments: &[&str]) -> serde_json::Value {
    let output = meridian(&[arguments, &["--json"]].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs the program, which must end with a code, and gives what it says.
pub async fn refused(code: i32, arguments: &[&str]) -> String {
    let output = meridian(arguments).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

async fn posted(cluster: &Cluster, account: &str) -> i64 {
    let balance = cluster.node(1).strong(account).await.unwrap();
    balance.posted.unwrap().minor_units
}

/// The numbers of a field, by shard.
fn numbers(told: &serde_json::Value, field: &str) -> Vec<u64> {
    let shards = told["shards"].as_array().unwrap();
    shards
        .iter()
        .map(|shard| shard[field].as_u64().unwrap())
        .collect()
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Nodes take snapshots all the time.
fn snapshots() -> Limits {
    Limits {
        snapshot_bytes: 1 << 10,
        snapshot_seconds: 1,
        snapshot_entries: 1_000,
        ..Limits::default()
    }
}

/// Makes backups until one has a snapshot of each shard.
async fn backup_with_snapshots(to: &str, node: &str) -> serde_json::Value {
    for _ in 0..30 {
        let made = done(&["backup", "--to", to, "--node", node]).await;
        let shards = made["shards"].as_array().unwrap();
        if shards.iter().all(|shard| shard["snapshot"].is_u64()) {
            return made;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("there is never a snapshot");
}

/// The drill: a bank with two regions is backed up under load, loses everything, and is there again, as
/// of its end, of a time, and of a place at which money was on its way.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_has_lost_everything_is_restored() {
    let mut cluster = Cluster::start_limited(&HOME_AND_ABROAD, 0, |_| {}, snapshots()).await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backups").to_str().unwrap().to_owned();
    let (node, abroad) = (
        cluster.node(1).address.clone(),
        cluster.node(4).address.clone(),
    );
    let payer = cluster.node(1).open("eu-west", "payer").await;
    let payee = cluster.node(1).open("us-east", "payee").await;
    cluster
        .node(1)
        .deposit("in", &payer, 100_000)
        .await
        .unwrap();

    // A consumer group has read two events of three.
    let consumer = |what: &'static str| ["consumer", what, "drill", "--region", "eu-west"];
    let at_home = ["--node", &node];
    let reads = ["--of", "eu-west", "--order", "shard"];
    done(&[&consumer("create")[..], &at_home, &reads].concat()).await;
    let read = |count: &'static str| {
        let arguments = [
            &consumer("read")[..],
            &at_home,
            &["--json", "--count", count],
        ]
        .concat();
        async move {
            let output = meridian(&arguments).await;
            let lines = String::from_utf8(output.stdout).unwrap();
            let kind = |line: &str| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["kind"].as_str().unwrap().to_owned()
            };
            lines.lines().map(kind).collect::<Vec<_>>()
        }
    };
    assert_eq!(read("2").await, ["AccountOpened", "HouseAccountOpened"]);
    let show = [&consumer("show")[..], &at_home].concat();
    let shown = done(&show).await;

    // Under load, from a node that has copies only of what is paid from.
    let load = async {
        for n in 0..40 {
            cluster
                .node(1)
                .transfer(&format!("load-{n}"), &payer, &payee, 100)
                .await
                .unwrap();
        }
    };
    let made = ["backup", "--to", &to, "--node", &abroad];
    let (first, ()) = tokio::join!(done(&made), load);
    cluster.node(1).settles_at(&payee, 4_000).await;
    backup_with_snapshots(&to, &node).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let then = SystemClock.wall_nanos().into();
    let then = jiff::Timestamp::from_nanosecond(then).unwrap().to_string();
    tokio::time::sleep(Duration::from_millis(50)).await;

    let (mut sent, mut token) = (None, String::new());
    for n in 0..10 {
        let paid = cluster
            .node(1)
            .transfer(&format!("late-{n}"), &payer, &payee, 7)
            .await
            .unwrap();
        (sent, token) = (paid.position, paid.token);
    }
    cluster.node(1).settles_at(&payee, 4_070).await;
    let sent = sent.unwrap();
    let lost_at = sent;
    let sent = format!("{}:{}:{}", sent.shard, sent.epoch, sent.index);
    let second = done(&["backup", "--to", &to, "--node", &node]).await;
    assert!(numbers(&second, "last") > numbers(&first, "last"));
    assert_eq!(numbers(&second, "new_segments"), [1, 1], "{second}");

    let list = done(&["backup", "list", "--from", &to]).await;
    let list = list["backups"].as_array().unwrap();
    assert_eq!(list.first(), Some(&first["backup"]));
    assert_eq!(list.last(), Some(&second["backup"]));
    let checked = done(&[
        "backup",
        "verify",
        "--from",
        &to,
        "--compare",
        "--node",
        &node,
    ])
    .await;
    assert_eq!(numbers(&checked, "last"), numbers(&second, "last"));

    // The same ledger twice is refused, and so is one over another.
    let (data, file) = (
        cluster.directory().to_str().unwrap().to_owned(),
        cluster.topology_file(),
    );
    let file = file.to_str().unwrap().to_owned();
    let restore = |point| {
        [
            "restore",
            "--from",
            &to,
            "--to",
            point,
            "--topology",
            &file,
            "--data",
            &data,
        ]
    };
    let said = refused(2, &restore("latest")).await;
    assert!(said.contains("a restored ledger is a new one"), "{said}");

    // As of its end: all that was acknowledged before the backup.
    cluster.lose_everything("after-the-fire").await;
    let restored = done(&restore("latest")).await;
    assert_eq!(numbers(&restored, "epoch"), [2, 2]);
    // Its nodes begin with the backup's snapshots.
    let begins = numbers(&restored, "begins_after");
    assert!(begins.iter().all(|index| *index > 0), "{restored}");
    assert_eq!(begins, numbers(&second, "snapshot"));
    let said = refused(2, &restore("latest")).await;
    assert!(said.contains("is there already"), "{said}");
    cluster.start_all().await;
    assert_eq!(posted(&cluster, &payer).await, 100_000 - 4_070);
    assert_eq!(posted(&cluster, &payee).await, 4_070);
    // The group goes on from where it was.
    let again = done(&show).await;
    assert_eq!(again["shares"][0]["cursor"], shown["shares"][0]["cursor"]);
    assert_eq!(read("1").await, ["FundsDeposited"]);
    // A command of the old ledger is not done twice, and new ones are done.
    cluster
        .node(1)
        .transfer("late-9", &payer, &payee, 7)
        .await
        .unwrap();
    cluster
        .node(4)
        .transfer("new", &payer, &payee, 30)
        .await
        .unwrap();
    cluster.node(1).settles_at(&payee, 4_100).await;
    assert_eq!(posted(&cluster, &payer).await, 100_000 - 4_100);
    for id in 1..=4 {
        cluster.stop(id).await;
        cluster.begin(id);
    }
    cluster.node(1).settles_at(&payee, 4_100).await;

    // As of a time.
    cluster.lose_everything("as-of-then").await;
    let restored = done(&restore(&then)).await;
    for shard in restored["shards"].as_array().unwrap() {
        // A snapshot of what is cut off is none to begin with.
        let begins = shard["begins_after"].as_u64();
        assert!(begins <= shard["last"].as_u64(), "{restored}");
    }
    cluster.start_all().await;
    assert_eq!(posted(&cluster, &payer).await, 100_000 - 4_000);
    assert_eq!(posted(&cluster, &payee).await, 4_000);

    // Who has a receipt of what is lost is told so.
    let kept = cluster.node(1).strong(&payer).await.unwrap();
    let as_of = |at| {
        let (at, tokens) = (Some(At::Position(at)), vec![]);
        Mode::AsOf(AsOf { at, tokens })
    };
    let session = |tokens: &[&String]| {
        let tokens = tokens.iter().copied().cloned().collect();
        Mode::Session(Session { tokens })
    };
    // Also beside a token of what is there: of a shard the newer position would hide it.
    for mode in [
        session(&[&token]),
        session(&[&kept.token, &token]),
        as_of(lost_at),
    ] {
        let lost = cluster.node(4).balance(&payer, mode).await;
        assert_eq!(code(lost), "POSITION_LOST");
    }
    let known = cluster
        .node(4)
        .balance(&payer, as_of(kept.position.unwrap()))
        .await;
    assert_eq!(known.unwrap().posted, usd(100_000 - 4_000));

    // As of a place at which money was on its way: it arrives after all, once.
    cluster.lose_everything("as-of-there").await;
    let restored = done(&restore(&sent)).await;
    assert!(
        numbers(&restored, "cut_off").iter().all(|cut| *cut > 0),
        "{restored}"
    );
    cluster.start_all().await;
    assert_eq!(posted(&cluster, &payer).await, 100_000 - 4_070);
    cluster.node(1).settles_at(&payee, 4_070).await;
    cluster.node(1).deposit("again", &payer, 70).await.unwrap();
    assert_eq!(
        cluster.node(4).strong(&payer).await.unwrap().posted,
        usd(100_000 - 4_000)
    );

    // A ledger of its own: it is backed up elsewhere, goes on in its epoch, and everything holds.
    let said = refused(2, &["backup", "--to", &to, "--node", &node]).await;
    assert!(said.contains("backups of the ledger `cluster`"), "{said}");
    let own = place.path().join("own").to_str().unwrap().to_owned();
    done(&["backup", "--to", &own, "--node", &abroad]).await;
    done(&[
        "backup",
        "verify",
        "--from",
        &own,
        "--compare",
        "--node",
        &node,
    ])
    .await;
    cluster.stop_and_verify().await;
}

/// Every object of a backup is looked at, and what is not as it was is named; nothing is made of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_named_and_refused() {
    let cluster = Cluster::start_limited(&HOME_AND_ABROAD[1..], 0, |_| {}, snapshots()).await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backups").to_str().unwrap().to_owned();
    let node = cluster.node(1).address.clone();
    let account = cluster.node(1).open("us-east", "a").await;
    for n in 0..20 {
        let key = format!("in-{n}");
        cluster.node(1).deposit(&key, &account, 5).await.unwrap();
    }
    let aside = place.path().join("others").to_str().unwrap().to_owned();
    backup_with_snapshots(&aside, &node).await;
    let none = refused(2, &["backup", "verify", "--from", &to]).await;
    assert!(none.contains("has no backup"), "{none}");
    done(&["backup", "--to", &to, "--node", &node]).await;

    let text = toml::to_string(cluster.topology()).unwrap();
    let file = place.path().join("topology.toml");
    std::fs::write(
        &file,
        text.replace("ledger = \"cluster\"", "ledger = \"new\""),
    )
    .unwrap();
    let data = place.path().join("data");
    let restore = [
        "restore",
        "--from",
        &to,
        "--to",
        "latest",
        "--topology",
        file.to_str().unwrap(),
    ];
    let restore = [&restore[..], &["--data", data.to_str().unwrap()]].concat();
    let objects = files(Path::new(&to));
    let kinds: BTreeSet<_> = objects.iter().filter_map(|it| it.extension()).collect();
    assert_eq!(kinds.len(), 4, "{objects:?}");
    for object in objects {
        let name = object.file_name().unwrap().to_str().unwrap();
        let whole = std::fs::read(&object).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 4;
        std::fs::write(&object, damaged).unwrap();
        let said = refused(5, &["backup", "verify", "--from", &to]).await;
        assert!(said.contains(name), "{said}");
        if name.ends_with(".chunk") || name.ends_with(".snapshot") {
            // What is never needed is done without, and the answer says so.
            let mut elsewhere = restore.clone();
            let bare = place.path().join("bare").join(name);
            let bare = bare.to_str().unwrap().to_owned();
            *elsewhere.last_mut().unwrap() = &bare;
            let restored = done(&elsewhere).await;
            let shard = &restored["shards"][0];
            assert!(shard["begins_after"].is_null(), "{restored}");
            let why = shard["begins_before"].as_str().unwrap();
            assert!(why.contains(name), "{why}");
        } else {
            let said = refused(5, &restore).await;
            assert!(said.contains(name), "{said}");
        }
        if name.ends_with(".segment") {
            std::fs::remove_file(&object).unwrap();
            let said = refused(5, &restore).await;
            assert!(
                said.contains(name) && said.contains("is not there"),
                "{said}"
            );
        }
        std::fs::write(&object, whole).unwrap();
    }
    assert!(!data.join("us-east-1").exists());
    let mut later = restore.clone();
    later[4] = "2099-01-01T00:00:00Z";
    let said = refused(2, &later).await;
    assert!(
        said.contains("ends before what is asked for") && said.contains("--incomplete"),
        "{said}"
    );
    let nobody = refused(2, &[&restore[..], &["--only", "nobody"]].concat()).await;
    assert!(nobody.contains("no node nobody"), "{nobody}");
    let early = refused(2, &["backup", "verify", "--from", &to, "--backup", "none"]).await;
    assert!(early.contains("has no backup none"), "{early}");
    let whole = done(&restore).await;
    assert!(whole["shards"][0]["begins_after"].is_u64(), "{whole}");
    let restored = data.join("us-east-1");
    assert!(restored.join("log").is_dir());
    // Programs that know no later epoch leave it alone.
    let marker = std::fs::read_to_string(restored.join("node.toml")).unwrap();
    assert!(
        marker.contains("format = 2") && marker.contains("ledger = \"new\""),
        "{marker}"
    );
    cluster.shutdown().await;
}

/// Another history under the same name is no addition to a backup, whether it is longer or shorter.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_not_gone_on_with_out_of_another_history() {
    let mut nodes = Vec::new();
    for deposits in [1, 30, 60] {
        let cluster = Cluster::start(&HOME_AND_ABROAD[1..]).await;
        let account = cluster.node(1).open("us-east", "a").await;
        for n in 0..deposits {
            let key = format!("in-{n}");
            cluster.node(1).deposit(&key, &account, 5).await.unwrap();
        }
        nodes.push(cluster);
    }
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backups").to_str().unwrap().to_owned();
    let backup = |at: usize| ["backup", "--to", &to, "--node", &nodes[at].node(1).address];
    let made = done(&backup(1)).await;
    for other in [0, 2] {
        let said = refused(5, &backup(other)).await;
        assert!(said.contains("has another history at index"), "{said}");
    }
    let again = done(&backup(1)).await;
    assert!(numbers(&again, "last") >= numbers(&made, "last"));
    for cluster in nodes {
        cluster.shutdown().await;
    }
}

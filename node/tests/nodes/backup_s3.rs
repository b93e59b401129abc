//! The same backups in a bucket of a server that speaks S3's protocol.

use std::path::{Path, PathBuf};

use crate::{
    cluster::{Cluster, HOME_AND_ABROAD},
    s3::{BUCKET, Server},
};

const MERIDIAN: &str = env!("CARGO_BIN_EXE_meridian");

async fn meridian(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new(MERIDIAN);
    let command = command.args(arguments).envs(server.environment());
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_what_a_directory_does() {
    let cluster = Cluster::start(&HOME_AND_ABROAD[1..]).await;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s3"));
    let node = cluster.node(1).address.clone();
    let account = cluster.node(1).open("us-east", "a").await;
    cluster.node(1).deposit("in", &account, 5).await.unwrap();
    let place = format!("s3://{BUCKET}/bank/daily");
    for _ in 0..2 {
        let (code, said) = meridian(&server, &["backup", "--to", &place, "--node", &node]).await;
        assert_eq!(code, 0, "{said}");
    }
    let compare = [
        "backup",
        "verify",
        "--from",
        &place,
        "--compare",
        "--node",
        &node,
    ];
    let (code, said) = meridian(&server, &compare).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Everything holds"), "{said}");

    let text = toml::to_string(cluster.topology()).unwrap();
    let file = dir.path().join("topology.toml");
    std::fs::write(
        &file,
        text.replace("ledger = \"cluster\"", "ledger = \"new\""),
    )
    .unwrap();
    let data = dir.path().join("data");
    let restore = ["restore", "--from", &place, "--to", "latest", "--topology"];
    let files = [file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let restore = [&restore[..], &files].concat();
    let segment = segment(&server.bucket().join("bank/daily")).expect("a segment");
    let aside = dir.path().join("aside");
    std::fs::rename(&segment, &aside).unwrap();
    let (code, said) = meridian(&server, &restore).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("is not there"), "{said}");
    std::fs::rename(&aside, &segment).unwrap();
    let (code, said) = meridian(&server, &restore).await;
    assert_eq!(code, 0, "{said}");
    assert!(data.join("us-east-1").join("log").is_dir());
    cluster.shutdown().await;
}

/// One that is there, however deep.
fn segment(dir: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| file.unwrap().path()).find_map(|path| {
        if path.is_dir() {
            return segment(&path);
        }
        let is_one = path.extension().is_some_and(|it| it == "segment");
        is_one.then_some(path)
    })
}

/// Who signs with another secret is let in nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_is_named() {
    let cluster = Cluster::start(&HOME_AND_ABROAD[1..2]).await;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let node = cluster.node(1).address.clone();
    let place = format!("s3://{BUCKET}/bank");
    let mut command = tokio::process::Command::new(MERIDIAN);
    let command = command
        .args(["backup", "--to", &place, "--node", &node])
        .envs(server.environment())
        .env("AWS_SECRET_ACCESS_KEY", "another");
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(0));
    assert!(
        said.contains(&place) && said.contains("Signature"),
        "{said}"
    );
    cluster.shutdown().await;
}

//! The same backups in a bucket: a server that speaks as much of S3's protocol as they need, over HTTP.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::cluster::{Cluster, HOME_AND_ABROAD};

const MERIDIAN: &str = env!("CARGO_BIN_EXE_meridian");
const BUCKET: &str = "vault";

/// What is in the bucket, and how often somebody has tried to write over it.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Bytes>,
    refused: u64,
}

type Shared = Arc<Mutex<Bucket>>;

async fn serve(bucket: Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let bucket = bucket.clone();
            tokio::spawn(async move {
                let answering = service_fn(|request| answer(bucket.clone(), request));
                // A client that goes away is no fault.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answering)
                    .await;
            });
        }
    });
    address
}

async fn answer(
    bucket: Shared,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let signed = head.headers.get("authorization").is_some_and(|by| {
        by.to_str()
            .unwrap()
            .starts_with("AWS4-HMAC-SHA256 Credential=teller/")
    });
    let path = head.uri.path().strip_prefix(&format!("/{BUCKET}"));
    let (true, Some(path)) = (signed, path) else {
        return Ok(status(StatusCode::FORBIDDEN));
    };
    let key = path.trim_start_matches('/').to_owned();
    let mut bucket = bucket.lock().unwrap();
    Ok(match head.method {
        Method::PUT => {
            let is_new = !bucket.objects.contains_key(&key);
            // Nothing is ever written without that condition.
            if head.headers.get("if-none-match").is_none_or(|it| it != "*") || !is_new {
                bucket.refused += 1;
                return Ok(status(StatusCode::PRECONDITION_FAILED));
            }
            bucket.objects.insert(key, body);
            tagged(Bytes::new())
        }
        Method::GET if key.is_empty() => list(&bucket, head.uri.query().unwrap_or_default()),
        Method::GET => match bucket.objects.get(&key) {
            Some(content) => tagged(content.clone()),
            None => status(StatusCode::NOT_FOUND),
        },
        _ => status(StatusCode::METHOD_NOT_ALLOWED),
    })
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

fn tagged(content: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .header("etag", "\"tag\"")
        .header("last-modified", "Mon, 23 Nov 2026 06:00:00 GMT");
    response.body(Full::new(content)).unwrap()
}

/// `ListObjectsV2`, all on one page.
fn list(bucket: &Bucket, query: &str) -> Response<Full<Bytes>> {
    let prefix = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("prefix="));
    let prefix = prefix.unwrap_or_default().replace("%2F", "/");
    let found = bucket
        .objects
        .iter()
        .filter(|(key, _)| key.starts_with(&prefix));
    let found = found.map(|(key, content)| {
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-11-23T06:00:00.000Z</LastModified>\
             <ETag>\"tag\"</ETag><Size>{}</Size></Contents>",
            content.len()
        )
    });
    let found: String = found.collect();
    let page = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><Name>{BUCKET}</Name>\
         <IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
    );
    Response::new(Full::new(page.into()))
}

async fn meridian(server: SocketAddr, arguments: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new(MERIDIAN);
    let command = command
        .args(arguments)
        .env("AWS_ENDPOINT", format!("http://{server}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "teller")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
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
    let bucket = Shared::default();
    let server = serve(bucket.clone()).await;
    let node = cluster.node(1).address.clone();
    let account = cluster.node(1).open("us-east", "a").await;
    cluster.node(1).deposit("in", &account, 5).await.unwrap();
    let place = format!("s3://{BUCKET}/bank/daily");
    for _ in 0..2 {
        let (code, said) = meridian(server, &["backup", "--to", &place, "--node", &node]).await;
        assert_eq!(code, 0, "{said}");
    }
    let names: Vec<_> = bucket.lock().unwrap().objects.keys().cloned().collect();
    assert!(
        names.iter().all(|name| name.starts_with("bank/daily/")),
        "{names:?}"
    );
    let compare = [
        "backup",
        "verify",
        "--from",
        &place,
        "--compare",
        "--node",
        &node,
    ];
    let (code, said) = meridian(server, &compare).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Everything holds"), "{said}");

    let text = toml::to_string(cluster.topology()).unwrap();
    let dir = tempfile::tempdir().unwrap();
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
    let segment = names
        .iter()
        .rfind(|name| name.ends_with(".segment"))
        .unwrap();
    let kept = bucket.lock().unwrap().objects.remove(segment).unwrap();
    let (code, said) = meridian(server, &restore).await;
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("is not there"), "{said}");
    bucket.lock().unwrap().objects.insert(segment.clone(), kept);
    let (code, said) = meridian(server, &restore).await;
    assert_eq!(code, 0, "{said}");
    assert!(data.join("us-east-1").join("log").is_dir());
    cluster.shutdown().await;
}

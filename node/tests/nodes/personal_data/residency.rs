//! What identifies a person, searched for in all that another residency domain has: its files, its packets,
//! its metrics and the log.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use node::api::{
    teller::v1::{ClaimReferenceRequest, DepositRequest, ProfileStatus},
    v1::{AccountReference, CommandContext, ReferenceType, read_mode},
};
use tracing_subscriber::EnvFilter;

use super::{
    ABROAD, HOME, MARK, cluster, context, key_files, keys_in, open_for, person, register,
    set_profile, shown, why,
};
use crate::cluster::{Node, eventually, usd};

/// In what everybody may read.
const PUBLIC: &str = "publ1cReason";

fn is_in(text: &str, bytes: &[u8]) -> bool {
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// The files in a folder that have a text in them.
pub(super) fn with(text: &str, path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        let inside = fs::read_dir(path).unwrap();
        return inside
            .flat_map(|it| with(text, &it.unwrap().path()))
            .collect();
    }
    let found = is_in(text, &fs::read(path).unwrap());
    found.then(|| path.to_owned()).into_iter().collect()
}

/// All that the nodes of this process log, of whatever importance.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From now on. Nobody else in these tests sets up logging.
    fn kept() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let (log, filter) = (Self::default(), "info,node=trace,replication=trace");
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(filter))
                .with_ansi(false)
                .with_writer(move || writer.clone());
            subscriber.try_init().expect("the first");
            log
        });
        log.clone()
    }

    fn has(&self, text: &str) -> bool {
        is_in(text, &self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn metrics(node: &Node) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(&node.metrics).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_identifies_a_person_is_read_in_its_domain_alone_and_stands_nowhere() {
    let log = Log::kept();
    let mut cluster = cluster().await;
    cluster.record();
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let customer = register(abroad, "customer").await;
    let none = shown(home, &customer).await;
    assert_eq!(none.profile_status(), ProfileStatus::None);

    // Only a node of its domain is told who it is.
    let ada = person("ada");
    let refused = set_profile(abroad, "abroad", &customer, &ada).await;
    let refused = refused.unwrap_err();
    assert_eq!(why(&refused), "OTHER_RESIDENCY_DOMAIN");
    assert!(refused.message().contains(HOME), "{refused}");
    let set = async |profile| set_profile(home, "profile", &customer, profile).await;
    assert!(!set(&ada).await.unwrap());
    assert!(set(&ada).await.unwrap());
    let other = set(&person("eve")).await.unwrap_err();
    assert_eq!(why(&other), "KEY_CONFLICT");
    for node in cluster.nodes().iter().filter(|node| node.region == HOME) {
        let told = shown(node, &customer).await;
        assert_eq!(told.profile_status(), ProfileStatus::Read);
        assert_eq!(told.profile, Some(ada.clone()));
    }
    let told = shown(abroad, &customer).await;
    let expected = (ProfileStatus::Elsewhere, None);
    assert_eq!((told.profile_status(), told.profile), expected);
    assert_eq!(key_files(&cluster).len(), 1);
    let nobody = ledger_domain::CustomerId::derive(HOME.parse().unwrap(), "x").to_string();
    for _ in 0..2 {
        let refused = set_profile(home, "nobody", &nobody, &ada).await;
        assert_eq!(why(&refused.unwrap_err()), "CUSTOMER_NOT_FOUND");
    }
    assert_eq!(key_files(&cluster).len(), 1, "no key is made for nobody");
    let mut long = ada.clone();
    long.name = MARK.repeat(500);
    let refused = set_profile(home, "long", &customer, &long).await;
    assert_eq!(why(&refused.unwrap_err()), "INVALID_ARGUMENT");

    // The same in a memo, an external reference and a reference of the account.
    let account = open_for(home, "open", HOME, &customer).await;
    let deposit = DepositRequest {
        context: Some(CommandContext {
            idempotency_key: "deposit".to_owned(),
            memo: format!("for {MARK}"),
            external_reference: format!("{MARK} 7"),
            reason: PUBLIC.to_owned(),
            ..Default::default()
        }),
        account_id: account.clone(),
        amount: usd(500),
        ..Default::default()
    };
    home.teller().deposit(deposit).await.unwrap();
    let claim = ClaimReferenceRequest {
        context: context("claim"),
        account_id: account.clone(),
        reference: Some(AccountReference {
            r#type: ReferenceType::External.into(),
            text: format!("{MARK} 8"),
        }),
    };
    home.teller().claim_reference(claim).await.unwrap();

    // Everybody has all of it: what follows it in its shard is known everywhere.
    let after = home.open(HOME, "after").await;
    for node in cluster.nodes() {
        let is_known = async || {
            let mode = read_mode::Mode::Local(read_mode::Local {});
            node.balance(&after, mode).await.is_ok()
        };
        eventually("the account is known", is_known).await;
    }
    for node in cluster.nodes() {
        let told = metrics(node).await;
        assert!(is_in("meridian_", &told) && !is_in(MARK, &told));
    }
    assert!(log.has("listening") && !log.has(MARK));
    let abroad = abroad.id;
    let ids: Vec<_> = cluster.nodes().iter().map(|node| node.id).collect();
    for id in ids {
        cluster.stop(id).await;
        let data = cluster.data(cluster.node(id));
        assert_eq!(with(MARK, &data), Vec::<PathBuf>::new());
        // What may be read is found: so would be what may not.
        assert!(!with(PUBLIC, &data).is_empty(), "{id}, {abroad} is abroad");
    }
    let keys = keys_in(&cluster, HOME);
    assert_eq!(with(MARK, &keys), Vec::<PathBuf>::new());
    let packets = cluster.recorded();
    assert!(packets.iter().any(|it| is_in(PUBLIC, it)));
    assert!(!packets.iter().any(|it| is_in(MARK, it)));
}

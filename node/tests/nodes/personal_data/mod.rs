//! Who a customer is: sealed in every file, read in its own domain alone, and forgotten for ever.

mod keys_of_customers;
mod residency;

use std::{fs, path::PathBuf, sync::Arc};

use node::{
    api::{
        CALLER, rejection,
        teller::v1::{
            CloseAccountRequest, DetachAccountRequest, EraseCustomerRequest, GetCustomerReply,
            GetCustomerRequest, OpenAccountRequest, Profile, ProfileStatus,
            RegisterCustomerRequest, SetLegalHoldRequest, SetProfileRequest,
        },
        v1::CommandContext,
    },
    config::{Config, Limits},
    keys,
    secrets::Secrets,
};
use replication::world::SystemEntropy;
use tonic::{Request, Status};

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, eventually};

const HOME: &str = "eu-west";
const ABROAD: &str = "us-east";
const CLERK: &str = "clerk";
/// In every text that must not be found anywhere.
const MARK: &str = "m4rkedPerson";

/// The nodes of a region have its keys in one place, beside its secrets.
fn keys_of(config: &Config) -> PathBuf {
    let secrets = config.secrets.clone().expect("it has a file");
    secrets.with_extension("keys")
}

fn configure(_: u64, config: &mut Config) {
    config.customer_keys = Some(keys_of(config));
    config.retention_years = 0;
    config.privileged.insert(CLERK.to_owned());
    let path = config.secrets.clone().expect("it has a file");
    let secrets = Secrets::read(&path).unwrap().expect("it is there");
    let directory = config.directory(&secrets).unwrap();
    let keys = keys::files(config, &directory, &secrets, Arc::new(SystemEntropy));
    keys.unwrap()
        .expect("they are configured")
        .prepare()
        .unwrap();
}

fn remember_for_a_year(id: u64, config: &mut Config) {
    configure(id, config);
    config.retention_years = 1;
}

async fn cluster() -> Cluster {
    configured(configure).await
}

async fn configured(configure: fn(u64, &mut Config)) -> Cluster {
    let limits = Limits {
        snapshot_entries: 3,
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        ..Limits::default()
    };
    let shaped = (0, |_: &mut _| {});
    Cluster::start_configured(&HOME_AND_ABROAD, shaped, limits, configure).await
}

fn why(refused: &Status) -> String {
    let detail = rejection::from_status(refused);
    detail.expect("a refusal has a face").code
}

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

fn by_clerk<T>(body: T) -> Request<T> {
    let mut request = Request::new(body);
    let metadata = request.metadata_mut();
    metadata.insert(CALLER, CLERK.parse().unwrap());
    request
}

async fn register(node: &Node, key: &str) -> String {
    let request = RegisterCustomerRequest {
        context: context(key),
        home_region: HOME.to_owned(),
        ..Default::default()
    };
    let reply = node.teller().register_customer(request).await.unwrap();
    reply.into_inner().customer_id
}

fn person(name: &str) -> Profile {
    Profile {
        name: format!("{name} {MARK}"),
        contacts: vec![format!("{name}@{MARK}.example")],
        references: vec![format!("{MARK} {name} 7")],
    }
}

async fn set_profile(
    node: &Node,
    key: &str,
    customer: &str,
    profile: &Profile,
) -> Result<bool, Status> {
    let request = SetProfileRequest {
        context: context(key),
        customer_id: customer.to_owned(),
        profile: Some(profile.clone()),
    };
    let reply = node.teller().set_profile(request).await?.into_inner();
    Ok(reply.receipt.unwrap().duplicate)
}

async fn hold(node: &Node, key: &str, customer: &str, lift: bool) -> Result<(), Status> {
    let request = SetLegalHoldRequest {
        context: context(key),
        customer_id: customer.to_owned(),
        lift,
    };
    node.teller()
        .set_legal_hold(by_clerk(request))
        .await
        .map(drop)
}

async fn erase(node: &Node, key: &str, customer: &str) -> Result<(), Status> {
    let request = EraseCustomerRequest {
        context: context(key),
        customer_id: customer.to_owned(),
    };
    node.teller()
        .erase_customer(by_clerk(request))
        .await
        .map(drop)
}

async fn shown(node: &Node, customer: &str) -> GetCustomerReply {
    let request = GetCustomerRequest {
        without_profile: false,
        customer_id: customer.to_owned(),
    };
    let reply = node.teller().get_customer(request).await.unwrap();
    reply.into_inner()
}

/// Where a region's keys are.
fn keys_in(cluster: &Cluster, region: &str) -> PathBuf {
    cluster.secrets(region).with_extension("keys")
}

fn key_files(cluster: &Cluster) -> Vec<PathBuf> {
    let files = fs::read_dir(keys_in(cluster, HOME)).unwrap();
    let files = files.map(|it| it.unwrap().path());
    files
        .filter(|it| it.extension().is_some_and(|it| it == "key"))
        .collect()
}

async fn open_for(node: &Node, key: &str, region: &str, customer: &str) -> String {
    let open = OpenAccountRequest {
        context: context(key),
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        customer_id: customer.to_owned(),
        ..Default::default()
    };
    let reply = node.teller().open_account(open).await.unwrap();
    reply.into_inner().account_id
}

async fn close_and_detach(node: &Node, customer: &str, account: &str) {
    let close = CloseAccountRequest {
        context: context("close"),
        account_id: account.to_owned(),
        ..Default::default()
    };
    node.teller().close_account(close).await.unwrap();
    let detach = DetachAccountRequest {
        context: context("detach"),
        customer_id: customer.to_owned(),
        account_id: account.to_owned(),
    };
    node.teller().detach_account(detach).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_is_forgotten_for_ever_and_history_still_verifies() {
    let mut cluster = cluster().await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let customer = register(home, "customer").await;
    set_profile(home, "profile", &customer, &person("ada"))
        .await
        .unwrap();
    let account = open_for(home, "open", ABROAD, &customer).await;

    let request = EraseCustomerRequest {
        context: context("nobody's"),
        customer_id: customer.clone(),
    };
    let refused = home.teller().erase_customer(request).await.unwrap_err();
    assert_eq!(why(&refused), "NOT_PRIVILEGED");
    let refused = erase(abroad, "early", &customer).await.unwrap_err();
    assert_eq!(why(&refused), "ACCOUNTS_ATTACHED");
    close_and_detach(home, &customer, &account).await;
    hold(abroad, "hold", &customer, false).await.unwrap();
    assert!(shown(home, &customer).await.legal_hold);
    let refused = erase(home, "held", &customer).await.unwrap_err();
    assert_eq!(why(&refused), "LEGAL_HOLD");
    hold(home, "lift", &customer, true).await.unwrap();
    let refused = hold(home, "lift again", &customer, true).await.unwrap_err();
    assert_eq!(why(&refused), "NO_LEGAL_HOLD");

    let files = key_files(&cluster);
    let [file] = &files[..] else {
        panic!("one key");
    };
    let (file, kept) = (file.clone(), fs::read(file).unwrap());
    erase(abroad, "erase", &customer).await.unwrap();
    assert!(!file.exists());
    erase(home, "erase", &customer).await.unwrap();
    let told = shown(home, &customer).await;
    assert_eq!(
        (told.profile_status(), told.profile),
        (ProfileStatus::Erased, None)
    );
    let refused = set_profile(home, "again", &customer, &person("ada"))
        .await
        .unwrap_err();
    assert_eq!(why(&refused), "CUSTOMER_ERASED");
    // What was answered once is answered so for ever, though nobody can compare it any more.
    for _ in 0..2 {
        let again = set_profile(home, "profile", &customer, &person("ada")).await;
        assert!(again.unwrap());
        let refused = set_profile(home, "again", &customer, &person("eve")).await;
        assert_eq!(why(&refused.unwrap_err()), "CUSTOMER_ERASED");
    }
    let other = register(home, "profile").await;
    assert_ne!(other, customer);
    assert!(!file.exists(), "none is made again");

    // As if the power had gone between the entry and the key: whoever starts sees to it.
    fs::write(&file, kept).unwrap();
    let id = home.id;
    cluster.stop(id).await;
    cluster.restart(id).await;
    eventually("the key is destroyed", async || !file.exists()).await;
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_a_customer_is_remembered_for_a_while() {
    let cluster = configured(remember_for_a_year).await;
    let home = cluster.at(HOME);
    // Whoever never had an account need not be remembered.
    let stranger = register(home, "stranger").await;
    set_profile(home, "profile", &stranger, &person("eve"))
        .await
        .unwrap();
    erase(home, "erase stranger", &stranger).await.unwrap();
    assert_eq!(key_files(&cluster).len(), 0);

    let customer = register(home, "customer").await;
    let account = open_for(home, "open", HOME, &customer).await;
    close_and_detach(home, &customer, &account).await;
    let detached = shown(home, &customer).await.last_detached;
    let date = |text: &str| text.parse::<jiff::civil::Date>().unwrap();
    let refused = erase(home, "erase", &customer).await.unwrap_err();
    let detail = rejection::from_status(&refused).unwrap();
    assert_eq!(detail.code, "RETENTION_RUNS");
    let until = date(&detached).saturating_add(jiff::Span::new().days(366));
    let says = format!("until {until}");
    assert!(detail.message.contains(&says), "{}", detail.message);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_no_keys_keeps_no_profiles() {
    let cluster = Cluster::start(&[HOME_AND_ABROAD[1]]).await;
    let node = cluster.at(ABROAD);
    let request = RegisterCustomerRequest {
        context: context("customer"),
        home_region: ABROAD.to_owned(),
        ..Default::default()
    };
    let reply = node.teller().register_customer(request).await.unwrap();
    let customer = reply.into_inner().customer_id;
    let refused = set_profile(node, "profile", &customer, &person("ada"))
        .await
        .unwrap_err();
    assert_eq!(why(&refused), "KEYS_UNAVAILABLE");
    cluster.shutdown().await;
}

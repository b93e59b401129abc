//! Customers: which accounts they have in which regions, and what those have at one time.

use std::time::Duration;

use node::api::{
    atm::v1::{
        AtOneTime, GetCustomerAccountsReply, GetCustomerAccountsRequest, balance_outcome::Outcome,
    },
    rejection,
    teller::v1::{
        AttachAccountRequest, CloseAccountRequest, DetachAccountRequest, GetCustomerRequest,
        GetTransactionRequest, OpenAccountRequest, RegisterCustomerRequest, TransactionKind,
        get_transaction_request::By,
    },
    v1::{CommandContext, Receipt, read_mode::Otherwise},
};
use tonic::{Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS};

const HOME: &str = "eu-west";
const ABROAD: &str = "us-east";
const FAR: &str = "ap-south";

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

async fn register(node: &Node, key: &str, region: &str) -> Result<(String, Receipt), Status> {
    let request = RegisterCustomerRequest {
        context: context(key),
        home_region: region.to_owned(),
        ..Default::default()
    };
    let reply = node.teller().register_customer(request).await?.into_inner();
    Ok((reply.customer_id, reply.receipt.unwrap()))
}

async fn open(node: &Node, key: &str, region: &str, customer: &str) -> Result<String, Status> {
    let request = OpenAccountRequest {
        context: context(key),
        home_region: region.to_owned(),
        currency: "USD".to_owned(),
        customer_id: customer.to_owned(),
        ..Default::default()
    };
    let reply = node.teller().open_account(request).await?;
    Ok(reply.into_inner().account_id)
}

async fn attach(node: &Node, key: &str, customer: &str, account: &str) -> Result<(), Status> {
    let request = AttachAccountRequest {
        context: context(key),
        customer_id: customer.to_owned(),
        account_id: account.to_owned(),
    };
    node.teller().attach_account(request).await.map(drop)
}

async fn detach(node: &Node, key: &str, customer: &str, account: &str) -> Result<(), Status> {
    let request = DetachAccountRequest {
        context: context(key),
        customer_id: customer.to_owned(),
        account_id: account.to_owned(),
    };
    node.teller().detach_account(request).await.map(drop)
}

async fn accounts_of(node: &Node, customer: &str) -> Result<Vec<String>, Status> {
    let request = GetCustomerRequest {
        customer_id: customer.to_owned(),
        without_profile: true,
    };
    let reply = node.teller().get_customer(request).await?.into_inner();
    assert_eq!(reply.customer_id, customer);
    Ok(reply.account_ids)
}

async fn overview(
    node: &Node,
    customer: &str,
    at_one_time: AtOneTime,
) -> Result<GetCustomerAccountsReply, Status> {
    let mut request = Request::new(GetCustomerAccountsRequest {
        customer_id: customer.to_owned(),
        at_one_time: Some(at_one_time),
    });
    request.set_timeout(Duration::from_secs(6));
    let reply = node.atm().get_customer_accounts(request).await?;
    Ok(reply.into_inner())
}

/// What each account has, all of it at the answer's time.
fn posted(reply: &GetCustomerAccountsReply) -> Vec<(String, i64)> {
    let each = reply.accounts.iter().map(|account| {
        let outcome = account.outcome.clone().unwrap().outcome;
        let Some(Outcome::Balance(balance)) = outcome else {
            panic!("{account:?}");
        };
        assert_eq!(balance.account_id, account.account_id);
        assert_eq!(balance.true_at, reply.true_at);
        (
            account.account_id.clone(),
            balance.posted.unwrap().minor_units,
        )
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_has_accounts_in_any_region_from_before_they_open_until_they_are_closed() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let (customer, receipt) = register(abroad, "customer", HOME).await.unwrap();
    assert!(customer.starts_with("customer:eu-west."), "{customer}");
    let (same, again) = register(home, "customer", HOME).await.unwrap();
    assert_eq!(
        (&same, &again.transaction_id),
        (&customer, &receipt.transaction_id)
    );
    assert!(again.duplicate);
    let by = By::TransactionId(receipt.transaction_id);
    let told = GetTransactionRequest { by: Some(by) };
    let told = abroad.teller().get_transaction(told).await.unwrap();
    assert_eq!(told.get_ref().kind(), TransactionKind::RegisterCustomer);
    let taken = RegisterCustomerRequest {
        context: context("another key"),
        customer_id: customer.clone(),
        ..Default::default()
    };
    let taken = home.teller().register_customer(taken).await.unwrap_err();
    assert_eq!(why(&taken), "CUSTOMER_EXISTS");

    // What nobody has is of no time, and of no age.
    let nothing = overview(home, &customer, AtOneTime::default())
        .await
        .unwrap();
    assert_eq!((nothing.accounts.len(), &nothing.true_at), (0, &None));
    assert_eq!(nothing.staleness_bound_ms, u64::MAX);

    // From a node of a third region, in regions other than the customer's.
    let far = cluster.at(FAR);
    let mut all = Vec::new();
    for region in [HOME, ABROAD, FAR] {
        let account = open(far, region, region, &customer).await.unwrap();
        assert_eq!(
            open(home, region, region, &customer).await.unwrap(),
            account
        );
        all.push(account);
    }
    all.sort();
    assert_eq!(accounts_of(far, &customer).await.unwrap(), all);

    let nobody = ledger_domain::CustomerId::derive(HOME.parse().unwrap(), "nobody").to_string();
    let refused = open(abroad, "of nobody", ABROAD, &nobody)
        .await
        .unwrap_err();
    assert_eq!(why(&refused), "CUSTOMER_NOT_FOUND");
    assert_eq!(
        why(&accounts_of(home, &nobody).await.unwrap_err()),
        "CUSTOMER_NOT_FOUND"
    );
    let slip = open(abroad, "slip", ABROAD, "customer:eu-west.0")
        .await
        .unwrap_err();
    assert_eq!(why(&slip), "INVALID_ARGUMENT");

    // One that was opened by itself, of two customers.
    let shared = home.open(HOME, "shared").await;
    let (other, _) = register(home, "other", ABROAD).await.unwrap();
    for customer in [&customer, &other] {
        attach(far, "attach", customer, &shared).await.unwrap();
        assert!(accounts_of(home, customer).await.unwrap().contains(&shared));
    }
    let mars = ledger_domain::AccountId::derive("mars".parse().unwrap(), "t", "one").to_string();
    let nowhere = attach(far, "mars", &other, &mars).await.unwrap_err();
    assert_eq!(why(&nowhere), "REGION_NOT_FOUND");
    let early = detach(far, "early", &other, &shared).await.unwrap_err();
    assert_eq!(why(&early), "ACCOUNT_OPEN");
    // Nor for whoever says that a node has passed it on.
    let mut forged = Request::new(DetachAccountRequest {
        context: context("forged"),
        customer_id: other.clone(),
        account_id: shared.clone(),
    });
    let header = forged.metadata_mut();
    header.insert("meridian-forwarded", "1".parse().unwrap());
    let forged = abroad.teller().detach_account(forged).await.unwrap_err();
    assert_eq!(why(&forged), "ACCOUNT_OPEN");
    let close = CloseAccountRequest {
        context: context("close"),
        account_id: shared.clone(),
        ..Default::default()
    };
    home.teller().close_account(close).await.unwrap();
    detach(far, "detach", &other, &shared).await.unwrap();
    detach(home, "detach", &other, &shared).await.unwrap();
    assert_eq!(accounts_of(home, &other).await.unwrap(), [""; 0]);
    let twice = detach(home, "twice", &other, &shared).await.unwrap_err();
    assert_eq!(why(&twice), "ACCOUNT_NOT_ATTACHED");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_of_a_customer_are_told_of_one_time_and_regions_missing_are_named() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let (home, abroad) = (cluster.at(HOME), cluster.at(ABROAD));
    let (customer, _) = register(home, "customer", HOME).await.unwrap();
    let mut expected = Vec::new();
    let mut tokens = Vec::new();
    for (region, units) in [(HOME, 100), (ABROAD, 200), (FAR, 400)] {
        let account = open(home, region, region, &customer).await.unwrap();
        let paid = home.deposit("pay", &account, units).await.unwrap();
        tokens.push(paid.token);
        expected.push((account, units));
    }
    expected.sort();
    let covering = AtOneTime {
        tokens,
        ..AtOneTime::default()
    };
    for node in cluster.nodes() {
        let told = overview(node, &customer, covering.clone()).await.unwrap();
        assert_eq!(posted(&told), expected);
        assert_eq!(told.regions_missing, []);
        assert!(told.customer_position.is_some());
    }

    // One that may not be stale, of a region that tells nothing.
    cluster.cut(FAR);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let fresh = AtOneTime {
        max_staleness_ms: 2_500,
        otherwise: Otherwise::Error.into(),
        tokens: Vec::new(),
    };
    let told = overview(abroad, &customer, fresh).await.unwrap();
    let missing: Vec<_> = told
        .regions_missing
        .iter()
        .map(|it| it.region.as_str())
        .collect();
    assert_eq!(missing, [FAR]);
    assert_eq!(why_of(&told), "TOO_STALE");
    let near: Vec<_> = expected
        .iter()
        .filter(|(id, _)| !id.starts_with(FAR))
        .cloned()
        .collect();
    assert_eq!(posted(&told), near);
    // As old as it is, all of it is known.
    let told = overview(abroad, &customer, AtOneTime::default())
        .await
        .unwrap();
    assert_eq!(posted(&told), expected);
    // Who is cut off does not know whose the accounts are.
    assert!(
        overview(cluster.at(FAR), &customer, AtOneTime::default())
            .await
            .is_err()
    );
    cluster.heal(FAR);
    cluster.shutdown().await;
}

fn why_of(told: &GetCustomerAccountsReply) -> String {
    let why = told.regions_missing[0].rejection.clone();
    why.expect("it says why").code
}

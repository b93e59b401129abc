//! Suspense, and what is left in accounts that close: asked at home and abroad.

use node::api::{
    CALLER,
    teller::v1::{
        ClearSuspenseRequest, CloseAccountRequest, FreezeAccountRequest, FreezeArriving,
        FreezeBlocks, FreezeType, GetTransactionRequest, ListSuspenseReply, ListSuspenseRequest,
        SuspendedItem, TransactionKind, TrialBalanceRequest, UnfreezeAccountRequest,
        clear_suspense_request::To, close_account_request::Sweep, get_transaction_request::By,
        list_suspense_request::Of,
    },
    v1::{CommandContext, Receipt, TransactionStatus},
};
use node::config::Limits;
use tonic::{Code, Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, usd};

const AUDITOR: &str = "auditor";

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

async fn cluster() -> Cluster {
    let shaped = (0, |_: &mut _| {});
    Cluster::start_configured(&THREE_REGIONS, shaped, Limits::default(), |_, config| {
        config.privileged.insert(AUDITOR.to_owned());
    })
    .await
}

async fn keep_what_arrives(node: &Node, account: &str) {
    let request = FreezeAccountRequest {
        context: context("freeze"),
        account_id: account.to_owned(),
        r#type: FreezeType::CourtOrder.into(),
        blocks: FreezeBlocks::All.into(),
        arriving: FreezeArriving::Suspense.into(),
        until_unix_ms: 0,
    };
    node.teller().freeze_account(request).await.unwrap();
}

async fn page(node: &Node, region: &str, size: u32, token: &str) -> ListSuspenseReply {
    let request = ListSuspenseRequest {
        of: Some(Of::Region(region.to_owned())),
        page_size: size,
        page_token: token.to_owned(),
    };
    let reply = node.teller().list_suspense(request).await;
    reply.unwrap().into_inner()
}

async fn listed(node: &Node, region: &str) -> Vec<SuspendedItem> {
    page(node, region, 0, "").await.items
}

async fn clear(
    node: &Node,
    caller: &str,
    key: &str,
    item: &SuspendedItem,
    to: To,
) -> Result<Receipt, Status> {
    let mut request = Request::new(ClearSuspenseRequest {
        context: context(key),
        account_id: item.account_id.clone(),
        transaction_id: item.transaction_id.clone(),
        to: Some(to),
        ..Default::default()
    });
    let metadata = request.metadata_mut();
    metadata.insert(CALLER, caller.parse().unwrap());
    let reply = node.teller().clear_suspense(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn close(
    node: &Node,
    key: &str,
    account: &str,
    sweep: Option<Sweep>,
) -> Result<Receipt, Status> {
    let request = CloseAccountRequest {
        context: context(key),
        account_id: account.to_owned(),
        sweep,
        ..Default::default()
    };
    let reply = node.teller().close_account(request).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn suspense_in_the_books(node: &Node) -> i64 {
    let request = TrialBalanceRequest::default();
    let books = node.teller().trial_balance(request).await.unwrap();
    let books = books.into_inner();
    assert!(books.balanced, "{books:?}");
    let rows = books.rows.iter().filter(|row| row.account == "suspense");
    rows.map(|row| row.credit_minor_units - row.debit_minor_units)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_suspense_is_listed_by_age_and_cleared_once_to_anybody_anywhere() {
    let cluster = cluster().await;
    let (abroad, home, far) = (cluster.node(1), cluster.node(2), cluster.node(3));
    let payer = abroad.open("ap-south", "payer").await;
    let payee = home.open("eu-west", "payee").await;
    let heir = home.open("eu-west", "heir").await;
    abroad.deposit("d", &payer, 100).await.unwrap();
    keep_what_arrives(home, &payee).await;
    for (key, units) in [("t1", 10), ("t2", 20), ("t3", 30), ("t4", 5)] {
        abroad.transfer(key, &payer, &payee, units).await.unwrap();
    }
    let items = listed(home, "eu-west").await;
    let amounts: Vec<_> = items.iter().map(|item| item.amount.clone()).collect();
    assert_eq!(amounts, [10, 20, 30, 5].map(usd));
    for item in &items {
        let ends = (item.account_id.as_str(), item.other_account_id.as_str());
        assert_eq!(ends, (payee.as_str(), payer.as_str()));
        assert_eq!(item.because.as_ref().unwrap().code, "ACCOUNT_FROZEN");
    }
    let times: Vec<_> = items
        .iter()
        .map(|it| it.since.clone().unwrap().hlc)
        .collect();
    assert!(times.is_sorted());
    // Whoever is asked; and a few at a time.
    assert_eq!(listed(far, "eu-west").await, items);
    assert_eq!(listed(home, "ap-south").await, []);
    let first = page(abroad, "eu-west", 3, "").await;
    let rest = page(abroad, "eu-west", 3, &first.next_page_token).await;
    assert_eq!([first.items, rest.items].concat(), items);
    assert_eq!(rest.next_page_token, "");

    let to_heir = To::ToAccountId(heir.clone());
    let refused = clear(home, "teller", "c1", &items[0], to_heir.clone()).await;
    assert_eq!(refused.as_ref().unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(code(refused), "NOT_PRIVILEGED");
    // To whom nothing may go.
    let itself = To::ToAccountId(payee.clone());
    let refused = clear(home, AUDITOR, "c2", &items[0], itself.clone()).await;
    assert_eq!(code(refused), "ACCOUNT_FROZEN");
    let nowhere = To::ToHouseAccount("suspense".to_owned());
    let refused = clear(home, AUDITOR, "c3", &items[0], nowhere).await;
    assert_eq!(code(refused), "HOUSE_ACCOUNT_RESERVED");
    let anothers = SuspendedItem {
        account_id: heir.clone(),
        ..items[0].clone()
    };
    let refused = clear(home, AUDITOR, "c4", &anothers, to_heir.clone()).await;
    assert_eq!(code(refused), "SUSPENSE_ITEM_NOT_FOUND");

    let given = clear(abroad, AUDITOR, "c5", &items[0], to_heir.clone()).await;
    let given = given.unwrap();
    assert_eq!(given.balances_after[0].posted, usd(10));
    let again = clear(home, AUDITOR, "c5", &items[0], to_heir.clone()).await;
    assert!(again.unwrap().duplicate);
    let twice = clear(home, AUDITOR, "c6", &items[0], to_heir).await;
    assert_eq!(code(twice), "SUSPENSE_ITEM_NOT_FOUND");
    let back = To::ToAccountId(payer.clone());
    let back = clear(far, AUDITOR, "c7", &items[1], back).await.unwrap();
    assert_eq!(back.status(), TransactionStatus::Settled);
    let fees = To::ToHouseAccount("fees".to_owned());
    clear(far, AUDITOR, "c8", &items[2], fees).await.unwrap();
    let request = GetTransactionRequest {
        by: Some(By::TransactionId(back.transaction_id)),
    };
    let told = far.teller().get_transaction(request).await.unwrap();
    let told = told.into_inner();
    assert_eq!(told.kind(), TransactionKind::ClearSuspense);
    assert_eq!(
        (told.counterparty, told.amount, told.privileged),
        (payer.clone(), usd(20), true)
    );

    // Thawed, it can have what is its own.
    let thaw = UnfreezeAccountRequest {
        context: context("thaw"),
        account_id: payee.clone(),
        r#type: FreezeType::CourtOrder.into(),
    };
    home.teller().unfreeze_account(thaw).await.unwrap();
    assert_eq!(suspense_in_the_books(far).await, 5);
    clear(home, AUDITOR, "c9", &items[3], itself).await.unwrap();
    assert_eq!(home.strong(&payee).await.unwrap().posted, usd(5));
    assert_eq!(home.strong(&heir).await.unwrap().posted, usd(10));
    assert_eq!(abroad.strong(&payer).await.unwrap().posted, usd(55));
    assert_eq!(listed(abroad, "eu-west").await, []);
    assert_eq!(suspense_in_the_books(far).await, 0);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_an_account_that_closes_goes_to_whom_its_closing_names() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let heir = home.open("eu-west", "heir").await;
    let far = abroad.open("ap-south", "far").await;
    let nobody = abroad.open("ap-south", "nobody").await;
    close(abroad, "close", &nobody, None).await.unwrap();
    for (n, (to, status)) in [
        (Sweep::ToAccountId(heir.clone()), TransactionStatus::Settled),
        (Sweep::ToAccountId(far.clone()), TransactionStatus::Settled),
        (
            Sweep::ToHouseAccount("fees".to_owned()),
            TransactionStatus::Settled,
        ),
        (
            Sweep::ToAccountId(nobody.clone()),
            TransactionStatus::Returned,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let key = |what: &str| format!("{what}-{n}");
        let node = [abroad, home][n % 2];
        let account = node.open("eu-west", &key("left")).await;
        node.deposit(&key("d"), &account, 7).await.unwrap();
        let refused = close(node, &key("c"), &account, None).await;
        assert_eq!(code(refused), "BALANCE_NOT_ZERO");
        let closed = close(node, &key("s"), &account, Some(to)).await.unwrap();
        assert_eq!(closed.status(), status);
        let after = node.deposit(&key("late"), &account, 1).await;
        assert_eq!(code(after), "ACCOUNT_CLOSED");
        assert_eq!(home.strong(&account).await.unwrap().posted, usd(0));
    }
    let own = close(home, "own", &heir, Some(Sweep::ToAccountId(heir.clone()))).await;
    assert_eq!(code(own), "SAME_ACCOUNT");
    assert_eq!(home.strong(&heir).await.unwrap().posted, usd(7));
    assert_eq!(abroad.strong(&far).await.unwrap().posted, usd(7));
    // What came back found its account closed.
    let kept = listed(home, "eu-west").await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].because.as_ref().unwrap().code, "ACCOUNT_CLOSED");
    assert_eq!(
        (&kept[0].amount, &kept[0].other_account_id),
        (&usd(7), &nobody)
    );
    let to = To::ToAccountId(heir.clone());
    clear(abroad, AUDITOR, "clear", &kept[0], to).await.unwrap();
    assert_eq!(home.strong(&heir).await.unwrap().posted, usd(14));
    cluster.stop_and_verify().await;
}

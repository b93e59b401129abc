//! Reversals: asked of any node, counted once, found from both ends, and remembered.

use std::time::Duration;

use node::api::{
    CALLER,
    teller::v1::{
        BatchCommand, GetTransactionReply, GetTransactionRequest, ReverseRequest,
        SubmitBatchRequest, TransactionKind, batch_command::Command, batch_outcome::Outcome,
        get_transaction_request::By,
    },
    v1::{CommandContext, Receipt, RejectionDetail},
};
use node::{api::rejection, config::Limits};
use tonic::{Request, Status};

mod between;
mod journals;

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, THREE_REGIONS, code, eventually, usd};

const AUDITOR: &str = "auditor";

fn request(key: &str, account: &str, original: &Receipt, units: Option<i64>) -> ReverseRequest {
    ReverseRequest {
        context: Some(CommandContext {
            idempotency_key: key.to_owned(),
            ..Default::default()
        }),
        account_id: account.to_owned(),
        transaction_id: original.transaction_id.clone(),
        amount: units.and_then(usd),
        ..Default::default()
    }
}

async fn reverse(
    node: &Node,
    key: &str,
    account: &str,
    original: &Receipt,
    units: Option<i64>,
) -> Result<Receipt, Status> {
    let request = request(key, account, original, units);
    let reply = node.teller().reverse(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn force(node: &Node, caller: &str, mut request: ReverseRequest) -> Result<Receipt, Status> {
    request.context.get_or_insert_default().forced = true;
    let mut request = Request::new(request);
    let metadata = request.metadata_mut();
    metadata.insert(CALLER, caller.parse().unwrap());
    let reply = node.teller().reverse(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn shown(node: &Node, receipt: &Receipt) -> GetTransactionReply {
    let request = GetTransactionRequest {
        by: Some(By::TransactionId(receipt.transaction_id.clone())),
    };
    let reply = node.teller().get_transaction(request).await;
    reply.unwrap().into_inner()
}

fn refused<T>(result: Result<T, Status>) -> RejectionDetail {
    let status = result.err().expect("it is refused");
    rejection::from_status(&status).expect("a refusal has a face")
}

async fn cluster() -> Cluster {
    let shaped = (0, |_: &mut _| {});
    Cluster::start_configured(&THREE_REGIONS, shaped, Limits::default(), |_, config| {
        config.privileged.insert(AUDITOR.to_owned());
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_moved_back_from_anywhere_and_both_ends_say_so() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let payer = home.open("eu-west", "payer").await;
    let payee = home.open("eu-west", "payee").await;
    home.deposit("d", &payer, 1_000).await.unwrap();
    let paid = home.transfer("t", &payer, &payee, 600).await.unwrap();

    let first = reverse(abroad, "r1", &payee, &paid, Some(250))
        .await
        .unwrap();
    // Asked again it is the same one, and not another part.
    let again = reverse(home, "r1", &payee, &paid, Some(250)).await.unwrap();
    assert_eq!(again.transaction_id, first.transaction_id);
    assert!(again.duplicate);
    let after: Vec<_> = first.balances_after.iter().collect();
    let left = |account: &str| {
        let of = after.iter().find(|it| it.account_id == account);
        of.unwrap().posted.clone()
    };
    assert_eq!((left(&payer), left(&payee)), (usd(650), usd(350)));

    let too_much = reverse(home, "r2", &payer, &paid, Some(351)).await;
    let too_much = refused(too_much);
    assert_eq!(too_much.code, "REVERSAL_EXCEEDED");
    assert!(too_much.message.contains("350 minor units"), "{too_much:?}");
    let rest = reverse(abroad, "r3", &payer, &paid, None).await.unwrap();
    let none_left = reverse(abroad, "r4", &payer, &paid, None).await;
    assert_eq!(code(none_left), "REVERSAL_EXCEEDED");
    home.settles_at(&payer, 1_000).await;
    home.settles_at(&payee, 0).await;

    // From both ends, whoever is asked.
    let original = shown(abroad, &paid).await;
    let by: Vec<_> = original
        .reversals
        .iter()
        .map(|it| (it.transaction_id.clone(), it.amount.clone()))
        .collect();
    let expected = [
        (first.transaction_id.clone(), usd(250)),
        (rest.transaction_id.clone(), usd(350)),
    ];
    assert_eq!(by, expected);
    assert_eq!(
        (original.reversed, original.reverses),
        (usd(600), String::new())
    );
    let reversal = shown(abroad, &rest).await;
    assert_eq!(reversal.kind(), TransactionKind::Reverse);
    assert_eq!(reversal.reverses, paid.transaction_id);
    assert_eq!(reversal.amount, usd(350));
    assert_eq!(
        (&reversal.account_id, &reversal.counterparty),
        (&payer, &payee)
    );
    assert_eq!(reversal.reversals, []);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_back_is_said_and_what_overdraws_takes_a_privilege() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let account = home.open("eu-west", "a").await;
    let other = home.open("eu-west", "b").await;
    let far = abroad.open("ap-south", "far").await;
    let deposit = home.deposit("d", &account, 100).await.unwrap();
    let withdrawal = home.withdraw("w", &account, 60).await.unwrap();
    // A deposit goes back to the cash, as far as it is there.
    let spent = reverse(home, "r1", &account, &deposit, None).await;
    assert_eq!(code(spent), "INSUFFICIENT_FUNDS");
    let forced = request("r2", &account, &deposit, None);
    let teller = force(home, "teller", forced.clone()).await;
    assert_eq!(code(teller), "NOT_PRIVILEGED");
    let forced = force(abroad, AUDITOR, forced).await.unwrap();
    home.settles_at(&account, -60).await;
    assert!(shown(home, &forced).await.privileged);
    // A withdrawal comes out of it again.
    reverse(home, "r3", &account, &withdrawal, Some(50))
        .await
        .unwrap();
    home.settles_at(&account, -10).await;

    let of_reversal = reverse(home, "r5", &account, &forced, None).await;
    assert_eq!(code(of_reversal), "NOT_REVERSIBLE");
    let of_others = refused(reverse(home, "r6", &other, &withdrawal, None).await);
    assert_eq!(of_others.code, "INVALID_ARGUMENT");
    assert!(of_others.message.contains("neither paid"), "{of_others:?}");
    let elsewhere = refused(reverse(home, "r7", &far, &withdrawal, None).await);
    assert_eq!(elsewhere.code, "INVALID_ARGUMENT");
    assert!(elsewhere.message.contains("shard"), "{elsewhere:?}");
    let mut euros = request("r8", &account, &withdrawal, Some(5));
    euros.amount.as_mut().unwrap().currency = "EUR".to_owned();
    let euros = home.teller().reverse(euros).await;
    assert_eq!(code(euros), "CURRENCY_MISMATCH");
    let mut nothing = withdrawal.clone();
    nothing.transaction_id = unknown(&withdrawal);
    let nothing = reverse(abroad, "r9", &account, &nothing, None).await;
    assert_eq!(code(nothing), "TRANSACTION_NOT_FOUND");
    cluster.stop_and_verify().await;
}

/// The id of a transaction that its shard has not decided.
fn unknown(receipt: &Receipt) -> String {
    let id: ledger_domain::TransactionId = receipt.transaction_id.parse().unwrap();
    let ordinal = id.ordinal + 1_000;
    ledger_domain::TransactionId { ordinal, ..id }.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_reversed_outlives_snapshots_and_leaders() {
    // Snapshots all the time, which the verifier compares with the log in the end.
    let limits = Limits {
        snapshot_bytes: 1,
        snapshot_seconds: 1,
        snapshot_entries: 10,
        ..Limits::default()
    };
    let mut cluster = Cluster::start_limited(&HOME_AND_ABROAD, 0, |_| {}, limits).await;
    let account = cluster.node(4).open("eu-west", "a").await;
    let paid = cluster.node(4).deposit("d", &account, 90).await.unwrap();
    for (id, left) in [(1, 60), (2, 30), (3, 0)] {
        let part = |key: &str, units| {
            let request = request(&format!("{id}-{key}"), &account, &paid, Some(units));
            BatchCommand::from(Command::Reverse(request))
        };
        let batch = SubmitBatchRequest {
            commands: vec![part("part", 30), part("too much", 91)],
        };
        let outcomes = cluster.node(4).teller().submit_batch(batch).await.unwrap();
        let outcomes = outcomes.into_inner().outcomes;
        let is_done: Vec<_> = outcomes
            .iter()
            .map(|it| matches!(it.outcome, Some(Outcome::Receipt(_))))
            .collect();
        assert_eq!(is_done, [true, false], "{outcomes:?}");
        cluster.node(4).settles_at(&account, left).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.stop(id).await;
        eventually("the shard has a leader", async || {
            let told = cluster.node(4).strong(&account).await;
            told.is_ok()
        })
        .await;
        let key = format!("{id}-more");
        let more = Some(left + 1);
        let too_much = reverse(cluster.node(4), &key, &account, &paid, more).await;
        assert_eq!(code(too_much), "REVERSAL_EXCEEDED");
        cluster.restart(id).await;
    }
    assert_eq!(shown(cluster.node(4), &paid).await.reversals.len(), 3);
    cluster.stop_and_verify().await;
}

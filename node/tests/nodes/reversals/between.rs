//! Reversals of what went to another shard.

use node::api::{
    teller::v1::{
        CloseAccountRequest, FreezeAccountRequest, FreezeArriving, FreezeBlocks, FreezeType,
        SubmitGroupRequest, TransferRequest, Wait,
    },
    v1::TransactionStatus,
};

use super::*;

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_abroad_is_moved_back_in_parts_or_not_at_all() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let payer = home.open("eu-west", "payer").await;
    let payee = abroad.open("ap-south", "payee").await;
    home.deposit("d", &payer, 1_000).await.unwrap();
    let paid = home.transfer("t", &payer, &payee, 600).await.unwrap();

    let first = reverse(abroad, "r1", &payer, &paid, Some(250)).await;
    let first = first.unwrap();
    assert_eq!(first.status(), TransactionStatus::Settled);
    let again = reverse(home, "r1", &payer, &paid, Some(250)).await.unwrap();
    assert_eq!(again.transaction_id, first.transaction_id);
    home.settles_at(&payer, 650).await;
    abroad.settles_at(&payee, 350).await;
    let too_much = reverse(home, "r2", &payer, &paid, Some(351)).await;
    assert_eq!(code(too_much), "REVERSAL_EXCEEDED");

    // Whoever was paid has spent it: nothing is counted.
    abroad.withdraw("w", &payee, 300).await.unwrap();
    let spent = reverse(abroad, "r3", &payer, &paid, None).await.unwrap();
    assert_eq!(spent.status(), TransactionStatus::Returned);
    let why = spent.rejection.as_ref().expect("it says why");
    assert_eq!(why.code, "INSUFFICIENT_FUNDS");
    let original = shown(abroad, &paid).await;
    assert_eq!(original.reversed, usd(250));
    assert_eq!(original.reversals.len(), 1);
    home.settles_at(&payer, 650).await;
    // Unless it is forced.
    let forced = request("r4", &payer, &paid, Some(300));
    let teller = force(home, "teller", forced.clone()).await;
    assert_eq!(code(teller), "NOT_PRIVILEGED");
    let forced = force(abroad, AUDITOR, forced).await.unwrap();
    assert_eq!(forced.status(), TransactionStatus::Settled);
    home.settles_at(&payer, 950).await;
    abroad.settles_at(&payee, -250).await;

    let original = shown(home, &paid).await;
    let by: Vec<_> = original
        .reversals
        .iter()
        .map(|it| (it.transaction_id.clone(), it.amount.clone(), it.pending))
        .collect();
    let expected = [
        (first.transaction_id.clone(), usd(250), false),
        (forced.transaction_id.clone(), usd(300), false),
    ];
    assert_eq!(by, expected);
    assert_eq!(original.reversed, usd(550));
    let reversal = shown(abroad, &first).await;
    assert_eq!(reversal.kind(), TransactionKind::Reverse);
    assert_eq!(reversal.reverses, paid.transaction_id);
    assert_eq!(
        (&reversal.account_id, &reversal.counterparty),
        (&payer, &payee)
    );
    assert_eq!(reversal.amount, usd(250));

    let of_reversal = reverse(home, "r5", &payer, &first, None).await;
    assert_eq!(code(of_reversal), "NOT_REVERSIBLE");
    let of_payee = refused(reverse(home, "r6", &payee, &paid, None).await);
    assert_eq!(of_payee.code, "INVALID_ARGUMENT");
    let member = request("", &payer, &paid, Some(1));
    let group = SubmitGroupRequest {
        context: context("g"),
        commands: vec![BatchCommand::from(Command::Reverse(member)); 2],
    };
    let in_group = home.teller().submit_group(group).await;
    assert_eq!(code(in_group), "GROUP_ACROSS_SHARDS");
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_reversed_once_it_has_arrived() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let payer = home.open("eu-west", "payer").await;
    let payee = abroad.open("ap-south", "payee").await;
    home.deposit("d", &payer, 1_000).await.unwrap();
    let early = home.transfer("t1", &payer, &payee, 400).await.unwrap();
    cluster.cut("ap-south");
    let transfer = TransferRequest {
        context: context("t2"),
        from_account_id: payer.clone(),
        to_account_id: payee.clone(),
        amount: usd(500),
        wait: Wait::Accepted.into(),
    };
    let sent = home.teller().transfer(transfer).await.unwrap();
    let sent = sent.into_inner().receipt.unwrap();
    let mut hasty = Request::new(request("r1", &payer, &sent, None));
    hasty.set_timeout(Duration::from_secs(1));
    let hasty = refused(home.teller().reverse(hasty).await);
    assert_eq!(hasty.code, "TRANSFER_UNDER_WAY");
    assert!(hasty.retryable);
    // What has arrived is asked back, and counts meanwhile.
    let open = ReverseRequest {
        wait: Wait::Accepted.into(),
        ..request("r2", &payer, &early, Some(100))
    };
    let open = home.teller().reverse(open).await.unwrap().into_inner();
    let open = open.receipt.unwrap();
    assert_eq!(open.status(), TransactionStatus::Accepted);
    let original = shown(home, &early).await;
    assert_eq!(original.reversed, usd(100));
    assert!(original.reversals[0].pending);
    let too_much = reverse(home, "r3", &payer, &early, Some(301)).await;
    assert_eq!(code(too_much), "REVERSAL_EXCEEDED");

    cluster.heal("ap-south");
    let settled = reverse(home, "r1", &payer, &sent, None).await.unwrap();
    assert_eq!(settled.status(), TransactionStatus::Settled);
    home.settles_at(&payer, 700).await;
    abroad.settles_at(&payee, 300).await;
    assert!(!shown(abroad, &early).await.reversals[0].pending);
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_back_or_was_kept_is_not_reversed() {
    let cluster = cluster().await;
    let (abroad, home) = (cluster.node(1), cluster.node(2));
    let payer = home.open("eu-west", "payer").await;
    let closed = abroad.open("ap-south", "closed").await;
    let kept = abroad.open("ap-south", "kept").await;
    home.deposit("d", &payer, 1_000).await.unwrap();
    let close = CloseAccountRequest {
        context: context("c"),
        account_id: closed.clone(),
        ..Default::default()
    };
    abroad.teller().close_account(close).await.unwrap();
    let freeze = FreezeAccountRequest {
        context: context("f"),
        account_id: kept.clone(),
        r#type: FreezeType::CourtOrder.into(),
        blocks: FreezeBlocks::Credits.into(),
        arriving: FreezeArriving::Suspense.into(),
        until_unix_ms: 0,
    };
    abroad.teller().freeze_account(freeze).await.unwrap();
    let returned = home.transfer("t1", &payer, &closed, 100).await.unwrap();
    assert_eq!(returned.status(), TransactionStatus::Returned);
    let suspended = home.transfer("t2", &payer, &kept, 200).await.unwrap();
    for (key, paid) in [("r1", &returned), ("r2", &suspended)] {
        let none = reverse(home, key, &payer, paid, None).await;
        assert_eq!(code(none), "NOT_REVERSIBLE");
    }
    home.settles_at(&payer, 800).await;
    cluster.stop_and_verify().await;
}

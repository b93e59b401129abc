//! One real node: real disk, real sockets, the services as a caller sees them.

use node::api::{
    atm::v1::GetStatementRequest,
    v1::read_mode::{Mode, Session},
};

use crate::running::{deposit, open, read, refusal, start, strong, usd, withdraw};

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_command_is_decided_once_and_answers_the_same_also_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start(data.path()).await;
    let account = open(&mut node.teller, "open").await;
    let first = deposit(&mut node.teller, "d1", &account, 1_000)
        .await
        .unwrap();
    let again = deposit(&mut node.teller, "d1", &account, 1_000)
        .await
        .unwrap();
    assert_eq!(first.transaction_id, again.transaction_id);
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(
        refusal(deposit(&mut node.teller, "d1", &account, 999).await),
        "KEY_CONFLICT"
    );
    assert_eq!(
        refusal(withdraw(&mut node.teller, "w1", &account, 1_001).await),
        "INSUFFICIENT_FUNDS"
    );
    deposit(&mut node.teller, "d2", &account, 500)
        .await
        .unwrap();
    // The rejection stands, though the money is there now.
    assert_eq!(
        refusal(withdraw(&mut node.teller, "w1", &account, 1_001).await),
        "INSUFFICIENT_FUNDS"
    );
    node.stop().await;

    let mut node = start(data.path()).await;
    let after = deposit(&mut node.teller, "d1", &account, 1_000)
        .await
        .unwrap();
    assert_eq!(
        (after.transaction_id, after.duplicate),
        (first.transaction_id, true)
    );
    assert_eq!(
        refusal(withdraw(&mut node.teller, "w1", &account, 1_001).await),
        "INSUFFICIENT_FUNDS"
    );
    let balance = strong(&mut node.atm, &account).await.unwrap();
    assert_eq!(balance.posted, usd(1_500));
    assert_eq!(balance.staleness_bound_ms, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_read_sees_the_write_its_token_came_from() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start(data.path()).await;
    let account = open(&mut node.teller, "open").await;
    for n in 1..=20 {
        let receipt = deposit(&mut node.teller, &n.to_string(), &account, 10)
            .await
            .unwrap();
        let session = Mode::Session(Session {
            tokens: vec![receipt.token],
        });
        let balance = read(&mut node.atm, &account, Some(session)).await.unwrap();
        assert_eq!(balance.posted, usd(10 * n));
    }
    let local = read(&mut node.atm, &account, None).await.unwrap();
    assert_eq!(local.posted, usd(200));
    assert!(
        local.staleness_bound_ms > 0,
        "a local read states how stale it may be"
    );
    let request = GetStatementRequest {
        account_id: account,
        ..Default::default()
    };
    let statement = node.atm.get_statement(request).await.unwrap().into_inner();
    let running: Vec<_> = statement
        .lines
        .iter()
        .map(|l| l.balance_after.clone())
        .collect();
    assert_eq!(running, (1..=20).map(|n| usd(10 * n)).collect::<Vec<_>>());
    node.stop().await;
}

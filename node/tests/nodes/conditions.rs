//! Commands that depend on something, and commands that are only tried out: over real disks and
//! sockets, asked at home and abroad.

use node::api::{
    teller::v1::{
        BatchCommand, CloseAccountRequest, DepositRequest, GetAccountRequest, OpenAccountRequest,
        SubmitBatchRequest, TransferRequest, WithdrawRequest, batch_command, batch_outcome,
    },
    v1::{CommandContext, Conditions, Receipt, TransactionStatus},
};
use node::client::{Client, Options};
use tonic::{Code, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, usd};

fn context(key: &str, conditions: Conditions, dry_run: bool) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        conditions: Some(conditions),
        dry_run,
        ..Default::default()
    })
}

fn at_version(version: u64) -> Conditions {
    Conditions {
        expected_version: Some(version),
        ..Default::default()
    }
}

fn between(minimum: i64, maximum: i64) -> Conditions {
    Conditions {
        minimum_balance_minor_units: Some(minimum),
        maximum_balance_minor_units: Some(maximum),
        ..Default::default()
    }
}

async fn deposit(
    node: &Node,
    account: &str,
    units: i64,
    context: Option<CommandContext>,
) -> Result<Receipt, Status> {
    let request = DepositRequest {
        context,
        account_id: account.to_owned(),
        amount: usd(units),
        ..Default::default()
    };
    let reply = node.teller().deposit(request).await?.into_inner();
    Ok(reply.receipt.unwrap())
}

async fn version(node: &Node, account: &str) -> u64 {
    let request = GetAccountRequest {
        account_id: account.to_owned(),
        as_of: None,
    };
    let reply = node.teller().get_account(request).await.unwrap();
    reply.into_inner().account.unwrap().version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_done_only_if_its_account_is_as_it_expects_whichever_node_is_asked() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let account = cluster.node(1).open("eu-west", "payer").await;
    // Node 2 is at home; the others send it there.
    for (n, node) in [1, 2, 3].map(|id| cluster.node(id)).into_iter().enumerate() {
        let n = n as u64;
        let key = |what: &str| format!("{what}-{n}");
        let seen = version(node, &account).await;
        assert_eq!(seen, n + 1);
        let stale = deposit(
            node,
            &account,
            10,
            context(&key("stale"), at_version(seen + 7), false),
        );
        let refused = stale.await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let said = format!(
            "the account is at version {seen}, not at {} as expected",
            seen + 7
        );
        assert_eq!(refused.message(), said);
        assert_eq!(code::<()>(Err(refused)), "VERSION_MISMATCH");

        let now = context(&key("now"), at_version(seen), false);
        let done = deposit(node, &account, 10, now.clone()).await.unwrap();
        assert_eq!(done.balances_after[0].version, seen + 1);
        // The version has moved on; the key still answers, and the condition is part of the body.
        let again = deposit(node, &account, 10, now).await.unwrap();
        assert!(again.duplicate);
        let other = context(&key("now"), at_version(seen + 1), false);
        let conflict = deposit(node, &account, 10, other).await.unwrap_err();
        assert!(
            conflict.message().contains("`expected_version`"),
            "{conflict:?}"
        );

        let posted = 10 * (n as i64 + 1);
        let high = context(&key("high"), between(i64::MIN, posted + 4), false);
        let high = deposit(node, &account, 5, high).await.unwrap_err();
        assert!(
            high.message()
                .starts_with(&format!("the balance would be {} ", posted + 5))
        );
        assert_eq!(code::<()>(Err(high)), "BALANCE_ABOVE_MAXIMUM");
        let low = WithdrawRequest {
            context: context(&key("low"), between(posted, i64::MAX), false),
            account_id: account.clone(),
            amount: usd(1),
            ..Default::default()
        };
        let low = node.teller().withdraw(low).await.unwrap_err();
        assert!(
            low.message()
                .starts_with(&format!("{} minor units would be left", posted - 1))
        );
        assert_eq!(code::<()>(Err(low)), "BALANCE_BELOW_MINIMUM");
    }
    cluster.stop_and_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_answers_in_full_and_writes_nothing_whichever_node_is_asked() {
    let cluster = Cluster::start(&THREE_REGIONS).await;
    let payer = cluster.node(1).open("eu-west", "payer").await;
    let payee = cluster.node(1).open("us-east", "payee").await;
    cluster.node(1).deposit("d", &payer, 100).await.unwrap();
    let dry = |key: &str| context(key, Conditions::default(), true);
    for node in [1, 2, 3].map(|id| cluster.node(id)) {
        let before = node.strong(&payer).await.unwrap();

        // The same key as that of the deposit, with another body: it is not looked at.
        let told = deposit(node, &payer, 900, dry("d")).await.unwrap();
        assert_eq!(
            (told.dry_run, told.status()),
            (true, TransactionStatus::Settled)
        );
        assert_eq!(
            (told.transaction_id.as_str(), told.token.as_str()),
            ("", "")
        );
        assert_eq!(told.balances_after[0].posted, usd(1_000));
        assert_eq!(told.balances_after[0].available, usd(1_000));
        assert_eq!(told.balances_after[0].version, 3);

        // Between regions: what is decided at home, and no word of the payee.
        let transfer = TransferRequest {
            context: dry("t"),
            from_account_id: payer.clone(),
            to_account_id: payee.clone(),
            amount: usd(30),
            ..Default::default()
        };
        let told = node.teller().transfer(transfer.clone()).await.unwrap();
        let told = told.into_inner().receipt.unwrap();
        assert_eq!(told.status(), TransactionStatus::Accepted);
        assert_eq!(told.balances_after.len(), 1);
        assert_eq!(told.balances_after[0].posted, usd(70));
        // The client takes that for an answer, though it was not told to expect less.
        let client = Client::new(vec![node.address.clone()], Options::new("dry")).unwrap();
        let by_client = client.transfer(transfer).await.unwrap().receipt.unwrap();
        assert!(by_client.dry_run);

        // An account that is not there yet, and one that cannot end.
        let opening = OpenAccountRequest {
            context: dry("new"),
            home_region: "eu-west".to_owned(),
            currency: "USD".to_owned(),
            ..Default::default()
        };
        let told = node
            .teller()
            .open_account(opening)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(told.receipt.unwrap().balances_after[0].version, 1);
        assert_eq!(
            code(node.strong(&told.account_id).await),
            "ACCOUNT_NOT_FOUND"
        );
        let close = CloseAccountRequest {
            context: dry("close"),
            account_id: payer.clone(),
            ..CloseAccountRequest::default()
        };
        let batch = SubmitBatchRequest {
            commands: vec![BatchCommand {
                command: Some(batch_command::Command::CloseAccount(close)),
            }],
        };
        let told = node
            .teller()
            .submit_batch(batch)
            .await
            .unwrap()
            .into_inner();
        let Some(batch_outcome::Outcome::Rejection(told)) = &told.outcomes[0].outcome else {
            panic!("{told:?}");
        };
        assert_eq!(
            (told.code.as_str(), told.recorded),
            ("BALANCE_NOT_ZERO", false)
        );

        let after = node.strong(&payer).await.unwrap();
        assert_eq!(before.posted, after.posted);
        assert_eq!(
            version(node, &payer).await,
            2,
            "nothing happened to the payer"
        );
    }
    // No key was taken: the same key now stands for something else.
    let real = cluster.node(3).deposit("t", &payer, 1).await.unwrap();
    assert!(!real.duplicate);
    cluster.stop_and_verify().await;
}

//! Refused commands of an account, listed with the figures of then, wherever it is asked.

use node::api::{
    CALLER,
    teller::v1::{
        CloseAccountRequest, DeclinedCommand, GetTransactionRequest, ListDeclinedReply,
        ListDeclinedRequest, TransactionKind, WithdrawRequest, get_transaction_request::By,
    },
    v1::{Channel, CommandContext, TransactionStatus},
};
use tonic::Request;

use crate::cluster::{Cluster, HOME_AND_ABROAD, Node, code, usd};

async fn page(node: &Node, account: &str, page_size: u32, token: &str) -> ListDeclinedReply {
    let request = ListDeclinedRequest {
        account_id: account.to_owned(),
        page_size,
        page_token: token.to_owned(),
    };
    let reply = node.teller().list_declined(request).await;
    reply.unwrap().into_inner()
}

async fn all(node: &Node, account: &str, page_size: u32) -> Vec<DeclinedCommand> {
    let (mut commands, mut token) = (Vec::new(), String::new());
    loop {
        let mut reply = page(node, account, page_size, &token).await;
        commands.append(&mut reply.commands);
        token = reply.next_page_token;
        if token.is_empty() {
            assert_eq!(reply.all, commands.len() as u64);
            return commands;
        }
    }
}

fn figures(command: &DeclinedCommand) -> Vec<(&str, i64)> {
    let figures = command.figures.iter();
    figures.map(|it| (it.meaning.as_str(), it.value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_commands_are_listed_with_their_figures_whichever_node_is_asked() {
    let mut cluster = Cluster::start(&HOME_AND_ABROAD).await;
    let abroad = cluster.at("us-east");
    let account = abroad.open("eu-west", "a").await;
    let other = abroad.open("us-east", "b").await;
    assert!(all(abroad, &account, 100).await.is_empty());
    abroad.deposit("in", &account, 1_000).await.unwrap();

    let context = |key: &str| CommandContext {
        idempotency_key: key.to_owned(),
        reason: "rent".to_owned(),
        correlation_id: "job-7".to_owned(),
        channel: Channel::Atm.into(),
        ..CommandContext::default()
    };
    let mut withdraw = WithdrawRequest {
        context: Some(context("1")),
        account_id: account.clone(),
        amount: usd(1_500),
        ..Default::default()
    };
    for repeated in [false, true] {
        // Asked twice under one key, it was refused once.
        let mut request = Request::new(withdraw.clone());
        let caller = "machine 7".parse().unwrap();
        request.metadata_mut().insert(CALLER, caller);
        let refused = abroad.teller().withdraw(request).await;
        assert_eq!(code(refused), "INSUFFICIENT_FUNDS", "{repeated}");
    }
    // What is not recorded is nobody's refusal.
    withdraw.context = Some(CommandContext {
        dry_run: true,
        ..context("dry")
    });
    assert_eq!(
        code(abroad.teller().withdraw(withdraw).await),
        "INSUFFICIENT_FUNDS"
    );
    assert_eq!(
        code(abroad.withdraw("0", &account, 0).await),
        "INVALID_ARGUMENT"
    );
    let refused = abroad.transfer("2", &account, &other, 1_001).await;
    assert_eq!(code(refused), "INSUFFICIENT_FUNDS");
    let close = CloseAccountRequest {
        context: Some(context("3")),
        account_id: account.clone(),
        ..CloseAccountRequest::default()
    };
    assert_eq!(
        code(abroad.teller().close_account(close).await),
        "BALANCE_NOT_ZERO"
    );

    let listed = all(abroad, &account, 100).await;
    let kinds: Vec<_> = listed.iter().map(DeclinedCommand::kind).collect();
    use TransactionKind as K;
    assert_eq!(
        kinds,
        [K::Close, K::Transfer, K::Withdrawal],
        "the newest first"
    );
    let numbers: Vec<_> = listed.iter().map(|it| it.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!(figures(&listed[0]), [("posted", 1_000)]);
    assert_eq!(
        figures(&listed[1]),
        [("available", 1_000), ("asked for", 1_001)]
    );
    assert_eq!(
        figures(&listed[2]),
        [("available", 1_000), ("asked for", 1_500)]
    );
    let first = &listed[2];
    assert_eq!(first.actor, "machine 7");
    assert_eq!(first.channel(), Channel::Atm);
    assert_eq!(
        (first.reason.as_str(), first.correlation_id.as_str()),
        ("rent", "job-7")
    );
    let why = first.rejection.as_ref().unwrap();
    assert_eq!(why.code, "INSUFFICIENT_FUNDS");
    assert!(
        why.recorded && why.message.contains("1500 were asked for"),
        "{why:?}"
    );

    // As the log has each of them.
    for command in &listed {
        let request = GetTransactionRequest {
            by: Some(By::TransactionId(command.transaction_id.clone())),
        };
        let found = abroad.teller().get_transaction(request).await;
        let found = found.unwrap().into_inner();
        let receipt = found.receipt.as_ref().unwrap();
        assert_eq!(receipt.status(), TransactionStatus::Rejected);
        assert_eq!(
            (found.kind(), &found.actor),
            (command.kind(), &command.actor)
        );
        assert_eq!(
            (&receipt.time, &receipt.position),
            (&command.time, &command.position)
        );
        assert_eq!(found.effective_date, command.effective_date);
        let codes = [&receipt.rejection, &command.rejection].map(|it| it.clone().unwrap().code);
        assert_eq!(codes[0], codes[1]);
    }
    // The payee was not asked for anything.
    assert!(all(abroad, &other, 100).await.is_empty());
    for node in cluster.nodes() {
        for size in [0, 1, 2] {
            assert_eq!(all(node, &account, size).await, listed, "{}", node.name);
        }
    }
    let nobody = ledger_domain::AccountId::derive("eu-west".parse().unwrap(), "t", "x");
    for (account, size, token, expected) in [
        (nobody.to_string(), 1, "", "ACCOUNT_NOT_FOUND"),
        (account.clone(), 1_001, "", "INVALID_ARGUMENT"),
        (account.clone(), 1, "x", "INVALID_ARGUMENT"),
    ] {
        let request = ListDeclinedRequest {
            account_id: account,
            page_size: size,
            page_token: token.to_owned(),
        };
        let refused = abroad.teller().list_declined(request).await;
        assert_eq!(code(refused), expected);
    }

    // Views are made again out of the log.
    for id in [1, 2, 3] {
        cluster.stop(id).await;
        let views = cluster.data(cluster.node(id)).join("views");
        std::fs::remove_dir_all(views).unwrap();
        cluster.restart(id).await;
    }
    assert_eq!(all(cluster.node(1), &account, 100).await, listed);
    cluster.stop_and_verify().await;
}

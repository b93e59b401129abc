//! Privileged commands: who may, what is marked, and what they do, asked at home and abroad.

use node::api::{
    CALLER,
    admin::v1::StatusRequest,
    teller::v1::{
        GetAccountRequest, GetTransactionRequest, SetLimitRequest, WithdrawRequest,
        get_transaction_request::By, set_limit_request::Overdraft,
    },
    v1::{CommandContext, Receipt},
};
use node::config::Limits;
use tonic::{Code, Request, Status};

use crate::cluster::{Cluster, Node, THREE_REGIONS, code, usd};

const AUDITOR: &str = "auditor";

fn by<T>(caller: &str, body: T) -> Request<T> {
    let mut request = Request::new(body);
    let metadata = request.metadata_mut();
    metadata.insert(CALLER, caller.parse().unwrap());
    request
}

fn context(key: &str, forced: bool) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        forced,
        ..Default::default()
    })
}

async fn force(
    node: &Node,
    caller: &str,
    key: &str,
    account: &str,
    units: i64,
) -> Result<Receipt, Status> {
    let request = WithdrawRequest {
        context: context(key, true),
        account_id: account.to_owned(),
        amount: usd(units),
        ..Default::default()
    };
    let reply = node.teller().withdraw(by(caller, request)).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn limit(
    node: &Node,
    caller: &str,
    key: &str,
    account: &str,
    units: i64,
) -> Result<Receipt, Status> {
    let request = SetLimitRequest {
        context: context(key, false),
        account_id: account.to_owned(),
        overdraft: Some(Overdraft::OverdraftLimitMinorUnits(units)),
    };
    let reply = node.teller().set_limit(by(caller, request)).await?;
    Ok(reply.into_inner().receipt.unwrap())
}

async fn in_excess(node: &Node, account: &str) -> bool {
    let account_id = account.to_owned();
    let reply = node
        .teller()
        .get_account(GetAccountRequest {
            account_id,
            as_of: None,
        })
        .await;
    reply.unwrap().into_inner().account.unwrap().in_excess
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_listed_changes_limits_and_forces_debits_and_nobody_else() {
    let shaped = (0, |_: &mut _| {});
    let cluster =
        Cluster::start_configured(&THREE_REGIONS, shaped, Limits::default(), |id, config| {
            // Only at home: the node that is asked has no say.
            if id == 2 {
                config.privileged.insert(AUDITOR.to_owned());
            }
        })
        .await;
    let account = cluster.node(1).open("eu-west", "a").await;
    for (n, node) in [1, 2, 3].map(|id| cluster.node(id)).into_iter().enumerate() {
        let key = |what: &str| format!("{what}-{n}");
        for refused in [
            force(node, "teller", &key("f"), &account, 10).await,
            limit(node, "teller", &key("l"), &account, 10).await,
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert_eq!(code::<()>(Err(refused)), "NOT_PRIVILEGED");
        }
        let raised = limit(node, AUDITOR, &key("l"), &account, 100)
            .await
            .unwrap();
        assert_eq!(raised.balances_after[0].available, usd(100));
        node.withdraw(&key("w"), &account, 100).await.unwrap();
        // Lowered below its use.
        let lowered = limit(node, AUDITOR, &key("m"), &account, 40).await.unwrap();
        assert_eq!(lowered.balances_after[0].available, usd(-60));
        assert!(in_excess(node, &account).await);
        assert_eq!(
            code(node.withdraw(&key("x"), &account, 1).await),
            "ACCOUNT_IN_EXCESS"
        );

        let forced = force(node, AUDITOR, &key("f"), &account, 900)
            .await
            .unwrap();
        assert_eq!(forced.balances_after[0].posted, usd(-1_000));
        let request = GetTransactionRequest {
            by: Some(By::TransactionId(forced.transaction_id)),
        };
        let found = node
            .teller()
            .get_transaction(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((found.actor.as_str(), found.privileged), (AUDITOR, true));
        let plain = node.deposit(&key("d"), &account, 1_000).await.unwrap();
        assert_eq!(plain.balances_after[0].available, usd(40));
        assert!(!in_excess(node, &account).await);
    }
    let status = cluster.node(3).admin().status(StatusRequest {}).await;
    let nodes = status.unwrap().into_inner().nodes;
    let listed = nodes.iter().filter(|it| !it.privileged.is_empty());
    let listed: Vec<_> = listed
        .map(|it| (it.region.as_str(), it.privileged.clone()))
        .collect();
    assert_eq!(listed, [("eu-west", vec![AUDITOR.to_owned()])]);
    cluster.stop_and_verify().await;
}

//! One real node: real disk, real sockets, the services as a caller sees them.

use std::{path::Path, sync::Arc, time::Duration};

use node::{
    api::{
        atm::v1::{Balance, GetBalanceRequest, GetStatementRequest, atm_client::AtmClient},
        rejection,
        teller::v1::{
            CloseAccountRequest, DepositRequest, OpenAccountRequest, TransferRequest,
            WithdrawRequest, open_account_request::Identity, teller_client::TellerClient,
        },
        v1::{
            CommandContext, Money, ReadMode, Receipt,
            read_mode::{Mode, Session, Strong},
        },
    },
    config::Config,
    server,
};
use replication::{
    rocks::RocksDisk,
    world::{SystemClock, SystemEntropy, TcpNetwork, World},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Status, transport::Channel};

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), server::Error>>,
    teller: TellerClient<Channel>,
    atm: AtmClient<Channel>,
}

fn free_address() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

async fn start(data: &Path) -> Running {
    let listen = free_address();
    let config = Config {
        data: data.to_owned(),
        listen: listen.clone(),
        ..Config::default()
    };
    let world = World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        network: Arc::new(TcpNetwork),
        disk: Arc::new(RocksDisk::new(data.to_owned())),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server::run(config, world, async {
        let _ = stopped.await;
    }));
    let channel = Channel::from_shared(format!("http://{listen}"))
        .unwrap()
        .connect_lazy();
    let mut atm = AtmClient::new(channel.clone());
    // Ready once a strong read is refused for its account, not for want of a leader.
    let nobody = ledger_domain::AccountId::derive("home".parse().unwrap(), "t", "nobody");
    for _ in 0..200 {
        if strong(&mut atm, &nobody.to_string())
            .await
            .is_err_and(|s| s.code() == Code::NotFound)
        {
            let teller = TellerClient::new(channel);
            return Running {
                stop,
                task,
                teller,
                atm,
            };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node did not become ready: {:?}", task.is_finished());
}

impl Running {
    async fn stop(self) {
        drop((self.teller, self.atm));
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

async fn strong(atm: &mut AtmClient<Channel>, account: &str) -> Result<Balance, Status> {
    read(atm, account, Some(Mode::Strong(Strong {}))).await
}

async fn read(
    atm: &mut AtmClient<Channel>,
    account: &str,
    mode: Option<Mode>,
) -> Result<Balance, Status> {
    let mode = Some(ReadMode { mode });
    let request = GetBalanceRequest {
        account_id: account.to_owned(),
        mode,
    };
    Ok(atm
        .get_balance(request)
        .await?
        .into_inner()
        .balance
        .unwrap())
}

fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

fn usd(minor_units: i64) -> Option<Money> {
    Some(Money {
        minor_units,
        currency: "USD".to_owned(),
    })
}

async fn open(teller: &mut TellerClient<Channel>, key: &str) -> String {
    let request = OpenAccountRequest {
        context: context(key),
        home_region: "home".to_owned(),
        currency: "USD".to_owned(),
        ..Default::default()
    };
    teller
        .open_account(request)
        .await
        .unwrap()
        .into_inner()
        .account_id
}

async fn deposit(
    teller: &mut TellerClient<Channel>,
    key: &str,
    account: &str,
    minor_units: i64,
) -> Result<Receipt, Status> {
    let request = DepositRequest {
        context: context(key),
        account_id: account.to_owned(),
        amount: usd(minor_units),
        ..Default::default()
    };
    Ok(teller.deposit(request).await?.into_inner().receipt.unwrap())
}

async fn withdraw(
    teller: &mut TellerClient<Channel>,
    key: &str,
    account: &str,
    minor_units: i64,
) -> Result<Receipt, Status> {
    let request = WithdrawRequest {
        context: context(key),
        account_id: account.to_owned(),
        amount: usd(minor_units),
        ..Default::default()
    };
    Ok(teller
        .withdraw(request)
        .await?
        .into_inner()
        .receipt
        .unwrap())
}

fn code(result: Result<Receipt, Status>) -> String {
    rejection::from_status(&result.unwrap_err())
        .expect("a refusal has a face")
        .code
}

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
        code(deposit(&mut node.teller, "d1", &account, 999).await),
        "KEY_CONFLICT"
    );
    assert_eq!(
        code(withdraw(&mut node.teller, "w1", &account, 1_001).await),
        "INSUFFICIENT_FUNDS"
    );
    deposit(&mut node.teller, "d2", &account, 500)
        .await
        .unwrap();
    // The rejection stands, though the money is there now.
    assert_eq!(
        code(withdraw(&mut node.teller, "w1", &account, 1_001).await),
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
        code(withdraw(&mut node.teller, "w1", &account, 1_001).await),
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

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_a_clear_error_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut node = start(data.path()).await;
    let (a, b) = (
        open(&mut node.teller, "a").await,
        open(&mut node.teller, "b").await,
    );
    deposit(&mut node.teller, "d", &a, 100).await.unwrap();
    for (amount, message) in [(0, "above zero"), (-5, "above zero")] {
        let status = deposit(&mut node.teller, "x", &a, amount)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(message), "{status}");
    }
    let eur = DepositRequest {
        context: context("eur"),
        account_id: a.clone(),
        amount: Some(Money {
            minor_units: 1,
            currency: "EUR".into(),
        }),
        ..Default::default()
    };
    let status = node.teller.deposit(eur).await.unwrap_err();
    assert_eq!(
        rejection::from_status(&status).unwrap().code,
        "CURRENCY_MISMATCH"
    );
    let overflow = deposit(&mut node.teller, "big", &a, i64::MAX).await;
    assert_eq!(code(overflow), "BALANCE_OVERFLOW");
    let slip = format!("{}0", &a[..a.len() - 1]);
    let slip = if slip == a {
        format!("{}1", &a[..a.len() - 1])
    } else {
        slip
    };
    let status = deposit(&mut node.teller, "slip", &slip, 1)
        .await
        .unwrap_err();
    assert!(status.message().contains("check character"), "{status}");
    let transfer = |from: &str, to: &str, amount| TransferRequest {
        context: context(&format!("t{from}{to}{amount}")),
        from_account_id: from.to_owned(),
        to_account_id: to.to_owned(),
        amount: usd(amount),
        ..Default::default()
    };
    let status = node.teller.transfer(transfer(&a, &a, 1)).await.unwrap_err();
    assert!(status.message().contains("same account"), "{status}");
    let mars = ledger_domain::AccountId::derive("mars".parse().unwrap(), "t", "x").to_string();
    let status = node
        .teller
        .transfer(transfer(&a, &mars, 1))
        .await
        .unwrap_err();
    assert_eq!(
        rejection::from_status(&status).unwrap().code,
        "REGION_NOT_FOUND"
    );
    let elsewhere = ledger_domain::AccountId::derive("home".parse().unwrap(), "t", "nobody");
    let unknown = deposit(&mut node.teller, "no", &elsewhere.to_string(), 1).await;
    assert_eq!(code(unknown), "ACCOUNT_NOT_FOUND");
    let date = DepositRequest {
        context: Some(CommandContext {
            effective_date: "2026-02-30".into(),
            ..Default::default()
        }),
        account_id: a.clone(),
        amount: usd(1),
        ..Default::default()
    };
    let status = node.teller.deposit(date).await.unwrap_err();
    assert!(status.message().contains("is not a date"), "{status}");
    let tomorrow = DepositRequest {
        context: Some(CommandContext {
            first_attempt_unix_ms: i64::MAX,
            ..Default::default()
        }),
        account_id: a.clone(),
        amount: usd(1),
        ..Default::default()
    };
    let status = node.teller.deposit(tomorrow).await.unwrap_err();
    assert_eq!(
        rejection::from_status(&status).unwrap().code,
        "CLOCK_OUT_OF_BOUNDS"
    );
    let session = Mode::Session(Session {
        tokens: vec!["forged".into()],
    });
    let status = read(&mut node.atm, &a, Some(session)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let close = |account: &str, key| CloseAccountRequest {
        context: context(key),
        account_id: account.to_owned(),
    };
    node.teller.close_account(close(&b, "close")).await.unwrap();
    assert_eq!(
        code(deposit(&mut node.teller, "late", &b, 1).await),
        "ACCOUNT_CLOSED"
    );
    let bad_id = OpenAccountRequest {
        identity: Some(Identity::AccountId("nonsense".into())),
        currency: "USD".into(),
        ..Default::default()
    };
    assert_eq!(
        node.teller.open_account(bad_id).await.unwrap_err().code(),
        Code::InvalidArgument
    );

    assert_eq!(strong(&mut node.atm, &a).await.unwrap().posted, usd(100));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        data: data.path().to_owned(),
        listen: listen.clone(),
        ..Config::default()
    };
    let world = World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        network: Arc::new(TcpNetwork),
        disk: Arc::new(RocksDisk::new(data.path().to_owned())),
    };
    let error = server::run(config, world, std::future::pending())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&listen), "{error}");
}

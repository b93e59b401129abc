//! A real node in the test's own process, and calls to it.

#![allow(dead_code, reason = "no test uses all of it")]

use std::{path::Path, sync::Arc, time::Duration};

use ledger_domain::{Position, ShardId, Token};
use node::{
    api::{
        atm::v1::{Balance, GetBalanceRequest, atm_client::AtmClient},
        rejection,
        teller::v1::{
            DepositRequest, OpenAccountRequest, WithdrawRequest, teller_client::TellerClient,
        },
        v1::{
            CommandContext, Money, ReadMode, Receipt, RejectionDetail,
            read_mode::{Mode, Session, Strong},
        },
    },
    config::Config,
    secrets::Secrets,
    server,
};
use replication::{
    rocks::RocksDisk,
    world::{SystemClock, SystemEntropy, TcpNetwork, World},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Request, Status, transport::Channel};

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node at work.
pub struct Running {
    pub teller: TellerClient<Channel>,
    pub atm: AtmClient<Channel>,
    pub address: String,
    pub channel: Channel,
    stop: oneshot::Sender<()>,
    pub task: JoinHandle<Result<(), server::Error>>,
}

pub fn free_address() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

/// One node alone in its region `home`, on a free port.
pub fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        listen: free_address(),
        ..Config::default()
    }
}

/// The operating system's world.
pub fn world(data: &Path) -> World {
    World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        network: Arc::new(TcpNetwork),
        disk: Arc::new(RocksDisk::new(data.to_owned())),
        archive: None,
    }
}

pub async fn start(data: &Path) -> Running {
    start_with(config(data)).await
}

/// Starts a node alone and waits until it leads.
pub async fn start_with(config: Config) -> Running {
    let (address, region) = (config.listen.clone(), config.region.clone());
    start_at(config, &address, &region).await
}

/// Starts a node and waits until strong reads of its region are served.
pub async fn start_at(config: Config, address: &str, region: &str) -> Running {
    let mut node = launch(config, address);
    let nobody = ledger_domain::AccountId::derive(region.parse().unwrap(), "t", "nobody");
    let ready = async {
        // A strong read is then refused for its account, not for want of a leader.
        while !strong(&mut node.atm, &nobody.to_string())
            .await
            .is_err_and(|s| s.code() == Code::NotFound)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, ready).await;
    assert!(
        waited.is_ok(),
        "not ready; ended: {}",
        node.task.is_finished()
    );
    node
}

/// Starts a node.
pub fn launch(config: Config, address: &str) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let world = world(&config.data);
    let task = tokio::spawn(server::run(config, world, async {
        let _ = stopped.await;
    }));
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    Running {
        teller: TellerClient::new(channel.clone()),
        atm: AtmClient::new(channel.clone()),
        address: address.to_owned(),
        channel,
        stop,
        task,
    }
}

impl Running {
    /// Says stop; clients and streams may still be there.
    pub fn tell_to_stop(self) -> JoinHandle<Result<(), server::Error>> {
        self.stop.send(()).unwrap();
        self.task
    }

    /// Begins a call that asks for a position that will not come, and so ends with its deadline:
    /// the caller's, or the node's own, which is 5 seconds.
    pub fn long_call(
        &self,
        data: &Path,
        account: &str,
        deadline: Option<Duration>,
    ) -> JoinHandle<Status> {
        let secrets = Secrets::read(&data.join("secrets.toml")).unwrap().unwrap();
        let position = Position {
            shard: ShardId(1),
            epoch: 1,
            index: 1 << 40,
        };
        let token = Token::at(position).sign("home".parse().unwrap(), &secrets.token_key());
        let tokens = vec![token];
        let mode = Some(Mode::Session(Session { tokens }));
        let mut request = Request::new(GetBalanceRequest {
            account_id: account.to_owned(),
            mode: Some(ReadMode { mode }),
        });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let mut atm = self.atm.clone();
        tokio::spawn(async move { atm.get_balance(request).await.unwrap_err() })
    }

    pub async fn stop(self) {
        self.tell_to_stop().await.unwrap().unwrap();
    }
}

pub async fn strong(atm: &mut AtmClient<Channel>, account: &str) -> Result<Balance, Status> {
    read(atm, account, Some(Mode::Strong(Strong {}))).await
}

pub async fn read(
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

pub fn context(key: &str) -> Option<CommandContext> {
    Some(CommandContext {
        idempotency_key: key.to_owned(),
        ..Default::default()
    })
}

pub fn usd(minor_units: i64) -> Option<Money> {
    Some(Money {
        minor_units,
        currency: "USD".to_owned(),
    })
}

pub async fn open(teller: &mut TellerClient<Channel>, key: &str) -> String {
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

pub async fn deposit(
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

pub async fn withdraw(
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

/// The face of a refusal, which every status of a node has.
pub fn face(status: &Status) -> RejectionDetail {
    rejection::from_status(status).unwrap_or_else(|| panic!("no code in {status:?}"))
}

/// The code of a refusal.
pub fn refusal(result: Result<Receipt, Status>) -> String {
    face(&result.unwrap_err()).code
}

//! The people: what they ask of the bank, and how all of it gets into the history. They use the
//! client that ships.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use node::{
    api::{
        atm::v1::GetBalanceRequest,
        teller::v1::{
            AccountName, DepositRequest, OpenAccountRequest, TransferRequest, Wait,
            WithdrawRequest, open_account_request::Identity,
        },
        v1::{
            CommandContext, Money, ReadMode, Receipt,
            read_mode::{Mode, Strong},
        },
    },
    client::{Client, Error, Options},
};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom, seq::SliceRandom};
use tokio::time::sleep;

use super::bank::{Account, Bank, SCOPE};
use crate::{
    history::{History, Outcome, Request},
    simulation::ClientContext,
    trace::HostTrace,
    world::{SimClock, SimEntropy},
};

/// Of all accounts.
const CURRENCY: &str = "EUR";
/// How often somebody looks whether the bank has opened.
const LOOK: Duration = Duration::from_millis(20);
/// The longest that a customer waits before the next request.
const THINK_MS: u64 = 120;

/// When the bank does what; the driver's to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hours {
    /// Accounts are opened.
    Founding,
    /// Customers come.
    Open,
    /// Customers finish what they have begun.
    Closed,
    /// All transfers have arrived: every balance is read once more.
    Audit,
}

/// What the clients and the driver of a run share. They take turns in one thread.
#[derive(Clone)]
pub struct Lobby {
    /// The bank.
    pub bank: Bank,
    /// What was asked and told.
    pub history: History,
    /// What the bank does now.
    pub hours: Rc<Cell<Hours>>,
    /// Accounts opened so far.
    pub opened: Rc<Cell<usize>>,
    /// Customers who have not left yet.
    pub inside: Rc<Cell<usize>>,
    /// Which node signed the last receipt of each shard: who leads it, as far as anybody can tell.
    pub signed_by: Rc<RefCell<BTreeMap<u32, String>>>,
}

impl Lobby {
    /// Before anything has happened.
    #[must_use]
    pub fn new(bank: Bank) -> Self {
        Lobby {
            bank,
            history: History::new(),
            hours: Rc::new(Cell::new(Hours::Founding)),
            opened: Rc::default(),
            inside: Rc::default(),
            signed_by: Rc::default(),
        }
    }

    async fn wait_for(&self, hours: Hours) {
        while self.hours.get() < hours {
            sleep(LOOK).await;
        }
    }
}

/// A client with a history: all it asks and all it is told is written down.
struct Desk {
    lobby: Lobby,
    client: Client,
    name: String,
    trace: HostTrace,
    commands: u64,
}

impl Desk {
    fn new(context: &ClientContext, lobby: Lobby, rng: &mut SmallRng) -> Result<Self, Error> {
        let options = Options {
            clock: Arc::new(SimClock::default()),
            entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
            network: context.network.clone(),
            ..Options::new(&context.name)
        };
        let mut addresses = lobby.bank.addresses(&context.region);
        addresses.shuffle(rng);
        Ok(Desk {
            lobby,
            client: Client::new(addresses, options)?,
            name: context.name.clone(),
            trace: context.trace.clone(),
            commands: 0,
        })
    }

    /// A context under a new key. The log keeps keys only as digests, so the key is the correlation
    /// id too: by that the judges know a command again.
    fn context(&mut self) -> CommandContext {
        self.commands += 1;
        let key = format!("{}/{}", self.name, self.commands);
        CommandContext {
            correlation_id: key.clone(),
            idempotency_key: key,
            ..self.client.context()
        }
    }

    async fn open(&mut self, account: &Account) -> Result<(), Error> {
        let request = OpenAccountRequest {
            context: Some(self.context()),
            home_region: account.region.clone(),
            currency: CURRENCY.to_owned(),
            identity: Some(Identity::Name(AccountName {
                scope: SCOPE.to_owned(),
                name: account.name.clone(),
            })),
            ..OpenAccountRequest::default()
        };
        loop {
            match self.client.open_account(request.clone()).await {
                Ok(reply) => {
                    assert_eq!(reply.account_id, account.id, "a name gives another id");
                    return Ok(());
                }
                Err(error) if error.retryable() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks once: the client makes its attempts, and gives up at its deadline.
    async fn ask(&self, request: &Request, context: &CommandContext) -> Result<Outcome, Error> {
        let context = Some(context.clone());
        let receipt = match request.clone() {
            Request::StrongRead { account } => return self.read(account).await,
            Request::Deposit { account, amount } => {
                let request = DepositRequest {
                    context,
                    account_id: account,
                    amount: money(amount),
                    ..DepositRequest::default()
                };
                let reply = self.client.deposit(request).await;
                reply.map(|reply| reply.receipt)
            }
            Request::Withdraw { account, amount } => {
                let request = WithdrawRequest {
                    context,
                    account_id: account,
                    amount: money(amount),
                    ..WithdrawRequest::default()
                };
                let reply = self.client.withdraw(request).await;
                reply.map(|reply| reply.receipt)
            }
            Request::Transfer {
                payer,
                payee,
                amount,
            } => {
                let request = TransferRequest {
                    context,
                    from_account_id: payer,
                    to_account_id: payee,
                    amount: money(amount),
                    wait: Wait::Accepted.into(),
                };
                let reply = self.client.transfer(request).await;
                reply.map(|reply| reply.receipt)
            }
        };
        match receipt {
            Ok(receipt) => self.accepted(receipt.unwrap_or_default()),
            Err(Error::Rejected(rejection)) if rejection.recorded => Ok(Outcome::Rejected {
                position: None,
                code: rejection.code,
            }),
            Err(error) => open(error),
        }
    }

    async fn read(&self, account: String) -> Result<Outcome, Error> {
        let mode = Some(Mode::Strong(Strong {}));
        let request = GetBalanceRequest {
            account_id: account,
            mode: Some(ReadMode { mode }),
        };
        match self.client.balance(request).await {
            Ok(reply) => {
                let posted = reply.balance.and_then(|balance| balance.posted);
                let missing = || Error::Malformed("a balance without an amount".to_owned());
                Ok(Outcome::Balance(posted.ok_or_else(missing)?.minor_units))
            }
            Err(error) => open(error),
        }
    }

    fn accepted(&self, receipt: Receipt) -> Result<Outcome, Error> {
        let missing = || Error::Malformed("a receipt without a place".to_owned());
        let position = receipt.position.ok_or_else(missing)?;
        if !receipt.duplicate {
            let node = receipt.served_by.ok_or_else(missing)?.node;
            let mut signed_by = self.lobby.signed_by.borrow_mut();
            signed_by.insert(position.shard, node);
        }
        let posted = |after: node::api::v1::BalanceAfter| {
            Some((after.account_id, after.posted?.minor_units))
        };
        Ok(Outcome::Accepted {
            position: format!(
                "{}:{}:{} {}",
                position.shard, position.epoch, position.index, receipt.transaction_id
            ),
            balances: receipt
                .balances_after
                .into_iter()
                .filter_map(posted)
                .collect(),
        })
    }

    /// One request from its beginning to its end, in the history.
    async fn serve(&mut self, request: Request, rng: &mut SmallRng) -> Result<(), Error> {
        let is_read = matches!(request, Request::StrongRead { .. });
        let context = self.context();
        let key = if is_read {
            ""
        } else {
            &context.idempotency_key
        };
        let history = self.lobby.history.clone();
        let id = history.invoke(&self.name, key, request.clone());
        self.trace.record(format!("{id} asks {request:?}"));
        loop {
            let outcome = self.ask(&request, &context).await?;
            self.trace.record(format!("{id} is told {outcome:?}"));
            let is_open = outcome == Outcome::Unknown;
            history.complete(id, outcome);
            // Some customers never learn what became of their command.
            if !is_open || is_read || rng.random_bool(0.3) {
                break;
            }
        }
        let is_told = history.is_completed(id);
        if is_told && !is_read && rng.random_bool(0.1) {
            let again = self.ask(&request, &context).await?;
            self.trace.record(format!("{id} is told again {again:?}"));
            history.told_again(id, again);
        }
        Ok(())
    }
}

/// What leaves open what happened is an outcome; anything else a customer of this bank never meets.
fn open(error: Error) -> Result<Outcome, Error> {
    if error.retryable() {
        Ok(Outcome::Unknown)
    } else {
        Err(error)
    }
}

fn money(minor_units: i64) -> Option<Money> {
    Some(Money {
        minor_units,
        currency: CURRENCY.to_owned(),
    })
}

/// Opens all accounts; reads all balances when the books are closed.
///
/// # Errors
///
/// When it is refused.
pub async fn registrar(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    let mut rng = context.seed.rng();
    let mut desk = Desk::new(&context, lobby.clone(), &mut rng)?;
    for account in lobby.bank.accounts() {
        desk.open(account).await?;
        lobby.opened.set(lobby.opened.get() + 1);
    }
    lobby.wait_for(Hours::Audit).await;
    for account in lobby.bank.accounts() {
        let account = account.id.clone();
        desk.serve(Request::StrongRead { account }, &mut rng)
            .await?;
    }
    Ok(())
}

/// Comes when the bank opens, asks for one thing after the other, and leaves when it closes.
///
/// # Errors
///
/// When a request is refused for a reason that no customer gives.
pub async fn customer(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    let mut rng = context.seed.rng();
    let mut desk = Desk::new(&context, lobby.clone(), &mut rng)?;
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    while lobby.hours.get() == Hours::Open {
        let request = wish(&lobby.bank, &context.region, &mut rng);
        desk.serve(request, &mut rng).await?;
        sleep(Duration::from_millis(rng.random_range(1..THINK_MS))).await;
    }
    lobby.inside.set(lobby.inside.get() - 1);
    Ok(())
}

/// What a customer of a region wants. Money that comes in is a little more than what goes out, so
/// that refusals stay a part of it and not all.
fn wish(bank: &Bank, region: &str, rng: &mut SmallRng) -> Request {
    let account = someones(bank, region, rng);
    match rng.random_range(0..100) {
        0..30 => Request::StrongRead { account },
        30..50 => Request::Deposit {
            account,
            amount: rng.random_range(1..500),
        },
        50..65 => Request::Withdraw {
            account,
            amount: rng.random_range(1..500),
        },
        _ => {
            let payee = if rng.random_bool(0.05) {
                let nobodies = bank.nobodies();
                nobodies.choose(rng).expect("a region").clone()
            } else {
                loop {
                    let other = someones(bank, region, rng);
                    if other != account {
                        break other;
                    }
                }
            };
            Request::Transfer {
                payer: account,
                payee,
                amount: rng.random_range(1..300),
            }
        }
    }
}

/// An account of the customer's region, more often than not.
fn someones(bank: &Bank, region: &str, rng: &mut SmallRng) -> String {
    let near = rng.random_bool(0.5);
    let all = bank.accounts().iter();
    let ids: Vec<&String> = all
        .filter(|account| !near || account.region == region)
        .map(|account| &account.id)
        .collect();
    (*ids.choose(rng).expect("every region has accounts")).clone()
}

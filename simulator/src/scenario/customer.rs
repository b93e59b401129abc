//! The people: when they come, what they wish, and what they share with whoever drives the run.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use tokio::time::sleep;

use super::{bank::Bank, desk::Desk};
use crate::{
    history::{History, Request},
    simulation::ClientContext,
};

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

/// Opens all accounts; reads all balances when the books are closed.
///
/// # Errors
///
/// When it is refused.
pub async fn registrar(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    let mut rng = context.seed.rng();
    let mut desk = Desk::new(&context, lobby.clone())?;
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
    let mut desk = Desk::new(&context, lobby.clone())?;
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    while lobby.hours.get() == Hours::Open {
        let request = wish(&lobby.bank, &context.region, &mut rng);
        let account = request.named_first().to_owned();
        desk.serve(request, &mut rng).await?;
        // Whoever has just paid looks whether it shows, often at another node.
        if rng.random_bool(0.5) {
            let look = Request::StrongRead { account };
            desk.serve(look, &mut rng).await?;
        }
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
        0..20 => Request::StrongRead { account },
        20..45 => Request::Deposit {
            account,
            amount: rng.random_range(1..500),
        },
        45..60 => Request::Withdraw {
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

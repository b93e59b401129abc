//! Clients that are after one anomaly.

use std::{collections::VecDeque, time::Duration};

use node::client::Error;
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use tokio::time::sleep;

use crate::{
    history::{Request, When},
    plan::{Anomaly, Habits, Hunt, Role},
    scenario::{
        customer::{Hours, Lobby},
        desk::Desk,
        glance::Seen,
    },
    simulation::ClientContext,
};

/// What every account has at first where money is only moved about.
const FUNDS: i64 = 1_000;
/// The most that is moved at once: accounts run dry now and then.
const MOVED: i64 = 300;
/// How many accounts are looked at together, at most.
const TOGETHER: usize = 4;
/// How many receipts are handed around.
const HANDED: usize = 12;
/// How often somebody looks whether there is money.
const LOOK: Duration = Duration::from_millis(50);

/// What those know of each other who are after the same.
#[derive(Debug, Default)]
pub struct Prey {
    /// What they are after.
    pub(super) anomaly: Option<Anomaly>,
    /// What was paid in before money is moved about.
    pub(super) funds: i64,
    /// Somebody pays it in.
    is_being_funded: bool,
    /// The ledger's time at which all of it is there.
    funded_at: Option<u64>,
    /// Receipts of payments, by account: anybody may bring their tokens.
    receipts: VecDeque<(String, Seen)>,
}

impl Prey {
    fn hand_around(&mut self, account: &str, seen: Seen) {
        if self.receipts.len() == HANDED {
            self.receipts.pop_front();
        }
        self.receipts.push_back((account.to_owned(), seen));
    }
}

/// Comes when the bank opens, does its part in the hunt again and again, and leaves when the bank
/// closes.
///
/// # Errors
///
/// When a request is refused for a reason that no hunter gives, or an answer makes no sense.
pub async fn hunter(
    context: ClientContext,
    lobby: Lobby,
    habits: Habits,
    hunt: Hunt,
) -> turmoil::Result {
    let desk = Desk::new(&context, lobby.clone(), &habits)?;
    let accounts = lobby.bank.accounts().iter();
    let mut hunter = Hunter {
        rng: context.seed.rng(),
        desk,
        accounts: accounts.map(|account| account.id.clone()).collect(),
        lobby: lobby.clone(),
    };
    lobby.prey.borrow_mut().anomaly = Some(hunt.anomaly);
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    if hunt.anomaly == Anomaly::Bank {
        hunter.fund().await?;
    }
    while lobby.hours.get() == Hours::Open {
        match (hunt.anomaly, hunt.role) {
            (Anomaly::Bank, Role::Writes) => hunter.move_money().await?,
            (Anomaly::Bank, Role::Looks) => hunter.count_money().await?,
            (Anomaly::CausalReverse, Role::Writes) => hunter.grow_in_order().await?,
            (_, Role::Writes) => hunter.grow().await?,
            (Anomaly::LongFork, Role::Looks) => hunter.look_at_some().await?,
            (Anomaly::CausalReverse, Role::Looks) => hunter.look_with_tokens().await?,
            (Anomaly::Monotonic, Role::Looks) => hunter.go_on().await?,
        }
        let think = hunter.rng.random_range(1..=habits.think_ms.max(1));
        sleep(Duration::from_millis(think)).await;
    }
    lobby.inside.set(lobby.inside.get() - 1);
    Ok(())
}

struct Hunter {
    desk: Desk,
    rng: SmallRng,
    accounts: Vec<String>,
    lobby: Lobby,
}

impl Hunter {
    fn some_account(&mut self) -> String {
        let some = self.accounts.choose(&mut self.rng);
        some.expect("there are accounts").clone()
    }

    fn some_accounts(&mut self, most: usize) -> Vec<String> {
        let some = self.accounts.choose_multiple(&mut self.rng, most);
        some.cloned().collect()
    }

    /// One of them pays the same into every account; the others wait until that is done.
    async fn fund(&mut self) -> Result<(), Error> {
        let prey = self.lobby.prey.clone();
        if std::mem::replace(&mut prey.borrow_mut().is_being_funded, true) {
            let is_open = || self.lobby.hours.get() == Hours::Open;
            while prey.borrow().funded_at.is_none() && is_open() {
                sleep(LOOK).await;
            }
            return Ok(());
        }
        let mut at = 0;
        for account in self.accounts.clone() {
            let request = Request::Deposit {
                account,
                amount: FUNDS,
            };
            self.desk.serve(request, &mut self.rng).await?;
            at = at.max(self.desk.last_seen().map_or(0, |seen| seen.at));
            prey.borrow_mut().funds += FUNDS;
        }
        prey.borrow_mut().funded_at = Some(at);
        Ok(())
    }

    async fn move_money(&mut self) -> Result<(), Error> {
        let two = self.some_accounts(2);
        let [payer, payee] = &two[..] else {
            return Ok(());
        };
        let request = Request::Transfer {
            payer: payer.clone(),
            payee: payee.clone(),
            amount: self.rng.random_range(1..=MOVED),
        };
        self.desk.serve(request, &mut self.rng).await.map(drop)
    }

    /// What all accounts had at a time, and what the books had then.
    async fn count_money(&mut self) -> Result<(), Error> {
        if self.rng.random_bool(0.5) {
            return self.count_money_together().await;
        }
        let Some(time) = self.a_time().await? else {
            return Ok(());
        };
        let funded_at = self.lobby.prey.borrow().funded_at;
        if funded_at.is_none_or(|at| time < at) {
            return Ok(());
        }
        let accounts = self.accounts.clone();
        let counted = self.desk.count_at(time, &accounts, &mut self.rng).await?;
        if let Some(cut) = counted {
            self.lobby.history.note_cut(cut);
            self.lobby.note_aside("cuts through the books");
        }
        Ok(())
    }

    /// What all accounts had at the newest time that one node knows of all, and what the books had then.
    async fn count_money_together(&mut self) -> Result<(), Error> {
        let funded_at = self.lobby.prey.borrow().funded_at;
        let accounts = self.accounts.clone();
        let counted = self.desk.count_together(&accounts, &mut self.rng).await?;
        let Some(cut) = counted else { return Ok(()) };
        if funded_at.is_some_and(|at| cut.when > When::At(at)) {
            self.lobby.history.note_cut(cut);
            self.lobby
                .note_aside("cuts through the books of one answer");
        }
        Ok(())
    }

    /// A time that is over somewhere: a strong read tells it.
    async fn a_time(&mut self) -> Result<Option<u64>, Error> {
        let account = self.some_account();
        let told = self.desk.look_strongly(&account, &mut self.rng).await?;
        let seen = told.and_then(|_| self.desk.last_seen());
        Ok(seen.map(|seen| seen.at))
    }

    async fn pay_in(&mut self, account: String) -> Result<bool, Error> {
        let request = Request::Deposit {
            account: account.clone(),
            amount: 1,
        };
        let is_told = self.desk.serve(request, &mut self.rng).await?;
        if is_told && let Some(seen) = self.desk.last_seen() {
            self.lobby.prey.borrow_mut().hand_around(&account, seen);
        }
        Ok(is_told)
    }

    async fn grow(&mut self) -> Result<(), Error> {
        let account = self.some_account();
        self.pay_in(account).await.map(drop)
    }

    /// The second begins when the first is known to be done.
    async fn grow_in_order(&mut self) -> Result<(), Error> {
        for account in self.some_accounts(2) {
            if !self.pay_in(account).await? {
                break;
            }
        }
        Ok(())
    }

    /// At what is true together: now, or as of a time.
    async fn look_at_some(&mut self) -> Result<(), Error> {
        match self.rng.random_range(0..4) {
            0 | 1 => return self.look_now().await,
            2 => return self.look_together().await,
            _ => {}
        }
        let Some(time) = self.a_time().await? else {
            return Ok(());
        };
        let accounts = self.some_accounts(TOGETHER);
        let told = self.desk.look_at_time(time, &accounts, &mut self.rng);
        if let Some(cut) = told.await? {
            self.lobby.history.note_cut(cut);
            self.lobby.note_aside("cuts as of a time");
        }
        Ok(())
    }

    /// At what one node tells of one time.
    async fn look_together(&mut self) -> Result<(), Error> {
        let most = self.rng.random_range(2..=TOGETHER);
        let accounts = self.some_accounts(most);
        let told = self.desk.look_together(&accounts, &mut self.rng).await?;
        if let Some((cut, _)) = told {
            self.lobby.history.note_cut(cut);
            self.lobby.note_aside("cuts of one answer");
        }
        Ok(())
    }

    async fn look_now(&mut self) -> Result<(), Error> {
        let most = self.rng.random_range(2..=TOGETHER);
        let accounts = self.some_accounts(most);
        if let Some(cut) = self.desk.look_twice(&accounts, &mut self.rng).await? {
            self.lobby.history.note_cut(cut);
            self.lobby.note_aside("cuts that are true now");
        }
        Ok(())
    }

    /// At what is true now; or with the tokens of others' receipts, anywhere.
    async fn look_with_tokens(&mut self) -> Result<(), Error> {
        if self.rng.random_bool(0.5) {
            return self.look_now().await;
        }
        let receipts: Vec<_> = self.lobby.prey.borrow().receipts.iter().cloned().collect();
        let some: Vec<_> = receipts
            .choose_multiple(&mut self.rng, 2)
            .cloned()
            .collect();
        let seen: Vec<Seen> = some.iter().map(|(_, seen)| seen.clone()).collect();
        for (account, _) in some {
            self.desk
                .look_in_session(&account, &seen, &mut self.rng)
                .await?;
        }
        Ok(())
    }

    /// The session goes on, at an account that it has seen or at another.
    async fn go_on(&mut self) -> Result<(), Error> {
        let account = match self.accounts.len() {
            // Few enough to be met again.
            0..4 => self.some_account(),
            _ => self.accounts[self.rng.random_range(0..3)].clone(),
        };
        if self.rng.random_bool(0.1) {
            self.desk.look_strongly(&account, &mut self.rng).await?;
            return Ok(());
        }
        let seen = self.desk.all_seen();
        self.desk
            .look_in_session(&account, &seen, &mut self.rng)
            .await
    }
}

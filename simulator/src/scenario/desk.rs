//! How a client asks, and how all of it gets into the history. It uses the client that ships.

pub(super) mod careful;
mod customers;
pub(super) mod days;
mod grouped;
mod hunting;
mod journals;
pub(super) mod references;
mod reversals;
pub(super) mod spending;
mod suspense;
mod together;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use node::{
    api::{
        teller::v1::{
            AccountName, DepositRequest, OpenAccountRequest, open_account_request::Identity,
        },
        v1::{CommandContext, Receipt},
    },
    client::{Client, Error, Options},
};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use tokio::time::timeout;

use super::{
    bank::{Account, Bank, SCOPE},
    customer::{Lobby, happens},
    glance::{Look, Seen},
    orders,
};
use crate::{
    history::{Name, Outcome, Request},
    oracle::sealed,
    plan::Habits,
    simulation::ClientContext,
    trace::HostTrace,
    world::SimEntropy,
};

/// A client with a history: all it asks and all it is told is written down.
pub struct Desk {
    lobby: Lobby,
    /// For writes: one for each node of the region, which it asks first.
    tellers: Vec<Client>,
    /// For reads, likewise. A client leaves a node that fails it: one that only reads stays with a
    /// node that takes no more writes and does not know it.
    atms: Vec<Client>,
    name: String,
    /// Where it is.
    region: String,
    trace: HostTrace,
    commands: u64,
    habits: Habits,
    /// The last deposit that was accepted, with its key.
    paid_in: Option<(CommandContext, String, i64)>,
    /// Commands of a while ago whose outcomes are known, oldest first.
    told: VecDeque<(usize, Request, CommandContext)>,
    /// Journals whose end is not known here, oldest first.
    opened: VecDeque<journals::Opened>,
    /// What the last receipts and answers cover.
    seen: VecDeque<Seen>,
    /// What receipts said of accounts last.
    known: BTreeMap<String, careful::Known>,
}

/// How many receipts and answers somebody keeps.
const KEPT: usize = 3;
/// How many commands somebody remembers, to ask about one again.
const REMEMBERED: usize = 60;
/// Of looks that need not be at the very truth, how many of a thousand are at several accounts.
const TOGETHER: u16 = 200;
/// The longest somebody waits who goes away before being told, in milliseconds.
const HURRY_MS: u64 = 150;

impl Desk {
    /// The desk of a client, who asks the nodes of its region, and perhaps some far away.
    ///
    /// # Errors
    ///
    /// When no client can be made of its name.
    pub fn new(context: &ClientContext, lobby: Lobby, habits: &Habits) -> Result<Self, Error> {
        let deadline = Options::new(&context.name).deadline;
        Self::with_patience(context, lobby, habits, deadline)
    }

    /// The same, of a client who gives up a request sooner or later than others.
    ///
    /// # Errors
    ///
    /// When no client can be made of its name.
    pub(crate) fn with_patience(
        context: &ClientContext,
        lobby: Lobby,
        habits: &Habits,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let options = Options {
            deadline,
            clock: context.clock.clone(),
            entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
            network: context.network.clone(),
            ..Options::new(&context.name)
        };
        let addresses = lobby.bank.addresses(&context.region);
        let far = far_addresses(&lobby.bank, context, habits.far_nodes.into());
        let clients = || -> Result<Vec<Client>, Error> {
            let turns = (0..addresses.len()).map(|first| {
                let mut addresses = addresses.clone();
                addresses.rotate_left(first);
                addresses
            });
            let far = far.iter().map(|address| vec![address.clone()]);
            turns
                .chain(far)
                .map(|addresses| Client::new(addresses, options.clone()))
                .collect()
        };
        Ok(Desk {
            tellers: clients()?,
            atms: clients()?,
            lobby,
            name: context.name.clone(),
            region: context.region.clone(),
            trace: context.trace.clone(),
            commands: 0,
            habits: habits.clone(),
            paid_in: None,
            told: VecDeque::new(),
            opened: VecDeque::new(),
            seen: VecDeque::new(),
            known: BTreeMap::new(),
        })
    }

    /// A context under a new key. The log keeps keys only as digests, so the key is the correlation
    /// id too: by that the judges know a command again. Every command has something personal to say.
    fn context(&mut self) -> CommandContext {
        self.commands += 1;
        let key = format!("{}/{}", self.name, self.commands);
        CommandContext {
            correlation_id: key.clone(),
            memo: sealed::memo(&key),
            idempotency_key: key,
            ..self.tellers[0].context()
        }
    }

    /// Opens an account, however long it takes.
    ///
    /// # Errors
    ///
    /// When it is refused for good.
    ///
    /// # Panics
    ///
    /// When the name gives another id than the bank has worked out.
    pub async fn open(&mut self, account: &Account) -> Result<(), Error> {
        let request = OpenAccountRequest {
            context: Some(self.context()),
            home_region: account.region.clone(),
            currency: orders::CURRENCY.to_owned(),
            identity: Some(Identity::Name(AccountName {
                scope: SCOPE.to_owned(),
                name: account.name.clone(),
            })),
            ..OpenAccountRequest::default()
        };
        loop {
            match self.tellers[0].open_account(request.clone()).await {
                Ok(reply) => {
                    assert_eq!(reply.account_id, account.id, "a name gives another id");
                    return Ok(());
                }
                Err(error) if error.retryable() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Pays in once. Returns the code under which it was refused without a trace, if it was.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense.
    pub(crate) async fn refusal(
        &mut self,
        account: &str,
        rng: &mut SmallRng,
    ) -> Result<Option<String>, Error> {
        let request = Request::Deposit {
            account: account.to_owned(),
            amount: 1,
        };
        let context = self.context();
        let history = self.lobby.history.clone();
        let id = history.invoke(&self.name, &context.idempotency_key, request.clone());
        match self.try_to(&request, &context, rng).await {
            Ok(outcome) => {
                history.complete(id, outcome);
                Ok(None)
            }
            Err(error) => {
                let code = error.code().map(str::to_owned);
                orders::open(error)?;
                Ok(code)
            }
        }
    }

    /// Asks once: the client makes its attempts, and gives up at its deadline.
    async fn ask(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        self.try_to(request, context, rng)
            .await
            .or_else(orders::open)
    }

    /// The same, and tells why it was not done.
    async fn try_to(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        if let Request::CloseDay { .. } = request {
            return self.close_day(request, context, rng).await;
        }
        if let Request::Refer { .. } = request {
            return self.refer(request, context, rng).await;
        }
        if let Request::Register { .. } | Request::Attach { .. } = request {
            return self.attach(request, context, rng).await;
        }
        if let Request::Person { customer, asks } = request {
            return self.person(request, customer, *asks, context, rng).await;
        }
        let Some(command) = orders::command(request, context) else {
            return self.read(request.named_first(), rng).await;
        };
        let client = some(&self.tellers, rng);
        match orders::submit(&client, command).await {
            Ok(receipt) => {
                if receipt.spending.as_ref().is_some_and(|it| it.in_excess) {
                    self.lobby.note_aside("limits below what was spent");
                }
                self.accepted(request, &receipt)
            }
            Err(error) => {
                let told = orders::recorded(error)?;
                if spending::is_beyond_a_limit(&told) {
                    self.lobby.note_aside("spent beyond a limit, in vain");
                }
                Ok(told)
            }
        }
    }

    async fn read(&mut self, account: &str, rng: &mut SmallRng) -> Result<Outcome, Error> {
        let client = some(&self.atms, rng);
        let history = self.lobby.history.clone();
        let looked = Look::strong().at(account, &client, &self.name, &history);
        match looked.await {
            Ok((reading, seen)) => {
                self.keep(seen);
                Ok(Outcome::Balance(reading.balance))
            }
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, seen: Seen) {
        self.seen.truncate(KEPT - 1);
        self.seen.push_front(seen);
    }

    fn accepted(&mut self, request: &Request, receipt: &Receipt) -> Result<Outcome, Error> {
        let position = receipt.position.as_ref().ok_or_else(orders::no_place)?;
        if !receipt.duplicate {
            let node = receipt.served_by.clone().ok_or_else(orders::no_place)?.node;
            let mut signed_by = self.lobby.signed_by.borrow_mut();
            signed_by.insert(position.shard, node);
        }
        self.learn(receipt);
        let time = receipt.time.clone().unwrap_or_default();
        self.keep(Seen {
            token: receipt.token.clone(),
            covers: [(position.shard, position.index)].into(),
            at: u64::try_from(time.unix_nanos).unwrap_or_default(),
        });
        self.told(request, receipt)
    }

    /// One request from its beginning to its end, in the history. Returns whether the client knows
    /// what became of it.
    ///
    /// # Errors
    ///
    /// When it is refused for a reason that is not recorded and does not pass.
    pub async fn serve(&mut self, request: Request, rng: &mut SmallRng) -> Result<bool, Error> {
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
            let outcome = self.ask_for_a_while(&request, &context, rng).await?;
            self.trace.record(format!("{id} is told {outcome:?}"));
            let is_open = outcome == Outcome::Unknown;
            if let (Request::Deposit { account, amount }, Outcome::Accepted { .. }) =
                (&request, &outcome)
            {
                self.paid_in = Some((context.clone(), account.clone(), *amount));
            }
            self.note_hold(&request, &context, &outcome);
            self.note_paid(&request, &context, &outcome);
            self.note_opened(id, &request, &context, &outcome);
            history.complete(id, outcome);
            // Some customers never learn what became of their command.
            if !is_open || is_read || happens(self.habits.gives_up, rng) {
                break;
            }
        }
        let is_told = history.is_completed(id);
        if is_told && !is_read && happens(self.habits.asks_again, rng) {
            // At once, or long after: nodes may have been restored from snapshots meanwhile.
            let old = rng
                .random_bool(0.5)
                .then(|| self.told.pop_front())
                .flatten();
            let (id, request, context) = old.unwrap_or((id, request.clone(), context.clone()));
            let again = self.ask(&request, &context, rng).await?;
            self.trace.record(format!("{id} is told again {again:?}"));
            history.told_again(id, again);
        }
        if is_told && !is_read {
            self.remember(id, request, context);
        }
        Ok(is_told)
    }

    /// Tells everybody of a hold that was placed.
    fn note_hold(&self, request: &Request, context: &CommandContext, outcome: &Outcome) {
        if let (Request::Hold { account, .. }, Outcome::Accepted { position, .. }) =
            (request.bare(), outcome)
            && let Some((_, id)) = position.split_once(' ')
        {
            let (key, id) = (context.idempotency_key.clone(), id.to_owned());
            self.lobby.note_hold(account, Name { key, id });
        }
    }

    fn remember(&mut self, id: usize, request: Request, context: CommandContext) {
        if self.told.len() == REMEMBERED {
            self.told.pop_front();
        }
        self.told.push_back((id, request, context));
    }

    /// Asks, and perhaps goes away before the answer is there: what was sent may arrive late.
    async fn ask_for_a_while(
        &mut self,
        request: &Request,
        context: &CommandContext,
        rng: &mut SmallRng,
    ) -> Result<Outcome, Error> {
        if !happens(self.habits.abandons, rng) {
            return self.ask(request, context, rng).await;
        }
        let while_waiting = Duration::from_millis(rng.random_range(0..HURRY_MS));
        let asked = timeout(while_waiting, self.ask(request, context, rng)).await;
        asked.unwrap_or(Ok(Outcome::Unknown))
    }

    /// Looks at an account: at the very truth, or at what is near.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense.
    pub async fn look(&mut self, account: String, rng: &mut SmallRng) -> Result<(), Error> {
        if !happens(self.habits.stale_looks, rng) {
            self.serve(Request::StrongRead { account }, rng).await?;
            return Ok(());
        }
        let client = some(&self.atms, rng);
        let seen: Vec<Seen> = self.seen.iter().cloned().collect();
        let look = Look::choose(self.lobby.bank.home(&account), &seen, rng);
        let (name, history) = (look.name, self.lobby.history.clone());
        let mut accounts = vec![account];
        if look.is_for_all_shards() && happens(TOGETHER, rng) {
            let others = self.lobby.bank.accounts().choose_multiple(rng, 3);
            accounts.extend(others.map(|other| other.id.clone()));
            self.lobby.note_aside("looks at several accounts at once");
        }
        let looked = match accounts.as_slice() {
            [account] => {
                let looked = look.at(account, &client, &self.name, &history).await;
                looked.map(|seen| vec![seen])
            }
            several => {
                look.at_several(several, &client, &self.name, &history)
                    .await
            }
        };
        match looked {
            Ok(looked) => {
                for (reading, seen) in looked {
                    self.trace.record(format!("{name}: {reading:?}"));
                    self.keep(seen);
                }
                self.lobby.note_aside(name);
            }
            Err(error) => self.unanswered(name, error)?,
        }
        Ok(())
    }

    /// Too far behind, or not here yet: whatever it is, nothing was claimed.
    fn unanswered(&self, look: &str, error: Error) -> Result<(), Error> {
        if let Error::Malformed(_) | Error::Options(_) = error {
            return Err(error);
        }
        self.trace.record(format!("{look}: {error}"));
        self.lobby.note_aside("looks that were not answered");
        Ok(())
    }

    /// Asks for something that makes no sense.
    ///
    /// # Errors
    ///
    /// When it is done.
    pub async fn ask_nonsense(&mut self, rng: &mut SmallRng) -> Result<(), Error> {
        let context = Some(self.context());
        let client = some(&self.tellers, rng);
        let accounts = self.lobby.bank.accounts();
        let account = accounts.choose(rng).expect("there are accounts").id.clone();
        let mut request = DepositRequest {
            context,
            account_id: account,
            amount: orders::money(1),
            ..DepositRequest::default()
        };
        match rng.random_range(0..6) {
            5 if let Some((context, account, amount)) = self.paid_in.clone() => {
                // A key stands for one command only.
                request.context = Some(context);
                request.account_id = account;
                request.amount = orders::money(amount + 1);
            }
            0 => request.amount = orders::money(-1),
            1 => request.amount = orders::money(0),
            2 => request.amount = None,
            3 => request.account_id = "nonsense".to_owned(),
            _ => request.account_id.push('?'),
        }
        self.trace.record(format!("asks nonsense: {request:?}"));
        match client.deposit(request).await {
            Ok(reply) => Err(Error::Malformed(format!("nonsense was done: {reply:?}"))),
            Err(_) => {
                self.lobby.note_aside("nonsense refused");
                Ok(())
            }
        }
    }
}

fn some(clients: &[Client], rng: &mut SmallRng) -> Client {
    let some = clients.choose(rng);
    some.expect("a region has nodes").clone()
}

/// Nodes of other regions.
fn far_addresses(bank: &Bank, context: &ClientContext, count: usize) -> Vec<String> {
    let nodes = bank.topology().nodes.iter();
    let far: Vec<String> = nodes
        .filter(|node| node.region.as_str() != context.region)
        .map(|node| node.address.clone())
        .collect();
    let mut rng = context.seed.derive("far nodes").rng();
    far.choose_multiple(&mut rng, count).cloned().collect()
}

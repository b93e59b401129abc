//! The people: when they come, what they wish, and what they share with whoever drives the run.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use tokio::time::sleep;

use super::{
    audit::audit,
    bank::Bank,
    clerk::clerk,
    consumers::group,
    desk::{Desk, careful, spending},
    hunts::{Prey, hunter},
    operator::operator,
    reader::reader,
};
use crate::{
    history::{History, Name, Request},
    oracle::{
        bounded::Shown, claimed::Openings, consumed::Diary, live::Service, told::Stream,
        watched::Told,
    },
    plan::Habits,
    simulation::ClientContext,
};

/// How often somebody looks whether the bank has opened.
const LOOK: Duration = Duration::from_millis(20);

/// When the bank does what; the driver's to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hours {
    /// Accounts are opened.
    Founding,
    /// Customers come.
    Open,
    /// Customers finish what they have begun.
    Closed,
    /// All transfers have arrived: every region is tried, and every balance read once more.
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
    /// What was asked for beside what the history keeps, by what became of it.
    pub asides: Rc<RefCell<BTreeMap<&'static str, u64>>>,
    /// The nodes that are asked for what they have when all is over.
    pub audited: Rc<RefCell<Vec<String>>>,
    /// What each region did when all was over.
    pub served: Rc<RefCell<BTreeMap<String, Service>>>,
    /// Whether nobody asks for anything, and nothing is under way.
    pub at_rest: Rc<Cell<bool>>,
    /// Whether those who have groups are to ask for nothing: all is about to be at rest.
    pub nobody_asks: Rc<Cell<bool>>,
    /// How many of those who have groups, or take part in them, may be asking for something.
    pub asking: Rc<Cell<usize>>,
    /// What whoever watches was told, by account.
    pub watched: Rc<RefCell<BTreeMap<String, Told>>>,
    /// What nodes showed of themselves.
    pub shown: Rc<RefCell<Vec<Shown>>>,
    /// Holds that were placed, by whose money they hold: the last ones.
    pub holds: Rc<RefCell<VecDeque<(String, Name)>>>,
    /// What was paid and may be moved back: the last ones.
    pub paid: Rc<RefCell<VecDeque<(Request, Name)>>>,
    /// Journals that were booked or opened and may be moved back: the last ones.
    pub journals: Rc<RefCell<VecDeque<(Request, Name)>>>,
    /// What was in suspense at the end, as its home told it: whose it is and how much, by what the
    /// ledger calls it. Of the regions that told.
    pub in_suspense: Rc<RefCell<BTreeMap<String, (String, i64)>>>,
    /// The regions that told what they have in suspense.
    pub told_suspense: Rc<RefCell<BTreeSet<String>>>,
    /// The journals that homes listed as open at the end.
    pub open_journals: Rc<RefCell<Vec<String>>>,
    /// Which node signed the last receipt of each shard: who leads it, as far as anybody can tell.
    pub signed_by: Rc<RefCell<BTreeMap<u32, String>>>,
    /// What those were told who read events.
    pub told: Rc<RefCell<Vec<Stream>>>,
    /// What members of consumer groups know of them.
    pub consumed: Rc<RefCell<Vec<Diary>>>,
    /// Up to which index everything was in each shard's log when the books were closed.
    pub ends: Rc<RefCell<BTreeMap<u32, u64>>>,
    /// What became of accounts that were opened with references.
    pub openings: Rc<RefCell<Openings>>,
    /// How often somebody asked for read models to be made again.
    pub rebuilds: Rc<Cell<u64>>,
    /// What those know of each other who are after one thing only.
    pub prey: Rc<RefCell<Prey>>,
}

/// Of what is done with holds, how many of a thousand are done in another's name.
const NOT_THEIRS: u16 = 40;
/// How many holds are remembered, to do something with.
const HOLDS: usize = 40;

/// How many payments are remembered, to move some of them back.
const PAID: usize = 40;

/// The most that a customer sends together.
const LARGEST_BATCH: usize = 6;

impl Lobby {
    /// Before anything has happened.
    #[must_use]
    pub fn new(bank: Bank) -> Self {
        Self::noting(bank, History::new())
    }

    /// The same, with a history of the caller's.
    #[must_use]
    pub fn noting(bank: Bank, history: History) -> Self {
        Lobby {
            bank,
            history,
            hours: Rc::new(Cell::new(Hours::Founding)),
            opened: Rc::default(),
            inside: Rc::default(),
            asides: Rc::default(),
            audited: Rc::default(),
            served: Rc::default(),
            at_rest: Rc::default(),
            nobody_asks: Rc::default(),
            asking: Rc::default(),
            watched: Rc::default(),
            shown: Rc::default(),
            in_suspense: Rc::default(),
            told_suspense: Rc::default(),
            open_journals: Rc::default(),
            signed_by: Rc::default(),
            holds: Rc::default(),
            paid: Rc::default(),
            journals: Rc::default(),
            told: Rc::default(),
            consumed: Rc::default(),
            ends: Rc::default(),
            openings: Rc::default(),
            rebuilds: Rc::default(),
            prey: Rc::default(),
        }
    }

    /// Remembers a hold that was placed.
    pub(super) fn note_hold(&self, account: &str, name: Name) {
        let mut holds = self.holds.borrow_mut();
        if holds.len() == HOLDS {
            holds.pop_front();
        }
        holds.push_back((account.to_owned(), name));
    }

    /// Remembers something that was paid, or a journal.
    pub(super) fn note_paid(&self, request: Request, name: Name) {
        let of = match request {
            Request::Journal { .. } => &self.journals,
            _ => &self.paid,
        };
        let mut paid = of.borrow_mut();
        if paid.len() == PAID {
            paid.pop_front();
        }
        paid.push_back((request, name));
    }

    /// Those of several commands that a group may have: the accounts they name first share a shard.
    fn of_one_shard(&self, requests: Vec<Request>) -> Vec<Request> {
        let home = |request: &Request| self.bank.home(request.named_first());
        let is_command = |request: &Request| !matches!(request, Request::StrongRead { .. });
        let commands = requests.into_iter().filter(is_command);
        let mut commands = commands.peekable();
        let shard = commands.peek().map(home);
        commands
            .filter(|request| Some(home(request)) == shard)
            .collect()
    }

    pub(super) fn note_aside(&self, what: &'static str) {
        *self.asides.borrow_mut().entry(what).or_default() += 1;
    }

    pub(super) async fn wait_for(&self, hours: Hours) {
        while self.hours.get() < hours {
            sleep(LOOK).await;
        }
    }
}

/// Opens all accounts; looks into everything when the books are closed.
///
/// # Errors
///
/// When it is refused.
pub async fn registrar(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    let mut desk = Desk::new(&context, lobby.clone(), &Habits::default())?;
    for account in lobby.bank.accounts() {
        desk.open(account).await?;
        lobby.opened.set(lobby.opened.get() + 1);
    }
    lobby.wait_for(Hours::Audit).await;
    audit(&context, &lobby).await
}

/// Comes when the bank opens, asks for one thing after the other, and leaves when it closes or all
/// its wishes are fulfilled.
///
/// # Errors
///
/// When a request is refused for a reason that no customer gives.
pub async fn customer(context: ClientContext, lobby: Lobby, habits: Habits) -> turmoil::Result {
    if let Some(hunt) = habits.hunts {
        return hunter(context, lobby, habits, hunt).await;
    }
    if let Some(order) = habits.reads {
        return reader(context, lobby, order).await;
    }
    if habits.opens {
        return clerk(context, lobby).await;
    }
    if habits.rebuilds {
        return operator(context, lobby).await;
    }
    if let Some(consumes) = habits.consumes {
        return group(context, lobby, consumes).await;
    }
    let mut rng = context.seed.rng();
    let mut desk = Desk::new(&context, lobby.clone(), &habits)?;
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    let mut wishes = Wishes::new(&lobby, &context.region, habits.clone());
    let mut left = habits.requests;
    while lobby.hours.get() == Hours::Open && left > 0 {
        left -= 1;
        if happens(habits.nonsense, &mut rng) {
            desk.ask_nonsense(&mut rng).await?;
        }
        if happens(habits.looks_up, &mut rng) {
            desk.look_up(&mut rng).await?;
        }
        if happens(habits.batches, &mut rng) {
            let size = rng.random_range(2..=LARGEST_BATCH);
            let wished = (0..size).map(|_| wishes.next(&mut rng));
            let is_command = |request: &Request| !matches!(request, Request::StrongRead { .. });
            let mut wished: Vec<_> = wished.filter(is_command).collect();
            if happens_if_ever(habits.journals, &mut rng) {
                let place = rng.random_range(0..=wished.len());
                let request = wishes.journal(&desk, &mut rng);
                // A day is closed by itself.
                if !request.legs().is_empty() {
                    wished.insert(place, request);
                }
            }
            let mut group = Vec::new();
            if happens_if_ever(habits.groups_among, &mut rng) {
                let size = rng.random_range(2..=LARGEST_BATCH);
                group = (0..size).map(|_| wishes.next(&mut rng)).collect();
                group = lobby.of_one_shard(group);
                // One command alone is no group.
                if group.len() < 2 {
                    group.clear();
                }
            }
            let place = match group.is_empty() {
                true => 0,
                false => rng.random_range(0..=wished.len()),
            };
            desk.serve_together(wished, (place, group), &mut rng)
                .await?;
        }
        if happens_if_ever(habits.dry_runs, &mut rng) {
            let request = wishes.next(&mut rng);
            desk.rehearse(&request, &mut rng).await?;
        }
        if happens_if_ever(habits.freezes, &mut rng) {
            let request = desk.freezing(wishes.someones(&mut rng), &mut rng);
            desk.serve(request, &mut rng).await?;
        }
        if happens_if_ever(habits.overrides, &mut rng) {
            let request = careful::overriding(wishes.someones(&mut rng), &mut rng);
            desk.serve(request, &mut rng).await?;
        }
        if happens_if_ever(habits.overrides, &mut rng) {
            let to = wishes.someones(&mut rng);
            if let Some(request) = desk.clearing(to, &mut rng).await {
                desk.serve(request, &mut rng).await?;
            }
        }
        if happens_if_ever(habits.overrides, &mut rng)
            && let Some(request) = desk.reversing(&mut rng)
        {
            desk.serve(request, &mut rng).await?;
        }
        if happens_if_ever(habits.reversals, &mut rng) {
            for request in desk.reversing_more(&mut rng) {
                desk.serve(request, &mut rng).await?;
            }
        }
        if happens_if_ever(habits.limits, &mut rng) {
            for request in spending::beyond_a_limit(&wishes.someones(&mut rng), &mut rng) {
                desk.serve(request, &mut rng).await?;
            }
        }
        if happens_if_ever(habits.references, &mut rng) {
            desk.about_references(&mut rng).await?;
        }
        if happens_if_ever(habits.customers, &mut rng) {
            desk.about_customers(&mut rng).await?;
        }
        if happens_if_ever(habits.journals, &mut rng) {
            let request = wishes.journal(&desk, &mut rng);
            if happens_if_ever(habits.dry_runs, &mut rng) {
                desk.rehearse(&request, &mut rng).await?;
            }
            desk.serve(request, &mut rng).await?;
        }
        if happens_if_ever(habits.journals, &mut rng) {
            desk.follow_a_journal(&mut rng).await?;
        }
        if happens_if_ever(habits.groups, &mut rng) {
            let size = rng.random_range(2..=LARGEST_BATCH);
            let wished: Vec<_> = (0..size).map(|_| wishes.next(&mut rng)).collect();
            let group = lobby.of_one_shard(wished);
            if group.len() > 1 {
                desk.serve_group(group, &mut rng).await?;
            }
        }
        let mut request = wishes.next(&mut rng);
        if happens_if_ever(habits.conditions, &mut rng) {
            request = desk.provided(request, &mut rng);
        }
        if happens_if_ever(habits.days, &mut rng) {
            request = desk.about_days(request, &mut rng);
        }
        if happens_if_ever(habits.channels, &mut rng) {
            request = spending::by_a_channel(request, &mut rng);
        }
        let account = request.named_first().to_owned();
        let looks_again = !matches!(request, Request::CloseDay { .. });
        match request {
            Request::StrongRead { account } => desk.look(account, &mut rng).await?,
            request => drop(desk.serve(request, &mut rng).await?),
        }
        // Whoever has just paid looks whether it shows, often at another node.
        if happens(habits.looks_again, &mut rng) && looks_again {
            desk.look(account, &mut rng).await?;
        }
        let think = rng.random_range(1..=habits.think_ms.max(1));
        sleep(Duration::from_millis(think)).await;
    }
    lobby.inside.set(lobby.inside.get() - 1);
    Ok(())
}

/// Whether something happens that does so often in a thousand.
pub(super) fn happens(per_mille: u16, rng: &mut SmallRng) -> bool {
    rng.random_range(0..1000) < per_mille
}

/// The same, without drawing for whoever never does it: so that what they do stays as it was.
fn happens_if_ever(per_mille: u16, rng: &mut SmallRng) -> bool {
    per_mille > 0 && happens(per_mille, rng)
}

/// What a customer wants.
struct Wishes {
    habits: Habits,
    near: Vec<(String, f64)>,
    all: Vec<(String, f64)>,
    nobodies: Vec<String>,
    holds: Rc<RefCell<VecDeque<(String, Name)>>>,
}

impl Wishes {
    #[expect(clippy::float_arithmetic, reason = "weights of a choice, no money")]
    fn new(lobby: &Lobby, region: &str, habits: Habits) -> Self {
        let bank = &lobby.bank;
        let weighed = |accounts: Vec<&String>| -> Vec<(String, f64)> {
            let exponent = f64::from(habits.zipf) / 1000.0;
            let weigh = |(rank, id): (u32, &String)| {
                let weight = f64::from(rank).powf(-exponent);
                (id.clone(), weight)
            };
            (1..).zip(accounts).map(weigh).collect()
        };
        let accounts = bank.accounts().iter();
        let of_region = accounts.clone().filter(|account| account.region == region);
        Wishes {
            near: weighed(of_region.map(|account| &account.id).collect()),
            all: weighed(accounts.map(|account| &account.id).collect()),
            nobodies: bank.nobodies().to_vec(),
            holds: lobby.holds.clone(),
            habits,
        }
    }

    fn next(&mut self, rng: &mut SmallRng) -> Request {
        let account = self.someones(rng);
        let habits = &self.habits;
        let (looks, deposits) = (habits.looks, habits.looks + habits.deposits);
        let wish = rng.random_range(0..1000);
        if wish < looks {
            return Request::StrongRead { account };
        }
        if wish < deposits {
            let amount = rng.random_range(1..500);
            return Request::Deposit { account, amount };
        }
        let withdrawals = deposits + habits.withdrawals;
        if wish < withdrawals {
            let amount = rng.random_range(1..500);
            return Request::Withdraw { account, amount };
        }
        if wish < withdrawals + habits.closes {
            let sweep = rng.random_bool(0.5);
            let sweep = sweep.then(|| self.another(&account, rng));
            return Request::Close { account, sweep };
        }
        if wish < withdrawals + habits.closes + habits.holds {
            return self.about_a_hold(account, rng);
        }
        Request::Transfer {
            payee: self.another(&account, rng),
            payer: account,
            amount: rng.random_range(1..300),
        }
    }

    /// Sets money aside; or does something with what somebody has set aside, so that others may do
    /// it at the same time.
    fn about_a_hold(&self, account: String, rng: &mut SmallRng) -> Request {
        let holds = self.holds.borrow();
        let known: Vec<_> = holds.iter().cloned().collect();
        drop(holds);
        let chosen = known.choose(rng).cloned();
        let Some((account, hold)) = chosen.filter(|_| rng.random_bool(0.6)) else {
            return Request::Hold {
                account,
                amount: rng.random_range(1..300),
                // Most are over within the run, and some within a moment.
                life_ms: match rng.random_range(0..4) {
                    0 => 0,
                    1 => rng.random_range(1..500),
                    _ => rng.random_range(500..8_000),
                },
            };
        };
        // Now and then it is somebody else's.
        let account = match happens(NOT_THEIRS, rng) {
            true => self.someones(rng),
            false => account,
        };
        match rng.random_range(0..8) {
            0 => Request::Release { account, hold },
            1 | 2 => Request::Raise {
                account,
                hold,
                amount: rng.random_range(1..100),
            },
            _ => {
                let capture = Request::Capture {
                    payee: rng.random_bool(0.7).then(|| self.another(&account, rng)),
                    account,
                    hold,
                    amount: rng.random_bool(0.7).then(|| rng.random_range(1..200)),
                    is_last: rng.random_bool(0.4),
                };
                let says_how_much = !matches!(capture, Request::Capture { amount: None, .. });
                // Also when the hold is over: a late presentment.
                match says_how_much && happens_if_ever(self.habits.overrides, rng) {
                    true => Request::Forced {
                        request: Box::new(capture),
                    },
                    false => capture,
                }
            }
        }
    }

    /// A journal of anybody's accounts, now and then of one that nobody has; or one that depends on
    /// what its first account has, counts from another day, or comes by a channel.
    fn journal(&self, desk: &Desk, rng: &mut SmallRng) -> Request {
        let someones = |rng: &mut SmallRng| match happens(self.habits.to_nobody, rng) {
            true => self.nobodies.choose(rng).expect("a region").clone(),
            false => self.someones(rng),
        };
        let journal = desk.journal(someones, rng);
        match rng.random_range(0..8) {
            0 => desk.provided(journal, rng),
            1 => desk.about_days(journal, rng),
            2 => spending::by_a_channel(journal, rng),
            _ => journal,
        }
    }

    /// Somebody to pay, who may not exist.
    fn another(&self, payer: &str, rng: &mut SmallRng) -> String {
        let is_nobody = happens(self.habits.to_nobody, rng) || self.all.len() == 1;
        if is_nobody {
            return self.nobodies.choose(rng).expect("a region").clone();
        }
        loop {
            let other = self.someones(rng);
            if other != payer {
                return other;
            }
        }
    }

    fn someones(&self, rng: &mut SmallRng) -> String {
        // Of an only account near by, nobody near by could be paid.
        let is_near = happens(self.habits.near, rng) && self.near.len() > 1;
        let accounts = if is_near { &self.near } else { &self.all };
        let some = accounts.choose_weighted(rng, |(_, weight)| *weight);
        some.expect("there are accounts").0.clone()
    }
}

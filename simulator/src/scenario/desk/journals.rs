//! Journals: drawn, followed until they are decided, and asked about.

use std::collections::BTreeMap;

use node::{
    api::{
        teller::v1::{Journal, JournalSide, JournalState, journal_leg::Party},
        v1::{CommandContext, Receipt, TransactionStatus},
    },
    client::Error,
};
use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::{Desk, orders, some};
use crate::history::{House, Leg, Outcome, Request};

/// A journal between shards that somebody knows to be opened, and not how it ended.
pub(super) struct Opened {
    /// Its place in the history.
    id: usize,
    request: Request,
    context: CommandContext,
    /// What the ledger calls it.
    journal: String,
}

/// The most on either side.
const LARGEST: i64 = 160;
/// Which accounts of the bank's own a leg names.
const HOUSES: [&str; 3] = ["cash", "fees", "equity"];

impl Desk {
    /// A journal of two to six legs: some of the accounts are debited, others credited, and now and
    /// then one of the bank's own takes part. `someones` draws a customer's account.
    pub(crate) fn journal(
        &self,
        mut someones: impl FnMut(&mut SmallRng) -> String,
        rng: &mut SmallRng,
    ) -> Request {
        let mut accounts: Vec<String> = Vec::new();
        for _ in 0..rng.random_range(2..=6) {
            let account = someones(rng);
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
        if rng.random_bool(0.2) {
            return self.exchange(&accounts, rng);
        }
        let debits = rng.random_range(1..=accounts.len().max(2) - 1);
        let credited = accounts.split_off(debits.min(accounts.len()));
        let debit = |account| leg(account, -rng.random_range(1..LARGEST));
        let mut legs: Vec<Leg> = accounts.into_iter().map(debit).collect();
        let mut left: i64 = -legs.iter().map(|leg| leg.units).sum::<i64>();
        for account in credited {
            if left == 0 {
                break;
            }
            let units = rng.random_range(1..=left);
            left -= units;
            legs.push(leg(account, units));
        }
        if left > 0 {
            let credits = legs.iter_mut().filter(|leg| leg.units > 0);
            match credits.last().filter(|_| rng.random_bool(0.7)) {
                Some(last) => last.units += left,
                None => legs.push(self.house_leg(left, rng)),
            }
        }
        legs.shuffle(rng);
        self.settle_houses(&mut legs);
        Request::Journal {
            legs,
            rate: None,
            waits: rng.random_bool(0.5),
        }
    }

    /// What one gives goes to the position of the bank, which gives another something for it.
    fn exchange(&self, accounts: &[String], rng: &mut SmallRng) -> Request {
        let (given, got) = (rng.random_range(1..LARGEST), rng.random_range(1..LARGEST));
        let house = self.house(rng);
        let position = |units| Leg {
            account: "fx-position".to_owned(),
            house: Some(house.clone()),
            units,
        };
        let (giver, receiver) = (&accounts[0], accounts.get(1).unwrap_or(&accounts[0]));
        let mut legs = vec![
            leg(giver.clone(), -given),
            position(given),
            position(-got),
            leg(receiver.clone(), got),
        ];
        self.settle_houses(&mut legs);
        Request::Journal {
            legs,
            rate: Some(format!("1.{:04}", rng.random_range(1..10_000))),
            waits: rng.random_bool(0.5),
        }
    }

    fn house_leg(&self, units: i64, rng: &mut SmallRng) -> Leg {
        Leg {
            account: (*HOUSES.choose(rng).expect("there are some")).to_owned(),
            house: Some(self.house(rng)),
            units,
        }
    }

    /// The first book of some region; or that of the first customer's account, which is not known yet.
    fn house(&self, rng: &mut SmallRng) -> House {
        let topology = self.lobby.bank.topology();
        let region = topology.regions.choose(rng).expect("there are regions");
        if rng.random_bool(0.5) {
            let (shard, region) = (0, String::new());
            return House { shard, region };
        }
        let shards = topology.shards.iter();
        let ours = shards.filter(|shard| shard.region == region.name);
        let first = ours.map(|shard| shard.id).min();
        House {
            shard: first.expect("regions have shards"),
            region: region.name.to_string(),
        }
    }

    fn settle_houses(&self, legs: &mut [Leg]) {
        let first = legs.iter().find(|leg| leg.house.is_none());
        let home = first.map_or(0, |leg| self.lobby.bank.home(&leg.account));
        for house in legs.iter_mut().filter_map(|leg| leg.house.as_mut()) {
            if house.region.is_empty() {
                house.shard = home;
            }
        }
    }

    /// A receipt in the words of the history. How a journal between shards ended is kept apart: the
    /// outcome of its command is that it was opened, which changed no balance.
    pub(super) fn told(&self, request: &Request, receipt: &Receipt) -> Result<Outcome, Error> {
        let told = orders::accepted(receipt)?;
        let Outcome::Accepted { position, balances } = told else {
            return Ok(told);
        };
        if !self.is_between_shards(request) {
            return Ok(Outcome::Accepted { position, balances });
        }
        let (key, history) = (&receipt.idempotency_key, &self.lobby.history);
        match receipt.status() {
            TransactionStatus::Settled => {
                history.note_end(key, None, balances);
                self.lobby.note_aside("journals told to be posted");
            }
            TransactionStatus::Returned => {
                let why = receipt.rejection.clone().ok_or_else(|| {
                    Error::Malformed("a journal is cancelled, and nobody says why".to_owned())
                })?;
                history.note_end(key, Some(why.code), balances);
                self.lobby.note_aside("journals told to be cancelled");
            }
            _ => self.lobby.note_aside("journals told to be open"),
        }
        Ok(Outcome::Accepted {
            position,
            balances: BTreeMap::new(),
        })
    }

    pub(super) fn is_between_shards(&self, request: &Request) -> bool {
        let shard = |leg: &Leg| match &leg.house {
            Some(house) => house.shard,
            None => self.lobby.bank.home(&leg.account),
        };
        let mut shards = request.legs().iter().map(shard);
        let first = shards.next();
        shards.any(|shard| Some(shard) != first)
    }

    /// Remembers a journal of which it is known that it was opened, and not how it ended.
    pub(super) fn note_opened(
        &mut self,
        id: usize,
        request: &Request,
        context: &CommandContext,
        outcome: &Outcome,
    ) {
        let key = &context.idempotency_key;
        let Outcome::Accepted { position, .. } = outcome else {
            return;
        };
        let is_open = self.is_between_shards(request) && self.lobby.history.ended(key).is_none();
        if let (true, Some((_, journal))) = (is_open, position.split_once(' ')) {
            self.opened.push_back(Opened {
                id,
                request: request.clone(),
                context: context.clone(),
                journal: journal.to_owned(),
            });
        }
    }

    /// Asks how far the journal is that was opened first of those whose end is not known here: by its
    /// id, or again under its key.
    ///
    /// # Errors
    ///
    /// When the answer makes no sense, or is not what was told before.
    pub(crate) async fn follow_a_journal(&mut self, rng: &mut SmallRng) -> Result<(), Error> {
        let Some(opened) = self.opened.pop_front() else {
            return Ok(());
        };
        let history = self.lobby.history.clone();
        if rng.random_bool(0.5) {
            let again = self.ask(&opened.request, &opened.context, rng).await?;
            let id = opened.id;
            self.trace.record(format!("{id} is told again {again:?}"));
            history.told_again(id, again);
        } else {
            let client = some(&self.tellers, rng);
            match client.journal(&opened.journal).await {
                Ok(reply) => self.take_in(&opened, reply.journal.unwrap_or_default())?,
                Err(error) => drop(orders::open(error)?),
            }
        }
        if history.ended(&opened.context.idempotency_key).is_none() {
            self.opened.push_back(opened);
        }
        Ok(())
    }

    fn take_in(&self, opened: &Opened, journal: Journal) -> Result<(), Error> {
        let wrong = |how: &str| {
            let id = &opened.journal;
            Err(Error::Malformed(format!("journal {id} {how}: {journal:?}")))
        };
        if said(opened.request.legs()) != legs_of(&journal) {
            return wrong("has other legs than were asked for");
        }
        let key = &opened.context.idempotency_key;
        let refused = match journal.state() {
            JournalState::Pending => {
                self.lobby.note_aside("journals seen pending");
                return Ok(());
            }
            JournalState::Posted => None,
            JournalState::Cancelled => match &journal.rejection {
                Some(why) => Some(why.code.clone()),
                None => return wrong("is cancelled, and nobody says why"),
            },
            JournalState::Unspecified => return wrong("has no state"),
        };
        self.lobby.note_aside("journals seen decided");
        self.lobby.history.note_end(key, refused, BTreeMap::new());
        Ok(())
    }
}

pub(super) fn leg(account: String, units: i64) -> Leg {
    let house = None;
    Leg {
        account,
        house,
        units,
    }
}

/// Legs by their accounts and what those gain, as they were asked for.
fn said(legs: &[Leg]) -> Vec<(String, i64)> {
    let said = legs.iter().map(|leg| (leg.account.clone(), leg.units));
    said.collect()
}

/// The same, as they are told.
fn legs_of(journal: &Journal) -> Vec<(String, i64)> {
    let told = journal.legs.iter().map(|leg| {
        let account = match &leg.party {
            Some(Party::AccountId(account) | Party::HouseAccount(account)) => account.clone(),
            None => String::new(),
        };
        let units = leg.amount.as_ref().map_or(0, |it| it.minor_units);
        match leg.side() {
            JournalSide::Debit => (account, -units),
            _ => (account, units),
        }
    });
    told.collect()
}

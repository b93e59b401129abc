//! The book of one shard, summed again.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{AccountId, Currency, Date, Money};

use super::freezes::Freezes;
use super::legs::{Holder, Leg, Said, house_type};
use super::stored::{self, Read, ledger};

/// A customer's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) currency: Currency,
    /// How far below zero it may go; `None` as far as it likes.
    pub(super) overdraft: Option<i64>,
    pub(super) posted: i64,
    pub(super) version: u64,
    pub(super) closed: bool,
    /// `None` where its opening was not seen, which was found.
    pub(super) opened_on: Option<Date>,
    /// Transfers to other shards that are neither settled nor returned.
    pub(super) under_way: u32,
    /// By all its holds.
    pub(super) held: i64,
    /// By journals that are not decided; also part of what is held.
    pub(super) reserved: i64,
    /// Credits of journals that are not decided.
    pub(super) accepted: i64,
}

impl Account {
    /// Takes what an event says; an error where that is not what it comes to.
    fn move_to(&mut self, id: &AccountId, units: i64, held: i64, said: Said) -> Read<i128> {
        let posted = i128::from(self.posted) + i128::from(units);
        let held = i128::from(self.held) + i128::from(held);
        let version = self.version + 1;
        (self.posted, self.version, self.held) = (said.posted, said.version, said.held);
        if (posted, version) != (i128::from(said.posted), said.version) {
            return Err(format!(
                "{id} comes to {posted} minor units, version {version}; the event says {}, version {}",
                said.posted, said.version
            ));
        }
        if held != i128::from(said.held) {
            let said = said.held;
            return Err(format!(
                "{id} comes to {held} minor units held; the event says {said}"
            ));
        }
        Ok(posted)
    }

    /// What was taken or set aside was there.
    fn above_limit(&self, id: &AccountId, taken: bool, posted: i128) -> Read<()> {
        let available = posted - i128::from(self.held);
        match self.overdraft {
            Some(limit) if taken && available + i128::from(limit) < 0 => Err(format!(
                "{id} is debited to {available} minor units, below its limit of {limit}"
            )),
            _ => Ok(()),
        }
    }
}

/// How far below zero an account may go; `None` as far as it likes.
pub(super) fn overdraft(limit: &Option<ledger::Limit>) -> Read<Option<i64>> {
    use ledger::limit::Limit;
    match limit.as_ref().and_then(|limit| limit.limit.as_ref()) {
        Some(Limit::Overdraft(units)) => Ok(Some(*units)),
        Some(Limit::Unlimited(_)) => Ok(None),
        None => Err("a limit is missing".to_owned()),
    }
}

/// What a shard's accounts come to. What is wrong is answered as text, and then taken as it is said
/// to be: one fault is not found again with every event after it.
#[derive(Default)]
pub(super) struct Book {
    pub(super) accounts: BTreeMap<AccountId, Account>,
    pub(super) freezes: Freezes,
    pub(super) houses: BTreeMap<(String, Currency), i64>,
}

impl Book {
    pub(super) fn open(&mut self, event: &ledger::AccountOpened) -> Read<(AccountId, Date)> {
        let id = stored::account(&event.account)?;
        let on = stored::date(event.opened_on)?;
        let overdraft = overdraft(&event.limit).map_err(|what| format!("{id}: {what}"))?;
        let opened = Account {
            currency: stored::currency(&event.currency)?,
            overdraft,
            posted: 0,
            version: 1,
            closed: false,
            opened_on: Some(on),
            under_way: 0,
            held: 0,
            reserved: 0,
            accepted: 0,
        };
        match self.accounts.insert(id, opened) {
            None => Ok((id, on)),
            Some(_) => Err(format!("{id} is opened a second time")),
        }
    }

    pub(super) fn open_house(&mut self, event: &ledger::HouseAccountOpened) -> Read<()> {
        let (code, currency) = (&event.code, stored::currency(&event.currency)?);
        let expected = house_type(code).ok_or_else(|| format!("`{code}` is no house account"))?;
        if event.r#type != expected as i32 {
            return Err(format!("house account {code} is opened as another type"));
        }
        match self.houses.insert((code.clone(), currency), 0) {
            None => Ok(()),
            Some(_) => Err(format!(
                "house account {code} {currency} is opened a second time"
            )),
        }
    }

    /// Closes an account. What it had left may be on its way to another shard, by an item that is
    /// sent in the same outcome.
    pub(super) fn close(
        &mut self,
        event: &ledger::AccountClosed,
        swept: u32,
    ) -> Read<(AccountId, Date)> {
        let id = stored::account(&event.account)?;
        let on = stored::date(event.closed_on)?;
        let account = self
            .accounts
            .get_mut(&id)
            .ok_or_else(|| format!("{id} is closed and was never opened"))?;
        account.version += 1;
        let (computed, was_closed) = (account.version, account.closed);
        account.version = event.version;
        account.closed = true;
        self.freezes.remove(&id);
        if computed != event.version {
            let said = event.version;
            return Err(format!(
                "{id} is closed at version {said}, computed {computed}"
            ));
        }
        let is_free = account.held == 0 && account.accepted == 0;
        if was_closed || account.posted != 0 || account.under_way != swept || !is_free {
            let (posted, under_way) = (account.posted, account.under_way);
            let held = account.held;
            let why = format!("posted {posted}, held {held}, {under_way} transfers under way");
            return Err(format!("{id} is closed, but cannot be: {why}"));
        }
        Ok((id, on))
    }

    /// An account changed and no money moved; answers which.
    pub(super) fn touch(&mut self, after: &Option<ledger::After>) -> Read<AccountId> {
        let after = after.as_ref().ok_or("a balance after is missing")?;
        let id = stored::account(&after.account)?;
        let account = self.accounts.get_mut(&id);
        let account = account.ok_or_else(|| format!("{id} changes and was never opened"))?;
        account.version += 1;
        let (posted, version) = (account.posted, account.version);
        (account.posted, account.version) = (after.posted, after.version);
        if (posted, version) != (after.posted, after.version) {
            return Err(format!(
                "{id} comes to {posted} minor units, version {version}; the event says {}, version {}",
                after.posted, after.version
            ));
        }
        match account.closed {
            true => Err(format!("{id} changes after it was closed")),
            false => Ok(id),
        }
    }

    /// One transfer more (or less) of a payer is under way.
    pub(super) fn under_way(&mut self, payer: &AccountId, change: i32) {
        if let Some(account) = self.accounts.get_mut(payer) {
            account.under_way = account.under_way.saturating_add_signed(change);
        }
    }

    /// An account may go this far below zero from now on.
    pub(super) fn limit(&mut self, event: &ledger::LimitChanged) -> Read<()> {
        let id = self.touch(&event.after)?;
        let overdraft = overdraft(&event.limit).map_err(|what| format!("{id}: {what}"))?;
        if let Some(account) = self.accounts.get_mut(&id) {
            account.overdraft = overdraft;
        }
        Ok(())
    }

    /// Books one leg; a forced one whatever is left.
    pub(super) fn book(&mut self, leg: &Leg, forced: bool) -> Read<()> {
        match &leg.holder {
            Holder::Customer(id) => self.book_customer(id, leg, forced),
            Holder::House(code) => {
                let (key, units) = ((code.clone(), leg.currency), leg.units);
                let opened = self.houses.contains_key(&key);
                let balance = self.houses.entry(key).or_default();
                let sum = balance.checked_add(units);
                *balance = sum.unwrap_or(*balance);
                if !opened {
                    return Err(format!(
                        "house account {code} {} was never opened",
                        leg.currency
                    ));
                }
                sum.map(drop)
                    .ok_or_else(|| format!("house account {code} leaves 64 bits"))
            }
        }
    }

    fn book_customer(&mut self, id: &AccountId, leg: &Leg, forced: bool) -> Read<()> {
        let said = leg
            .said
            .ok_or_else(|| format!("{id} moves without a balance after"))?;
        let Some(account) = self.accounts.get_mut(id) else {
            let adopted = Account {
                currency: leg.currency,
                overdraft: None,
                posted: said.posted,
                version: said.version,
                closed: false,
                opened_on: None,
                under_way: 0,
                held: said.held,
                reserved: 0,
                accepted: 0,
            };
            self.accounts.insert(*id, adopted);
            return Err(format!("{id} moves and was never opened"));
        };
        if account.currency != leg.currency {
            let (kept, moved) = (account.currency, leg.currency);
            return Err(format!("{id} is kept in {kept} and moves {moved}"));
        }
        let posted = account.move_to(id, leg.units, 0, said)?;
        if account.closed {
            return Err(format!("{id} moves after it was closed"));
        }
        account.above_limit(id, leg.units < 0 && !forced, posted)
    }

    /// What is held of an account changes.
    pub(super) fn hold(&mut self, id: &AccountId, change: i64, said: Said) -> Read<()> {
        let account = self
            .accounts
            .get_mut(id)
            .ok_or_else(|| format!("something of {id} is held, and it was never opened"))?;
        let posted = account.move_to(id, 0, change, said)?;
        if account.closed || account.held < 0 {
            let held = account.held;
            return Err(format!(
                "{held} minor units of {id} are held, but cannot be"
            ));
        }
        account.above_limit(id, change > 0, posted)
    }

    /// A leg of a journal: what it books, and what is reserved and accepted by it.
    pub(super) fn journal(
        &mut self,
        id: &AccountId,
        currency: Currency,
        (units, reserved, accepted): (i64, i64, i64),
        said: Said,
        is_taken: bool,
    ) -> Read<()> {
        let account = self
            .accounts
            .get_mut(id)
            .ok_or_else(|| format!("{id} is in a journal, and it was never opened"))?;
        if account.currency != currency {
            let kept = account.currency;
            return Err(format!("{id} is kept in {kept} and moves {currency}"));
        }
        account.reserved = account.reserved.saturating_add(reserved);
        account.accepted = account.accepted.saturating_add(accepted);
        let posted = account.move_to(id, units, reserved, said)?;
        if account.closed || account.reserved < 0 || account.accepted < 0 {
            let (reserved, accepted) = (account.reserved, account.accepted);
            return Err(format!(
                "journals have set aside {reserved} minor units of {id} and accepted {accepted}, \
                 but cannot have"
            ));
        }
        account.above_limit(id, is_taken, posted)
    }

    /// How many accounts there are, closed ones included.
    pub(super) fn account_count(&self) -> u64 {
        self.accounts.len() as u64
    }

    /// What the customers have, by currency, and what the whole book comes to.
    pub(super) fn sums(&self) -> BTreeMap<Currency, Sums> {
        let mut sums: BTreeMap<Currency, Sums> = BTreeMap::new();
        for account in self.accounts.values() {
            let sum = sums.entry(account.currency).or_default();
            sum.customers += i128::from(account.posted);
            sum.book += i128::from(account.posted);
        }
        for ((_, currency), balance) in &self.houses {
            sums.entry(*currency).or_default().book += i128::from(*balance);
        }
        sums
    }

    /// The regions of the accounts: one, as accounts do not move yet.
    pub(super) fn regions(&self) -> BTreeSet<ledger_domain::RegionName> {
        self.accounts.keys().map(AccountId::region).collect()
    }
}

/// Sums of a currency in a book, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    /// Of the customers' accounts.
    pub customers: i128,
    /// Of all accounts, the bank's own included: zero.
    pub book: i128,
}

/// A sum as people read it; in minor units where it is beyond any account.
pub fn sum_text(minor_units: i128, currency: Currency) -> String {
    match i64::try_from(minor_units) {
        Ok(minor_units) => Money {
            minor_units,
            currency,
        }
        .to_string(),
        Err(_) => format!("{minor_units} minor units of {currency}"),
    }
}

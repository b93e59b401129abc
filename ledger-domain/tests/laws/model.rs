//! What the ledger promises, said a second time: balances without bounds, rules as a set of
//! reasons, no events. It shares the domain's names for things and none of its code.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{
    AccountId, Action, Code, Command, ConsumerId, Currency, CustomerId, Date, Freeze, HoldAction,
    HouseCode, Limit, ReferenceDigest, ShardId, SpendingLimit, TransactionId,
    command::Channel,
    freeze::{Arriving, Blocks, FreezeType},
    journal::Party,
};

mod journals;
mod reversals;
mod spending;
mod suspense;

use journals::Journal;
use suspense::{is_account, payment};

#[derive(Debug, Clone)]
pub struct Holding {
    pub currency: Currency,
    pub balance: i128,
    pub open: bool,
    /// How often it has changed, its opening included.
    pub version: u64,
    /// What is frozen; those that are over may be among them.
    freezes: BTreeMap<FreezeType, Freeze>,
    limit: Option<i128>,
    opened_on: Date,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub payer: AccountId,
    pub payee: AccountId,
    pub currency: Currency,
    pub amount: i128,
    pub date: Date,
    /// Whether the destination took it; `None` until it has said so.
    pub taken: Option<bool>,
    /// Whether it was taken and kept from its payee.
    pub kept: bool,
    /// Whether the source knows that.
    pub closed: bool,
}

/// What may be under way from one shard to another.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub items: usize,
    /// Minor units of each currency.
    pub money: i64,
}

/// All shards at once.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The time of what happens now.
    pub now_ms: u64,
    pub accounts: BTreeMap<AccountId, Holding>,
    /// Those that callers may name.
    pub houses: BTreeMap<(ShardId, HouseCode, Currency), i128>,
    /// By source and destination, the first item first.
    pub channels: BTreeMap<(ShardId, ShardId), Vec<Item>>,
    /// Each shard's, the first first.
    pub holds: BTreeMap<ShardId, Vec<Held>>,
    /// Each shard's, the first first.
    pub suspense: BTreeMap<ShardId, Vec<Suspended>>,
    /// What was paid within each shard, the first first.
    pub paid: BTreeMap<ShardId, Vec<Paid>>,
    /// By account and channel: the most in one transaction, and on one day.
    spending_limits: BTreeMap<(AccountId, Channel), SpendingLimit>,
    /// Everything that was ever spent.
    spent: Vec<spending::Spent>,
    /// The last day that each has closed.
    pub closed: BTreeMap<ShardId, Date>,
    /// Whose the references are that each shard keeps.
    pub references: BTreeMap<(ShardId, ReferenceDigest), AccountId>,
    /// By the shard that keeps them.
    pub customers: BTreeMap<(ShardId, CustomerId), Known>,
    /// The shares of consumer groups, by the shard that keeps them.
    pub consumers: BTreeMap<(ShardId, ConsumerId), Vec<crate::consumers::Part>>,
    /// Those between shards, in the order of their opening.
    pub journals: Vec<Journal>,
}

/// A hold.
#[derive(Debug, Clone)]
pub struct Held {
    pub account: AccountId,
    id: Option<TransactionId>,
    rest: i128,
    expires: u64,
    /// Why it holds nothing any more.
    ended: Option<Code>,
}

pub use crate::customers::Known;
pub use reversals::Paid;
pub use suspense::Suspended;

fn named<'a>(holds: &'a mut [Held], id: &TransactionId) -> &'a mut Held {
    let mut all = holds.iter_mut();
    all.find(|h| h.id == Some(*id))
        .expect("a hold of the model")
}

fn beyond(sum: i128) -> bool {
    i64::try_from(sum).is_err()
}

/// Whether a capture is a late presentment: of a hold that has ended, forced, and saying how much.
fn is_late(forced: bool, action: &HoldAction, hold: &Held) -> bool {
    let says = matches!(action, HoldAction::Capture { money: Some(_), .. });
    forced && says && hold.ended.is_some()
}

/// How far below zero; `None` as far as one likes.
fn units(limit: Limit) -> Option<i128> {
    match limit {
        Limit::Overdraft(limit) => Some(limit.into()),
        Limit::Unlimited => None,
    }
}

impl Model {
    fn moving(
        &self,
        id: &AccountId,
        currency: Currency,
        amount: i128,
        date: Date,
    ) -> BTreeSet<Code> {
        let Some(holding) = self.accounts.get(id) else {
            return [Code::AccountNotFound].into();
        };
        let after = holding.balance + amount;
        let stopped = match amount < 0 {
            true => [Blocks::Debits, Blocks::All],
            false => [Blocks::Credits, Blocks::All],
        };
        let held = self.held(id);
        let available = holding.limit.map(|limit| holding.balance - held + limit);
        let debit = amount < 0;
        let (reserved, accepted) = self.aside(id);
        let beside = if debit { -reserved } else { accepted };
        BTreeSet::from_iter(
            [
                (!holding.open, Code::AccountClosed),
                (holding.currency != currency, Code::CurrencyMismatch),
                (date < holding.opened_on, Code::DateBeforeOpening),
                (
                    self.frozen(holding).any(|it| stopped.contains(&it.blocks)),
                    Code::AccountFrozen,
                ),
                (
                    beyond(after) || beyond(after + beside),
                    Code::BalanceOverflow,
                ),
                (
                    debit && available.is_some_and(|a| a < 0),
                    Code::AccountInExcess,
                ),
                (
                    debit && available.is_some_and(|a| a + amount < 0),
                    Code::InsufficientFunds,
                ),
            ]
            .into_iter()
            .filter_map(|(holds, code)| holds.then_some(code)),
        )
    }

    /// Every reason to refuse a command; none where it must succeed.
    pub fn reasons(
        &self,
        shard: ShardId,
        calendar: Date,
        bounds: Bounds,
        command: &Command,
    ) -> BTreeSet<Code> {
        let today = self.business_date(shard, calendar);
        let date = command.info.effective_date.unwrap_or(today);
        let mut reasons = self.unmet(shard, command);
        reasons.extend(self.day_reasons(shard, calendar, command));
        let mut refuse = |when: bool, code| {
            if when {
                reasons.insert(code);
            }
        };
        match &command.action {
            Action::Open { account, .. } => {
                refuse(self.accounts.contains_key(account), Code::AccountExists);
            }
            Action::Close { account, sweep } => {
                let holding = self.accounts.get(account);
                if let Some(holding) = holding {
                    refuse(!holding.open, Code::AccountClosed);
                    let frozen = self.frozen(holding).next().is_some();
                    refuse(frozen, Code::AccountFrozen);
                    let is_swept = sweep.is_some() && holding.balance > 0;
                    refuse(holding.balance != 0 && !is_swept, Code::BalanceNotZero);
                    refuse(self.under_way(account) > 0, Code::TransfersUnderWay);
                    let (reserved, accepted) = self.aside(account);
                    refuse(self.held(account) > reserved, Code::HoldsOpen);
                    refuse(reserved > 0 || accepted > 0, Code::JournalsOpen);
                }
                refuse(holding.is_none(), Code::AccountNotFound);
                reasons.extend(self.against_sweep(shard, today, bounds, command));
            }
            Action::ClearSuspense { .. } => {
                reasons.extend(self.against_clearing(shard, today, bounds, command));
            }
            Action::Freeze { account, .. }
            | Action::Unfreeze { account, .. }
            | Action::SetLimit { account, .. }
            | Action::SetSpendingLimit { account, .. } => {
                let holding = self.accounts.get(account);
                refuse(holding.is_none(), Code::AccountNotFound);
                refuse(holding.is_some_and(|h| !h.open), Code::AccountClosed);
                match &command.action {
                    Action::Freeze { freeze, .. } => {
                        let over = freeze.until_ms.is_some_and(|until| until <= self.now_ms);
                        refuse(over, Code::FreezeOver);
                        let accepted = self.aside(account).1 > 0;
                        let stops = freeze.blocks != Blocks::Debits;
                        refuse(accepted && stops, Code::JournalsOpen);
                    }
                    Action::Unfreeze { kind, .. } => {
                        let mut frozen = holding.into_iter().flat_map(|h| self.frozen(h));
                        refuse(!frozen.any(|it| it.kind == *kind), Code::NotFrozen);
                    }
                    _ => {}
                }
            }
            Action::Deposit {
                account,
                house,
                currency,
                amount,
            }
            | Action::Withdraw {
                account,
                house,
                currency,
                amount,
            } => {
                let units = self.signed(&command.action, i128::from(amount.minor_units()));
                let reserved = matches!(house, HouseCode::InTransit(_));
                refuse(reserved, Code::HouseAccountReserved);
                let balance = self.house(shard, house, *currency) - units;
                let crowded = self.is_crowded(shard, (house, *currency), -units);
                refuse(
                    !reserved && (beyond(balance) || crowded),
                    Code::BalanceOverflow,
                );
                let crowded = balance + self.in_transit(shard, *currency);
                let raised = *house == HouseCode::Suspense && units < 0;
                refuse(raised && beyond(crowded), Code::BalanceOverflow);
                reasons.extend(self.moving(account, *currency, units, date));
            }
            Action::Transfer {
                from,
                to,
                to_shard,
                currency,
                amount,
                ..
            } => {
                let units = i128::from(amount.minor_units());
                refuse(from == to, Code::SameAccount);
                if *to_shard != shard {
                    let paid = (*to_shard, *currency, units);
                    reasons.extend(self.against_sending((shard, from), bounds, paid));
                }
                reasons.extend(self.moving(from, *currency, -units, date));
                if *to_shard == shard && from != to {
                    reasons.extend(self.moving(to, *currency, units, date));
                }
            }
            Action::Reverse { .. } => {
                reasons.extend(self.against_reversal(shard, calendar, bounds, command));
            }
            Action::Journal { legs, .. } => {
                reasons.extend(self.against_journal(shard, bounds, legs, date));
            }
            Action::ClaimReference { claim, .. } | Action::ReleaseReference { claim, .. } => {
                reasons.extend(self.against_claim(shard, &command.action, claim));
            }
            Action::Consumer {
                consumer, change, ..
            } => reasons.extend(self.against_consumer(shard, consumer, change)),
            Action::Customer {
                customer, action, ..
            } => reasons.extend(self.against_customer(shard, today, *customer, action)),
            Action::Hold { .. } | Action::CloseDay { .. } => {}
        }
        if let Action::Hold { account, action } = &command.action {
            reasons.extend(self.hold_reasons(
                shard,
                bounds,
                *account,
                action,
                date,
                command.forced,
            ));
        }
        let debits = matches!(
            command.action,
            Action::Withdraw { .. } | Action::Transfer { .. }
        );
        if command.forced && debits {
            reasons.remove(&Code::AccountInExcess);
            reasons.remove(&Code::InsufficientFunds);
        }
        reasons.extend(self.against_spending(today, command));
        reasons
    }

    /// The conditions of a command that do not hold.
    fn unmet(&self, shard: ShardId, command: &Command) -> BTreeSet<Code> {
        let asked = &command.conditions;
        let holding = self.accounts.get(&command.action.account());
        let version = holding.map_or(0, |holding| holding.version);
        let change: i128 = match &command.action {
            Action::Deposit { amount, .. } => amount.minor_units().into(),
            Action::Withdraw { amount, .. } | Action::Transfer { amount, .. } => {
                -i128::from(amount.minor_units())
            }
            Action::Hold {
                account,
                action: HoldAction::Capture { hold, money, .. },
            } => {
                let hold = self.hold(shard, *account, hold);
                let rest = hold.filter(|h| h.ended.is_none()).map_or(0, |h| h.rest);
                -money.map_or(rest, |(_, amount)| amount.minor_units().into())
            }
            Action::Close { sweep: Some(_), .. } => {
                holding.map_or(0, |holding| -holding.balance.max(0))
            }
            Action::ClearSuspense { owner, put, to } if is_account(to, owner) => {
                let item = self.suspended(shard, *owner, put);
                item.map_or(0, |item| item.amount)
            }
            Action::Journal { legs, .. } => {
                let party = Party::Account(legs.account());
                let legs = legs.all().iter().filter(|(_, leg)| leg.party == party);
                legs.map(|(_, leg)| i128::from(leg.units())).sum()
            }
            reversal => self.reversed_to(shard, &command.action.account(), reversal),
        };
        let after = holding.map(|holding| holding.balance + change);
        // What cannot be is refused as that.
        let after = after.filter(|after| !beyond(*after));
        let beyond_bound = |bound: Option<i64>, breaks: fn(i128, i128) -> bool| {
            let both = after.zip(bound.map(i128::from));
            both.is_some_and(|(after, bound)| breaks(after, bound))
        };
        BTreeSet::from_iter(
            [
                (
                    asked.version.is_some_and(|expected| expected != version),
                    Code::VersionMismatch,
                ),
                (
                    beyond_bound(asked.minimum, |after, minimum| after < minimum),
                    Code::BalanceBelowMinimum,
                ),
                (
                    beyond_bound(asked.maximum, |after, maximum| after > maximum),
                    Code::BalanceAboveMaximum,
                ),
            ]
            .into_iter()
            .filter_map(|(holds, code)| holds.then_some(code)),
        )
    }

    fn hold_reasons(
        &self,
        shard: ShardId,
        bounds: Bounds,
        account: AccountId,
        action: &HoldAction,
        date: Date,
        forced: bool,
    ) -> BTreeSet<Code> {
        let mut reasons = BTreeSet::new();
        let holding = self.accounts.get(&account);
        let crowded = |units: i128| {
            let held = self.held(&account) + units;
            holding.is_some_and(|it| beyond(held) || beyond(it.balance - held))
        };
        let hold = match action {
            HoldAction::Place { .. } => None,
            HoldAction::Raise { hold: id, .. }
            | HoldAction::Capture { hold: id, .. }
            | HoldAction::Release { hold: id } => {
                let hold = self.hold(shard, account, id);
                let says = |hold: &Held| hold.ended.filter(|_| !is_late(forced, action, hold));
                reasons.extend(hold.map_or(Some(Code::HoldNotFound), says));
                hold
            }
        };
        match action {
            HoldAction::Place {
                currency, amount, ..
            }
            | HoldAction::Raise {
                currency, amount, ..
            } => {
                let units = i128::from(amount.minor_units());
                if crowded(units) {
                    reasons.insert(Code::BalanceOverflow);
                }
                reasons.extend(self.moving(&account, *currency, -units, date));
            }
            HoldAction::Release { .. } => reasons.extend(match holding {
                None => Some(Code::AccountNotFound),
                Some(holding) => (!holding.open).then_some(Code::AccountClosed),
            }),
            HoldAction::Capture { money, payee, .. } => {
                let given = money.map(|(currency, _)| currency);
                let currency = given.or(holding.map(|holding| holding.currency));
                let rest = hold.map_or(1, |hold| hold.rest);
                let units = money.map_or(rest, |(_, a)| a.minor_units().into());
                let is_late = |hold: &Held| is_late(forced, action, hold);
                if hold.is_some_and(|hold| units > hold.rest && !is_late(hold)) {
                    reasons.insert(Code::HoldExceeded);
                }
                let paid = (account, payee, currency, units.max(1));
                reasons.extend(self.against_payment(shard, bounds, paid, date));
            }
        }
        reasons
    }

    fn hold(&self, shard: ShardId, account: AccountId, id: &TransactionId) -> Option<&Held> {
        let holds = self.holds.get(&shard)?;
        holds
            .iter()
            .find(|h| h.id == Some(*id) && h.account == account)
    }

    /// What is held of an account.
    pub fn held(&self, id: &AccountId) -> i128 {
        let open = self.holds.values().flatten();
        let open = open.filter(|h| h.account == *id && h.ended.is_none());
        open.map(|h| h.rest).sum::<i128>() + self.aside(id).0
    }

    /// A hold's id is known once its entry is applied.
    pub fn name_hold(&mut self, shard: ShardId, number: u64, id: TransactionId) {
        let holds = self.holds.get_mut(&shard).expect("it was placed");
        holds[number as usize - 1].id = Some(id);
    }

    /// Everything expires whose time is up.
    pub fn expire(&mut self, shard: ShardId, now_nanos: u64) {
        for hold in self.holds.entry(shard).or_default() {
            if hold.ended.is_none() && hold.expires <= now_nanos {
                hold.ended = Some(Code::HoldExpired);
                let holding = self.accounts.get_mut(&hold.account);
                holding.expect("a hold has an account").version += 1;
            }
        }
    }

    fn carry_out_hold(
        &mut self,
        shard: ShardId,
        now_nanos: u64,
        account: AccountId,
        action: &HoldAction,
    ) -> Option<Action> {
        self.holding(&account).version += 1;
        let holds = self.holds.entry(shard).or_default();
        match action {
            HoldAction::Place { amount, life, .. } => {
                let week = std::time::Duration::from_secs(7 * 86_400);
                let life = life.unwrap_or(week).as_nanos();
                holds.push(Held {
                    account,
                    id: None,
                    rest: amount.minor_units().into(),
                    expires: now_nanos + life as u64,
                    ended: None,
                });
                None
            }
            HoldAction::Raise { hold, amount, .. } => {
                named(holds, hold).rest += i128::from(amount.minor_units());
                None
            }
            HoldAction::Release { hold } => {
                named(holds, hold).ended = Some(Code::HoldEnded);
                None
            }
            HoldAction::Capture {
                hold,
                money,
                payee,
                last,
            } => {
                let hold = named(holds, hold);
                let is_late = hold.ended.is_some();
                let units = money.map_or(hold.rest, |(_, a)| a.minor_units().into());
                if !is_late {
                    hold.rest -= units;
                }
                if !is_late && (*last || hold.rest == 0) {
                    hold.ended = Some(Code::HoldEnded);
                }
                let currency = self.accounts[&account].currency;
                Some(payment(account, payee, currency, units))
            }
        }
    }

    /// Carries out a command that nothing speaks against.
    pub fn carry_out(&mut self, shard: ShardId, calendar: Date, now_nanos: u64, command: &Command) {
        let today = self.business_date(shard, calendar);
        let date = command.info.effective_date.unwrap_or(today);
        self.spend(today, command);
        match &command.action {
            Action::Open {
                account,
                currency,
                limit,
                opened_on,
            } => {
                let holding = Holding {
                    currency: *currency,
                    balance: 0,
                    open: true,
                    version: 1,
                    freezes: BTreeMap::new(),
                    limit: units(*limit),
                    opened_on: opened_on.unwrap_or(today),
                };
                self.accounts.insert(*account, holding);
            }
            Action::Close { account, sweep } => {
                let left = self.holding(account).balance;
                if let Some(payee) = sweep.as_ref().filter(|_| left > 0) {
                    let currency = self.accounts[account].currency;
                    let action = payment(*account, payee, currency, left);
                    // That is not spent.
                    let swept = Command {
                        action,
                        forced: true,
                        ..command.clone()
                    };
                    self.carry_out(shard, today, now_nanos, &swept);
                }
                self.spending_limits.retain(|(id, _), _| id != account);
                let holding = self.holding(account);
                holding.open = false;
                holding.version += 1;
            }
            Action::ClearSuspense { owner, put, to } => {
                self.clear(shard, (*owner, *put), to, date);
            }
            Action::Freeze { account, freeze } => {
                let holding = self.holding(account);
                holding.freezes.insert(freeze.kind, freeze.clone());
                holding.version += 1;
            }
            Action::Journal { legs, .. } => {
                self.open_journal(shard, legs, date, None, false);
                let (_, first) = &legs.all()[0];
                let units = first.amount.minor_units().into();
                self.was_paid(shard, &command.action, units, date);
            }
            Action::ClaimReference { claim, .. } => {
                self.references.insert((shard, claim.digest), claim.account);
            }
            Action::ReleaseReference { claim, .. } => {
                self.references.remove(&(shard, claim.digest));
            }
            Action::Consumer {
                consumer, change, ..
            } => self.change_consumer(shard, consumer, change),
            Action::Customer {
                customer, action, ..
            } => self.change_customer(shard, today, *customer, action),
            Action::CloseDay { date, .. } => drop(self.closed.insert(shard, *date)),
            Action::SetLimit { account, limit } => {
                let holding = self.holding(account);
                holding.limit = units(*limit);
                holding.version += 1;
            }
            Action::SetSpendingLimit {
                account,
                channel,
                limit,
            } => {
                self.spending_limits.insert((*account, *channel), *limit);
                self.holding(account).version += 1;
            }
            Action::Unfreeze { account, kind } => {
                let holding = self.holding(account);
                holding.freezes.remove(kind);
                holding.version += 1;
            }
            Action::Hold { account, action } => {
                let payment = self.carry_out_hold(shard, now_nanos, *account, action);
                if let Some(action) = payment {
                    // It was set aside before.
                    let payment = Command {
                        action,
                        forced: true,
                        ..command.clone()
                    };
                    self.carry_out(shard, calendar, now_nanos, &payment);
                }
            }
            Action::Deposit {
                account,
                house,
                currency,
                amount,
            }
            | Action::Withdraw {
                account,
                house,
                currency,
                amount,
            } => {
                let units = self.signed(&command.action, i128::from(amount.minor_units()));
                let house = (shard, house.clone(), *currency);
                self.book_cash(house, account, units, command.forced);
                self.was_paid(shard, &command.action, units.abs(), date);
            }
            Action::Reverse { .. } => self.reverse(shard, command, date),
            Action::Transfer {
                from,
                to,
                to_shard,
                currency,
                amount,
                ..
            } => {
                let amount = i128::from(amount.minor_units());
                self.book(from, -amount, command.forced);
                if *to_shard == shard {
                    self.book(to, amount, false);
                    self.was_paid(shard, &command.action, amount, date);
                    return;
                }
                let item = Item {
                    payer: *from,
                    payee: *to,
                    currency: *currency,
                    amount,
                    date,
                    taken: None,
                    kept: false,
                    closed: false,
                };
                let channel = self.channels.entry((shard, *to_shard)).or_default();
                channel.push(item);
                self.was_paid(shard, &command.action, amount, date);
            }
        }
    }

    /// The freezes of an account that are in force now.
    pub fn frozen<'a>(&'a self, holding: &'a Holding) -> impl Iterator<Item = &'a Freeze> {
        let all = holding.freezes.values();
        all.filter(|it| it.until_ms.is_none_or(|until| self.now_ms < until))
    }

    /// Whether a frozen payee's freezes have the bank keep what arrives, and it can.
    fn keeps(&self, here: ShardId, item: &Item) -> bool {
        let payee = &self.accounts[&item.payee];
        let kept = self
            .frozen(payee)
            .any(|it| it.blocks != Blocks::Debits && it.arriving == Arriving::Suspense);
        let suspense = self.house(here, &HouseCode::Suspense, item.currency);
        let crowded = suspense + item.amount + self.in_transit(here, item.currency);
        kept && !beyond(crowded)
    }

    /// The destination decides about its next item. Returns the reasons to refuse it,
    /// and whether it is kept from its payee.
    pub fn receive(&mut self, source: ShardId, destination: ShardId) -> (BTreeSet<Code>, bool) {
        let channel = self.channels.entry((source, destination)).or_default();
        let next = channel.iter().position(|i| i.taken.is_none());
        let item = channel[next.expect("an item to receive")].clone();
        // The calendars of two regions differ by a day at most, and one of them may be closed.
        let payee = self.accounts.get(&item.payee);
        let ahead = |days: i32| (1..3).contains(&days);
        let tomorrow = payee.filter(|p| ahead(p.opened_on.days() - item.date.days()));
        let date = tomorrow.map_or(item.date, |payee| payee.opened_on);
        let reasons = self.moving(&item.payee, item.currency, item.amount, date);
        if reasons.is_empty() {
            self.book(&item.payee, item.amount, false);
        }
        let mut codes = Code::ALL.iter().copied();
        let first = codes.find(|code| reasons.contains(code));
        let kept = first == Some(Code::AccountFrozen) && self.keeps(destination, &item);
        if kept {
            self.suspend(destination, item.payee, item.currency, item.amount);
        }
        let channel = self.channels.entry((source, destination)).or_default();
        let item = &mut channel[next.expect("an item to receive")];
        item.taken = Some(kept || reasons.is_empty());
        item.kept = kept;
        (reasons, kept)
    }

    /// The source learns what became of an item; a second time changes nothing.
    pub fn resolve(&mut self, source: ShardId, destination: ShardId, number: u64) {
        let channel = self.channels.entry((source, destination)).or_default();
        let item = &mut channel[number as usize - 1];
        if std::mem::replace(&mut item.closed, true) {
            return;
        }
        let (payer, amount) = (item.payer, item.amount);
        let currency = item.currency;
        if item.taken != Some(false) {
            return;
        }
        let holding = &self.accounts[&payer];
        let frozen = self.frozen(holding).any(|it| it.blocks != Blocks::Debits);
        let accepted = self.aside(&payer).1;
        let holding = self.holding(&payer);
        if !holding.open || frozen || beyond(holding.balance + amount + accepted) {
            self.suspend(source, payer, currency, amount);
        } else {
            holding.balance += amount;
            holding.version += 1;
        }
    }

    /// What is under way from a shard on all its channels.
    fn in_transit(&self, shard: ShardId, currency: Currency) -> i128 {
        let channels = self.channels.iter().filter(|((from, _), _)| *from == shard);
        let items = channels.flat_map(|(_, items)| items);
        let open = items.filter(|i| i.currency == currency && !i.closed);
        open.map(|i| i.amount).sum()
    }

    /// What a book's house account must hold.
    pub fn house(&self, shard: ShardId, code: &HouseCode, currency: Currency) -> i128 {
        let sum = |source, destination, counts: fn(&Item) -> bool| -> i128 {
            let items = self.channels.get(&(source, destination));
            let items = items.into_iter().flatten();
            items
                .filter(|i| i.currency == currency && counts(i))
                .map(|i| i.amount)
                .sum()
        };
        match code {
            HouseCode::InTransit(peer) => sum(shard, *peer, |i| !i.closed),
            HouseCode::DueTo(peer) => sum(shard, *peer, |i| i.closed && i.taken == Some(true)),
            HouseCode::DueFrom(peer) => -sum(*peer, shard, |i| i.taken == Some(true)),
            _ => {
                let key = (shard, code.clone(), currency);
                self.houses.get(&key).copied().unwrap_or_default()
            }
        }
    }

    /// How many transfers of an account are under way.
    pub fn under_way(&self, payer: &AccountId) -> usize {
        let items = self.channels.values().flatten();
        items.filter(|i| i.payer == *payer && !i.closed).count()
    }

    fn signed(&self, action: &Action, amount: i128) -> i128 {
        match action {
            Action::Deposit { .. } => amount,
            _ => -amount,
        }
    }

    fn holding(&mut self, id: &AccountId) -> &mut Holding {
        self.accounts.get_mut(id).expect("an account of the model")
    }

    /// Promise: no unforced debit takes what is available below zero.
    fn book(&mut self, id: &AccountId, amount: i128, forced: bool) {
        let held = self.held(id);
        let holding = self.holding(id);
        holding.balance += amount;
        holding.version += 1;
        let available = holding.limit.map(|limit| holding.balance - held + limit);
        assert!(
            amount > 0 || forced || available.is_none_or(|a| a >= 0),
            "{id}: {available:?} after {amount}"
        );
    }
}

//! What the ledger promises, said a second time: balances without bounds, rules as a set of
//! reasons, no events. It shares the domain's names for things and none of its code.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{
    AccountId, Action, Amount, Code, Command, Currency, Date, HoldAction, HouseCode, Limit,
    ShardId, TransactionId, hold::Payee,
};

#[derive(Debug, Clone)]
pub struct Holding {
    pub currency: Currency,
    pub balance: i128,
    pub open: bool,
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
#[derive(Debug, Default)]
pub struct Model {
    pub accounts: BTreeMap<AccountId, Holding>,
    /// Those that callers may name.
    pub houses: BTreeMap<(ShardId, HouseCode, Currency), i128>,
    /// By source and destination, the first item first.
    pub channels: BTreeMap<(ShardId, ShardId), Vec<Item>>,
    /// Each shard's, the first first.
    pub holds: BTreeMap<ShardId, Vec<Held>>,
}

/// A hold.
#[derive(Debug, Clone)]
pub struct Held {
    account: AccountId,
    id: Option<TransactionId>,
    rest: i128,
    expires: u64,
    /// Why it holds nothing any more.
    ended: Option<Code>,
}

fn named<'a>(holds: &'a mut [Held], id: &TransactionId) -> &'a mut Held {
    let mut all = holds.iter_mut();
    all.find(|h| h.id == Some(*id))
        .expect("a hold of the model")
}

fn beyond(sum: i128) -> bool {
    i64::try_from(sum).is_err()
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
        let held = self.held(id);
        let available = holding.limit.map(|limit| holding.balance - held + limit);
        let debit = amount < 0;
        BTreeSet::from_iter(
            [
                (!holding.open, Code::AccountClosed),
                (holding.currency != currency, Code::CurrencyMismatch),
                (date < holding.opened_on, Code::DateBeforeOpening),
                (beyond(after), Code::BalanceOverflow),
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
        today: Date,
        bounds: Bounds,
        command: &Command,
    ) -> BTreeSet<Code> {
        let date = command.info.effective_date.unwrap_or(today);
        let mut reasons = BTreeSet::new();
        let mut refuse = |when: bool, code| {
            if when {
                reasons.insert(code);
            }
        };
        match &command.action {
            Action::Open {
                account, opened_on, ..
            } => {
                refuse(self.accounts.contains_key(account), Code::AccountExists);
                refuse(opened_on.is_some_and(|d| d > today), Code::DateInFuture);
            }
            Action::Close { account } => match self.accounts.get(account) {
                None => refuse(true, Code::AccountNotFound),
                Some(holding) => {
                    refuse(!holding.open, Code::AccountClosed);
                    refuse(holding.balance != 0, Code::BalanceNotZero);
                    refuse(self.under_way(account) > 0, Code::TransfersUnderWay);
                    refuse(self.held(account) > 0, Code::HoldsOpen);
                }
            },
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
                refuse(date > today, Code::DateInFuture);
                refuse(reserved, Code::HouseAccountReserved);
                let balance = self.house(shard, house, *currency) - units;
                refuse(!reserved && beyond(balance), Code::BalanceOverflow);
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
                refuse(date > today, Code::DateInFuture);
                refuse(from == to, Code::SameAccount);
                if *to_shard != shard {
                    let items = self.channels.get(&(shard, *to_shard));
                    let under_way = items.map_or(0, |i| i.iter().filter(|i| !i.closed).count());
                    refuse(under_way >= bounds.items, Code::ChannelFull);
                    let house = |code| self.house(shard, &code, *currency);
                    let sent = house(HouseCode::InTransit(*to_shard)) + units;
                    refuse(sent > bounds.money.into(), Code::ChannelMoneyFull);
                    let arrived = house(HouseCode::DueTo(*to_shard)) + sent;
                    refuse(beyond(arrived), Code::BalanceOverflow);
                    let all_back = self.in_transit(shard, *currency) + units;
                    let suspense = house(HouseCode::Suspense) + all_back;
                    refuse(beyond(suspense), Code::BalanceOverflow);
                }
                reasons.extend(self.moving(from, *currency, -units, date));
                if *to_shard == shard && from != to {
                    reasons.extend(self.moving(to, *currency, units, date));
                }
            }
            Action::Hold { .. } => {}
        }
        if let Action::Hold { account, action } = &command.action {
            reasons = self.hold_reasons(shard, bounds, *account, action, date);
            if date > today {
                reasons.insert(Code::DateInFuture);
            }
        }
        reasons
    }

    fn hold_reasons(
        &self,
        shard: ShardId,
        bounds: Bounds,
        account: AccountId,
        action: &HoldAction,
        date: Date,
    ) -> BTreeSet<Code> {
        let mut reasons = BTreeSet::new();
        let Some(holding) = self.accounts.get(&account) else {
            return [Code::AccountNotFound].into();
        };
        let crowded = |units: i128| {
            let held = self.held(&account) + units;
            beyond(held) || beyond(holding.balance - held)
        };
        if let HoldAction::Place {
            currency, amount, ..
        } = action
        {
            let units = i128::from(amount.minor_units());
            if crowded(units) {
                reasons.insert(Code::BalanceOverflow);
            }
            reasons.extend(self.moving(&account, *currency, -units, date));
            return reasons;
        }
        if !holding.open {
            reasons.insert(Code::AccountClosed);
        }
        let (HoldAction::Raise { hold: id, .. }
        | HoldAction::Capture { hold: id, .. }
        | HoldAction::Release { hold: id }) = action
        else {
            unreachable!("placing is done");
        };
        let Some(hold) = self.hold(shard, account, id) else {
            reasons.insert(Code::HoldNotFound);
            return reasons;
        };
        reasons.extend(hold.ended);
        match action {
            HoldAction::Place { .. } | HoldAction::Release { .. } => {}
            HoldAction::Raise {
                currency, amount, ..
            } => {
                let units = i128::from(amount.minor_units());
                if crowded(units) {
                    reasons.insert(Code::BalanceOverflow);
                }
                reasons.extend(self.moving(&account, *currency, -units, date));
            }
            HoldAction::Capture { money, payee, .. } => {
                let currency = money.map_or(holding.currency, |(currency, _)| currency);
                let units = money.map_or(hold.rest, |(_, a)| a.minor_units().into());
                if units > hold.rest {
                    reasons.insert(Code::HoldExceeded);
                }
                // A payment like any other, of money that nothing else can have taken.
                let action = match payee {
                    Payee::House(house) => Action::Withdraw {
                        account,
                        house: house.clone(),
                        currency,
                        amount: Amount::new(units.max(1) as i64).expect("above zero"),
                    },
                    Payee::Account { to, to_shard, .. } => Action::Transfer {
                        from: account,
                        to: *to,
                        to_shard: *to_shard,
                        currency,
                        amount: Amount::new(units.max(1) as i64).expect("above zero"),
                        payee_memo: None,
                    },
                };
                let payment = crate::generate::command(action);
                let mut of_payment = self.reasons(shard, date, bounds, &payment);
                of_payment.remove(&Code::InsufficientFunds);
                of_payment.remove(&Code::AccountInExcess);
                reasons.extend(of_payment);
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
        open.map(|h| h.rest).sum()
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
                let units = money.map_or(hold.rest, |(_, a)| a.minor_units().into());
                hold.rest -= units;
                if *last || hold.rest == 0 {
                    hold.ended = Some(Code::HoldEnded);
                }
                let amount = Amount::new(units as i64).expect("above zero");
                let currency = self.accounts[&account].currency;
                Some(match payee.clone() {
                    Payee::House(house) => Action::Withdraw {
                        account,
                        house,
                        currency,
                        amount,
                    },
                    Payee::Account { to, to_shard, memo } => Action::Transfer {
                        from: account,
                        to,
                        to_shard,
                        currency,
                        amount,
                        payee_memo: memo,
                    },
                })
            }
        }
    }

    /// Carries out a command that nothing speaks against.
    pub fn carry_out(&mut self, shard: ShardId, today: Date, now_nanos: u64, command: &Command) {
        let date = command.info.effective_date.unwrap_or(today);
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
                    limit: match limit {
                        Limit::Overdraft(limit) => Some((*limit).into()),
                        Limit::Unlimited => None,
                    },
                    opened_on: opened_on.unwrap_or(today),
                };
                self.accounts.insert(*account, holding);
            }
            Action::Close { account } => self.holding(account).open = false,
            Action::Hold { account, action } => {
                let payment = self.carry_out_hold(shard, now_nanos, *account, action);
                if let Some(action) = payment {
                    let payment = Command {
                        action,
                        ..command.clone()
                    };
                    self.carry_out(shard, today, now_nanos, &payment);
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
                self.book(account, units);
                *self
                    .houses
                    .entry((shard, house.clone(), *currency))
                    .or_default() -= units;
            }
            Action::Transfer {
                from,
                to,
                to_shard,
                currency,
                amount,
                ..
            } => {
                let amount = i128::from(amount.minor_units());
                self.book(from, -amount);
                if *to_shard == shard {
                    self.book(to, amount);
                    return;
                }
                let item = Item {
                    payer: *from,
                    payee: *to,
                    currency: *currency,
                    amount,
                    date,
                    taken: None,
                    closed: false,
                };
                let channel = self.channels.entry((shard, *to_shard)).or_default();
                channel.push(item);
            }
        }
    }

    /// The destination decides about its next item. Returns the reasons to refuse it.
    pub fn receive(&mut self, source: ShardId, destination: ShardId) -> BTreeSet<Code> {
        let channel = self.channels.entry((source, destination)).or_default();
        let next = channel.iter().position(|i| i.taken.is_none());
        let item = channel[next.expect("an item to receive")].clone();
        // The calendars of two regions differ by a day at most.
        let payee = self.accounts.get(&item.payee);
        let tomorrow = payee.filter(|p| p.opened_on.days() == item.date.days() + 1);
        let date = tomorrow.map_or(item.date, |payee| payee.opened_on);
        let reasons = self.moving(&item.payee, item.currency, item.amount, date);
        if reasons.is_empty() {
            self.book(&item.payee, item.amount);
        }
        let channel = self.channels.entry((source, destination)).or_default();
        channel[next.expect("an item to receive")].taken = Some(reasons.is_empty());
        reasons
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
        let holding = self.holding(&payer);
        if beyond(holding.balance + amount) {
            let suspense = (source, HouseCode::Suspense, currency);
            *self.houses.entry(suspense).or_default() += amount;
        } else {
            holding.balance += amount;
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
    fn book(&mut self, id: &AccountId, amount: i128) {
        let held = self.held(id);
        let holding = self.holding(id);
        holding.balance += amount;
        let available = holding.limit.map(|limit| holding.balance - held + limit);
        assert!(
            amount > 0 || available.is_none_or(|a| a >= 0),
            "{id}: {available:?} after {amount}"
        );
    }
}

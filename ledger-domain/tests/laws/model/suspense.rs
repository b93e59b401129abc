//! What is in suspense, where it may go, and payments that are no transfers of their own.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Amount, Code, Command, Currency, Date, HouseCode, ShardId, TransactionId,
    hold::Payee,
};

use super::{Bounds, Item, Model, beyond};

/// An item of suspense.
#[derive(Debug, Clone)]
pub struct Suspended {
    pub owner: AccountId,
    pub currency: Currency,
    pub amount: i128,
    id: Option<TransactionId>,
    cleared: bool,
}

/// A payment like any other.
pub fn payment(from: AccountId, payee: &Payee, currency: Currency, units: i128) -> Action {
    let amount = Amount::new(units as i64).expect("above zero");
    match payee.clone() {
        Payee::House(house) => Action::Withdraw {
            account: from,
            house,
            currency,
            amount,
        },
        Payee::Account { to, to_shard, memo } => Action::Transfer {
            from,
            to,
            to_shard,
            currency,
            amount,
            payee_memo: memo,
        },
    }
}

pub fn is_account(payee: &Payee, account: &AccountId) -> bool {
    matches!(payee, Payee::Account { to, .. } if to == account)
}

impl Model {
    /// What speaks against a payment of money that nothing else can have taken.
    pub fn against_payment(
        &self,
        shard: ShardId,
        bounds: Bounds,
        (from, payee, currency, units): (AccountId, &Payee, Option<Currency>, i128),
        date: Date,
    ) -> BTreeSet<Code> {
        let usd = || "USD".parse().expect("a currency");
        let action = payment(from, payee, currency.unwrap_or_else(usd), units);
        let mut payment = crate::generate::command(action);
        payment.info.effective_date = Some(date);
        // Whether that may be is asked of the command itself.
        payment.info.into_closed_day = true;
        // What is there is paid, and not spent.
        payment.forced = true;
        self.reasons(shard, date, bounds, &payment)
    }

    /// What speaks against sweeping what an account has left, where that is asked for.
    pub fn against_sweep(
        &self,
        shard: ShardId,
        today: Date,
        bounds: Bounds,
        command: &Command,
    ) -> BTreeSet<Code> {
        let Action::Close {
            account,
            sweep: Some(payee),
        } = &command.action
        else {
            return BTreeSet::new();
        };
        let date = command.info.effective_date.unwrap_or(today);
        let holding = self.accounts.get(account);
        let left = holding.map_or(0, |holding| holding.balance);
        let currency = holding.map(|holding| holding.currency);
        let paid = (*account, payee, currency, left.max(1));
        let mut reasons = self.against_payment(shard, bounds, paid, date);
        if left <= 0 {
            // Nothing is paid, so there is room for it.
            let room = [
                Code::BalanceOverflow,
                Code::ChannelFull,
                Code::ChannelMoneyFull,
            ];
            reasons.retain(|code| !room.contains(code));
        }
        if date > today {
            reasons.insert(Code::DateInFuture);
        }
        reasons
    }

    /// What speaks against taking an item out of suspense.
    pub fn against_clearing(
        &self,
        shard: ShardId,
        today: Date,
        bounds: Bounds,
        command: &Command,
    ) -> BTreeSet<Code> {
        let Action::ClearSuspense { owner, put, to } = &command.action else {
            return BTreeSet::new();
        };
        let date = command.info.effective_date.unwrap_or(today);
        let mut reasons = BTreeSet::new();
        if date > today {
            reasons.insert(Code::DateInFuture);
        }
        if matches!(
            to,
            Payee::House(HouseCode::Suspense | HouseCode::InTransit(_))
        ) {
            reasons.insert(Code::HouseAccountReserved);
        }
        let Some(item) = self.suspended(shard, *owner, put) else {
            reasons.insert(Code::SuspenseItemNotFound);
            return reasons;
        };
        let suspense = self.house(shard, &HouseCode::Suspense, item.currency);
        if beyond(suspense - item.amount) {
            reasons.insert(Code::BalanceOverflow);
        }
        match to {
            Payee::Account { to, to_shard, .. } if *to_shard == shard => {
                reasons.extend(self.moving(to, item.currency, item.amount, date));
            }
            Payee::House(house) => {
                let after = self.house(shard, house, item.currency) + item.amount;
                if beyond(after) || self.is_crowded(shard, (house, item.currency), item.amount) {
                    reasons.insert(Code::BalanceOverflow);
                }
            }
            Payee::Account { to_shard, .. } => {
                let paid = (*to_shard, item.currency, item.amount);
                reasons.extend(self.against_sending((shard, owner), bounds, paid));
            }
        }
        reasons
    }

    /// What speaks against one more item to a shard.
    pub fn against_sending(
        &self,
        (shard, payer): (ShardId, &AccountId),
        bounds: Bounds,
        (to, currency, units): (ShardId, Currency, i128),
    ) -> BTreeSet<Code> {
        let items = self.channels.get(&(shard, to));
        let under_way = items.map_or(0, |i| i.iter().filter(|i| !i.closed).count());
        let house = |code| self.house(shard, &code, currency);
        let sent = house(HouseCode::InTransit(to)) + units;
        let arrived = house(HouseCode::DueTo(to)) + sent;
        let all_back = self.in_transit(shard, currency) + units;
        let suspense = house(HouseCode::Suspense) + all_back;
        let channels = self.channels.iter().filter(|((from, _), _)| *from == shard);
        let of_payer = channels.flat_map(|(_, items)| items);
        let of_payer = of_payer.filter(|it| it.payer == *payer && !it.closed);
        let of_payer = of_payer.map(|it| it.amount).sum::<i128>() + units;
        BTreeSet::from_iter(
            [
                (under_way >= bounds.items, Code::ChannelFull),
                (sent > bounds.money.into(), Code::ChannelMoneyFull),
                (
                    beyond(arrived) || beyond(suspense) || beyond(of_payer),
                    Code::BalanceOverflow,
                ),
            ]
            .into_iter()
            .filter_map(|(holds, code)| holds.then_some(code)),
        )
    }

    pub fn suspended(
        &self,
        shard: ShardId,
        owner: AccountId,
        put: &TransactionId,
    ) -> Option<&Suspended> {
        let mut items = self.suspense.get(&shard)?.iter();
        items.find(|it| it.owner == owner && it.id == Some(*put) && !it.cleared)
    }

    pub fn suspend(&mut self, shard: ShardId, owner: AccountId, currency: Currency, amount: i128) {
        let house = (shard, HouseCode::Suspense, currency);
        *self.houses.entry(house).or_default() += amount;
        self.suspense.entry(shard).or_default().push(Suspended {
            owner,
            currency,
            amount,
            id: None,
            cleared: false,
        });
    }

    /// An item's id is known once its entry is applied. Items of a shard are counted from 1.
    pub fn name_suspended(&mut self, shard: ShardId, number: u64, id: TransactionId) -> AccountId {
        let items = self.suspense.get_mut(&shard).expect("it was put there");
        let item = &mut items[number as usize - 1];
        item.id = Some(id);
        item.owner
    }

    pub fn clear(
        &mut self,
        shard: ShardId,
        (owner, put): (AccountId, TransactionId),
        to: &Payee,
        date: Date,
    ) {
        let items = self.suspense.get_mut(&shard).into_iter().flatten();
        let mut items = items.filter(|it| it.owner == owner && it.id == Some(put));
        let item = items.next().expect("an item of the model");
        item.cleared = true;
        let (currency, amount) = (item.currency, item.amount);
        let mut house = |code| *self.houses.entry((shard, code, currency)).or_default() += amount;
        match to {
            Payee::House(code) => house(code.clone()),
            Payee::Account { to, to_shard, .. } if *to_shard == shard => {
                self.book(to, amount, false);
            }
            Payee::Account { to, to_shard, .. } => {
                let item = Item {
                    payer: owner,
                    payee: *to,
                    currency,
                    amount,
                    date,
                    taken: None,
                    kept: false,
                    closed: false,
                };
                let channel = self.channels.entry((shard, *to_shard)).or_default();
                channel.push(item);
            }
        }
        let suspense = (shard, HouseCode::Suspense, currency);
        *self.houses.entry(suspense).or_default() -= amount;
    }
}

//! What was paid, and how much of it was paid back.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Amount, Code, Command, Conditions, Currency, Date, HouseCode, ShardId,
    TransactionId,
    command::Channel,
    journal::{Leg, Legs, Party, PlacedLeg, Side},
};

use super::{Bounds, Model};

/// A payment that can be paid back.
#[derive(Debug, Clone)]
pub struct Paid {
    /// It says the other end, too.
    action: Action,
    units: i128,
    date: Date,
    id: Option<TransactionId>,
    back: i128,
    /// Which item of which channel carried it to another shard.
    item: Option<(ShardId, usize)>,
    /// Which of all journals between shards it is.
    journal: Option<usize>,
}

impl Paid {
    /// The accounts of its shard that paid and were paid.
    pub fn accounts(&self) -> Vec<AccountId> {
        match &self.action {
            Action::Transfer { from, .. } if self.item.is_some() => vec![*from],
            Action::Transfer { from, to, .. } => vec![*from, *to],
            Action::Journal { legs, .. } => {
                let first = legs.all().iter().find(|(_, leg)| is_of_account(leg));
                let (home, _) = first.expect("it names an account");
                let own = legs.all().iter().filter(|(there, _)| there == home);
                let accounts = own.filter_map(|(_, leg)| match leg.party {
                    Party::Account(id) => Some(id),
                    Party::House(_) => None,
                });
                accounts.collect::<BTreeSet<_>>().into_iter().collect()
            }
            other => vec![other.account()],
        }
    }

    /// The payment that pays some of it back.
    fn back(&self, shard: ShardId, units: i128, asked: Option<Currency>) -> Action {
        let back = Amount::new(units as i64).expect("above zero");
        match self.action.clone() {
            Action::Journal { legs, rate } => {
                let legs = legs.all().iter().map(|(shard, leg)| PlacedLeg {
                    shard: *shard,
                    party: leg.party.clone(),
                    side: match leg.side {
                        Side::Debit => Side::Credit,
                        Side::Credit => Side::Debit,
                    },
                    currency: leg.currency,
                    amount: leg.amount,
                });
                let legs = Legs::new(legs.collect()).expect("the opposite of a journal");
                Action::Journal { legs, rate }
            }
            Action::Transfer {
                from,
                to,
                to_shard,
                currency,
                ..
            } if self.item.is_some() => {
                let leg = |shard, account, side| PlacedLeg {
                    shard,
                    party: Party::Account(account),
                    side,
                    currency: asked.unwrap_or(currency),
                    amount: back,
                };
                let legs = Legs::new(vec![
                    leg(shard, from, Side::Credit),
                    leg(to_shard, to, Side::Debit),
                ]);
                Action::Journal {
                    legs: legs.expect("two that come to zero"),
                    rate: None,
                }
            }
            Action::Deposit {
                account,
                house,
                currency,
                ..
            } => Action::Withdraw {
                account,
                house,
                currency: asked.unwrap_or(currency),
                amount: back,
            },
            Action::Withdraw {
                account,
                house,
                currency,
                ..
            } => Action::Deposit {
                account,
                house,
                currency: asked.unwrap_or(currency),
                amount: back,
            },
            Action::Transfer {
                from, to, currency, ..
            } => Action::Transfer {
                from: to,
                to: from,
                to_shard: shard,
                currency: asked.unwrap_or(currency),
                amount: back,
                payee_memo: None,
            },
            other => panic!("{other:?} is no payment"),
        }
    }
}

fn is_of_account(leg: &Leg) -> bool {
    matches!(leg.party, Party::Account(_))
}

/// A reversal: of what, and how much of it.
fn asked(action: &Action) -> Option<(&TransactionId, Option<i128>)> {
    match action {
        Action::Reverse {
            original, money, ..
        } => {
            let units = money.map(|(_, amount)| amount.minor_units().into());
            Some((original, units))
        }
        _ => None,
    }
}

fn currency(action: &Action) -> Option<Currency> {
    match action {
        Action::Reverse { money, .. } => money.map(|(currency, _)| currency),
        _ => None,
    }
}

impl Model {
    /// Remembers a payment: within a shard, or by the last item of its channel; or a journal, between
    /// shards the last one.
    pub fn was_paid(&mut self, shard: ShardId, action: &Action, units: i128, date: Date) {
        let item = match action {
            Action::Transfer { to_shard, .. } if *to_shard != shard => {
                let sent = self.channels.get(&(shard, *to_shard)).map_or(0, Vec::len);
                Some((*to_shard, sent - 1))
            }
            _ => None,
        };
        let is_between = match action {
            Action::Journal { legs, .. } => legs.all().iter().any(|(there, _)| *there != shard),
            _ => false,
        };
        let journal = is_between.then(|| self.journals.len() - 1);
        self.paid.entry(shard).or_default().push(Paid {
            action: action.clone(),
            units,
            date,
            id: None,
            back: 0,
            item,
            journal,
        });
    }

    /// A payment that its payee was given, as its shard knows.
    fn paid(&self, shard: ShardId, original: &TransactionId) -> Option<&Paid> {
        let mut all = self.paid.get(&shard)?.iter();
        let paid = all.find(|it| it.id == Some(*original))?;
        let item = paid.item.map(|(to, at)| &self.channels[&(shard, to)][at]);
        let is_given = item.is_none_or(|it| it.closed && !it.kept && it.taken == Some(true));
        let is_posted = |at: usize| self.journals[at].posted == Some(true);
        (is_given && paid.journal.is_none_or(is_posted)).then_some(paid)
    }

    /// A payment's id is known once its entry is applied. Those of a shard are counted from 1.
    pub fn name_paid(&mut self, shard: ShardId, number: u64, id: TransactionId) -> Vec<AccountId> {
        let all = self.paid.get_mut(&shard).expect("it was paid");
        let paid = &mut all[number as usize - 1];
        paid.id = Some(id);
        paid.accounts()
    }

    /// What speaks against a reversal.
    pub fn against_reversal(
        &self,
        shard: ShardId,
        calendar: Date,
        bounds: Bounds,
        command: &Command,
    ) -> BTreeSet<Code> {
        let Some((original, units)) = asked(&command.action) else {
            return BTreeSet::new();
        };
        let Some(paid) = self.paid(shard, original) else {
            return [Code::NotReversible].into();
        };
        if matches!(paid.action, Action::Journal { .. }) && units.is_some() {
            return [Code::NotReversible].into();
        }
        let left = paid.units - paid.back;
        let mut back = Command {
            action: paid.back(
                shard,
                units.unwrap_or(left).max(1),
                currency(&command.action),
            ),
            conditions: Conditions::default(),
            ..command.clone()
        };
        // What is moved back is not spent.
        back.info.channel = Channel::System;
        let mut reasons = self.reasons(shard, calendar, bounds, &back);
        if command.forced && matches!(back.action, Action::Journal { .. }) {
            reasons.remove(&Code::AccountInExcess);
            reasons.remove(&Code::InsufficientFunds);
        }
        let today = self.business_date(shard, calendar);
        if command.info.effective_date.unwrap_or(today) < paid.date {
            reasons.insert(Code::DateBeforeOriginal);
        }
        if left == 0 || units.is_some_and(|units| units > left) {
            reasons.insert(Code::ReversalExceeded);
        }
        reasons
    }

    /// What a reversal adds to the account that it names.
    pub fn reversed_to(&self, shard: ShardId, account: &AccountId, action: &Action) -> i128 {
        let Some((original, units)) = asked(action) else {
            return 0;
        };
        let Some(paid) = self.paid(shard, original) else {
            return 0;
        };
        if let Action::Journal { legs, .. } = &paid.action {
            let party = Party::Account(*account);
            let its = legs.all().iter().filter(|(_, leg)| leg.party == party);
            let sum: i128 = its.map(|(_, leg)| i128::from(leg.units())).sum();
            return if paid.back == 0 && units.is_none() {
                -sum
            } else {
                0
            };
        }
        let units = units.unwrap_or(paid.units - paid.back);
        match &paid.action {
            Action::Deposit { .. } => -units,
            Action::Transfer { to, .. } if to == account => -units,
            _ => units,
        }
    }

    /// Pays back.
    pub fn reverse(&mut self, shard: ShardId, command: &Command, date: Date) {
        let (original, units) = asked(&command.action).expect("a reversal");
        let all = self.paid.get_mut(&shard).into_iter().flatten();
        let mut all = all.filter(|it| it.id == Some(*original));
        let paid = all.next().expect("a payment of the model");
        let units = units.unwrap_or(paid.units - paid.back);
        paid.back += units;
        assert!(paid.back <= paid.units, "more is reversed than was paid");
        let (back, forced) = (paid.back(shard, units, None), command.forced);
        match back {
            Action::Deposit {
                account,
                house,
                currency,
                ..
            } => self.book_cash((shard, house, currency), &account, units, forced),
            Action::Withdraw {
                account,
                house,
                currency,
                ..
            } => self.book_cash((shard, house, currency), &account, -units, forced),
            Action::Transfer { from, to, .. } => {
                self.book(&from, -units, forced);
                self.book(&to, units, false);
            }
            Action::Journal { legs, .. } => {
                let part = Some((*original, units));
                self.open_journal(shard, &legs, date, part, forced);
            }
            other => panic!("{other:?} is no payment"),
        }
    }

    /// A part is not paid back after all.
    pub fn not_reversed(&mut self, shard: ShardId, original: TransactionId, units: i128) {
        let mut all = self.paid.get_mut(&shard).into_iter().flatten();
        let paid = all.find(|it| it.id == Some(original));
        paid.expect("a payment of the model").back -= units;
    }

    /// Money for an account, or from it, against a house account.
    pub fn book_cash(
        &mut self,
        house: (ShardId, HouseCode, Currency),
        account: &AccountId,
        units: i128,
        forced: bool,
    ) {
        self.book(account, units, forced);
        *self.houses.entry(house).or_default() -= units;
    }
}

//! Spending limits in the model: every payment ever made is remembered, and summed when it matters.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Code, Command, Date, HoldAction, SpendingLimit, command::Channel,
};

use super::Model;

/// So much left an account by a channel on a business date.
#[derive(Debug, Clone)]
pub struct Spent {
    account: AccountId,
    channel: Channel,
    date: Date,
    amount: i128,
}

/// What a command would spend, where that counts.
fn asked(command: &Command) -> Option<i128> {
    if command.forced || command.info.channel == Channel::System {
        return None;
    }
    match &command.action {
        Action::Withdraw { amount, .. }
        | Action::Transfer { amount, .. }
        | Action::Hold {
            action: HoldAction::Place { amount, .. } | HoldAction::Raise { amount, .. },
            ..
        } => Some(amount.minor_units().into()),
        _ => None,
    }
}

impl Model {
    /// What an account has spent by a channel on a business date.
    pub fn spent(&self, account: AccountId, channel: Channel, date: Date) -> i128 {
        let all = self.spent.iter();
        let ours = all.filter(|it| (it.account, it.channel, it.date) == (account, channel, date));
        ours.map(|it| it.amount).sum()
    }

    /// How much an account may spend by a channel.
    pub fn spending_limit(&self, account: AccountId, channel: Channel) -> SpendingLimit {
        let limit = self.spending_limits.get(&(account, channel));
        limit.copied().unwrap_or(SpendingLimit::NONE)
    }

    /// What the limits of its account have against a command.
    pub(super) fn against_spending(&self, today: Date, command: &Command) -> BTreeSet<Code> {
        let Some(asked) = asked(command) else {
            return BTreeSet::new();
        };
        let (account, channel) = (command.action.account(), command.info.channel);
        let limit = self.spending_limit(account, channel);
        let spent = self.spent(account, channel, today);
        let beyond = |most: Option<i64>, sum: i128| most.is_some_and(|most| sum > most.into());
        let reasons = [
            (
                beyond(limit.per_transaction, asked),
                Code::TransactionLimitExceeded,
            ),
            (
                beyond(limit.per_day, spent + asked),
                Code::DailyLimitExceeded,
            ),
        ];
        let hold = reasons.into_iter().filter(|(holds, _)| *holds);
        hold.map(|(_, code)| code).collect()
    }

    pub(super) fn spend(&mut self, today: Date, command: &Command) {
        self.spent.extend(asked(command).map(|amount| Spent {
            account: command.action.account(),
            channel: command.info.channel,
            date: today,
            amount,
        }));
    }
}

//! Spending limits: how much may leave an account by a channel, in one transaction and on one
//! business day.
//!
//! What is spent is not written down a second time: it follows from the outcomes of the log, in the
//! order in which things were booked. An outcome counts on the business date on which it was
//! decided, whatever date it counts from for balances. Withdrawals, transfers, and holds that are
//! placed or raised count, each by the channel of its command. What is captured was counted when it
//! was held. What comes back later (a hold released or expired, a transfer returned) stays counted:
//! a limit bounds what a stolen card can set in motion.
//!
//! Nothing else counts: no sweep, no reversal, no journal, no clearing of suspense, nothing that the
//! ledger does by itself ([`Channel::System`]), and no debit that takes a privilege.

use std::collections::BTreeMap;

use crate::{
    AccountId, Amount, Code, Date, Event, HoldChange, Rejection,
    command::{Channel, Kind},
    event::CommandRecord,
    planted::{Bug, planted},
    state::State,
    suspense::SuspenseCleared,
};

/// How much may leave an account by one channel, in minor units, zero or more. `None` where that is
/// not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpendingLimit {
    /// By one command.
    pub per_transaction: Option<i64>,
    /// On one business date.
    pub per_day: Option<i64>,
}

impl SpendingLimit {
    /// Nothing is limited.
    pub const NONE: Self = Self {
        per_transaction: None,
        per_day: None,
    };

    /// Whether a caller may set it: no limit is below zero.
    pub fn is_valid(&self) -> bool {
        let both = [self.per_transaction, self.per_day];
        both.into_iter().flatten().all(|limit| limit >= 0)
    }

    /// Whether what was spent is beyond what may be spent on one day.
    pub fn is_exceeded_by(&self, spent: i64) -> bool {
        self.per_day.is_some_and(|most| spent > most)
    }

    /// What may still be spent on a day on which so much was; `None` as much as one likes.
    pub fn left_after(&self, spent: i64) -> Option<i64> {
        self.per_day.map(|most| most.saturating_sub(spent).max(0))
    }

    /// Refuses an amount that is too much for one command, or with what was spent, for one day.
    ///
    /// # Errors
    ///
    /// [`Code::TransactionLimitExceeded`] before [`Code::DailyLimitExceeded`].
    pub(crate) fn check(&self, spent: i64, amount: Amount) -> Result<(), Rejection> {
        let asked = amount.minor_units();
        if let Some(most) = self.per_transaction.filter(|most| asked > *most) {
            let figures = [most, asked];
            return Err(Rejection::new(Code::TransactionLimitExceeded, figures));
        }
        let spent = match planted(Bug::SpendingUncounted) {
            true => 0,
            false => spent,
        };
        let too_much = |most: &i64| spent.checked_add(asked).is_none_or(|sum| sum > *most);
        if let Some(most) = self.per_day.filter(too_much) {
            let figures = [most, spent, asked];
            return Err(Rejection::new(Code::DailyLimitExceeded, figures));
        }
        Ok(())
    }
}

/// The spending limits of an account by channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpendingLimits(BTreeMap<Channel, SpendingLimit>);

impl SpendingLimits {
    /// That of a channel.
    pub fn of(&self, channel: Channel) -> SpendingLimit {
        self.0.get(&channel).copied().unwrap_or_default()
    }

    /// Those of the channels that have any, by channel.
    pub fn iter(&self) -> impl Iterator<Item = (Channel, SpendingLimit)> {
        self.0.iter().map(|(channel, limit)| (*channel, *limit))
    }

    /// No channel has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets that of a channel.
    pub fn set(&mut self, channel: Channel, limit: SpendingLimit) {
        match limit {
            SpendingLimit::NONE => drop(self.0.remove(&channel)),
            limit => drop(self.0.insert(channel, limit)),
        }
    }
}

/// What left an account on one business date by channel, in minor units. A sum beyond 64 bits stays
/// at their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent([i64; Channel::LIMITED.len()]);

impl Spent {
    /// By a channel; nothing by one that is not counted.
    pub fn by(&self, channel: Channel) -> i64 {
        place(channel).map_or(0, |place| self.0[place])
    }

    /// Those channels by which anything was spent, with what was.
    pub fn iter(&self) -> impl Iterator<Item = (Channel, i64)> {
        let all = Channel::LIMITED.into_iter().zip(self.0);
        all.filter(|(_, units)| *units != 0)
    }

    /// The same with another figure for a channel.
    #[must_use]
    pub(crate) fn with(mut self, channel: Channel, units: i64) -> Self {
        if let Some(place) = place(channel) {
            self.0[place] = units;
        }
        self
    }
}

fn place(channel: Channel) -> Option<usize> {
    Channel::LIMITED.iter().position(|it| *it == channel)
}

/// Whether a command's debits count against limits, and are refused by them.
pub(crate) fn counts(kind: Kind, channel: Channel, is_privileged: bool) -> bool {
    let spends = matches!(
        kind,
        Kind::Withdraw | Kind::Transfer | Kind::PlaceHold | Kind::RaiseHold
    );
    spends && !is_privileged && Channel::LIMITED.contains(&channel)
}

/// What an outcome spends of its account: the command's channel, and how much. `None` where nothing
/// counts.
pub fn spent_by(command: &CommandRecord, events: &[Event]) -> Option<(Channel, Amount)> {
    let info = &command.info;
    if !counts(command.kind, info.channel, info.privileged) {
        return None;
    }
    let amount = events.iter().find_map(debited)?;
    Some((info.channel, amount))
}

/// Counts what an outcome spends on the business date on which it was decided.
pub(crate) fn count<S: State>(
    state: &mut S,
    command: &CommandRecord,
    events: &[Event],
    date: Date,
) {
    if let Some((channel, amount)) = spent_by(command, events) {
        let spent = state.spent(&command.account, date);
        let units = spent.by(channel).saturating_add(amount.minor_units());
        state.set_spent(command.account, date, spent.with(channel, units));
    }
}

/// What an event takes out of what is available, or sends on its way.
fn debited(event: &Event) -> Option<Amount> {
    match event {
        Event::FundsWithdrawn { amount, .. } | Event::FundsTransferred { amount, .. } => {
            Some(*amount)
        }
        Event::TransferSent { item, .. } => Some(item.amount),
        Event::Hold(event) => match event.change {
            HoldChange::Placed { amount, .. } | HoldChange::Raised { by: amount } => Some(amount),
            HoldChange::Captured { .. }
            | HoldChange::Released { .. }
            | HoldChange::Expired { .. }
            | HoldChange::Late { .. } => None,
        },
        Event::AccountOpened { .. }
        | Event::HouseAccountOpened { .. }
        | Event::FundsDeposited { .. }
        | Event::TransferReceived { .. }
        | Event::TransferRefused { .. }
        | Event::TransferSettled { .. }
        | Event::TransferReturned { .. }
        | Event::AccountClosed { .. }
        | Event::ItemsForgotten { .. }
        | Event::AccountFrozen { .. }
        | Event::AccountThawed { .. }
        | Event::LimitChanged { .. }
        | Event::SpendingLimitSet { .. }
        | Event::Reversed(_)
        | Event::Journal(_)
        | Event::DayClosed { .. }
        | Event::ReferenceClaimed(_)
        | Event::ReferenceReleased(_)
        | Event::Customer(_)
        | Event::Consumer(_)
        | Event::TransferSuspended { .. }
        | Event::SuspenseCleared(SuspenseCleared { .. }) => None,
    }
}

/// The spending limit of an account by a channel, with what was spent of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// By which channel.
    pub channel: Channel,
    /// How much may be.
    pub limit: SpendingLimit,
    /// How much was, on the date asked for.
    pub spent: i64,
}

/// Those channels of an account that have a limit, or by which something was spent on a date.
pub fn overview<S: State>(state: &S, account: &AccountId, date: Date) -> Vec<Spending> {
    let (limits, spent) = (state.spending_limits(account), state.spent(account, date));
    let all = Channel::LIMITED.into_iter().map(|channel| Spending {
        channel,
        limit: limits.of(channel),
        spent: spent.by(channel),
    });
    all.filter(|it| it.limit != SpendingLimit::NONE || it.spent != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(units: i64) -> Amount {
        Amount::new(units).expect("above zero")
    }

    #[test]
    fn a_limit_may_be_met_and_not_passed() {
        let limit = SpendingLimit {
            per_transaction: Some(50),
            per_day: Some(100),
        };
        assert_eq!(limit.check(0, amount(50)), Ok(()));
        assert_eq!(limit.check(50, amount(50)), Ok(()));
        let refused = |code, figures: &[i64]| Err(Rejection::new(code, figures));
        assert_eq!(
            limit.check(100, amount(51)),
            refused(Code::TransactionLimitExceeded, &[50, 51])
        );
        assert_eq!(
            limit.check(51, amount(50)),
            refused(Code::DailyLimitExceeded, &[100, 51, 50])
        );
        assert_eq!(
            limit.check(i64::MAX, amount(1)),
            refused(Code::DailyLimitExceeded, &[100, i64::MAX, 1])
        );
        let nothing = SpendingLimit {
            per_transaction: None,
            per_day: Some(0),
        };
        assert!(nothing.check(0, amount(1)).is_err());
        assert_eq!(
            SpendingLimit::NONE.check(i64::MAX, amount(i64::MAX)),
            Ok(())
        );
        assert!(!limit.is_exceeded_by(100) && limit.is_exceeded_by(101));
        assert_eq!(
            [99, 101].map(|spent| limit.left_after(spent)),
            [Some(1), Some(0)]
        );
    }

    #[test]
    fn what_a_channel_spends_is_its_own() {
        let spent = Spent::default().with(Channel::Card, 7);
        let spent = spent.with(Channel::System, 9).with(Channel::Teller, 1);
        let all: Vec<_> = spent.iter().collect();
        assert_eq!(all, [(Channel::Teller, 1), (Channel::Card, 7)]);
        assert_eq!(spent.by(Channel::System), 0);
    }
}

//! Decides about spending limits, and what they refuse.

use super::{Circumstances, Scribe, after};
use crate::{
    Account, AccountId, Amount, Currency, Date, Event, Rejection, SpendingLimit,
    command::{Channel, Command},
    spending::counts,
    state::State,
};

impl<S: State> Scribe<'_, S> {
    /// Changes how much may be spent by a channel.
    pub(super) fn set_spending_limit(
        &mut self,
        at: &Circumstances,
        id: AccountId,
        channel: Channel,
        limit: SpendingLimit,
    ) -> Result<(), Rejection> {
        let before = self.open_account(&id)?;
        let date = self.business_date(at);
        self.happened(Event::SpendingLimitSet {
            after: after(id, &before, 0),
            channel,
            limit,
            date,
            spent: self.state.spent(&id, date).by(channel),
        });
        Ok(())
    }

    /// Refuses a debit that the account cannot take, or its limits do not allow.
    pub(super) fn spend_check(
        &self,
        at: &Circumstances,
        command: &Command,
        id: &AccountId,
        (currency, amount): (Currency, Amount),
        date: Date,
    ) -> Result<Account, Rejection> {
        let account = self.debit_check(id, currency, amount, date, command.forced)?;
        self.spending_check(at, command, id, amount)?;
        Ok(account)
    }

    /// Refuses what is more than a command may spend by its channel, at once or today.
    pub(super) fn spending_check(
        &self,
        at: &Circumstances,
        command: &Command,
        id: &AccountId,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let channel = command.info.channel;
        if !counts(command.action.kind(), channel, command.is_privileged()) {
            return Ok(());
        }
        let limit = self.state.spending_limits(id).of(channel);
        let spent = self.state.spent(id, self.business_date(at)).by(channel);
        limit.check(spent, amount)
    }
}

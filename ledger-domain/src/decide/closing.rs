//! Decides about the end of accounts.

use super::{
    Circumstances, Scribe, both,
    journals::no_journals,
    paying::{Payment, nameable},
};
use crate::{
    Account, AccountId, Amount, Code, Date, Event, Rejection, command::CommandInfo, freeze::Blocks,
    hold::Payee, state::State,
};

impl<S: State> Scribe<'_, S> {
    /// Ends an account. What is left in it goes to whom `sweep` names.
    pub(super) fn close(
        &mut self,
        at: &Circumstances,
        info: &CommandInfo,
        id: AccountId,
        sweep: Option<&Payee>,
        date: Date,
    ) -> Result<(), Rejection> {
        let account = match sweep {
            None => self.closable(&id)?,
            Some(payee) => {
                nameable(id, payee)?;
                self.date_check(at, info, date)?;
                let account = self.state.account(&id).ok_or(Code::AccountNotFound)?;
                let takes = self.takes_credits(at, payee, account.currency, date);
                let movable = self.movable(&id, account.currency, date, Blocks::Debits);
                both(movable.and_then(|_| self.closable(&id)), takes)?.0
            }
        };
        if let (Ok(amount), Some(to)) = (Amount::new(account.posted), sweep) {
            let swept = Payment {
                from: id,
                to,
                currency: account.currency,
                amount,
                date,
            };
            self.has_room(at, &swept)?;
            self.pay_out(at, info, &swept);
        } else if account.posted != 0 {
            return Err(Rejection::new(Code::BalanceNotZero, [account.posted]));
        }
        let before = self.open_account(&id)?;
        self.happened(Event::AccountClosed {
            account: id,
            version: before.version + 1,
            closed_on: self.business_date(at),
        });
        Ok(())
    }

    /// An account that can end, but for what is left in it.
    fn closable(&self, id: &AccountId) -> Result<Account, Rejection> {
        let account = self.open_account(id)?;
        self.freeze_check(id, Blocks::All)?;
        if account.under_way > 0 {
            let figures = [account.under_way.into()];
            return Err(Rejection::new(Code::TransfersUnderWay, figures));
        }
        let by_holds = account.held.saturating_sub(account.reserved);
        if by_holds != 0 {
            return Err(Rejection::new(Code::HoldsOpen, [by_holds]));
        }
        no_journals(&account)?;
        Ok(account)
    }
}

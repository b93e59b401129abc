//! Decides about customers: which accounts they have, who they are, and whether that can be forgotten.

use super::{Circumstances, Scribe};
use crate::{
    Code, CustomerId, Event, Rejection,
    customer::{Customer, CustomerAction, CustomerChange, CustomerEvent, MOST_ACCOUNTS},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    pub(super) fn customer(
        &mut self,
        at: &Circumstances,
        customer: CustomerId,
        action: &CustomerAction,
    ) -> Result<(), Rejection> {
        let change = match (action, self.state.customer(&customer)) {
            (CustomerAction::Register, Some(_)) => return Err(Code::CustomerExists.into()),
            (CustomerAction::Register, None) => CustomerChange::Registered,
            (_, None) => return Err(Code::CustomerNotFound.into()),
            (_, Some(known)) if known.erased => return Err(Code::CustomerErased.into()),
            (_, Some(known)) => self.change(at, &known, action)?,
        };
        self.happened(Event::Customer(CustomerEvent { customer, change }));
        Ok(())
    }

    /// What becomes of a customer that is known and not erased.
    fn change(
        &self,
        at: &Circumstances,
        known: &Customer,
        action: &CustomerAction,
    ) -> Result<CustomerChange, Rejection> {
        let accounts = &known.accounts;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(match action {
            CustomerAction::Register => return Err(Code::CustomerExists.into()),
            CustomerAction::Attach(account) => {
                // Again, too: an opening that was refused leaves its account attached.
                if !accounts.contains(account) && accounts.len() >= MOST_ACCOUNTS {
                    let figures = [accounts.len(), MOST_ACCOUNTS].map(count);
                    return Err(Rejection::new(Code::CustomerAccountsFull, figures));
                }
                CustomerChange::Attached(*account)
            }
            CustomerAction::Detach(account) if accounts.contains(account) => {
                CustomerChange::Detached {
                    account: *account,
                    on: Some(self.business_date(at)),
                }
            }
            CustomerAction::Detach(_) => return Err(Code::AccountNotAttached.into()),
            CustomerAction::SetProfile(profile) => CustomerChange::ProfileSet(profile.clone()),
            CustomerAction::PlaceLegalHold => CustomerChange::LegalHoldPlaced,
            CustomerAction::LiftLegalHold if known.legal_hold => CustomerChange::LegalHoldLifted,
            CustomerAction::LiftLegalHold => return Err(Code::NoLegalHold.into()),
            CustomerAction::Erase { retention_years } => {
                self.erase_check(at, known, *retention_years)?;
                CustomerChange::Erased
            }
        })
    }

    /// Refuses to forget somebody who is still a customer, or must be remembered.
    fn erase_check(
        &self,
        at: &Circumstances,
        known: &Customer,
        retention_years: u16,
    ) -> Result<(), Rejection> {
        if !known.accounts.is_empty() {
            let attached = i64::try_from(known.accounts.len()).unwrap_or(i64::MAX);
            return Err(Rejection::new(Code::AccountsAttached, [attached]));
        }
        if known.legal_hold {
            return Err(Code::LegalHold.into());
        }
        let today = self.business_date(at);
        let until = known
            .last_detached
            .map(|on| on.after_years(retention_years));
        match until.filter(|until| today < *until) {
            Some(until) => {
                let figures = [today, until].map(|date| i64::from(date.days()));
                Err(Rejection::new(Code::RetentionRuns, figures))
            }
            None => Ok(()),
        }
    }
}

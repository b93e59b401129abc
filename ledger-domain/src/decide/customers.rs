//! Decides about customers and which accounts they have.

use super::Scribe;
use crate::{
    Code, CustomerId, Event, Rejection,
    customer::{CustomerChange, CustomerEvent, MOST_ACCOUNTS},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    pub(super) fn customer(
        &mut self,
        customer: CustomerId,
        change: CustomerChange,
    ) -> Result<(), Rejection> {
        let known = self.state.customer(&customer);
        match change {
            CustomerChange::Registered if known.is_some() => {
                return Err(Code::CustomerExists.into());
            }
            CustomerChange::Registered => {}
            CustomerChange::Attached(account) => {
                let accounts = known.ok_or(Code::CustomerNotFound)?.accounts;
                // Again, too: an opening that was refused leaves its account attached.
                if !accounts.contains(&account) && accounts.len() >= MOST_ACCOUNTS {
                    let most = i64::try_from(MOST_ACCOUNTS).unwrap_or(i64::MAX);
                    return Err(Rejection::new(Code::CustomerAccountsFull, [most, most]));
                }
            }
            CustomerChange::Detached(account) => {
                let accounts = known.ok_or(Code::CustomerNotFound)?.accounts;
                if !accounts.contains(&account) {
                    return Err(Code::AccountNotAttached.into());
                }
            }
        }
        self.happened(Event::Customer(CustomerEvent { customer, change }));
        Ok(())
    }
}

//! Decides about what is in suspense.

use super::{Circumstances, Scribe, after, both, for_callers, paying::Payment};
use crate::{
    AccountId, Code, Date, Event, HouseCode, Rejection, TransactionId,
    codec::encode_item,
    command::CommandInfo,
    hold::Payee,
    state::State,
    suspense::{Cleared, SuspenseCleared},
};

impl<S: State> Scribe<'_, S> {
    /// Takes an item of an account out of suspense and gives it to whom the command names; the
    /// account itself is one who can be named.
    pub(super) fn clear_suspense(
        &mut self,
        at: &Circumstances,
        info: &CommandInfo,
        owner: AccountId,
        put: TransactionId,
        to: &Payee,
        date: Date,
    ) -> Result<(), Rejection> {
        match to {
            // It would be there still, and nobody's.
            Payee::House(HouseCode::Suspense) => return Err(Code::HouseAccountReserved.into()),
            Payee::House(house) => for_callers(house)?,
            Payee::Account { .. } => {}
        }
        self.date_check(at, info, date)?;
        let item = self.state.suspended(&put).filter(|it| it.owner == owner);
        let item = item.ok_or(Code::SuspenseItemNotFound)?;
        let (currency, amount) = (item.currency, item.amount);
        let paid = Payment {
            from: owner,
            to,
            currency,
            amount,
            date,
        };
        both(
            self.has_room(at, &paid),
            self.house_check(&HouseCode::Suspense, currency, -amount.minor_units()),
        )?;
        let to = match to {
            Payee::House(house) => {
                self.open_house(house.clone(), currency);
                Cleared::House(house.clone())
            }
            Payee::Account { to, to_shard, .. } if *to_shard == at.shard => {
                let payee = self.state.account(to).expect("checked before it is paid");
                Cleared::Account(after(*to, &payee, amount.minor_units()))
            }
            Payee::Account { to, to_shard, memo } => {
                let ends = (owner, *to, *to_shard);
                let item = self.next_item(at, info, ends, (currency, amount), date, memo);
                let stored = encode_item(&item);
                Cleared::Sent { item, stored }
            }
        };
        self.happened(Event::SuspenseCleared(SuspenseCleared {
            put,
            owner,
            currency,
            amount,
            to,
        }));
        Ok(())
    }
}

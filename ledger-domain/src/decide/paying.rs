//! Decides where money goes: within the book, to the bank's own accounts, or to another shard.

use super::{Circumstances, Scribe, after, both, for_callers};
use crate::{
    Account, AccountId, Amount, Code, Currency, Date, Event, HouseCode, Rejection, Sealed, ShardId,
    codec::encode_item, command::CommandInfo, event::ChannelItem, freeze::Blocks, hold::Payee,
    state::State,
};

/// What goes from an account to somebody.
pub(super) struct Payment<'a> {
    pub(super) from: AccountId,
    pub(super) to: &'a Payee,
    pub(super) currency: Currency,
    pub(super) amount: Amount,
    pub(super) date: Date,
}

/// Refuses a payee whom nobody can pay out of an account, whatever the state.
pub(super) fn nameable(from: AccountId, payee: &Payee) -> Result<(), Rejection> {
    match payee {
        Payee::Account { to, .. } if *to == from => Err(Code::SameAccount.into()),
        Payee::Account { .. } => Ok(()),
        Payee::House(house) => for_callers(house),
    }
}

impl<S: State> Scribe<'_, S> {
    /// Refuses a payee who takes nothing, as far as this book knows.
    pub(super) fn takes_credits(
        &self,
        at: &Circumstances,
        payee: &Payee,
        currency: Currency,
        date: Date,
    ) -> Result<(), Rejection> {
        match payee {
            Payee::Account { to, to_shard, .. } if *to_shard == at.shard => {
                self.movable(to, currency, date, Blocks::Credits).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Refuses a payment for which its payee, or the way there, has no room.
    pub(super) fn has_room(&self, at: &Circumstances, paid: &Payment<'_>) -> Result<(), Rejection> {
        let (currency, amount) = (paid.currency, paid.amount);
        match paid.to {
            Payee::House(house) => self.house_check(house, currency, amount.minor_units()),
            Payee::Account { to, to_shard, .. } if *to_shard == at.shard => {
                self.credit_check(to, currency, amount, paid.date).map(drop)
            }
            Payee::Account { to_shard, .. } => {
                self.channel_check(&paid.from, *to_shard, currency, amount, at)
            }
        }
    }

    /// Refuses money for an account out of a house account that one of the two cannot take or give.
    pub(super) fn pay_in_check(
        &self,
        id: &AccountId,
        house: &HouseCode,
        (currency, amount): (Currency, Amount),
        date: Date,
    ) -> Result<(), Rejection> {
        both(
            self.credit_check(id, currency, amount, date),
            self.house_check(house, currency, -amount.minor_units()),
        )
        .map(drop)
    }

    /// Pays money in, after all checks.
    pub(super) fn pay_in(
        &mut self,
        id: &AccountId,
        house: &HouseCode,
        (currency, amount): (Currency, Amount),
    ) {
        let payee = self.state.account(id).expect("checked before it is paid");
        self.open_house(house.clone(), currency);
        self.happened(Event::FundsDeposited {
            after: after(*id, &payee, amount.minor_units()),
            house: house.clone(),
            currency,
            amount,
        });
    }

    /// Pays, after all checks.
    pub(super) fn pay_out(&mut self, at: &Circumstances, info: &CommandInfo, paid: &Payment<'_>) {
        let (from, money) = (paid.from, (paid.currency, paid.amount));
        match paid.to {
            Payee::House(house) => self.pay_house(from, house, money),
            Payee::Account { to, to_shard, memo } => {
                self.pay(at, info, (from, *to, *to_shard), money, paid.date, memo);
            }
        }
    }

    fn pay_house(
        &mut self,
        id: AccountId,
        house: &HouseCode,
        (currency, amount): (Currency, Amount),
    ) {
        let payer = self.state.account(&id).expect("checked before it is paid");
        self.open_house(house.clone(), currency);
        self.happened(Event::FundsWithdrawn {
            after: after(id, &payer, -amount.minor_units()),
            house: house.clone(),
            currency,
            amount,
        });
    }

    /// Pays, after all checks: within the book, or by an item of the channel to the payee's shard.
    pub(super) fn pay(
        &mut self,
        at: &Circumstances,
        info: &CommandInfo,
        (from, to, to_shard): (AccountId, AccountId, ShardId),
        (currency, amount): (Currency, Amount),
        date: Date,
        memo: &Option<Sealed>,
    ) {
        let checked = |account: Option<Account>| account.expect("checked before it is paid");
        let payer = checked(self.state.account(&from));
        let payer = after(from, &payer, -amount.minor_units());
        if to_shard == at.shard {
            let payee = checked(self.state.account(&to));
            self.happened(Event::FundsTransferred {
                payer,
                payee: after(to, &payee, amount.minor_units()),
                currency,
                amount,
            });
            return;
        }
        let item = self.next_item(
            at,
            info,
            (from, to, to_shard),
            (currency, amount),
            date,
            memo,
        );
        let stored = encode_item(&item);
        self.happened(Event::TransferSent {
            payer,
            item,
            stored,
        });
    }

    /// The next item of the channel to a shard, which has its house account now.
    pub(super) fn next_item(
        &mut self,
        at: &Circumstances,
        info: &CommandInfo,
        (from, to, to_shard): (AccountId, AccountId, ShardId),
        (currency, amount): (Currency, Amount),
        date: Date,
        memo: &Option<Sealed>,
    ) -> ChannelItem {
        self.open_house(HouseCode::InTransit(to_shard), currency);
        ChannelItem {
            source: at.shard,
            source_epoch: at.epoch,
            destination: to_shard,
            number: self.state.outbound(to_shard).sent + 1,
            payer: from,
            payee: to,
            currency,
            amount,
            effective_date: date,
            memo: memo.clone(),
            correlation_id: info.correlation_id.clone(),
        }
    }
}

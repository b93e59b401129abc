//! Decides about reversals.

use super::{Circumstances, Scribe, both, journals::Opening, paying::Payment};
use crate::{
    Amount, Code, Command, Currency, Date, Event, Moved, MovedPayment, Party, Rejection, ShardId,
    TransactionId, TransactionReversed,
    hold::Payee,
    journal::{InvalidLegs, Legs, PlacedLeg, Side},
    planted::{Bug, planted},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    /// Moves back what a transaction of this book moved, as far as that has not been done. What went to
    /// another shard and has not arrived there is not moved back, nor a journal that is not posted.
    pub(super) fn reverse(
        &mut self,
        at: &Circumstances,
        command: &Command,
        original: TransactionId,
        moved: Option<&Moved>,
        money: Option<(Currency, Amount)>,
        date: Date,
    ) -> Result<(), Rejection> {
        self.date_check(at, &command.info, date)?;
        let moved = moved.filter(|it| it.has_arrived(self.state));
        let moved = moved.ok_or(Code::NotReversible)?;
        // A part of a journal has no one meaning.
        if matches!(moved, Moved::Journal(_)) && money.is_some() {
            return Err(Code::NotReversible.into());
        }
        if date < moved.effective_date() {
            let figures = [date, moved.effective_date()].map(|date| date.days().into());
            return Err(Rejection::new(Code::DateBeforeOriginal, figures));
        }
        let reversed = self.state.reversed(&original);
        let rest = match planted(Bug::ReversalsUncounted) {
            true => moved.rest(0),
            false => moved.rest(reversed),
        };
        let exceeded = |asked: Amount| {
            let figures = [rest, asked.minor_units()];
            Rejection::new(Code::ReversalExceeded, figures)
        };
        // One that is not theirs, its accounts refuse.
        let (counted, whole) = moved.counted();
        let currency = money.map_or(counted, |(currency, _)| currency);
        let amount = match money {
            Some((_, amount)) => amount,
            None => Amount::new(rest).map_err(|_| exceeded(whole))?,
        };
        if amount.minor_units() > rest {
            return Err(exceeded(amount));
        }
        let total = reversed + amount.minor_units();
        let reversed = TransactionReversed {
            original,
            amount,
            total: Amount::new(total).expect("at least this part, at most the original"),
        };
        let (legs, rate) = match moved {
            Moved::Journal(journal) => (journal.opposite(at.shard), journal.rate.as_ref()),
            Moved::Payment(moved) => match moved.elsewhere {
                Some((shard, _)) => (back(moved, (at.shard, shard), (currency, amount)), None),
                None => return self.pay_back(at, command, moved, reversed, currency, date),
            },
        };
        let opening = Opening {
            legs: &legs.map_err(|_| Code::NotReversible)?,
            rate,
            date,
            reverses: Some(reversed),
            forced: command.forced,
        };
        self.open_journal(at, &opening)
    }

    /// Moves a part of a payment back within this book: whoever was paid pays.
    fn pay_back(
        &mut self,
        at: &Circumstances,
        command: &Command,
        moved: &MovedPayment,
        reversed: TransactionReversed,
        currency: Currency,
        date: Date,
    ) -> Result<(), Rejection> {
        let (event, amount) = (Event::Reversed(reversed), reversed.amount);
        match (&moved.payee, &moved.payer) {
            (Party::Account(from), to) => {
                let to = match to {
                    Party::House(house) => Payee::House(house.clone()),
                    Party::Account(to) => Payee::Account {
                        to: *to,
                        to_shard: at.shard,
                        memo: None,
                    },
                };
                let paid = Payment {
                    from: *from,
                    to: &to,
                    currency,
                    amount,
                    date,
                };
                both(
                    self.debit_check(from, currency, amount, date, command.forced),
                    self.has_room(at, &paid),
                )?;
                self.happened(event);
                self.pay_out(at, &command.info, &paid);
            }
            (Party::House(house), Party::Account(to)) => {
                self.pay_in_check(to, house, (currency, amount), date)?;
                self.happened(event);
                self.pay_in(to, house, (currency, amount));
            }
            (Party::House(_), Party::House(_)) => return Err(Code::NotReversible.into()),
        }
        Ok(())
    }
}

/// The legs that move a payment to another shard back: the first shard is the payer's.
fn back(
    moved: &MovedPayment,
    (here, there): (ShardId, ShardId),
    (currency, amount): (Currency, Amount),
) -> Result<Legs, InvalidLegs> {
    let leg = |shard, party: &Party, side| PlacedLeg {
        shard,
        party: party.clone(),
        side,
        currency,
        amount,
    };
    Legs::new(vec![
        leg(here, &moved.payer, Side::Credit),
        leg(there, &moved.payee, Side::Debit),
    ])
}

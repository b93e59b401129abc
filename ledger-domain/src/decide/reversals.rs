//! Decides about reversals.

use super::{Circumstances, Scribe, both, paying::Payment};
use crate::{
    Amount, Code, Command, Currency, Date, Event, Moved, Party, Rejection, TransactionId,
    TransactionReversed,
    hold::Payee,
    journal::{Legs, PlacedLeg, Side},
    planted::{Bug, planted},
    state::State,
};

impl<S: State> Scribe<'_, S> {
    /// Moves back what a transaction of this book moved, as far as that has not been done. What went to
    /// another shard and has not arrived there is not moved back.
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
        if date < moved.effective_date {
            let figures = [date, moved.effective_date].map(|date| date.days().into());
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
        let currency = money.map_or(moved.currency, |(currency, _)| currency);
        let amount = match money {
            Some((_, amount)) => amount,
            None => Amount::new(rest).map_err(|_| exceeded(moved.amount))?,
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
        if let Some((shard, _)) = moved.elsewhere {
            let leg = |shard, party: &Party, side| PlacedLeg {
                shard,
                party: party.clone(),
                side,
                currency,
                amount,
            };
            let legs = Legs::new(vec![
                leg(at.shard, &moved.payer, Side::Credit),
                leg(shard, &moved.payee, Side::Debit),
            ]);
            let legs = legs.map_err(|_| Code::NotReversible)?;
            return self.open_journal(at, &legs, None, date, Some(reversed), command.forced);
        }
        let event = Event::Reversed(reversed);
        // Whoever was paid pays.
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

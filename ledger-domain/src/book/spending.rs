//! The spending limits of a book, and what was spent.

use super::{Book, stored::shelved};
use crate::{
    AccountId, Damage, SpendingLimits, Spent, codec,
    proto::{self, book_chunk::Part},
    state::State as _,
};

impl Book {
    pub(super) fn stored_spending(&self) -> impl Iterator<Item = Part> + use<'_> {
        let limits = |(id, limits): (AccountId, SpendingLimits)| proto::BookSpendingLimits {
            id: codec::account_to_proto(id),
            limits: limits
                .iter()
                .map(|(channel, limit)| codec::spending_limit_to_proto(channel, limit))
                .collect(),
        };
        let limits = shelved(self.spending_limits.sorted()).map(move |rows| {
            Part::Spending(proto::BookSpending {
                limits: rows.into_iter().map(limits).collect(),
                ..Default::default()
            })
        });
        let date = self.spent_on.map_or(0, |date| date.days());
        let row = |(id, spent): (AccountId, Spent)| proto::BookSpent {
            id: codec::account_to_proto(id),
            by: spent
                .iter()
                .map(|(channel, units)| proto::BookSpentBy {
                    channel: channel as i32,
                    units,
                })
                .collect(),
        };
        let spent = shelved(self.spent.sorted()).map(move |rows| {
            Part::Spending(proto::BookSpending {
                date,
                spent: rows.into_iter().map(row).collect(),
                ..Default::default()
            })
        });
        limits.chain(spent)
    }

    pub(super) fn fill_spending(&mut self, part: proto::BookSpending) -> Result<(), Damage> {
        for row in part.limits {
            let mut limits = SpendingLimits::default();
            for limit in &row.limits {
                let (channel, limit) = codec::spending_limit_from_proto(limit)?;
                limits.set(channel, limit);
            }
            self.set_spending_limits(codec::account_from_proto(row.id)?, limits);
        }
        for row in part.spent {
            let mut spent = Spent::default();
            for by in row.by {
                spent = spent.with(codec::channel(by.channel)?, by.units);
            }
            let id = codec::account_from_proto(row.id)?;
            self.set_spent(id, codec::date(part.date)?, spent);
        }
        Ok(())
    }
}

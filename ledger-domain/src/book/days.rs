//! The closed days of a book.

use super::{Book, stored::runs};
use crate::{
    Damage, Date, codec,
    day::{Closing, Tally},
    proto::{self, book_chunk::Part},
};

impl Book {
    /// The close by which a day was closed: its own, or the first one later. `None` where it is
    /// open.
    pub fn closing(&self, date: Date) -> Option<(Date, Closing)> {
        let closings = self.closings.range(date..).next();
        closings.map(|(date, closing)| (*date, *closing))
    }

    /// Where days were closed, in their order.
    pub fn closings(&self) -> impl Iterator<Item = (Date, Closing)> {
        self.closings.iter().map(|(date, at)| (*date, *at))
    }

    /// All balances, counted.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for account in self.accounts.values() {
            tally.add(account.currency, None, account.posted);
        }
        for (code, currency, balance) in self.houses() {
            tally.add(currency, Some(code.clone()), balance);
        }
        tally
    }

    pub(super) fn stored_days(&self) -> impl Iterator<Item = Part> + use<'_> {
        let row = |(date, closing): (Date, Closing)| proto::BookDay {
            date: date.days(),
            index: closing.index,
            ordinal: closing.ordinal,
        };
        runs(self.closings().map(row)).map(|days| Part::Days(proto::BookDays { days }))
    }

    pub(super) fn fill_days(&mut self, part: proto::BookDays) -> Result<(), Damage> {
        for row in part.days {
            let (index, ordinal) = (row.index, row.ordinal);
            let date = codec::date(row.date)?;
            self.closings.insert(date, Closing { index, ordinal });
        }
        Ok(())
    }
}

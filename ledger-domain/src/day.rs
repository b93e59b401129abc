//! Business days: how they are closed, and what is frozen then.
//!
//! A shard's business date is its region's calendar date by the log's time, as long as nothing else
//! is known. Closing a day closes it and all days before it, and from then on the business date is
//! the day after, at least: it follows the calendar again once that has come so far. So it never
//! goes back, and no node's clock has a say in it. A day can be closed from its beginning on: the
//! business date is ahead of the calendar by one day at most.
//!
//! What counts from a closed day is refused unless it is asked for, and says so for ever. Only what
//! follows from another shard's log cannot be refused: what arrives or comes back keeps its date.
//!
//! With the close of a day its trial balance is frozen in the log: what the book comes to at that
//! place, in the order in which things were booked. Whoever applies the close sums the book again.

use std::collections::BTreeMap;

use crate::{Currency, Date, HouseCode};

/// What the accounts of one kind come to in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrozenRow {
    /// In which currency.
    pub currency: Currency,
    /// Which house account; `None` for all customers' accounts.
    pub house: Option<HouseCode>,
    /// The balances below zero, as a positive number of minor units.
    pub debit: i128,
    /// The balances above zero.
    pub credit: i128,
}

/// Where a day was closed in its shard's log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closing {
    /// The entry's index; 0 while it is in flight.
    pub index: u64,
    /// The outcome's place in it.
    pub ordinal: u32,
}

/// The business date, where all days up to one are closed.
pub fn business_date(calendar: Date, closed_through: Option<Date>) -> Date {
    closed_through.map_or(calendar, |closed| calendar.max(closed.tomorrow()))
}

/// Whether something that counts from a date counts from a day that is closed.
pub fn is_closed(date: Date, closed_through: Option<Date>) -> bool {
    closed_through.is_some_and(|closed| date <= closed)
}

/// Sums balances into a trial balance.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Customers before the house.
    rows: BTreeMap<(Currency, Option<HouseCode>), (i128, i128)>,
}

impl Tally {
    /// Counts a balance.
    pub(crate) fn add(&mut self, currency: Currency, house: Option<HouseCode>, balance: i64) {
        self.count(currency, house, balance, 1);
    }

    /// Takes back one that was counted.
    pub(crate) fn remove(&mut self, currency: Currency, house: Option<HouseCode>, balance: i64) {
        self.count(currency, house, balance, -1);
    }

    fn count(&mut self, currency: Currency, house: Option<HouseCode>, balance: i64, times: i128) {
        let (debit, credit) = self.rows.entry((currency, house)).or_default();
        let balance = i128::from(balance);
        *debit += times * (-balance).max(0);
        *credit += times * balance.max(0);
    }

    /// The rows, in the order of currency and kind.
    pub(crate) fn rows(self) -> Vec<FrozenRow> {
        let rows = self.rows.into_iter();
        rows.map(|((currency, house), (debit, credit))| FrozenRow {
            currency,
            house,
            debit,
            credit,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_business_date_follows_the_calendar_and_never_falls_behind_a_close() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let friday = day("2026-11-20");
        assert_eq!(business_date(friday, None), friday);
        assert_eq!(business_date(friday, Some(day("2026-11-19"))), friday);
        let saturday = day("2026-11-21");
        assert_eq!(business_date(friday, Some(friday)), saturday);
        let monday = day("2026-11-23");
        assert_eq!(business_date(monday, Some(friday)), monday);
        assert!(is_closed(friday, Some(friday)) && !is_closed(saturday, Some(friday)));
        assert!(!is_closed(friday, None));
    }

    #[test]
    fn what_is_taken_back_was_never_counted() {
        let eur: Currency = "EUR".parse().unwrap();
        let mut tally = Tally::default();
        for balance in [5, -7, 9] {
            tally.add(eur, None, balance);
        }
        tally.add(eur, Some(HouseCode::Cash), -7);
        tally.remove(eur, None, 9);
        let rows = tally.rows();
        assert_eq!((rows[0].debit, rows[0].credit), (7, 5));
        assert_eq!(
            (rows[1].house.as_ref(), rows[1].debit),
            (Some(&HouseCode::Cash), 7)
        );
    }
}

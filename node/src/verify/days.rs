//! Closed days, and what was frozen with them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::book::Book;
use super::channel::Place;
use super::stored::{self, Read, ledger};

/// The days that a shard has closed: days since 1970, and where.
#[derive(Default)]
pub(super) struct Days {
    pub(super) closings: BTreeMap<i32, Place>,
}

impl Days {
    fn closed_through(&self) -> Option<i32> {
        self.closings.last_key_value().map(|(date, _)| *date)
    }

    /// The date of what is decided now, in an entry of a business date.
    pub(super) fn today(&self, business_date: i32) -> i32 {
        let open = self.closed_through().map(|closed| closed.saturating_add(1));
        business_date.max(open.unwrap_or(business_date))
    }

    fn is_closed(&self, date: i32) -> bool {
        self.closed_through().is_some_and(|closed| date <= closed)
    }

    /// An entry says how far days are closed, and has a business date that is open.
    pub(super) fn follow(&self, entry: &ledger::Entry) -> Read<()> {
        let closed = self.closed_through();
        if entry.closed_through != closed {
            let said = entry.closed_through;
            return Err(format!(
                "it says that days are closed through {said:?}; they are through {closed:?}"
            ));
        }
        match self.is_closed(entry.business_date) {
            true => Err(format!(
                "its business date, {}, is closed",
                entry.business_date
            )),
            false => Ok(()),
        }
    }

    /// What counts from a closed day says so, and nothing else does.
    pub(super) fn command(&self, outcome: &ledger::Outcome) -> Read<()> {
        use ledger::Kind;
        let Some(command) = &outcome.command else {
            return Ok(());
        };
        let (date, is_closed) = (
            command.effective_date,
            self.is_closed(command.effective_date),
        );
        if command.into_closed_day && !is_closed {
            return Err(format!("day {date} is said to be closed, and is open"));
        }
        // What an account has left when it is closed counts as any payment does.
        let is_swept = outcome.events.len() > 1;
        let counts = match command.kind() {
            Kind::Freeze
            | Kind::Unfreeze
            | Kind::SetLimit
            | Kind::SetSpendingLimit
            | Kind::ClaimReference
            | Kind::ReleaseReference
            | Kind::CreateConsumer
            | Kind::AdvanceConsumer
            | Kind::ParkConsumer
            | Kind::ResumeConsumer
            | Kind::MoveConsumer
            | Kind::RemoveConsumer
            | Kind::RegisterCustomer
            | Kind::AttachAccount
            | Kind::DetachAccount
            | Kind::SetProfile
            | Kind::PlaceLegalHold
            | Kind::LiftLegalHold
            | Kind::EraseCustomer
            | Kind::CloseDay => false,
            Kind::Close => is_swept,
            _ => true,
        };
        let is_done = !outcome.events.is_empty();
        match is_done && counts && is_closed && !command.into_closed_day {
            true => Err(format!(
                "day {date} is closed, and something counts from it unsaid"
            )),
            false => Ok(()),
        }
    }

    /// A day is closed once, after those before it, and what is frozen is what the book comes to.
    pub(super) fn close(
        &mut self,
        event: &ledger::DayClosed,
        book: &Book,
        place: Place,
    ) -> Read<()> {
        let date = event.date;
        stored::date(date)?;
        if self.is_closed(date) {
            return Err(format!("day {date} is closed a second time"));
        }
        self.closings.insert(date, place);
        let mut frozen = BTreeMap::new();
        for row in &event.frozen {
            let key = (row.currency.clone(), row.house.clone());
            let sums = (sum(&row.debit)?, sum(&row.credit)?);
            if frozen.insert(key, sums).is_some() {
                return Err(format!("{} {} is frozen twice", row.currency, row.house));
            }
        }
        match trial_balance(book) {
            computed if computed == frozen => Ok(()),
            computed => Err(format!(
                "frozen of day {date} is {frozen:?}; the book comes to {computed:?}"
            )),
        }
    }
}

/// By currency and house account, the customers' without a name: debit and credit.
type Sums = BTreeMap<(String, String), (i128, i128)>;

fn trial_balance(book: &Book) -> Sums {
    let customers = book.accounts.values();
    let customers = customers.map(|it| ((it.currency.to_string(), String::new()), it.posted));
    let houses = book.houses.iter();
    let houses = houses.map(|((code, currency), it)| ((currency.to_string(), code.clone()), *it));
    let mut sums = Sums::new();
    for (key, balance) in customers.chain(houses) {
        let (debit, credit) = sums.entry(key).or_default();
        match balance {
            ..0 => *debit -= i128::from(balance),
            _ => *credit += i128::from(balance),
        }
    }
    sums
}

fn sum(bytes: &Bytes) -> Read<i128> {
    let sixteen = bytes[..].try_into();
    let sixteen = sixteen.map_err(|_| format!("a sum of {} bytes instead of 16", bytes.len()))?;
    Ok(i128::from_be_bytes(sixteen))
}

#[cfg(test)]
mod tests {
    use super::super::legs::{Holder, Leg, Said};
    use super::*;

    fn row(house: &str, debit: i128, credit: i128) -> ledger::FrozenRow {
        let sum = |units: i128| Bytes::copy_from_slice(&units.to_be_bytes());
        ledger::FrozenRow {
            currency: "EUR".to_owned(),
            house: house.to_owned(),
            debit: sum(debit),
            credit: sum(credit),
        }
    }

    /// A book in which cash is down by seven; the customer's side is of no account here.
    fn book() -> Book {
        let currency = "EUR".parse().expect("a currency");
        let mut book = Book::default();
        let cash = ledger::HouseAccountOpened {
            code: "cash".to_owned(),
            currency: "EUR".to_owned(),
            r#type: ledger::HouseType::Asset as i32,
        };
        book.open_house(&cash).expect("it is new");
        let leg = Leg {
            holder: Holder::House("cash".to_owned()),
            currency,
            units: -7,
            said: None::<Said>,
        };
        book.book(&leg, false).expect("it is open");
        book
    }

    fn closed(date: i32, frozen: Vec<ledger::FrozenRow>) -> ledger::DayClosed {
        ledger::DayClosed { date, frozen }
    }

    #[test]
    fn what_is_frozen_is_summed_again_and_a_day_is_closed_once() {
        let book = book();
        let mut days = Days::default();
        let right = vec![row("cash", 7, 0)];
        assert_eq!(days.close(&closed(9, right.clone()), &book, (1, 0)), Ok(()));
        for wrong in [
            closed(9, right.clone()),
            closed(8, right.clone()),
            closed(10, vec![row("cash", 8, 0)]),
            closed(11, vec![row("cash", 0, 7)]),
            closed(12, vec![]),
            closed(13, vec![row("cash", 7, 0), row("fees", 0, 0)]),
            closed(14, vec![row("cash", 7, 0), row("cash", 7, 0)]),
        ] {
            assert!(days.close(&wrong, &book, (2, 0)).is_err(), "{wrong:?}");
        }
        assert_eq!(days.close(&closed(15, right), &book, (3, 0)), Ok(()));
    }

    #[test]
    fn what_counts_from_a_closed_day_says_so() {
        let days = Days {
            closings: [(9, (1, 0))].into(),
        };
        let outcome = |kind: ledger::Kind, date, flagged| ledger::Outcome {
            command: Some(ledger::CommandInfo {
                kind: kind as i32,
                effective_date: date,
                into_closed_day: flagged,
                ..Default::default()
            }),
            events: vec![ledger::Event::default()],
            rejection: None,
        };
        let deposit = ledger::Kind::Deposit;
        assert!(days.command(&outcome(deposit, 9, true)).is_ok());
        assert!(days.command(&outcome(deposit, 9, false)).is_err());
        assert!(days.command(&outcome(deposit, 10, true)).is_err());
        assert!(days.command(&outcome(deposit, 10, false)).is_ok());
        assert!(
            days.command(&outcome(ledger::Kind::Freeze, 9, false))
                .is_ok()
        );
        let entry = |closed_through, business_date| ledger::Entry {
            closed_through,
            business_date,
            ..Default::default()
        };
        assert!(days.follow(&entry(Some(9), 10)).is_ok());
        assert!(days.follow(&entry(Some(8), 10)).is_err());
        assert!(days.follow(&entry(None, 10)).is_err());
        assert!(days.follow(&entry(Some(9), 9)).is_err());
    }
}

//! Business days in the model, and what must hold of a close.

use std::collections::BTreeSet;

use ledger_domain::{
    Action, Amount, Code, Command, Date, Event, HouseCode, Limit, Outcome, ShardId,
    state::State as _,
};

use crate::{
    generate::{account_id, amount, command, currency, date, numbered},
    model::Model,
    writer::{Answer, Writer},
};

impl Model {
    /// The date of what is decided now.
    pub fn business_date(&self, shard: ShardId, calendar: Date) -> Date {
        match self.closed.get(&shard) {
            Some(closed) if *closed >= calendar => closed.tomorrow(),
            _ => calendar,
        }
    }

    /// What closed days have against a command.
    pub fn day_reasons(&self, shard: ShardId, calendar: Date, command: &Command) -> BTreeSet<Code> {
        let today = self.business_date(shard, calendar);
        let is_closed = |date: Date| self.closed.get(&shard).is_some_and(|it| date <= *it);
        let (date, is_closed, latest) = match &command.action {
            Action::CloseDay { date, .. } => (*date, is_closed(*date), calendar),
            Action::Close { sweep: None, .. }
            | Action::Freeze { .. }
            | Action::Unfreeze { .. }
            | Action::SetLimit { .. }
            | Action::ClaimReference { .. }
            | Action::ReleaseReference { .. }
            | Action::Customer { .. }
            | Action::Consumer { .. }
            | Action::SetSpendingLimit { .. } => return BTreeSet::new(),
            action => {
                let asked = match action {
                    Action::Open { opened_on, .. } => *opened_on,
                    _ => command.info.effective_date,
                };
                let date = asked.unwrap_or(today);
                let is_refused = is_closed(date) && !command.info.into_closed_day;
                (date, is_refused, today)
            }
        };
        let reasons = [
            (date > latest, Code::DateInFuture),
            (is_closed, Code::DayClosed),
        ];
        let hold = reasons.into_iter().filter(|(holds, _)| *holds);
        hold.map(|(_, code)| code).collect()
    }
}

fn outcome(answers: Vec<Answer>) -> Outcome {
    match answers.into_iter().next() {
        Some(Answer::Decided(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

/// A deposit of some units, perhaps on a day.
fn deposit(units: i64, on: Option<Date>, into_closed_day: bool) -> Command {
    let mut deposit = command(Action::Deposit {
        account: account_id(0),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: Amount::new(units).expect("above zero"),
    });
    deposit.info.effective_date = on;
    deposit.info.into_closed_day = into_closed_day;
    deposit
}

fn close(day: Date) -> Command {
    command(Action::CloseDay {
        books: account_id(0),
        date: day,
    })
}

#[test]
fn a_close_freezes_what_the_book_comes_to_in_its_place() {
    let shard = ShardId(1);
    let mut writer = Writer::new(shard);
    let open = command(Action::Open {
        account: account_id(0),
        currency: currency("EUR"),
        limit: Limit::Overdraft(0),
        opened_on: Some(date(-2)),
    });
    let commands = [
        open,
        deposit(30, None, false),
        close(date(0)),
        deposit(12, None, false),
        deposit(5, Some(date(0)), false),
        deposit(7, Some(date(0)), true),
        deposit(9, Some(date(1)), true),
        close(date(0)),
        close(date(1)),
    ];
    // All in one entry: what comes after the close knows of it.
    let answers = writer.command(numbered(commands));
    let told: Vec<Outcome> = answers.into_iter().map(|it| outcome(vec![it])).collect();
    let Ok([Event::DayClosed { date: day, frozen }]) = told[2].result.as_deref() else {
        panic!("{:?}", told[2]);
    };
    assert_eq!(*day, date(0));
    let frozen: Vec<_> = frozen
        .iter()
        .map(|it| (it.house.clone(), it.debit, it.credit))
        .collect();
    assert_eq!(frozen, [(None, 0, 30), (Some(HouseCode::Cash), 30, 0)]);
    let counts = |at: usize| {
        let command = told[at].command.as_ref().expect("it is a command's");
        (command.effective_date, command.info.into_closed_day)
    };
    assert_eq!(counts(1), (date(0), false));
    assert_eq!(
        counts(3),
        (date(1), false),
        "the day after is the business date now"
    );
    let code = |at: usize| told[at].result.as_ref().err().map(|it| it.code);
    assert_eq!(code(4), Some(Code::DayClosed));
    assert_eq!((code(5), counts(5)), (None, (date(0), true)));
    assert_eq!(
        (code(6), counts(6)),
        (None, (date(1), false)),
        "it is not closed"
    );
    assert_eq!(code(7), Some(Code::DayClosed));
    assert_eq!(code(8), Some(Code::DateInFuture), "it has not begun");
    writer.apply_all();
    assert_eq!(writer.book.closed_through(), Some(date(0)));
    let (_, at) = writer
        .book
        .closing(date(-1))
        .expect("closed with the day after");
    assert_eq!((at.index, at.ordinal), (1, 2));
    assert_eq!(writer.book.closing(date(1)), None);
    // An entry says what was closed before it, and counts from the day after.
    writer.command(vec![]);
    let next = writer.apply().expect("an entry");
    assert_eq!(
        (next.closed_through, next.business_date),
        (Some(date(0)), date(1))
    );
}

#[test]
fn what_is_frozen_must_be_what_the_book_comes_to() {
    let mut writer = Writer::new(ShardId(1));
    let open = command(Action::Open {
        account: account_id(0),
        currency: currency("EUR"),
        limit: Limit::Overdraft(0),
        opened_on: None,
    });
    let commands = [open, deposit(amount(30).minor_units(), None, false)];
    writer.command(numbered(commands));
    writer.apply_all();
    let mut frozen = writer.book.trial_balance();
    let mut book = writer.book.clone();
    let event = |frozen| Event::DayClosed {
        date: date(0),
        frozen,
    };
    ledger_domain::evolve(&mut book, &event(frozen.clone())).expect("it follows");
    assert!(
        ledger_domain::evolve(&mut book, &event(frozen.clone())).is_err(),
        "once"
    );
    frozen[0].credit += 1;
    frozen[1].debit += 1;
    let mut book = writer.book.clone();
    assert!(ledger_domain::evolve(&mut book, &event(frozen)).is_err());
}

//! Holds, promise by promise: one account that has 100, and what can be done with what is held of it.

use std::time::Duration;

use ledger_domain::{
    Action, Code, Command, Event, HoldAction, HoldChange, HouseCode, Limit, Rejection, ShardId,
    TransactionId, decide_together,
    hold::{DEFAULT_LIFE, MEMORY, Payee, Status},
    state::State as _,
};

use crate::{
    generate::{account_id, amount, command, currency, numbered},
    stored_book::same,
    writer::{Answer, Writer},
};

/// A bank with its commands counted, so that each has a key of its own.
struct Bank {
    writer: Writer,
    commands: usize,
}

const HERE: ShardId = ShardId(1);
const LIFE: Duration = Duration::from_secs(60);

/// Two accounts, of which the first has 100.
fn bank() -> Bank {
    let mut bank = Bank {
        writer: Writer::new(HERE),
        commands: 0,
    };
    for number in [0, 1] {
        bank.done(Action::Open {
            account: account_id(number),
            currency: currency("EUR"),
            limit: Limit::Overdraft(0),
            opened_on: None,
        });
    }
    bank.done(Action::Deposit {
        account: account_id(0),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(100),
    });
    bank
}

impl Bank {
    fn next(&mut self, action: Action) -> Command {
        self.commands += 1;
        let all = numbered((0..self.commands).map(|_| command(action.clone())));
        all.into_iter().next_back().expect("at least one")
    }

    /// Decides a command in an entry of its own, and applies that.
    fn ask(&mut self, action: Action) -> Result<Vec<Event>, Rejection> {
        let command = self.next(action);
        self.decided(command)
    }

    fn force(&mut self, action: Action) -> Result<Vec<Event>, Rejection> {
        let forced = true;
        let command = Command {
            forced,
            ..self.next(action)
        };
        self.decided(command)
    }

    fn decided(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        let answers = self.writer.command(vec![command]);
        self.writer.apply_all();
        let Answer::Decided(outcome) = answers[0].clone() else {
            panic!("it is asked for the first time");
        };
        outcome.result
    }

    fn done(&mut self, action: Action) {
        self.ask(action).expect("nothing speaks against it");
    }

    fn hold(&mut self, action: HoldAction) -> Result<Vec<Event>, Rejection> {
        let account = account_id(0);
        self.ask(Action::Hold { account, action })
    }

    /// Places a hold, and gives its id.
    fn placed(&mut self, units: i64, life: Option<Duration>) -> TransactionId {
        self.hold(place(units, life)).expect("it is covered");
        let number = self.writer.book.last_hold();
        let hold = self.writer.book.hold(number).expect("it was placed");
        hold.placed.expect("it is applied")
    }

    fn capture(
        &mut self,
        hold: TransactionId,
        units: Option<i64>,
        last: bool,
    ) -> Result<Vec<Event>, Rejection> {
        self.hold(HoldAction::Capture {
            hold,
            money: units.map(|units| (currency("EUR"), amount(units))),
            payee: Payee::House(HouseCode::Fees),
            last,
        })
    }

    /// Posted, held and available.
    fn sums(&self) -> (i64, i64, i64) {
        let account = self.writer.book.account(&account_id(0)).expect("opened");
        let available = account.available().expect("it has a limit");
        (account.posted, account.held, available)
    }

    fn status(&self, hold: TransactionId) -> Option<Status> {
        let book = &self.writer.book;
        let number = book.hold_placed_by(&hold)?;
        Some(book.hold(number)?.status)
    }
}

fn place(units: i64, life: Option<Duration>) -> HoldAction {
    HoldAction::Place {
        currency: currency("EUR"),
        amount: amount(units),
        life,
    }
}

fn raise(hold: TransactionId, units: i64) -> HoldAction {
    HoldAction::Raise {
        hold,
        currency: currency("EUR"),
        amount: amount(units),
    }
}

fn refused(answer: Result<Vec<Event>, Rejection>) -> (Code, Vec<i64>) {
    let rejection = answer.expect_err("something speaks against it");
    (rejection.code, rejection.figures)
}

#[test]
fn a_hold_lowers_what_is_available_and_leaves_what_is_posted() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    assert_eq!(bank.sums(), (100, 60, 40));
    bank.hold(raise(hold, 10)).expect("it is covered");
    assert_eq!(bank.sums(), (100, 70, 30));
    // What is held covers nothing else: no payment, no hold, no raise.
    let withdrawal = Action::Withdraw {
        account: account_id(0),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(31),
    };
    let short = (Code::InsufficientFunds, vec![30, 31]);
    assert_eq!(refused(bank.ask(withdrawal)), short);
    assert_eq!(refused(bank.hold(place(31, None))), short);
    assert_eq!(refused(bank.hold(raise(hold, 31))), short);
    bank.hold(HoldAction::Release { hold }).expect("it is open");
    assert_eq!(bank.sums(), (100, 0, 100));
    assert_eq!(bank.status(hold), Some(Status::Released));
}

#[test]
fn a_hold_is_captured_in_parts_until_the_last() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    bank.capture(hold, Some(20), false).expect("it holds 60");
    assert_eq!(bank.sums(), (80, 40, 40));
    let beyond = bank.capture(hold, Some(41), false);
    assert_eq!(refused(beyond), (Code::HoldExceeded, vec![40, 41]));
    bank.capture(hold, Some(10), true).expect("it holds 40");
    assert_eq!(bank.sums(), (70, 0, 70));
    let late = bank.capture(hold, Some(5), false);
    assert_eq!(refused(late), (Code::HoldEnded, vec![30, 5]));
    assert_eq!(bank.status(hold), Some(Status::Captured));
}

#[test]
fn a_late_presentment_is_paid_whatever_is_left_and_linked_to_its_hold() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    let present = |units: Option<i64>| Action::Hold {
        account: account_id(0),
        action: HoldAction::Capture {
            hold,
            money: units.map(|units| (currency("EUR"), amount(units))),
            payee: Payee::House(HouseCode::Fees),
            last: false,
        },
    };
    let beyond = bank.force(present(Some(61)));
    assert_eq!(refused(beyond), (Code::HoldExceeded, vec![60, 61]));
    bank.hold(HoldAction::Release { hold }).expect("it is open");
    let unforced = bank.ask(present(Some(130)));
    assert_eq!(refused(unforced), (Code::HoldEnded, vec![60, 130]));
    // How much that is, nobody has said.
    let all = bank.force(present(None));
    assert_eq!(refused(all), (Code::HoldEnded, vec![60, 60]));
    let events = bank.force(present(Some(130))).expect("it is forced");
    let late = HoldChange::Late {
        amount: amount(130),
    };
    assert!(matches!(&events[0], Event::Hold(event) if event.change == late));
    assert_eq!(bank.sums(), (-30, 0, -30));
    let number = bank
        .writer
        .book
        .hold_placed_by(&hold)
        .expect("it was placed");
    let kept = bank.writer.book.hold(number).expect("it was placed");
    assert_eq!(
        (kept.captured, kept.late, kept.status),
        (0, 130, Status::Released)
    );
}

#[test]
fn all_of_a_hold_is_captured_at_once_and_that_is_the_last() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    bank.capture(hold, None, false).expect("it holds 60");
    assert_eq!(bank.sums(), (40, 0, 40));
    assert_eq!(bank.status(hold), Some(Status::Captured));
    let again = bank.hold(HoldAction::Release { hold });
    assert_eq!(refused(again), (Code::HoldEnded, vec![0, 0]));
}

#[test]
fn of_two_captures_in_one_entry_one_wins() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    let capture = Action::Hold {
        account: account_id(0),
        action: HoldAction::Capture {
            hold,
            money: Some((currency("EUR"), amount(50))),
            payee: Payee::Account {
                to: account_id(1),
                to_shard: HERE,
                memo: None,
            },
            last: false,
        },
    };
    let both = [capture.clone(), capture].map(|action| bank.next(action));
    let answers = bank.writer.command(both.into());
    bank.writer.apply_all();
    let results = answers.into_iter().map(|answer| match answer {
        Answer::Decided(outcome) => outcome.result,
        other => panic!("{other:?}"),
    });
    let results: Vec<_> = results.collect();
    assert!(results[0].is_ok());
    let second = refused(results[1].clone());
    assert_eq!(second, (Code::HoldExceeded, vec![10, 50]));
    let payee = bank.writer.book.account(&account_id(1)).expect("opened");
    assert_eq!((bank.sums(), payee.posted), ((50, 10, 40), 50));
}

/// Entries are a millisecond apart.
#[test]
fn a_hold_expires_in_the_first_entry_at_its_time_and_before_all_else_in_it() {
    let mut bank = bank();
    let hold = bank.placed(60, Some(LIFE));
    bank.writer.wait(LIFE - Duration::from_millis(2));
    bank.hold(raise(hold, 1))
        .expect("it is open for one more entry");
    let asked = bank.next(Action::Hold {
        account: account_id(0),
        action: HoldAction::Capture {
            hold,
            money: Some((currency("EUR"), amount(7))),
            payee: Payee::House(HouseCode::Cash),
            last: true,
        },
    });
    bank.writer.command(vec![asked]);
    let entry = bank.writer.apply().expect("it was proposed");
    let [expired, capture] = &entry.outcomes[..] else {
        panic!("{entry:?}");
    };
    let events = expired.result.as_ref().expect("it is no command");
    let change = HoldChange::Expired {
        released: amount(61),
    };
    assert!(matches!(&events[..], [Event::Hold(event)] if event.change == change));
    assert_eq!(expired.command, None);
    let late = (Code::HoldExpired, vec![61, 7]);
    assert_eq!(refused(capture.result.clone()), late);
    assert_eq!(bank.sums(), (100, 0, 100));
    // Once.
    bank.writer.wait(LIFE);
    bank.writer.command(Vec::new());
    let entry = bank.writer.apply().expect("it was proposed");
    assert!(entry.outcomes.is_empty());
}

#[test]
fn many_expire_at_once_in_several_entries_before_anything_is_decided() {
    let mut bank = bank();
    let holds: Vec<_> = (0..5).map(|_| bank.placed(10, Some(LIFE))).collect();
    bank.writer.wait(LIFE);
    let late = bank.capture(holds[4], None, false);
    assert_eq!(refused(late), (Code::HoldExpired, vec![10, 10]));
    let ended = |hold| bank.status(hold) == Some(Status::Expired);
    assert!(holds.into_iter().all(ended));
    assert_eq!(bank.sums(), (100, 0, 100));
    same(&bank.writer);
}

#[test]
fn a_hold_that_is_lost_with_its_entry_never_was() {
    let mut bank = bank();
    let placing = bank.next(Action::Hold {
        account: account_id(0),
        action: place(60, Some(LIFE)),
    });
    bank.writer.command(vec![placing]);
    bank.writer.wait(LIFE);
    assert_eq!(bank.writer.state().due(u64::MAX, 9), [1]);
    bank.writer.lose();
    assert_eq!(bank.writer.state().due(u64::MAX, 9), [0; 0]);
    bank.writer.wait(LIFE);
    let hold = bank.placed(30, None);
    assert_eq!(
        (bank.sums(), bank.writer.book.last_hold()),
        ((100, 30, 70), 1)
    );
    assert_eq!(bank.status(hold), Some(Status::Open));
}

#[test]
fn an_account_of_which_something_is_held_is_not_closed() {
    let mut bank = bank();
    let hold = bank.placed(100, None);
    let close = Action::Close {
        sweep: None,
        account: account_id(0),
    };
    let open = (Code::HoldsOpen, vec![100]);
    assert_eq!(refused(bank.ask(close.clone())), open);
    bank.capture(hold, None, false).expect("it holds 100");
    bank.done(close);
    let late = bank.capture(hold, Some(1), false);
    assert_eq!(refused(late).0, Code::AccountClosed);
}

#[test]
fn a_hold_is_known_to_its_account_alone() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    let by_another = Action::Hold {
        account: account_id(1),
        action: HoldAction::Release { hold },
    };
    assert_eq!(refused(bank.ask(by_another)).0, Code::HoldNotFound);
    let elsewhere = TransactionId {
        ordinal: hold.ordinal + 1,
        ..hold
    };
    let nobodys = bank.capture(elsewhere, None, false);
    assert_eq!(refused(nobodys).0, Code::HoldNotFound);
}

#[test]
fn a_hold_that_has_ended_is_found_for_a_while_and_then_forgotten() {
    let mut bank = bank();
    let hold = bank.placed(60, None);
    bank.hold(HoldAction::Release { hold }).expect("it is open");
    bank.writer
        .wait(DEFAULT_LIFE + MEMORY - Duration::from_secs(1));
    bank.hold(place(1, None)).expect("it is covered");
    assert_eq!(bank.status(hold), Some(Status::Released));
    bank.writer.wait(Duration::from_secs(1));
    bank.writer.command(Vec::new());
    bank.writer.apply_all();
    let forgotten = bank.capture(hold, None, false);
    assert_eq!(refused(forgotten).0, Code::HoldNotFound);
    assert_eq!(bank.status(hold), None);
    same(&bank.writer);
}

#[test]
fn a_hold_that_a_refused_group_released_still_expires() {
    let mut bank = bank();
    let hold = bank.placed(60, Some(LIFE));
    let account = account_id(0);
    let about = |action| Action::Hold { account, action };
    // In flight, so that the group undoes a change of a change.
    let raise = bank.next(about(raise(hold, 5)));
    bank.writer.command(vec![raise]);
    let before = bank.writer.state().due(u64::MAX, 10);
    assert_eq!(before.len(), 1);
    let release = bank.next(about(HoldAction::Release { hold }));
    let too_much = bank.next(Action::Withdraw {
        account,
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(1_000),
    });
    let at = bank.writer.circumstances();
    let refused = decide_together(&mut bank.writer.state(), &at, &release, &[too_much]);
    assert!(refused[0].result.is_err());
    assert_eq!(bank.writer.state().due(u64::MAX, 10), before);
}

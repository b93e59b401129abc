//! Laws of spending limits: what counts, on which day, and what a limit below it does.

use std::time::Duration;

use ledger_domain::{
    Action, Book, Code, Command, Event, HoldAction, HouseCode, Limit, Outcome, Rejection, ShardId,
    SpendingLimit, TransactionId,
    command::Channel,
    hold::Payee,
    spending::{Spending, overview},
    state::State,
};

use crate::{
    generate::{account_id, amount, command, currency, date, numbered},
    stored_book::same,
    writer::{Answer, Work, Writer, replayed},
};

/// A shard with two accounts, of which the first has money, and that gives every command a key.
struct Bank {
    writer: Writer,
    asked: Vec<Command>,
}

type Told = Result<Vec<Event>, Rejection>;

impl Bank {
    fn new() -> Self {
        let writer = Writer::new(ShardId(1));
        let mut bank = Self {
            writer,
            asked: Vec::new(),
        };
        let open = |account| {
            command(Action::Open {
                account: account_id(account),
                currency: currency("EUR"),
                limit: Limit::Overdraft(0),
                opened_on: Some(date(-2)),
            })
        };
        let deposit = command(Action::Deposit {
            account: account_id(0),
            house: HouseCode::Cash,
            currency: currency("EUR"),
            amount: amount(10_000),
        });
        for told in bank.ask([open(0), open(1), deposit]) {
            told.expect("nothing speaks against it");
        }
        bank
    }

    fn number(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<Command> {
        let before = self.asked.len();
        self.asked.extend(commands);
        self.asked = numbered(std::mem::take(&mut self.asked));
        self.asked[before..].to_vec()
    }

    fn outcomes(&mut self, work: Vec<Work>) -> Vec<Outcome> {
        let answers = self.writer.propose(work);
        self.writer.apply_all();
        let outcomes = answers.into_iter().map(|answer| match answer {
            Answer::Decided(outcome) => outcome,
            other => panic!("{other:?}"),
        });
        outcomes.collect()
    }

    /// Asks for commands that share an entry.
    fn ask(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<Told> {
        let commands = self.number(commands);
        let work = commands.into_iter().map(Work::Command).collect();
        let outcomes = self.outcomes(work).into_iter();
        outcomes.map(|outcome| outcome.result).collect()
    }

    fn tell(&mut self, asked: Command) -> Told {
        self.ask([asked]).pop().expect("one answer")
    }

    /// What was spent by a channel on a day, counted from today.
    fn spent(&self, channel: Channel, day: i32) -> i64 {
        let spent = self.writer.book.spent(&account_id(0), date(day));
        spent.by(channel)
    }

    /// The hold that was placed last.
    fn hold(&self) -> TransactionId {
        let book = &self.writer.book;
        let hold = book.hold(book.last_hold()).expect("it is there");
        hold.placed.expect("it is applied")
    }
}

fn by(channel: Channel, action: Action) -> Command {
    let mut command = command(action);
    command.info.channel = channel;
    command
}

fn withdraw(units: i64) -> Action {
    Action::Withdraw {
        account: account_id(0),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(units),
    }
}

fn transfer(units: i64, to_shard: u32) -> Action {
    Action::Transfer {
        from: account_id(0),
        to: account_id(1),
        to_shard: ShardId(to_shard),
        currency: currency("EUR"),
        amount: amount(units),
        payee_memo: None,
    }
}

fn hold(action: HoldAction) -> Action {
    let account = account_id(0);
    Action::Hold { account, action }
}

fn place(units: i64, life: Option<Duration>) -> Action {
    hold(HoldAction::Place {
        currency: currency("EUR"),
        amount: amount(units),
        life,
    })
}

fn limit(channel: Channel, per_transaction: Option<i64>, per_day: Option<i64>) -> Command {
    command(Action::SetSpendingLimit {
        account: account_id(0),
        channel,
        limit: SpendingLimit {
            per_transaction,
            per_day,
        },
    })
}

fn close_day(day: i32) -> Command {
    command(Action::CloseDay {
        books: account_id(0),
        date: date(day),
    })
}

fn refused(code: Code, figures: &[i64]) -> Told {
    Err(Rejection::new(code, figures))
}

#[test]
fn what_goes_out_counts_by_its_channel_and_nothing_else_does() {
    let mut bank = Bank::new();
    let mut forced = by(Channel::Card, withdraw(1_000));
    forced.forced = true;
    let mut backdated = by(Channel::Card, withdraw(7));
    backdated.info.effective_date = Some(date(-1));
    let asked = [
        (by(Channel::Card, withdraw(1)), 1),
        (by(Channel::Card, transfer(2, 1)), 3),
        (by(Channel::Card, transfer(4, 2)), 7),
        (by(Channel::Card, place(8, None)), 15),
        (backdated, 22),
        (forced, 22),
        (by(Channel::System, withdraw(16)), 22),
        (by(Channel::Online, withdraw(32)), 22),
        (by(Channel::Card, withdraw(100_000)), 22),
    ];
    for (command, spent) in asked {
        let what = format!("{command:?}");
        let enough = !what.contains("100000");
        assert_eq!(bank.tell(command).is_ok(), enough, "{what}");
        assert_eq!(bank.spent(Channel::Card, 0), spent, "{what}");
    }
    let placed = bank.hold();
    let eur = currency("EUR");
    let raise = hold(HoldAction::Raise {
        hold: placed,
        currency: eur,
        amount: amount(16),
    });
    let capture = hold(HoldAction::Capture {
        hold: placed,
        money: Some((eur, amount(20))),
        payee: Payee::House(HouseCode::Fees),
        last: false,
    });
    let release = hold(HoldAction::Release { hold: placed });
    // What is captured was counted; what is given back stays so.
    for (action, spent) in [(raise, 38), (capture, 38), (release, 38)] {
        bank.tell(by(Channel::Card, action)).expect("it is open");
        assert_eq!(bank.spent(Channel::Card, 0), spent);
    }
    // Neither what expires nor what comes back is given back.
    let life = Some(Duration::from_millis(1));
    bank.tell(by(Channel::Card, place(2, life)))
        .expect("there is enough");
    bank.writer.wait(Duration::from_secs(1));
    bank.outcomes(vec![Work::Resolve {
        destination: ShardId(2),
        number: 1,
        refused: Some(Rejection::from(Code::AccountClosed)),
    }]);
    assert_eq!(
        bank.writer.book.account(&account_id(0)).map(|it| it.held),
        Some(0)
    );
    assert_eq!(bank.spent(Channel::Card, 0), 40);
    assert_eq!(bank.spent(Channel::Online, 0), 32);
    assert_eq!(bank.spent(Channel::Teller, 0), 0, "a deposit is not spent");
    let sweep = Action::Close {
        account: account_id(0),
        sweep: Some(Payee::House(HouseCode::Cash)),
    };
    bank.tell(by(Channel::Card, sweep))
        .expect("nothing is open");
    assert_eq!(bank.spent(Channel::Card, 0), 40, "a sweep is not spent");
}

#[test]
fn a_limit_refuses_what_is_beyond_it_by_its_channel_alone() {
    let mut bank = Bank::new();
    let card = |units| by(Channel::Card, withdraw(units));
    let told = bank.ask([
        limit(Channel::Card, Some(50), Some(120)),
        card(51),
        card(50),
        card(50),
        card(21),
        by(Channel::Online, withdraw(51)),
        by(Channel::System, withdraw(51)),
        by(Channel::Card, place(20, None)),
        by(Channel::Card, place(1, None)),
        by(Channel::Card, transfer(1, 2)),
        card(60_000),
    ]);
    let codes: Vec<_> = told
        .iter()
        .map(|it| it.as_ref().err().map(|why| why.code))
        .collect();
    let daily = Some(Code::DailyLimitExceeded);
    let once = Some(Code::TransactionLimitExceeded);
    let poor = Some(Code::InsufficientFunds);
    let expected = [
        None, once, None, None, daily, None, None, None, daily, daily, poor,
    ];
    assert_eq!(codes, expected);
    assert_eq!(told[1], refused(Code::TransactionLimitExceeded, &[50, 51]));
    assert_eq!(told[4], refused(Code::DailyLimitExceeded, &[120, 100, 21]));
    let raise = hold(HoldAction::Raise {
        hold: bank.hold(),
        currency: currency("EUR"),
        amount: amount(1),
    });
    assert_eq!(
        bank.tell(by(Channel::Card, raise)),
        refused(Code::DailyLimitExceeded, &[120, 120, 1])
    );
    let mut forced = card(9_000);
    forced.forced = true;
    bank.tell(forced).expect("it is forced");
    // Taken away again, nothing is refused.
    let told = bank.ask([limit(Channel::Card, None, None), card(60)]);
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    assert!(bank.writer.book.spending_limits(&account_id(0)).is_empty());
}

#[test]
fn what_was_spent_is_forgotten_with_its_business_day() {
    let mut bank = Bank::new();
    let card = || by(Channel::Card, withdraw(60));
    // All in one entry: what comes after the close is of the day after.
    let told = bank.ask([
        limit(Channel::Card, None, Some(100)),
        card(),
        card(),
        close_day(0),
        card(),
        card(),
    ]);
    let done: Vec<_> = told.iter().map(Result::is_ok).collect();
    assert_eq!(done, [true, true, false, true, true, false]);
    assert_eq!(told[5], refused(Code::DailyLimitExceeded, &[100, 60, 60]));
    assert_eq!(
        (bank.spent(Channel::Card, 0), bank.spent(Channel::Card, 1)),
        (0, 60)
    );
    // A book made of stored bytes goes on from there.
    let again: [fn(&Writer) -> Book; 2] = [same, |it| replayed(ShardId(1), &it.log)];
    for again in again {
        bank.writer.book = again(&bank.writer);
        assert_eq!(bank.spent(Channel::Card, 1), 60);
        assert_eq!(
            bank.tell(card()),
            refused(Code::DailyLimitExceeded, &[100, 60, 60])
        );
    }
}

#[test]
fn a_limit_below_what_was_spent_says_so_and_refuses_until_the_next_day() {
    let mut bank = Bank::new();
    let card = |units| by(Channel::Card, withdraw(units));
    bank.tell(card(80)).expect("nothing limits it");
    let told = bank.tell(limit(Channel::Card, None, Some(50)));
    let Ok(
        [
            Event::SpendingLimitSet {
                limit: set,
                date: on,
                spent,
                ..
            },
        ],
    ) = told.as_deref()
    else {
        panic!("{told:?}");
    };
    assert_eq!(
        (*on, *spent, set.is_exceeded_by(*spent)),
        (date(0), 80, true)
    );
    let seen = overview(&bank.writer.book, &account_id(0), date(0));
    let expected = Spending {
        channel: Channel::Card,
        limit: *set,
        spent: 80,
    };
    assert_eq!(seen, [expected]);
    assert_eq!(
        bank.tell(card(1)),
        refused(Code::DailyLimitExceeded, &[50, 80, 1])
    );
    bank.tell(close_day(0)).expect("it has begun");
    bank.tell(card(50)).expect("it is a new day");
    assert_eq!(
        overview(&bank.writer.book, &account_id(0), date(1))[0].spent,
        50
    );
}

#[test]
fn a_group_that_is_refused_has_spent_nothing() {
    let mut bank = Bank::new();
    bank.tell(limit(Channel::Card, None, Some(100)))
        .expect("it is open");
    let card = |units| by(Channel::Card, withdraw(units));
    let group = bank.number([card(60), card(60)]);
    let outcomes = bank.outcomes(vec![Work::Group(group)]);
    assert_eq!(outcomes.len(), 1);
    assert_eq!(
        outcomes[0].result,
        refused(Code::DailyLimitExceeded, &[100, 60, 60])
    );
    assert_eq!(bank.spent(Channel::Card, 0), 0);
    let group = bank.number([card(60), card(40)]);
    let outcomes = bank.outcomes(vec![Work::Group(group)]);
    assert!(outcomes.iter().all(|it| it.result.is_ok()), "{outcomes:?}");
    assert_eq!(bank.spent(Channel::Card, 0), 100);
}

/// Whoever goes on from a book of before spending was counted has the leader's figure from here on.
#[test]
fn the_event_of_a_limit_brings_what_was_spent() {
    let mut bank = Bank::new();
    bank.tell(by(Channel::Card, withdraw(80)))
        .expect("there is enough");
    let mut old = bank.writer.book.clone();
    old.set_spent(account_id(0), date(0), Default::default());
    let told = bank.tell(limit(Channel::Card, None, Some(100)));
    for event in told.expect("it is open") {
        ledger_domain::evolve(&mut old, &event).expect("it follows");
    }
    let spent = |state: &Book| state.spent(&account_id(0), date(0));
    assert_eq!(spent(&old), spent(&bank.writer.book));
    assert_eq!(spent(&old).by(Channel::Card), 80);
}

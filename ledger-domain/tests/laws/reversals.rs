//! Laws of reversals: what was moved is moved back once, whoever asks for which parts.

use ledger_domain::{
    AccountId, Action, Code, Command, HouseCode, Limit, Moved, MovedPayment, Outcome, Position,
    ShardId, TransactionId, state::State,
};

use crate::{
    generate::{account_id, amount, command, currency, numbered},
    writer::{Answer, EPOCH, Writer},
};

/// A book in which one account was given 100 and paid 60 of it to another; and the payment's id.
fn a_payment() -> (Writer, TransactionId, MovedPayment) {
    let eur = currency("EUR");
    let open = |number| Action::Open {
        account: account_id(number),
        currency: eur,
        limit: Limit::Overdraft(0),
        opened_on: None,
    };
    let actions = [
        open(0),
        open(1),
        Action::Deposit {
            account: account_id(0),
            house: HouseCode::Cash,
            currency: eur,
            amount: amount(100),
        },
        Action::Transfer {
            from: account_id(0),
            to: account_id(1),
            to_shard: ShardId(1),
            currency: eur,
            amount: amount(60),
            payee_memo: None,
        },
    ];
    let mut writer = Writer::new(ShardId(1));
    let answers = writer.command(numbered(actions.map(command)));
    writer.apply_all();
    let Some(Answer::Decided(paid)) = answers.into_iter().next_back() else {
        panic!("it is asked for the first time");
    };
    let position = Position {
        shard: ShardId(1),
        epoch: EPOCH,
        index: writer.book.applied(),
    };
    let id = TransactionId {
        position,
        ordinal: 3,
    };
    let Some(Moved::Payment(moved)) = Moved::by(&paid) else {
        panic!("it is a payment");
    };
    (writer, id, moved)
}

/// Reversals of so much of a payment, each under a key of its own; `from` keys are taken.
fn reversals(
    from: usize,
    original: TransactionId,
    moved: &MovedPayment,
    parts: &[Option<i64>],
) -> Vec<Command> {
    let reverse = |part: &Option<i64>| {
        command(Action::Reverse {
            account: account_id(0),
            original,
            moved: Some(Box::new(Moved::Payment(moved.clone()))),
            money: part.map(|units| (currency("EUR"), amount(units))),
        })
    };
    let taken = (0..from).map(|_| reverse(&None));
    numbered(taken.chain(parts.iter().map(reverse))).split_off(from)
}

fn told(answers: Vec<Answer>) -> Vec<Result<(), (Code, Vec<i64>)>> {
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(Outcome { result, .. }) => {
            result.map(drop).map_err(|why| (why.code, why.figures))
        }
        other => panic!("{other:?}"),
    });
    told.collect()
}

fn balances(writer: &Writer) -> [i64; 2] {
    let posted = |id: AccountId| writer.book.account(&id).expect("it was opened").posted;
    [posted(account_id(0)), posted(account_id(1))]
}

/// Also those of one entry, and those that are asked for while others are in flight.
#[test]
fn parts_never_come_to_more_than_the_original() {
    let (mut writer, id, moved) = a_payment();
    let mut asked = reversals(
        4,
        id,
        &moved,
        &[Some(25), Some(36), Some(10), None, None, Some(1)],
    );
    let later = asked.split_off(2);
    let mut answers = writer.command(asked);
    answers.extend(writer.command(later));
    writer.apply_all();
    let exceeded = |left, asked| Err((Code::ReversalExceeded, vec![left, asked]));
    let expected = [
        Ok(()),
        exceeded(35, 36),
        Ok(()),
        Ok(()),
        exceeded(0, 60),
        exceeded(0, 1),
    ];
    assert_eq!(told(answers), expected);
    assert_eq!(balances(&writer), [100, 0]);
    assert_eq!(writer.book.reversed(&id), 60);
}

#[test]
fn whoever_has_spent_it_pays_it_back_only_where_that_is_forced() {
    let (mut writer, id, moved) = a_payment();
    let spend = command(Action::Withdraw {
        account: account_id(1),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(50),
    });
    let spend = numbered((0..5).map(|_| spend.clone())).split_off(4);
    writer.command(spend);
    let mut asked = reversals(5, id, &moved, &[None, None, Some(10)]);
    asked[1].forced = true;
    asked.swap(1, 2);
    let answers = writer.command(asked);
    writer.apply_all();
    let insufficient = Err((Code::InsufficientFunds, vec![10, 60]));
    assert_eq!(told(answers), [insufficient, Ok(()), Ok(())]);
    assert_eq!(balances(&writer), [100, -50]);
}

#[test]
fn a_reversal_counts_from_its_original_at_the_earliest_and_is_not_reversed() {
    let (mut writer, id, moved) = a_payment();
    let later = MovedPayment {
        effective_date: moved.effective_date.tomorrow(),
        ..moved.clone()
    };
    let days = i64::from(moved.effective_date.days());
    let too_early = reversals(4, id, &later, &[None]);
    let answers = writer.command(too_early);
    let refused = (Code::DateBeforeOriginal, vec![days, days + 1]);
    assert_eq!(told(answers), [Err(refused)]);
    let Some(Answer::Decided(reversal)) = writer.command(reversals(5, id, &moved, &[None])).pop()
    else {
        panic!("it is asked for the first time");
    };
    assert_eq!(Moved::by(&reversal), None);
    let mut again = reversals(6, id, &moved, &[None]);
    let Action::Reverse { moved, .. } = &mut again[0].action else {
        panic!("a reversal");
    };
    *moved = None;
    let not_reversible = (Code::NotReversible, vec![]);
    assert_eq!(told(writer.command(again)), [Err(not_reversible)]);
}

//! Laws of suspense: what is there has an owner, and is cleared once; and of what is swept.

use ledger_domain::{
    Action, Code, HouseCode, Limit, Outcome, Rejection, ShardId, Suspended, account::Status,
    hold::Payee, state::State,
};

use crate::{
    generate::{account_id, amount, command, currency, numbered},
    writer::{Answer, Work, Writer},
};

/// A book in which an account was closed, swept to another shard, and what was swept came back.
fn swept_in_vain() -> Writer {
    let (owner, eur) = (account_id(0), currency("EUR"));
    let there = ShardId(2);
    let mut writer = Writer::new(ShardId(1));
    let sweep = Payee::Account {
        to: account_id(1),
        to_shard: there,
        memo: None,
    };
    let actions = [
        Action::Open {
            account: owner,
            currency: eur,
            limit: Limit::Overdraft(0),
            opened_on: None,
        },
        Action::Deposit {
            account: owner,
            house: HouseCode::Cash,
            currency: eur,
            amount: amount(100),
        },
        Action::Close {
            account: owner,
            sweep: Some(sweep),
        },
    ];
    for answer in writer.command(numbered(actions.map(command))) {
        let done = matches!(&answer, Answer::Decided(Outcome { result: Ok(_), .. }));
        assert!(done, "{answer:?}");
    }
    let back = Work::Resolve {
        destination: there,
        number: 1,
        refused: Some(Rejection::from(Code::AccountNotFound)),
    };
    writer.propose(vec![back]);
    writer.apply_all();
    writer
}

#[test]
fn what_was_swept_in_vain_is_in_suspense_and_says_whose_it_is() {
    let writer = swept_in_vain();
    let (book, eur) = (&writer.book, currency("EUR"));
    let owner = book.account(&account_id(0)).expect("it was opened");
    assert_eq!(
        (owner.status, owner.posted, owner.under_way),
        (Status::Closed, 0, 0)
    );
    let items: Vec<_> = book.in_suspense().collect();
    let expected = Suspended {
        owner: account_id(0),
        other: account_id(1),
        currency: eur,
        amount: amount(100),
        since: book.time(),
        why: Rejection::from(Code::AccountNotFound),
    };
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].1, &expected);
    assert_eq!(book.house(&HouseCode::Suspense, eur), Some(100));
}

/// Also by two who ask at the same time, and when the first is still in flight.
#[test]
fn an_item_is_cleared_once() {
    let mut writer = swept_in_vain();
    let put = writer.book.in_suspense().next().map(|(put, _)| *put);
    let put = put.expect("it has one");
    let clear = || {
        command(Action::ClearSuspense {
            owner: account_id(0),
            put,
            to: Payee::House(HouseCode::Fees),
        })
    };
    // Under keys of their own: the first three stand for those that the book has seen.
    let commands = numbered((0..7).map(|_| clear())).split_off(3);
    let [first, second, third, fourth] = commands.try_into().expect("four of them");
    let mut answers = writer.command(vec![first, second]);
    answers.extend(writer.command(vec![third]));
    writer.apply_all();
    answers.extend(writer.command(vec![fourth]));
    writer.apply_all();
    let told = answers.into_iter().map(|answer| match answer {
        Answer::Decided(outcome) => outcome.result.map(drop).map_err(|why| why.code),
        other => panic!("{other:?}"),
    });
    let told: Vec<_> = told.collect();
    let gone = Err(Code::SuspenseItemNotFound);
    assert_eq!(told, [Ok(()), gone, gone, gone]);
    let (book, eur) = (&writer.book, currency("EUR"));
    assert_eq!(book.house(&HouseCode::Fees, eur), Some(100));
    assert_eq!(book.house(&HouseCode::Suspense, eur), Some(0));
    assert_eq!(book.in_suspense().count(), 0);
}

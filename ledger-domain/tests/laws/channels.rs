//! Law: money is conserved, within every book and between any two, whatever the order of steps.

use ledger_domain::{
    Action, Code, Event, HouseCode, Limit, Outcome, Rejection, ShardId,
    event::{ChannelItem, ItemRef},
    state::{Outbound, State},
};
use proptest::{collection::vec, prelude::*};

use crate::{
    generate::{account_id, amount, beginning, command, currency, date, numbered},
    shards::{Shards, Step, a_step},
    tries,
    view::View,
    writer::{Answer, Work, Writer, replayed},
};

/// A beginning and steps, every command under a key of its own.
fn history(shards: u32) -> impl Strategy<Value = Vec<Step>> {
    (beginning(), vec(a_step(shards), 0..60)).prop_map(|(beginning, steps)| {
        let asked = steps.iter().flat_map(|step| match step {
            Step::Ask(commands) => commands.as_slice(),
            _ => &[],
        });
        let mut commands = numbered(beginning.iter().chain(asked).cloned()).into_iter();
        let first = Step::Ask(commands.by_ref().take(beginning.len()).collect());
        let rest = steps.into_iter().map(|step| match step {
            Step::Ask(old) => Step::Ask(commands.by_ref().take(old.len()).collect()),
            other => other,
        });
        std::iter::once(first).chain(rest).collect()
    })
}

proptest! {
    #![proptest_config(tries(400))]

    #[test]
    fn money_is_conserved_within_and_between_books(
        (shards, history) in (1..=3u32).prop_flat_map(|n| (Just(n), history(n)))
    ) {
        let mut shards = Shards::new(shards);
        for step in history {
            shards.step(step);
            shards.check_against_model();
        }
        shards.settle();
        shards.check_against_model();
        for (shard, writer) in &shards.writers {
            prop_assert_eq!(writer.book.under_way().count(), 0);
            for (code, _, balance) in writer.book.houses() {
                prop_assert!(!matches!(code, HouseCode::InTransit(_)) || balance == 0);
            }
            let replay = replayed(*shard, &writer.log);
            prop_assert_eq!(View::of(&replay, &writer.keys), writer.book_view());
        }
    }
}

#[test]
fn a_return_that_the_payer_cannot_take_goes_to_suspense() {
    let (payer, payee, eur) = (account_id(0), account_id(1), currency("EUR"));
    let there = ShardId(2);
    let mut writer = Writer::new(ShardId(1));
    let deposit = |house, units| Action::Deposit {
        account: payer,
        house,
        currency: eur,
        amount: amount(units),
    };
    let actions = [
        Action::Open {
            account: payer,
            currency: eur,
            limit: Limit::Overdraft(0),
            opened_on: None,
        },
        deposit(HouseCode::Cash, 100),
        Action::Transfer {
            from: payer,
            to: payee,
            to_shard: there,
            currency: eur,
            amount: amount(100),
            payee_memo: None,
        },
        deposit(HouseCode::Equity, i64::MAX),
    ];
    for answer in writer.command(numbered(actions.map(command))) {
        assert!(matches!(
            answer,
            Answer::Decided(Outcome { result: Ok(_), .. })
        ));
    }
    let back = Work::Resolve {
        destination: there,
        number: 1,
        refused: Some(Rejection::from(Code::AccountNotFound)),
    };
    let twice = writer.propose(vec![back.clone(), back]);
    assert!(matches!(twice[..], [Answer::Decided(_), Answer::Nothing]));
    writer.apply_all();

    let book = &writer.book;
    assert_eq!(book.house(&HouseCode::Suspense, eur), Some(100));
    assert_eq!(book.house(&HouseCode::InTransit(there), eur), Some(0));
    let left = book.account(&payer).expect("it was opened");
    assert_eq!((left.posted, left.under_way), (i64::MAX, 0));
    let closed = Outbound {
        sent: 1,
        under_way: 0,
    };
    assert_eq!(book.outbound(there), closed);
    assert!(book.sums().values().all(|sum| *sum == 0));
}

#[test]
fn an_account_opened_where_it_is_tomorrow_already_can_be_paid() {
    let (payee, eur) = (account_id(1), currency("EUR"));
    let mut writer = Writer::new(ShardId(2));
    let open = Action::Open {
        account: payee,
        currency: eur,
        limit: Limit::Overdraft(0),
        opened_on: Some(date(0)),
    };
    writer.command(numbered([command(open)]));
    let mut arrives = |number, days| {
        let item = ChannelItem {
            source: ShardId(1),
            source_epoch: 1,
            destination: ShardId(2),
            number,
            payer: account_id(0),
            payee,
            currency: eur,
            amount: amount(100),
            effective_date: date(days),
            memo: None,
            correlation_id: String::new(),
        };
        let reference = ItemRef {
            source: item.source,
            source_epoch: item.source_epoch,
            number,
            hash: [7; 32],
        };
        let work = Work::Receive {
            item,
            reference,
            index: 1,
            ordinal: 0,
        };
        match writer.propose(vec![work]).pop() {
            Some(Answer::Decided(Outcome {
                result: Ok(events), ..
            })) => events.last().cloned(),
            other => panic!("{other:?}"),
        }
    };
    for (number, days, counts_from) in [(1, -1, date(0)), (2, 0, date(0))] {
        let Some(Event::TransferReceived { effective_date, .. }) = arrives(number, days) else {
            panic!("an item of day {days} is refused");
        };
        assert_eq!(effective_date, counts_from);
    }
    let Some(Event::TransferRefused { rejection, .. }) = arrives(3, -2) else {
        panic!("no two calendars are two days apart");
    };
    assert_eq!(rejection.code, Code::DateBeforeOpening);
}

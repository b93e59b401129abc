//! Law: money is conserved, within every book and between any two, whatever the order of steps.

use ledger_domain::{
    AccountId, Action, Amount, Book, Code, Event, HouseCode, Limit, Outcome, Rejection, ShardId,
    event::{ChannelItem, ItemRef},
    state::{Outbound, State},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    generate::{
        ORDINARY, account_id, amount, beginning, command, currency, date, extreme, numbered,
        ordinary,
    },
    shards::{Shards, Step, a_step},
    tries,
    view::View,
    writer::{Answer, Work, Writer, replayed},
};

/// A beginning and steps, every command under a key of its own.
pub fn history(shards: u32, amounts: BoxedStrategy<Amount>) -> impl Strategy<Value = Vec<Step>> {
    (beginning(), vec(a_step(shards, amounts), 0..60)).prop_map(|(beginning, steps)| {
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
        (shards, history) in (1..=3u32).prop_flat_map(|n| (Just(n), history(n, ordinary())))
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
            prop_assert_eq!(View::of_book(&replay, &writer.keys), writer.book_view());
        }
    }
}

/// What may happen to a shard that pays two others, where every balance is near its edge.
#[derive(Debug, Clone)]
enum Squeeze {
    /// The payer gets as much as still fits: whatever comes back now has to go to suspense.
    Brim(HouseCode),
    /// Suspense gives money, or takes it.
    Suspense(bool, Amount),
    Send(ShardId, Amount),
    /// The `n`th transfer under way ends, for better or worse.
    End(usize, bool),
}

fn a_squeeze() -> impl Strategy<Value = Squeeze> {
    let house = select(vec![HouseCode::Cash, HouseCode::Fees, HouseCode::Equity]);
    let there = select(vec![ShardId(2), ShardId(3)]);
    prop_oneof![
        2 => house.prop_map(Squeeze::Brim),
        2 => (any::<bool>(), extreme()).prop_map(|(gives, a)| Squeeze::Suspense(gives, a)),
        3 => (there, extreme()).prop_map(|(to, a)| Squeeze::Send(to, a)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, taken)| Squeeze::End(n, taken)),
    ]
}

/// The one who pays, and one who owes the bank whatever it takes to fill suspense.
fn payer_and_debtor() -> [AccountId; 2] {
    [0, 1].map(account_id)
}

fn opened_without_limit() -> Vec<Action> {
    let open = |account| Action::Open {
        account,
        currency: currency("EUR"),
        limit: Limit::Unlimited,
        opened_on: None,
    };
    payer_and_debtor().map(open).into()
}

/// What a squeeze asks of the shard with this book.
fn squeezed(book: &Book, squeeze: &Squeeze) -> Option<Action> {
    let ([payer, debtor], currency) = (payer_and_debtor(), currency("EUR"));
    let deposit = |account, house, amount| Action::Deposit {
        account,
        house,
        currency,
        amount,
    };
    Some(match squeeze.clone() {
        Squeeze::Brim(house) => {
            let posted = book.account(&payer)?.posted;
            let missing = i64::MAX.saturating_sub(posted);
            deposit(payer, house, Amount::new(missing).ok()?)
        }
        Squeeze::Suspense(true, amount) => deposit(debtor, HouseCode::Suspense, amount),
        Squeeze::Suspense(false, amount) => Action::Withdraw {
            account: debtor,
            house: HouseCode::Suspense,
            currency,
            amount,
        },
        Squeeze::Send(to_shard, amount) => Action::Transfer {
            from: payer,
            to: account_id(2),
            to_shard,
            currency,
            amount,
            payee_memo: None,
        },
        Squeeze::End(..) => return None,
    })
}

/// The end of a transfer that is under way in the book.
fn an_end(book: &Book, number: usize, taken: bool) -> Option<Work> {
    let under_way: Vec<_> = book.under_way().collect();
    let sent = under_way.get(number.checked_rem(under_way.len())?)?;
    Some(Work::Resolve {
        destination: sent.item.destination,
        number: sent.item.number,
        refused: (!taken).then(|| Code::AccountNotFound.into()),
    })
}

proptest! {
    #![proptest_config(tries(400))]

    /// Whatever a shard has taken on, it can end: no settlement and no return lacks room.
    #[test]
    fn what_is_under_way_can_always_end(
        squeezes in vec(a_squeeze(), 0..60),
        last in vec(any::<bool>(), 8),
        bound in select(vec![ORDINARY, i64::MAX / 2, i64::MAX]),
    ) {
        let eur = currency("EUR");
        let mut writer = Writer::new(ShardId(1));
        writer.channel_money_bound = bound;
        writer.command(numbered(opened_without_limit().into_iter().map(command)));
        for (number, squeeze) in (1..).zip(&squeezes) {
            let work = match squeeze {
                Squeeze::End(number, taken) => an_end(&writer.book, *number, *taken),
                _ => squeezed(&writer.book, squeeze).map(|action| {
                    let mut command = command(action);
                    command.info.key.0 = [number; 16];
                    Work::Command(command)
                }),
            };
            writer.propose(work.into_iter().collect());
            writer.apply_all();
            let sums = writer.book.sums();
            prop_assert!(sums.values().all(|sum| *sum == 0));
            let in_transit = |to| {
                let house = writer.book.house(&HouseCode::InTransit(ShardId(to)), eur);
                i128::from(house.unwrap_or(0))
            };
            prop_assert!(in_transit(2).max(in_transit(3)) <= bound.into());
            prop_assert_eq!(writer.book.in_transit(eur), in_transit(2) + in_transit(3));
        }
        for (number, taken) in last.into_iter().enumerate() {
            let end = an_end(&writer.book, number, taken);
            writer.propose(end.into_iter().collect());
            writer.apply_all();
        }
        prop_assert_eq!(writer.book.under_way().count(), 0);
        prop_assert_eq!(writer.book.in_transit(eur), 0);
    }

    #[test]
    fn money_is_conserved_near_the_edges_of_what_a_balance_can_be(
        history in history(3, extreme())
    ) {
        let mut shards = Shards::new(3);
        for writer in shards.writers.values_mut() {
            writer.channel_money_bound = i64::MAX;
        }
        for step in history {
            shards.step(step);
            shards.check_against_model();
        }
        shards.settle();
        shards.check_against_model();
    }
}

#[test]
fn a_channel_takes_no_more_money_than_its_bound() {
    let mut writer = Writer::new(ShardId(1));
    writer.channel_money_bound = 100;
    let mut actions = opened_without_limit();
    let sends = [(2, 60), (2, 41), (2, 40), (3, 100)];
    actions.extend(sends.into_iter().filter_map(|(to, units)| {
        squeezed(&writer.book, &Squeeze::Send(ShardId(to), amount(units)))
    }));
    let answers = writer.command(numbered(actions.into_iter().map(command)));
    let refused: Vec<_> = answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Decided(outcome) => outcome.result.err(),
            other => panic!("{other:?}"),
        })
        .collect();
    let full = Rejection::new(Code::ChannelMoneyFull, [60, 100]);
    assert_eq!(refused, [None, None, None, Some(full), None, None]);
}

#[test]
fn what_one_account_has_under_way_keeps_within_its_range() {
    const MOST: i64 = i64::MAX - 9;
    let (payer, eur) = (account_id(0), currency("EUR"));
    let mut writer = Writer::new(ShardId(1));
    writer.channel_money_bound = i64::MAX;
    let deposit = |house| Action::Deposit {
        account: payer,
        house,
        currency: eur,
        amount: amount(MOST),
    };
    let send = |to, units| Action::Transfer {
        from: payer,
        to: account_id(1),
        to_shard: ShardId(to),
        currency: eur,
        amount: amount(units),
        payee_memo: None,
    };
    let actions = [
        Action::Open {
            account: payer,
            currency: eur,
            limit: Limit::Overdraft(0),
            opened_on: None,
        },
        // There is room in suspense for twice as much to come back into.
        deposit(HouseCode::Suspense),
        send(2, MOST),
        deposit(HouseCode::Cash),
        send(3, 10),
        send(3, 9),
    ];
    let answers = writer.command(numbered(actions.map(command)));
    let refused = answers.into_iter().filter_map(|answer| match answer {
        Answer::Decided(outcome) => outcome.result.err(),
        other => panic!("{other:?}"),
    });
    let full = Rejection::new(Code::BalanceOverflow, [MOST]);
    assert_eq!(refused.collect::<Vec<_>>(), [full]);
    writer.apply_all();
    let account = writer.book.account(&payer).expect("it was opened");
    assert_eq!((account.under_way, account.outgoing), (2, i64::MAX));
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
    for (number, days, counts_from) in [(1, -1, date(0)), (2, 0, date(0)), (3, -2, date(0))] {
        let Some(Event::TransferReceived { effective_date, .. }) = arrives(number, days) else {
            panic!("an item of day {days} is refused");
        };
        assert_eq!(effective_date, counts_from);
    }
    let Some(Event::TransferRefused { rejection, .. }) = arrives(4, -3) else {
        panic!("no two business dates are three days apart");
    };
    assert_eq!(rejection.code, Code::DateBeforeOpening);
}

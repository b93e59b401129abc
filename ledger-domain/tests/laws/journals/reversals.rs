//! Law: what a journal did is moved back by its opposite, all or none of it, and once; and what went to
//! another shard in parts that never come to more.

use std::collections::BTreeSet;

use ledger_domain::{
    Action, Code, Command, Event, HouseCode, JournalEvent, Moved, MovedPayment, Position,
    TransactionId,
    journal::{Party, Side},
    state::State as _,
};

use super::{World, an_exchange, deposit, home, journal, of, withdrawal};
use crate::generate::{account_id, amount, command, currency, date};

/// The last journal of a world that can be moved back, all of it or so much.
fn opposite(world: &World, units: Option<i64>) -> Command {
    let journals = world.moved.iter();
    let mut journals = journals.filter(|(_, moved)| matches!(moved, Moved::Journal(_)));
    let (original, moved) = journals.next_back().expect("a journal");
    command(Action::Reverse {
        account: account_id(0),
        original: *original,
        moved: Some(Box::new(moved.clone())),
        money: units.map(|units| (currency("EUR"), amount(units))),
    })
}

fn forced(mut command: Command) -> Command {
    command.forced = true;
    command.info.privileged = true;
    command
}

/// Account 0 has given 2 to account 1 and 3 to account 2, in other shards; that is posted.
fn a_posted_journal() -> World {
    let mut world = World::new(10);
    let legs = vec![
        of(0, Side::Debit, 5),
        of(1, Side::Credit, 2),
        of(2, Side::Credit, 3),
    ];
    world.ask(&journal(legs, None)).unwrap();
    let pending = opposite(&world, None);
    assert_eq!(world.ask(&pending), Err(Code::NotReversible));
    world.finish();
    assert_eq!(posted(&world), [5, 12, 13]);
    world
}

fn posted(world: &World) -> [i64; 3] {
    [0, 1, 2].map(|number| world.account(number).posted)
}

fn reversed(world: &World) -> i64 {
    let Action::Reverse { original, .. } = opposite(world, None).action else {
        panic!("a reversal");
    };
    world.book(home(account_id(0))).reversed(&original)
}

#[test]
fn a_journal_is_moved_back_whole_and_once_in_every_order() {
    let mut world = a_posted_journal();
    assert_eq!(
        world.ask(&opposite(&world, Some(5))),
        Err(Code::NotReversible)
    );
    world.ask(&opposite(&world, None)).unwrap();
    let twice = opposite(&world, None);
    assert_eq!(world.ask(&twice), Err(Code::ReversalExceeded));
    let mut ends = 0;
    world.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!(posted(world), [10, 10, 10]);
        assert_eq!(reversed(world), 5);
        assert_eq!(world.clone().ask(&twice), Err(Code::ReversalExceeded));
        ends += 1;
    });
    assert_eq!(ends, 1);
}

#[test]
fn what_one_shard_refuses_to_move_back_counts_no_more_in_every_order() {
    let mut world = a_posted_journal();
    world.ask(&withdrawal(1, 11)).unwrap();
    world.ask(&opposite(&world, None)).unwrap();
    assert_eq!(
        world.ask(&opposite(&world, None)),
        Err(Code::ReversalExceeded)
    );
    let mut ends = 0;
    world.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!((posted(world), reversed(world)), ([5, 1, 13], 0));
        let mut again = world.clone();
        again.ask(&deposit(1, 1)).unwrap();
        again.ask(&opposite(world, None)).unwrap();
        again.finish();
        assert_eq!((posted(&again), reversed(&again)), ([10, 0, 10], 5));
        ends += 1;
    });
    assert!(ends > 0);
}

#[test]
fn a_forced_reversal_of_a_journal_takes_what_is_not_there_and_says_so_in_all_logs() {
    let mut world = a_posted_journal();
    for (number, units) in [(1, 12), (2, 13)] {
        world.ask(&withdrawal(number, units)).unwrap();
    }
    world.may_overdraw = true;
    world.ask(&forced(opposite(&world, None))).unwrap();
    world.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!(posted(world), [10, -2, -3]);
        let says = world.events.iter().filter(|(_, event)| {
            matches!(
                event,
                Event::Journal(
                    JournalEvent::Opened { forced: true, .. }
                        | JournalEvent::Reserved { forced: true, .. }
                )
            )
        });
        assert_eq!(says.count(), 3);
    });
}

#[test]
fn an_exchange_of_one_book_is_moved_back_at_once_and_leaves_no_position() {
    let (mut world, rate) = an_exchange();
    let back = opposite(&world, None);
    let spent = command(Action::Withdraw {
        account: account_id(6),
        house: HouseCode::Cash,
        currency: currency("JPY"),
        amount: amount(1),
    });
    let mut short = world.clone();
    short.ask(&spent).unwrap();
    assert_eq!(short.ask(&back), Err(Code::InsufficientFunds));
    short.may_overdraw = true;
    short.ask(&forced(back.clone())).unwrap();
    assert_eq!(short.account(6).posted, -1);

    let before = world.events.len();
    world.ask(&back).unwrap();
    let told: Vec<_> = world.events[before..]
        .iter()
        .map(|(_, event)| event)
        .collect();
    let [
        Event::Reversed(part),
        Event::Journal(JournalEvent::Booked {
            rate: kept, forced, ..
        }),
    ] = told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((part.amount, part.total), (amount(2), amount(2)));
    assert_eq!((kept, *forced), (&Some(rate), false));
    let book = world.book(home(account_id(0)));
    for currency in ["EUR", "JPY"].map(currency) {
        assert_eq!(book.house(&HouseCode::FxPosition, currency), Some(0));
    }
    assert_eq!([0, 6].map(|it| world.account(it).posted), [10, 0]);
    assert_eq!(world.ask(&back), Err(Code::ReversalExceeded));
    // What moved it back is not moved back itself.
    let last = world.moved.last().map(|(id, _)| *id);
    let Action::Reverse { original, .. } = back.action else {
        panic!("a reversal");
    };
    assert_eq!(last, Some(original));
}

/// What account 0 paid to account 1, in another shard, is moved back; so much of it.
fn reversal(units: Option<i64>) -> Command {
    let position = Position {
        shard: home(account_id(0)),
        epoch: 1,
        index: 7,
    };
    let moved = MovedPayment {
        payer: Party::Account(account_id(0)),
        payee: Party::Account(account_id(1)),
        currency: currency("EUR"),
        amount: amount(6),
        effective_date: date(0),
        elsewhere: Some((home(account_id(1)), 1)),
    };
    command(Action::Reverse {
        account: account_id(0),
        original: TransactionId {
            position,
            ordinal: 0,
        },
        moved: Some(Box::new(Moved::Payment(moved))),
        money: units.map(|units| (currency("EUR"), amount(units))),
    })
}

#[test]
fn parts_of_what_went_to_another_shard_count_until_their_payee_refuses() {
    let mut world = World::new(10);
    world.ask(&reversal(Some(4))).unwrap();
    assert_eq!(world.ask(&reversal(Some(3))), Err(Code::ReversalExceeded));
    world.ask(&reversal(None)).unwrap();
    assert_eq!(world.ask(&reversal(None)), Err(Code::ReversalExceeded));
    let mut late = world.clone();
    world.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!([0, 1].map(|it| world.account(it).posted), [16, 4]);
    });
    // One can be met, and the other's part can be asked for again.
    late.ask(&withdrawal(1, 7)).unwrap();
    let mut ends = BTreeSet::new();
    late.explore(&mut BTreeSet::new(), &mut |world| {
        let posted = [0, 1].map(|it| world.account(it).posted);
        let mut again = world.clone();
        let rest = again.ask(&reversal(Some(6 - (posted[0] - 10))));
        assert_eq!(rest, Ok(()), "{posted:?}");
        assert_eq!(again.ask(&reversal(Some(1))), Err(Code::ReversalExceeded));
        ends.insert(posted);
    });
    assert_eq!(ends, [[12, 1]].into());
}

#[test]
fn a_forced_reversal_takes_what_its_payee_has_not_but_not_from_the_closed() {
    let forced = || {
        let mut forced = reversal(None);
        forced.forced = true;
        forced.info.privileged = true;
        forced
    };
    let mut world = World::new(10);
    world.ask(&withdrawal(1, 10)).unwrap();
    let mut closed = world.clone();
    world.may_overdraw = true;
    world.ask(&forced()).unwrap();
    world.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!([0, 1].map(|it| world.account(it).posted), [16, -6]);
    });
    let (account, sweep) = (account_id(1), None);
    closed
        .ask(&command(Action::Close { account, sweep }))
        .unwrap();
    closed.ask(&forced()).unwrap();
    closed.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!([0, 1].map(|it| world.account(it).posted), [10, 0]);
    });
}

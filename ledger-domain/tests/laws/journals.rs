//! Law: a journal is booked in all its shards or in none, in whatever order, and however often, its
//! shards hear each other; every book comes to zero at every step, and nothing is taken that is held.

use std::collections::BTreeSet;

use ledger_domain::{
    AccountId, Action, Asked, Book, Circumstances, Code, Command, Entry, Event, Hash, HouseCode,
    HybridTime, JournalEvent, Limit, Moved, Outcome, Position, ShardId, TransactionId,
    account::Account,
    conclude, decide,
    freeze::{Arriving, Blocks, FreezeType},
    hear,
    journal::{InvalidLegs, Leg, Legs, Party, PlacedLeg, Rate, Side},
    reserve,
    state::State as _,
};

use crate::{
    generate::{account_id, amount, command, currency, date},
    shards::{Message, messages},
    view::View,
};

mod reversals;

const SHARDS: u32 = 3;

fn home(account: AccountId) -> ShardId {
    crate::generate::home(account, SHARDS)
}

fn leg(party: Party, shard: ShardId, side: Side, units: i64) -> PlacedLeg {
    PlacedLeg {
        shard,
        party,
        side,
        currency: currency("EUR"),
        amount: amount(units),
    }
}

fn of(account: u8, side: Side, units: i64) -> PlacedLeg {
    let id = account_id(account);
    leg(Party::Account(id), home(id), side, units)
}

fn journal(legs: Vec<PlacedLeg>, rate: Option<Rate>) -> Command {
    command(Action::Journal {
        legs: Legs::new(legs).expect("legs that come to zero"),
        rate,
    })
}

/// Three books and what their logs say.
#[derive(Clone)]
struct World {
    books: Vec<Book>,
    said: Vec<(ShardId, ShardId, Message)>,
    events: Vec<(ShardId, Event)>,
    /// What can be moved back.
    moved: Vec<(TransactionId, Moved)>,
    steps: u64,
    may_overdraw: bool,
}

impl World {
    /// Accounts 0, 1 and 2 in the three shards, with so much on each; 3 to 5 with nothing.
    fn new(funds: i64) -> Self {
        let mut world = Self {
            books: (1..=SHARDS).map(|n| Book::new(ShardId(n), 1)).collect(),
            said: Vec::new(),
            events: Vec::new(),
            moved: Vec::new(),
            steps: 0,
            may_overdraw: false,
        };
        for number in 0..6 {
            let account = account_id(number);
            let open = Action::Open {
                account,
                currency: currency("EUR"),
                limit: Limit::Overdraft(0),
                opened_on: None,
            };
            world.ask(&command(open)).expect("a new account");
            if number < 3 {
                world.ask(&deposit(number, funds)).expect("an open account");
            }
        }
        world
    }

    fn at(&self, shard: ShardId) -> Circumstances {
        Circumstances {
            shard,
            epoch: 1,
            time: HybridTime::from_millis(crate::writer::BEGINNING_MS + self.steps),
            calendar_date: date(0),
            channel_bound: 6,
            channel_money_bound: 1_000,
        }
    }

    fn book(&self, shard: ShardId) -> &Book {
        &self.books[shard.0 as usize - 1]
    }

    fn account(&self, number: u8) -> Account {
        let id = account_id(number);
        self.book(home(id)).account(&id).expect("it was opened")
    }

    fn ask(&mut self, command: &Command) -> Result<(), Code> {
        let shard = home(command.action.account());
        let at = self.at(shard);
        let outcome = decide(&mut self.books[shard.0 as usize - 1], &at, command);
        let result = outcome.result.as_ref().map(drop).map_err(|it| it.code);
        self.learn(shard, outcome);
        result
    }

    fn learn(&mut self, shard: ShardId, outcome: Outcome) {
        self.steps += 1;
        if let Some(moved) = Moved::by(&outcome) {
            let position = Position {
                shard,
                epoch: 1,
                index: self.steps,
            };
            let id = TransactionId {
                position,
                ordinal: 0,
            };
            self.moved.push((id, moved));
        }
        let events = outcome.result.iter().flatten();
        self.events
            .extend(events.map(|event| (shard, event.clone())));
        let entry = Entry {
            shard,
            epoch: 1,
            time: HybridTime::ZERO,
            business_date: date(0),
            closed_through: None,
            prev_hash: Hash::default(),
            causes: Vec::new(),
            outcomes: vec![outcome],
        };
        for (to, message) in messages(&entry, self.steps) {
            let all = (1..=SHARDS).map(ShardId).filter(|peer| *peer != shard);
            match message {
                Message::Decision(..) => {
                    let said = all.map(|peer| (shard, peer, message.clone()));
                    self.said.extend(said);
                }
                _ => self.said.push((shard, to, message)),
            }
        }
        let sums = self.book(shard).sums();
        assert!(sums.values().all(|sum| *sum == 0), "{shard}: {sums:?}");
        for (id, account) in self.book(shard).accounts() {
            let is_covered = self.may_overdraw || account.available() >= Some(0);
            assert!(is_covered, "{id}: {account:?}");
        }
    }

    /// Lets a shard hear something again. `None` where nothing comes of it.
    fn hear(&self, said: usize) -> Option<Self> {
        let (from, to, message) = &self.said[said];
        let mut next = self.clone();
        let at = next.at(*to);
        let book = &mut next.books[to.0 as usize - 1];
        let outcome = match message.clone() {
            Message::Ask(asked) => reserve(book, &at, &asked),
            Message::Answer(number, refused) => hear(book, &at, number, *from, refused),
            Message::Decision(id, cancelled) => conclude(book, &at, id, cancelled),
        };
        next.learn(*to, outcome?);
        Some(next)
    }

    /// All that can follow, in one order.
    fn finish(&mut self) {
        while let Some(next) = (0..self.said.len()).find_map(|said| self.hear(said)) {
            *self = next;
        }
        self.is_whole();
    }

    /// All that can follow, in every order.
    fn explore(&self, seen: &mut BTreeSet<String>, end: &mut impl FnMut(&Self)) {
        let views: Vec<_> = self.books.iter().map(|it| View::of(it, &[])).collect();
        if !seen.insert(format!("{views:?}")) {
            return;
        }
        let mut is_end = true;
        for said in 0..self.said.len() {
            if let Some(next) = self.hear(said) {
                is_end = false;
                next.explore(seen, end);
            }
        }
        if is_end {
            self.is_whole();
            end(self);
        }
    }

    /// Nothing is open, and what was booked in one shard was booked in all.
    fn is_whole(&self) {
        for (shard, book) in (1..).map(ShardId).zip(&self.books) {
            assert_eq!(book.open_journals().count(), 0, "{shard}");
            assert_eq!(book.journal_count().open, 0);
            for (id, account) in book.accounts() {
                assert_eq!((account.held, account.accepted), (0, 0), "{id}");
            }
            for (code, currency, balance) in book.houses() {
                if let HouseCode::Clearing(peer) = code {
                    let mirror = HouseCode::Clearing(shard);
                    let mirrored = self.book(*peer).house(&mirror, currency);
                    assert_eq!(mirrored, Some(-balance));
                }
            }
        }
        let opened = self.events.iter().filter_map(|(shard, event)| match event {
            Event::Journal(JournalEvent::Opened { number, asks, .. }) => {
                Some((*shard, *number, asks.len() + 1))
            }
            _ => None,
        });
        for (coordinator, number, shards) in opened {
            let ends = self.events.iter().filter_map(|(_, event)| match event {
                Event::Journal(JournalEvent::Posted { journal, .. }) => Some((journal, true)),
                Event::Journal(JournalEvent::Cancelled { journal, .. }) => Some((journal, false)),
                _ => None,
            });
            let ends = ends.filter(|(it, _)| (it.coordinator, it.number) == (coordinator, number));
            let posted: Vec<bool> = ends.map(|(_, posted)| posted).collect();
            let all = posted.iter().filter(|posted| **posted).count();
            assert!(all == 0 || all == shards, "{posted:?} of {shards}");
        }
    }
}

fn deposit(account: u8, units: i64) -> Command {
    command(Action::Deposit {
        account: account_id(account),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(units),
    })
}

fn withdrawal(account: u8, units: i64) -> Command {
    command(Action::Withdraw {
        account: account_id(account),
        house: HouseCode::Cash,
        currency: currency("EUR"),
        amount: amount(units),
    })
}

/// What journals come to in every order, as the posted balances of accounts 0 to 2.
fn ends(commands: &[Command], funds: i64) -> BTreeSet<[i64; 3]> {
    let mut world = World::new(funds);
    for command in commands {
        world.ask(command).expect("it can be opened");
    }
    let mut ends = BTreeSet::new();
    let mut seen = BTreeSet::new();
    world.explore(&mut seen, &mut |world| {
        ends.insert([0, 1, 2].map(|number| world.account(number).posted));
    });
    assert!(seen.len() > 5, "{}", seen.len());
    ends
}

#[test]
fn one_journal_is_posted_in_every_order() {
    let legs = vec![
        of(0, Side::Debit, 5),
        of(1, Side::Credit, 2),
        of(2, Side::Credit, 3),
    ];
    let all = ends(&[journal(legs, None)], 10);
    assert_eq!(all, [[5, 12, 13]].into());
}

#[test]
fn one_journal_is_cancelled_in_every_order_where_one_shard_refuses() {
    let legs = vec![
        of(0, Side::Credit, 5),
        of(1, Side::Debit, 11),
        of(2, Side::Credit, 6),
    ];
    let all = ends(&[journal(legs, None)], 10);
    assert_eq!(all, [[10, 10, 10]].into());
}

#[test]
fn of_two_journals_over_the_same_money_one_at_most_is_posted_and_the_other_left_no_trace() {
    let first = vec![
        of(0, Side::Debit, 7),
        of(1, Side::Credit, 3),
        of(2, Side::Credit, 4),
    ];
    let second = vec![
        of(1, Side::Debit, 8),
        of(2, Side::Credit, 1),
        of(0, Side::Credit, 7),
    ];
    // Both fit; of the next two only one does.
    let both = ends(
        &[journal(first.clone(), None), journal(second.clone(), None)],
        10,
    );
    assert_eq!(both, [[10, 5, 15]].into());
    let greedy = vec![
        of(1, Side::Credit, 4),
        of(0, Side::Debit, 7),
        of(2, Side::Credit, 3),
    ];
    let either = ends(&[journal(first, None), journal(greedy, None)], 10);
    assert_eq!(either, [[3, 13, 14]].into());
    let crossed = [
        vec![
            of(0, Side::Debit, 7),
            of(1, Side::Debit, 7),
            of(2, Side::Credit, 14),
        ],
        vec![
            of(1, Side::Debit, 7),
            of(0, Side::Debit, 7),
            of(2, Side::Credit, 14),
        ],
    ];
    let crossed = crossed.map(|legs| journal(legs, None));
    // Each holds what the other asks for: they never wait, so at most one is posted, and it is
    // neither where both ask before either is cancelled.
    let some = [[3, 3, 24], [10, 10, 10]];
    assert_eq!(ends(&crossed, 10), some.into());
}

#[test]
fn two_journals_of_one_coordinator_are_asked_about_in_their_order() {
    let legs = |units| {
        vec![
            of(0, Side::Debit, units),
            of(1, Side::Debit, units),
            of(2, Side::Credit, 2 * units),
        ]
    };
    let commands = [journal(legs(6), None), journal(legs(4), None)];
    assert_eq!(ends(&commands, 10), [[0, 0, 30]].into());
    let commands = [journal(legs(4), None), journal(legs(5), None)];
    assert_eq!(ends(&commands, 10), [[1, 1, 28]].into());
}

#[test]
fn an_open_journal_holds_its_accounts_open_and_its_credits_in_place() {
    let mut world = World::new(10);
    let legs = vec![of(0, Side::Debit, 10), of(1, Side::Credit, 10)];
    world.ask(&journal(legs, None)).unwrap();
    assert_eq!((world.account(0).held, world.account(0).posted), (10, 10));
    assert_eq!(world.ask(&withdrawal(0, 1)), Err(Code::InsufficientFunds));
    let close = |account| {
        let account = account_id(account);
        let sweep = None;
        command(Action::Close { account, sweep })
    };
    assert_eq!(world.ask(&close(0)), Err(Code::JournalsOpen));
    let mut asked = world.hear(0).expect("shard 2 is asked");
    asked.ask(&withdrawal(1, 10)).unwrap();
    assert_eq!(asked.ask(&close(1)), Err(Code::JournalsOpen));
    let freeze = |account, blocks| {
        command(Action::Freeze {
            account: account_id(account),
            freeze: ledger_domain::Freeze {
                kind: FreezeType::Fraud,
                blocks,
                arriving: Arriving::Returns,
                until_ms: None,
                reason: String::new(),
            },
        })
    };
    for blocks in [Blocks::Credits, Blocks::All] {
        assert_eq!(asked.ask(&freeze(1, blocks)), Err(Code::JournalsOpen));
    }
    // What was reserved before is paid, whatever stops debits after.
    asked.ask(&freeze(0, Blocks::Debits)).unwrap();
    asked.ask(&freeze(1, Blocks::Debits)).unwrap();
    let mut ends = 0;
    asked.explore(&mut BTreeSet::new(), &mut |world| {
        assert_eq!((world.account(0).posted, world.account(1).posted), (0, 10));
        ends += 1;
    });
    assert_eq!(ends, 1);
}

/// Two euros of account 0 are exchanged for yen of account 6, of the same book: at once.
fn an_exchange() -> (World, Rate) {
    let mut world = World::new(10);
    let (eur, jpy) = (currency("EUR"), currency("JPY"));
    let yen = account_id(6);
    let open = Action::Open {
        account: yen,
        currency: jpy,
        limit: Limit::Overdraft(0),
        opened_on: None,
    };
    world.ask(&command(open)).unwrap();
    let bank = |side, currency, units| PlacedLeg {
        currency,
        ..leg(
            Party::House(HouseCode::FxPosition),
            home(account_id(0)),
            side,
            units,
        )
    };
    let legs = vec![
        of(0, Side::Debit, 2),
        bank(Side::Credit, eur, 2),
        bank(Side::Debit, jpy, 325),
        PlacedLeg {
            currency: jpy,
            ..leg(Party::Account(yen), home(yen), Side::Credit, 325)
        },
    ];
    let rate: Rate = "162.5".parse().unwrap();
    assert_eq!(home(yen), home(account_id(0)));
    world.ask(&journal(legs, Some(rate.clone()))).unwrap();
    (world, rate)
}

#[test]
fn an_exchange_leaves_a_position_in_each_currency() {
    let (world, rate) = an_exchange();
    let (eur, jpy, yen) = (currency("EUR"), currency("JPY"), account_id(6));
    let book = world.book(home(yen));
    assert_eq!(book.house(&HouseCode::FxPosition, eur), Some(2));
    assert_eq!(book.house(&HouseCode::FxPosition, jpy), Some(-325));
    assert_eq!(book.account(&yen).unwrap().posted, 325);
    let recorded = world.events.iter().any(|(_, event)| {
        matches!(event, Event::Journal(JournalEvent::Booked { rate: Some(it), .. }) if *it == rate)
    });
    assert!(recorded);
    let frozen = book.trial_balance().into_iter();
    let positions = frozen.filter(|row| row.house == Some(HouseCode::FxPosition));
    let positions: Vec<_> = positions
        .map(|row| (row.currency, row.credit - row.debit))
        .collect();
    assert_eq!(positions, [(eur, 2), (jpy, -325)]);
}

/// What no coordinator asks for is neither set aside nor refused: it would stop a channel.
#[test]
fn what_no_coordinator_asks_for_is_not_answered() {
    let mut world = World::new(10);
    let debits = vec![
        of(1, Side::Debit, 6),
        of(2, Side::Debit, 6),
        of(0, Side::Credit, 12),
    ];
    world.ask(&journal(debits, None)).unwrap();
    let (_, to, message) = world.said[0].clone();
    let Message::Ask(asked) = message else {
        panic!("{message:?}");
    };
    let with = |legs: &[&Leg]| Asked {
        legs: legs.iter().map(|leg| (*leg).clone()).collect(),
        ..asked.clone()
    };
    let leg = &asked.legs[0];
    let (none, twice) = (with(&[]), with(&[leg, leg]));
    let many = with(&[leg; 64]);
    assert_eq!(none.check(), Err(InvalidLegs::Count(0)));
    assert_eq!(twice.check(), Err(InvalidLegs::Twice(2)));
    assert_eq!(many.check(), Err(InvalidLegs::Count(64)));
    let at = world.at(to);
    let book = &mut world.books[to.0 as usize - 1];
    for malformed in [none, twice, many] {
        assert_eq!(reserve(book, &at, &malformed), None);
    }
    assert_eq!(asked.check(), Ok(()));
    assert!(reserve(book, &at, &asked).is_some());
}

/// As many legs are open with a shard as items may be under way to it; what other shards are asked
/// does not count, and what is decided counts no more.
#[test]
fn only_so_many_legs_are_open_with_a_shard_at_once() {
    let mut world = World::new(10);
    let with = |peer| {
        let legs = vec![of(0, Side::Debit, 1), of(peer, Side::Credit, 1)];
        journal(legs, None)
    };
    for _ in 0..3 {
        world.ask(&with(1)).unwrap();
    }
    let legs = |world: &World, peer: u8| {
        let book = world.book(home(account_id(0)));
        book.journal_head(home(account_id(peer))).legs
    };
    assert_eq!((legs(&world, 1), legs(&world, 2)), (6, 0));
    assert_eq!(world.ask(&with(1)), Err(Code::JournalsFull));
    let both = vec![
        of(0, Side::Debit, 2),
        of(1, Side::Credit, 1),
        of(2, Side::Credit, 1),
    ];
    let refused = world.ask(&journal(both, None));
    assert_eq!(refused, Err(Code::JournalsFull));
    world.ask(&with(2)).unwrap();
    assert_eq!(legs(&world, 2), 2);

    world.finish();
    assert_eq!((legs(&world, 1), legs(&world, 2)), (0, 0));
    world.ask(&with(1)).unwrap();
}

/// What is accepted for an account far below zero fits its balance, and must fit by itself as well.
#[test]
fn what_is_accepted_for_an_account_has_room_by_itself() {
    let most = i64::MAX / 9 * 8;
    let mut world = World::new(10);
    world.may_overdraw = true;
    // Accounts 3 and 6 share a shard with account 0.
    let open = Action::Open {
        account: account_id(6),
        currency: currency("EUR"),
        limit: Limit::Unlimited,
        opened_on: None,
    };
    world.ask(&command(open)).unwrap();
    for number in [0, 3] {
        let (account, limit) = (account_id(number), Limit::Unlimited);
        world
            .ask(&command(Action::SetLimit { account, limit }))
            .unwrap();
        assert_eq!(home(account), home(account_id(6)));
    }
    world.ask(&withdrawal(6, most)).unwrap();
    let credited = |by: u8| {
        let legs = vec![
            of(by, Side::Debit, most),
            of(6, Side::Credit, most),
            of(1, Side::Debit, 1),
            of(4, Side::Credit, 1),
        ];
        journal(legs, None)
    };
    assert_eq!(home(account_id(1)), home(account_id(4)));
    world.ask(&credited(0)).unwrap();
    assert_eq!(world.ask(&credited(3)), Err(Code::BalanceOverflow));
}

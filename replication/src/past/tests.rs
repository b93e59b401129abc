//! What accounts were, out of rows, out of the log, and out of both, against the book after each index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ledger_domain::{
    Action, Amount, Book, Code, Freeze, HoldAction, HouseCode, Limit, SpendingLimit, TransactionId,
    command::Channel,
    freeze::{Arriving, Blocks, FreezeType},
    hold::Payee,
    journal::Refusal,
    state::State as _,
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::log::{Kind, StoredRecord};
use crate::rocks::RocksDisk;
use crate::scripted_home::{self as script, ABROAD, EPOCH, ScriptedHome, account, time_of};
use crate::view::scratch::{
    damage_states, delete_states, label_as, snapshot_every, states_of, strip_limits,
};
use crate::world::{Disk, Store};

const SHARD: ShardId = ShardId(4);
const ACCOUNTS: u8 = 4;

/// An account after an index, by the book.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    account: Account,
    freezes: Freezes,
    spending: SpendingLimits,
    /// The last index that changed it.
    index: u64,
}

/// The book after an index.
struct Then {
    time: HybridTime,
    date: Date,
    known: BTreeMap<AccountId, Known>,
}

/// A home at which anything happens to a few accounts.
fn random_home(seed: u64, entries: usize) -> ScriptedHome {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut home = ScriptedHome::new(SHARD.0);
    home.business_date = script::date("2026-11-01");
    home.write((1..ACCOUNTS).map(|n| script::open(n, 500)).collect());
    home.write(
        (1..ACCOUNTS)
            .map(|n| script::deposit(n, 5_000, "2026-11-01"))
            .collect(),
    );
    let mut holds: Vec<(u8, TransactionId)> = Vec::new();
    let (mut sent, mut arrived, mut journals, mut received) = (0, 0, 0, 0);
    let mut epoch = EPOCH;
    for _ in 0..entries {
        if rng.random_range(0..12) == 0 {
            home.business_date = home.business_date.tomorrow();
        }
        match rng.random_range(0..40) {
            0 => home.blank(),
            1 => home.void(),
            2 => home.expired(),
            3 => {
                home.refound();
                epoch += 1;
            }
            4..8 if arrived < sent => {
                arrived += 1;
                let refused = rng.random::<bool>().then(|| Code::AccountNotFound.into());
                home.arrived(arrived, refused);
            }
            8..11 => {
                let refused = rng.random::<bool>();
                let why = Refusal {
                    leg: 1,
                    rejection: Code::AccountNotFound.into(),
                };
                home.answered(rng.random_range(1..=journals + 1), refused.then_some(why));
            }
            11 | 12 => {
                received += 1;
                home.received(
                    received,
                    rng.random_range(1..=ACCOUNTS),
                    rng.random_range(1..50),
                );
            }
            _ => {
                let index = home.next();
                let mut asked = Vec::new();
                for ordinal in 0..rng.random_range(1..4) {
                    let n = rng.random_range(1..=ACCOUNTS);
                    let units = rng.random_range(1..120);
                    let ask = match rng.random_range(0..14) {
                        0 | 1 => script::deposit(n, units, "2026-11-01"),
                        2 => script::withdraw(n, units),
                        3 => {
                            let to = rng.random_range(1..=ACCOUNTS);
                            script::transfer(n, to, SHARD, units, "2026-11-01")
                        }
                        4 => script::transfer(n, 9, ABROAD, units, "2026-11-01"),
                        5 => script::journal((n, SHARD), (9, ABROAD), units),
                        6 | 7 => {
                            let position = Position {
                                shard: SHARD,
                                epoch,
                                index,
                            };
                            holds.push((n, TransactionId { position, ordinal }));
                            let life = Duration::from_secs(rng.random_range(1..40));
                            hold(
                                n,
                                HoldAction::Place {
                                    currency: "EUR".parse().unwrap(),
                                    amount: Amount::new(units).unwrap(),
                                    life: Some(life),
                                },
                            )
                        }
                        8 => match holds.choose(&mut rng) {
                            Some((n, hold_id)) => hold(*n, HoldAction::Release { hold: *hold_id }),
                            None => script::withdraw(n, units),
                        },
                        9 => match holds.choose(&mut rng) {
                            Some((n, hold_id)) => hold(
                                *n,
                                HoldAction::Capture {
                                    hold: *hold_id,
                                    money: None,
                                    payee: Payee::House(HouseCode::Cash),
                                    last: rng.random(),
                                },
                            ),
                            None => script::withdraw(n, units),
                        },
                        10 => {
                            let until = time_of(index).millis() + rng.random_range(1..40_000);
                            let freeze = Freeze {
                                kind: *FreezeType::ALL.choose(&mut rng).unwrap(),
                                blocks: *[Blocks::Debits, Blocks::Credits]
                                    .choose(&mut rng)
                                    .unwrap(),
                                arriving: Arriving::Returns,
                                until_ms: rng.random_bool(0.8).then_some(until),
                                reason: "because".repeat(rng.random_range(0..3)),
                            };
                            (
                                Action::Freeze {
                                    account: account(n),
                                    freeze,
                                },
                                None,
                            )
                        }
                        11 => {
                            let kind = *FreezeType::ALL.choose(&mut rng).unwrap();
                            (
                                Action::Unfreeze {
                                    account: account(n),
                                    kind,
                                },
                                None,
                            )
                        }
                        12 => {
                            let limit = match rng.random_range(0..4) {
                                0 => Limit::Unlimited,
                                _ => Limit::Overdraft(rng.random_range(0..900)),
                            };
                            (
                                Action::SetLimit {
                                    account: account(n),
                                    limit,
                                },
                                None,
                            )
                        }
                        _ => {
                            let limit = SpendingLimit {
                                per_transaction: rng.random::<bool>().then_some(100),
                                per_day: rng.random::<bool>().then_some(units * 10),
                            };
                            let channel = Channel::Card;
                            let account = account(n);
                            (
                                Action::SetSpendingLimit {
                                    account,
                                    channel,
                                    limit,
                                },
                                None,
                            )
                        }
                    };
                    asked.push(ask);
                }
                home.write(asked);
            }
        }
        if rng.random_range(0..entries) < 2 {
            home.write(vec![script::open(ACCOUNTS, 50)]);
        }
        if rng.random_range(0..entries * 2) == 0 {
            home.write(vec![script::close(rng.random_range(1..=ACCOUNTS))]);
        }
        (sent, journals) = (
            home.book.outbound(ABROAD).sent,
            home.book.journal_count().last,
        );
    }
    home
}

fn hold(n: u8, action: HoldAction) -> script::Ask {
    let account = account(n);
    (Action::Hold { account, action }, None)
}

/// The book after each index.
fn book_after_each(home: &ScriptedHome) -> Vec<Then> {
    let mut book = Book::new(SHARD, EPOCH);
    let mut all: Vec<Then> = Vec::new();
    for (index, record) in (0..).zip(&home.records) {
        let stored = StoredRecord::parse(record.record.clone()).unwrap();
        book.under(stored.id.epoch);
        let mut date = all.last().map_or(Date::MIN, |then| then.date);
        if stored.kind == Kind::Entry
            && let ledger_domain::Verdict::Accepted(entry) =
                book.apply(index, &stored.payload).unwrap()
        {
            date = entry.business_date;
        }
        let known = book.accounts().into_iter().map(|(id, account)| {
            let (freezes, spending) = (book.freezes(&id), book.spending_limits(&id));
            let mut known = Known {
                account,
                freezes,
                spending,
                index,
            };
            let before = all.last().and_then(|then| then.known.get(&id));
            if let Some(before) = before {
                let index = std::mem::replace(&mut known.index, before.index);
                if known != *before {
                    known.index = index;
                }
            }
            (id, known)
        });
        let known = known.collect();
        all.push(Then {
            time: book.time(),
            date,
            known,
        });
    }
    all
}

struct Node {
    dir: TempDir,
    hub: LogHub,
    _log: TempDir,
}

impl Node {
    async fn holding(home: &ScriptedHome) -> Self {
        let (log, hub) = script::hub();
        home.store(&hub, 0..home.next()).await;
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            hub,
            _log: log,
        }
    }

    fn engine(&self) -> Arc<dyn crate::world::Engine> {
        RocksDisk::new(self.dir.path().to_owned())
            .open(Store::Views)
            .unwrap()
    }

    /// Folds all up to an index. The engine is free once the views are gone.
    async fn folded(&self, last: u64, every: usize) -> Views {
        let views = Views::open(self.engine()).unwrap();
        self.fold(&views, last, every).await;
        views
    }

    async fn fold(&self, views: &Views, last: u64, every: usize) {
        snapshot_every(views, every);
        let (_, served) = watch::channel(last);
        let folding = views.clone().follow(SHARD, EPOCH, self.hub.clone(), served);
        folding.await.unwrap();
    }

    fn history<'a>(&'a self, views: &'a Views) -> History<'a> {
        History {
            hub: &self.hub,
            views,
            epoch: EPOCH,
        }
    }
}

/// Every account at every place, time and date is what the book was.
async fn assert_equals_book(node: &Node, views: &Views, book: &[Then]) {
    let history = node.history(views);
    let last = views.watermark(SHARD).unwrap().unwrap().position;
    let soon = Instant::now() + Duration::from_secs(60);
    for (index, then) in (0..=last.index).zip(book) {
        let place = Moment::Place(Position { index, ..last });
        for n in 1..=ACCOUNTS + 1 {
            let id = account(n);
            for moment in [place, Moment::Time(then.time)] {
                let found = history.at(SHARD, &id, moment, Needed::Whole, soon);
                let found = found.await.unwrap();
                let known = then.known.get(&id);
                let expected = known.map(|known| {
                    let freezes = known.freezes.in_force(then.time.millis());
                    let (freezes, spending) = (freezes.cloned().collect(), known.spending.clone());
                    (known.account, freezes, spending, known.index)
                });
                let found = found.map(|it| {
                    assert_eq!(it.time, time_of(it.position.index));
                    (it.account, it.freezes, it.spending, it.position.index)
                });
                assert_eq!(found, expected, "{id} at {moment:?}");
            }
        }
    }
    let dates: BTreeSet<Date> = book.iter().map(|then| then.date).collect();
    for date in dates.into_iter().skip(1) {
        let close = book[..=last.index as usize]
            .iter()
            .rev()
            .find(|then| then.date <= date);
        for (id, now) in &book[last.index as usize].known {
            let found = history.on(id, date, Needed::Whole).await.unwrap();
            let posted = history.on(id, date, Needed::Posted).await.unwrap().unwrap();
            assert_eq!(posted.now.account, now.account);
            let Some(known) = close.and_then(|then| then.known.get(id)) else {
                assert_eq!(found, None, "{id} on {date}");
                assert!(!posted.is_whole, "{id} on {date}");
                continue;
            };
            let found = found.unwrap();
            assert_eq!(posted.is_whole, views.has_states());
            assert_eq!(posted.posted, found.posted);
            if posted.is_whole {
                assert_eq!(posted, found);
            }
            let expected = Account {
                posted: 0,
                ..known.account
            };
            assert_eq!(found.account, expected, "{id} on {date}");
            assert_eq!(
                (found.freezes, found.spending),
                (known.freezes.clone(), known.spending.clone())
            );
        }
    }
}

/// No moment of an account needs the log.
async fn assert_none_is_missing(views: &Views, book: &[Then]) {
    let last = views.watermark(SHARD).unwrap().unwrap().position;
    for (index, then) in (0..=last.index).zip(book) {
        let place = Moment::Place(Position { index, ..last });
        for n in 1..=ACCOUNTS {
            let id = account(n);
            for moment in [place, Moment::Time(then.time)] {
                let recalled = views.recall(SHARD, &id, moment, Instant::now()).await;
                let is_missing = |it: &Recalled| matches!(it.kept, Kept::Missing { .. });
                let recalled = recalled.unwrap();
                assert!(!recalled.is_some_and(|it| is_missing(&it)), "{moment:?}");
            }
            let day = views.recall_day(&id, then.date).unwrap();
            let is_missing = |it: &Recalled| matches!(it.kept, Kept::Missing { .. });
            assert!(!day.is_some_and(|(it, _)| is_missing(&it)), "{}", then.date);
        }
    }
}

#[tokio::test]
async fn an_account_as_of_anything_is_what_the_book_was_whatever_is_kept() {
    for (seed, every) in [(1, 1), (2, 2), (3, 7), (4, 64), (5, 64), (6, 3)] {
        let home = random_home(seed, 120);
        let book = book_after_each(&home);
        let last = home.next() - 1;
        let node = Node::holding(&home).await;
        // In several runs, so that some chunks are short.
        for part in 1..4 {
            drop(node.folded(last * part / 4, every).await);
        }
        let views = node.folded(last, every).await;
        assert_none_is_missing(&views, &book).await;
        assert_equals_book(&node, &views, &book).await;
        drop(views);
        let chunks = states_of(&node.engine());
        assert!(chunks > 3, "{chunks}");

        // None is needed.
        delete_states(&node.engine(), |_| true);
        let views = Views::open(node.engine()).unwrap();
        assert_equals_book(&node, &views, &book).await;
        drop(views);
        // What was replayed is there again, and serves.
        assert!(states_of(&node.engine()) > 0);
        let views = Views::open(node.engine()).unwrap();
        assert_equals_book(&node, &views, &book).await;
        drop(views);

        // Every second is gone, or damaged.
        delete_states(&node.engine(), |n| n % 2 == 0);
        let views = Views::open(node.engine()).unwrap();
        assert_equals_book(&node, &views, &book).await;
        drop(views);
        damage_states(&node.engine(), |n| n % 2 == 1);
        let views = Views::open(node.engine()).unwrap();
        assert_equals_book(&node, &views, &book).await;
        assert_equals_book(&node, &views, &book).await;
    }
}

#[tokio::test]
async fn rows_of_before_states_were_kept_serve_and_the_log_tells_the_rest() {
    let home = random_home(9, 150);
    let (book, last) = (book_after_each(&home), home.next() - 1);
    let node = Node::holding(&home).await;
    label_as(&node.engine(), 6);
    let disk = Arc::new(RocksDisk::new(node.dir.path().to_owned()));
    let views = crate::view::ReadModels::open(disk).unwrap().serving();
    node.fold(&views, last, 64).await;
    assert!(!views.has_states());
    drop(views);
    // A program of then kept no limit.
    assert!(
        strip_limits(&node.engine(), SHARD, (1..=ACCOUNTS).map(account))
            >= usize::from(ACCOUNTS) - 1
    );
    let disk = Arc::new(RocksDisk::new(node.dir.path().to_owned()));
    let views = crate::view::ReadModels::open(disk).unwrap().serving();
    assert!(!views.has_states());
    assert_equals_book(&node, &views, &book).await;

    // What lines tell needs no log.
    let (_empty, hub) = script::hub();
    let history = History {
        hub: &hub,
        ..node.history(&views)
    };
    let position = views.watermark(SHARD).unwrap().unwrap().position;
    for (index, then) in (0..=last).zip(&book) {
        for n in 1..=ACCOUNTS {
            let moment = Moment::Place(Position { index, ..position });
            let (id, now) = (account(n), Instant::now());
            let found = history.at(SHARD, &id, moment, Needed::Posted, now);
            let found = found.await.unwrap();
            assert!(found.as_ref().is_none_or(|it| !it.is_whole));
            let known = then.known.get(&id);
            let known = known.map(|it| it.account.posted);
            assert_eq!(found.map(|it| it.account.posted), known, "{n} at {index}");
        }
    }
    drop(views);
    assert_eq!(states_of(&node.engine()), 0);
}

#[tokio::test]
async fn what_lines_tell_adds_no_state() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![script::open(1, 0), script::open(2, 0)]);
    for n in 0..50 {
        home.write(vec![
            script::deposit(1, 10, "2026-11-02"),
            script::transfer(1, 2, SHARD, 5, "2026-11-02"),
            script::withdraw(1, 1 + n % 3),
        ]);
    }
    let node = Node::holding(&home).await;
    drop(node.folded(home.next() - 1, 64).await);
    assert_eq!(states_of(&node.engine()), 0);
}

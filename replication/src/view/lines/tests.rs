//! Lines and statements of random accounts, against lists of all their lines.

use std::sync::Arc;

use ledger_domain::{
    Account, AccountId, Currency, Date, Fence, HouseCode, HybridTime, Limit, Position, ShardId,
    TransactionId,
    account::Status,
    movement::{Counterparty, MovementKind},
};
use rand::{
    Rng, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedMutRandom, IndexedRandom},
};

use crate::rocks::RocksDisk;
use crate::view::fold::Step;
use crate::view::rows::Cursor;
use crate::view::{Line, Mark, Span, Statement, StatementQuery, Views};
use crate::world::{Disk, Store};

const SHARD: ShardId = ShardId(4);

fn id(region: &str, n: u8) -> AccountId {
    AccountId::new(region.parse().unwrap(), [n; AccountId::BODY_LEN])
}

fn day(days: i32) -> Date {
    Date::from_days(20_000 + days).unwrap()
}

/// Some accounts, all of whose lines are known.
struct Bank {
    rng: SmallRng,
    views: Views,
    cursor: Cursor,
    known: Vec<(AccountId, u64, Vec<Line>)>,
    booked: HybridTime,
    business_date: i32,
    /// One line in so many counts from an earlier day.
    late_one_in: u32,
}

impl Bank {
    fn open(seed: u64, disk: &RocksDisk) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let views = Views::open(disk.open(Store::Views).unwrap()).unwrap();
        let names = ["eu-west", "a", "a-region-with-16"];
        let known = (1..=3).zip(names);
        Self {
            views,
            cursor: Cursor {
                next: 1,
                audited_head: [0; 32],
                fence: Fence::new(SHARD, 1),
            },
            known: known
                .map(|(n, name)| (id(name, n), 1, Vec::new()))
                .collect(),
            booked: HybridTime::from_millis(1_700_000_000_000),
            business_date: 0,
            late_one_in: *[2, 10, 100].choose(&mut rng).unwrap(),
            rng,
        }
    }

    /// Books an entry, and sometimes stores what was.
    fn book(&mut self) {
        self.book_unstored();
        if self.rng.random_range(0..40) == 0 {
            self.store();
        }
    }

    /// Books an entry of a few lines.
    fn book_unstored(&mut self) {
        let rng = &mut self.rng;
        let mut step = Step::after(self.cursor);
        self.booked.wall_nanos += rng.random_range(1..5_000_000_000);
        self.booked.count = rng.random_range(0..3);
        // The calendar goes back where an hour comes twice at midnight.
        self.business_date += match rng.random_range(0..30) {
            0 => -1,
            1..4 => rng.random_range(1..3),
            _ => 0,
        };
        let position = Position {
            shard: SHARD,
            epoch: 1,
            index: self.cursor.next,
        };
        for ordinal in 0..rng.random_range(0..4) {
            let parties = [id("eu-west", 9), id("us-east", 8)];
            let (account, version, lines) = self.known.choose_mut(rng).unwrap();
            // Not every event has a line.
            *version += rng.random_range(1..4);
            let back = match rng.random_range(0..self.late_one_in) {
                0 => rng.random_range(-1..20),
                _ => 0,
            };
            let amount = rng.random_range(-1_000..1_001) * i64::pow(10, rng.random_range(0..9));
            let last = lines.last();
            let effective_date = day(self.business_date - back);
            let booked_on = day(self.business_date);
            let line = Line {
                version: *version,
                amount,
                posted: last.map_or(0, |last: &Line| last.posted) + amount,
                booked: self.booked,
                booked_on: last.map_or(booked_on, |last| booked_on.max(last.booked_on)),
                effective_date,
                front: last.map_or(effective_date, |last| effective_date.max(last.front)),
                into_closed_day: rng.random(),
                has_words: rng.random(),
                counterparty: match rng.random_range(0..3) {
                    0 => Counterparty::House(HouseCode::Fees),
                    n => Counterparty::Account(parties[n - 1]),
                },
                kind: MovementKind::from_number(rng.random_range(1..=6)).unwrap(),
                transaction: TransactionId { position, ordinal },
            };
            let fresh = Line {
                booked_on,
                front: effective_date,
                ..line.clone()
            };
            step.lines.push((*account, fresh));
            let row = Account {
                currency: "EUR".parse::<Currency>().unwrap(),
                limit: Limit::Unlimited,
                status: Status::Open,
                posted: line.posted,
                held: 0,
                version: *version,
                opened_on: day(-100),
                under_way: 0,
                outgoing: 0,
                reserved: 0,
                accepted: 0,
            };
            step.accounts.insert(*account, row);
            lines.push(line);
        }
        self.cursor.next += 1;
        step.cursor = self.cursor;
        self.views.commit(&mut step);
    }

    fn store(&self) {
        if let Some(run) = self.views.run(SHARD) {
            self.views.store(&run).unwrap();
        }
    }

    fn statement(&self, query: &StatementQuery) -> Statement {
        self.views.statement(query).unwrap().unwrap()
    }

    /// A random statement, page by page, is what the list of all lines comes to.
    fn check(&mut self) {
        let rng = &mut self.rng;
        let (account, _, lines) = self.known.choose(rng).unwrap();
        if lines.is_empty() {
            return;
        }
        let newest = lines.last().unwrap().version;
        let from = day(rng.random_range(-5..self.business_date + 3));
        let to = day(rng.random_range(-5..self.business_date + 3));
        let dates = match rng.random_range(0..4) {
            0 => Date::MIN..=to,
            1 => from..=Date::MAX,
            _ => from..=to,
        };
        let by_date = rng.random::<bool>();
        let span = match by_date {
            true => Span::Effective(dates.clone()),
            false => Span::Booked(dates.clone()),
        };
        let through = rng.random::<bool>().then(|| rng.random_range(0..=newest));
        let newest_first = rng.random();
        let limit = *[1, 3, 50, 1_000].choose(rng).unwrap();
        let date = |line: &Line| match by_date {
            true => line.effective_date,
            false => line.booked_on,
        };
        let known = through.unwrap_or(newest);
        let mut all: Vec<&Line> = lines.iter().filter(|line| line.version <= known).collect();
        all.sort_by_key(|line| (date(line), line.version));
        let (mut sum, mut expected) = (0, Vec::new());
        let (mut opening, mut closing) = (0, 0);
        for line in all {
            sum += i128::from(line.amount);
            if date(line) < *dates.start() {
                opening = sum;
            } else if dates.contains(&date(line)) {
                expected.push((line.clone(), sum));
            }
            if date(line) <= *dates.end() {
                closing = sum;
            }
        }
        if dates.is_empty() {
            closing = opening;
        }
        if newest_first {
            expected.reverse();
        }
        let mut query = StatementQuery {
            account: *account,
            span,
            through,
            newest_first,
            after: None::<Mark>,
            limit,
        };
        let mut found = Vec::new();
        loop {
            let page = self.statement(&query);
            assert_eq!(
                (page.opening, page.closing),
                (opening, closing),
                "{query:?}"
            );
            assert_eq!(page.through, known);
            assert!(page.lines.len() <= limit);
            assert!(page.lines.len() == limit || page.next.is_none());
            found.extend(page.lines);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{query:?}");
        let until = day(self.rng.random_range(-5..self.business_date + 3));
        let (account, _, lines) = self.known.choose(&mut self.rng).unwrap();
        let count = lines.iter().filter(|line| line.effective_date <= until);
        let sum: i128 = count.map(|line| i128::from(line.amount)).sum();
        let found = self.views.lines(account).unwrap();
        let found = found.map(|(now, lines)| lines.sum_until(until, now.account.version).unwrap());
        assert_eq!(found.unwrap_or(0), sum, "{account} at {until}");
    }
}

#[tokio::test]
async fn a_statement_is_what_the_list_of_all_lines_comes_to() {
    for seed in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let disk = RocksDisk::new(dir.path().to_owned());
        let mut bank = Bank::open(seed, &disk);
        for round in 0..900 {
            bank.book();
            if round % 3 == 0 {
                bank.check();
            }
            if round == 600 {
                // What is stored is found again by whoever opens it.
                bank.store();
                bank.views = reopened(bank.views, &disk);
            }
        }
    }
}

fn reopened(views: Views, disk: &RocksDisk) -> Views {
    drop(views);
    Views::open(disk.open(Store::Views).unwrap()).unwrap()
}

/// While a run is on its way to the disk, it is neither lost nor seen twice.
#[tokio::test]
async fn a_run_is_seen_once_before_while_and_after_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RocksDisk::new(dir.path().to_owned()));
    let mut bank = Bank::open(77, &disk);
    for _ in 0..20 {
        for _ in 0..30 {
            bank.book();
        }
        let run = bank.views.run(SHARD);
        let Some(run) = run else { continue };
        assert!(bank.views.run(SHARD).is_none(), "two runs at one time");
        bank.check();
        bank.book_unstored();
        bank.check();
        bank.views.store(&run).unwrap();
        bank.check();
    }
}

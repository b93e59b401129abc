use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ledger_domain::{
    AccountId, Code, Date, Entry, Event, Position, ShardId, TransactionId, journal::Refusal,
    movement::MovementKind,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{
    BalanceRow, Ended, Error, Line, ReadError, Span, StatementQuery, Views, Watermark, keys,
};
use crate::log::{Kind, LogHub, StoredRecord, skip};
use crate::rocks::RocksDisk;
use crate::scripted_home::{self as script, EPOCH, ScriptedHome, account, date, deposit, time_of};
use crate::world::{Disk, Durability, Engine, Op, Store};

mod declined;
mod generations;
mod history;

const SHARD: ShardId = ShardId(4);

/// A node's disk with a home's whole log on it.
struct Node {
    dir: TempDir,
    disk: Arc<RocksDisk>,
    hub: LogHub,
}

impl Node {
    async fn holding(home: &ScriptedHome) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RocksDisk::new(dir.path().to_owned()));
        let hub = LogHub::open(disk.open(Store::Log).unwrap()).unwrap();
        home.store(&hub, 0..home.next()).await;
        Self { dir, disk, hub }
    }

    fn engine(&self) -> Arc<dyn Engine> {
        self.disk.open(Store::Views).unwrap()
    }

    /// Folds everything up to `last` and gives the views. The engine is free once they are gone.
    async fn folded(&self, last: u64) -> Views {
        let views = Views::open(self.engine()).unwrap();
        self.folded_on(views, last).await
    }

    /// The same of views that are there.
    async fn folded_on(&self, views: Views, last: u64) -> Views {
        self.fold(&views, last).await.unwrap();
        views
    }

    async fn fold(&self, views: &Views, last: u64) -> Result<(), Error> {
        // The sender is gone already: the fold goes as far as it may and ends.
        let (_, served) = watch::channel(last);
        views
            .clone()
            .follow(SHARD, EPOCH, self.hub.clone(), served)
            .await
    }
}

/// A movement, as a reader of the bare events would note it.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    amount: i64,
    effective: Date,
    index: u64,
}

/// Every account's movements, read off the events by their names.
fn naive_fold(home: &ScriptedHome) -> BTreeMap<AccountId, Vec<Noted>> {
    let mut sent = BTreeMap::new();
    let mut noted: BTreeMap<AccountId, Vec<Noted>> = BTreeMap::new();
    for (index, entry) in home.entries() {
        for outcome in entry.outcomes {
            let own_date = outcome.command.map(|command| command.effective_date);
            for event in outcome.result.unwrap_or_default() {
                let mut note = |id: AccountId, amount, effective: Date| {
                    let note = Noted {
                        amount,
                        effective,
                        index,
                    };
                    noted.entry(id).or_default().push(note);
                };
                match event {
                    Event::FundsDeposited { after, amount, .. } => {
                        note(after.account, amount.minor_units(), own_date.unwrap());
                    }
                    Event::FundsWithdrawn { after, amount, .. } => {
                        note(after.account, -amount.minor_units(), own_date.unwrap());
                    }
                    Event::FundsTransferred {
                        payer,
                        payee,
                        amount,
                        ..
                    } => {
                        note(payer.account, -amount.minor_units(), own_date.unwrap());
                        note(payee.account, amount.minor_units(), own_date.unwrap());
                    }
                    Event::TransferSent { payer, item, .. } => {
                        let amount = item.amount.minor_units();
                        note(payer.account, -amount, own_date.unwrap());
                        sent.insert(item.number, (amount, item.effective_date));
                    }
                    Event::TransferReturned { number, payer, .. } => {
                        let (amount, effective) = sent[&number];
                        note(payer.unwrap().account, amount, effective);
                    }
                    _ => {}
                }
            }
        }
    }
    noted
}

fn everything(account: AccountId) -> StatementQuery {
    StatementQuery {
        account,
        span: Span::Booked(Date::MIN..=Date::MAX),
        through: None,
        newest_first: false,
        after: None,
        limit: usize::MAX,
    }
}

/// An account's lines as they were booked.
fn all_lines(views: &Views, account: AccountId) -> Vec<Line> {
    let statement = views.statement(&everything(account)).unwrap().unwrap();
    statement.lines.into_iter().map(|(line, _)| line).collect()
}

fn assert_equals_naive_fold(views: &Views, home: &ScriptedHome) {
    let last = home.next() - 1;
    let position = Position {
        shard: SHARD,
        epoch: EPOCH,
        index: last,
    };
    let time = home.book.time();
    let watermark = Watermark { position, time };
    assert_eq!(views.watermark(SHARD), Ok(Some(watermark)));
    declined::assert_equals_log(views, home);
    let noted = naive_fold(home);
    for (id, account) in home.book.accounts() {
        let row = BalanceRow {
            account,
            shard: SHARD,
            watermark,
        };
        assert_eq!(views.balance(&id), Ok(Some(row)));
        let nothing = Vec::new();
        let noted = noted.get(&id).unwrap_or(&nothing);
        let statement = views.statement(&everything(id)).unwrap().unwrap();
        assert_eq!((statement.account, statement.next), (row, None));
        assert_eq!(statement.lines.len(), noted.len(), "{id}");
        let mut posted = 0;
        for ((line, balance), noted) in statement.lines.iter().zip(noted) {
            posted += noted.amount;
            assert_eq!((line.amount, line.posted), (noted.amount, posted));
            assert_eq!(*balance, i128::from(posted));
            assert_eq!(line.effective_date, noted.effective);
            assert_eq!(line.booked, time_of(noted.index));
            assert_eq!(line.transaction.position.index, noted.index);
        }
        for day in [
            "2025-12-31",
            "2026-10-31",
            "2026-11-01",
            "2026-11-03",
            "2026-12-31",
        ] {
            let day = date(day);
            let known = noted.iter().filter(|noted| noted.effective <= day);
            let known: i128 = known.map(|noted| i128::from(noted.amount)).sum();
            let (recalled, posted) = views.recall_day(&id, day).unwrap().unwrap();
            assert_eq!((posted, recalled.now), (known, row), "{id} on {day}");
        }
    }
    assert_eq!(views.balance(&account(99)), Ok(None));
}

#[tokio::test]
async fn a_view_equals_a_naive_fold_of_the_log() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let views = node.folded(home.next() - 1).await;
    assert_equals_naive_fold(&views, &home);
    // One transfer came back, one arrived, one is still under way.
    let row = views.balance(&account(1)).unwrap().unwrap();
    assert_eq!(row.account.under_way, 1);
    let lines = all_lines(&views, account(1));
    let returned = lines
        .iter()
        .find(|line| line.kind == MovementKind::Return)
        .unwrap();
    assert_eq!(
        (returned.amount, returned.effective_date),
        (1_000, date("2026-10-31"))
    );
}

#[tokio::test]
async fn a_view_goes_on_where_it_was_and_is_rebuilt_from_nothing() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    // Closed and opened again between any two of the interesting indexes.
    for last in 0..16 {
        drop(node.folded(last).await);
    }
    let views = node.folded(home.next() - 1).await;
    assert_equals_naive_fold(&views, &home);
    drop(views);
    std::fs::remove_dir_all(node.dir.path().join("views")).unwrap();
    let views = node.folded(home.next() - 1).await;
    assert_equals_naive_fold(&views, &home);
}

#[tokio::test]
async fn a_void_entry_changes_nothing_but_the_index() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![script::open(1, 0), deposit(1, 50, "2026-11-01")]);
    let before = home.next() - 1;
    home.void();
    let node = Node::holding(&home).await;
    let views = node.folded(before).await;
    let at = |views: &Views| views.balance(&account(1)).unwrap().unwrap();
    let counted = at(&views);
    node.fold(&views, before + 1).await.unwrap();
    let after_void = at(&views);
    assert_eq!(after_void.account, counted.account);
    assert_eq!(after_void.watermark.time, counted.watermark.time);
    assert_eq!(after_void.watermark.position.index, before + 1);
}

#[tokio::test]
async fn a_reader_waits_for_a_position_and_not_for_ever() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    let views = Views::open(node.engine()).unwrap();
    let wanted = Position {
        shard: SHARD,
        epoch: EPOCH,
        index: 12,
    };
    let soon = || Instant::now() + Duration::from_millis(50);
    assert_eq!(
        views.wait_for(wanted, soon()).await,
        Err(ReadError::NoView(SHARD))
    );
    let (served, receiver) = watch::channel(5);
    let fold = views
        .clone()
        .follow(SHARD, EPOCH, node.hub.clone(), receiver);
    let fold = tokio::spawn(fold);
    while views.watermark(SHARD).ok().flatten().is_none() {
        tokio::task::yield_now().await;
    }
    let late = views.wait_for(wanted, soon()).await.unwrap_err();
    assert!(
        matches!(late, ReadError::Late { found: Some(found), .. } if found.position.index == 5)
    );
    let patience = Instant::now() + Duration::from_secs(30);
    let waiting = tokio::spawn({
        let views = views.clone();
        async move { views.wait_for(wanted, patience).await }
    });
    served.send_replace(12);
    assert_eq!(waiting.await.unwrap().unwrap().position, wanted);
    let later_reign = Position { epoch: 2, ..wanted };
    assert!(views.wait_for(later_reign, soon()).await.is_err());
    drop(served);
    fold.await.unwrap().unwrap();
}

/// A replica that was given a snapshot lacks what came before it until others have sent it.
#[tokio::test]
async fn a_view_is_served_as_old_as_it_is_while_its_history_is_fetched() {
    let home = ScriptedHome::eventful(SHARD.0);
    let Node { dir, disk, hub } = Node::holding(&home).await;
    let purged = hub.read(SHARD.0, 9..10, usize::MAX).unwrap()[0].id;
    drop(hub);
    let log = disk.open(Store::Log).unwrap();
    let skipped = skip(SHARD.0, 6..10, purged);
    log.write(skipped, Durability::Synced).unwrap();
    let hub = LogHub::open(log).unwrap();
    let node = Node { dir, disk, hub };
    let views = node.folded(5).await;
    let (served, receiver) = watch::channel(12);
    let fold = views
        .clone()
        .follow(SHARD, EPOCH, node.hub.clone(), receiver);
    let fold = tokio::spawn(fold);
    let wanted = |index| Position {
        shard: SHARD,
        epoch: EPOCH,
        index,
    };
    let soon = Instant::now() + Duration::from_millis(200);
    let late = views.wait_for(wanted(6), soon).await.unwrap_err();
    assert!(
        matches!(late, ReadError::Late { found: Some(found), .. } if found.position.index == 5),
        "{late}"
    );
    assert!(views.balance(&account(1)).unwrap().is_some());
    let skipped = home.records[6..10].to_vec();
    node.hub.fill(SHARD.0, skipped).await.unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    views.wait_for(wanted(12), patience).await.unwrap();
    drop(served);
    fold.await.unwrap().unwrap();
    assert_equals_naive_fold(&node.folded_on(views, home.next() - 1).await, &home);
}

/// Flips a bit of a value under each of the store's keys, one at a time.
#[tokio::test]
async fn no_damaged_row_is_ever_served() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![script::open(1, 0), deposit(1, 50, "2026-11-01")]);
    home.write(vec![script::transfer(
        1,
        7,
        script::ABROAD,
        5,
        "2026-11-02",
    )]);
    home.write(vec![script::withdraw(1, 1_000)]);
    let last = home.next() - 1;
    let node = Node::holding(&home).await;
    drop(node.folded(last).await);
    let mut pairs = Vec::new();
    node.engine()
        .scan(&[0]..&[u8::MAX], &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    // States are not needed: what is damaged of them is replayed (`crate::past`).
    pairs.retain(|(key, _)| !keys::states().contains(key));
    // Format, cursor, account, opening, lines, item, declined.
    assert_eq!(pairs.len(), 7);
    for (key, value) in pairs {
        let put = |value: Vec<u8>| {
            let op = Op::Put(key.clone(), value.into());
            node.engine().write(vec![op], Durability::Later).unwrap();
        };
        let mut damaged = value.clone();
        *damaged.last_mut().unwrap() ^= 4;
        put(damaged);
        match Views::open(node.engine()) {
            Err(error) => {
                assert!(error.is_cured_by_rebuilding(), "{error}");
                assert!(matches!(error, Error::Damaged { .. }), "{error}");
            }
            Ok(views) => {
                let folded = node.fold(&views, last).await;
                let read = views
                    .statement(&everything(account(1)))
                    .and_then(|_| views.recall_day(&account(1), date("2026-12-31")))
                    .and_then(|_| views.declined(&account(1), None, 9))
                    .and_then(|_| views.opening(&account(1)));
                assert!(matches!(read, Err(ReadError::Stopped { .. })), "{key:02x?}");
                assert_eq!(views.watermark(SHARD).err(), read.err());
                assert!(folded.is_ok() || key[0] == keys::items(SHARD).start[0]);
            }
        }
        put(value);
    }
    assert_equals_naive_fold(&node.folded(last).await, &home);
}

#[tokio::test]
async fn another_format_and_another_history_ask_for_a_rebuild() {
    let home = ScriptedHome::eventful(SHARD.0);
    let node = Node::holding(&home).await;
    drop(node.folded(5).await);
    // The same log but for one entry.
    let mut other = ScriptedHome::new(SHARD.0);
    other.write(vec![script::open(1, 0), script::open(2, 500)]);
    other.write(vec![deposit(1, 10_001, "2026-11-02")]);
    for n in 1..5 {
        other.write(vec![deposit(1, n, "2026-11-02")]);
    }
    let elsewhere = Node::holding(&other).await;
    let views = Views::open(node.engine()).unwrap();
    let (_, served) = watch::channel(other.next() - 1);
    let parted = views
        .clone()
        .follow(SHARD, EPOCH, elsewhere.hub.clone(), served)
        .await;
    let error = parted.unwrap_err();
    assert!(
        matches!(error, Error::OtherHistory { index: 5, .. }),
        "{error}"
    );
    assert!(matches!(
        views.balance(&account(1)),
        Err(ReadError::Stopped { .. })
    ));
    drop(views);

    let delete = Op::Delete(keys::FORMAT.to_vec());
    node.engine()
        .write(vec![delete], Durability::Later)
        .unwrap();
    let error = Views::open(node.engine()).err().unwrap();
    assert!(matches!(error, Error::Format { found: 0, .. }) && error.is_cured_by_rebuilding());
    node.disk.wipe(Store::Views).unwrap();
    assert_equals_naive_fold(&node.folded(home.next() - 1).await, &home);
}

/// What was sent to another shard, and what came from one, can be found in the log again.
#[tokio::test]
async fn how_transfers_ended_is_found_where_the_log_has_it() {
    let mut home = ScriptedHome::eventful(SHARD.0);
    home.received(1, 2, 70);
    home.received(2, 99, 30);
    let node = Node::holding(&home).await;
    for rebuilt in [false, true] {
        if rebuilt {
            node.disk.wipe(Store::Views).unwrap();
        }
        let views = node.folded(home.next() - 1).await;
        let mut expected = Noting::default();
        for (index, entry) in home.entries() {
            expected.note(index, &entry);
        }
        assert_eq!(expected.ended.len(), 2, "one came back, one arrived");
        for number in 0..=3 {
            let ended = views.ended(SHARD, script::ABROAD, number).unwrap();
            assert_eq!(ended.as_ref(), expected.ended.get(&number), "{number}");
            let recorded = views.recorded(SHARD, script::ABROAD, number).unwrap();
            assert_eq!(recorded.as_ref(), expected.recorded.get(&number));
        }
        for n in 1..=3 {
            let opening = views.opening(&account(n)).unwrap().unwrap();
            let TransactionId { position, ordinal } = opening.transaction;
            assert_eq!((position.index, ordinal), (2, u32::from(n) - 1));
            assert_eq!(opening.time, time_of(2));
        }
        assert_eq!(views.opening(&account(7)).unwrap(), None);
        for (index, record) in (0..).zip(&home.records) {
            let position = Position {
                shard: SHARD,
                epoch: EPOCH,
                index,
            };
            let stored = StoredRecord::parse(record.record.clone()).unwrap();
            let counts = home.entries().any(|(counting, _)| counting == index);
            let void = stored.kind == Kind::Entry && !counts;
            assert_eq!(views.is_void(position), Ok(void), "{index}");
        }
    }
}

/// A journal's decision is found at once, however long it was open, and only its coordinator's view
/// tells of it.
#[tokio::test]
async fn how_a_journal_was_decided_is_found_where_its_coordinator_wrote_it() {
    let mut home = ScriptedHome::new(SHARD.0);
    home.write(vec![script::open(1, 500)]);
    let journal = || script::journal((1, SHARD), (7, script::ABROAD), 10);
    home.write(vec![journal(), journal(), journal()]);
    home.write(vec![deposit(1, 5, "2026-11-02")]);
    home.answered(2, None);
    let posted = home.next() - 1;
    let refusal = Refusal {
        leg: 2,
        rejection: Code::AccountNotFound.into(),
    };
    home.answered(1, Some(refusal));
    let node = Node::holding(&home).await;
    for rebuilt in [false, true] {
        if rebuilt {
            node.disk.wipe(Store::Views).unwrap();
        }
        let views = node.folded(home.next() - 1).await;
        let found = |number| {
            let decided = views.journal_decided(SHARD, number).unwrap();
            decided.map(|it| (it.position.shard, it.position.index, it.ordinal))
        };
        let expected = [
            Some((SHARD, posted + 1, 0)),
            Some((SHARD, posted, 0)),
            None,
            None,
        ];
        assert_eq!([1, 2, 3, 4].map(found), expected);
    }
}

/// Where a reader of the bare events would note that items ended.
#[derive(Default)]
struct Noting {
    sent: BTreeMap<u64, TransactionId>,
    ended: BTreeMap<u64, Ended>,
    recorded: BTreeMap<u64, TransactionId>,
}

impl Noting {
    fn note(&mut self, index: u64, entry: &Entry) {
        let position = Position {
            shard: SHARD,
            epoch: EPOCH,
            index,
        };
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let here = TransactionId { position, ordinal };
            for event in outcome.result.iter().flatten() {
                match event {
                    Event::TransferSent { item, .. } => {
                        self.sent.insert(item.number, here);
                    }
                    Event::TransferSettled { number, .. }
                    | Event::TransferReturned { number, .. } => {
                        let (sent, closed) = (self.sent[number], here);
                        self.ended.insert(*number, Ended { sent, closed });
                    }
                    Event::TransferReceived { item, .. } | Event::TransferRefused { item, .. } => {
                        self.recorded.insert(item.number, here);
                    }
                    _ => {}
                }
            }
        }
    }
}

//! What read models cost: to make them from the log, and to answer from them, as histories grow.
//!
//! ```sh
//! cargo bench --workspace --bench views             # a million transfers; a minute
//! cargo bench --workspace --bench views -- 100000   # fewer
//! ```
//!
//! The log is a real one on a real disk, decided as a shard's writer decides it: transfers in entries of a
//! thousand. Views are folded from it as a node does after it has lost them.

#![allow(
    clippy::float_arithmetic,
    reason = "times and rates; amounts are integers here, too"
)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ledger_domain::{
    AccountId, Action, Amount, Book, Circumstances, Command, Conditions, Date, Entry, Fingerprint,
    Format, HybridTime, InFlight, KeyDigest, Limit, Position, ShardId,
    chain::{self, LogIdentity, RecordKind},
    command::{Channel, CommandInfo},
    decide, frame,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use replication::{
    log::{CopyRecord, LogHub},
    past::{History, Needed},
    proto,
    rocks::RocksDisk,
    view::{Moment, Span, StatementQuery, Views},
    world::{Disk, Store},
};
use tokio::{sync::watch, time::Instant};

const SHARD: ShardId = ShardId(1);
const EPOCH: u64 = 1;
/// Transfers of an entry.
const BATCH: u64 = 1_000;
/// One transfer in so many counts from an earlier day.
const LATE: u32 = 50;
/// How often each question is asked.
const QUESTIONS: usize = 400;

fn main() {
    let given = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let most: u64 = given.unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        println!("views made from the log, {most} transfers in entries of {BATCH}, one in {LATE} late\n");
        println!(
            "{:>9}  {:>12}  {:>12}  {:>11}  {:>13}  {:>13}",
            "accounts", "transfers/s", "per CPU s", "lines/CPU s", "log B/transfer", "views B/transfer"
        );
        for accounts in [1_000, 100_000] {
            rebuild(accounts, most).await;
        }
        println!("\nanswers about an account that is in every transfer, median and 99th percentile in ms\n");
        println!(
            "{:>9}  {:>15}  {:>15}  {:>15}  {:>15}  {:>15}",
            "lines", "page, newest", "page, booked", "page, effective", "as of a date", "as of a place"
        );
        let mut all = Vec::new();
        for lines in [most / 100, most / 10, most] {
            all.push(answers(lines.max(BATCH)).await);
        }
        let ratio = |at: usize| all[all.len() - 1][at].as_secs_f64() / all[0][at].as_secs_f64();
        println!(
            "\nmedians, the longest history to the shortest: {:.1}  {:.1}  {:.1}  {:.1}  {:.1}",
            ratio(0), ratio(1), ratio(2), ratio(3), ratio(4)
        );
    });
}

fn account(n: u64) -> AccountId {
    let mut body = [0; AccountId::BODY_LEN];
    // Ids are drawn at random in a real ledger.
    body[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    body[8..].copy_from_slice(&(n as u16).to_be_bytes());
    AccountId::new("eu-west".parse().expect("a region"), body)
}

fn time_of(index: u64) -> HybridTime {
    HybridTime::from_millis(1_700_000_000_000 + index * 60_000)
}

fn day_of(index: u64) -> Date {
    Date::from_days(19_675 + i32::try_from(index / 40).expect("some days")).expect("a date")
}

/// Writes histories.
struct Scribe {
    book: Book,
    head: [u8; 32],
    next: u64,
    commands: u64,
    rng: SmallRng,
    hub: LogHub,
}

impl Scribe {
    fn new(dir: &Path) -> Self {
        let disk = RocksDisk::new(dir.to_owned());
        let engine = disk.open(Store::Log).expect("a disk");
        Self {
            book: Book::new(SHARD, EPOCH),
            head: chain::audit_genesis(SHARD),
            next: 0,
            commands: 0,
            rng: SmallRng::seed_from_u64(1),
            hub: LogHub::open(engine).expect("a log"),
        }
    }

    async fn transfers(&mut self, accounts: u64, count: u64, is_hot: bool) {
        self.push(proto::RecordKind::Blank, Bytes::new()).await;
        for from in (0..accounts).step_by(BATCH as usize) {
            let open = |n| Action::Open {
                account: account(n),
                currency: "EUR".parse().expect("a currency"),
                limit: Limit::Unlimited,
                opened_on: Some(Date::from_days(19_000).expect("a date")),
            };
            let some = (from..accounts.min(from + BATCH)).map(|n| (open(n), None));
            let some = some.collect();
            self.write(some).await;
        }
        for _ in 0..count.div_ceil(BATCH) {
            let today = day_of(self.next);
            let mut some = Vec::new();
            for _ in 0..BATCH {
                let rng = &mut self.rng;
                let from = if is_hot {
                    0
                } else {
                    rng.random_range(0..accounts)
                };
                let to = (from + rng.random_range(1..accounts)) % accounts;
                let (from, to) = match rng.random() {
                    true => (from, to),
                    false => (to, from),
                };
                let action = Action::Transfer {
                    from: account(from),
                    to: account(to),
                    to_shard: SHARD,
                    currency: "EUR".parse().expect("a currency"),
                    amount: Amount::new(rng.random_range(1..100_000)).expect("an amount"),
                    payee_memo: None,
                };
                let late = rng.random_range(0..LATE) == 0;
                let back = rng.random_range(1..20);
                let date = late.then(|| Date::from_days(today.days() - back).expect("a date"));
                some.push((action, date));
            }
            self.write(some).await;
        }
    }

    async fn write(&mut self, asks: Vec<(Action, Option<Date>)>) {
        let at = Circumstances {
            shard: SHARD,
            epoch: EPOCH,
            time: time_of(self.next),
            calendar_date: day_of(self.next),
            channel_bound: 100,
            channel_money_bound: 1_000_000,
        };
        let mut in_flight = InFlight::default();
        in_flight.begin();
        let mut outcomes = Vec::new();
        for (action, effective_date) in asks {
            self.commands += 1;
            let command = Command {
                info: info(self.commands, effective_date),
                action,
                conditions: Conditions::default(),
                forced: false,
            };
            let mut state = in_flight.above(&self.book);
            let outcome = decide(&mut state, &at, &command);
            assert!(outcome.result.is_ok(), "{:?}", outcome.result);
            outcomes.push(outcome);
        }
        let entry = Entry {
            shard: SHARD,
            epoch: EPOCH,
            time: at.time,
            business_date: at.calendar_date,
            closed_through: None,
            prev_hash: self.book.head(),
            causes: Vec::new(),
            outcomes,
        };
        let payload = entry.encode(Format::NEWEST);
        self.book.apply(self.next, &payload).expect("it applies");
        self.push(proto::RecordKind::Entry, payload).await;
    }

    async fn push(&mut self, kind: proto::RecordKind, payload: Bytes) {
        let index = self.next;
        let id = LogIdentity {
            epoch: EPOCH,
            term: 1,
            node: 1,
            index,
        };
        let audited = match kind {
            proto::RecordKind::Entry => RecordKind::Entry,
            _ => RecordKind::Blank,
        };
        self.head = chain::audit_link(&self.head, id, audited, &payload);
        let record = frame::seal_message(&proto::LogRecord {
            id: Some(proto::LogId {
                epoch: EPOCH,
                term: 1,
                node: 1,
                index,
            }),
            kind: kind.into(),
            payload,
        });
        let head = self.head;
        let records = vec![CopyRecord { record, head }];
        let stored = self.hub.append_copy(SHARD.0, records).await;
        stored.expect("it is stored");
        self.next += 1;
    }
}

fn info(number: u64, effective_date: Option<Date>) -> CommandInfo {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    CommandInfo {
        key: KeyDigest(key),
        fingerprint: Fingerprint::from_bytes(Bytes::from_static(&[1; 16])).expect("a digest"),
        first_attempt_ms: 0,
        actor: "bench".to_owned(),
        authenticated: false,
        channel: Channel::Batch,
        reference: None,
        correlation_id: String::new(),
        reason: String::new(),
        privileged: false,
        into_closed_day: false,
        effective_date,
        memo: None,
        external_reference: None,
        group: None,
    }
}

/// Folds all of it into views that were not there, and gives them.
async fn folded(dir: &Path, scribe: &Scribe) -> Views {
    let disk = RocksDisk::new(dir.join("views-of"));
    let views = Views::open(disk.open(Store::Views).expect("a disk")).expect("views");
    let (_, served) = watch::channel(scribe.next - 1);
    let following = views.clone();
    let folding = following.follow(SHARD, EPOCH, scribe.hub.clone(), served);
    folding.await.expect("the log folds");
    views
}

async fn rebuild(accounts: u64, transfers: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut scribe = Scribe::new(dir.path());
    scribe.transfers(accounts, transfers, false).await;
    let (started, cpu) = (Instant::now(), cpu_time());
    let views = folded(dir.path(), &scribe).await;
    let (took, cpu) = (started.elapsed(), cpu_time() - cpu);
    drop(views);
    let each = |seconds: f64| transfers as f64 / seconds;
    println!(
        "{accounts:>9}  {:>12.0}  {:>12.0}  {:>11.0}  {:>13.0}  {:>13.0}",
        each(took.as_secs_f64()),
        each(cpu.as_secs_f64()),
        2.0 * each(cpu.as_secs_f64()),
        size(&dir.path().join("log")) as f64 / transfers as f64,
        size(&dir.path().join("views-of/views")) as f64 / transfers as f64,
    );
}

async fn answers(lines: u64) -> Vec<Duration> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut scribe = Scribe::new(dir.path());
    scribe.transfers(1_000, lines, true).await;
    let views = folded(dir.path(), &scribe).await;
    let history = History {
        hub: &scribe.hub,
        views: &views,
        epoch: EPOCH,
    };
    let mut rng = SmallRng::seed_from_u64(2);
    let last = scribe.next - 1;
    let page = |span: Span, newest_first| StatementQuery {
        account: account(0),
        span,
        through: None,
        newest_first,
        after: None,
        limit: 100,
    };
    let mut found = Vec::new();
    let mut shown = format!("{lines:>9}");
    for question in 0..5 {
        let mut times = Vec::new();
        for _ in 0..QUESTIONS {
            let index = rng.random_range(2..=last);
            let date = day_of(index);
            let started = Instant::now();
            match question {
                0 => drop(views.statement(&page(Span::Booked(Date::MIN..=Date::MAX), true))),
                1 => drop(views.statement(&page(Span::Booked(date..=Date::MAX), false))),
                2 => drop(views.statement(&page(Span::Effective(date..=Date::MAX), false))),
                3 => drop(history.on(&account(0), date, Needed::Whole).await),
                _ => {
                    let place = Moment::Place(Position {
                        shard: SHARD,
                        epoch: EPOCH,
                        index,
                    });
                    let soon = Instant::now() + Duration::from_secs(1);
                    let id = account(0);
                    let past = history.at(SHARD, &id, place, Needed::Whole, soon);
                    let past = past.await;
                    assert!(past.is_ok(), "it is known");
                }
            }
            times.push(started.elapsed());
        }
        times.sort();
        let (median, high) = (times[QUESTIONS / 2], times[QUESTIONS * 99 / 100]);
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        shown.push_str(&format!("  {:>7.3} {:>7.3}", ms(median), ms(high)));
        found.push(median);
    }
    println!("{shown}");
    found
}

/// What this process has used of the processors.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let ticks = fields.get(11..13).map_or(0, |times| times.iter().sum());
    Duration::from_millis(ticks * 10)
}

fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok());
    sizes
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

//! A home whose history is written by the tests of its readers: real outcomes, decided as a
//! shard's writer decides them, in the records that Raft would have stored.

use bytes::Bytes;
use ledger_domain::{
    AccountId, Action, Amount, Book, Circumstances, Command, Conditions, Currency, Date, Entry,
    Fingerprint, Format, HouseCode, HybridTime, InFlight, KeyDigest, Limit, Outcome, Overlay,
    Rejection, ShardId, Verdict,
    chain::{self, LogIdentity, RecordKind},
    command::{Channel, CommandInfo},
    decide,
    event::{ChannelItem, ItemRef},
    expire, frame, hear,
    journal::{Legs, Party, PlacedLeg, Refusal, Side},
    receive, resolve,
};

use crate::log::{CopyRecord, Head, Kind, LogHub, StoredRecord};
use crate::proto;
use crate::rocks::RocksDisk;
use crate::world::{Disk as _, Store};

/// The reign of every scripted home.
pub const EPOCH: u64 = 1;
/// A shard in another region.
pub const ABROAD: ShardId = ShardId(9);

/// The history of one shard so far.
pub struct ScriptedHome {
    pub book: Book,
    pub records: Vec<CopyRecord>,
    head: Head,
    commands: u64,
    epoch: u64,
    /// On which business date what is written next is decided.
    pub business_date: Date,
}

/// An empty log on a disk of its own.
pub fn hub() -> (tempfile::TempDir, LogHub) {
    let dir = tempfile::tempdir().unwrap();
    let engine = RocksDisk::new(dir.path().to_owned())
        .open(Store::Log)
        .unwrap();
    (dir, LogHub::open(engine).unwrap())
}

/// An address on loopback where nobody listens.
pub fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// The `n`th account of the tests.
pub fn account(n: u8) -> AccountId {
    AccountId::new("eu-west".parse().unwrap(), [n; AccountId::BODY_LEN])
}

pub fn date(text: &str) -> Date {
    text.parse().unwrap()
}

/// What can be asked, on which effective date.
pub type Ask = (Action, Option<Date>);

pub fn open(n: u8, overdraft: i64) -> Ask {
    let action = Action::Open {
        account: account(n),
        currency: euro(),
        limit: Limit::Overdraft(overdraft),
        opened_on: Some(date("2026-01-01")),
    };
    (action, None)
}

pub fn deposit(n: u8, amount: i64, on: &str) -> Ask {
    let action = Action::Deposit {
        account: account(n),
        house: HouseCode::Cash,
        currency: euro(),
        amount: Amount::new(amount).unwrap(),
    };
    (action, Some(date(on)))
}

pub fn withdraw(n: u8, amount: i64) -> Ask {
    let action = Action::Withdraw {
        account: account(n),
        house: HouseCode::Cash,
        currency: euro(),
        amount: Amount::new(amount).unwrap(),
    };
    (action, None)
}

pub fn transfer(from: u8, to: u8, to_shard: ShardId, amount: i64, on: &str) -> Ask {
    let action = Action::Transfer {
        from: account(from),
        to: account(to),
        to_shard,
        currency: euro(),
        amount: Amount::new(amount).unwrap(),
        payee_memo: None,
    };
    (action, Some(date(on)))
}

/// A journal that debits an account of a shard and credits one of another.
pub fn journal((from, shard): (u8, ShardId), (to, to_shard): (u8, ShardId), amount: i64) -> Ask {
    let leg = |n, shard, side| PlacedLeg {
        shard,
        party: Party::Account(account(n)),
        side,
        currency: euro(),
        amount: Amount::new(amount).unwrap(),
    };
    let legs = vec![
        leg(from, shard, Side::Debit),
        leg(to, to_shard, Side::Credit),
    ];
    let legs = Legs::new(legs).unwrap();
    (Action::Journal { legs, rate: None }, None)
}

pub fn close(n: u8) -> Ask {
    let action = Action::Close {
        sweep: None,
        account: account(n),
    };
    (action, None)
}

fn euro() -> Currency {
    "EUR".parse().unwrap()
}

/// Who asks, under a key of its own for each number.
pub fn info(number: u64, effective_date: Option<Date>) -> CommandInfo {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    CommandInfo {
        key: KeyDigest(key),
        fingerprint: Fingerprint::from_bytes(Bytes::from_static(&[1; 16])).unwrap(),
        first_attempt_ms: 0,
        actor: "scribe".to_owned(),
        authenticated: false,
        channel: Channel::Teller,
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

impl ScriptedHome {
    /// Founded, and its first leader elected: indexes 0 and 1.
    pub fn new(shard: u32) -> Self {
        let shard = ShardId(shard);
        let mut home = Self {
            book: Book::new(shard, EPOCH),
            records: Vec::new(),
            head: chain::audit_genesis(shard),
            commands: 0,
            epoch: EPOCH,
            business_date: date("2026-11-30"),
        };
        home.members();
        home.blank();
        home
    }

    /// Refounded: what follows is of the next reign.
    pub fn refound(&mut self) {
        self.epoch += 1;
        self.book.under(self.epoch);
        self.members();
    }

    fn members(&mut self) {
        let nobody = Bytes::from_static(b"\x0a\x02\x0a\x00");
        self.push(proto::RecordKind::Membership, nobody);
    }

    /// A history with everything in it that a reader meets.
    pub fn eventful(shard: u32) -> Self {
        let mut home = Self::new(shard);
        home.write(vec![open(1, 0), open(2, 500), open(3, 0)]);
        home.write(vec![
            deposit(1, 10_000, "2026-11-02"),
            deposit(2, 300, "2026-11-03"),
            withdraw(3, 1),
            withdraw(2, 700),
        ]);
        home.write(vec![transfer(1, 2, ShardId(shard), 2_500, "2026-11-01")]);
        home.void();
        home.write(Vec::new());
        home.write(vec![
            transfer(1, 7, ABROAD, 1_000, "2026-10-31"),
            transfer(2, 8, ABROAD, 40, "2026-11-05"),
            transfer(1, 9, ABROAD, 60, "2026-11-06"),
        ]);
        home.blank();
        home.arrived(1, Some(ledger_domain::Code::AccountNotFound.into()));
        home.arrived(2, None);
        home.write(vec![close(3), deposit(3, 5, "2026-11-07")]);
        for n in 1..200 {
            let (from, to) = if n % 3 == 0 { (2, 1) } else { (1, 2) };
            let on = format!("2026-{:02}-{:02}", 1 + n % 11, 1 + n % 28);
            home.write(vec![transfer(from, to, ShardId(shard), 1 + n, &on)]);
        }
        home
    }

    /// The next index.
    pub fn next(&self) -> u64 {
        self.records.len() as u64
    }

    /// An index that a new leader wrote.
    pub fn blank(&mut self) {
        self.push(proto::RecordKind::Blank, Bytes::new());
    }

    /// One entry with the outcomes of some commands.
    pub fn write(&mut self, asked: Vec<Ask>) {
        let at = self.circumstances();
        let commands: Vec<_> = asked.into_iter().map(|ask| self.command(ask)).collect();
        self.decide(|state| {
            commands
                .iter()
                .map(|command| decide(state, &at, command))
                .collect()
        });
    }

    /// One entry with the outcomes of commands that the test has made itself.
    pub fn write_commands(&mut self, commands: &[Command]) {
        let at = self.circumstances();
        self.decide(|state| {
            let decided = commands.iter().map(|command| decide(state, &at, command));
            decided.collect()
        });
    }

    /// One entry that takes note of what became of a transfer abroad.
    pub fn arrived(&mut self, number: u64, refused: Option<Rejection>) {
        let at = self.circumstances();
        self.decide(|state| {
            resolve(state, &at, ABROAD, number, refused)
                .into_iter()
                .collect()
        });
    }

    /// One entry that ends the holds that have expired.
    pub fn expired(&mut self) {
        let nanos = time_of(self.next()).wall_nanos;
        self.decide(|state| expire(state, nanos, 100).0);
    }

    /// One entry that takes note of how abroad has answered a journal: it decides it.
    pub fn answered(&mut self, number: u64, refused: Option<Refusal>) {
        let at = self.circumstances();
        self.decide(|state| {
            hear(state, &at, number, ABROAD, refused)
                .into_iter()
                .collect()
        });
    }

    /// One entry that takes an item from abroad, or refuses it.
    pub fn received(&mut self, number: u64, payee: u8, amount: i64) {
        let item = ChannelItem {
            source: ABROAD,
            source_epoch: EPOCH,
            destination: self.book.shard(),
            number,
            payer: account(7),
            payee: account(payee),
            currency: euro(),
            amount: Amount::new(amount).unwrap(),
            effective_date: date("2026-11-07"),
            memo: None,
            correlation_id: String::new(),
        };
        let reference = ItemRef {
            source: ABROAD,
            source_epoch: EPOCH,
            number,
            hash: [7; 32],
        };
        let at = self.circumstances();
        self.decide(|state| vec![receive(state, &at, &item, reference, 5, 0)]);
    }

    /// The entries that count, with their indexes.
    pub fn entries(&self) -> impl Iterator<Item = (u64, Entry)> {
        let mut book = Book::new(self.book.shard(), EPOCH);
        self.records.iter().filter_map(move |record| {
            let stored = StoredRecord::parse(record.record.clone()).unwrap();
            let index = stored.id.index;
            book.under(stored.id.epoch);
            if stored.kind != Kind::Entry {
                return None;
            }
            match book.apply(index, &stored.payload).unwrap() {
                Verdict::Accepted(entry) => Some((index, entry)),
                Verdict::Void => None,
            }
        })
    }

    /// An entry that was decided on a history that did not come to be.
    pub fn void(&mut self) {
        let at = self.circumstances();
        let command = self.command(deposit(1, 666, "2026-11-01"));
        let mut in_flight = InFlight::default();
        in_flight.begin();
        let outcomes = vec![decide(&mut in_flight.above(&self.book), &at, &command)];
        let entry = self.entry([0xee; 32], outcomes);
        self.push(proto::RecordKind::Entry, entry.encode(Format::NEWEST));
    }

    /// Stores some of the records as a copy's or a home's log would.
    pub async fn store(&self, hub: &LogHub, indexes: std::ops::Range<u64>) {
        let indexes = indexes.start as usize..indexes.end as usize;
        let records = self.records[indexes].to_vec();
        hub.append_copy(self.book.shard().0, records).await.unwrap();
    }

    fn decide(&mut self, decide: impl FnOnce(&mut Overlay<'_>) -> Vec<Outcome>) {
        let mut in_flight = InFlight::default();
        in_flight.begin();
        let outcomes = decide(&mut in_flight.above(&self.book));
        let entry = self.entry(self.book.head(), outcomes);
        self.push(proto::RecordKind::Entry, entry.encode(Format::NEWEST));
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            shard: self.book.shard(),
            epoch: self.epoch,
            time: time_of(self.next()),
            calendar_date: self.business_date,
            channel_bound: 100,
            channel_money_bound: 1_000_000,
        }
    }

    fn command(&mut self, (action, effective_date): Ask) -> Command {
        self.commands += 1;
        let info = info(self.commands, effective_date);
        Command {
            info,
            action,
            conditions: Conditions::default(),
            forced: false,
        }
    }

    fn entry(&self, prev_hash: Head, outcomes: Vec<Outcome>) -> Entry {
        Entry {
            shard: self.book.shard(),
            epoch: self.epoch,
            time: time_of(self.next()),
            business_date: self.business_date,
            closed_through: None,
            prev_hash,
            causes: Vec::new(),
            outcomes,
        }
    }

    fn push(&mut self, kind: proto::RecordKind, payload: Bytes) {
        let index = self.next();
        let id = LogIdentity {
            epoch: self.epoch,
            term: 1,
            node: 1,
            index,
        };
        let audited = match kind {
            proto::RecordKind::Entry => {
                self.book.apply(index, &payload).unwrap();
                RecordKind::Entry
            }
            proto::RecordKind::Membership => RecordKind::Membership,
            _ => RecordKind::Blank,
        };
        self.head = chain::audit_link(&self.head, id, audited, &payload);
        let record = record_bytes((self.epoch, index), kind, payload);
        let head = self.head;
        self.records.push(CopyRecord { record, head });
    }
}

/// When the entry at an index was written.
pub fn time_of(index: u64) -> HybridTime {
    HybridTime::from_millis(1_700_000_000_000 + 1_000 * index)
}

/// The record with another time in its entry, in a frame that is as good as new.
pub fn tampered(record: &CopyRecord) -> CopyRecord {
    let stored = StoredRecord::parse(record.record.clone()).unwrap();
    let mut entry = Entry::decode(&stored.payload).unwrap();
    entry.time.count += 1;
    with_payload(record, entry.encode(Format::NEWEST))
}

/// The record with another payload in its place.
pub fn with_payload(record: &CopyRecord, payload: Bytes) -> CopyRecord {
    let id = StoredRecord::parse(record.record.clone()).unwrap().id;
    let at = (id.epoch, id.index);
    CopyRecord {
        record: record_bytes(at, proto::RecordKind::Entry, payload),
        head: record.head,
    }
}

fn record_bytes((epoch, index): (u64, u64), kind: proto::RecordKind, payload: Bytes) -> Bytes {
    let id = proto::LogId {
        epoch,
        term: 1,
        node: 1,
        index,
    };
    frame::seal_message(&proto::LogRecord {
        id: Some(id),
        kind: kind.into(),
        payload,
    })
}

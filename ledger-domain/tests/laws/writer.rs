//! The smallest writer of one shard: it decides above its book, proposes, and applies in order.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use ledger_domain::{
    Asked, Book, Circumstances, Command, Date, Entry, Hash, HybridTime, InFlight, KeyDigest,
    Outcome, Overlay, Rejection, ShardId, Verdict, conclude,
    day::business_date,
    decide_together,
    event::{ChannelItem, ItemRef},
    expire, forget, hear,
    journal::{JournalRef, Refusal},
    receive, reserve, resolve,
    state::{KeyRecord, State},
};

use crate::{generate::date, view::View};

pub const EPOCH: u64 = 1;
/// How many items may be under way between two shards.
pub const CHANNEL_BOUND: u64 = 3;
/// How much money may be under way between two shards, unless a law says otherwise.
pub const CHANNEL_MONEY_BOUND: i64 = 1_500;

/// When every history begins.
pub const BEGINNING_MS: u64 = 1_700_000_000_000;
/// How many holds one entry lets expire.
pub const EXPIRED_AT_ONCE: usize = 2;

/// What a writer is asked to put into its next entry.
#[derive(Debug, Clone)]
pub enum Work {
    Command(Command),
    /// Commands that are done together, under the first one's key, or not at all.
    Group(Vec<Command>),
    Receive {
        item: ChannelItem,
        reference: ItemRef,
        index: u64,
        ordinal: u32,
    },
    Resolve {
        destination: ShardId,
        number: u64,
        refused: Option<Rejection>,
    },
    Forget {
        source: ShardId,
        through: u64,
    },
    Reserve(Asked),
    Hear {
        number: u64,
        shard: ShardId,
        refused: Option<Refusal>,
    },
    Conclude {
        id: JournalRef,
        cancelled: Option<(ShardId, Refusal)>,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Decided(Outcome),
    /// The key was used before: nothing is decided.
    Repeated(KeyRecord),
    /// It was closed or forgotten before.
    Nothing,
}

#[derive(Debug)]
pub struct Writer {
    pub book: Book,
    pub keys: Vec<KeyDigest>,
    /// The stored bytes of every entry applied, from index 1.
    pub log: Vec<Bytes>,
    pub channel_money_bound: i64,
    in_flight: InFlight,
    /// Before what is proposed last.
    closed_through: Option<Date>,
    proposed: VecDeque<(u64, Entry, Bytes)>,
    head: Hash,
    time: HybridTime,
}

impl Writer {
    pub fn new(shard: ShardId) -> Self {
        let book = Book::new(shard, EPOCH);
        Self {
            head: book.head(),
            time: HybridTime::from_millis(BEGINNING_MS),
            book,
            keys: Vec::new(),
            log: Vec::new(),
            channel_money_bound: CHANNEL_MONEY_BOUND,
            in_flight: InFlight::default(),
            closed_through: None,
            proposed: VecDeque::new(),
        }
    }

    /// The book with everything in flight.
    pub fn state(&mut self) -> Overlay<'_> {
        self.in_flight.above(&self.book)
    }

    /// What that says.
    pub fn view(&mut self) -> View {
        let keys = self.keys.clone();
        View::of(&self.state(), &keys)
    }

    /// What the applied book says.
    pub fn book_view(&self) -> View {
        View::of_book(&self.book, &self.keys)
    }

    pub fn circumstances(&self) -> Circumstances {
        Circumstances {
            shard: self.book.shard(),
            epoch: EPOCH,
            time: self.time,
            calendar_date: date(0),
            channel_bound: CHANNEL_BOUND,
            channel_money_bound: self.channel_money_bound,
        }
    }

    /// The time of what was decided last.
    pub fn now_ms(&self) -> u64 {
        self.time.millis()
    }

    /// Lets entry time pass.
    pub fn wait(&mut self, time: Duration) {
        self.time.wall_nanos += u64::try_from(time.as_nanos()).expect("less than centuries");
    }

    /// Decides and proposes one entry. Entries that come to nothing are proposed all the same.
    pub fn propose(&mut self, work: Vec<Work>) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.wait(Duration::from_millis(1));
        self.closed_through = self.in_flight.above(&self.book).closed_through();
        let (number, at, mut outcomes) = loop {
            let at = self.circumstances();
            let number = self.in_flight.begin();
            let mut state = self.in_flight.above(&self.book);
            let (expired, more) = expire(&mut state, at.time.wall_nanos, EXPIRED_AT_ONCE);
            if !more {
                break (number, at, expired);
            }
            self.write(number, expired);
            self.time.count += 1;
        };
        let mut state = self.in_flight.above(&self.book);
        for work in work {
            let outcome = match work {
                Work::Command(_) | Work::Group(_) => {
                    let commands = match work {
                        Work::Group(commands) => commands,
                        Work::Command(command) => vec![command],
                        _ => Vec::new(),
                    };
                    let (first, rest) = commands.split_first().expect("a group has commands");
                    let key = first.info.key;
                    if let Some(record) = state.key(&key) {
                        answers.push(Answer::Repeated(record));
                        continue;
                    }
                    for outcome in decide_together(&mut state, &at, first, rest) {
                        let command = outcome.command.as_ref().expect("it is a command's");
                        let record = KeyRecord {
                            fingerprint: command.info.fingerprint.whole(),
                            index: 0,
                            ordinal: outcomes.len() as u32,
                        };
                        state.set_key(command.info.key, record);
                        self.keys.push(command.info.key);
                        answers.push(Answer::Decided(outcome.clone()));
                        outcomes.push(outcome);
                    }
                    continue;
                }
                Work::Receive {
                    item,
                    reference,
                    index,
                    ordinal,
                } => Some(receive(&mut state, &at, &item, reference, index, ordinal)),
                Work::Resolve {
                    destination,
                    number,
                    refused,
                } => resolve(&mut state, &at, destination, number, refused),
                Work::Forget { source, through } => forget(&mut state, source, through),
                Work::Reserve(asked) => reserve(&mut state, &at, &asked),
                Work::Hear {
                    number,
                    shard,
                    refused,
                } => hear(&mut state, &at, number, shard, refused),
                Work::Conclude { id, cancelled } => conclude(&mut state, &at, id, cancelled),
            };
            answers.push(outcome.clone().map_or(Answer::Nothing, Answer::Decided));
            outcomes.extend(outcome);
        }
        self.write(number, outcomes);
        answers
    }

    fn write(&mut self, number: u64, outcomes: Vec<Outcome>) {
        let entry = self.entry(outcomes);
        let stored = entry.encode(ledger_domain::Format::NEWEST);
        self.head = Entry::link(&stored);
        self.proposed.push_back((number, entry, stored));
    }

    /// Decides and proposes one entry of commands.
    pub fn command(&mut self, commands: Vec<Command>) -> Vec<Answer> {
        self.propose(commands.into_iter().map(Work::Command).collect())
    }

    /// The entry that would come next.
    pub fn entry(&self, outcomes: Vec<Outcome>) -> Entry {
        Entry {
            shard: self.book.shard(),
            epoch: EPOCH,
            time: self.time,
            business_date: business_date(date(0), self.closed_through),
            closed_through: self.closed_through,
            prev_hash: self.head,
            causes: Vec::new(),
            outcomes,
        }
    }

    /// Applies the oldest proposed entry.
    pub fn apply(&mut self) -> Option<Entry> {
        let (number, entry, stored) = self.proposed.pop_front()?;
        let index = self.book.applied() + 1;
        let verdict = self.book.apply(index, &stored);
        assert_eq!(
            verdict,
            Ok(Verdict::Accepted(entry.clone())),
            "what was proposed comes back as it was made"
        );
        self.in_flight.applied(number);
        self.log.push(stored);
        Some(entry)
    }

    /// How many entries are proposed and not yet applied.
    pub fn in_flight(&self) -> usize {
        self.proposed.len()
    }

    /// Nothing is proposed and not yet applied.
    pub fn is_idle(&self) -> bool {
        self.proposed.is_empty()
    }

    /// Applies everything proposed.
    pub fn apply_all(&mut self) {
        while self.apply().is_some() {}
        assert!(self.in_flight.is_empty());
    }

    /// Loses what is in flight, as a deposed leader does.
    pub fn lose(&mut self) {
        self.proposed.clear();
        self.in_flight = InFlight::default();
        self.head = self.book.head();
    }
}

/// A book made again from stored bytes alone.
pub fn replayed(shard: ShardId, log: &[Bytes]) -> Book {
    let mut book = Book::new(shard, EPOCH);
    for (index, stored) in (1..).zip(log) {
        let verdict = book.apply(index, stored).expect("an entry of the log");
        assert!(matches!(verdict, Verdict::Accepted(_)), "at index {index}");
    }
    book
}

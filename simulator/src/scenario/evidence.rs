//! What the nodes' logs say, in the words of the oracles.
//!
//! This is a translation: it reads the stored format as `entry.proto` describes it and computes
//! balances by itself. That an entry is void is the one thing it believes the product about.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use jiff::tz::TimeZone;
use ledger_domain::{
    Entry, Event, HoldChange, HoldEvent, HouseCode, JournalEvent, Outcome, Position, ShardId,
    TransactionId, command::Kind as Asked, consumer::ConsumerEvent, event::CommandRecord,
    suspense::Cleared,
};
use replication::log::StoredRecord;

use super::{
    bank::Bank,
    journals::{self, Journals},
    logs::{Log, entries, held},
    postings::{booked, both, controlled, is_forced, item_of, moved, touched},
    reigns, steps,
    subjects::{Claimed, Subject},
};
use crate::oracle::{
    acknowledged::{Recorded, Verdict},
    agreement::{self, Holding},
    conservation::{self, Item, Posting},
    model::Step,
    no_overdraft::Change,
    stated::Closed,
    told::Told,
};

/// One transfer to another shard, as its source sent it.
#[derive(Debug, Clone)]
struct Sent {
    key: String,
    payer: String,
    item: Item,
}

/// What crossed from one shard to another.
#[derive(Debug, Clone, Default)]
pub struct Crossing {
    /// Items sent.
    pub sent: Vec<Item>,
    /// Items the payee got.
    pub taken: Vec<Item>,
    /// Items the payer got back.
    pub returned: Vec<Item>,
    /// Items the source knows to be settled.
    pub settled: u64,
}

/// A transfer that came back, as the payer sees it.
#[derive(Debug, Clone)]
pub struct Return {
    /// The command's key.
    pub key: String,
    /// Who paid.
    pub payer: String,
    /// How much came back.
    pub amount: i64,
    /// The payer's balance after it.
    pub balance_after: i64,
}

/// All that the logs of a world say.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The book of each shard.
    pub books: BTreeMap<u32, Vec<conservation::Entry>>,
    /// Changes of what accounts have available, book by book.
    pub changes: Vec<Change>,
    /// Until when time was over at each entry.
    pub closed: Vec<Closed>,
    /// What happened, for whoever works out by itself what must have come of it.
    pub steps: Vec<Step>,
    /// Who wrote each shard's log.
    pub reigns: Vec<reigns::Shard>,
    /// How many histories of a shard were compared with the longest.
    pub holdings: u64,
    /// Entries that do not count.
    pub voids: u64,
    /// Entries that act upon another shard's.
    pub acts: usize,
    /// Outcomes of commands.
    pub recorded: Vec<Recorded>,
    /// What crossed, by source and destination.
    pub crossings: BTreeMap<(u32, u32), Crossing>,
    /// The balance of an account right after a command took effect on it.
    pub after: BTreeMap<(String, String), i64>,
    /// Transfers that came back.
    pub returns: Vec<Return>,
    /// What each capture paid, by its key.
    pub captured: BTreeMap<String, i64>,
    /// What each sweep, clearing of suspense and reversal paid, by its key.
    pub paid: BTreeMap<String, i64>,
    /// The events of each shard, in the order of its log.
    pub events: BTreeMap<u32, Vec<Told>>,
    /// What each of these is, and which accounts it names.
    pub(super) subjects: BTreeMap<u32, Vec<Subject>>,
    /// What happened to references, each shard's in the order of its log.
    pub(super) claims: Vec<Claimed>,
    /// The accounts that were opened.
    pub(super) opened: BTreeSet<String>,
    /// What happened to consumer groups, each group's in the order of its log.
    pub(super) consumers: Vec<ConsumerEvent>,
    /// Journals between shards.
    pub(super) journals: Journals,
    /// The keys of the commands that placed holds, by shard and number.
    holds: BTreeMap<(u32, u64), String>,
    sent: BTreeMap<(u32, u32, u64), Sent>,
    balances: BTreeMap<String, i64>,
}

impl Evidence {
    /// Reads what the nodes have stored, as far as a majority of a shard's voters has it, once all are
    /// at rest: nobody may hold anything else.
    ///
    /// # Errors
    ///
    /// A store that cannot be read, two nodes that hold different histories, or the first record
    /// that cannot be read.
    pub fn gather(
        bank: &Bank,
        stored: impl Fn(&str, u32) -> io::Result<Vec<StoredRecord>>,
    ) -> Result<Self, String> {
        let mut logs = Vec::new();
        let mut compared = 0;
        for (shard, voters) in bank.shards() {
            let held = held(bank, shard, &stored)?;
            logs.push(Log::of_majority(bank, shard, &voters, &held));
            let holdings = held.into_iter().map(|(node, records)| Holding {
                holder: node.to_owned(),
                records: records.into_iter().map(|record| record.record).collect(),
            });
            let holdings: Vec<_> = holdings.collect();
            agreement::one_history(&holdings).map_err(|fork| format!("shard {shard}: {fork}"))?;
            compared += holdings.len() as u64;
        }
        let mut evidence = Self::read(&logs)?;
        evidence.holdings = compared;
        Ok(evidence)
    }

    /// How many transfers are under way, and journals not decided everywhere, as far as the stores
    /// say. Not all have to be at rest for that.
    ///
    /// # Errors
    ///
    /// A store or a record that cannot be read.
    pub fn under_way_in(
        bank: &Bank,
        stored: impl Fn(&str, u32) -> io::Result<Vec<StoredRecord>>,
    ) -> Result<u64, String> {
        Ok(Self::of_majorities(bank, stored)?.under_way())
    }

    /// Reads what a majority of each shard's voters has, whatever the others hold: somebody may
    /// still have what was overruled.
    ///
    /// # Errors
    ///
    /// A store or a record that cannot be read.
    pub fn of_majorities(
        bank: &Bank,
        stored: impl Fn(&str, u32) -> io::Result<Vec<StoredRecord>>,
    ) -> Result<Self, String> {
        let mut logs = Vec::new();
        for (shard, voters) in bank.shards() {
            let held = held(bank, shard, &stored)?;
            logs.push(Log::of_majority(bank, shard, &voters, &held));
        }
        Self::read(&logs)
    }

    /// The balance of every account that ever moved, as the logs come to.
    #[must_use]
    pub fn balances(&self) -> &BTreeMap<String, i64> {
        &self.balances
    }

    /// Reads the logs of all shards.
    ///
    /// # Errors
    ///
    /// A sentence that names the first record that cannot be read.
    pub fn read(logs: &[Log]) -> Result<Self, String> {
        let mut evidence = Evidence::default();
        let mut decoded = Vec::new();
        for log in logs {
            let (entries, reign) = entries(log)?;
            decoded.push((&log.zone, entries));
            evidence.voids += reign.voids();
            evidence.reigns.push(reign);
        }
        for (_, entry) in decoded.iter().flat_map(|(_, entries)| entries) {
            evidence.note_sent(entry);
        }
        for (zone, entries) in &decoded {
            for (index, entry) in entries {
                evidence.note(*index, entry, zone);
                evidence.note_events(*index, entry);
            }
        }
        Ok(evidence)
    }

    /// How many items are not closed at their source, and journals open somewhere.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        let open = |crossing: &Crossing| {
            crossing.sent.len() as u64 - crossing.settled - crossing.returned.len() as u64
        };
        let journals = self.journals.values();
        let journals = journals.filter(|journal| !journal.open_in().is_empty());
        self.crossings.values().map(open).sum::<u64>() + journals.count() as u64
    }

    /// An item is known by its command's key everywhere, so all that is sent is noted first.
    fn note_sent(&mut self, entry: &Entry) {
        for outcome in &entry.outcomes {
            self.note_paid(outcome);
            for event in outcome.result.as_deref().unwrap_or_default() {
                if let Some((item, _)) = event.sends() {
                    let place = (item.source.0, item.destination.0, item.number);
                    let sent = Sent {
                        key: key(outcome.command.as_ref()),
                        payer: item.payer.to_string(),
                        item: item_of(item.number, item.currency, item.amount),
                    };
                    self.sent.insert(place, sent);
                }
                let key = key(outcome.command.as_ref());
                match event {
                    Event::Hold(event) => self.note_hold(entry.shard, key, event),
                    Event::Journal(event) => {
                        journals::note(&mut self.journals, entry.shard, key, event);
                    }
                    _ => {}
                }
            }
        }
    }

    /// What was paid by a command that does not say how much: a sweep, a clearing, a reversal.
    fn note_paid(&mut self, outcome: &Outcome) {
        let command = outcome.command.as_ref();
        for event in outcome.result.as_deref().unwrap_or_default() {
            let swept = match event {
                Event::FundsTransferred { amount, .. } => Some(*amount),
                Event::TransferSent { item, .. } => Some(item.amount),
                _ => None,
            };
            let paid = match (event, command.map(|command| command.kind)) {
                (Event::SuspenseCleared(cleared), _) => Some(cleared.amount),
                (Event::Reversed(reversed), _) => Some(reversed.amount),
                (_, Some(Asked::Close)) => swept,
                _ => None,
            };
            if let Some(amount) = paid {
                self.paid.insert(key(command), amount.minor_units());
            }
        }
    }

    fn note_hold(&mut self, shard: ShardId, key: String, event: &HoldEvent) {
        match event.change {
            HoldChange::Placed { .. } => {
                self.holds.insert((shard.0, event.number), key);
            }
            HoldChange::Captured { amount, .. } | HoldChange::Late { amount } => {
                self.captured.insert(key, amount.minor_units());
            }
            _ => {}
        }
    }

    fn note(&mut self, index: u64, entry: &Entry, zone: &TimeZone) {
        let position = Position {
            shard: entry.shard,
            epoch: entry.epoch,
            index,
        };
        let key_of = |source: u32, destination: u32, number| {
            let sent = self.sent.get(&(source, destination, number));
            sent.map(|sent| sent.key.clone())
        };
        self.closed.push(Closed {
            shard: entry.shard.0,
            index,
            time: i64::try_from(entry.time.wall_nanos).unwrap_or(i64::MAX),
        });
        self.acts += usize::from(!entry.causes.is_empty());
        let hold_of = |shard, number| self.holds.get(&(shard, number)).cloned();
        self.steps.extend(steps::of(
            entry,
            index,
            zone,
            key_of,
            hold_of,
            &self.journals,
        ));
        let mut postings = Vec::new();
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let place = TransactionId { position, ordinal };
            let events = outcome.result.as_deref().unwrap_or_default();
            let is_forced = is_forced(outcome);
            for event in events {
                let moved = self.postings(entry.shard, event);
                self.changes.extend(controlled(&position, event));
                for posting in &moved {
                    self.note_change(&position, posting, is_forced);
                }
                postings.extend(moved);
                self.note_crossing(entry.shard, event);
            }
            if let Some(command) = &outcome.command {
                self.note_command(format!("{position} {place}"), command, outcome);
            }
        }
        let entry_of_book = conservation::Entry {
            position: position.to_string(),
            postings,
        };
        self.books
            .entry(entry.shard.0)
            .or_default()
            .push(entry_of_book);
    }

    fn note_change(&mut self, position: &Position, posting: &Posting, is_forced: bool) {
        if is_house(&posting.account) {
            return;
        }
        *self.balances.entry(posting.account.clone()).or_default() += posting.delta;
        self.changes.push(Change {
            position: position.to_string(),
            account: posting.account.clone(),
            delta: posting.delta,
            is_forced,
            limit: None,
        });
    }

    fn note_command(&mut self, position: String, command: &CommandRecord, outcome: &Outcome) {
        if steps::is_beside(command) {
            return;
        }
        let (key, account) = (key(Some(command)), command.account.to_string());
        let verdict = match &outcome.result {
            Ok(events) => {
                for touched in touched(events) {
                    let balance = self.balance(&touched);
                    self.after.insert((key.clone(), touched), balance);
                }
                Verdict::Accepted {
                    balance_after: Some(self.balance(&account)),
                }
            }
            Err(rejection) => Verdict::Rejected {
                code: rejection.code.name().to_owned(),
            },
        };
        self.recorded.push(Recorded {
            key,
            position,
            verdict,
        });
    }

    fn note_crossing(&mut self, shard: ShardId, event: &Event) {
        if let Some((item, _)) = event.sends() {
            let sent = item_of(item.number, item.currency, item.amount);
            self.crossing(shard, item.destination).sent.push(sent);
        }
        match event {
            Event::Journal(event) => self.note_posted(shard, event),
            Event::TransferReceived {
                item,
                payee,
                currency,
                amount,
                ..
            } => {
                let taken = item_of(item.number, *currency, *amount);
                self.crossing(item.source, shard).taken.push(taken);
                if let Some(sent) = self.sent.get(&(item.source.0, shard.0, item.number)) {
                    let payee = payee.account.to_string();
                    let balance = self.balance(&payee);
                    self.after.insert((sent.key.clone(), payee), balance);
                }
            }
            Event::TransferSuspended {
                item,
                currency,
                amount,
                ..
            } => {
                let taken = item_of(item.number, *currency, *amount);
                self.crossing(item.source, shard).taken.push(taken);
            }
            Event::TransferSettled { destination, .. } => {
                self.crossing(shard, *destination).settled += 1;
            }
            Event::TransferReturned {
                destination,
                number,
                payer,
                ..
            } => {
                let Some(sent) = self.sent.get(&(shard.0, destination.0, *number)).cloned() else {
                    return;
                };
                if payer.is_some() {
                    self.returns.push(Return {
                        key: sent.key,
                        amount: sent.item.amount,
                        balance_after: self.balance(&sent.payer),
                        payer: sent.payer,
                    });
                }
                self.crossing(shard, *destination).returned.push(sent.item);
            }
            _ => {}
        }
    }

    /// The balances with a journal between shards, once it is posted here.
    fn note_posted(&mut self, shard: ShardId, event: &JournalEvent) {
        let JournalEvent::Posted { .. } = event else {
            return;
        };
        let journal = journals::of(shard, event).and_then(|place| self.journals.get(&place));
        let Some(key) = journal.map(|journal| journal.key.clone()) else {
            return;
        };
        for account in journals::booked_on(event) {
            let balance = self.balance(&account);
            self.after.insert((key.clone(), account), balance);
        }
    }

    /// Both sides of everything an event moves, as the stored format defines it.
    fn postings(&self, shard: ShardId, event: &Event) -> Vec<Posting> {
        match event {
            Event::FundsDeposited {
                after,
                house,
                currency,
                amount,
            } => moved(house, after.account, *currency, *amount),
            Event::FundsWithdrawn {
                after,
                house,
                currency,
                amount,
            } => moved(after.account, house, *currency, *amount),
            Event::FundsTransferred {
                payer,
                payee,
                currency,
                amount,
            } => moved(payer.account, payee.account, *currency, *amount),
            Event::TransferSent { payer, item, .. } => moved(
                payer.account,
                HouseCode::InTransit(item.destination),
                item.currency,
                item.amount,
            ),
            Event::TransferReceived {
                item,
                payee,
                currency,
                amount,
                ..
            } => moved(
                HouseCode::DueFrom(item.source),
                payee.account,
                *currency,
                *amount,
            ),
            Event::TransferSuspended {
                item,
                currency,
                amount,
                ..
            } => moved(
                HouseCode::DueFrom(item.source),
                HouseCode::Suspense,
                *currency,
                *amount,
            ),
            Event::TransferSettled {
                destination,
                number,
            } => self.closed(shard, *destination, *number, HouseCode::DueTo(*destination)),
            Event::TransferReturned {
                destination,
                number,
                payer: Some(payer),
                ..
            } => self.closed(shard, *destination, *number, payer.account),
            Event::TransferReturned {
                destination,
                number,
                payer: None,
                ..
            } => self.closed(shard, *destination, *number, HouseCode::Suspense),
            Event::SuspenseCleared(cleared) => {
                let to = match &cleared.to {
                    Cleared::Account(after) => after.account.to_string(),
                    Cleared::House(house) => house.to_string(),
                    Cleared::Sent { item, .. } => {
                        HouseCode::InTransit(item.destination).to_string()
                    }
                };
                moved(HouseCode::Suspense, to, cleared.currency, cleared.amount)
            }
            Event::Journal(event) => booked(event),
            Event::AccountOpened { .. }
            | Event::HouseAccountOpened { .. }
            | Event::TransferRefused { .. }
            | Event::AccountFrozen { .. }
            | Event::AccountThawed { .. }
            | Event::LimitChanged { .. }
            | Event::SpendingLimitSet { .. }
            | Event::DayClosed { .. }
            | Event::ReferenceClaimed(_)
            | Event::ReferenceReleased(_)
            | Event::Customer(_)
            | Event::Consumer(_)
            | Event::AccountClosed { .. }
            | Event::Hold(_)
            | Event::Reversed(_)
            | Event::ItemsForgotten { .. } => Vec::new(),
        }
    }

    /// What was in transit goes to whom it belongs.
    fn closed(
        &self,
        shard: ShardId,
        destination: ShardId,
        number: u64,
        to: impl ToString,
    ) -> Vec<Posting> {
        let from = HouseCode::InTransit(destination).to_string();
        let Some(sent) = self.sent.get(&(shard.0, destination.0, number)) else {
            return Vec::new();
        };
        both(from, to.to_string(), &sent.item.currency, sent.item.amount)
    }

    fn crossing(&mut self, source: ShardId, destination: ShardId) -> &mut Crossing {
        self.crossings.entry((source.0, destination.0)).or_default()
    }

    fn balance(&self, account: &str) -> i64 {
        self.balances.get(account).copied().unwrap_or_default()
    }
}

/// Clients of a scenario send their keys as correlation ids too: the log keeps keys as digests.
pub(super) fn key(command: Option<&CommandRecord>) -> String {
    command.map_or_else(String::new, |command| command.info.correlation_id.clone())
}

/// A customer's account has its region before a dot, which no house account's code has.
#[must_use]
pub fn is_house(account: &str) -> bool {
    !account.contains('.')
}

//! All the state of one shard, and how entries change it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;

mod agenda;
mod consumers;
mod customers;
mod days;
mod journals;
mod references;
mod reversals;
mod shelves;
mod spending;
mod stored;

use agenda::Agenda;
use journals::Journals;
use shelves::Shelves;
pub use stored::{Reader, Restored, Unreadable};

use crate::{
    Account, AccountId, Currency, CustomerId, Damage, Date, Entry, Event, Fence, Freezes, Hash,
    HouseCode, HybridTime, KeyDigest, Position, ReferenceDigest, ShardId, SpendingLimits, Spent,
    TransactionId,
    consumer::{Consumer, ConsumerId},
    customer::Customer,
    day::{Closing, FrozenRow, business_date},
    evolve::{Mismatch, evolve},
    hold::{self, Hold, HoldChange, Status},
    journal::{JournalCount, JournalEvent, JournalHead, JournalRef, OpenJournal},
    state::{Inbound, KeyRecord, Outbound, Recorded, Sent, State},
    suspense::Suspended,
};

/// How long a key answers, counted in entry time.
pub const KEY_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far ahead of the ledger's time a first attempt may claim to be: callers' clocks differ.
pub const KEY_LEAD: Duration = Duration::from_secs(5 * 60);
/// A generation of keys is sealed when it is this old, counted in entry time.
const GENERATION_SPAN: Duration = Duration::from_secs(24 * 3600);

/// Keys that came within one span of time, forgotten together.
#[derive(Debug, Clone)]
struct Generation {
    began: HybridTime,
    /// Shared with copies of the book: sealed generations never change.
    keys: Arc<Shelves<KeyDigest, KeyRecord>>,
}

/// All the state of one shard. A clone is cheap: the two share what neither changes.
#[derive(Debug, Clone)]
pub struct Book {
    fence: Fence,
    applied: u64,
    accounts: Shelves<AccountId, Account>,
    /// Beside the accounts, because few have any.
    freezes: Shelves<AccountId, Freezes>,
    spending_limits: Shelves<AccountId, SpendingLimits>,
    /// Of one business date alone.
    spent_on: Option<Date>,
    spent: Shelves<AccountId, Spent>,
    houses: BTreeMap<(HouseCode, Currency), i64>,
    in_transit: BTreeMap<Currency, i128>,
    outbound: BTreeMap<ShardId, Outbound>,
    sent: BTreeMap<(ShardId, u64), Sent>,
    inbound: BTreeMap<ShardId, Inbound>,
    recorded: BTreeMap<(ShardId, u64), Recorded>,
    last_hold: u64,
    holds: Shelves<u64, Hold>,
    /// By the transactions that placed them.
    holds_placed: Shelves<TransactionId, u64>,
    open_holds: Agenda,
    /// Remembered for a while, and then forgotten.
    ended_holds: Agenda,
    /// By the transactions that put them there, so the oldest comes first. Shared with copies.
    suspended: Arc<BTreeMap<TransactionId, Suspended>>,
    /// How much of each transaction has been reversed, minor units.
    reversed: Shelves<TransactionId, i64>,
    /// Where each day was closed.
    closings: BTreeMap<Date, Closing>,
    journals: Journals,
    /// Those that hash to this shard: whose they are.
    references: Shelves<ReferenceDigest, AccountId>,
    customers: Shelves<CustomerId, Customer>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    keeps_keys: bool,
    /// Newest last.
    generations: Vec<Generation>,
}

/// What an entry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the ledger.
    Accepted(Entry),
    /// It keeps its index and means nothing: it was decided under another reign, or on a history
    /// that did not come to be.
    Void,
}

/// An entry that cannot be applied. Whoever meets this stops and serves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It stands where only the founding membership can: a key that points there would read as one
    /// that is still in flight, for ever.
    #[error("shard {shard} has an entry at index 0, where a log has its founding membership")]
    AtTheBeginning {
        /// The shard.
        shard: ShardId,
    },
    /// Its bytes are damaged.
    #[error("shard {shard}, index {index}: {damage}")]
    Damage {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// It does not follow from the book.
    #[error("shard {shard}, index {index}: {mismatch}")]
    Mismatch {
        /// The shard.
        shard: ShardId,
        /// The index.
        index: u64,
        /// What is wrong.
        mismatch: Mismatch,
    },
}

impl Book {
    /// An empty book under its first reign.
    pub fn new(shard: ShardId, epoch: u64) -> Self {
        Self {
            fence: Fence::new(shard, epoch),
            applied: 0,
            accounts: Shelves::new(),
            freezes: Shelves::new(),
            spending_limits: Shelves::new(),
            spent_on: None,
            spent: Shelves::new(),
            houses: BTreeMap::new(),
            in_transit: BTreeMap::new(),
            outbound: BTreeMap::new(),
            sent: BTreeMap::new(),
            inbound: BTreeMap::new(),
            recorded: BTreeMap::new(),
            last_hold: 0,
            holds: Shelves::new(),
            holds_placed: Shelves::new(),
            open_holds: Agenda::default(),
            ended_holds: Agenda::default(),
            suspended: Arc::default(),
            reversed: Shelves::new(),
            closings: BTreeMap::new(),
            journals: Journals::default(),
            references: Shelves::new(),
            customers: Shelves::new(),
            consumers: BTreeMap::new(),
            keeps_keys: true,
            generations: Vec::new(),
        }
    }

    /// An empty book for looking at balances and channels only: it remembers no keys, which are
    /// most of a book's memory, so nothing may be decided on it.
    pub fn without_keys(shard: ShardId, epoch: u64) -> Self {
        Self {
            keeps_keys: false,
            ..Self::new(shard, epoch)
        }
    }

    /// Whose book.
    pub fn shard(&self) -> ShardId {
        self.fence.shard
    }

    /// The reign.
    pub fn epoch(&self) -> u64 {
        self.fence.epoch
    }

    /// The head of the writer's chain.
    pub fn head(&self) -> Hash {
        self.fence.head
    }

    /// The time of the last entry that is not void: all times up to it are closed.
    pub fn time(&self) -> HybridTime {
        self.fence.time
    }

    /// The index of the last entry applied, void or not; 0, where no entry stands, also before
    /// there is any.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Every house account with its balance.
    pub fn houses(&self) -> impl Iterator<Item = (&HouseCode, Currency, i64)> {
        self.houses
            .iter()
            .map(|((code, currency), balance)| (code, *currency, *balance))
    }

    /// Every channel out, with its head.
    pub fn channels_out(&self) -> impl Iterator<Item = (ShardId, Outbound)> {
        self.outbound.iter().map(|(shard, head)| (*shard, *head))
    }

    /// Every channel in, with its head.
    pub fn channels_in(&self) -> impl Iterator<Item = (ShardId, Inbound)> {
        self.inbound.iter().map(|(shard, head)| (*shard, *head))
    }

    /// Every item under way, in the order of channel and number.
    pub fn under_way(&self) -> impl Iterator<Item = &Sent> {
        self.sent.values()
    }

    /// Every record of an item that is not forgotten: its source, its number, and what it says.
    pub fn records(&self) -> impl Iterator<Item = (ShardId, u64, &Recorded)> {
        self.recorded
            .iter()
            .map(|((source, number), recorded)| (*source, *number, recorded))
    }

    /// Every account, in the order of their ids. Sorts: not for the hot path.
    pub fn accounts(&self) -> Vec<(AccountId, Account)> {
        let mut all: Vec<_> = self.accounts.sorted().flatten().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// The sum of everything in the book, by currency. All zero, always.
    pub fn sums(&self) -> BTreeMap<Currency, i128> {
        let mut sums = BTreeMap::new();
        for (_, account) in self.accounts() {
            *sums.entry(account.currency).or_default() += i128::from(account.posted);
        }
        for (_, currency, balance) in self.houses() {
            *sums.entry(currency).or_default() += i128::from(balance);
        }
        sums
    }

    /// The log is written under this reign from the next index on: entries of others are void.
    pub fn under(&mut self, epoch: u64) {
        self.fence.under(epoch);
    }

    /// Applies the stored bytes of an entry at its index.
    pub fn apply(&mut self, index: u64, stored: &Bytes) -> Result<Verdict, Error> {
        let entry = self.decode(index, stored)?;
        self.enter(index, entry, stored)
    }

    /// Applies an entry unless it counts and is later than `last`: then nothing changes, and the
    /// answer is `None`. Entries rise in time, so the book is then the book at `last`.
    pub fn apply_through(
        &mut self,
        last: HybridTime,
        index: u64,
        stored: &Bytes,
    ) -> Result<Option<Verdict>, Error> {
        let entry = self.decode(index, stored)?;
        // A void entry may be late and be followed by an earlier one: a deposed writer's clock.
        let mut fence = self.fence;
        if entry.time > last && fence.admit(&entry, stored) {
            return Ok(None);
        }
        self.enter(index, entry, stored).map(Some)
    }

    fn decode(&self, index: u64, stored: &Bytes) -> Result<Entry, Error> {
        let shard = self.shard();
        if index == 0 {
            return Err(Error::AtTheBeginning { shard });
        }
        Entry::decode(stored).map_err(|damage| Error::Damage {
            shard,
            index,
            damage,
        })
    }

    fn enter(&mut self, index: u64, entry: Entry, stored: &Bytes) -> Result<Verdict, Error> {
        let shard = self.shard();
        self.applied = index;
        if !self.fence.admit(&entry, stored) {
            return Ok(Verdict::Void);
        }
        self.rotate_keys();
        self.forget_holds();
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let position = Position {
                shard,
                epoch: entry.epoch,
                index,
            };
            let transaction = TransactionId { position, ordinal };
            // A close among the outcomes leaves what follows it a day on.
            let date = business_date(entry.business_date, self.closed_through());
            if let Ok(events) = &outcome.result {
                for event in events {
                    let suspended = Suspended::by(event, entry.time, |to, n| self.sent(to, n));
                    evolve(self, event).map_err(|mismatch| Error::Mismatch {
                        shard,
                        index,
                        mismatch,
                    })?;
                    if let Event::Hold(event) = event
                        && let HoldChange::Placed { .. } = event.change
                    {
                        self.name_hold(event.number, transaction);
                    }
                    if suspended.is_some() {
                        self.set_suspended(transaction, suspended);
                    }
                    if let Event::Journal(JournalEvent::Opened { number, .. }) = event {
                        self.journals.name(shard, *number, transaction);
                    }
                    if let Event::DayClosed { date, .. } = event {
                        self.closings.insert(*date, Closing { index, ordinal });
                    }
                }
            }
            if let (Some(command), Ok(events)) = (&outcome.command, &outcome.result) {
                crate::spending::count(self, command, events, date);
            }
            if let Some(command) = &outcome.command {
                let fingerprint = command.info.fingerprint.whole();
                self.set_key(
                    command.info.key,
                    KeyRecord {
                        fingerprint,
                        index,
                        ordinal,
                    },
                );
            }
        }
        Ok(Verdict::Accepted(entry))
    }

    /// Records that an index without an entry (blank, membership) was applied.
    pub fn skip(&mut self, index: u64) {
        self.applied = index;
    }

    /// The open holds that expire up to a time, by expiry and number.
    pub fn open_holds(&self, time_nanos: u64) -> impl Iterator<Item = (u64, u64)> {
        self.open_holds.up_to(time_nanos)
    }

    /// Every hold that is not forgotten, by number. Sorts: not for the hot path.
    pub fn holds(&self) -> Vec<(u64, Hold)> {
        let mut all: Vec<_> = self.holds.sorted().flatten().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }

    /// What is in suspense, the oldest first, each with the transaction that put it there.
    pub fn in_suspense(&self) -> impl Iterator<Item = (&TransactionId, &Suspended)> {
        self.suspended.iter()
    }

    fn name_hold(&mut self, number: u64, placed: TransactionId) {
        if let Some(mut hold) = self.holds.get(&number) {
            hold.placed = Some(placed);
            self.holds.insert(number, hold);
            self.holds_placed.insert(placed, number);
        }
    }

    fn forget_holds(&mut self) {
        let memory = u64::try_from(hold::MEMORY.as_nanos()).unwrap_or(u64::MAX);
        let before = self.time().wall_nanos.saturating_sub(memory);
        let old: Vec<_> = self.ended_holds.up_to(before).collect();
        for (expires, number) in old {
            self.ended_holds.remove(expires, number);
            let hold = self.holds.remove(&number);
            if let Some(placed) = hold.and_then(|hold| hold.placed) {
                self.holds_placed.remove(&placed);
            }
        }
    }

    fn rotate_keys(&mut self) {
        let now = self.time();
        let age =
            |from: HybridTime| Duration::from_nanos(now.wall_nanos.saturating_sub(from.wall_nanos));
        // A key may come once its generation is sealed only with a first attempt before: what a
        // generation spans is kept for the whole window beyond its end, and for as long as the
        // caller's clock may have been ahead.
        let kept = KEY_WINDOW + GENERATION_SPAN + KEY_LEAD;
        let expired = self
            .generations
            .iter()
            .take_while(|g| age(g.began) > kept)
            .count();
        let full = self
            .generations
            .last()
            .is_none_or(|g| age(g.began) > GENERATION_SPAN);
        self.generations.drain(..expired);
        if full || self.generations.is_empty() {
            self.generations.push(Generation {
                began: now,
                keys: Arc::new(Shelves::new()),
            });
        }
    }
}

impl State for Book {
    fn shard(&self) -> ShardId {
        self.fence.shard
    }

    fn account(&self, id: &AccountId) -> Option<Account> {
        self.accounts.get(id)
    }

    fn set_account(&mut self, id: AccountId, account: Account) {
        self.accounts.insert(id, account);
    }

    fn freezes(&self, id: &AccountId) -> Freezes {
        self.freezes.get(id).unwrap_or_default()
    }

    fn set_freezes(&mut self, id: AccountId, freezes: Freezes) {
        match freezes.is_empty() {
            true => drop(self.freezes.remove(&id)),
            false => self.freezes.insert(id, freezes),
        }
    }

    fn spending_limits(&self, id: &AccountId) -> SpendingLimits {
        self.spending_limits.get(id).unwrap_or_default()
    }

    fn set_spending_limits(&mut self, id: AccountId, limits: SpendingLimits) {
        match limits.is_empty() {
            true => drop(self.spending_limits.remove(&id)),
            false => self.spending_limits.insert(id, limits),
        }
    }

    fn spent(&self, id: &AccountId, date: Date) -> Spent {
        let row = (self.spent_on == Some(date)).then(|| self.spent.get(id));
        row.flatten().unwrap_or_default()
    }

    fn set_spent(&mut self, id: AccountId, date: Date, spent: Spent) {
        if self.spent_on != Some(date) {
            self.spent_on = Some(date);
            self.spent = Shelves::new();
        }
        self.spent.insert(id, spent);
    }

    fn house(&self, code: &HouseCode, currency: Currency) -> Option<i64> {
        self.houses.get(&(code.clone(), currency)).copied()
    }

    fn set_house(&mut self, code: HouseCode, currency: Currency, balance: i64) {
        self.houses.insert((code, currency), balance);
    }

    fn in_transit(&self, currency: Currency) -> i128 {
        self.in_transit.get(&currency).copied().unwrap_or(0)
    }

    fn set_in_transit(&mut self, currency: Currency, sum: i128) {
        self.in_transit.insert(currency, sum);
    }

    fn outbound(&self, to: ShardId) -> Outbound {
        self.outbound.get(&to).copied().unwrap_or_default()
    }

    fn set_outbound(&mut self, to: ShardId, head: Outbound) {
        self.outbound.insert(to, head);
    }

    fn sent(&self, to: ShardId, number: u64) -> Option<Sent> {
        self.sent.get(&(to, number)).cloned()
    }

    fn set_sent(&mut self, to: ShardId, number: u64, sent: Option<Sent>) {
        match sent {
            Some(sent) => self.sent.insert((to, number), sent),
            None => self.sent.remove(&(to, number)),
        };
    }

    fn inbound(&self, from: ShardId) -> Inbound {
        self.inbound.get(&from).copied().unwrap_or_default()
    }

    fn set_inbound(&mut self, from: ShardId, head: Inbound) {
        self.inbound.insert(from, head);
    }

    fn recorded(&self, from: ShardId, number: u64) -> Option<Recorded> {
        self.recorded.get(&(from, number)).cloned()
    }

    fn set_recorded(&mut self, from: ShardId, number: u64, recorded: Option<Recorded>) {
        match recorded {
            Some(recorded) => self.recorded.insert((from, number), recorded),
            None => self.recorded.remove(&(from, number)),
        };
    }

    fn hold(&self, number: u64) -> Option<Hold> {
        self.holds.get(&number)
    }

    fn set_hold(&mut self, number: u64, hold: Hold) {
        let (from, to) = match hold.status {
            Status::Open => (&mut self.ended_holds, &mut self.open_holds),
            _ => (&mut self.open_holds, &mut self.ended_holds),
        };
        from.remove(hold.expires, number);
        to.insert(hold.expires, number);
        self.holds.insert(number, hold);
    }

    fn last_hold(&self) -> u64 {
        self.last_hold
    }

    fn set_last_hold(&mut self, number: u64) {
        self.last_hold = number;
    }

    fn hold_placed_by(&self, transaction: &TransactionId) -> Option<u64> {
        self.holds_placed.get(transaction)
    }

    fn due(&self, time_nanos: u64, most: usize) -> Vec<u64> {
        let due = self.open_holds(time_nanos).take(most);
        due.map(|(_, number)| number).collect()
    }

    fn suspended(&self, put: &TransactionId) -> Option<Suspended> {
        self.suspended.get(put).cloned()
    }

    fn set_suspended(&mut self, put: TransactionId, item: Option<Suspended>) {
        let suspended = Arc::make_mut(&mut self.suspended);
        match item {
            Some(item) => suspended.insert(put, item),
            None => suspended.remove(&put),
        };
    }

    fn reversed(&self, original: &TransactionId) -> i64 {
        self.reversed.get(original).unwrap_or(0)
    }

    fn set_reversed(&mut self, original: TransactionId, total: i64) {
        match total {
            0 => drop(self.reversed.remove(&original)),
            _ => self.reversed.insert(original, total),
        }
    }

    fn closed_through(&self) -> Option<Date> {
        self.closings.last_key_value().map(|(date, _)| *date)
    }

    fn set_closed_through(&mut self, date: Date) {
        self.closings.insert(date, Closing::default());
    }

    fn trial_balance(&self) -> Vec<FrozenRow> {
        self.tally().rows()
    }

    fn journal(&self, id: &JournalRef) -> Option<OpenJournal> {
        self.journals.open.get(id).cloned()
    }

    fn journal_legs(&self, id: &JournalRef) -> Option<usize> {
        self.journals.open.get(id).map(|it| it.legs.len())
    }

    fn journal_opened(&self, id: &JournalRef) -> Option<TransactionId> {
        self.journals.open.get(id)?.opened
    }

    fn journal_waits(&self, id: &JournalRef, shard: ShardId) -> bool {
        let journal = self.journals.open.get(id);
        journal.is_some_and(|it| it.waiting.contains(&shard))
    }

    fn set_journal(&mut self, id: JournalRef, journal: Option<OpenJournal>) {
        self.journals.set(id, journal);
    }

    fn journal_head(&self, peer: ShardId) -> JournalHead {
        self.journals.heads.get(&peer).copied().unwrap_or_default()
    }

    fn set_journal_head(&mut self, peer: ShardId, head: JournalHead) {
        self.journals.heads.insert(peer, head);
    }

    fn journal_count(&self) -> JournalCount {
        self.journals.count
    }

    fn set_journal_count(&mut self, count: JournalCount) {
        self.journals.count = count;
    }

    fn journal_room(&self, currency: Currency) -> i128 {
        self.journals.room.get(&currency).copied().unwrap_or(0)
    }

    fn set_journal_room(&mut self, currency: Currency, units: i128) {
        self.journals.set_room(currency, units);
    }

    fn reference(&self, digest: &ReferenceDigest) -> Option<AccountId> {
        self.references.get(digest)
    }

    fn set_reference(&mut self, digest: ReferenceDigest, account: Option<AccountId>) {
        match account {
            Some(account) => self.references.insert(digest, account),
            None => drop(self.references.remove(&digest)),
        }
    }

    fn customer(&self, id: &CustomerId) -> Option<Customer> {
        self.customers.get(id)
    }

    fn set_customer(&mut self, id: CustomerId, customer: Customer) {
        self.customers.insert(id, customer);
    }

    fn consumer(&self, id: &ConsumerId) -> Option<Consumer> {
        self.consumers.get(id).cloned()
    }

    fn set_consumer(&mut self, id: &ConsumerId, consumer: Option<Consumer>) {
        match consumer {
            Some(consumer) => drop(self.consumers.insert(id.clone(), consumer)),
            None => drop(self.consumers.remove(id)),
        }
    }

    fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    fn key(&self, key: &KeyDigest) -> Option<KeyRecord> {
        self.generations.iter().rev().find_map(|g| g.keys.get(key))
    }

    fn set_key(&mut self, key: KeyDigest, record: KeyRecord) {
        if !self.keeps_keys {
            return;
        }
        let newest = self
            .generations
            .last_mut()
            .expect("an entry opens a generation first");
        Arc::make_mut(&mut newest.keys).insert(key, record);
    }
}

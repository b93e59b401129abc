//! What is in flight above an applied book.
//!
//! The writer decides against the book plus everything it has proposed and not yet seen applied.
//! Each change remembers the entry that made it last and is dropped once that entry is applied:
//! the book then says the same. A void entry or a lost leadership drops the whole overlay.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::{
    Account, AccountId, Book, Currency, CustomerId, Date, Freezes, HouseCode, KeyDigest,
    ReferenceDigest, ShardId, SpendingLimits, Spent, TransactionId,
    consumer::{Consumer, ConsumerId},
    customer::Customer,
    day::FrozenRow,
    hold::{Hold, Status},
    journal::{JournalCount, JournalHead, JournalRef, OpenJournal},
    state::{Inbound, KeyRecord, Outbound, Recorded, Sent, State},
    suspense::Suspended,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot {
    Account(AccountId),
    Freezes(AccountId),
    SpendingLimits(AccountId),
    Spent(AccountId),
    House(HouseCode, Currency),
    InTransit(Currency),
    Outbound(ShardId),
    Sent(ShardId, u64),
    Inbound(ShardId),
    Recorded(ShardId, u64),
    Hold(u64),
    LastHold,
    Suspended(TransactionId),
    Reversed(TransactionId),
    ClosedThrough,
    Journal(JournalRef),
    JournalHead(ShardId),
    JournalCount,
    JournalRoom(Currency),
    Reference(ReferenceDigest),
    Customer(CustomerId),
    Consumer(ConsumerId),
    ConsumerCount,
    Key(KeyDigest),
}

#[derive(Debug, Clone)]
enum Value {
    Account(Account),
    Freezes(Freezes),
    SpendingLimits(SpendingLimits),
    Spent(Date, Spent),
    House(i64),
    InTransit(i128),
    Outbound(Outbound),
    Sent(Option<Sent>),
    Inbound(Inbound),
    Recorded(Option<Recorded>),
    Hold(Hold),
    LastHold(u64),
    Suspended(Option<Suspended>),
    Reversed(i64),
    ClosedThrough(Date),
    Journal(Option<OpenJournal>),
    JournalHead(JournalHead),
    JournalCount(JournalCount),
    JournalRoom(i128),
    Reference(Option<AccountId>),
    Customer(Customer),
    Consumer(Option<Consumer>),
    ConsumerCount(usize),
    Key(KeyRecord),
}

/// A value, and the entry that made it.
type Change = (u64, Value);

/// The changes of entries that are proposed and not yet applied.
#[derive(Debug, Default)]
pub struct InFlight {
    changes: HashMap<Slot, Change>,
    touched: VecDeque<(u64, Vec<Slot>)>,
    /// While something is attempted: what was there before, in the order it was changed.
    before: Option<Vec<(Slot, Option<Change>)>>,
    /// The holds among the changes that are open, by expiry and number.
    open_holds: BTreeSet<(u64, u64)>,
    last: u64,
}

impl InFlight {
    /// Starts the next entry; its number counts what this writer proposed, from 1.
    pub fn begin(&mut self) -> u64 {
        self.last += 1;
        self.touched.push_back((self.last, Vec::new()));
        self.last
    }

    /// Drops what the entries up to a number changed: the book has it now.
    pub fn applied(&mut self, number: u64) {
        while self.touched.front().is_some_and(|(n, _)| *n <= number) {
            let (_, slots) = self.touched.pop_front().unwrap_or_default();
            for slot in slots {
                if self.changes.get(&slot).is_some_and(|(by, _)| *by <= number) {
                    let change = self.changes.remove(&slot);
                    if let (Slot::Hold(number), Some((_, Value::Hold(hold)))) = (slot, change) {
                        self.open_holds.remove(&(hold.expires, number));
                    }
                }
            }
        }
    }

    fn put_back(&mut self, slot: Slot, before: Option<Change>) {
        let number = match slot {
            Slot::Hold(number) => Some(number),
            _ => None,
        };
        let failed = match before.clone() {
            Some(before) => self.changes.insert(slot, before),
            None => self.changes.remove(&slot),
        };
        let Some(number) = number else {
            return;
        };
        if let Some((_, Value::Hold(hold))) = failed {
            self.open_holds.remove(&(hold.expires, number));
        }
        if let Some((_, Value::Hold(hold))) = before
            && hold.status == Status::Open
        {
            self.open_holds.insert((hold.expires, number));
        }
    }

    /// What has become of a journal; `None` where nothing in flight concerns it.
    fn journal(&self, id: &JournalRef) -> Option<Option<&OpenJournal>> {
        match self.changes.get(&Slot::Journal(*id)) {
            Some((_, Value::Journal(journal))) => Some(journal.as_ref()),
            _ => None,
        }
    }

    /// Nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// The state as it will be once everything in flight is applied.
    pub fn above<'a>(&'a mut self, book: &'a Book) -> Overlay<'a> {
        Overlay {
            book,
            in_flight: self,
        }
    }
}

/// A book and what is in flight above it, as one state.
#[derive(Debug)]
pub struct Overlay<'a> {
    book: &'a Book,
    in_flight: &'a mut InFlight,
}

macro_rules! slot {
    ($self:ident, $slot:expr, $variant:ident, $below:expr) => {
        match $self.in_flight.changes.get(&$slot) {
            Some((_, Value::$variant(value))) => value.clone().into(),
            _ => $below,
        }
    };
}

impl Overlay<'_> {
    fn put(&mut self, slot: Slot, value: Value) {
        let number = self.in_flight.last;
        let before = self.in_flight.changes.insert(slot.clone(), (number, value));
        let is_first = before.as_ref().is_none_or(|(by, _)| *by != number);
        if let Some(log) = &mut self.in_flight.before {
            log.push((slot.clone(), before));
        }
        if is_first {
            let (_, slots) = self
                .in_flight
                .touched
                .back_mut()
                .expect("an entry begins before it changes");
            slots.push(slot);
        }
    }
}

impl Overlay<'_> {
    /// Does something that leaves no trace if it fails. Attempts do not nest.
    ///
    /// # Errors
    ///
    /// Those of what is attempted.
    pub fn attempt<T, E>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        debug_assert!(self.in_flight.before.is_none(), "attempts do not nest");
        self.in_flight.before = Some(Vec::new());
        let result = what(self);
        let changed = self.in_flight.before.take().unwrap_or_default();
        if result.is_err() {
            for (slot, before) in changed.into_iter().rev() {
                self.in_flight.put_back(slot, before);
            }
        }
        result
    }
}

impl State for Overlay<'_> {
    fn shard(&self) -> ShardId {
        self.book.shard()
    }

    fn account(&self, id: &AccountId) -> Option<Account> {
        slot!(self, Slot::Account(*id), Account, self.book.account(id))
    }

    fn set_account(&mut self, id: AccountId, account: Account) {
        self.put(Slot::Account(id), Value::Account(account));
    }

    fn freezes(&self, id: &AccountId) -> Freezes {
        slot!(self, Slot::Freezes(*id), Freezes, self.book.freezes(id))
    }

    fn set_freezes(&mut self, id: AccountId, freezes: Freezes) {
        self.put(Slot::Freezes(id), Value::Freezes(freezes));
    }

    fn spending_limits(&self, id: &AccountId) -> SpendingLimits {
        slot!(
            self,
            Slot::SpendingLimits(*id),
            SpendingLimits,
            self.book.spending_limits(id)
        )
    }

    fn set_spending_limits(&mut self, id: AccountId, limits: SpendingLimits) {
        self.put(Slot::SpendingLimits(id), Value::SpendingLimits(limits));
    }

    fn spent(&self, id: &AccountId, date: Date) -> Spent {
        match self.in_flight.changes.get(&Slot::Spent(*id)) {
            Some((_, Value::Spent(on, spent))) if *on == date => *spent,
            Some(_) => Spent::default(),
            None => self.book.spent(id, date),
        }
    }

    fn set_spent(&mut self, id: AccountId, date: Date, spent: Spent) {
        self.put(Slot::Spent(id), Value::Spent(date, spent));
    }

    fn house(&self, code: &HouseCode, currency: Currency) -> Option<i64> {
        slot!(
            self,
            Slot::House(code.clone(), currency),
            House,
            self.book.house(code, currency)
        )
    }

    fn set_house(&mut self, code: HouseCode, currency: Currency, balance: i64) {
        self.put(Slot::House(code, currency), Value::House(balance));
    }

    fn in_transit(&self, currency: Currency) -> i128 {
        slot!(
            self,
            Slot::InTransit(currency),
            InTransit,
            self.book.in_transit(currency)
        )
    }

    fn set_in_transit(&mut self, currency: Currency, sum: i128) {
        self.put(Slot::InTransit(currency), Value::InTransit(sum));
    }

    fn outbound(&self, to: ShardId) -> Outbound {
        slot!(self, Slot::Outbound(to), Outbound, self.book.outbound(to))
    }

    fn set_outbound(&mut self, to: ShardId, head: Outbound) {
        self.put(Slot::Outbound(to), Value::Outbound(head));
    }

    fn sent(&self, to: ShardId, number: u64) -> Option<Sent> {
        slot!(
            self,
            Slot::Sent(to, number),
            Sent,
            self.book.sent(to, number)
        )
    }

    fn set_sent(&mut self, to: ShardId, number: u64, sent: Option<Sent>) {
        self.put(Slot::Sent(to, number), Value::Sent(sent));
    }

    fn inbound(&self, from: ShardId) -> Inbound {
        slot!(self, Slot::Inbound(from), Inbound, self.book.inbound(from))
    }

    fn set_inbound(&mut self, from: ShardId, head: Inbound) {
        self.put(Slot::Inbound(from), Value::Inbound(head));
    }

    fn recorded(&self, from: ShardId, number: u64) -> Option<Recorded> {
        slot!(
            self,
            Slot::Recorded(from, number),
            Recorded,
            self.book.recorded(from, number)
        )
    }

    fn set_recorded(&mut self, from: ShardId, number: u64, recorded: Option<Recorded>) {
        self.put(Slot::Recorded(from, number), Value::Recorded(recorded));
    }

    fn hold(&self, number: u64) -> Option<Hold> {
        slot!(self, Slot::Hold(number), Hold, self.book.hold(number))
    }

    fn set_hold(&mut self, number: u64, hold: Hold) {
        let due = (hold.expires, number);
        match hold.status {
            Status::Open => self.in_flight.open_holds.insert(due),
            _ => self.in_flight.open_holds.remove(&due),
        };
        self.put(Slot::Hold(number), Value::Hold(hold));
    }

    fn last_hold(&self) -> u64 {
        slot!(self, Slot::LastHold, LastHold, self.book.last_hold())
    }

    fn set_last_hold(&mut self, number: u64) {
        self.put(Slot::LastHold, Value::LastHold(number));
    }

    fn hold_placed_by(&self, transaction: &TransactionId) -> Option<u64> {
        self.book.hold_placed_by(transaction)
    }

    fn due(&self, time_nanos: u64, most: usize) -> Vec<u64> {
        let changed = |number: &u64| self.in_flight.changes.contains_key(&Slot::Hold(*number));
        let below = self.book.open_holds(time_nanos);
        let below = below.filter(|(_, number)| !changed(number)).take(most);
        let above = self.in_flight.open_holds.range(..=(time_nanos, u64::MAX));
        let mut due: Vec<_> = below.chain(above.copied().take(most)).collect();
        due.sort_unstable();
        due.into_iter()
            .take(most)
            .map(|(_, number)| number)
            .collect()
    }

    fn suspended(&self, put: &TransactionId) -> Option<Suspended> {
        slot!(
            self,
            Slot::Suspended(*put),
            Suspended,
            self.book.suspended(put)
        )
    }

    fn set_suspended(&mut self, put: TransactionId, item: Option<Suspended>) {
        self.put(Slot::Suspended(put), Value::Suspended(item));
    }

    fn reversed(&self, original: &TransactionId) -> i64 {
        slot!(
            self,
            Slot::Reversed(*original),
            Reversed,
            self.book.reversed(original)
        )
    }

    fn set_reversed(&mut self, original: TransactionId, total: i64) {
        self.put(Slot::Reversed(original), Value::Reversed(total));
    }

    fn closed_through(&self) -> Option<Date> {
        slot!(
            self,
            Slot::ClosedThrough,
            ClosedThrough,
            self.book.closed_through()
        )
    }

    fn set_closed_through(&mut self, date: Date) {
        self.put(Slot::ClosedThrough, Value::ClosedThrough(date));
    }

    fn trial_balance(&self) -> Vec<FrozenRow> {
        let mut tally = self.book.tally();
        #[expect(clippy::iter_over_hash_type, reason = "sums know no order")]
        for (slot, (_, value)) in &self.in_flight.changes {
            match (slot, value) {
                (Slot::Account(id), Value::Account(account)) => {
                    if let Some(before) = self.book.account(id) {
                        tally.remove(before.currency, None, before.posted);
                    }
                    tally.add(account.currency, None, account.posted);
                }
                (Slot::House(code, currency), Value::House(balance)) => {
                    if let Some(before) = self.book.house(code, *currency) {
                        tally.remove(*currency, Some(code.clone()), before);
                    }
                    tally.add(*currency, Some(code.clone()), *balance);
                }
                _ => {}
            }
        }
        tally.rows()
    }

    fn journal(&self, id: &JournalRef) -> Option<OpenJournal> {
        slot!(self, Slot::Journal(*id), Journal, self.book.journal(id))
    }

    fn journal_legs(&self, id: &JournalRef) -> Option<usize> {
        match self.in_flight.journal(id) {
            Some(journal) => journal.map(|it| it.legs.len()),
            None => self.book.journal_legs(id),
        }
    }

    fn journal_opened(&self, id: &JournalRef) -> Option<TransactionId> {
        match self.in_flight.journal(id) {
            Some(journal) => journal?.opened,
            None => self.book.journal_opened(id),
        }
    }

    fn journal_waits(&self, id: &JournalRef, shard: ShardId) -> bool {
        match self.in_flight.journal(id) {
            Some(journal) => journal.is_some_and(|it| it.waiting.contains(&shard)),
            None => self.book.journal_waits(id, shard),
        }
    }

    fn set_journal(&mut self, id: JournalRef, journal: Option<OpenJournal>) {
        self.put(Slot::Journal(id), Value::Journal(journal));
    }

    fn journal_head(&self, peer: ShardId) -> JournalHead {
        let below = self.book.journal_head(peer);
        slot!(self, Slot::JournalHead(peer), JournalHead, below)
    }

    fn set_journal_head(&mut self, peer: ShardId, head: JournalHead) {
        self.put(Slot::JournalHead(peer), Value::JournalHead(head));
    }

    fn journal_count(&self) -> JournalCount {
        let below = self.book.journal_count();
        slot!(self, Slot::JournalCount, JournalCount, below)
    }

    fn set_journal_count(&mut self, count: JournalCount) {
        self.put(Slot::JournalCount, Value::JournalCount(count));
    }

    fn journal_room(&self, currency: Currency) -> i128 {
        let below = self.book.journal_room(currency);
        slot!(self, Slot::JournalRoom(currency), JournalRoom, below)
    }

    fn set_journal_room(&mut self, currency: Currency, units: i128) {
        self.put(Slot::JournalRoom(currency), Value::JournalRoom(units));
    }

    fn reference(&self, digest: &ReferenceDigest) -> Option<AccountId> {
        slot!(
            self,
            Slot::Reference(*digest),
            Reference,
            self.book.reference(digest)
        )
    }

    fn set_reference(&mut self, digest: ReferenceDigest, account: Option<AccountId>) {
        self.put(Slot::Reference(digest), Value::Reference(account));
    }

    fn customer(&self, id: &CustomerId) -> Option<Customer> {
        match self.in_flight.changes.get(&Slot::Customer(*id)) {
            Some((_, Value::Customer(customer))) => Some(customer.clone()),
            _ => self.book.customer(id),
        }
    }

    fn set_customer(&mut self, id: CustomerId, customer: Customer) {
        self.put(Slot::Customer(id), Value::Customer(customer));
    }

    fn consumer(&self, id: &ConsumerId) -> Option<Consumer> {
        match self.in_flight.changes.get(&Slot::Consumer(id.clone())) {
            Some((_, Value::Consumer(consumer))) => consumer.clone(),
            _ => self.book.consumer(id),
        }
    }

    fn set_consumer(&mut self, id: &ConsumerId, consumer: Option<Consumer>) {
        let before = usize::from(self.consumer(id).is_some());
        let count = self.consumer_count() + usize::from(consumer.is_some()) - before;
        self.put(Slot::ConsumerCount, Value::ConsumerCount(count));
        self.put(Slot::Consumer(id.clone()), Value::Consumer(consumer));
    }

    fn consumer_count(&self) -> usize {
        let below = self.book.consumer_count();
        slot!(self, Slot::ConsumerCount, ConsumerCount, below)
    }

    fn key(&self, key: &KeyDigest) -> Option<KeyRecord> {
        slot!(self, Slot::Key(*key), Key, self.book.key(key))
    }

    fn set_key(&mut self, key: KeyDigest, record: KeyRecord) {
        self.put(Slot::Key(key), Value::Key(record));
    }
}

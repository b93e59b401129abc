//! What deciding and evolving need of a book, so that both run on the applied book and on what is
//! in flight above it.

use crate::{
    Account, AccountId, Currency, CustomerId, Date, Freezes, Hash, HouseCode, KeyDigest,
    ReferenceDigest, ShardId, SpendingLimits, Spent, TransactionId,
    consumer::{Consumer, ConsumerId},
    customer::Customer,
    day::FrozenRow,
    event::ChannelItem,
    hold::Hold,
    journal::{JournalCount, JournalHead, JournalRef, OpenJournal},
    suspense::Suspended,
};

/// The near end of the channel to a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outbound {
    /// The number of the last item sent; 0 before the first.
    pub sent: u64,
    /// Items sent and not yet settled or returned.
    pub under_way: u64,
}

/// The far end of the channel from a shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inbound {
    /// The number of the last item taken or refused; 0 before the first.
    pub recorded: u64,
    /// Records up to this number are forgotten.
    pub forgotten: u64,
}

/// An item under way, as its source remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The item.
    pub item: ChannelItem,
    /// BLAKE3 of its stored bytes.
    pub hash: Hash,
}

/// What a destination recorded about an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// BLAKE3 of the item's stored bytes.
    pub hash: Hash,
    /// Whether it was taken (or refused).
    pub taken: bool,
}

/// Where the outcome of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRecord {
    /// The digest of the whole body.
    pub fingerprint: [u8; 16],
    /// The entry's index; 0 while it is in flight.
    pub index: u64,
    /// The outcome's place in it.
    pub ordinal: u32,
}

/// A book, or what is in flight above one.
pub trait State {
    /// Whose.
    fn shard(&self) -> ShardId;
    /// An account.
    fn account(&self, id: &AccountId) -> Option<Account>;
    /// Stores an account.
    fn set_account(&mut self, id: AccountId, account: Account);
    /// The freezes of an account, also those that are over.
    fn freezes(&self, id: &AccountId) -> Freezes;
    /// Stores the freezes of an account.
    fn set_freezes(&mut self, id: AccountId, freezes: Freezes);
    /// The spending limits of an account.
    fn spending_limits(&self, id: &AccountId) -> SpendingLimits;
    /// Stores the spending limits of an account.
    fn set_spending_limits(&mut self, id: AccountId, limits: SpendingLimits);
    /// What an account has spent on a business date, which is the last one or to come: days before
    /// are forgotten.
    fn spent(&self, id: &AccountId, date: Date) -> Spent;
    /// Stores what an account has spent on a business date.
    fn set_spent(&mut self, id: AccountId, date: Date, spent: Spent);
    /// The balance of a house account, minor units; `None` where it was never opened.
    fn house(&self, code: &HouseCode, currency: Currency) -> Option<i64>;
    /// The sum of all in-transit accounts of a currency, minor units: what is under way to other
    /// shards, and may come back into suspense.
    ///
    /// Deciding keeps `suspense + in_transit` within 64 bits, whoever moves either of them, and for
    /// each shard `in-transit + due-to`. So a return and a settlement always find room.
    fn in_transit(&self, currency: Currency) -> i128;
    /// Stores the sum of all in-transit accounts of a currency.
    fn set_in_transit(&mut self, currency: Currency, sum: i128);
    /// Stores the balance of a house account.
    fn set_house(&mut self, code: HouseCode, currency: Currency, balance: i64);
    /// The channel to a shard.
    fn outbound(&self, to: ShardId) -> Outbound;
    /// Stores the head of the channel to a shard.
    fn set_outbound(&mut self, to: ShardId, head: Outbound);
    /// An item under way to a shard.
    fn sent(&self, to: ShardId, number: u64) -> Option<Sent>;
    /// Stores an item under way, or forgets it.
    fn set_sent(&mut self, to: ShardId, number: u64, sent: Option<Sent>);
    /// The channel from a shard.
    fn inbound(&self, from: ShardId) -> Inbound;
    /// Stores the head of the channel from a shard.
    fn set_inbound(&mut self, from: ShardId, head: Inbound);
    /// What was recorded about an item of a shard.
    fn recorded(&self, from: ShardId, number: u64) -> Option<Recorded>;
    /// Stores a record, or forgets it.
    fn set_recorded(&mut self, from: ShardId, number: u64, recorded: Option<Recorded>);
    /// A hold, open or ended and not yet forgotten.
    fn hold(&self, number: u64) -> Option<Hold>;
    /// Stores a hold.
    fn set_hold(&mut self, number: u64, hold: Hold);
    /// The number of the hold placed last; 0 before the first.
    fn last_hold(&self) -> u64;
    /// Stores the number of the hold placed last.
    fn set_last_hold(&mut self, number: u64);
    /// The hold that an applied transaction placed.
    fn hold_placed_by(&self, transaction: &TransactionId) -> Option<u64>;
    /// The first open holds that have expired at a time, by expiry and number: at most so many.
    fn due(&self, time_nanos: u64, most: usize) -> Vec<u64>;
    /// What an applied transaction put in suspense, while it is there.
    fn suspended(&self, put: &TransactionId) -> Option<Suspended>;
    /// Stores an item of suspense, or takes it out.
    fn set_suspended(&mut self, put: TransactionId, item: Option<Suspended>);
    /// How much of a transaction has been reversed, minor units.
    fn reversed(&self, original: &TransactionId) -> i64;
    /// Stores how much of a transaction has been reversed.
    fn set_reversed(&mut self, original: TransactionId, total: i64);
    /// All days up to this one are closed; `None` where none is.
    fn closed_through(&self) -> Option<Date>;
    /// Closes all days up to one.
    fn set_closed_through(&mut self, date: Date);
    /// What everything comes to. Looks at every account: for the close of a day.
    fn trial_balance(&self) -> Vec<FrozenRow>;
    /// A journal between shards that is not decided here.
    fn journal(&self, id: &JournalRef) -> Option<OpenJournal>;
    /// How many legs of this book an open journal has set aside; `None` where it is not open here.
    fn journal_legs(&self, id: &JournalRef) -> Option<usize>;
    /// The transaction that opened a journal which is open here; `None` also while that is in flight.
    fn journal_opened(&self, id: &JournalRef) -> Option<TransactionId>;
    /// Whether an open journal of this shard waits for another's answer.
    fn journal_waits(&self, id: &JournalRef, shard: ShardId) -> bool;
    /// Stores an open journal, or forgets one that is decided.
    fn set_journal(&mut self, id: JournalRef, journal: Option<OpenJournal>);
    /// Which journals this shard and another have asked each other about.
    fn journal_head(&self, peer: ShardId) -> JournalHead;
    /// Stores which journals this shard and another have asked each other about.
    fn set_journal_head(&mut self, peer: ShardId, head: JournalHead);
    /// How many journals this shard has opened.
    fn journal_count(&self) -> JournalCount;
    /// Stores how many journals this shard has opened.
    fn set_journal_count(&mut self, count: JournalCount);
    /// The most that open journals may move any house account of a currency, either way, minor
    /// units. Deciding keeps so much room in each, so that what is set aside can always be posted.
    fn journal_room(&self, currency: Currency) -> i128;
    /// Stores the most that open journals may move a house account.
    fn set_journal_room(&mut self, currency: Currency, units: i128);
    /// The account that a reference of this shard's stands for.
    fn reference(&self, digest: &ReferenceDigest) -> Option<AccountId>;
    /// Stores for which account a reference stands, or that it stands for none.
    fn set_reference(&mut self, digest: ReferenceDigest, account: Option<AccountId>);
    /// A customer.
    fn customer(&self, id: &CustomerId) -> Option<Customer>;
    /// Stores a customer.
    fn set_customer(&mut self, id: CustomerId, customer: Customer);
    /// A consumer group.
    fn consumer(&self, id: &ConsumerId) -> Option<Consumer>;
    /// Stores a consumer group, or that there is none.
    fn set_consumer(&mut self, id: &ConsumerId, consumer: Option<Consumer>);
    /// How many consumer groups there are.
    fn consumer_count(&self) -> usize;
    /// The outcome of a key.
    fn key(&self, key: &KeyDigest) -> Option<KeyRecord>;
    /// Stores the outcome of a key.
    fn set_key(&mut self, key: KeyDigest, record: KeyRecord);
}

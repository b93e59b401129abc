//! Everything a state says about the accounts, houses and channels that the laws use.

use std::collections::BTreeMap;

use ledger_domain::{
    Account, AccountId, Book, ConsumerId, Currency, CustomerId, Date, Freezes, Hold, HouseCode,
    KeyDigest, ReferenceDigest, ShardId, SpendingLimits, Spent, Suspended, TransactionId,
    consumer::Consumer,
    customer::Customer,
    day::{FrozenRow, business_date},
    journal::{JournalCount, JournalHead, JournalRef, OpenJournal},
    state::{Inbound, Outbound, Recorded, Sent, State},
};

use crate::generate::{
    ACCOUNTS, CURRENCIES, SHARDS, account_id, consumers, currency, customers, date, references,
};

/// A state, written down so that two can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub accounts: BTreeMap<AccountId, Account>,
    pub freezes: BTreeMap<AccountId, Freezes>,
    pub spending_limits: BTreeMap<AccountId, SpendingLimits>,
    /// On the business date.
    pub spent: BTreeMap<AccountId, Spent>,
    pub houses: BTreeMap<(HouseCode, Currency), i64>,
    pub in_transit: BTreeMap<Currency, i128>,
    pub outbound: BTreeMap<ShardId, Outbound>,
    pub sent: BTreeMap<(ShardId, u64), Sent>,
    pub inbound: BTreeMap<ShardId, Inbound>,
    pub recorded: BTreeMap<(ShardId, u64), Recorded>,
    /// Without their ids, which are known only once the entry is applied.
    pub holds: BTreeMap<u64, Hold>,
    /// Of applied books alone: items are named by the transactions that put them there.
    pub suspended: BTreeMap<TransactionId, Suspended>,
    /// In the order in which they expire.
    pub due: Vec<u64>,
    pub closed_through: Option<Date>,
    /// Without their ids.
    pub journals: BTreeMap<JournalRef, OpenJournal>,
    pub journal_heads: BTreeMap<ShardId, JournalHead>,
    pub journal_count: JournalCount,
    pub journal_room: BTreeMap<Currency, i128>,
    pub trial_balance: Vec<FrozenRow>,
    pub references: BTreeMap<ReferenceDigest, AccountId>,
    pub customers: BTreeMap<CustomerId, Customer>,
    pub consumers: BTreeMap<ConsumerId, Consumer>,
    /// Fingerprint and ordinal; the index is known only once the entry is applied.
    pub keys: BTreeMap<KeyDigest, ([u8; 16], u32)>,
}

/// Every house account that could be in a book.
pub fn house_codes() -> Vec<HouseCode> {
    let own = [
        HouseCode::Cash,
        HouseCode::Fees,
        HouseCode::Suspense,
        HouseCode::Equity,
        HouseCode::FxPosition,
    ];
    let peers = (1..=SHARDS).map(ShardId).flat_map(|peer| {
        [
            HouseCode::InTransit(peer),
            HouseCode::DueTo(peer),
            HouseCode::DueFrom(peer),
            HouseCode::Clearing(peer),
        ]
    });
    own.into_iter().chain(peers).collect()
}

impl View {
    /// The view of an applied book.
    pub fn of_book(book: &Book, keys: &[KeyDigest]) -> Self {
        let suspended = book.in_suspense().map(|(put, item)| (*put, item.clone()));
        Self {
            suspended: suspended.collect(),
            ..Self::of(book, keys)
        }
    }

    /// What the state says, of the given keys too.
    pub fn of(state: &impl State, keys: &[KeyDigest]) -> Self {
        let mut view = Self {
            accounts: BTreeMap::new(),
            freezes: BTreeMap::new(),
            spending_limits: BTreeMap::new(),
            spent: BTreeMap::new(),
            houses: BTreeMap::new(),
            in_transit: BTreeMap::new(),
            outbound: BTreeMap::new(),
            sent: BTreeMap::new(),
            inbound: BTreeMap::new(),
            recorded: BTreeMap::new(),
            holds: BTreeMap::new(),
            suspended: BTreeMap::new(),
            due: state.due(u64::MAX, usize::MAX),
            closed_through: state.closed_through(),
            journals: BTreeMap::new(),
            journal_heads: BTreeMap::new(),
            journal_count: state.journal_count(),
            journal_room: BTreeMap::new(),
            trial_balance: state.trial_balance(),
            references: BTreeMap::new(),
            customers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        for id in (0..ACCOUNTS).map(account_id) {
            view.accounts.extend(state.account(&id).map(|a| (id, a)));
            view.freezes.insert(id, state.freezes(&id));
            let limits = state.spending_limits(&id);
            view.spending_limits.insert(id, limits);
            let today = business_date(date(0), state.closed_through());
            view.spent.insert(id, state.spent(&id, today));
        }
        for code in house_codes() {
            for currency in CURRENCIES.map(currency) {
                let balance = state.house(&code, currency);
                view.houses
                    .extend(balance.map(|b| ((code.clone(), currency), b)));
            }
        }
        for currency in CURRENCIES.map(currency) {
            view.in_transit.insert(currency, state.in_transit(currency));
            view.journal_room
                .insert(currency, state.journal_room(currency));
        }
        for peer in (1..=SHARDS).map(ShardId) {
            let (out, inn) = (state.outbound(peer), state.inbound(peer));
            for number in 0..=out.sent + 1 {
                let sent = state.sent(peer, number);
                view.sent.extend(sent.map(|s| ((peer, number), s)));
            }
            for number in 0..=inn.recorded + 1 {
                let recorded = state.recorded(peer, number);
                view.recorded.extend(recorded.map(|r| ((peer, number), r)));
            }
            let head = state.journal_head(peer);
            let last = head.heard.max(state.journal_count().last);
            for number in 1..=last {
                let id = JournalRef {
                    coordinator: peer,
                    number,
                };
                let nameless = state.journal(&id).map(|journal| OpenJournal {
                    opened: None,
                    ..journal
                });
                view.journals.extend(nameless.map(|it| (id, it)));
            }
            view.journal_heads.insert(peer, head);
            view.outbound.insert(peer, out);
            view.inbound.insert(peer, inn);
        }
        for number in 1..=state.last_hold() {
            let hold = state.hold(number);
            let nameless = hold.map(|hold| Hold {
                placed: None,
                ..hold
            });
            view.holds.extend(nameless.map(|hold| (number, hold)));
        }
        for digest in references() {
            let holder = state.reference(&digest);
            view.references.extend(holder.map(|id| (digest, id)));
        }
        for id in consumers() {
            let consumer = state.consumer(&id);
            view.consumers.extend(consumer.map(|it| (id, it)));
        }
        for id in customers() {
            let customer = state.customer(&id);
            view.customers.extend(customer.map(|it| (id, it)));
        }
        for key in keys {
            let record = state.key(key);
            view.keys
                .extend(record.map(|r| (*key, (r.fingerprint, r.ordinal))));
        }
        view
    }
}

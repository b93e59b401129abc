//! A book as a snapshot has it, row by row beside the book that the log comes to.
//!
//! The format is `ledger-domain/proto/book.proto`, and one chunk more, a `Follows`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;
use ledger_domain::{AccountId, Currency};

use super::book::{self, Account};
use super::channel::{Ends, Place, last};
use super::consumers;
use super::customers;
use super::freezes::Freezes;
use super::holds::{Hold, OPEN};
use super::once::{Decided, Key};
use super::references;
use super::reversals;
use super::snapshot::Computed;
use super::spending;
use super::stored::{self, Hash, Read, hex, ledger, peer};
use super::suspense::{self, Suspended};
use ledger::book_chunk::Part;

/// How far reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Head,
    Rows,
    Follows,
    Nothing,
}

/// For how long after its expiry date a hold that has ended must be in a snapshot: 60 days.
const HOLD_MEMORY_NANOS: u64 = 60 * 24 * 3_600_000_000_000;

/// The rows of one channel and its numbers.
type Sent = (u32, u64);

/// Takes the chunks of a snapshot in order.
pub(super) struct Comparison<'a> {
    computed: &'a Computed<'a>,
    due: Due,
    chunks: u64,
    hasher: blake3::Hasher,
    accounts: BTreeSet<AccountId>,
    freezes: Freezes,
    houses: BTreeMap<(String, Currency), i64>,
    outbound: BTreeMap<u32, (u64, u64)>,
    sent: BTreeMap<Sent, Hash>,
    inbound: BTreeMap<u32, (u64, u64)>,
    recorded: BTreeMap<Sent, (Hash, bool)>,
    holds: BTreeMap<u64, Hold>,
    suspense: BTreeMap<(u64, Place), Suspended>,
    reversals: BTreeMap<(u64, Place), i64>,
    days: BTreeMap<i32, Place>,
    spending: spending::Rows,
    journals: BTreeMap<super::journals::Id, ledger::BookJournal>,
    journal_heads: BTreeMap<u32, (u64, u64)>,
    /// Opened, and of those not decided.
    journal_counts: (u64, u64),
    references: BTreeMap<Vec<u8>, AccountId>,
    customers: customers::Rows,
    consumers: consumers::Rows,
    keys: BTreeMap<Key, Decided>,
    /// By what they are about: the first difference, and how many there are.
    differences: BTreeMap<&'static str, (String, u64)>,
}

impl<'a> Comparison<'a> {
    pub(super) fn with(computed: &'a Computed<'a>) -> Self {
        Self {
            computed,
            due: Due::Head,
            chunks: 0,
            hasher: blake3::Hasher::new(),
            accounts: BTreeSet::new(),
            freezes: Freezes::new(),
            houses: BTreeMap::new(),
            outbound: BTreeMap::new(),
            sent: BTreeMap::new(),
            inbound: BTreeMap::new(),
            recorded: BTreeMap::new(),
            holds: BTreeMap::new(),
            suspense: BTreeMap::new(),
            reversals: BTreeMap::new(),
            days: BTreeMap::new(),
            spending: spending::Rows::default(),
            journals: BTreeMap::new(),
            journal_heads: BTreeMap::new(),
            journal_counts: (0, 0),
            references: BTreeMap::new(),
            customers: customers::Rows::new(),
            consumers: consumers::Rows::new(),
            keys: BTreeMap::new(),
            differences: BTreeMap::new(),
        }
    }

    /// Reads the next chunk. What it says is compared; what cannot be read is the error.
    pub(super) fn take(&mut self, stored: &Bytes) -> Read<()> {
        match self.due {
            Due::Nothing => return Err("there is a chunk after the last".to_owned()),
            Due::Follows => {
                let follows: peer::Follows = stored::framed(stored)?;
                let own = self.computed.shard;
                for follow in &follows.follows {
                    stored::hash(&follow.head)?;
                    if follow.shard == own || follow.epoch == 0 {
                        let (shard, epoch) = (follow.shard, follow.epoch);
                        return Err(format!("it follows shard {shard} under epoch {epoch}"));
                    }
                }
                self.due = Due::Nothing;
                return Ok(());
            }
            Due::Head | Due::Rows => {}
        }
        let chunk: ledger::BookChunk = stored::framed(stored)?;
        match (chunk.part.ok_or("it has no part")?, self.due) {
            (Part::Head(head), Due::Head) => {
                self.head(&head)?;
                self.due = Due::Rows;
            }
            (Part::Accounts(part), Due::Rows) => {
                part.accounts.iter().try_for_each(|row| self.account(row))?;
            }
            (Part::Freezes(part), Due::Rows) => {
                for row in part.freezes {
                    let id = stored::account(&row.id)?;
                    let by_type = row.freezes.into_iter().map(|it| (it.r#type, it));
                    self.freezes.insert(id, by_type.collect());
                }
            }
            (Part::Houses(part), Due::Rows) => {
                for row in part.houses {
                    let currency = stored::currency(&row.currency)?;
                    self.houses.insert((row.code, currency), row.balance);
                }
            }
            (Part::Channels(part), Due::Rows) => self.channels(&part)?,
            (Part::Holds(part), Due::Rows) => {
                part.holds.iter().try_for_each(|row| self.hold(row))?;
            }
            (Part::Suspense(part), Due::Rows) => {
                self.suspense.extend(suspense::stored(&part)?);
            }

            (Part::Reversals(part), Due::Rows) => {
                self.reversals.extend(reversals::stored(&part)?);
            }
            (Part::Days(part), Due::Rows) => {
                let rows = part.days.iter();
                self.days
                    .extend(rows.map(|row| (row.date, (row.index, row.ordinal))));
            }
            (Part::References(part), Due::Rows) => {
                self.references.extend(references::stored(&part)?);
            }
            (Part::Consumers(part), Due::Rows) => {
                self.consumers.extend(consumers::stored(&part)?);
            }
            (Part::Customers(part), Due::Rows) => {
                self.customers.extend(customers::stored(&part)?);
            }
            (Part::Spending(part), Due::Rows) => self.spending.read(&part)?,
            (Part::Journals(part), Due::Rows) => {
                let (last, undecided) = self.journal_counts;
                self.journal_counts = (last.max(part.last), undecided.max(part.undecided));
                let heads = part.heads.into_iter();
                self.journal_heads
                    .extend(heads.map(|row| (row.peer, (row.asked, row.heard))));
                for row in part.open {
                    let journal = row.journal.as_ref().ok_or("a journal is missing")?;
                    self.journals
                        .insert((journal.coordinator, journal.number), row);
                }
            }
            (Part::Keys(part), Due::Rows) => {
                for row in &part.keys {
                    let sixteen = |bytes: &[u8]| {
                        let len = bytes.len();
                        <[u8; 16]>::try_from(bytes)
                            .map_err(|_| format!("{len} bytes where 16 belong"))
                    };
                    let decided = ((row.index, row.ordinal), sixteen(&row.fingerprint)?);
                    self.keys.insert(sixteen(&row.key)?, decided);
                }
            }
            (Part::End(end), Due::Rows) => {
                let hash = self.hasher.finalize();
                if end.chunks != self.chunks || end.hash[..] != hash.as_bytes()[..] {
                    return Err("it ends other chunks than these".to_owned());
                }
                self.due = Due::Follows;
            }
            _ => return Err("it is out of its order".to_owned()),
        }
        self.chunks += 1;
        self.hasher.update(stored);
        Ok(())
    }

    /// What differs, for people.
    pub(super) fn finish(mut self) -> Vec<String> {
        if self.due != Due::Nothing {
            return vec!["its last chunks are missing".to_owned()];
        }
        self.compare_rows();
        let told = |(about, (first, count)): (&str, (String, u64))| match count {
            1 => format!("{about}: {first}"),
            _ => format!("{about}: {first}; and {} more", count - 1),
        };
        self.differences.into_iter().map(told).collect()
    }

    fn differs(&mut self, about: &'static str, what: String) {
        let (_, count) = self.differences.entry(about).or_insert((what, 0));
        *count += 1;
    }

    fn check<T: PartialEq + Debug>(&mut self, about: &'static str, name: &str, says: T, log: T) {
        if says != log {
            let what = format!("it says {name} {says:?}, the log comes to {log:?}");
            self.differs(about, what);
        }
    }

    fn head(&mut self, head: &ledger::BookHead) -> Read<()> {
        let (shard, index) = (self.computed.shard, self.computed.index);
        self.check("head", "shard", head.shard, shard);
        self.check("head", "index", head.applied, index);
        let audited = hex(&stored::hash(&head.audited_head)?);
        if let Some(log) = self.computed.audited {
            self.check("head", "audited head", audited, hex(&log));
        }
        let writers = hex(&stored::hash(&head.writer_head)?);
        let time = head.time.ok_or("its time is missing")?;
        if let Some((link, at)) = self.computed.state.and_then(|(_, log)| log.last()) {
            self.check("head", "writer's head", writers, hex(&link));
            self.check("head", "time", (time.wall_nanos, time.count), at);
        }
        if let Some((state, _)) = self.computed.state {
            self.check("head", "last hold", head.last_hold, state.holds.last());
        }
        Ok(())
    }

    fn account(&mut self, row: &ledger::BookAccount) -> Read<()> {
        let id = stored::account(&row.id)?;
        let says = Account {
            currency: stored::currency(&row.currency)?,
            overdraft: book::overdraft(&row.limit)?,
            posted: row.posted,
            version: row.version,
            closed: row.closed,
            opened_on: Some(stored::date(row.opened_on)?),
            under_way: row.under_way,
            held: row.held,
            reserved: row.reserved,
            accepted: row.accepted,
        };
        if !self.accounts.insert(id) {
            self.differs("accounts", format!("{id} is there twice"));
        }
        if let Some((state, _)) = self.computed.state {
            match state.book.accounts.get(&id) {
                Some(log) if log.opened_on.is_none() => {}
                Some(log) => self.check("accounts", &id.to_string(), says, log.clone()),
                None => self.differs("accounts", format!("{id} was never opened")),
            }
        }
        Ok(())
    }

    fn hold(&mut self, row: &ledger::BookHold) -> Read<()> {
        let placed = row.placed.as_ref().ok_or("a hold's place is missing")?;
        let hold = Hold {
            account: stored::account(&row.account)?,
            placed: (placed.index, row.ordinal),
            amount: row.amount,
            captured: row.captured,
            late: row.late,
            expires: row.expires,
            status: row.status,
        };
        self.holds.insert(row.number, hold);
        Ok(())
    }

    fn channels(&mut self, part: &ledger::BookChannels) -> Read<()> {
        let outbound = part.outbound.iter();
        self.outbound
            .extend(outbound.map(|row| (row.to, (row.sent, row.under_way))));
        let inbound = part.inbound.iter();
        self.inbound
            .extend(inbound.map(|row| (row.from, (row.recorded, row.forgotten))));
        for row in &part.sent {
            let item: ledger::ChannelItem = stored::message(row.item.clone())?;
            let hash = *blake3::hash(&row.item).as_bytes();
            self.sent.insert((item.destination, item.number), hash);
        }
        for row in &part.recorded {
            let says = (stored::hash(&row.hash)?, row.taken);
            self.recorded.insert((row.from, row.number), says);
        }
        Ok(())
    }

    fn compare_rows(&mut self) {
        let Some((state, writers)) = self.computed.state else {
            return;
        };
        let opened = state.book.accounts.keys();
        let absent: Vec<_> = opened.filter(|id| !self.accounts.contains(id)).collect();
        for id in absent {
            self.differs("accounts", format!("{id} is not there"));
        }
        let freezes = std::mem::take(&mut self.freezes);
        self.compare("freezes", &freezes, &state.book.freezes);
        let houses = std::mem::take(&mut self.houses);
        self.compare("house accounts", &houses, &state.book.houses);
        let suspense = std::mem::take(&mut self.suspense);
        self.compare("suspense", &suspense, &state.suspense.items);
        let references = std::mem::take(&mut self.references);
        self.compare("references", &references, &state.references.held);
        let consumers = std::mem::take(&mut self.consumers);
        self.compare("consumers", &consumers, &state.consumers.known);
        let customers = std::mem::take(&mut self.customers);
        self.compare("customers", &customers, &state.customers.known);
        let reversals = std::mem::take(&mut self.reversals);
        self.compare("reversals", &reversals, &state.reversals.totals());
        let log = Channels::of(&state.ends);
        let outbound = std::mem::take(&mut self.outbound);
        self.compare("channels out", &outbound, &log.outbound);
        let sent = std::mem::take(&mut self.sent);
        self.compare("items under way", &sent, &log.sent);
        let inbound = std::mem::take(&mut self.inbound);
        self.compare("channels in", &inbound, &log.inbound);
        let recorded = std::mem::take(&mut self.recorded);
        self.compare("items recorded", &recorded, &log.recorded);
        let days = std::mem::take(&mut self.days);
        self.compare("closed days", &days, &state.days.closings);
        let says = std::mem::take(&mut self.spending);
        self.compare("spending limits", &says.limits, &state.spending.limits);
        // A book of before spending was counted says nothing of it.
        if !says.is_silent() {
            self.compare("spending", &says.spent, &state.spending.spent());
        }
        let journals = std::mem::take(&mut self.journals);
        self.compare("journals", &journals, &state.journals.open);
        let heads = std::mem::take(&mut self.journal_heads);
        self.compare("journal heads", &heads, &state.journals.heads);
        let counts = (state.journals.last, state.journals.undecided());
        self.check("journals", "their count", self.journal_counts, counts);
        if let Some((_, (wall_nanos, _))) = writers.last() {
            let says = std::mem::take(&mut self.holds);
            let mut log = state.holds.all.clone();
            // What ended long ago may be forgotten.
            let old = wall_nanos.saturating_sub(HOLD_MEMORY_NANOS);
            log.retain(|number, hold| {
                hold.status == OPEN || hold.expires > old || says.contains_key(number)
            });
            self.compare("holds", &says, &log);
            let log = state.once.remembered(wall_nanos);
            let oldest = log.values().map(|((index, _), _)| *index).min();
            let mut says = std::mem::take(&mut self.keys);
            // Keys are kept for longer than they must be.
            says.retain(|key, ((index, _), _)| {
                log.contains_key(key) || oldest.is_some_and(|oldest| *index >= oldest)
            });
            self.compare("keys", &says, &log);
        }
    }

    /// Both have the same rows.
    fn compare<K: Ord + Debug, V: PartialEq + Debug>(
        &mut self,
        about: &'static str,
        says: &BTreeMap<K, V>,
        log: &BTreeMap<K, V>,
    ) {
        for (key, value) in says {
            if log.get(key) != Some(value) {
                let log = log.get(key);
                let what = format!("it says {key:?} {value:?}, the log comes to {log:?}");
                self.differs(about, what);
            }
        }
        for key in log.keys().filter(|key| !says.contains_key(key)) {
            self.differs(about, format!("{key:?} is not there"));
        }
    }
}

/// The ends of channels as a book keeps them.
struct Channels {
    /// Items sent, and how many of them are under way.
    outbound: BTreeMap<u32, (u64, u64)>,
    sent: BTreeMap<Sent, Hash>,
    /// Items recorded, and how many of them are forgotten.
    inbound: BTreeMap<u32, (u64, u64)>,
    recorded: BTreeMap<Sent, (Hash, bool)>,
}

impl Channels {
    fn of(ends: &Ends) -> Self {
        let mut all = Self {
            outbound: BTreeMap::new(),
            sent: BTreeMap::new(),
            inbound: BTreeMap::new(),
            recorded: BTreeMap::new(),
        };
        for (to, items) in ends.out.iter().filter(|(_, items)| !items.is_empty()) {
            let open = items.iter().filter(|(_, item)| item.closed.is_none());
            let open: Vec<_> = open
                .map(|(number, item)| ((*to, *number), item.hash))
                .collect();
            all.outbound.insert(*to, (last(items), open.len() as u64));
            all.sent.extend(open);
        }
        for (from, items) in ends.into.iter().filter(|(_, items)| !items.is_empty()) {
            let forgotten = ends.forgotten.get(from).copied().unwrap_or_default();
            all.inbound.insert(*from, (last(items), forgotten));
            let kept = items.iter().filter(|(number, _)| **number > forgotten);
            all.recorded.extend(
                kept.map(|(number, record)| {
                    ((*from, *number), (record.hash, record.taken.is_some()))
                }),
            );
        }
        all
    }
}

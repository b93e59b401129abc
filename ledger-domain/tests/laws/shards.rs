//! Several shards that pay each other. Every step of a transfer can come late, early or twice.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{
    AccountId, Action, Amount, Code, Command, Currency, Entry, Event, HoldChange, HouseCode,
    JournalEvent, Moved, Position, Rejection, ShardId, TransactionId,
    command::Channel,
    event::{ChannelItem, ItemRef},
    state::State,
};
use proptest::{collection::vec, prelude::*};

mod journals;

pub use journals::{Message, asked, messages};

use crate::{
    generate::{
        ACCOUNTS, CURRENCIES, a_command, account_id, currency, customers, date, hold_of, home,
        original_of, references, suspended_of,
    },
    model::{Bounds, Known, Model},
    view::house_codes,
    writer::{Answer, CHANNEL_BOUND, Work, Writer},
};

/// One thing that happens. Numbers choose among what there is at the time.
#[derive(Debug, Clone)]
pub enum Step {
    /// Callers ask; commands of one shard share an entry.
    Ask(Vec<Command>),
    /// A shard applies its oldest entry in flight.
    Apply(u32),
    /// A destination sees some items of a source, known ones among them.
    Deliver(u32, u32, Vec<u8>),
    /// A source sees what became of some items, closed ones among them.
    Resolve(u32, u32, Vec<u8>),
    /// A destination hears how far the source has closed.
    Forget(u32, u32, u8),
    /// A shard hears all that another has said about journals, known things among them.
    Exchange(u32, u32),
}

pub fn a_step(shards: u32, amounts: BoxedStrategy<Amount>) -> impl Strategy<Value = Step> {
    let shard = 1..=shards;
    let some = vec(any::<u8>(), 1..4);
    let ends = (shard.clone(), shard.clone());
    let commands = vec(a_command(shards, amounts), 1..4);
    prop_oneof![
        4 => commands.prop_map(Step::Ask),
        3 => shard.prop_map(Step::Apply),
        4 => (ends.clone(), some.clone()).prop_map(|((s, d), n)| Step::Deliver(s, d, n)),
        3 => (ends.clone(), some).prop_map(|((s, d), n)| Step::Resolve(s, d, n)),
        2 => ends.clone().prop_map(|(s, d)| Step::Exchange(s, d)),
        1 => (ends, any::<u8>()).prop_map(|((s, d), n)| Step::Forget(s, d, n)),
    ]
}

/// Promise: of all reasons against a command the one is told that the page of codes has first.
pub fn first(reasons: &BTreeSet<Code>) -> Option<Code> {
    let mut codes = Code::ALL.iter().copied();
    codes.find(|code| reasons.contains(code))
}

/// An item as its source's log has it.
#[derive(Debug, Clone)]
struct Issued {
    item: ChannelItem,
    reference: ItemRef,
    index: u64,
    ordinal: u32,
}

impl Issued {
    fn work(&self) -> Work {
        Work::Receive {
            item: self.item.clone(),
            reference: self.reference,
            index: self.index,
            ordinal: self.ordinal,
        }
    }
}

/// A channel's item: source, destination, number.
type ItemKey = (ShardId, ShardId, u64);

#[derive(Debug)]
pub struct Shards {
    pub writers: BTreeMap<ShardId, Writer>,
    model: Model,
    /// What the applied logs say; nothing acts on less.
    issued: BTreeMap<ItemKey, Issued>,
    verdicts: BTreeMap<ItemKey, Option<Rejection>>,
    /// The ids of each account's holds.
    holds: BTreeMap<AccountId, Vec<TransactionId>>,
    /// The ids of each account's items in suspense, cleared or not.
    suspended: BTreeMap<AccountId, Vec<TransactionId>>,
    /// The same by shard, the first first.
    pub put: BTreeMap<ShardId, Vec<TransactionId>>,
    /// The ids of what each account paid or was paid within its shard.
    payments: BTreeMap<AccountId, Vec<TransactionId>>,
    /// The same by shard, the first first.
    pub paid: BTreeMap<ShardId, Vec<TransactionId>>,
    moved: BTreeMap<TransactionId, Moved>,
    /// Items that payees were given, by source, destination and number.
    given: BTreeSet<(ShardId, ShardId, u64)>,
    /// The journals that shards have set their legs aside for: coordinator, shard, number.
    reserved: BTreeSet<(ShardId, ShardId, u64)>,
    /// What each has said about journals.
    said: BTreeMap<ShardId, Vec<(ShardId, Message)>>,
}

fn choose(named: Option<&mut TransactionId>, known: Option<&Vec<TransactionId>>) {
    let known = known.map_or(&[][..], |all| all);
    if let Some(id) = named
        && id.position.index == 0
        && !known.is_empty()
    {
        *id = known[id.ordinal as usize % known.len()];
    }
}

impl Shards {
    pub fn new(shards: u32) -> Self {
        let ids = (1..=shards).map(ShardId);
        Self {
            writers: ids.map(|id| (id, Writer::new(id))).collect(),
            model: Model::default(),
            issued: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            holds: BTreeMap::new(),
            suspended: BTreeMap::new(),
            put: BTreeMap::new(),
            payments: BTreeMap::new(),
            paid: BTreeMap::new(),
            moved: BTreeMap::new(),
            given: BTreeSet::new(),
            reserved: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }

    pub fn writer(&mut self, shard: ShardId) -> &mut Writer {
        self.writers.get_mut(&shard).expect("one of the shards")
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Ask(commands) => self.ask(commands),
            Step::Apply(shard) => self.apply(ShardId(shard)),
            Step::Deliver(source, destination, picks) => {
                self.deliver(ShardId(source), ShardId(destination), &picks);
            }
            Step::Resolve(source, destination, picks) => {
                self.resolve(ShardId(source), ShardId(destination), &picks);
            }
            Step::Exchange(source, here) => self.exchange(ShardId(source), ShardId(here)),
            Step::Forget(source, destination, pick) => {
                self.forget(ShardId(source), ShardId(destination), pick);
            }
        }
    }

    /// Lets every transfer come to its end.
    pub fn settle(&mut self) {
        let ids: Vec<_> = self.writers.keys().copied().collect();
        let apply_all = |shards: &mut Self| {
            for shard in &ids {
                while !shards.writer(*shard).is_idle() {
                    shards.apply(*shard);
                }
            }
        };
        apply_all(self);
        self.settle_journals();
        let all: Vec<u8> = (0..u8::MAX).collect();
        for round in [Self::deliver, Self::resolve] {
            for source in &ids {
                for destination in &ids {
                    round(self, *source, *destination, &all);
                }
            }
            apply_all(self);
        }
        for source in &ids {
            for destination in &ids {
                self.forget(*source, *destination, u8::MAX);
            }
        }
        apply_all(self);
    }

    fn ask(&mut self, commands: Vec<Command>) {
        let shards = self.writers.len() as u32;
        for shard in (1..=shards).map(ShardId) {
            let ours = |c: &&Command| home(c.action.account(), shards) == shard;
            let mut ours: Vec<Command> = commands.iter().filter(ours).cloned().collect();
            if ours.is_empty() {
                continue;
            }
            ours.iter_mut().for_each(|command| self.choose(command));
            let answers = self.writer(shard).command(ours.clone());
            let now = self.writer(shard).circumstances().time.wall_nanos;
            self.model.expire(shard, now);
            for (command, answer) in ours.iter().zip(answers) {
                let Answer::Decided(outcome) = answer else {
                    panic!("{command:?} is asked for the first time");
                };
                let bounds = Bounds {
                    items: CHANNEL_BOUND as usize,
                    money: self.writer(shard).channel_money_bound,
                };
                self.model.now_ms = self.writers[&shard].now_ms();
                let reasons = self.model.reasons(shard, date(0), bounds, command);
                match &outcome.result {
                    Ok(_) => {
                        assert!(reasons.is_empty(), "{command:?} in spite of {reasons:?}");
                        self.model.carry_out(shard, date(0), now, command);
                    }
                    Err(rejection) => assert_eq!(
                        Some(rejection.code),
                        first(&reasons),
                        "{command:?}: {rejection:?} of {reasons:?}"
                    ),
                }
            }
        }
    }

    /// Lets a command that is about one of an account's holds, or of its items in suspense, name it.
    fn choose(&self, command: &mut Command) {
        let account = command.action.account();
        choose(hold_of(command), self.holds.get(&account));
        choose(suspended_of(command), self.suspended.get(&account));
        choose(original_of(command), self.payments.get(&account));
        self.look_up(command);
    }

    /// Says what a reversal's original moved, as the applied logs have it.
    pub fn look_up(&self, command: &mut Command) {
        if let Action::Reverse {
            original, moved, ..
        } = &mut command.action
        {
            let here = original.position.shard;
            let is_given = |it: &&Moved| match it {
                Moved::Payment(it) => {
                    let item = it.elsewhere;
                    item.is_none_or(|(to, number)| self.given.contains(&(here, to, number)))
                }
                // What all have set aside and is open no more was posted.
                Moved::Journal(it) => it.number.is_none_or(|number| {
                    let mut asked = it.asks.iter();
                    asked.all(|ask| self.reserved.contains(&(here, ask.shard, number)))
                }),
            };
            let found = self.moved.get(original).filter(is_given);
            *moved = found.cloned().map(Box::new);
        }
    }

    /// A shard applies its oldest entry in flight.
    pub fn apply(&mut self, shard: ShardId) {
        let Some(entry) = self.writer(shard).apply() else {
            return;
        };
        self.learn(&entry);
        self.check_book(shard);
        self.check_channels();
    }

    fn learn(&mut self, entry: &Entry) {
        let here = entry.shard;
        let index = self.writers[&here].book.applied();
        self.said
            .entry(here)
            .or_default()
            .extend(messages(entry, index));
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let position = Position {
                shard: here,
                epoch: entry.epoch,
                index,
            };
            let id = TransactionId { position, ordinal };
            if let Some(moved) = Moved::by(outcome) {
                let paid = self.paid.entry(here).or_default();
                paid.push(id);
                let number = paid.len() as u64;
                for account in self.model.name_paid(here, number, id) {
                    assert!(moved.concerns(&account));
                    self.payments.entry(account).or_default().push(id);
                }
                self.moved.insert(id, moved);
            }
            for event in outcome.result.iter().flatten() {
                if matches!(
                    event,
                    Event::TransferSuspended { .. } | Event::TransferReturned { payer: None, .. }
                ) {
                    let put = self.put.entry(here).or_default();
                    put.push(id);
                    let number = put.len() as u64;
                    let owner = self.model.name_suspended(here, number, id);
                    self.suspended.entry(owner).or_default().push(id);
                }
                match event {
                    _ if event.sends().is_some() => {
                        let (item, stored) = event.sends().expect("it does");
                        let reference = ItemRef {
                            source: here,
                            source_epoch: item.source_epoch,
                            number: item.number,
                            hash: ledger_domain::chain::writer_link(stored),
                        };
                        let issued = Issued {
                            item: item.clone(),
                            reference,
                            index,
                            ordinal,
                        };
                        let key = (here, item.destination, item.number);
                        assert!(self.issued.insert(key, issued).is_none());
                    }
                    Event::TransferReceived { item, .. }
                    | Event::TransferSuspended { item, .. } => {
                        let key = (item.source, here, item.number);
                        assert!(self.verdicts.insert(key, None).is_none());
                        if let Event::TransferReceived { .. } = event {
                            self.given.insert(key);
                        }
                    }
                    Event::Journal(JournalEvent::Reserved { journal, .. }) => {
                        let key = (journal.coordinator, here, journal.number);
                        assert!(self.reserved.insert(key));
                    }
                    Event::TransferRefused { item, rejection } => {
                        let key = (item.source, here, item.number);
                        let verdict = Some(rejection.clone());
                        assert!(self.verdicts.insert(key, verdict).is_none());
                    }
                    Event::Hold(event) => {
                        if let HoldChange::Placed { .. } = event.change {
                            let position = Position {
                                shard: here,
                                epoch: entry.epoch,
                                index,
                            };
                            let id = TransactionId { position, ordinal };
                            self.model.name_hold(here, event.number, id);
                            self.holds.entry(event.after.account).or_default().push(id);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn deliver(&mut self, source: ShardId, destination: ShardId, picks: &[u8]) {
        let known = self.count(source, destination);
        let mut next = self.writer(destination).state().inbound(source).recorded + 1;
        let mut work = Vec::new();
        for pick in picks {
            let number = u64::from(*pick) % known.max(1) + 1;
            let Some(issued) = self.issued.get(&(source, destination, number)).cloned() else {
                continue;
            };
            if number == next {
                next += 1;
                work.push(issued.work());
                continue;
            }
            // A repeat is answered with what was recorded; what is too early waits.
            let state = self.writer(destination).state();
            let recorded = state.recorded(source, number);
            let forgotten = state.inbound(source).forgotten;
            if let Some(recorded) = recorded {
                assert_eq!(recorded.hash, issued.reference.hash);
            } else {
                assert!(number <= forgotten || number > state.inbound(source).recorded);
            }
        }
        for answer in self.writer(destination).propose(work) {
            let Answer::Decided(outcome) = answer else {
                panic!("an item is always answered");
            };
            let events = outcome.result.expect("an item is no command");
            self.model.now_ms = self.writers[&destination].now_ms();
            let (reasons, kept) = self.model.receive(source, destination);
            match events.last() {
                Some(Event::TransferReceived { .. }) => assert!(reasons.is_empty()),
                Some(Event::TransferSuspended { .. }) => assert!(kept),
                Some(Event::TransferRefused { rejection, .. }) => {
                    assert!(reasons.contains(&rejection.code) && !kept, "{rejection:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn resolve(&mut self, source: ShardId, destination: ShardId, picks: &[u8]) {
        let known = self.count(source, destination).max(1);
        let mut work = Vec::new();
        let mut numbers = Vec::new();
        for pick in picks {
            let number = u64::from(*pick) % known + 1;
            if let Some(end) = self.end(source, destination, number) {
                numbers.push(number);
                work.push(end);
            }
        }
        self.writer(source).propose(work);
        self.model.now_ms = self.writers[&source].now_ms();
        for number in numbers {
            self.model.resolve(source, destination, number);
        }
    }

    /// Through which item a source has closed all.
    pub fn closed(&self, source: ShardId, destination: ShardId) -> u64 {
        let book = &self.writers[&source].book;
        let open = (1..)
            .find(|n| book.sent(destination, *n).is_some() || *n > book.outbound(destination).sent);
        open.map_or(0, |n| n - 1)
    }

    fn forget(&mut self, source: ShardId, destination: ShardId, pick: u8) {
        let through = self.closed(source, destination).min(u64::from(pick));
        let work = Work::Forget { source, through };
        self.writer(destination).propose(vec![work]);
    }

    /// From now on this is compared with a model that the caller keeps.
    pub fn compare_with(&mut self, model: Model) {
        self.model = model;
    }

    /// The next items that a destination has to decide about, as far as the source's log has them.
    pub fn next_items(&mut self, source: ShardId, destination: ShardId, most: usize) -> Vec<Work> {
        let next = self.writer(destination).state().inbound(source).recorded + 1;
        let items = (source, destination, next)..=(source, destination, u64::MAX);
        let items = self.issued.range(items).take(most);
        items.map(|(_, issued)| issued.work()).collect()
    }

    /// How an item ended, as far as the destination's log says it.
    pub fn end(&self, source: ShardId, destination: ShardId, number: u64) -> Option<Work> {
        let refused = self.verdicts.get(&(source, destination, number))?;
        Some(Work::Resolve {
            destination,
            number,
            refused: refused.clone(),
        })
    }

    fn count(&self, source: ShardId, destination: ShardId) -> u64 {
        let channel = (source, destination, 0)..=(source, destination, u64::MAX);
        self.issued.range(channel).count() as u64
    }

    fn check_book(&self, shard: ShardId) {
        let book = &self.writers[&shard].book;
        let sums = book.sums();
        assert!(sums.values().all(|sum| *sum == 0), "{shard}: {sums:?}");
        let mut under_way: BTreeMap<_, (u32, i64)> = BTreeMap::new();
        for sent in book.under_way() {
            let of_payer = under_way.entry(sent.item.payer).or_default();
            of_payer.0 += 1;
            of_payer.1 += sent.item.amount.minor_units();
        }
        for (id, account) in book.accounts() {
            let found = (account.under_way, account.outgoing);
            assert_eq!(found, under_way.remove(&id).unwrap_or_default(), "{id}");
        }
        assert!(under_way.is_empty());
    }

    /// Promise: what one book has sent another, minus what that has taken or refused, is exactly
    /// what is under way, item by item.
    pub fn check_channels(&self) {
        for (source, from) in &self.writers {
            for (destination, to) in &self.writers {
                self.check_channel((*source, from), (*destination, to));
            }
        }
    }

    fn check_channel(&self, from: (ShardId, &Writer), to: (ShardId, &Writer)) {
        let ((source, from), (destination, to)) = ((from.0, &from.1.book), (to.0, &to.1.book));
        let (near, far) = (from.outbound(destination), to.inbound(source));
        assert!(far.forgotten <= far.recorded && far.recorded <= near.sent);
        assert_eq!(near.sent, self.count(source, destination));
        let mut under_way = 0;
        let mut in_transit: BTreeMap<Currency, i64> = BTreeMap::new();
        let mut due: BTreeMap<Currency, i64> = BTreeMap::new();
        for number in 1..=near.sent {
            let issued = &self.issued[&(source, destination, number)];
            let units = issued.item.amount.minor_units();
            let sent = from.sent(destination, number);
            if let Some(sent) = &sent {
                assert_eq!(
                    (&sent.item, sent.hash),
                    (&issued.item, issued.reference.hash)
                );
                under_way += 1;
                *in_transit.entry(issued.item.currency).or_default() += units;
            }
            let recorded = to.recorded(source, number);
            if let Some(recorded) = &recorded {
                assert_eq!(recorded.hash, issued.reference.hash);
            }
            let verdict = self.verdicts.get(&(source, destination, number));
            match verdict {
                None => assert!(sent.is_some() && recorded.is_none() && number > far.recorded),
                Some(refused) => {
                    assert_eq!(recorded.is_none(), number <= far.forgotten);
                    assert!(recorded.is_none_or(|r| r.taken == refused.is_none()));
                    assert!(number > far.forgotten || sent.is_none());
                    if refused.is_none() {
                        *due.entry(issued.item.currency).or_default() += units;
                    }
                }
            }
        }
        assert_eq!(under_way, near.under_way);
        for currency in CURRENCIES.map(currency) {
            let zero_if_none = |map: &BTreeMap<_, i64>| map.get(&currency).copied().unwrap_or(0);
            let house = |book: &ledger_domain::Book, code| book.house(&code, currency).unwrap_or(0);
            let code = HouseCode::InTransit(destination);
            assert_eq!(house(from, code), zero_if_none(&in_transit));
            let code = HouseCode::DueFrom(source);
            assert_eq!(house(to, code), -zero_if_none(&due));
        }
    }

    /// Promise: what was spent by each channel today, in flight included, is the sum of it.
    fn check_spending(&mut self) {
        let shards = self.writers.len() as u32;
        for id in (0..ACCOUNTS).map(account_id) {
            let home = home(id, shards);
            let today = self.model.business_date(home, date(0));
            let state = self.writers.get_mut(&home).expect("one of them").state();
            let (limits, spent) = (state.spending_limits(&id), state.spent(&id, today));
            for channel in Channel::LIMITED {
                let theirs = self.model.spent(id, channel, today);
                let theirs = i64::try_from(theirs).unwrap_or(i64::MAX);
                assert_eq!(spent.by(channel), theirs, "{id} by {channel:?}");
                let theirs = self.model.spending_limit(id, channel);
                assert_eq!(limits.of(channel), theirs, "{id} by {channel:?}");
            }
        }
    }

    /// Promise: every balance, in flight included, is the model's.
    pub fn check_against_model(&mut self) {
        for (shard, writer) in &self.writers {
            self.model
                .expire(*shard, writer.circumstances().time.wall_nanos);
        }
        let shards = self.writers.len() as u32;
        for id in (0..ACCOUNTS).map(account_id) {
            let under_way = self.model.under_way(&id);
            let account = self.writer(home(id, shards)).state().account(&id);
            let ours = account.map(|a| {
                let open = a.status == ledger_domain::account::Status::Open;
                let aside = (i128::from(a.reserved), i128::from(a.accepted));
                let sums = (i128::from(a.posted), i128::from(a.held), aside);
                (a.currency, sums, open, a.under_way as usize, a.version)
            });
            let holding = self.model.accounts.get(&id);
            let held = self.model.held(&id);
            let aside = self.model.aside(&id);
            let theirs = holding.map(|h| {
                let sums = (h.balance, held, aside);
                (h.currency, sums, h.open, under_way, h.version)
            });
            assert_eq!(ours, theirs, "{id}");
        }
        self.check_spending();
        for (shard, writer) in &mut self.writers {
            self.model.compare_consumers(*shard, &writer.state());
            for id in customers() {
                let ours = writer.state().customer(&id).map(Known::from);
                let theirs = self.model.customers.get(&(*shard, id)).cloned();
                assert_eq!(ours, theirs, "{shard}: {id}");
            }
            for digest in references() {
                let theirs = self.model.references.get(&(*shard, digest)).copied();
                assert_eq!(writer.state().reference(&digest), theirs, "{shard}");
            }
            for code in house_codes() {
                for currency in CURRENCIES.map(currency) {
                    let ours = writer.state().house(&code, currency).unwrap_or(0);
                    let theirs = self.model.house(*shard, &code, currency);
                    assert_eq!(i128::from(ours), theirs, "{shard}: {code} {currency}");
                }
            }
        }
    }
}

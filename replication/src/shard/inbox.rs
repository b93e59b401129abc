use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use ledger_domain::{
    Amount, Book, Event, Fence, Hash, HybridTime, Position, Rejection, ShardId, chain,
    codec::encode_item,
    event::{ChannelItem, ItemRef, Outcome},
    planted::{Bug, planted},
    state::{Sent, State},
};
use tokio::sync::Notify;

mod journals;

use journals::Journals;
pub(super) use journals::{Heard, JournalWork};

/// An entry of another shard, as the cause of what is done because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) position: Position,
    pub(super) time: HybridTime,
}

/// An item that waits to be taken or refused.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) item: ChannelItem,
    pub(super) reference: ItemRef,
    pub(super) ordinal: u32,
    pub(super) cause: Cause,
}

/// What a destination made of an item of this shard.
#[derive(Debug, Clone)]
pub(super) struct Resolution {
    /// Of the item that it decided about.
    hash: Hash,
    pub(super) refused: Option<Rejection>,
    pub(super) cause: Cause,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) incoming: BTreeMap<(ShardId, u64), Incoming>,
    pub(super) resolutions: BTreeMap<(ShardId, u64), Resolution>,
    /// Items of a shard up to this number are closed there.
    pub(super) closed: BTreeMap<ShardId, (u64, Cause)>,
    /// Items of a shard that are closed there and whose records are not forgotten here.
    closings: BTreeMap<(ShardId, u64), Cause>,
    journals: Journals,
    /// How far each log has been read, oldest first.
    read: BTreeMap<ShardId, VecDeque<Bookmark>>,
    /// Channels that were stopped, and why.
    stopped: BTreeMap<ShardId, String>,
}

/// A place in another shard's log up to which it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bookmark {
    /// The next index to read.
    pub(crate) next: u64,
    /// What the next entry must follow.
    pub(crate) fence: Fence,
}

/// How many places of a log are remembered. Only one is needed, but it cannot be known which.
const BOOKMARKS: usize = 64;

/// What other shards' logs ask of this one. Filled on every replica by whoever follows those logs,
/// emptied by the writer as its book catches up. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    contents: Mutex<Contents>,
    arrived: Notify,
}

impl Inbox {
    /// Reads an entry of another shard that counts (is not void) and is durable in this region.
    ///
    /// `book` is this shard's: what it has done already is not collected again.
    pub fn observe(&self, at: Position, time: HybridTime, outcomes: &[Outcome], book: &Book) {
        let cause = Cause { position: at, time };
        let mine = book.shard();
        let mut contents = self.lock();
        let mut news = false;
        for (ordinal, outcome) in outcomes.iter().enumerate() {
            for event in outcome.result.as_deref().unwrap_or_default() {
                news |= contents.collect(event, ordinal as u32, cause, mine, book);
            }
        }
        drop(contents);
        if news {
            self.0.arrived.notify_one();
        }
    }

    /// A log has been read up to a place.
    pub(super) fn has_read(&self, to: Bookmark, book: &Book) {
        let mut contents = self.lock();
        contents.prune(book);
        let places = contents.read.entry(to.fence.shard).or_default();
        if places.len() >= BOOKMARKS {
            // Every second one will do: a reader that begins too early finds nothing new.
            let mut keep = false;
            places.retain(|_| {
                keep = !keep;
                keep
            });
        }
        places.push_back(to);
    }

    /// Where a log's reading has to begin, unless at its beginning.
    pub(super) fn bookmark(&self, peer: ShardId) -> Option<Bookmark> {
        self.lock().read.get(&peer)?.back().copied()
    }

    /// From where each log must be read again by whoever has this book and nothing else.
    pub(super) fn bookmarks(&self, book: &Book) -> Vec<Bookmark> {
        let mut contents = self.lock();
        contents.prune(book);
        let peers: Vec<_> = contents.read.keys().copied().collect();
        let place = |peer| {
            let due = contents.first_due(peer).unwrap_or(u64::MAX);
            let places = contents.read.get(&peer)?.iter().rev();
            places.copied().find(|place| place.next <= due)
        };
        peers.into_iter().filter_map(place).collect()
    }

    /// Sets where the reading of logs begins that nobody has begun to read.
    pub(super) fn resume(&self, bookmarks: Vec<Bookmark>) {
        let mut contents = self.lock();
        for place in bookmarks {
            let places = contents.read.entry(place.fence.shard).or_default();
            if places.is_empty() {
                places.push_back(place);
            }
        }
    }

    /// The channels that were stopped because an item was not what it had been, and why.
    pub fn stopped(&self) -> BTreeMap<ShardId, String> {
        self.lock().stopped.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0
            .contents
            .lock()
            .expect("nothing panics while it holds the inbox")
    }

    pub(super) async fn arrival(&self) {
        self.0.arrived.notified().await;
    }
}

impl Contents {
    fn collect(
        &mut self,
        event: &Event,
        ordinal: u32,
        cause: Cause,
        mine: ShardId,
        book: &Book,
    ) -> bool {
        let peer = cause.position.shard;
        if self.stopped.contains_key(&peer) {
            return false;
        }
        if let Some((item, stored)) = event.sends() {
            let is_for_me = item.destination == mine || planted(Bug::CreditWithoutItem);
            return is_for_me && self.expect((item, stored), ordinal, cause, mine, book);
        }
        match event {
            Event::Journal(event) => {
                let collected = self.journals.collect(event, ordinal, cause, book);
                return collected.unwrap_or_else(|why| self.stop(mine, peer, why));
            }
            Event::TransferReceived { item, .. } | Event::TransferSuspended { item, .. }
                if item.source == mine =>
            {
                return self.resolve(item, None, cause, mine, book);
            }
            Event::TransferRefused { item, rejection } if item.source == mine => {
                return self.resolve(item, Some(rejection.clone()), cause, mine, book);
            }
            Event::TransferSettled {
                destination,
                number,
            }
            | Event::TransferReturned {
                destination,
                number,
                ..
            } if *destination == mine => {
                let forgotten = book.inbound(peer).forgotten;
                if *number <= forgotten {
                    return false;
                }
                self.closings.insert((peer, *number), cause);
                // Items close in any order: only an unbroken beginning may be forgotten.
                let (closed, at) = self.closed.entry(peer).or_insert((forgotten, cause));
                while let Some(next) = self.closings.get(&(peer, *closed + 1)) {
                    (*closed, *at) = (*closed + 1, *next);
                }
            }
            _ => return false,
        }
        true
    }

    /// Takes note of an item that is on its way to this shard.
    fn expect(
        &mut self,
        (item, stored): (&ChannelItem, &Bytes),
        ordinal: u32,
        cause: Cause,
        mine: ShardId,
        book: &Book,
    ) -> bool {
        let peer = cause.position.shard;
        let hash = chain::writer_link(stored);
        let (source, number) = (item.source, item.number);
        let (item, hash) = match planted(Bug::ItemHashUnchecked) {
            true => altered(item, hash),
            false => (item.clone(), hash),
        };
        let reference = ItemRef {
            source,
            source_epoch: item.source_epoch,
            number,
            hash,
        };
        let known = book.recorded(source, number).map(|r| r.hash);
        let is_another =
            known.is_some_and(|known| known != hash) && !planted(Bug::ItemHashUnchecked);
        if is_another || source != peer {
            let why = format!("item {number} is not the one that was recorded");
            return self.stop(mine, peer, why);
        }
        if number <= book.inbound(source).recorded && !planted(Bug::ItemNumberUnchecked) {
            tracing::trace!(target: "situation", "an item was delivered twice");
            return false;
        }
        let incoming = Incoming {
            item,
            reference,
            ordinal,
            cause,
        };
        self.incoming.insert((source, number), incoming);
        true
    }

    /// Takes note of what a destination made of an item of this shard.
    fn resolve(
        &mut self,
        item: &ItemRef,
        refused: Option<Rejection>,
        cause: Cause,
        mine: ShardId,
        book: &Book,
    ) -> bool {
        let (peer, number, hash) = (cause.position.shard, item.number, item.hash);
        match book.sent(peer, number) {
            None if book.outbound(peer).sent >= number => return false,
            Some(sent) if is_another(&sent, hash) => {
                let why = format!("item {number} is not the one that was decided about");
                return self.stop(mine, peer, why);
            }
            _ => {}
        }
        let resolution = Resolution {
            hash,
            refused,
            cause,
        };
        self.resolutions.insert((peer, number), resolution);
        true
    }

    /// Nothing more is exchanged with a peer: it and this shard tell different stories.
    fn stop(&mut self, mine: ShardId, peer: ShardId, why: String) -> bool {
        tracing::error!(shard = mine.0, peer = peer.0, %why, "a channel is stopped");
        self.stopped.insert(peer, why);
        false
    }

    /// Items that are exactly next, by source and number, and whose causes the clock can follow.
    pub(super) fn next_incoming(
        &self,
        state: &impl State,
        batch: usize,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> Vec<&Incoming> {
        let mut next: BTreeMap<ShardId, u64> = BTreeMap::new();
        let mut found = Vec::new();
        for ((source, number), incoming) in &self.incoming {
            let due = next
                .entry(*source)
                .or_insert_with(|| state.inbound(*source).recorded + 1);
            let is_next = *number == *due || planted(Bug::ItemNumberUnchecked);
            if found.len() < batch && is_next && follow(&incoming.cause) {
                *due += 1;
                found.push(incoming);
            }
        }
        found
    }

    /// Outcomes of items that are still under way in the state.
    pub(super) fn next_resolutions(
        &self,
        state: &impl State,
        batch: usize,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> Vec<(ShardId, u64, &Resolution)> {
        self.resolutions
            .iter()
            .filter(|((to, number), resolution)| {
                let sent = state.sent(*to, *number);
                // What is another's may have been heard before the book knew the item.
                sent.is_some_and(|sent| !is_another(&sent, resolution.hash))
            })
            .filter(|(_, resolution)| follow(&resolution.cause))
            .map(|((to, number), resolution)| (*to, *number, resolution))
            .take(batch)
            .collect()
    }

    /// How many records of each source could be forgotten, and through which number.
    pub(super) fn next_closed(
        &self,
        state: &impl State,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> Vec<(ShardId, u64, (u64, Cause))> {
        self.closed
            .iter()
            .filter(|(_, (_, cause))| follow(cause))
            .map(|(source, (through, cause))| {
                let head = state.inbound(*source);
                let through = (*through).min(head.recorded);
                (
                    *source,
                    through.saturating_sub(head.forgotten),
                    (through, *cause),
                )
            })
            .collect()
    }

    /// What is to be done about journals, as far as the clock can follow.
    pub(super) fn next_journals(
        &self,
        state: &impl State,
        batch: usize,
        follow: &mut impl FnMut(&Cause) -> bool,
    ) -> JournalWork {
        self.journals.next(state, batch, follow)
    }

    /// The first index of a log that asks for something still to be done.
    fn first_due(&self, peer: ShardId) -> Option<u64> {
        let all = (peer, 0)..=(peer, u64::MAX);
        let incoming = self.incoming.range(all.clone()).map(|(_, it)| it.cause);
        let resolutions = self.resolutions.range(all.clone()).map(|(_, it)| it.cause);
        let closings = self.closings.range(all).map(|(_, cause)| *cause);
        let causes = incoming.chain(resolutions).chain(closings);
        let first = causes.map(|cause| cause.position.index).min();
        let journals = self.journals.first_due(peer);
        first.into_iter().chain(journals).min()
    }

    /// Drops what the applied book has done.
    pub(super) fn prune(&mut self, book: &Book) {
        self.journals.prune(book);
        for (peer, head) in book.channels_in() {
            drop_through(&mut self.incoming, peer, head.recorded);
            drop_through(&mut self.closings, peer, head.forgotten);
        }
        self.resolutions.retain(|(destination, number), _| {
            *number > book.outbound(*destination).sent || book.sent(*destination, *number).is_some()
        });
    }
}

/// Is what was decided about not what was sent?
fn is_another(sent: &Sent, decided: Hash) -> bool {
    sent.hash != decided && !planted(Bug::ItemHashUnchecked)
}

/// For a planted bug alone: what memory that cannot be trusted makes of some items.
fn altered(item: &ChannelItem, hash: Hash) -> (ChannelItem, Hash) {
    let mut item = item.clone();
    let more = Amount::new(item.amount.minor_units() + 1);
    match more.ok().filter(|_| item.number.is_multiple_of(5)) {
        Some(more) => {
            item.amount = more;
            let stored = encode_item(&item);
            (item, chain::writer_link(&stored))
        }
        None => (item, hash),
    }
}

/// Drops a shard's first numbers.
fn drop_through<T>(of: &mut BTreeMap<(ShardId, u64), T>, peer: ShardId, through: u64) {
    while let Some((key, _)) = of.range((peer, 0)..=(peer, through)).next() {
        let key = *key;
        of.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use ledger_domain::{
        event::After,
        state::{Inbound, Outbound, Recorded},
    };

    use super::*;
    use crate::scripted_home::{account, date, time_of};

    const HOME: ShardId = ShardId(1);
    const PEER: ShardId = ShardId(2);

    /// The first item from the peer, of so much, as the peer's log has it.
    fn sent(units: i64) -> (Event, [u8; 32]) {
        let item = ChannelItem {
            source: PEER,
            source_epoch: 1,
            destination: HOME,
            number: 1,
            payer: account(2),
            payee: account(1),
            currency: "USD".parse().unwrap(),
            amount: Amount::new(units).unwrap(),
            effective_date: date("2026-11-20"),
            memo: None,
            correlation_id: String::new(),
        };
        let stored = encode_item(&item);
        let hash = chain::writer_link(&stored);
        let after = After {
            account: account(2),
            posted: 0,
            held: 0,
            version: 2,
        };
        let event = Event::TransferSent {
            payer: after,
            item,
            stored,
        };
        (event, hash)
    }

    fn observe(inbox: &Inbox, book: &Book, event: Event) {
        let at = Position {
            shard: PEER,
            epoch: 1,
            index: 7,
        };
        let outcome = Outcome {
            command: None,
            result: Ok(vec![event]),
        };
        inbox.observe(at, time_of(7), &[outcome], book);
    }

    #[test]
    fn an_item_that_is_not_the_one_that_was_recorded_stops_its_channel() {
        let (event, hash) = sent(100);
        let mut book = Book::new(HOME, 1);
        let inbox = Inbox::default();
        observe(&inbox, &book, event.clone());
        assert_eq!(inbox.lock().incoming.len(), 1);

        book.set_recorded(PEER, 1, Some(Recorded { hash, taken: true }));
        book.set_inbound(
            PEER,
            Inbound {
                recorded: 1,
                forgotten: 0,
            },
        );
        let again = Inbox::default();
        observe(&again, &book, event);
        assert!(again.lock().incoming.is_empty(), "it is done already");
        assert!(again.stopped().is_empty());

        observe(&again, &book, sent(101).0);
        let why = &again.stopped()[&PEER];
        assert!(why.contains("not the one that was recorded"), "{why}");
        assert!(again.lock().incoming.is_empty());
    }

    /// Whether the book knows its item already, or learns of it after the outcome.
    #[test]
    fn what_was_decided_about_another_item_closes_nothing() {
        let item = |units| match sent(units) {
            (Event::TransferSent { item, .. }, hash) => (item, hash),
            (other, _) => panic!("{other:?}"),
        };
        let decided = |(item, hash): (ChannelItem, Hash)| Event::TransferReceived {
            item: ItemRef {
                source: HOME,
                source_epoch: 1,
                number: 1,
                hash,
            },
            payee: After {
                account: item.payee,
                posted: 100,
                held: 0,
                version: 2,
            },
            payer: item.payer,
            currency: item.currency,
            amount: item.amount,
            effective_date: item.effective_date,
            memo: None,
            source_index: 7,
            source_ordinal: 0,
        };
        let empty = Book::new(HOME, 1);
        let mut book = empty.clone();
        let (own, hash) = item(100);
        let one = Outbound {
            sent: 1,
            ..Outbound::default()
        };
        book.set_outbound(PEER, one);
        book.set_sent(PEER, 1, Some(Sent { item: own, hash }));
        for (known, units, closes) in [
            (&book, 100, true),
            (&book, 101, false),
            (&empty, 100, true),
            (&empty, 101, false),
        ] {
            let inbox = Inbox::default();
            observe(&inbox, known, decided(item(units)));
            let work = inbox.lock();
            let next = work.next_resolutions(&book, 10, &mut |_| true);
            assert_eq!(next.len(), usize::from(closes), "{units}");
        }
        let inbox = Inbox::default();
        observe(&inbox, &book, decided(item(101)));
        let why = &inbox.stopped()[&PEER];
        assert!(why.contains("not the one that was decided"), "{why}");
    }
}

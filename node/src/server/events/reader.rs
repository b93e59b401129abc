//! A stream of events under way: logs are read no faster than they are told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::select_all;
use ledger_domain::{HybridTime, Position, ShardId, TransactionId, subject::Kept};
use prost::Message as _;
use replication::{
    events::{Decided, Lane, Merge},
    topology::Directory as _,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep_until},
};
use tonic::Status;

use super::{
    asked::Asked,
    cursor::{self, Place},
    unreadable,
    wire::Stands,
};
use crate::{
    api::{WATCH_HEARTBEAT, events::v1 as pb},
    server::{Server, receipt, refusal},
};

/// The most events of a reply, and about how many bytes.
pub(super) const PAGE: usize = 256;
const PAGE_BYTES: usize = 1 << 20;
/// How long a view may be behind the log that it is made from. Shorter than a client waits for a word.
const VIEW_BEHIND: Duration = Duration::from_secs(5);

/// A shard's log, and how far it is told.
pub(super) struct Reading {
    lane: Lane,
    served: watch::Receiver<u64>,
    /// The last index that is told.
    goal: Option<u64>,
    /// Of this index so many events were told before.
    begun: (u64, u32),
    /// All events up to this time are told.
    told: HybridTime,
    /// An epoch and an index of it that was read and is not known to be told: what comes after it is
    /// not either.
    in_doubt: Option<(u64, u64)>,
}

impl Reading {
    pub(super) fn new(
        lane: Lane,
        served: watch::Receiver<u64>,
        goal: Option<u64>,
        told: u32,
    ) -> Self {
        let (begun, time) = ((lane.next(), told), lane.time());
        Self {
            lane,
            served,
            goal,
            begun,
            told: time,
            in_doubt: None,
        }
    }

    /// The first index of which something may have to be told, and the epoch of what comes before.
    pub(super) fn next(&self) -> (u64, u64) {
        let read = (self.lane.epoch(), self.lane.next());
        self.in_doubt.unwrap_or(read)
    }

    /// Up to when everything is known.
    fn time(&self) -> HybridTime {
        match self.in_doubt {
            Some(_) => self.told,
            None => self.lane.time(),
        }
    }

    pub(super) fn told_of(&self, index: u64) -> u32 {
        match self.begun {
            (begun, told) if begun == index => told,
            _ => 0,
        }
    }
}

/// An entry of which something is to be told.
struct Telling {
    /// Its epoch, and that of the index before: no epoch begins with an entry.
    epoch: u64,
    index: u64,
    time: HybridTime,
    /// How many of its events were told before.
    told: u32,
    /// The others that pass, each with how many are told with it.
    events: Vec<(u32, pb::Event)>,
}

pub(super) struct Reader {
    server: Arc<Server>,
    asked: Asked,
    readings: BTreeMap<ShardId, Reading>,
    merge: Merge<Telling>,
    /// When something was last told.
    last: Option<Instant>,
    replies: mpsc::Sender<Result<pb::ReadReply, Status>>,
    _place: OwnedSemaphorePermit,
}

/// Why no more is told.
enum Ended {
    /// All is told, or nobody listens.
    Done,
    Refused(Status),
}

impl From<Status> for Ended {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

#[derive(Default)]
struct Page {
    events: Vec<pb::Event>,
    bytes: usize,
}

impl Page {
    fn has_room(&self, bytes: usize, most: usize) -> bool {
        self.events.is_empty() || self.events.len() < most && self.bytes + bytes <= PAGE_BYTES
    }
}

impl Reader {
    pub(super) fn new(
        server: Arc<Server>,
        asked: Asked,
        readings: BTreeMap<ShardId, Reading>,
        replies: mpsc::Sender<Result<pb::ReadReply, Status>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let complete = readings.iter().map(|(shard, it)| (*shard, it.lane.time()));
        let merge = Merge::new(asked.order, complete);
        Self {
            server,
            asked,
            readings,
            merge,
            last: None,
            replies,
            _place: place,
        }
    }

    pub(super) async fn serve(mut self) {
        let replies = self.replies.clone();
        let mut stopping = self.server.stopping.subscribe();
        let ended = tokio::select! {
            biased;
            () = replies.closed() => Ended::Done,
            // That the node is gone is no less.
            _ = stopping.wait_for(|stops| *stops) => Ended::Refused(refusal::stops()),
            ended = self.tell() => ended,
        };
        drop(self);
        if let Ended::Refused(status) = ended {
            // Who does not listen any more need not be told.
            let _ = replies.send(Err(status)).await;
        }
    }

    async fn tell(&mut self) -> Ended {
        loop {
            match self.tell_some().await {
                Ok(()) => {}
                Err(ended) => return ended,
            }
        }
    }

    /// Reads what there is and tells what is due; where there is nothing, waits.
    async fn tell_some(&mut self) -> Result<(), Ended> {
        let mut failed = None;
        let mut has_read = false;
        let shards: Vec<_> = self.readings.keys().copied().collect();
        for shard in shards {
            // Who waits for others is not read on.
            if self.merge.first(shard).is_some() {
                continue;
            }
            match self.read(shard).await {
                Ok(read) => has_read |= read,
                Err(status) => failed = Some(status),
            }
            tokio::task::yield_now().await;
        }
        self.tell_due().await?;
        if let Some(status) = failed {
            return Err(status.into());
        }
        let is_over = self.asked.until_now && !has_read;
        let due = self.last.map(|last| last + WATCH_HEARTBEAT);
        if is_over || due.is_none_or(|due| due <= Instant::now()) {
            self.send(Page::default(), None, is_over).await?;
        }
        match (is_over, has_read) {
            (true, _) => Err(Ended::Done),
            (false, true) => Ok(()),
            (false, false) => self.wait().await,
        }
    }

    /// Reads a shard on. Was there anything?
    async fn read(&mut self, shard: ShardId) -> Result<bool, Status> {
        let Some(reading) = self.readings.get_mut(&shard) else {
            return Ok(false);
        };
        let served = *reading.served.borrow_and_update();
        let through = reading.goal.map_or(served, |goal| goal.min(served));
        let decided = reading.lane.read(through).await.map_err(unreadable)?;
        let Some(decided) = decided else {
            return Ok(false);
        };
        let time = reading.lane.time();
        for Decided { index, entry } in decided {
            let Some(reading) = self.readings.get_mut(&shard) else {
                return Ok(false);
            };
            // What was read with it may be of a later reign.
            let epoch = entry.epoch;
            reading.in_doubt = Some((epoch, index));
            let told = reading.told_of(index);
            let position = Position {
                shard,
                epoch,
                index,
            };
            let events = self.events(position, &entry, told).await?;
            if !events.is_empty() {
                let telling = Telling {
                    epoch,
                    index,
                    time: entry.time,
                    told,
                    events,
                };
                self.merge.push(shard, entry.time, telling);
            }
        }
        if let Some(reading) = self.readings.get_mut(&shard) {
            reading.in_doubt = None;
        }
        self.merge.complete(shard, time);
        Ok(true)
    }

    /// The events of an entry that are to be told, each with its place among all of them.
    async fn events(
        &self,
        position: Position,
        entry: &ledger_domain::Entry,
        told: u32,
    ) -> Result<Vec<(u32, pb::Event)>, Status> {
        let mut found = Vec::new();
        let mut count = 0;
        for (ordinal, outcome) in (0..).zip(&entry.outcomes) {
            let at = TransactionId { position, ordinal };
            for (place, event) in (1..).zip(outcome.result.iter().flatten()) {
                count += 1;
                if count <= told {
                    continue;
                }
                let command = outcome.command.as_ref();
                let home = |id: &_| self.server.directory.home(id);
                if !self.asked.filter.may_admit(command, event)
                    || !self.asked.filter.is_in_share(event, position.shard, home)
                {
                    continue;
                }
                for figure in event.figures() {
                    let Kept::AsOf(account) = figure.currency else {
                        continue;
                    };
                    if self.server.currency_of(&account).is_none() {
                        let until = Instant::now() + VIEW_BEHIND;
                        let viewed = self.server.views().wait_for(position, until).await;
                        viewed.map_err(refusal::unreadable)?;
                    }
                }
                let currency_of = |id: &_| self.server.currency_of(id);
                if self.asked.filter.is_enough(event, currency_of) {
                    let stands = Stands {
                        entry,
                        at,
                        outcome,
                        place,
                        event,
                    };
                    let about = self.asked.filter.about.as_ref();
                    let told = self.server.event(&stands, about, self.asked.with_stored);
                    found.push((count, told));
                }
            }
        }
        Ok(found)
    }

    async fn tell_due(&mut self) -> Result<(), Ended> {
        let mut page = Page::default();
        while let Some((shard, telling)) = self.merge.pop() {
            let mut told = telling.told;
            for (count, event) in telling.events {
                let bytes = event.encoded_len();
                if !page.has_room(bytes, self.asked.most) {
                    let place = Place {
                        epoch: telling.epoch,
                        next: telling.index,
                        told,
                    };
                    let within = Some((shard, place));
                    self.send(std::mem::take(&mut page), within, false).await?;
                }
                page.bytes += bytes;
                page.events.push(event);
                told = count;
            }
            if let Some(reading) = self.readings.get_mut(&shard) {
                reading.told = telling.time;
            }
        }
        if !page.events.is_empty() {
            self.send(page, None, false).await?;
        }
        Ok(())
    }

    /// How far each shard is told: all before a place, and all up to a time. `within` is the entry that is
    /// being told, and how many of its events are.
    fn places(&self, within: Option<(ShardId, Place)>) -> Vec<(ShardId, Place, HybridTime)> {
        let times = self.readings.values().map(Reading::time);
        let cut = times.min().unwrap_or(HybridTime::ZERO);
        let place = |(shard, reading): (&ShardId, &Reading)| {
            let at = |first: &Telling| Place {
                epoch: first.epoch,
                next: first.index,
                told: first.told,
            };
            let (place, time) = match (within, self.merge.first(*shard)) {
                (Some((of, place)), _) if of == *shard => (place, reading.told),
                // What is due is told by now.
                (None, Some(first)) => (at(first), reading.told.max(cut)),
                (Some(_), Some(first)) => (at(first), reading.told),
                (_, None) => {
                    let (epoch, next) = reading.next();
                    let told = reading.told_of(next);
                    (Place { epoch, next, told }, reading.time())
                }
            };
            (*shard, place, time)
        };
        self.readings.iter().map(place).collect()
    }

    async fn send(
        &mut self,
        page: Page,
        within: Option<(ShardId, Place)>,
        is_last: bool,
    ) -> Result<(), Ended> {
        let places = self.places(within);
        let watermarks = places.iter().map(|(shard, place, time)| pb::Watermark {
            position: Some(receipt::position(Position {
                shard: *shard,
                epoch: place.epoch,
                index: place.next.saturating_sub(1),
            })),
            true_at: Some(receipt::time(*time)),
            staleness_bound_ms: self.server.staleness_bound_ms(*shard, *time),
        });
        let reply = pb::ReadReply {
            events: page.events,
            watermarks: watermarks.collect(),
            cursor: cursor::write(places.iter().map(|(shard, place, _)| (*shard, *place))),
            served_by: Some(self.server.served_by()),
            is_last,
        };
        let sent = self.replies.send(Ok(reply)).await;
        sent.map_err(|_| Ended::Done)?;
        self.last = Some(Instant::now());
        Ok(())
    }

    /// Waits until a shard goes on that can be read, or it is time to say that there is nothing new.
    async fn wait(&mut self) -> Result<(), Ended> {
        for shard in self.merge.behind() {
            // An idle shard closes its time seldom, and others wait for it.
            self.server.show_interest(shard);
        }
        let merge = &self.merge;
        let readable = self.readings.iter_mut();
        let readable = readable.filter(|(shard, _)| merge.first(**shard).is_none());
        let changes: Vec<_> = readable
            .map(|(_, reading)| Box::pin(reading.served.changed()))
            .collect();
        let heartbeat = self
            .last
            .map_or_else(Instant::now, |last| last + WATCH_HEARTBEAT);
        let changed = async {
            match changes.is_empty() {
                true => std::future::pending().await,
                false => select_all(changes).await.0,
            }
        };
        tokio::select! {
            changed = changed => changed.map_err(|_| Ended::Refused(refusal::stops())),
            () = sleep_until(heartbeat) => Ok(()),
        }
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prost::Message as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::audit::Audit;
use super::follow::{Places, Shared};
use super::relay::{Fitness, Relay, Unhelpful, fitness};
use super::{CopyOptions, Halt};
use crate::feed::{Failure, Pull};
use crate::log::LogHub;
use crate::peer::{Peers, Presence, Watch};
use crate::proto::{FeedBatch, FeedRequest};
use crate::world::Entropy;

/// Why a feed was left.
enum Left {
    /// It works, and has had nothing new for a while.
    Quiet,
    /// This node comes earlier in the order, and serves.
    For(u64),
    /// It does not work now.
    Failed(Unhelpful),
    /// No feed can help.
    Halted(Halt),
}

impl<T: Into<Unhelpful>> From<T> for Left {
    fn from(why: T) -> Self {
        Self::Failed(why.into())
    }
}

/// Who else of the region is there.
type Neighbours = BTreeMap<u64, Watch>;

fn is_there(neighbours: &Neighbours, node: u64) -> bool {
    let watch = neighbours.get(&node);
    watch.is_some_and(|watch| !matches!(watch.presence(), Presence::HungUp | Presence::Gone))
}

/// Keeps a copy going, with whatever feed serves it best.
pub(super) struct Follower {
    pub(super) shard: u32,
    pub(super) relay: Relay,
    pub(super) places: Places,
    pub(super) hub: LogHub,
    pub(super) peers: Peers,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) options: CopyOptions,
    pub(super) audit: Audit,
    pub(super) shared: Arc<Shared>,
}

impl Follower {
    pub(super) async fn run(mut self) {
        // Copies of one shard in many regions should not all follow the same node of its home.
        let first = self.entropy.next_u64() % self.places.home.len() as u64;
        self.places
            .home
            .rotate_left(usize::try_from(first).unwrap_or(0));
        let neighbours = self.relay.neighbours();
        let neighbours: Neighbours = neighbours
            .map(|node| (node, self.peers.watch(node)))
            .collect();
        let mut proven = None;
        loop {
            let now = Instant::now();
            let there = |node| is_there(&neighbours, node);
            let Some(node) = proven.take().or_else(|| self.relay.choose(there, now)) else {
                sleep(self.relay.pause(there, now)).await;
                continue;
            };
            let begun_at = self.audit.next;
            let left = self.follow(node, &neighbours).await;
            self.shared.status.send_modify(|status| {
                status.node = None;
                status.through.clear();
            });
            let worked = if node == self.places.node {
                self.audit.next > begun_at || matches!(left, Left::Quiet)
            } else {
                now.elapsed() >= self.options.avoid_max
            };
            if worked {
                self.relay.worked(node);
            }
            match left {
                Left::Quiet => self.places.home.rotate_left(1),
                Left::For(better) => {
                    let shard = self.shard;
                    tracing::info!(shard, from = node, to = better, "another feed is followed");
                    proven = Some(better);
                }
                Left::Failed(why) => self.failed(node, &why),
                Left::Halted(halt) => {
                    let (shard, index) = (self.shard, self.audit.next);
                    tracing::error!(shard, index, node, %halt, "a copy has stopped for good");
                    self.shared.status.send_modify(|status| {
                        status.halt = Some(halt);
                        status.halted = Some(Instant::now());
                    });
                    return;
                }
            }
        }
    }

    fn failed(&mut self, node: u64, why: &Unhelpful) {
        let source = self.source(node);
        if node == self.places.node {
            self.places.home.rotate_left(1);
        }
        let (random, now) = (self.entropy.next_u64(), Instant::now());
        let failures = self.relay.failed(node, &self.options, random, now);
        let (shard, next) = (self.shard, self.audit.next);
        if let Unhelpful::Unfit(halt) = why {
            tracing::error!(shard, node = source, %halt, "a neighbour passes on what does not fit");
        } else {
            tracing::warn!(shard, node = source, next, failures, %why, "left a feed");
        }
    }

    /// Whose feed it is if a node of the order is followed: this one follows the home.
    fn source(&self, node: u64) -> u64 {
        match node == self.places.node {
            true => self.places.home[0],
            false => node,
        }
    }

    /// Asks for the feed from an index on.
    fn begin(&self, node: u64, from: u64) -> impl Future<Output = Result<Pull, Failure>> + use<> {
        let options = &self.options;
        let (heartbeat, begin, silence) = match node == self.places.node {
            true => (None, options.begin, options.silence),
            false => (
                Some(options.beat),
                options.neighbour_silence,
                options.neighbour_silence,
            ),
        };
        let heartbeat_millis = heartbeat.map_or(0, |beat| beat.as_millis());
        let request = FeedRequest {
            shard: self.shard,
            from,
            heartbeat_millis: u32::try_from(heartbeat_millis).unwrap_or(u32::MAX),
        };
        let (peers, source) = (self.peers.clone(), self.source(node));
        async move { Pull::begin(&peers, source, request, begin, silence).await }
    }

    async fn follow(&mut self, node: u64, neighbours: &Neighbours) -> Left {
        let hears_home = node == self.places.node;
        let source = self.source(node);
        let mut pull = match self.begin(node, self.audit.next).await {
            Ok(pull) => pull,
            Err(failure) => return failure.into(),
        };
        let begun = Instant::now();
        let mut news = begun;
        let mut review = interval_at(begun + self.options.review, self.options.review);
        review.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probe: Option<BoxFuture<'static, (u64, bool)>> = None;
        loop {
            let next = pull.next();
            tokio::pin!(next);
            let batch = loop {
                tokio::select! {
                    // A feed that always has more must not keep the others from their turn.
                    biased;
                    (better, serves) = outcome(&mut probe) => {
                        probe = None;
                        if serves {
                            return Left::For(better);
                        }
                        let (random, now) = (self.entropy.next_u64(), Instant::now());
                        self.relay.failed(better, &self.options, random, now);
                    }
                    _ = review.tick(), if probe.is_none() => {
                        let there = |node| is_there(neighbours, node);
                        let better = self.relay.better(node, there, Instant::now());
                        probe = better.map(|better| self.probe(better));
                    }
                    batch = &mut next => break batch,
                }
            };
            let batch = match batch {
                Ok(batch) => batch,
                Err(failure) => return failure.into(),
            };
            self.heard(source, hears_home, &batch);
            if !hears_home {
                let word = batch.relayed.as_ref();
                match fitness(word, self.places.node, self.options.deaf) {
                    Fitness::Hears => {}
                    Fitness::Waits if begun.elapsed() <= self.options.deaf => {}
                    Fitness::Waits | Fitness::Deaf => return Unhelpful::Deaf.into(),
                    Fitness::Circle => return Unhelpful::Circle.into(),
                }
            }
            if !batch.records.is_empty() {
                self.hub.pace().space().room().await;
                match self.take(source, batch).await {
                    Err(halt @ Halt::Unfit { .. }) if !hears_home => {
                        return Unhelpful::Unfit(halt).into();
                    }
                    Err(halt) => return Left::Halted(halt),
                    Ok(()) => {}
                }
                news = Instant::now();
            } else if hears_home {
                if news.elapsed() > self.options.patience && self.places.home.len() > 1 {
                    return Left::Quiet;
                }
            } else if self.lacks_something() && news.elapsed() > self.options.behind {
                return Unhelpful::Behind.into();
            }
        }
    }

    /// Is the home known to have applied what is not here?
    fn lacks_something(&self) -> bool {
        // Index 0 counts as applied before there is any.
        self.shared.status.borrow().home_applied >= self.audit.next.max(1)
    }

    /// Asks a node how it fares: whether it hears the home, and is as far as this one.
    fn probe(&self, node: u64) -> BoxFuture<'static, (u64, bool)> {
        let (me, deaf) = (self.places.node, self.options.deaf);
        let have = self.audit.next.saturating_sub(1);
        let begin = self.begin(node, u64::MAX);
        let serves = async move {
            let Ok(mut pull) = begin.await else {
                return false;
            };
            while let Ok(batch) = pull.next().await {
                match fitness(batch.relayed.as_ref(), me, deaf) {
                    Fitness::Hears if batch.applied >= have => return true,
                    Fitness::Hears | Fitness::Waits => {}
                    Fitness::Deaf | Fitness::Circle => return false,
                }
            }
            false
        };
        let probe = timeout(self.options.probe, serves);
        async move { (node, probe.await.unwrap_or(false)) }.boxed()
    }

    fn heard(&self, source: u64, hears_home: bool, batch: &FeedBatch) {
        let received = &self.shared.received;
        let counter = match hears_home && self.places.is_abroad {
            true => &received.across,
            false => &received.within,
        };
        counter.add(batch.encoded_len() as u64);
        let now = Instant::now();
        let (heard, applied, mut through) = match &batch.relayed {
            // A neighbour of an earlier release hears the home itself.
            None => (Some(now), batch.applied, Vec::new()),
            Some(word) => {
                let ago = word.heard_millis.map(Duration::from_millis);
                let heard = ago.and_then(|ago| now.checked_sub(ago));
                (heard, word.home_applied, word.through.clone())
            }
        };
        if !hears_home {
            through.push(source);
        }
        self.shared.status.send_modify(|status| {
            status.node = Some(source);
            status.through = through;
            status.last_heard = status.last_heard.max(heard);
            status.home_applied = status.home_applied.max(applied);
        });
    }

    /// Checks a batch and stores it. Of one that does not fit, what comes before is stored too.
    async fn take(&mut self, node: u64, batch: FeedBatch) -> Result<(), Halt> {
        let shard = self.shard;
        let mut audit = self.audit;
        let mut fit = Vec::with_capacity(batch.records.len());
        let mut unfit = None;
        for record in batch.records {
            match audit.admit(record) {
                Ok(record) => fit.push(record),
                Err(cause) => {
                    let index = audit.next;
                    unfit = Some(Halt::Unfit {
                        shard,
                        index,
                        node,
                        cause,
                    });
                    break;
                }
            }
        }
        if !fit.is_empty() {
            let stored = self.hub.append_copy(shard, fit).await;
            stored.map_err(|error| Halt::Log {
                shard,
                cause: error.to_string(),
            })?;
            self.audit = audit;
            self.shared.copied.send_replace(audit.next - 1);
        }
        unfit.map_or(Ok(()), Err)
    }
}

/// What a probe comes to, if one is under way.
async fn outcome(probe: &mut Option<BoxFuture<'static, (u64, bool)>>) -> (u64, bool) {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}

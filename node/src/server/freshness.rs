//! Reads that say how fresh, or as of when.
//!
//! A bound is kept in two ways. Readers tell a shard's leader that they want freshness (`Interest`),
//! and while they do, an idle shard closes its time every half second. Where the views here are
//! staler all the same, the caller has said what to do: refuse, wait, or go home.
//!
//! Who cannot tell how old an answer is does not say a figure: its clock is in doubt ([`Doubt`]), or
//! a shard's time is so far ahead of it that one of the two clocks is wrong. A bound is then not met
//! here, and an answer that needs none says that its age is not known. And no answer is younger than
//! the time since anything new has come here, which needs no wall clock to tell.
//!
//! As of a time or a place nothing is ever guessed: it is answered from where all of it is known,
//! and is then the same answer from every node, for ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ledger_domain::{
    GuardedClock, HybridTime, Position, ShardId, Token,
    planted::{Bug, planted},
};
use replication::{topology::Directory as _, view::Moment};
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use super::{CLOCK_BOUND, Server, clocks::Doubt, deadline::Deadline, receipt, refusal};
use crate::api::{
    UNKNOWN_AGE_MS,
    internal::v1::{
        WantFreshnessReply, WantFreshnessRequest, freshness_client::FreshnessClient,
        freshness_server::Freshness,
    },
    v1::{self, read_mode},
};

/// How often a leader is told, at most, by each node.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What a shard that nobody asks for gives by itself: it closes its time every ten seconds, and a
/// watermark is a while on its way. A wider bound is met without anybody being told.
pub(super) const UNASKED: Duration = Duration::from_secs(15);

/// How stale an answer may be, and what to do otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    max: Duration,
    otherwise: read_mode::Otherwise,
}

impl Bound {
    pub(super) fn of(bounded: &read_mode::Bounded) -> Self {
        Self {
            max: Duration::from_millis(bounded.max_staleness_ms),
            otherwise: bounded.otherwise(),
        }
    }

    /// Clocks may differ by this much, so that no copy can ever meet it.
    fn is_for_home_only(self) -> bool {
        self.max <= CLOCK_BOUND
    }
}

/// Why it is not known how old an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unknown {
    #[error(transparent)]
    Clock(#[from] Doubt),
    #[error(
        "the shard's time is {0:?} ahead of this node's clock, beyond the bound of {CLOCK_BOUND:?}"
    )]
    Ahead(Duration),
}

/// By how much the truth may be newer than what is complete up to a time.
fn staleness(now: u64, complete: HybridTime, quiet: Duration) -> Result<Duration, Unknown> {
    let ahead = Duration::from_nanos(complete.wall_nanos.saturating_sub(now));
    if ahead > CLOCK_BOUND {
        return Err(Unknown::Ahead(ahead));
    }
    let age = Duration::from_nanos(now.saturating_sub(complete.wall_nanos));
    Ok(age.max(quiet) + CLOCK_BOUND)
}

/// Which leaders were lately told that somebody wants freshness.
#[derive(Debug, Default)]
pub(super) struct Interest(Mutex<BTreeMap<ShardId, Instant>>);

impl Interest {
    /// Is it time to tell a shard's leader? Then it counts as told.
    fn is_due(&self, shard: ShardId, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.get(&shard).is_none_or(|at| now >= *at + TELL_EVERY);
        if due {
            told.insert(shard, now);
        }
        due
    }
}

#[derive(Clone)]
pub(super) struct Service(pub(super) Arc<Server>);

#[tonic::async_trait]
impl Freshness for Service {
    async fn want(
        &self,
        request: Request<WantFreshnessRequest>,
    ) -> Result<Response<WantFreshnessReply>, Status> {
        let shard = ShardId(request.get_ref().shard);
        let leader = self.0.shards.get(shard);
        let leader = leader.ok_or_else(|| refusal::not_leader(None))?;
        want_here(&leader)?;
        Ok(Response::new(WantFreshnessReply {}))
    }
}

fn want_here(leader: &replication::shard::Shard) -> Result<(), Status> {
    leader
        .want_freshness()
        .map_err(|error| refusal::submit(&error, ""))
}

impl Server {
    /// By how much the truth may be newer than what is complete up to a time; the greatest number
    /// where that is not known.
    pub(super) fn staleness_bound_ms(&self, shard: ShardId, complete: HybridTime) -> u64 {
        let known = self.staleness(shard, complete).ok();
        let millis = known.and_then(|staleness| u64::try_from(staleness.as_millis()).ok());
        millis.unwrap_or(UNKNOWN_AGE_MS)
    }

    pub(super) fn staleness(
        &self,
        shard: ShardId,
        complete: HybridTime,
    ) -> Result<Duration, Unknown> {
        if planted(Bug::WrongClockBelieved) {
            let now = self.world.clock.wall_nanos();
            let age = now.saturating_sub(complete.wall_nanos);
            return Ok(Duration::from_nanos(age) + CLOCK_BOUND);
        }
        let quiet = self.views().nothing_new_for(shard);
        staleness(self.clocks.now()?, complete, quiet)
    }

    /// Are the views here fresh enough? Waits for it where the caller wants that. `false` where the
    /// question has to travel home instead, because they are not, or do not hold what it covers.
    pub(super) async fn meets(
        self: &Arc<Self>,
        shard: ShardId,
        bound: Bound,
        covered: &Token,
        deadline: Deadline,
    ) -> Result<bool, Status> {
        use read_mode::Otherwise;
        let goes_home = bound.otherwise == Otherwise::Home;
        if bound.is_for_home_only() {
            return match goes_home {
                true => Ok(false),
                false => Err(refusal::bound_too_tight(bound.max, CLOCK_BOUND)),
            };
        }
        if bound.max < UNASKED {
            self.show_interest(shard);
        }
        let holds = |position: &Position| {
            let found = self.views().watermark(position.shard);
            matches!(found, Ok(Some(found)) if found.reaches(*position))
        };
        if goes_home && !covered.positions.iter().all(holds) {
            return Ok(false);
        }
        let is_fresh = |complete| {
            let staleness = self.staleness(shard, complete);
            staleness.is_ok_and(|staleness| staleness <= bound.max)
        };
        let found = self.views().watermark(shard).map_err(refusal::unreadable)?;
        if found.is_some_and(|found| is_fresh(found.time)) {
            return Ok(true);
        }
        let waits = bound.otherwise == Otherwise::Wait;
        if waits {
            let views = self.views();
            let fresh = views.wait_for_fresh(shard, deadline.patience(), is_fresh);
            if fresh.await.map_err(refusal::unreadable)?.is_some() {
                return Ok(true);
            }
        }
        if goes_home {
            return Ok(false);
        }
        let found = self.views().watermark(shard).map_err(refusal::unreadable)?;
        match found.map(|found| self.staleness(shard, found.time)) {
            Some(Err(unknown)) => Err(refusal::age_unknown(&unknown)),
            Some(Ok(actual)) => Err(refusal::too_stale(bound.max, Some(actual), waits)),
            None => Err(refusal::too_stale(bound.max, None, waits)),
        }
    }

    /// Tells a shard's leader, wherever it is, that somebody wants freshness. Nobody waits for it:
    /// where it is lost, the next question tells again.
    pub(super) fn show_interest(self: &Arc<Self>, shard: ShardId) {
        let led_here = self.shards.get(shard).as_ref().map(want_here);
        if matches!(led_here, Some(Ok(()))) || !self.interest.is_due(shard, Instant::now()) {
            return;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let request = Request::new(WantFreshnessRequest { shard: shard.0 });
            let deadline = Deadline::of(&request);
            let telling = server.at_leader(
                shard,
                request,
                deadline,
                |leader, _| async move { want_here(&leader).map(|()| WantFreshnessReply {}) },
                |channel, request| async move { FreshnessClient::new(channel).want(request).await },
            );
            let mut stopping = server.stopping.subscribe();
            tokio::select! {
                told = timeout(TELL_EVERY, telling) => {
                    if let Ok(Err(status)) = told {
                        tracing::debug!(shard = shard.0, %status, "nobody was told of an interest");
                    }
                }
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        });
    }

    /// A time that a caller names.
    pub(super) fn moment(&self, time: &v1::Time) -> Result<Moment, Status> {
        let named = match (time.hlc.as_str(), u64::try_from(time.unix_nanos)) {
            ("", Ok(wall_nanos)) => Some(HybridTime {
                wall_nanos,
                count: 0,
            }),
            ("", Err(_)) => None,
            (hlc, _) => receipt::parse_time(hlc),
        };
        let named = named.ok_or_else(|| {
            refusal::invalid("not a time: take the `hlc` of an answer, or nanoseconds since 1970")
        })?;
        GuardedClock::new(HybridTime::ZERO, CLOCK_BOUND)
            .observe(named, self.world.clock.wall_nanos())
            .map_err(|_| refusal::invalid(format!("the time {named} is yet to come")))?;
        Ok(Moment::Time(named))
    }

    /// A place in a shard's log that a caller names.
    pub(super) fn place(&self, home: ShardId, place: &v1::Position) -> Result<Moment, Status> {
        if place.shard != home.0 {
            return Err(refusal::invalid(format!(
                "the account lives in shard {home}, and that is a position of shard {}",
                place.shard
            )));
        }
        if self.directory.epoch(home).is_some_and(|e| place.epoch < e) {
            return Err(refusal::invalid(format!(
                "shard {home} has no positions of epoch {}",
                place.epoch
            )));
        }
        let position = Position {
            shard: home,
            epoch: place.epoch,
            index: place.index,
        };
        self.still_there(position)?;
        Ok(Moment::Place(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_stated_only_where_it_is_known_as_a_table() {
        const NOW: u64 = 1_000_000;
        let ms = Duration::from_millis;
        for (complete, quiet, stated) in [
            (NOW, 0, Ok(500)),
            (NOW - 3_000, 0, Ok(3_500)),
            (NOW - 3_000, 2_000, Ok(3_500)),
            // Nothing has come for longer than either clock says.
            (NOW - 3_000, 4_000, Ok(4_500)),
            (NOW + 500, 0, Ok(500)),
            (NOW + 500, 3_600, Ok(4_100)),
            (NOW + 501, 0, Err(Unknown::Ahead(ms(501)))),
        ] {
            let found = staleness(
                NOW * 1_000_000,
                HybridTime::from_millis(complete),
                ms(quiet),
            );
            assert_eq!(found, stated.map(ms));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_told_about_once_a_second() {
        let interest = Interest::default();
        let mut told = 0;
        for _ in 0..100 {
            told += u32::from(interest.is_due(ShardId(1), Instant::now()));
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert_eq!(told, 5);
        assert!(interest.is_due(ShardId(2), Instant::now()));
    }
}

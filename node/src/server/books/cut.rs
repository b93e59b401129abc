//! A consistent cut through all books, and the books along it.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ledger_domain::{GuardedClock, HybridTime, RegionName, ShardId};
use replication::{shard::Shard, topology::Directory as _, view::ReadError};
use tokio::time::{sleep, timeout_at};
use tonic::{Code, Request, Status};

use super::{
    fold, matching, reply,
    service::time,
    shard_book::ShardBook,
    wire::{self, Malformed},
};
use crate::{
    api::{
        internal::v1::{
            BookAtRequest, CloseTimeReply, CloseTimeRequest, books_client::BooksClient,
        },
        rejection::{self, to_status},
        teller::v1::{self as pb, trial_balance_request::Scope},
    },
    server::{CLOCK_BOUND, Server, deadline::Deadline, receipt, refusal},
};

/// A time that is not over in some shard, as far as could be found out in time.
const CUT_NOT_CLOSED: &str = "CUT_NOT_CLOSED";
/// Between two attempts to reach a leader.
const PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Sums every book and matches every channel at one time.
    pub(in crate::server) async fn trial_balance(
        &self,
        request: Request<pb::TrialBalanceRequest>,
    ) -> Result<pb::TrialBalanceReply, Status> {
        // The refusal, which names who is behind, must come before the caller gives up.
        let deadline = Deadline::of(&request);
        let now = HybridTime {
            wall_nanos: self.world.clock.wall_nanos(),
            count: 0,
        };
        let shown = match &request.get_ref().scope {
            None => None,
            Some(Scope::Shard(shard)) => Some(BTreeSet::from([self.shard_named(*shard)?])),
            Some(Scope::Region(region)) => Some(self.shards_at_home(region)?),
        };
        let at_cut = request.get_ref().at_cut;
        let cut = self.cut(&self.every_shard());
        let at = match request.get_ref().at_hlc.as_str() {
            "" if at_cut => cut.through.ok_or_else(|| self.nowhere(&cut.held_back_by))?,
            _ if at_cut => {
                let what = "the cut is a time of its own: leave `at_hlc` out";
                return Err(refusal::invalid(what));
            }
            "" => self.present(&self.every_shard(), now, deadline).await?,
            text => {
                let at = time(text)?;
                let mut clock = GuardedClock::new(HybridTime::ZERO, CLOCK_BOUND);
                clock
                    .observe(at, now.wall_nanos)
                    .map_err(|_| refusal::invalid(format!("the time {at} is yet to come")))?;
                at
            }
        };
        let books = self
            .of_each(&self.every_shard(), |shard| {
                self.book_at(shard, at, deadline)
            })
            .await
            .map_err(|behind| self.not_closed(at, behind))?;
        let mut balance = matching::side_by_side(&books);
        if let Some(shown) = &shown {
            balance = balance.within(shown, |account| self.directory.home(account));
        }
        let told = reply::reply(
            at,
            &balance,
            |shard| self.region_of(shard),
            self.served_by(),
        );
        let mut told = told.map_err(|error| too_large(&error))?;
        if at_cut {
            told.staleness_bound_ms = Some(self.cut_staleness_ms(&self.every_shard(), at));
            told.held_back_by = cut.held_back_by.iter().map(|shard| shard.0).collect();
        }
        Ok(told)
    }

    /// Shards of which nothing is complete here.
    fn nowhere(&self, shards: &[ShardId]) -> Status {
        let nothing =
            |shard: &ShardId| (*shard, Status::unavailable("its view here serves nothing"));
        self.not_closed(HybridTime::ZERO, shards.iter().map(nothing).collect())
    }

    /// A time at or after everything that was acknowledged before the question: the newest of
    /// this node's clock and of what the leaders of these shards have in their books. A leader's clock
    /// may be ahead.
    pub(in crate::server) async fn present(
        &self,
        shards: &[ShardId],
        now: HybridTime,
        deadline: Deadline,
    ) -> Result<HybridTime, Status> {
        let closed = self
            .of_each(shards, |shard| self.close(shard, now, deadline))
            .await
            .map_err(|behind| self.not_closed(now, behind))?;
        Ok(closed.into_values().fold(now, HybridTime::max))
    }

    /// Asks for something of each shard at once: all of it, or who could not give it.
    async fn of_each<T, F>(
        &self,
        shards: &[ShardId],
        ask: impl Fn(ShardId) -> F,
    ) -> Result<BTreeMap<ShardId, T>, BTreeMap<ShardId, Status>>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut asked: FuturesUnordered<_> = shards
            .iter()
            .map(|shard| {
                let shard = *shard;
                let answer = ask(shard);
                async move { (shard, answer.await) }
            })
            .collect();
        let mut given = BTreeMap::new();
        let mut refused = BTreeMap::new();
        while let Some((shard, answer)) = asked.next().await {
            match answer {
                Ok(one) => {
                    given.insert(shard, one);
                }
                Err(status) => {
                    refused.insert(shard, status);
                }
            }
        }
        match refused.is_empty() {
            true => Ok(given),
            false => Err(refused),
        }
    }

    /// Has a shard's leader close its time, wherever it is, and gives the newest time there.
    async fn close(
        &self,
        shard: ShardId,
        through: HybridTime,
        deadline: Deadline,
    ) -> Result<HybridTime, Status> {
        let mut last = None;
        loop {
            let request = Request::new(CloseTimeRequest {
                shard: shard.0,
                through_hlc: receipt::time(through).hlc,
            });
            let answer =
                self.at_leader(
                    shard,
                    request,
                    deadline,
                    |leader, _| async move {
                        let closed = self.close_here(&leader, through).await?;
                        Ok(CloseTimeReply {
                            closed_hlc: receipt::time(closed).hlc,
                        })
                    },
                    |channel, request| async move {
                        BooksClient::new(channel).close_time(request).await
                    },
                );
            match timeout_at(deadline.patience(), answer).await {
                Ok(Ok(reply)) => return time(&reply.into_inner().closed_hlc),
                Ok(Err(status)) => {
                    last = Some(status);
                    if timeout_at(deadline.patience(), sleep(PAUSE)).await.is_ok() {
                        continue;
                    }
                }
                Err(_) => {}
            }
            return Err(last.unwrap_or_else(|| {
                Status::deadline_exceeded("its leader was not reached in time")
            }));
        }
    }

    /// Closes the time of a shard that is led here, and reads its newest.
    pub(super) async fn close_here(
        &self,
        leader: &Shard,
        through: HybridTime,
    ) -> Result<HybridTime, Status> {
        leader
            .close_time(through)
            .await
            .map_err(|error| refusal::submit(&error, ""))?;
        let read = leader.strong(|book| book.time()).await;
        read.map(|(time, _)| time)
            .map_err(|error| refusal::read(&error))
    }

    /// A shard's book: here where its log is, else from a node that holds it.
    async fn book_at(
        &self,
        shard: ShardId,
        at: HybridTime,
        deadline: Deadline,
    ) -> Result<ShardBook, Status> {
        if self.feeds.get(shard.0).is_some() {
            return self.book_here(shard, at, deadline).await;
        }
        let mut last = Status::unavailable("none of its replicas could be reached");
        for node in self.holders(shard) {
            let Ok(line) = self.peers.line(node) else {
                continue;
            };
            let mut request = Request::new(BookAtRequest {
                shard: shard.0,
                at_hlc: receipt::time(at).hlc,
            });
            request.set_timeout(deadline.left());
            let limit = self.peers.options().message_limit;
            let mut client = BooksClient::new(line.channel()).max_decoding_message_size(limit);
            match timeout_at(deadline.patience(), client.book_at(request)).await {
                Ok(Ok(reply)) => {
                    return wire::from_wire(reply.into_inner())
                        .map_err(|error| Status::internal(error.to_string()));
                }
                Ok(Err(status)) => {
                    if rejection::from_status(&status).is_none() {
                        self.peers.suspect(&line);
                    }
                    last = status;
                }
                Err(_) => self.peers.suspect(&line),
            }
        }
        Err(last)
    }

    /// Folds a book out of the log that is here, once the time is over in it.
    pub(super) async fn book_here(
        &self,
        shard: ShardId,
        at: HybridTime,
        deadline: Deadline,
    ) -> Result<ShardBook, Status> {
        let missing = || Status::not_found(format!("shard {shard} has no log here"));
        let served = self.feeds.get(shard.0).ok_or_else(missing)?;
        let epoch = self.directory.epoch(shard).ok_or_else(missing)?;
        // The view only tells when to begin: whether the time is over, the log says.
        let views = self.views();
        let arriving = views.wait_for_time(shard, at, deadline.patience());
        let closing = async {
            drop(self.close(shard, at, deadline).await);
            std::future::pending().await
        };
        let is_over = matches!(self.views().watermark(shard), Ok(Some(found)) if found.time >= at);
        if !is_over {
            let arrived = tokio::select! {
                arrived = arriving => arrived,
                never = closing => never,
            };
            if let Err(error @ ReadError::Open { .. }) = arrived {
                return Err(Status::unavailable(error.to_string()));
            }
        }
        let folding = async {
            let _turn = self.folds.acquire().await;
            let through = *served.borrow();
            fold::book_at(&self.hub, shard, epoch, through, at).await
        };
        match timeout_at(deadline.patience(), folding).await {
            Ok(Ok(book)) => Ok(book),
            Ok(Err(error @ fold::Error::Open { .. })) => {
                Err(Status::unavailable(error.to_string()))
            }
            Ok(Err(fold::Error::NotReached(what))) => Err(refusal::not_reached(what)),
            Ok(Err(error)) => {
                tracing::error!(shard = shard.0, %error, "a book cannot be folded");
                let help = "Ask another node; an operator has to see to this one's disk.";
                Err(to_status(
                    Code::DataLoss,
                    &refusal::detail("LOG_UNREADABLE", error.to_string(), true, help),
                ))
            }
            Err(_) => Err(Status::deadline_exceeded(
                "its log was not folded in time: it is long, or others are being folded",
            )),
        }
    }

    /// The refusal that names who is behind; or what is worse than that.
    fn not_closed(&self, at: HybridTime, behind: BTreeMap<ShardId, Status>) -> Status {
        if let Some(own) = behind.values().find(|s| s.code() == Code::DataLoss) {
            return own.clone();
        }
        let who: Vec<_> = behind
            .iter()
            .map(|(shard, status)| {
                let region = self.region_of(*shard);
                format!("shard {shard} ({region}): {}", status.message())
            })
            .collect();
        let message = format!("the time {at} is not over everywhere: {}", who.join("; "));
        let help = "Ask for an earlier time, or again.";
        to_status(
            Code::Unavailable,
            &refusal::detail(CUT_NOT_CLOSED, message, true, help),
        )
    }

    pub(in crate::server) fn region_of(&self, shard: ShardId) -> RegionName {
        let shard = self.directory.topology().shard(shard);
        shard.map_or(self.region, |shard| shard.region)
    }
}

pub(super) fn too_large(error: &Malformed) -> Status {
    let help = "Nothing is wrong with the books: their sums cannot be told in 64 bits.";
    to_status(
        Code::OutOfRange,
        &refusal::detail("SUM_OVERFLOW", error.to_string(), false, help),
    )
}

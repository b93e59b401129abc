//! Balances of several accounts as they were at one time.
//!
//! The time is the cut through the shards in which the accounts live: the newest up to which all of
//! them are complete here. What an account was at a time never changes and is the same on every node, so
//! that two answers, wherever they are from, never show two writes in two orders.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use ledger_domain::{AccountId, HybridTime, ShardId, Token};
use replication::{
    shard::entry_here,
    view::{Cut, Moment, ReadError},
};
use tonic::Status;

use super::{Server, deadline::Deadline, freshness::Bound, prepare, receipt, refusal};
use crate::api::{
    atm::v1::{self as pb, balance_outcome::Outcome},
    rejection,
    v1::{RejectionDetail, read_mode},
};

/// How many accounts are looked up at a time.
const AT_A_TIME: usize = 64;

impl Server {
    /// What these accounts were at the newest time at which all of them are known here, or at a newer
    /// one that their homes have closed, where the caller wants that.
    pub(super) async fn balances_at_one_time(
        self: &Arc<Self>,
        account_ids: &[String],
        wanted: &pb::AtOneTime,
        deadline: Deadline,
    ) -> Result<pb::GetBalancesReply, Status> {
        let found: Vec<Result<(AccountId, ShardId), Status>> = account_ids
            .iter()
            .map(|text| {
                let id = prepare::account(text)?;
                Ok((id, self.home(&id)?))
            })
            .collect();
        let homes = found.iter().flatten().map(|(_, home)| *home);
        let homes: BTreeSet<ShardId> = homes.collect();
        let shards: Vec<_> = homes.into_iter().collect();
        let covered = self.verified(&wanted.tokens)?;
        if shards.is_empty() {
            let refused = found.into_iter().filter_map(Result::err);
            return Ok(pb::GetBalancesReply {
                outcomes: refused.map(|status| rejected(&status)).collect(),
                ..pb::GetBalancesReply::default()
            });
        }
        loop {
            let (cut, is_closed) = self.cut_for(&shards, wanted, &covered, deadline).await?;
            let reply = self.at_a_cut(found.clone(), &shards, cut, deadline).await?;
            let bound = wanted.max_staleness_ms;
            // Time has gone by since the bound was met.
            if bound == 0 || is_closed || reply.staleness_bound_ms <= bound {
                return Ok(reply);
            }
        }
    }

    async fn at_a_cut(
        self: &Arc<Self>,
        found: Vec<Result<(AccountId, ShardId), Status>>,
        shards: &[ShardId],
        cut: Cut,
        deadline: Deadline,
    ) -> Result<pb::GetBalancesReply, Status> {
        let at = cut.through.ok_or_else(|| {
            // A view has stopped meanwhile.
            let mut stopped = cut.held_back_by.iter().chain(shards);
            let stopped = stopped.next().copied().unwrap_or(ShardId(0));
            refusal::unreadable(ReadError::NoView(stopped))
        })?;
        let looked_up: Vec<_> = stream::iter(found)
            .map(|found| async move {
                let (id, home) = found?;
                self.at_the_cut(home, id, at, deadline).await
            })
            .buffered(AT_A_TIME)
            .collect()
            .await;
        let outcomes = looked_up.into_iter().map(|found| match found {
            Ok(balance) => told(balance),
            Err(status) => rejected(&status),
        });
        Ok(pb::GetBalancesReply {
            outcomes: outcomes.collect(),
            true_at: Some(receipt::time(at)),
            staleness_bound_ms: self.cut_staleness_ms(shards, at),
            held_back_by: cut.held_back_by.iter().map(|shard| shard.0).collect(),
            served_by: Some(self.served_by()),
        })
    }

    async fn at_the_cut(
        self: &Arc<Self>,
        home: ShardId,
        id: AccountId,
        at: HybridTime,
        deadline: Deadline,
    ) -> Result<pb::Balance, Status> {
        let moment = Moment::Time(at);
        let balance = self.as_of_moment(home, id, moment, deadline).await?;
        balance.ok_or_else(refusal::unknown_account)
    }

    /// The cut that an answer is given at: as fresh as the caller wants it, and after everything that
    /// the tokens cover. And whether homes closed it for this question.
    async fn cut_for(
        self: &Arc<Self>,
        shards: &[ShardId],
        wanted: &pb::AtOneTime,
        covered: &Token,
        deadline: Deadline,
    ) -> Result<(Cut, bool), Status> {
        self.wait_until(covered, deadline).await?;
        // What is covered was booked by then, in whichever shard.
        let mut after = HybridTime::ZERO;
        for position in &covered.positions {
            let time = match entry_here(&self.hub, *position) {
                Ok(Some(entry)) => entry.time,
                // It may be here in no log: what the view of it is complete up to is later.
                _ => {
                    let found = self.views().watermark(position.shard);
                    let found = found.map_err(refusal::unreadable)?;
                    found.map_or(HybridTime::ZERO, |found| found.time)
                }
            };
            after = after.max(time);
        }
        let mut cut = self.complete_after(shards, after, deadline).await?;
        if wanted.max_staleness_ms == 0 {
            return Ok((cut, false));
        }
        let bound = Bound::of(&read_mode::Bounded {
            max_staleness_ms: wanted.max_staleness_ms,
            otherwise: wanted.otherwise,
            tokens: Vec::new(),
        });
        loop {
            let mut is_met = true;
            for shard in shards {
                is_met &= self.meets(*shard, bound, covered, deadline).await?;
            }
            if !is_met {
                let closed = self.present(shards, self.now(), deadline).await?;
                let cut = self.complete_after(shards, closed.max(after), deadline);
                return Ok((cut.await?, true));
            }
            cut = self.cut(shards);
            let age = cut.through.map(|at| self.cut_staleness_ms(shards, at));
            if age.is_none_or(|age| age <= wanted.max_staleness_ms) {
                return Ok((cut, false));
            }
        }
    }

    /// The cut, once it is no earlier than a time.
    async fn complete_after(
        self: &Arc<Self>,
        shards: &[ShardId],
        time: HybridTime,
        deadline: Deadline,
    ) -> Result<Cut, Status> {
        for shard in shards {
            let found = self
                .views()
                .watermark(*shard)
                .map_err(refusal::unreadable)?;
            if found.is_some_and(|found| found.time >= time) {
                continue;
            }
            self.show_interest(*shard);
            let views = self.views();
            let arrived = views.wait_for_time(*shard, time, deadline.patience());
            arrived.await.map_err(refusal::unreadable)?;
        }
        Ok(self.cut(shards))
    }

    fn now(&self) -> HybridTime {
        HybridTime {
            wall_nanos: self.world.clock.wall_nanos(),
            count: 0,
        }
    }
}

/// What one of several is answered.
pub(super) fn told(balance: pb::Balance) -> pb::BalanceOutcome {
    pb::BalanceOutcome {
        outcome: Some(Outcome::Balance(balance)),
    }
}

/// What one of several is answered that is refused.
pub(super) fn rejected(status: &Status) -> pb::BalanceOutcome {
    let detail: RejectionDetail = rejection::from_status(status)
        .unwrap_or_else(|| refusal::detail("UNAVAILABLE", status.message(), true, "Ask again."));
    pb::BalanceOutcome {
        outcome: Some(Outcome::Rejection(detail)),
    }
}

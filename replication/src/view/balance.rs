use std::time::Duration;

use ledger_domain::{
    Account, AccountId, Currency, HybridTime, Position, ShardId,
    planted::{Bug, planted},
};
use tokio::time::Instant;

use super::Views;

/// What a read of a shard is true for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermark {
    /// Everything up to this place is in the answer, and nothing after it.
    pub position: Position,
    /// All times up to this one are closed: the answer holds for it, too.
    pub time: HybridTime,
}

/// A balance and what it is true for, from one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRow {
    /// The account.
    pub account: Account,
    /// Where it lives.
    pub shard: ShardId,
    /// What this is true for.
    pub watermark: Watermark,
}

/// Why a read cannot be answered here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The shard's view has stopped at something it cannot follow, and serves nothing.
    #[error("the view of shard {shard} is not served: {cause}")]
    Stopped {
        /// The shard.
        shard: ShardId,
        /// Why it has stopped.
        cause: String,
    },
    /// This node has no view of the shard.
    #[error("this node has no view of shard {0}")]
    NoView(ShardId),
    /// The view did not arrive in time.
    #[error("the view of shard {} did not arrive at {wanted} in time", wanted.shard)]
    Late {
        /// The position that was waited for.
        wanted: Position,
        /// Where the view was then.
        found: Option<Watermark>,
    },
    /// The time was not over in time.
    #[error("the log of shard {shard} goes up to {} here", time_of(.found))]
    Open {
        /// The shard.
        shard: ShardId,
        /// The time that was waited for.
        wanted: HybridTime,
        /// Where the view was then.
        found: Option<Watermark>,
    },
}

fn time_of(found: &Option<Watermark>) -> HybridTime {
    found.map_or(HybridTime::ZERO, |found| found.time)
}

impl Views {
    /// An account's balance, out of memory. `None` where no shard viewed here has opened it yet.
    pub fn balance(&self, account: &AccountId) -> Result<Option<BalanceRow>, ReadError> {
        self.cache().balance(account)
    }

    /// What an account is kept in, which never changes: also while its view is stopped.
    pub fn currency(&self, account: &AccountId) -> Option<Currency> {
        let known = self.cache().account(account);
        known.map(|(_, account)| account.currency)
    }

    /// How far a shard's view goes; `None` before its first index.
    pub fn watermark(&self, shard: ShardId) -> Result<Option<Watermark>, ReadError> {
        self.cache().watermark(shard)
    }

    /// For how long nothing new has come to a shard's view: since its watermark moved, or since
    /// the node was started. No wall clock tells it.
    pub fn nothing_new_for(&self, shard: ShardId) -> Duration {
        self.cache().quiet(shard)
    }

    /// For how long a shard has not been served because its view has stopped, if it has.
    pub fn stopped_for(&self, shard: ShardId) -> Option<Duration> {
        self.cache().stopped_for(shard)
    }

    /// Waits until a shard's view holds everything up to a position.
    pub async fn wait_for(
        &self,
        wanted: Position,
        deadline: Instant,
    ) -> Result<Watermark, ReadError> {
        let compared_with = match planted(Bug::TokenAcrossShards) {
            true => self.cache().first_shard().unwrap_or(wanted.shard),
            false => wanted.shard,
        };
        let arrived = self.wait_until(compared_with, deadline, |found| found.reaches(wanted));
        arrived.await.unwrap_or_else(|| {
            let found = self.watermark(wanted.shard)?;
            Err(ReadError::Late { wanted, found })
        })
    }

    /// Waits until a time is over in a shard, as far as its view here knows.
    pub async fn wait_for_time(
        &self,
        shard: ShardId,
        wanted: HybridTime,
        deadline: Instant,
    ) -> Result<Watermark, ReadError> {
        let arrived = self.wait_until(shard, deadline, |found| found.time >= wanted);
        arrived.await.unwrap_or_else(|| {
            let found = self.watermark(shard)?;
            Err(ReadError::Open {
                shard,
                wanted,
                found,
            })
        })
    }

    /// Waits until `fresh` is true of the time up to which a shard's view is complete. `None` where
    /// that does not come in time. `fresh` is asked again whenever the view goes on.
    pub async fn wait_for_fresh(
        &self,
        shard: ShardId,
        deadline: Instant,
        fresh: impl Fn(HybridTime) -> bool,
    ) -> Result<Option<Watermark>, ReadError> {
        let arrived = self.wait_until(shard, deadline, |found| fresh(found.time));
        arrived.await.transpose()
    }

    /// Waits for a watermark of a shard; `None` where it does not come in time.
    async fn wait_until(
        &self,
        shard: ShardId,
        deadline: Instant,
        enough: impl Fn(&Watermark) -> bool,
    ) -> Option<Result<Watermark, ReadError>> {
        let waiting = async {
            let mut progress = self.cache().progress(shard)?;
            loop {
                progress.borrow_and_update();
                if let Some(found) = self.watermark(shard)?.filter(&enough) {
                    return Ok(found);
                }
                if progress.changed().await.is_err() {
                    return Err(ReadError::NoView(shard));
                }
            }
        };
        tokio::time::timeout_at(deadline, waiting).await.ok()
    }
}

impl Watermark {
    /// Does a view that is here hold everything up to a position of the same shard?
    pub fn reaches(&self, wanted: Position) -> bool {
        self.position.epoch >= wanted.epoch && self.position.index >= wanted.index
    }
}

use ledger_domain::{Account, AccountId, HybridTime, Position, ShardId};
use tokio::time::Instant;

use super::{Error, Opening, ReadError, Views};

/// A point in the history of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After everything that was booked up to and with a time.
    Time(HybridTime),
    /// After everything up to and with a place in its log.
    Place(Position),
}

/// What an account was at a [`Moment`]. It never changes, and is the same wherever it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The booked sum, minor units.
    pub posted: i64,
    /// Where the last booking that counts stands, or the account's opening.
    pub position: Position,
    /// When that was.
    pub time: HybridTime,
    /// The account's version after that.
    pub version: u64,
    /// The account as it is now: what of it never changes holds for then, too.
    pub now: Account,
}

impl Views {
    /// What an account of a shard was at a moment, once the view here knows all there is to know
    /// of that moment; waits for it until the deadline. `None` where the account was not opened by
    /// then.
    pub async fn past(
        &self,
        shard: ShardId,
        account: &AccountId,
        moment: Moment,
        deadline: Instant,
    ) -> Result<Option<Past>, ReadError> {
        match moment {
            Moment::Time(time) => self.wait_for_time(shard, time, deadline).await?,
            Moment::Place(position) => self.wait_for(position, deadline).await?,
        };
        let is_later = |time: HybridTime, index: u64| match moment {
            Moment::Time(last) => time > last,
            Moment::Place(last) => index > last.index,
        };
        let Some((row, lines)) = self.lines(account)? else {
            return Ok(None);
        };
        let now = row.account;
        let opening = self.opening(account)?.ok_or_else(|| {
            let (index, what) = (0, format!("{account} has a row and no opening"));
            self.stop(shard, &Error::Inconsistent { shard, index, what })
        })?;
        let Opening { transaction, time } = opening;
        let position = transaction.position;
        if is_later(time, position.index) {
            return Ok(None);
        }
        // Times and places rise with versions.
        let later = lines.first(|line| is_later(line.booked, line.transaction.position.index));
        let line = later.and_then(|later| lines.before(later));
        let line = line.map_err(|error| self.stop(shard, &error))?;
        Ok(Some(match line {
            Some(line) => Past {
                posted: line.posted,
                position: line.transaction.position,
                time: line.booked,
                version: line.version,
                now,
            },
            None => Past {
                posted: 0,
                position,
                time,
                // The first event of an account is its opening.
                version: 1,
                now,
            },
        }))
    }
}

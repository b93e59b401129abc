use std::ops::{ControlFlow, Range};

use ledger_domain::{AccountId, ShardId};

use super::disk::{Merged, foreign_key, read};
use super::{BalanceRow, Declined, Error, Place, ReadError, Views, keys, stored};

/// How many refused commands of an account are kept.
pub(super) const KEPT: u64 = 1_000;

/// One page of an account's refused commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclinedCommands {
    /// The newest first.
    pub commands: Vec<Declined>,
    /// What the next page begins before; `None` on the last.
    pub next: Option<u64>,
    /// How many there were since the log began. The newest thousand are kept.
    pub all: u64,
    /// The account, and what this page is true for.
    pub account: BalanceRow,
}

impl Views {
    /// One page of the commands that named an account first and were refused. `None` where no shard
    /// viewed here has opened it yet.
    pub fn declined(
        &self,
        account: &AccountId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Option<DeclinedCommands>, ReadError> {
        let all = all_of(account);
        let found = self.with_row(account, &all, |rows| {
            page(rows, account, before, limit.max(1))
        })?;
        let Some((row, (commands, next, all))) = found else {
            return Ok(None);
        };
        Ok(Some(DeclinedCommands {
            commands,
            next,
            all,
            account: row,
        }))
    }
}

fn all_of(account: &AccountId) -> Range<Vec<u8>> {
    keys::declined(account, 0)..keys::declined(account, u64::MAX)
}

/// The number of an account's newest refused command; zero where there is none.
fn newest(rows: &Merged<'_>, account: &AccountId) -> Result<u64, Error> {
    match rows.last(all_of(account))? {
        Some((key, _)) => keys::version_of(&key).ok_or_else(foreign_key),
        None => Ok(0),
    }
}

fn page(
    rows: &Merged<'_>,
    account: &AccountId,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<Declined>, Option<u64>, u64), Error> {
    let account = *account;
    let all = newest(rows, &account)?;
    // Numbers have no gaps, so that the place of a page is known.
    let oldest = all.saturating_sub(KEPT) + 1;
    let end = before.unwrap_or(u64::MAX).clamp(1, all + 1);
    let limit = u64::try_from(limit).unwrap_or(KEPT);
    let start = end.saturating_sub(limit).max(oldest);
    let mut page = Vec::new();
    if start < end {
        let range = keys::declined(&account, start)..keys::declined(&account, end);
        rows.scan(range, |key, value| {
            let number = keys::version_of(key).ok_or_else(foreign_key)?;
            let place = Place::Declined { account, number };
            page.push(read(place, stored::open_declined(number, value))?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    page.reverse();
    let next = (oldest < start && start < end).then_some(start);
    Ok((page, next, all))
}

impl Views {
    /// How many commands of an account were refused. For whoever folds its shard.
    pub(super) fn newest_declined(
        &self,
        shard: ShardId,
        account: &AccountId,
    ) -> Result<u64, Error> {
        newest(&self.rows(shard, &all_of(account)), account)
    }
}

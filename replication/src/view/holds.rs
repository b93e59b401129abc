use std::ops::{ControlFlow, Range};

use ledger_domain::{AccountId, Hold, ShardId, hold::Status};

use super::disk::{Merged, foreign_key, read};
use super::{BalanceRow, Error, Place, ReadError, Views, keys, stored};

/// Holds looked at for one page. An account with many that have ended gives short pages.
const LOOKED_AT: usize = 10_000;

/// One page of an account's holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// The holds, in the order in which they were placed. A page may be short, or empty, though
    /// others follow.
    pub holds: Vec<Hold>,
    /// What the next page begins after; `None` on the last.
    pub next: Option<u64>,
    /// The account, and what this page is true for.
    pub account: BalanceRow,
}

impl Views {
    /// One page of an account's holds: those that are open, or all that it ever had. `None` where
    /// no shard viewed here has opened it yet.
    pub fn holds(
        &self,
        account: &AccountId,
        ended_too: bool,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Option<Holds>, ReadError> {
        let first = after.map_or(0, |after| after.saturating_add(1));
        let range = keys::hold(account, first)..keys::hold(account, u64::MAX);
        let found = self.with_row(account, &range, |rows| {
            page(rows, account, ended_too, range.clone(), limit.max(1))
        })?;
        let Some((row, (holds, next))) = found else {
            return Ok(None);
        };
        Ok(Some(Holds {
            holds,
            next,
            account: row,
        }))
    }

    /// A hold of an account.
    pub(super) fn hold(
        &self,
        shard: ShardId,
        account: &AccountId,
        number: u64,
    ) -> Result<Option<Hold>, Error> {
        let account = *account;
        let place = Place::Hold { account, number };
        self.row(shard, &keys::hold(&account, number), place, |row| {
            stored::open_hold(account, row)
        })
    }
}

fn page(
    rows: &Merged<'_>,
    account: &AccountId,
    ended_too: bool,
    range: Range<Vec<u8>>,
    limit: usize,
) -> Result<(Vec<Hold>, Option<u64>), Error> {
    let account = *account;
    let (mut holds, mut looked_at, mut next) = (Vec::new(), 0, None);
    rows.scan(range, |key, value| {
        let number = keys::version_of(key).ok_or_else(foreign_key)?;
        if holds.len() == limit || looked_at == LOOKED_AT {
            next = Some(number - 1);
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        let place = Place::Hold { account, number };
        let hold = read(place, stored::open_hold(account, value))?;
        if ended_too || hold.status == Status::Open {
            holds.push(hold);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((holds, next))
}

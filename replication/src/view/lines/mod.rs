//! An account's lines: by chunks, by what is sought, and in the order of a statement.

mod chunk;
#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;
use ledger_domain::{AccountId, Date};

use chunk::Lines;
pub(super) use chunk::{Chunk, Gaps, days, narrow, take, unzigzag, varint, zigzag};

use super::disk::{Merged, foreign_key, read};
use super::tail::{Rows, Tail};
use super::views::Cache;
use super::{BalanceRow, Error, Line, Place, ReadError, Views, keys};

/// The lines of an account as they were when they were asked for: those up to a version.
pub(super) struct AccountLines<'a> {
    account: AccountId,
    newest: u64,
    rows: Merged<'a>,
    late: Merged<'a>,
}

impl Views {
    /// An account, and its lines up to that state. `None` where no shard viewed here has opened it yet.
    pub(super) fn lines(
        &self,
        account: &AccountId,
    ) -> Result<Option<(BalanceRow, AccountLines<'_>)>, ReadError> {
        let cache = self.cache();
        let Some(row) = cache.balance(account)? else {
            return Ok(None);
        };
        let lines = self.lines_beside(&cache, account, &row);
        Ok(Some((row, lines)))
    }

    /// An account's lines up to the state of its row.
    pub(super) fn lines_beside(
        &self,
        cache: &Cache,
        account: &AccountId,
        row: &BalanceRow,
    ) -> AccountLines<'_> {
        let fresh = |gaps| {
            let gather = |tail: &Tail, rows: &mut Rows| tail.lines_of(account, gaps, rows);
            self.disk().with(cache.gathered(row.shard, gather))
        };
        AccountLines {
            account: *account,
            newest: row.account.version,
            rows: fresh(Gaps::None),
            late: fresh(Gaps::Some),
        }
    }
}

/// What a visitor says of a line: go on, or not.
pub(super) type Visit<'a> = dyn FnMut(Line) -> ControlFlow<()> + 'a;

impl AccountLines<'_> {
    /// The version before which `is_after` is true of no line, and from which it is of all. Once true
    /// it must be true of all later lines.
    pub(super) fn first(&self, is_after: impl Fn(&Line) -> bool) -> Result<u64, Error> {
        let (mut low, mut high) = (0, self.newest.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(chunk) = self.chunk_at(middle)? else {
                low = middle + 1;
                continue;
            };
            let (mut found, mut last) = (None, middle);
            let mut is_first = true;
            for line in self.of_chunk(chunk, Gaps::None)? {
                let line = line?;
                if line.version > self.newest {
                    break;
                }
                if is_after(&line) {
                    found = Some(line.version);
                    break;
                }
                is_first = false;
                last = last.max(line.version);
            }
            match found {
                // Lines before the chunk may be after it, too.
                Some(version) if is_first => high = version,
                Some(version) => return Ok(version),
                None => low = last + 1,
            }
        }
        Ok(low)
    }

    /// The last line before a version.
    pub(super) fn before(&self, version: u64) -> Result<Option<Line>, Error> {
        let mut found = None;
        let end = version.min(self.newest.saturating_add(1));
        let Some(end) = end.checked_sub(1) else {
            return Ok(None);
        };
        self.each_back(0..=end, &mut |line| {
            found = Some(line);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Visits the lines of a range of versions in the order in which they were booked.
    pub(super) fn each(
        &self,
        versions: RangeInclusive<u64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let start = match self.chunk_at(*versions.start())? {
            Some((first, _)) => first,
            None => *versions.start(),
        };
        let end = (*versions.end()).min(self.newest);
        if end < *versions.start() {
            return Ok(());
        }
        let range = keys::line(&self.account, start)..keys::line(&self.account, end + 1);
        self.rows.scan(range, |key, value| {
            let first = keys::version_of(key).ok_or_else(foreign_key)?;
            for line in self.of_chunk((first, value.clone()), Gaps::None)? {
                let line = line?;
                if line.version > end {
                    return Ok(ControlFlow::Break(()));
                }
                if line.version >= *versions.start() && visit(line).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The same, the newest first.
    pub(super) fn each_back(
        &self,
        versions: RangeInclusive<u64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), Error> {
        let end = (*versions.end()).min(self.newest);
        let range = keys::line(&self.account, 0)..keys::line(&self.account, end + 1);
        self.rows.scan_back(range, |key, value| {
            let first = keys::version_of(key).ok_or_else(foreign_key)?;
            let lines = self.of_chunk((first, value.clone()), Gaps::None)?;
            let lines = lines.collect::<Result<Vec<_>, _>>()?;
            for line in lines.into_iter().rev() {
                if line.version < *versions.start() {
                    return Ok(ControlFlow::Break(()));
                }
                if line.version <= end && visit(line).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Visits the late lines after a version and up to with another. Each of them counts from before a
    /// line that was booked earlier.
    pub(super) fn each_late(
        &self,
        after: u64,
        last: u64,
        visit: &mut dyn FnMut(Line),
    ) -> Result<(), Error> {
        let account = &self.account;
        let end = last.min(self.newest);
        // The chunk in which the first may be begins before it.
        let until = keys::late(account, 0)..keys::late(account, after.saturating_add(1));
        let start = match self.late.last(until)? {
            Some((key, _)) => keys::version_of(&key).ok_or_else(foreign_key)?,
            None => after,
        };
        let range = keys::late(account, start)..keys::late(account, end.saturating_add(1));
        self.late.scan(range, |key, value| {
            let first = keys::version_of(key).ok_or_else(foreign_key)?;
            for line in self.of_chunk((first, value.clone()), Gaps::Some)? {
                let line = line?;
                if (after + 1..=end).contains(&line.version) {
                    visit(line);
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The booked sum of all that counts from up to and with a date, of the lines up to a version.
    pub(super) fn sum_until(&self, date: Date, version: u64) -> Result<i128, Error> {
        let after = self.first(|line| line.front > date)?;
        let after = after.min(version.saturating_add(1));
        let mut sum = self.before(after)?.map_or(0, |line| line.posted.into());
        let Some(last) = after.checked_sub(1) else {
            return Ok(sum);
        };
        self.each_late(last, version, &mut |line| {
            if line.effective_date <= date {
                sum += i128::from(line.amount);
            }
        })?;
        Ok(sum)
    }

    /// The chunk in which the last line up to a version is.
    fn chunk_at(&self, version: u64) -> Result<Option<(u64, Bytes)>, Error> {
        let until = version.min(self.newest).saturating_add(1);
        let range = keys::line(&self.account, 0)..keys::line(&self.account, until);
        let Some((key, value)) = self.rows.last(range)? else {
            return Ok(None);
        };
        let first = keys::version_of(&key).ok_or_else(foreign_key)?;
        Ok(Some((first, value)))
    }

    fn of_chunk(
        &self,
        (first, stored): (u64, Bytes),
        gaps: Gaps,
    ) -> Result<impl Iterator<Item = Result<Line, Error>> + use<>, Error> {
        let place = Place::Line {
            account: self.account,
            version: first,
        };
        let lines = read(place, Lines::open(&self.account, first, &stored, gaps))?;
        Ok(lines.map(move |line| read(place, line)))
    }
}

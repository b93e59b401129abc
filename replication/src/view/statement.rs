use std::ops::{ControlFlow, Range, RangeInclusive};

use bytes::Bytes;
use ledger_domain::{AccountId, Date, HybridTime};

use super::keys;
use super::views::Disk;
use super::{BalanceRow, Error, Line, Place, ReadError, Views, stored};

/// Lines looked at for one page. An account whose lines of a span lie far apart gives short pages.
const LOOKED_AT: usize = 10_000;

/// Which lines of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// By the account's version after them.
    Versions(RangeInclusive<u64>),
    /// By when they were booked.
    Booked(Range<HybridTime>),
    /// By the date from which they count.
    Effective(RangeInclusive<Date>),
}

/// One page of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementQuery {
    /// Whose.
    pub account: AccountId,
    /// Which lines.
    pub span: Span,
    /// [`Statement::next`] of the page before; `None` for the first.
    pub after: Option<u64>,
    /// Longest page, in lines; at least one is given.
    pub limit: usize,
}

/// Lines in the order in which they were booked, whatever the span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The lines. A page may be short, or empty, though others follow.
    pub lines: Vec<Line>,
    /// What the next page begins after; `None` on the last.
    pub next: Option<u64>,
    /// The account, and what this page is true for. Later pages are of later states.
    pub account: BalanceRow,
}

impl Views {
    /// One page of an account's statement. `None` where no shard viewed here has opened it yet.
    pub fn statement(&self, query: &StatementQuery) -> Result<Option<Statement>, ReadError> {
        let Some(account) = self.balance(&query.account)? else {
            return Ok(None);
        };
        // Lines never change, and those up to this version are stored: no lock is needed.
        let page = self.disk().page(query, account.account.version);
        let (lines, next) = page.map_err(|error| self.stop(account.shard, &error))?;
        Ok(Some(Statement {
            lines,
            next,
            account,
        }))
    }
}

impl Disk {
    fn page(&self, query: &StatementQuery, newest: u64) -> Result<(Vec<Line>, Option<u64>), Error> {
        let account = &query.account;
        let versions = match &query.span {
            Span::Versions(versions) => *versions.start()..=*versions.end().min(&newest),
            Span::Effective(_) => 0..=newest,
            // Within an account times rise with versions.
            Span::Booked(times) => {
                let start = times.start;
                let first = self.first_line(account, newest, |line| line.booked >= start)?;
                first..=newest
            }
        };
        let first = query.after.map_or(0, |after| after.saturating_add(1));
        let first = first.max(*versions.start());
        let limit = query.limit.max(1);
        let (mut lines, mut looked_at, mut next) = (Vec::new(), 0, None);
        self.lines(account, first..=*versions.end(), &mut |line| {
            if let Span::Booked(times) = &query.span
                && line.booked >= times.end
            {
                return ControlFlow::Break(());
            }
            if lines.len() == limit || looked_at == LOOKED_AT {
                next = Some(line.version - 1);
                return ControlFlow::Break(());
            }
            looked_at += 1;
            match &query.span {
                Span::Effective(dates) if !dates.contains(&line.effective_date) => {}
                _ => lines.push(line),
            }
            ControlFlow::Continue(())
        })?;
        Ok((lines, next))
    }

    /// A version before which `late` is true of no line up to `newest`, and from which it is of
    /// all. Once true it must be true of all later lines.
    pub(super) fn first_line(
        &self,
        account: &AccountId,
        newest: u64,
        late: impl Fn(&Line) -> bool,
    ) -> Result<u64, Error> {
        let (mut low, mut high) = (0, newest.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let mut early = None;
            self.lines(account, middle..=newest, &mut |line| {
                early = (!late(&line)).then_some(line.version);
                ControlFlow::Break(())
            })?;
            match early {
                Some(version) => low = version + 1,
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// The last line of an account before a version.
    pub(super) fn line_before(
        &self,
        account: &AccountId,
        version: u64,
    ) -> Result<Option<Line>, Error> {
        let range = keys::line(account, 0)..keys::line(account, version);
        let Some((key, value)) = self.last(range)? else {
            return Ok(None);
        };
        open_line(account, &key, &value).map(Some)
    }

    /// Visits an account's lines of a range of versions, rising.
    fn lines(
        &self,
        account: &AccountId,
        versions: RangeInclusive<u64>,
        visit: &mut dyn FnMut(Line) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        if versions.is_empty() {
            return Ok(());
        }
        let start = keys::line(account, *versions.start());
        let end = keys::line(account, versions.end().saturating_add(1));
        self.scan(start..end, |key, value| {
            Ok(visit(open_line(account, key, value)?))
        })
    }
}

fn open_line(account: &AccountId, key: &[u8], value: &Bytes) -> Result<Line, Error> {
    let version = keys::version_of(key).ok_or_else(Disk::foreign_key)?;
    let account = *account;
    let place = Place::Line { account, version };
    stored::open_line(version, value).map_err(|cause| Error::Damaged { place, cause })
}

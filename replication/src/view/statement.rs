use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use ledger_domain::{AccountId, Date};

use super::lines::AccountLines;
use super::{BalanceRow, Error, Line, ReadError, Views};

/// Which lines of a statement, and in which order they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// By the business date on which they were booked, in the order in which they were.
    Booked(RangeInclusive<Date>),
    /// By the date from which they count; those of one date in the order in which they were booked.
    Effective(RangeInclusive<Date>),
}

/// One page of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementQuery {
    /// Whose.
    pub account: AccountId,
    /// Which lines.
    pub span: Span,
    /// Only what was booked up to and with this version of the account; `None` for all that is known.
    pub through: Option<u64>,
    /// The last line first.
    pub newest_first: bool,
    /// [`Statement::next`] of the page before; `None` for the first.
    pub after: Option<Mark>,
    /// Longest page, in lines; at least one is given.
    pub limit: usize,
}

/// A line's place in a statement. Those by booking date are ordered by version alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// From when it counts.
    pub date: Date,
    /// The account's version after it.
    pub version: u64,
}

impl Mark {
    fn of(line: &Line) -> Self {
        Self {
            date: line.effective_date,
            version: line.version,
        }
    }
}

/// A page of a statement, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The lines of the page, each with the balance after it in the order of the statement, minor units. By
    /// effective date that may leave 64 bits, as no present balance ever does.
    pub lines: Vec<(Line, i128)>,
    /// What the next page begins after; `None` on the last.
    pub next: Option<Mark>,
    /// The version of the account up to which this goes. Asked for up to there, the pages of a statement
    /// belong together, whatever is booked meanwhile.
    pub through: u64,
    /// The balance before the first line of all pages, minor units.
    pub opening: i128,
    /// The balance after the last line of all pages, minor units.
    pub closing: i128,
    /// The account, and what this page is true for.
    pub account: BalanceRow,
}

impl Views {
    /// One page of an account's statement. `None` where no shard viewed here has opened it yet.
    pub fn statement(&self, query: &StatementQuery) -> Result<Option<Statement>, ReadError> {
        let Some((account, lines)) = self.lines(&query.account)? else {
            return Ok(None);
        };
        let newest = account.account.version;
        let through = query.through.map_or(newest, |through| through.min(newest));
        let page = match &query.span {
            Span::Booked(dates) => Page::booked(&lines, query, dates, through),
            Span::Effective(dates) => Page::effective(&lines, query, dates, through),
        };
        let page = page.map_err(|error| self.stop(account.shard, &error))?;
        Ok(Some(Statement {
            lines: page.lines,
            next: page.next,
            through,
            opening: page.opening,
            closing: page.closing,
            account,
        }))
    }
}

/// What the two orders come to.
struct Page {
    lines: Vec<(Line, i128)>,
    next: Option<Mark>,
    opening: i128,
    closing: i128,
}

impl Page {
    fn booked(
        lines: &AccountLines<'_>,
        query: &StatementQuery,
        dates: &RangeInclusive<Date>,
        through: u64,
    ) -> Result<Self, Error> {
        let (from, to) = (*dates.start(), *dates.end());
        let after = through.saturating_add(1);
        let start = lines.first(|line| line.booked_on >= from)?.min(after);
        let end = lines.first(|line| line.booked_on > to)?.clamp(start, after);
        let posted = |version| {
            let line = lines.before(version)?;
            Ok::<i128, Error>(line.map_or(0, |line| line.posted.into()))
        };
        let (opening, closing) = (posted(start)?, posted(end)?);
        let marked = query.after.map(|mark| mark.version);
        let limit = query.limit.max(1);
        let mut page = Vec::new();
        let mut has_more = false;
        let mut visit = |line: Line| {
            has_more = page.len() == limit;
            if has_more {
                return ControlFlow::Break(());
            }
            let balance = i128::from(line.posted);
            page.push((line, balance));
            ControlFlow::Continue(())
        };
        if query.newest_first {
            let end = marked.map_or(end, |version| end.min(version));
            if let Some(last) = end.checked_sub(1).filter(|last| *last >= start) {
                lines.each_back(start..=last, &mut visit)?;
            }
        } else {
            let start = marked.map_or(start, |version| start.max(version.saturating_add(1)));
            if let Some(last) = end.checked_sub(1).filter(|last| *last >= start) {
                lines.each(start..=last, &mut visit)?;
            }
        }
        Ok(Self {
            next: Self::next(&page, has_more),
            lines: page,
            opening,
            closing,
        })
    }

    fn effective(
        lines: &AccountLines<'_>,
        query: &StatementQuery,
        dates: &RangeInclusive<Date>,
        through: u64,
    ) -> Result<Self, Error> {
        let (from, to) = (*dates.start(), *dates.end());
        let until = |date: Date| lines.sum_until(date, through);
        let opening = match from {
            Date::MIN => 0,
            from => until(from.yesterday())?,
        };
        let closing = match from <= to {
            true => until(to)?,
            false => opening,
        };
        let limit = query.limit.max(1);
        // One more tells whether there are more.
        let found = merged(lines, query, dates, through, limit.saturating_add(1))?;
        let has_more = found.len() > limit;
        // What the statement comes to up to and with a place in it.
        let sum_through = |mark: Mark| {
            let before = mark.date.yesterday();
            let earlier = until(before)?;
            let (with, without) = (
                lines.sum_until(mark.date, mark.version)?,
                lines.sum_until(before, mark.version)?,
            );
            Ok::<_, Error>(earlier + with - without)
        };
        let mut balance = match (query.after, query.newest_first) {
            (None, false) => opening,
            (None, true) => closing,
            (Some(mark), false) => sum_through(mark)?,
            (Some(mark), true) => sum_through(Mark {
                version: mark.version.saturating_sub(1),
                ..mark
            })?,
        };
        let mut page = Vec::new();
        for line in found.into_iter().take(limit) {
            let amount = i128::from(line.amount);
            if query.newest_first {
                page.push((line, balance));
                balance -= amount;
            } else {
                balance += amount;
                page.push((line, balance));
            }
        }
        Ok(Self {
            next: Self::next(&page, has_more),
            lines: page,
            opening,
            closing,
        })
    }

    fn next(page: &[(Line, i128)], has_more: bool) -> Option<Mark> {
        let (last, _) = page.last().filter(|_| has_more)?;
        Some(Mark::of(last))
    }
}

/// So many lines in the order of the dates from which they count.
///
/// Lines that are not late come in that order as they were booked. The late ones are sought apart, and
/// sorted in between.
fn merged(
    lines: &AccountLines<'_>,
    query: &StatementQuery,
    dates: &RangeInclusive<Date>,
    through: u64,
    wanted: usize,
) -> Result<Vec<Line>, Error> {
    let (from, to) = (*dates.start(), *dates.end());
    let after = through.saturating_add(1);
    let start = lines.first(|line| line.front >= from)?.min(after);
    let end = lines.first(|line| line.front > to)?.clamp(start, after);
    let mut found = BTreeMap::new();
    let keep = |found: &mut BTreeMap<Mark, Line>, line: Line| {
        found.insert(Mark::of(&line), line);
        if found.len() > wanted {
            match query.newest_first {
                true => found.pop_first(),
                false => found.pop_last(),
            };
        }
    };
    let is_due = |mark: &Mark| match query.after {
        None => true,
        Some(after) if query.newest_first => *mark < after,
        Some(after) => *mark > after,
    };
    if let Some(before) = start.checked_sub(1) {
        lines.each_late(before, through, &mut |line| {
            let mark = Mark::of(&line);
            if dates.contains(&mark.date) && is_due(&mark) {
                keep(&mut found, line);
            }
        })?;
    }
    let (start, end) = match query.after {
        None => (start, end),
        Some(mark) => {
            let of_date = lines.first(|line| line.front >= mark.date)?;
            let after_date = lines.first(|line| line.front > mark.date)?;
            if query.newest_first {
                (start, end.min(mark.version.clamp(of_date, after_date)))
            } else {
                let next = mark.version.saturating_add(1);
                (start.max(next.clamp(of_date, after_date)), end)
            }
        }
    };
    let mut left = wanted;
    let mut visit = |line: Line| {
        if !line.is_late() {
            keep(&mut found, line);
            left -= 1;
        }
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    if let Some(last) = end.checked_sub(1).filter(|last| *last >= start) {
        match query.newest_first {
            true => lines.each_back(start..=last, &mut visit)?,
            false => lines.each(start..=last, &mut visit)?,
        }
    }
    let in_order = found.into_values();
    Ok(match query.newest_first {
        true => in_order.rev().collect(),
        false => in_order.collect(),
    })
}

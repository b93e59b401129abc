use std::{fmt, str::FromStr};

use jiff::civil;

/// A calendar date: an effective date or a business date. Years 1900 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

/// A text that is not an ISO 8601 date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date: write it as 2026-11-30")]
pub struct InvalidDate(pub String);

impl Date {
    /// 1900-01-01.
    pub const MIN: Self = Self(-25_567);
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// From days since 1970-01-01; `None` outside the years 1900 to 9999.
    pub fn from_days(days: i32) -> Option<Self> {
        let date = Self(days).civil()?;
        (1900..=9999).contains(&date.year()).then_some(Self(days))
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day before.
    pub const fn yesterday(self) -> Self {
        Self(self.0 - 1)
    }

    /// Not before the same day so many years later: no day less than the calendar counts.
    pub fn after_years(self, years: u16) -> Self {
        // Of four years in a row one is a leap year, at most.
        let days = (i32::from(years) * 1_461 + 3) / 4;
        Self(self.0.saturating_add(days).min(Self::MAX.0))
    }

    /// The day after.
    pub const fn tomorrow(self) -> Self {
        Self(self.0 + 1)
    }

    /// The date of a time in a time zone.
    pub fn of(time: crate::HybridTime, zone: &jiff::tz::TimeZone) -> Self {
        let at = jiff::Timestamp::from_nanosecond(i128::from(time.wall_nanos)).unwrap_or_default();
        Self::from(zone.to_datetime(at).date())
    }

    fn civil(self) -> Option<civil::Date> {
        let epoch = civil::date(1970, 1, 1);
        epoch
            .checked_add(jiff::Span::new().try_days(self.0).ok()?)
            .ok()
    }
}

impl From<civil::Date> for Date {
    fn from(date: civil::Date) -> Self {
        let days = date
            .since(civil::date(1970, 1, 1))
            .map_or(0, |span| span.get_days());
        Self(days)
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(s: &str) -> Result<Self, InvalidDate> {
        let invalid = || InvalidDate(s.chars().take(20).collect());
        let shaped = s.len() == 10 && s.as_bytes()[4] == b'-' && s.as_bytes()[7] == b'-';
        let date = s
            .parse::<civil::Date>()
            .ok()
            .filter(|_| shaped)
            .map(Self::from);
        date.and_then(|d| Self::from_days(d.0)).ok_or_else(invalid)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.civil() {
            Some(date) => f.pad(&date.to_string()),
            None => write!(f, "day {}", self.0),
        }
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_iso() {
        let date: Date = "2024-02-29".parse().unwrap();
        assert_eq!(date.to_string(), "2024-02-29");
        assert_eq!(date.yesterday().to_string(), "2024-02-28");
        assert_eq!(date.tomorrow().to_string(), "2024-03-01");
        assert_eq!("1970-01-02".parse::<Date>().unwrap().days(), 1);
        for bad in [
            "",
            "2024-02-30",
            "2024-2-3",
            "20240203",
            "2024-13-01",
            "1899-12-31",
            "x",
        ] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }
}

//! Times, durations and positions as people write them.

use std::time::Duration;

use crate::api::v1::{Position, Time};

/// A duration such as `900ms` or `5s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text.parse().map_err(|_| "such as 900ms or 5s")?;
    Duration::try_from(span).map_err(|_| "a duration goes forward".to_owned())
}

/// An instant such as `2026-11-21T10:00:00Z`, or the `hlc` of an answer.
pub fn time(text: &str) -> Result<Time, String> {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Time {
            hlc: text.to_owned(),
            ..Time::default()
        });
    }
    let instant: jiff::Timestamp = text
        .parse()
        .map_err(|_| "such as 2026-11-21T10:00:00Z, or the hlc of an answer")?;
    let unix_nanos = i64::try_from(instant.as_nanosecond()).map_err(|_| "too far away")?;
    Ok(Time {
        unix_nanos,
        ..Time::default()
    })
}

/// A position such as `1:1:42`: shard, epoch and index.
pub fn position(text: &str) -> Result<Position, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let read = || match parts[..] {
        [shard, epoch, index] => Some(Position {
            shard: shard.parse().ok()?,
            epoch: epoch.parse().ok()?,
            index: index.parse().ok()?,
        }),
        _ => None,
    };
    read().ok_or_else(|| "shard, epoch and index, such as 1:1:42".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_nothing_else() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert!(duration("-5s").is_err() && duration("soon").is_err());
        assert_eq!(
            time("1970-01-01T00:00:01Z").unwrap().unix_nanos,
            1_000_000_000
        );
        let hlc = "0".repeat(32);
        assert_eq!(time(&hlc).unwrap().hlc, hlc);
        assert!(time("yesterday").is_err() && time("9999-01-01T00:00:00Z").is_err());
        let at = position("1:2:42").unwrap();
        assert_eq!((at.shard, at.epoch, at.index), (1, 2, 42));
        assert!(position("1:2").is_err() && position("1:2:3:4").is_err());
        assert!(position("1:2:-3").is_err());
    }
}

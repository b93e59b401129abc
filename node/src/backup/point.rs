//! The point that a backup is restored to, and whether the backup comes to it.

use std::collections::BTreeMap;

use ledger_domain::{HybridTime, Position};
use replication::archive::backup::BackupShard;

use super::{Error, cut::Marks};

/// Entries that do not count may have times that are so much later than those that count after them, many
/// times over: clocks are nowhere as far ahead.
const AHEAD_NANOS: u64 = 60_000_000_000;

/// How far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// All that is in the backup and has its causes there.
    Latest,
    /// Up to a time.
    Time(HybridTime),
    /// Up to the time of an entry.
    Position(Position),
}

/// The time that every log is ended at.
pub(super) fn time_of(to: To, logs: &BTreeMap<u32, Marks>) -> Result<Option<HybridTime>, Error> {
    match to {
        To::Latest => Ok(None),
        To::Time(time) => Ok(Some(time)),
        To::Position(at) => {
            let log = logs.get(&at.shard.0);
            let there = log.and_then(|log| Some((log.epoch_at(at.index)?, log.time_at(at.index)?)));
            match there {
                None => Err(Error::NoSuchPosition(at)),
                Some((epoch, _)) if epoch != at.epoch => Err(Error::OtherEpoch { at, epoch }),
                Some((_, time)) => Ok(Some(time)),
            }
        }
    }
}

/// The epoch that each log goes on in.
pub(super) fn epochs(
    logs: &BTreeMap<u32, Marks>,
    wanted: Option<u64>,
) -> Result<BTreeMap<u32, u64>, Error> {
    let epoch = |(shard, log): (&u32, &Marks)| {
        let (shard, last) = (*shard, log.epoch());
        let epoch = wanted.unwrap_or(last.saturating_add(1));
        match epoch > last {
            true => Ok((shard, epoch)),
            false => Err(Error::EpochWas { shard, last, epoch }),
        }
    };
    logs.iter().map(epoch).collect()
}

/// Are all shards there up to a time? What a shard decided after its last entry in the backup is not.
pub(super) fn covers(logs: &BTreeMap<u32, Marks>, time: HybridTime) -> Result<(), Error> {
    let complete = logs.iter().map(|(shard, log)| (log.complete(), *shard));
    match complete.min() {
        Some((until, shard)) if until < time => Err(Error::Incomplete { shard, until }),
        _ => Ok(()),
    }
}

/// A time, in nanoseconds since 1970, before which no log is ended: no later than the point that is
/// wanted, and than the end of every shard, as an effect without its cause is later than that of the cause.
pub(super) fn floor(to: To, shards: &[BackupShard]) -> u64 {
    let before = |shard: &BackupShard, index: u64| {
        let segments = shard.segments.iter().filter(|it| it.last < index);
        segments.map(|it| it.last_wall_nanos).max().unwrap_or(0)
    };
    let ends = shards.iter().map(|shard| before(shard, u64::MAX));
    let wanted = match to {
        To::Latest => None,
        To::Time(time) => Some(time.wall_nanos),
        To::Position(at) => {
            let shard = shards.iter().find(|shard| shard.shard == at.shard.0);
            shard.map(|shard| before(shard, at.index))
        }
    };
    let floor = ends.chain(wanted).min();
    floor.unwrap_or(0).saturating_sub(AHEAD_NANOS)
}

#[cfg(test)]
mod tests {
    use ledger_domain::ShardId;
    use replication::archive::backup::SegmentRef;

    use super::*;
    use crate::backup::cut::Mark;

    fn log(entries: &[(u64, u64)], epochs: &[(u64, u64)]) -> Marks {
        let mark = |(index, millis): &(u64, u64)| Mark {
            index: *index,
            time: HybridTime::from_millis(*millis),
            causes: Vec::new(),
        };
        Marks {
            last: 9,
            marks: entries.iter().map(mark).collect(),
            epochs: epochs.to_vec(),
        }
    }

    fn logs() -> BTreeMap<u32, Marks> {
        let one = log(&[(2, 10), (5, 20), (8, 30)], &[(0, 1), (4, 2)]);
        BTreeMap::from([(1, one), (2, log(&[(3, 25)], &[(0, 1)]))])
    }

    #[test]
    fn a_time_that_a_shard_does_not_come_to_is_refused_with_the_latest_that_all_do() {
        let at = HybridTime::from_millis;
        for millis in [1, 20, 25] {
            covers(&logs(), at(millis)).unwrap();
        }
        for millis in [26, 30, 99] {
            let error = covers(&logs(), at(millis)).unwrap_err();
            let latest = (2, at(25));
            assert!(
                matches!(error, Error::Incomplete { shard, until } if (shard, until) == latest),
                "{error}"
            );
        }
    }

    #[test]
    fn a_restored_log_goes_on_in_an_epoch_that_never_was() {
        let both = |one, two| BTreeMap::from([(1, one), (2, two)]);
        assert_eq!(epochs(&logs(), None).unwrap(), both(3, 2));
        assert_eq!(epochs(&logs(), Some(3)).unwrap(), both(3, 3));
        assert_eq!(epochs(&logs(), Some(9)).unwrap(), both(9, 9));
        let was = epochs(&logs(), Some(2)).unwrap_err();
        assert!(
            matches!(
                was,
                Error::EpochWas {
                    shard: 1,
                    last: 2,
                    epoch: 2
                }
            ),
            "{was}"
        );
    }

    #[test]
    fn no_log_is_ended_before_the_floor() {
        const MINUTE: u64 = AHEAD_NANOS;
        let shard = |shard, ends: &[(u64, u64)]| {
            let mut first = 0;
            let segment = |(last, minutes): &(u64, u64)| SegmentRef {
                hash: [0; 32],
                bytes: 1,
                first: std::mem::replace(&mut first, last + 1),
                last: *last,
                after: [0; 32],
                last_wall_nanos: minutes * MINUTE,
                record_bytes: 1,
            };
            BackupShard {
                shard,
                region: "eu-west".to_owned(),
                segments: ends.iter().map(segment).collect(),
                heads: Vec::new(),
                snapshot: None,
            }
        };
        // The last segment of the second has no entry.
        let shards = [
            shard(1, &[(9, 10), (19, 20), (29, 30)]),
            shard(2, &[(9, 25), (12, 0)]),
        ];
        let time = |minutes| {
            To::Time(HybridTime {
                wall_nanos: minutes * MINUTE,
                count: 7,
            })
        };
        let position = |shard, index| {
            let shard = ShardId(shard);
            To::Position(Position {
                shard,
                epoch: 1,
                index,
            })
        };
        for (to, minutes) in [
            (To::Latest, 24),
            (time(12), 11),
            (time(99), 24),
            (position(1, 9), 0),
            (position(1, 10), 9),
            (position(1, 25), 19),
            (position(1, 99), 24),
            (position(2, 12), 24),
        ] {
            assert_eq!(floor(to, &shards), minutes * MINUTE, "{to:?}");
        }
    }

    #[test]
    fn a_position_is_one_of_its_epoch() {
        let time_of = |epoch, index| {
            let shard = ShardId(1);
            time_of(
                To::Position(Position {
                    shard,
                    epoch,
                    index,
                }),
                &logs(),
            )
        };
        assert_eq!(time_of(1, 3).unwrap(), Some(HybridTime::from_millis(10)));
        assert_eq!(time_of(2, 5).unwrap(), Some(HybridTime::from_millis(20)));
        let other = time_of(1, 5).unwrap_err();
        assert!(
            matches!(other, Error::OtherEpoch { epoch: 2, .. }),
            "{other}"
        );
        for (epoch, index) in [(1, 1), (2, 10)] {
            let none = time_of(epoch, index).unwrap_err();
            assert!(matches!(none, Error::NoSuchPosition(_)), "{none}");
        }
    }
}

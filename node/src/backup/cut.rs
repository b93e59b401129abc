//! Where the logs of several shards can be ended so that no effect is kept without its cause.
//!
//! What acts on another shard's entry names that entry's position, and has a later time. So ending every
//! log at one time leaves no effect without its cause. A backup, though, has read its shards one after
//! the other: there the log of one can have what follows from an entry that the other's does not have
//! yet. Such an effect is cut off, and all after it; and what follows from that elsewhere.
//!
//! The other way round is as it always is: what was sent and has not arrived is under way, and arrives
//! after all.

use std::collections::BTreeMap;

use ledger_domain::{HybridTime, Position};

/// An entry that counts, as far as a cut is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its index.
    pub index: u64,
    /// Its time: rises from mark to mark.
    pub time: HybridTime,
    /// The entries of other shards without which it would not be.
    pub causes: Vec<Position>,
}

/// A shard's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    /// Its last index; not only entries have one.
    pub last: u64,
    /// The entries that count, in order, from some time on and one before.
    pub marks: Vec<Mark>,
    /// The epochs, each with the index that it begins with, in order.
    pub epochs: Vec<(u64, u64)>,
}

impl Marks {
    /// The next index, and the epoch that wrote it.
    pub fn goes_on(&mut self, index: u64, epoch: u64) {
        self.last = index;
        if self.epochs.last().is_none_or(|(_, last)| *last != epoch) {
            self.epochs.push((index, epoch));
        }
    }

    /// The next entry that counts. Of those before the time `floor`, in nanoseconds since 1970, only the
    /// last is kept: a cut is never made among them.
    pub fn add(&mut self, mark: Mark, floor: u64) {
        if mark.time.wall_nanos < floor {
            self.marks.clear();
        }
        self.marks.push(mark);
    }

    /// The epoch that wrote an index.
    pub fn epoch_at(&self, index: u64) -> Option<u64> {
        let begun = self.epochs.partition_point(|(first, _)| *first <= index);
        let (_, epoch) = self.epochs[..begun].last()?;
        (index <= self.last).then_some(*epoch)
    }

    /// The last epoch; 0 where there is no index.
    pub fn epoch(&self) -> u64 {
        self.epochs.last().map_or(0, |(_, epoch)| *epoch)
    }

    /// All entries up to this time are there; of later ones some may not be.
    pub fn complete(&self) -> HybridTime {
        self.marks.last().map_or(HybridTime::ZERO, |last| last.time)
    }

    /// The last index before anything that is later than a time.
    fn through(&self, time: HybridTime) -> Option<u64> {
        let later = self.marks.partition_point(|mark| mark.time <= time);
        match self.marks.get(later) {
            Some(mark) => mark.index.checked_sub(1),
            None => Some(self.last),
        }
    }

    /// The time of the last entry up to an index.
    pub fn time_at(&self, index: u64) -> Option<HybridTime> {
        let after = self.marks.partition_point(|mark| mark.index <= index);
        Some(self.marks[..after].last()?.time)
    }
}

/// The last index that is kept of each shard: of everything up to `time`, or of everything, as much as
/// has its causes. A shard of which nothing is kept is not in it.
pub fn ends(shards: &BTreeMap<u32, Marks>, time: Option<HybridTime>) -> BTreeMap<u32, u64> {
    let end = |marks: &Marks| match time {
        Some(time) => marks.through(time),
        None => Some(marks.last),
    };
    let ends = shards
        .iter()
        .filter_map(|(shard, marks)| Some((*shard, end(marks)?)));
    let mut ends: BTreeMap<u32, u64> = ends.collect();
    loop {
        let is_kept = |at: &Position| ends.get(&at.shard.0).is_some_and(|end| at.index <= *end);
        let shorter: Vec<_> = shards
            .iter()
            .filter_map(|(shard, marks)| {
                let end = *ends.get(shard)?;
                let kept = marks.marks.iter().take_while(|mark| mark.index <= end);
                let lacks = |mark: &&Mark| !mark.causes.iter().all(is_kept);
                let first = kept.into_iter().find(lacks)?;
                Some((*shard, first.index.checked_sub(1)))
            })
            .collect();
        if shorter.is_empty() {
            return ends;
        }
        for (shard, end) in shorter {
            match end {
                Some(end) => drop(ends.insert(shard, end)),
                None => drop(ends.remove(&shard)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger_domain::ShardId;

    use super::*;

    fn at(millis: u64) -> HybridTime {
        HybridTime::from_millis(millis)
    }

    fn mark(index: u64, millis: u64, causes: &[(u32, u64)]) -> Mark {
        let cause = |&(shard, index): &(u32, u64)| Position {
            shard: ShardId(shard),
            epoch: 1,
            index,
        };
        Mark {
            index,
            time: at(millis),
            causes: causes.iter().map(cause).collect(),
        }
    }

    fn marks(last: u64, marks: Vec<Mark>) -> Marks {
        Marks {
            last,
            marks,
            epochs: vec![(0, 1)],
        }
    }

    #[test]
    fn a_time_ends_every_log_before_what_is_later() {
        let shards = BTreeMap::from([
            (
                1,
                marks(
                    9,
                    vec![mark(2, 10, &[]), mark(5, 20, &[]), mark(7, 30, &[])],
                ),
            ),
            (2, marks(4, vec![mark(3, 25, &[(1, 5)])])),
        ]);
        assert_eq!(
            ends(&shards, Some(at(20))),
            BTreeMap::from([(1, 6), (2, 2)])
        );
        assert_eq!(
            ends(&shards, Some(at(25))),
            BTreeMap::from([(1, 6), (2, 4)])
        );
        assert_eq!(
            ends(&shards, Some(at(99))),
            BTreeMap::from([(1, 9), (2, 4)])
        );
        assert_eq!(ends(&shards, Some(at(5))), BTreeMap::from([(1, 1), (2, 2)]));
        assert_eq!(shards[&1].time_at(6), Some(at(20)));
        assert_eq!(shards[&1].time_at(1), None);
    }

    #[test]
    fn every_index_is_of_the_epoch_that_wrote_it() {
        let mut marks = Marks::default();
        assert_eq!(marks.epoch_at(0), None);
        for (index, epoch) in (0..).zip([1, 1, 1, 2, 2, 7]) {
            marks.goes_on(index, epoch);
        }
        let epochs: Vec<_> = (0..7).map(|index| marks.epoch_at(index)).collect();
        let found = [1, 1, 1, 2, 2, 7].map(Some);
        assert_eq!(epochs[..6], found);
        assert_eq!(epochs[6], None, "it is not there");
    }

    #[test]
    fn of_entries_before_any_cut_only_the_last_is_kept() {
        let all: Vec<_> = (1..=9).map(|n| mark(n, 10 * n, &[])).collect();
        let kept = |floor: HybridTime| {
            let mut kept = Marks::default();
            for mark in &all {
                kept.goes_on(mark.index, 1);
                kept.add(mark.clone(), floor.wall_nanos);
            }
            kept
        };
        let whole = kept(at(0));
        assert_eq!(whole.marks, all);
        let some = kept(at(55));
        assert_eq!(some.marks, all[4..]);
        for millis in 55..100 {
            assert_eq!(some.through(at(millis)), whole.through(at(millis)));
        }
        for index in 5..=9 {
            assert_eq!(some.time_at(index), whole.time_at(index));
        }
    }

    #[test]
    fn an_effect_without_its_cause_is_cut_off_and_what_follows_from_it() {
        let shards = BTreeMap::from([
            // Read first: the entry at 8 is not in it.
            (1, marks(7, vec![mark(7, 10, &[])])),
            (
                2,
                marks(
                    9,
                    vec![mark(4, 5, &[]), mark(6, 12, &[(1, 8)]), mark(8, 14, &[])],
                ),
            ),
            (
                3,
                marks(5, vec![mark(3, 13, &[(2, 4)]), mark(5, 20, &[(2, 8)])]),
            ),
        ]);
        assert_eq!(
            ends(&shards, None),
            BTreeMap::from([(1, 7), (2, 5), (3, 4)])
        );
        let mut whole = shards;
        whole.get_mut(&1).unwrap().last = 8;
        assert_eq!(ends(&whole, None), BTreeMap::from([(1, 8), (2, 9), (3, 5)]));
    }

    #[test]
    fn what_was_sent_and_has_not_arrived_is_kept() {
        let shards = BTreeMap::from([
            (1, marks(8, vec![mark(8, 10, &[])])),
            (2, marks(6, vec![mark(6, 30, &[(1, 8)])])),
        ]);
        assert_eq!(
            ends(&shards, Some(at(20))),
            BTreeMap::from([(1, 8), (2, 5)])
        );
    }
}

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// An hour in nanoseconds.
const HOUR: u64 = 3_600_000_000_000;

/// What is to be done when: numbers in the order of their times. Like the other parts of a book, a
/// copy shares what neither changes: here, hours.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    hours: BTreeMap<u64, Arc<BTreeSet<(u64, u64)>>>,
}

impl Agenda {
    pub(super) fn insert(&mut self, time_nanos: u64, number: u64) {
        let hour = self.hours.entry(time_nanos / HOUR).or_default();
        Arc::make_mut(hour).insert((time_nanos, number));
    }

    pub(super) fn remove(&mut self, time_nanos: u64, number: u64) {
        let key = time_nanos / HOUR;
        let Some(hour) = self.hours.get_mut(&key) else {
            return;
        };
        if hour.contains(&(time_nanos, number)) {
            Arc::make_mut(hour).remove(&(time_nanos, number));
        }
        if hour.is_empty() {
            self.hours.remove(&key);
        }
    }

    /// Times with their numbers, in order, up to a time and with it.
    pub(super) fn up_to(&self, time_nanos: u64) -> impl Iterator<Item = (u64, u64)> {
        let hours = self.hours.range(..=time_nanos / HOUR);
        let all = hours.flat_map(|(_, hour)| hour.iter().copied());
        all.take_while(move |(time, _)| *time <= time_nanos)
    }
}

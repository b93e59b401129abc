//! Values that are counted where things happen: plain atomics, without a lock or a label.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Buckets, Kind, Metric};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number as it is now, kept by whoever knows it.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// It is this now.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// One more.
    pub fn rise(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less, after [`Level::rise`].
    pub fn fall(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

const NANOS_PER_MICRO: u64 = 1_000;

/// How observations are spread over buckets.
#[derive(Debug)]
pub struct Histogram {
    buckets: Buckets,
    /// One for each bound, and one for what is beyond the last.
    counts: Box<[AtomicU64]>,
    /// Of times in nanoseconds. It wraps after centuries.
    sum: AtomicU64,
}

/// A histogram's values at one moment.
pub(super) struct Spread {
    /// Each bucket's bound, and how many observations are in it and in no lower one.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Histogram {
    /// An empty one with the declared buckets.
    ///
    /// # Panics
    ///
    /// Where the metric is declared as something else.
    pub fn of(metric: &Metric) -> Self {
        let Kind::Histogram(buckets) = metric.kind else {
            panic!("{} is no histogram", metric.name);
        };
        Self {
            buckets,
            counts: buckets
                .bounds()
                .iter()
                .map(|_| AtomicU64::default())
                .chain([AtomicU64::default()])
                .collect(),
            sum: AtomicU64::default(),
        }
    }

    /// Observes a time.
    pub fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.put(nanos, nanos.div_ceil(NANOS_PER_MICRO));
    }

    /// Observes a number.
    pub fn observe_number(&self, number: u64) {
        self.put(number, number);
    }

    fn put(&self, summand: u64, compared: u64) {
        let bounds = self.buckets.bounds();
        let bucket = bounds.partition_point(|bound| *bound < compared);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(summand, Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "the format has only floats")]
    pub(super) fn spread(&self) -> Spread {
        let shown = |bound: &u64| match self.buckets {
            Buckets::Micros(_) => Duration::from_micros(*bound).as_secs_f64(),
            Buckets::Numbers(_) => *bound as f64,
        };
        let bounds = self.buckets.bounds().iter().map(shown).chain([f64::MAX]);
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = self.sum.load(Relaxed);
        Spread {
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
            sum: match self.buckets {
                Buckets::Micros(_) => Duration::from_nanos(sum).as_secs_f64(),
                Buckets::Numbers(_) => sum as f64,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_last_bucket_has_none() {
        let metric = Metric {
            name: "t_seconds",
            kind: Kind::Histogram(Buckets::Micros(&[10, 1_000])),
            labels: &[],
            help: &[],
        };
        let histogram = Histogram::of(&metric);
        for nanos in [0, 10_000, 10_001, 1_000_000, 1_000_001, 5_000_000_000] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let spread = histogram.spread();
        assert_eq!(spread.count, 6);
        assert_eq!(spread.buckets, [(0.000_01, 2), (0.001, 2), (f64::MAX, 2)]);
        assert_eq!(spread.sum, 5.002_020_002);
    }
}

use ledger_domain::{Entry, Event};
use tokio::time::Instant;

use crate::metrics::{self, Counter, Histogram, Level};

/// What a shard's writer has decided on this node, and what it has in its hands.
#[derive(Debug)]
pub(crate) struct WriterCounts {
    pub(crate) entries: Counter,
    pub(crate) empty_entries: Counter,
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    /// Outcomes that no command asked for: those of channels.
    pub(crate) channel: Counter,
    /// Holds whose time was up.
    pub(crate) expiry: Counter,
    pub(crate) batch: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) restarts: Counter,
    in_flight: Level,
    waiting: Level,
}

impl Default for WriterCounts {
    fn default() -> Self {
        Self {
            entries: Counter::default(),
            empty_entries: Counter::default(),
            accepted: Counter::default(),
            rejected: Counter::default(),
            channel: Counter::default(),
            expiry: Counter::default(),
            batch: Histogram::of(&metrics::WRITER_BATCH),
            commit_seconds: Histogram::of(&metrics::WRITER_COMMIT_SECONDS),
            restarts: Counter::default(),
            in_flight: Level::default(),
            waiting: Level::default(),
        }
    }
}

impl WriterCounts {
    /// An entry counts: it is applied here, and not void.
    pub(super) fn counted(&self, entry: &Entry, proposed: Instant) {
        self.commit_seconds.observe(proposed.elapsed());
        if entry.outcomes.is_empty() {
            return self.empty_entries.increment();
        }
        self.entries.increment();
        self.batch.observe_number(entry.outcomes.len() as u64);
        let (mut accepted, mut rejected, mut channel, mut expiry) = (0, 0, 0, 0);
        for outcome in &entry.outcomes {
            match (&outcome.command, &outcome.result) {
                (None, Ok(events)) if matches!(events[..], [Event::Hold(_)]) => expiry += 1,
                (None, _) => channel += 1,
                (Some(_), Ok(_)) => accepted += 1,
                (Some(_), Err(_)) => rejected += 1,
            }
        }
        self.accepted.add(accepted);
        self.rejected.add(rejected);
        self.channel.add(channel);
        self.expiry.add(expiry);
    }

    /// What the writer has in its hands now.
    pub(super) fn hands(&self, in_flight: usize, waiting: usize) {
        self.in_flight.set(in_flight as u64);
        self.waiting.set(waiting as u64);
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get()
    }

    /// Without what the writer has not taken up yet.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.get()
    }
}

//! Every metric of this crate: name, labels, buckets, and, as its doc comment, what it says.
//!
//! What is counted where it happens is a [`Counter`], [`Level`] or [`Histogram`] in the hands of
//! whoever counts it: an atomic, found once, with no label to look up. What is state anyway (who
//! leads, how far a log is applied, what is under way) is read when somebody asks. Both are written
//! by [`Sources`], and each value is labelled there. Nothing is global: many nodes share a process
//! in tests and in the simulator.

mod collect;
mod declare;
mod instrument;
mod page;

pub use collect::Sources;
pub use declare::{Buckets, Kind, Metric};
pub use instrument::{Counter, Histogram, Level};
pub use page::{CONTENT_TYPE, Page, Scrape, Series, Source};

use Kind::{Counter as COUNTER, Gauge as GAUGE, Histogram as HISTOGRAM};

/// From a quiet disk's sync to one that makes a leader look dead.
const DISK: Buckets = Buckets::Micros(&[
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
]);
/// From a commit within a room to one that waits for an election.
const COMMIT: Buckets = Buckets::Micros(&[
    200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000,
]);
/// Up to the most commands that share an entry.
const BATCH: Buckets = Buckets::Numbers(&[
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192,
]);

crate::declare_metrics! {
    /// Batches that the log's one writer has stored. Everything that waits becomes one batch.
    LOG_BATCHES = "meridian_log_batches_total" COUNTER, [];
    /// Records (Raft's entries, of all shards and copies) that are durable in the log.
    LOG_RECORDS = "meridian_log_records_total" COUNTER, [];
    /// Keys and values that the log's writer has stored.
    LOG_WRITTEN_BYTES = "meridian_log_written_bytes_total" COUNTER, [];
    /// Writes of the log that returned from the disk as synced. What was in the write-ahead log's
    /// file when this rose is durable.
    LOG_SYNCS = "meridian_log_syncs_total" COUNTER, [];
    /// How long a synced write of the log takes.
    LOG_SYNC_SECONDS = "meridian_log_sync_seconds" HISTOGRAM(DISK), [];
    /// Jobs that wait for the log's writer; whoever queues one more than it takes waits, too.
    LOG_QUEUE = "meridian_log_queue_length" GAUGE, [];
    /// 1 while the log takes writes; 0 since one failed: the node has to be restarted.
    LOG_WRITABLE = "meridian_log_writable" GAUGE, [];

    /// Records that were read out of the log, from memory or the disk.
    LOG_READ_RECORDS = "meridian_log_read_records_total" COUNTER, [];
    /// Records that were read out of archived segments, beside those that were read out of the log.
    ARCHIVE_READ_RECORDS = "meridian_archive_read_records_total" COUNTER, [];
    /// Objects of the archive that were asked for, by what came: `whole`, `damaged` (or gone), or
    /// `not_reached`, where the archive did not answer.
    ARCHIVE_OBJECTS = "meridian_archive_objects_total" COUNTER, ["outcome"];
    /// What a shard's archived segments take where they are kept.
    ARCHIVE_AT_REST = "meridian_archive_at_rest_bytes" GAUGE, ["shard"];
    /// What the records in them took in the log.
    ARCHIVE_RECORDS = "meridian_archive_records_bytes" GAUGE, ["shard"];
    /// Outcomes of commands in them: what is at rest, divided by this, is what one costs.
    ARCHIVE_OUTCOMES = "meridian_archive_outcomes" GAUGE, ["shard"];
    /// Indexes below this are in the archive, and no more in the log.
    ARCHIVE_END = "meridian_archive_end_index" GAUGE, ["shard"];

    /// 1 on the node that leads the shard, 0 on its other voters.
    RAFT_LEADER = "meridian_raft_leader" GAUGE, ["shard"];
    /// 1 while this voter hears its leader, or, on the leader, a majority.
    RAFT_IN_QUORUM = "meridian_raft_in_quorum" GAUGE, ["shard"];
    /// Reigns that this voter has seen begin since it started.
    RAFT_LEADER_CHANGES = "meridian_raft_leader_changes_total" COUNTER, ["shard"];
    /// The highest term seen, within the present epoch.
    RAFT_TERM = "meridian_raft_term" GAUGE, ["shard"];
    /// The last index in the log here.
    RAFT_LAST_INDEX = "meridian_raft_last_index" GAUGE, ["shard"];
    /// The last index known here to be committed.
    RAFT_COMMITTED_INDEX = "meridian_raft_committed_index" GAUGE, ["shard"];
    /// The last index applied here.
    RAFT_APPLIED_INDEX = "meridian_raft_applied_index" GAUGE, ["shard"];
    /// On the leader: how many of its indexes a voter, by its number, has not stored yet.
    RAFT_REPLICATION_LAG = "meridian_raft_replication_lag_entries" GAUGE, ["shard", "peer"];

    /// Entries that this node decided as the leader and that counted, with outcomes or empty ones
    /// that close time.
    WRITER_ENTRIES = "meridian_writer_entries_total" COUNTER, ["shard", "content"];
    /// Outcomes in those entries: accepted and rejected commands, and what was done because of
    /// another shard's entry, or because the time of a hold was up.
    WRITER_OUTCOMES = "meridian_writer_outcomes_total" COUNTER, ["shard", "outcome"];
    /// How many outcomes share an entry that has any.
    WRITER_BATCH = "meridian_writer_batch_outcomes" HISTOGRAM(BATCH), ["shard"];
    /// From an entry's proposal until it is applied here.
    WRITER_COMMIT_SECONDS = "meridian_writer_commit_seconds" HISTOGRAM(COMMIT), ["shard"];
    /// Entries proposed whose fate is not known yet.
    WRITER_IN_FLIGHT = "meridian_writer_in_flight_entries" GAUGE, ["shard"];
    /// Commands that wait to be decided.
    WRITER_QUEUE = "meridian_writer_queue_length" GAUGE, ["shard"];
    /// Times that the writer dropped what was in flight and began again from the book.
    WRITER_RESTARTS = "meridian_writer_restarts_total" COUNTER, ["shard"];
    /// 1 where the book has stopped at an entry that it cannot apply, and serves nothing.
    BOOK_STOPPED = "meridian_book_stopped" GAUGE, ["shard"];

    /// On the leader: transfers under way from this shard to a peer shard.
    CHANNEL_ITEMS = "meridian_channel_items" GAUGE, ["shard", "peer"];
    /// On the leader: money under way from this shard to a peer shard, in minor units.
    CHANNEL_MONEY = "meridian_channel_money_minor_units" GAUGE, ["shard", "peer", "currency"];
    /// 1 where a channel from a peer shard is stopped, because an item was not what it had been.
    CHANNEL_STOPPED = "meridian_channel_stopped" GAUGE, ["shard", "peer"];

    /// The last index of a copy that is checked and durable here.
    COPY_INDEX = "meridian_copy_index" GAUGE, ["shard", "home"];
    /// Indexes that the home is known to have applied and that are not in the copy yet.
    COPY_LAG = "meridian_copy_lag_entries" GAUGE, ["shard", "home"];
    /// How long the copy has not heard from its home, since this start of the node.
    COPY_SILENCE_SECONDS = "meridian_copy_silence_seconds" GAUGE, ["shard", "home"];
    /// Bytes of the copy's feed that this node was sent (`link`: `across` from another region,
    /// `within` by a node of its own that passes it on), without what the transport adds.
    COPY_RECEIVED_BYTES = "meridian_copy_received_bytes_total" COUNTER, ["shard", "home", "link"];
    /// 1 where this node hears the home for its region, as one node of a region does; 0 where
    /// another passes the copy on to it.
    COPY_HEARS_HOME = "meridian_copy_hears_home" GAUGE, ["shard", "home"];
    /// 1 where a copy has stopped for good.
    COPY_HALTED = "meridian_copy_halted" GAUGE, ["shard", "home"];

    /// The last index in the shard's view here.
    VIEW_INDEX = "meridian_view_index" GAUGE, ["shard", "home"];
    /// Indexes that are in the log or copy here and not in the view yet.
    VIEW_LAG = "meridian_view_lag_entries" GAUGE, ["shard", "home"];
    /// How old the time is up to which the view is complete: what a local read is stale by.
    VIEW_WATERMARK_LAG_SECONDS = "meridian_view_watermark_lag_seconds" GAUGE, ["shard", "home"];
    /// 1 where a view has stopped and is not served.
    VIEW_STOPPED = "meridian_view_stopped" GAUGE, ["shard", "home"];
}

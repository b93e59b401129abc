//! Every metric of this crate: name, labels, buckets, and, as its doc comment, what it says.
//!
//! Those of the log, of consensus, copies and views are in [`replication::metrics`], which also
//! says how values come onto a page.

use replication::metrics::{
    Buckets,
    Kind::{Counter as COUNTER, Gauge as GAUGE, Histogram as HISTOGRAM},
};

/// From an answer out of memory to one that crosses oceans and waits for an election.
const ANSWER: Buckets = Buckets::Micros(&[
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
]);

replication::declare_metrics! {
    /// Requests answered by this node, by how they ended: `OK`, the code of the refusal,
    /// `CANCELLED` where the caller did not wait, `OTHER` where the transport refused.
    /// `via` says who sent it: a `client`, or another `node` that had it from one.
    REQUESTS = "meridian_requests_total" COUNTER, ["service", "method", "via", "outcome"];
    /// How long a request takes on this node, whoever sent it and however it ends.
    REQUEST_SECONDS = "meridian_request_seconds" HISTOGRAM(ANSWER), ["service", "method"];
    /// Requests being worked on.
    REQUESTS_IN_FLIGHT = "meridian_requests_in_flight" GAUGE, ["service"];
    /// How many requests of the teller and atm services this node works on at a time; who comes
    /// beyond is refused with `OVERLOADED`.
    REQUESTS_LIMIT = "meridian_requests_limit" GAUGE, [];

    /// 1 where the node, or one of its services, is ready; `/readyz` says what it lacks.
    READY = "meridian_ready" GAUGE, ["service"];
    /// Always 1: which node this is, and of which version.
    NODE_INFO = "meridian_node_info" GAUGE, ["node", "region", "version"];
    /// How far a peer's clock is ahead of this one's (behind, where negative), when last compared.
    CLOCK_OFFSET_SECONDS = "meridian_clock_offset_seconds" GAUGE, ["peer"];

    /// How old the time is up to which every shard of the ledger is complete here: what accounts of
    /// several shards, read at one time, are stale by. Not told where a shard is complete up to none.
    CUT_LAG_SECONDS = "meridian_cut_lag_seconds" GAUGE, [];
    /// 1 where this shard holds the cut through all shards back, as one of them always does.
    CUT_HELD_BACK = "meridian_cut_held_back" GAUGE, ["shard", "home"];

    /// Which of the read models that were made here serve: it rises when others take their place.
    VIEWS_GENERATION = "meridian_views_generation" GAUGE, [];
    /// Records that are still to be folded into the read models that are made beside those that serve.
    /// 0 where none are made, and 1 where all are folded and those are still to serve.
    VIEWS_BUILDING_LEFT = "meridian_views_building_left_entries" GAUGE, [];

    /// How old the first event is that a consumer group has not acknowledged; told by the node that leads
    /// the group's shard. Of at most 200 groups of a node, by their names.
    CONSUMER_LAG_SECONDS = "meridian_consumer_lag_seconds" GAUGE, ["home", "consumer"];
    /// How many entries come after what a consumer group has acknowledged. Some may have nothing for it.
    CONSUMER_LAG_ENTRIES = "meridian_consumer_lag_entries" GAUGE, ["home", "consumer"];
    /// Shares of a consumer group that are stopped at an event which could not be processed.
    CONSUMER_PARKED = "meridian_consumer_parked_shares" GAUGE, ["home", "consumer"];
    /// Members that take part in a consumer group.
    CONSUMER_MEMBERS = "meridian_consumer_members" GAUGE, ["home", "consumer"];

    /// What the files of a store take on disk.
    DISK_USED_BYTES = "meridian_disk_used_bytes" GAUGE, ["store"];
    /// What is left on the data directory's file system.
    DISK_FREE_BYTES = "meridian_disk_free_bytes" GAUGE, [];

    /// Processor time of the whole process, on all cores.
    PROCESS_CPU_SECONDS = "process_cpu_seconds_total" COUNTER, [];
    /// Memory of the whole process that is in RAM.
    PROCESS_MEMORY_BYTES = "process_resident_memory_bytes" GAUGE, [];
    /// Files and sockets that the process has open.
    PROCESS_OPEN_FDS = "process_open_fds" GAUGE, [];
    /// When the node started, in seconds since 1970.
    PROCESS_START_SECONDS = "process_start_time_seconds" GAUGE, [];
}

use std::time::Duration;

use ledger_domain::planted::{Bug, planted};
use openraft::{Config, ConfigError, SnapshotPolicy};

/// How fast a group notices things.
///
/// A follower asks for an election after a silence of its leader of `election_max`, for which it
/// owes the leader its vote, and then a wait drawn between `election_min` and `election_max`. A
/// leader that is stopped or cut off is therefore succeeded after 2 to 2.5 seconds by default, and
/// a stall of 1 second, a heartbeat lost on top of it, moves nobody. A leader whose process dies is
/// succeeded at once, whatever these say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Time between a leader's heartbeats.
    pub heartbeat: Duration,
    /// The shortest wait before an election is asked for. Ten times the time of an append, or a
    /// slow disk looks like a dead leader.
    pub election_min: Duration,
    /// The longest such wait, and how long a leader that was heard keeps its followers' votes.
    pub election_max: Duration,
    /// Longest wait of a strong read for this node to have applied what it must show.
    pub read_deadline: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(750),
            election_max: Duration::from_millis(1_250),
            read_deadline: Duration::from_secs(2),
        }
    }
}

/// What a group is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOptions {
    /// The shard.
    pub shard: u32,
    /// This node. Never reuse one, and never bring a node whose disk was lost back under its own.
    pub node_id: u64,
    /// Where the jitter of elections is drawn from: another for each node and each start.
    pub seed: u64,
    /// How fast the group notices things.
    pub timing: Timing,
    /// Entries before a snapshot that are still replicated one by one: a follower that lacks more
    /// is given the snapshot. They are kept in the log either way.
    pub entries_before_snapshot: u64,
}

/// The default of [`GroupOptions::entries_before_snapshot`].
pub const ENTRIES_BEFORE_SNAPSHOT: u64 = 10_000;

/// As long as the leader's view of the log has what a follower lacks, it gets that.
const NO_LAG_IS_TOO_LARGE: u64 = u64::MAX / 2;

impl GroupOptions {
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Config {
            cluster_name: format!("shard {}", self.shard),
            heartbeat_interval: millis(self.timing.heartbeat),
            election_timeout_min: millis(self.timing.election_min),
            election_timeout_max: millis(self.timing.election_max),
            // A node that comes back from a cut must not depose a leader all others hear.
            enable_pre_vote: Some(true),
            // A restarted leader would otherwise lead on without an election, from a commit
            // marker that need not be synced: it could read and decide from a stale book.
            enable_leader_restore: Some(planted(Bug::LeaderRestored)),
            // Entries are batches already; the log store also caps the bytes of a read.
            max_payload_entries: 64,
            // The shard decides when, and tells openraft of what is stored.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.entries_before_snapshot,
            replication_lag_threshold: NO_LAG_IS_TOO_LARGE,
            ..Config::default()
        }
        .validate()
    }
}

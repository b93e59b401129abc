use std::time::Duration;

use tokio::time::Instant;

use super::Shard;
use crate::raft::SnapshotError;

/// When a shard takes a snapshot of its book.
///
/// A snapshot costs a pass over the book, so it is taken by what a restart would otherwise have to
/// apply again, and never soon after the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRules {
    /// After so many bytes of entries.
    pub bytes: u64,
    /// But not sooner after the one before than this.
    pub spacing: Duration,
    /// After this long, if anything was applied at all.
    pub age: Duration,
    /// How often to look.
    pub interval: Duration,
}

impl Default for SnapshotRules {
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            spacing: Duration::from_secs(60),
            age: Duration::from_secs(3600),
            interval: Duration::from_secs(5),
        }
    }
}

impl SnapshotRules {
    fn call_for_one(&self, bytes: u64, since: Duration) -> bool {
        (bytes >= self.bytes && since >= self.spacing) || (bytes > 0 && since >= self.age)
    }
}

impl Shard {
    /// Takes snapshots by the rules, and where one has gone bad, for as long as the shard runs. One that fails costs nothing
    /// but a slower start: it is logged and tried again.
    pub async fn keep_snapshots(self, rules: SnapshotRules) {
        let shard = self.group.shard();
        let (mut covered, mut taken_at) = (0, Instant::now());
        loop {
            tokio::time::sleep(rules.interval).await;
            let applied = self.group.applied_bytes();
            let due = rules.call_for_one(applied - covered, taken_at.elapsed());
            let due = due || self.group.needs_snapshot();
            if !due || !self.group.space().has_room() {
                continue;
            }
            // A failed one is not tried again at once either.
            (covered, taken_at) = (applied, Instant::now());
            match self.group.snapshot().await {
                Ok(taken) => {
                    let millis = u64::try_from(taken_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let (index, bytes, new_bytes) = (taken.index, taken.bytes, taken.new_bytes);
                    tracing::info!(
                        shard,
                        index,
                        bytes,
                        new_bytes,
                        millis,
                        "a snapshot is taken"
                    );
                }
                Err(SnapshotError::Stopped(_)) => return,
                Err(error) => tracing::warn!(shard, %error, "no snapshot is taken"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_call_for_a_snapshot_but_not_soon_after_another_and_time_only_if_there_is_something() {
        let rules = SnapshotRules::default();
        let second = Duration::from_secs(1);
        assert!(!rules.call_for_one(u64::MAX, rules.spacing - second));
        assert!(rules.call_for_one(rules.bytes, rules.spacing));
        assert!(!rules.call_for_one(rules.bytes - 1, rules.age - second));
        assert!(rules.call_for_one(1, rules.age));
        assert!(!rules.call_for_one(0, Duration::MAX));
    }
}

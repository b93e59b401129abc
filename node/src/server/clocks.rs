//! How far the peers' clocks are from this node's, asked of them every few seconds.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use replication::topology::Directory as _;

use super::{CLOCK_BOUND, Server, readiness::Clock};

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(5);

/// What was found when the clocks were last compared.
#[derive(Debug, Default)]
pub(super) struct Clocks(Mutex<Option<BTreeMap<u64, Offset>>>);

/// How far another clock is ahead, in nanoseconds, and how far off that may be: the answer was
/// under way for twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    pub(super) nanos: i64,
    pub(super) uncertain: Duration,
}

impl Offset {
    /// The other clock was read at some time between the question and the answer.
    pub(super) fn new(theirs: u64, asked: u64, answered: u64) -> Self {
        let took = answered.saturating_sub(asked);
        let nanos = i128::from(theirs) - (i128::from(asked) + i128::from(took / 2));
        Self {
            nanos: nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
            uncertain: Duration::from_nanos(took / 2),
        }
    }

    /// Is it certainly more than the bound?
    fn is_beyond(self) -> bool {
        Duration::from_nanos(self.nanos.unsigned_abs()) > CLOCK_BOUND + self.uncertain
    }

    /// In seconds, with its sign.
    pub(super) fn seconds(self) -> f64 {
        let seconds = Duration::from_nanos(self.nanos.unsigned_abs()).as_secs_f64();
        seconds.copysign(if self.nanos < 0 { -1.0 } else { 1.0 })
    }
}

impl Clocks {
    /// Compares them for as long as the server is there.
    pub(super) async fn compare(&self, server: &Weak<Server>) {
        while let Some(server) = server.upgrade() {
            let found = server.compare_clocks().await;
            drop(server);
            *self.lock() = Some(found);
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The peers that answered.
    pub(super) fn offsets(&self) -> BTreeMap<u64, Offset> {
        self.lock().clone().unwrap_or_default()
    }

    /// All peers together.
    pub(super) fn fact(&self) -> Clock {
        match &*self.lock() {
            None => Clock::Unknown,
            Some(offsets) => Clock::Compared {
                compared: offsets.len(),
                beyond: offsets.values().filter(|o| o.is_beyond()).count(),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Offset>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Asks all peers at once; who does not answer in time is left out.
    async fn compare_clocks(&self) -> BTreeMap<u64, Offset> {
        let nodes = self.directory.topology().nodes.iter();
        let peers = nodes.filter(|node| node.name != self.name);
        let asking = peers.map(|node| async move {
            let (status, asked, answered) = self.ask_peer(node.id).await?;
            Some((
                node.id,
                Offset::new(status.wall_unix_nanos, asked, answered),
            ))
        });
        join_all(asking).await.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_out_of_bounds_only_where_the_way_there_cannot_explain_it() {
        const NOW: u64 = 1_000_000_000_000;
        let millis = |n: u64| n * 1_000_000;
        for (theirs, took, beyond, seconds) in [
            (NOW, 0, false, 0.0),
            (NOW + millis(500), 0, false, 0.5),
            (NOW + millis(501), 0, true, 0.501),
            (NOW - millis(501), 0, true, -0.501),
            (NOW + millis(650), 200, false, 0.55),
            (NOW + millis(800), 200, true, 0.7),
        ] {
            let offset = Offset::new(theirs, NOW, NOW + millis(took));
            assert_eq!(offset.is_beyond(), beyond, "{offset:?}");
            assert_eq!(offset.seconds(), seconds);
        }
    }
}

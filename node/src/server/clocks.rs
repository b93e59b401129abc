//! Whether this node's clock is to be believed: how far the peers' clocks are from it, asked of them
//! every few seconds, and whether it has jumped since.
//!
//! A clock that is out of bounds with most of the peers that answered is wrong. Between two
//! comparisons the wall clock is held against the one that only runs: where it has jumped by more
//! than a part of the bound, it is doubted at once, until peers have confirmed it.
//!
//! What cannot be known: a clock within its bound of most peers is taken to be right, and two such
//! clocks can be further apart than the bound. A clock that runs away slowly is found when it is
//! next compared, or has strayed as far as a jump. A node that starts while it hears nobody doubts
//! its clock until it hears somebody; one that is alone in its ledger has nobody to ask, and goes
//! by its own clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use replication::{topology::Directory as _, world};
use tokio::{sync::Notify, time::Instant};

use super::{CLOCK_BOUND, Server, readiness::Clock};

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(5);
/// How often while this node's is in doubt.
const EVERY_IN_DOUBT: Duration = Duration::from_secs(1);
/// A wall clock that leaves the one that only runs by more than this has jumped. The other half of
/// the bound is for clocks that differ as they may.
const JUMP: Duration = HALF_BOUND;
/// An answer from which a clock is known no better than this confirms nothing.
const VAGUE: Duration = HALF_BOUND;
const HALF_BOUND: Duration = Duration::from_millis(250);

/// Why this node does not believe its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    #[error("no peer has confirmed this node's clock yet")]
    Unconfirmed,
    #[error("this node's clock has jumped, and no peer has confirmed it since")]
    Jumped,
    #[error(
        "this node's clock is out of bounds ({CLOCK_BOUND:?}) with {beyond} of {compared} peers"
    )]
    OutOfBounds { beyond: usize, compared: usize },
}

/// What the two clocks of a node showed at one time: the wall's, and the one that only runs.
#[derive(Debug, Clone, Copy)]
struct Reading {
    wall_nanos: u64,
    at: Instant,
}

impl Reading {
    /// Has the wall clock left the other one since?
    fn has_jumped_by(self, later: Self) -> bool {
        let ran = later.at.saturating_duration_since(self.at).as_nanos();
        let expected = u128::from(self.wall_nanos) + ran;
        u128::from(later.wall_nanos).abs_diff(expected) > JUMP.as_nanos()
    }
}

/// What is known of this node's clock and its peers'.
pub(super) struct Clocks {
    clock: Arc<dyn world::Clock>,
    /// Are there peers to compare it with?
    has_peers: bool,
    known: Mutex<Known>,
    /// Told when doubt begins: peers are asked at once.
    doubted: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// What was found when the clocks were last compared.
    offsets: Option<BTreeMap<u64, Offset>>,
    /// When peers last confirmed the clock, unless it was doubted since.
    confirmed: Option<Reading>,
    /// Has it jumped since it was last compared?
    jumped: bool,
}

impl Known {
    /// Peers were asked from `before` on, and answered until now.
    fn learn(&mut self, offsets: BTreeMap<u64, Offset>, before: Reading, now: Reading) {
        self.offsets = Some(offsets);
        self.notice(now);
        // A jump while they answered spoils the comparison.
        if before.has_jumped_by(now) {
            self.confirmed = None;
            self.jumped = true;
            return;
        }
        match self.verdict() {
            Clock::Compared { compared: 0, .. } | Clock::Unknown | Clock::Jumped => {}
            verdict if verdict.is_out_of_bounds() => {
                self.confirmed = None;
                self.jumped = false;
            }
            Clock::Compared { .. } => {
                self.confirmed = Some(now);
                self.jumped = false;
            }
        }
    }

    /// Doubts a clock that has jumped since it was confirmed. Did doubt begin now?
    fn notice(&mut self, now: Reading) -> bool {
        let jumped = self.confirmed.is_some_and(|then| then.has_jumped_by(now));
        if jumped {
            self.confirmed = None;
            self.jumped = true;
        }
        jumped
    }

    /// What the peers' answers say. A vague one that could be anything says nothing.
    fn verdict(&self) -> Clock {
        let Some(offsets) = &self.offsets else {
            return Clock::Unknown;
        };
        let beyond = offsets.values().filter(|o| o.is_beyond()).count();
        let within = |o: &&Offset| !o.is_beyond() && o.uncertain <= VAGUE;
        Clock::Compared {
            compared: beyond + offsets.values().filter(within).count(),
            beyond,
        }
    }

    fn doubt(&self) -> Option<Doubt> {
        match (self.confirmed, self.verdict()) {
            (Some(_), _) => None,
            _ if self.jumped => Some(Doubt::Jumped),
            (None, verdict @ Clock::Compared { compared, beyond })
                if verdict.is_out_of_bounds() =>
            {
                Some(Doubt::OutOfBounds { beyond, compared })
            }
            _ => Some(Doubt::Unconfirmed),
        }
    }
}

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
    /// Of a node with this clock; it has peers, or is alone in its ledger.
    pub(super) fn new(clock: Arc<dyn world::Clock>, has_peers: bool) -> Self {
        Self {
            clock,
            has_peers,
            known: Mutex::default(),
            doubted: Notify::new(),
        }
    }

    /// Compares them for as long as the server is there.
    pub(super) async fn compare(&self, server: &Weak<Server>) {
        while let Some(server) = server.upgrade() {
            let before = self.read();
            let found = server.compare_clocks().await;
            drop(server);
            let pause = self.learn(found, before);
            // Whoever doubts does not wait for the next time.
            let _ = tokio::time::timeout(pause, self.doubted.notified()).await;
        }
    }

    /// Takes in what peers answered that were asked from `before` on. Says when to ask again.
    fn learn(&self, found: BTreeMap<u64, Offset>, before: Reading) -> Duration {
        let now = self.read();
        let mut known = self.lock();
        known.learn(found, before, now);
        match self.has_peers && known.doubt().is_some() {
            true => EVERY_IN_DOUBT,
            false => EVERY,
        }
    }

    /// What time it is, if this node's clock is to be believed.
    pub(super) fn now(&self) -> Result<u64, Doubt> {
        let now = self.read();
        if !self.has_peers {
            return Ok(now.wall_nanos);
        }
        self.known_at(now).doubt().map_or(Ok(now.wall_nanos), Err)
    }

    /// What is known, with a look at whether the clock has jumped: if so, peers are asked at once.
    fn known_at(&self, now: Reading) -> MutexGuard<'_, Known> {
        let mut known = self.lock();
        if known.notice(now) {
            tracing::warn!("this node's clock has jumped: peers are asked");
            self.doubted.notify_one();
        }
        known
    }

    /// The peers that answered.
    pub(super) fn offsets(&self) -> BTreeMap<u64, Offset> {
        self.lock().offsets.clone().unwrap_or_default()
    }

    /// All peers together.
    pub(super) fn fact(&self) -> Clock {
        let known = self.known_at(self.read());
        match known.jumped && self.has_peers {
            true => Clock::Jumped,
            false => known.verdict(),
        }
    }

    fn read(&self) -> Reading {
        Reading {
            wall_nanos: self.clock.wall_nanos(),
            at: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// A clock that is held against the one that only runs: what it shows so many milliseconds
    /// after the beginning, and how far it is off by then.
    fn reading(began: Instant, millis: u64, off_by: i64) -> Reading {
        let wall = 1_000_000_u64 + millis;
        Reading {
            wall_nanos: wall.saturating_add_signed(off_by) * 1_000_000,
            at: began + Duration::from_millis(millis),
        }
    }

    fn offsets(millis: &[(i64, u64)]) -> BTreeMap<u64, Offset> {
        let offset = |(nanos, uncertain): &(i64, u64)| Offset {
            nanos: nanos * 1_000_000,
            uncertain: Duration::from_millis(*uncertain),
        };
        (1..).zip(millis.iter().map(offset)).collect()
    }

    #[test]
    fn a_clock_is_believed_once_most_peers_have_confirmed_it() {
        let unconfirmed = Some(Doubt::Unconfirmed);
        let beyond = |beyond, compared| Some(Doubt::OutOfBounds { beyond, compared });
        let table: [(&[(i64, u64)], _); 7] = [
            (&[], unconfirmed),
            (&[(0, 1)], None),
            (&[(-4_000, 1)], beyond(1, 1)),
            (&[(4_000, 1), (10, 1)], None),
            (&[(4_000, 1), (4_100, 90), (10, 1)], beyond(2, 3)),
            // Under way for so long that it says nothing.
            (&[(600, 300)], unconfirmed),
            (&[(600, 300), (-4_000, 1)], beyond(1, 1)),
        ];
        for (found, doubt) in table {
            let began = Instant::now();
            let mut known = Known::default();
            assert_eq!(known.doubt(), unconfirmed);
            let (before, after) = (reading(began, 0, 0), reading(began, 10, 0));
            known.learn(offsets(found), before, after);
            assert_eq!(known.doubt(), doubt, "{found:?}");
        }
    }

    #[test]
    fn a_jump_is_doubted_at_once_and_until_peers_confirm_it() {
        let began = Instant::now();
        for off_by in [-4_000, -251, 251, 4_000] {
            let mut known = Known::default();
            known.learn(
                offsets(&[(0, 1)]),
                reading(began, 0, 0),
                reading(began, 1, 0),
            );
            assert!(!known.notice(reading(began, 4_000, 249)));
            assert_eq!(known.doubt(), None);
            assert!(known.notice(reading(began, 4_500, off_by)));
            assert_eq!(known.doubt(), Some(Doubt::Jumped));
            // It is back, and nobody was asked.
            assert!(!known.notice(reading(began, 5_000, 0)));
            assert_eq!(known.doubt(), Some(Doubt::Jumped));
            // Nobody answers.
            let at = |millis| reading(began, millis, 0);
            known.learn(offsets(&[]), at(5_000), at(5_800));
            assert_eq!(known.doubt(), Some(Doubt::Jumped));
            known.learn(offsets(&[(0, 1)]), at(6_000), at(6_001));
            assert_eq!(known.doubt(), None);
        }
    }

    #[test]
    fn a_jump_while_peers_answer_spoils_the_comparison() {
        let began = Instant::now();
        let mut known = Known::default();
        known.learn(
            offsets(&[(0, 1)]),
            reading(began, 0, 0),
            reading(began, 9, -900),
        );
        assert_eq!(known.doubt(), Some(Doubt::Jumped));
    }
}

//! Whether this node can do its work, and what it lacks: a pure function of what is known of it.

use ledger_domain::ShardId;

use super::CLOCK_BOUND;

/// What a caller can ask for, and health is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of the node.
    Node,
    /// Writing.
    Teller,
    /// Reading near by.
    Atm,
    /// What operators ask.
    Admin,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::Node, Self::Teller, Self::Atm, Self::Admin];

    /// The name under which metrics have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Teller => "teller",
            Self::Atm => "atm",
            Self::Admin => "admin",
        }
    }
}

/// What stands in the way of a node that is asked to work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Obstacle {
    #[error("the node is still recovering")]
    Recovering,
    #[error("the node stops")]
    Stopping,
    #[error("the log takes no writes since one failed")]
    LogStopped,
    #[error("the disk is full: nothing new is written")]
    DiskFull,
    #[error("shard {0} has no quorum here")]
    NoQuorum(ShardId),
    #[error("shard {0} waits: its log is damaged here, and is mended from peers first")]
    Mending(ShardId),
    #[error("the book of shard {0} has stopped")]
    BookStopped(ShardId),
    #[error("the copy of shard {0} has stopped")]
    CopyHalted(ShardId),
    #[error("the view of shard {0} has stopped")]
    ViewStopped(ShardId),
    #[error("the view of shard {0} serves nothing yet")]
    ViewEmpty(ShardId),
    #[error("this node's clock has not been compared with its peers' yet")]
    ClockUnknown,
    #[error("this node's clock has jumped, and no peer has confirmed it since")]
    ClockJumped,
    #[error(
        "this node's clock is out of bounds ({CLOCK_BOUND:?}) with {beyond} of {compared} peers"
    )]
    ClockOutOfBounds { beyond: usize, compared: usize },
}

impl Obstacle {
    /// Does it keep this part from working?
    pub(super) fn is_in_the_way_of(&self, part: Part) -> bool {
        let (writes, reads, asks) = match self {
            Self::Recovering | Self::Stopping => (true, true, true),
            Self::LogStopped
            | Self::DiskFull
            | Self::NoQuorum(_)
            | Self::Mending(_)
            | Self::BookStopped(_) => (true, false, false),
            Self::CopyHalted(_) | Self::ViewStopped(_) | Self::ViewEmpty(_) => (false, true, false),
            Self::ClockUnknown | Self::ClockJumped | Self::ClockOutOfBounds { .. } => {
                (true, true, false)
            }
        };
        match part {
            Part::Node => true,
            Part::Teller => writes,
            Part::Atm => reads,
            Part::Admin => asks,
        }
    }
}

/// What is known of a node that has recovered.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) log_stopped: bool,
    pub(super) disk_full: bool,
    pub(super) voting: Vec<Voter>,
    /// Shards that are to vote here when what they have lost is mended.
    pub(super) waiting: Vec<ShardId>,
    pub(super) copied: Vec<Copied>,
    /// Of every shard that votes or is copied here.
    pub(super) views: Vec<(ShardId, View)>,
    pub(super) clock: Clock,
}

/// A shard that votes here.
#[derive(Debug, Clone)]
pub(super) struct Voter {
    pub(super) shard: ShardId,
    pub(super) in_quorum: bool,
    pub(super) book_stopped: bool,
}

/// A shard that is copied here.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    pub(super) shard: ShardId,
    pub(super) halted: bool,
}

/// What a view is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Serves,
    Empty,
    Stopped,
}

/// How this node's clock compares with others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Clock {
    /// Nobody has been asked yet.
    #[default]
    Unknown,
    /// It has jumped since it was last compared.
    Jumped,
    /// So many peers answered, and so many of their clocks are out of bounds.
    Compared { compared: usize, beyond: usize },
}

impl Clock {
    /// With most of the peers that answered: one wrong clock must not make the others doubted.
    pub(super) fn is_out_of_bounds(self) -> bool {
        matches!(self, Self::Compared { compared, beyond } if 2 * beyond > compared)
    }
}

impl Facts {
    /// Everything that is in the way.
    pub(super) fn obstacles(&self) -> Vec<Obstacle> {
        let mut found = Vec::new();
        found.extend(self.log_stopped.then_some(Obstacle::LogStopped));
        found.extend(self.disk_full.then_some(Obstacle::DiskFull));
        for voter in &self.voting {
            found.extend((!voter.in_quorum).then_some(Obstacle::NoQuorum(voter.shard)));
            found.extend(
                voter
                    .book_stopped
                    .then_some(Obstacle::BookStopped(voter.shard)),
            );
        }
        found.extend(self.waiting.iter().map(|shard| Obstacle::Mending(*shard)));
        for copy in &self.copied {
            found.extend(copy.halted.then_some(Obstacle::CopyHalted(copy.shard)));
        }
        found.extend(self.views.iter().filter_map(|(shard, view)| match view {
            View::Serves => None,
            View::Empty => Some(Obstacle::ViewEmpty(*shard)),
            View::Stopped => Some(Obstacle::ViewStopped(*shard)),
        }));
        found.extend(match self.clock {
            Clock::Unknown => Some(Obstacle::ClockUnknown),
            Clock::Jumped => Some(Obstacle::ClockJumped),
            Clock::Compared { compared, beyond } => self
                .clock
                .is_out_of_bounds()
                .then_some(Obstacle::ClockOutOfBounds { beyond, compared }),
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(2);

    /// What spoils a node that is well, the obstacle it makes, and which parts are ready for all that.
    type Row = (fn(&mut Facts), &'static str, [bool; 4]);

    fn well() -> Facts {
        Facts {
            log_stopped: false,
            disk_full: false,
            voting: vec![Voter {
                shard: SHARD,
                in_quorum: true,
                book_stopped: false,
            }],
            waiting: Vec::new(),
            copied: vec![Copied {
                shard: ShardId(5),
                halted: false,
            }],
            views: vec![(SHARD, View::Serves), (ShardId(5), View::Serves)],
            clock: Clock::Compared {
                compared: 2,
                beyond: 1,
            },
        }
    }

    #[test]
    fn each_lack_is_named_and_keeps_only_its_own_parts_from_working() {
        assert_eq!(well().obstacles(), []);
        let rows: [Row; 11] = [
            (
                |facts| facts.log_stopped = true,
                "the log takes no writes since one failed",
                [false, false, true, true],
            ),
            (
                |facts| facts.disk_full = true,
                "the disk is full: nothing new is written",
                [false, false, true, true],
            ),
            (
                |facts| facts.voting[0].in_quorum = false,
                "shard 2 has no quorum here",
                [false, false, true, true],
            ),
            (
                |facts| facts.voting[0].book_stopped = true,
                "the book of shard 2 has stopped",
                [false, false, true, true],
            ),
            (
                |facts| facts.waiting.push(SHARD),
                "shard 2 waits: its log is damaged here, and is mended from peers first",
                [false, false, true, true],
            ),
            (
                |facts| facts.copied[0].halted = true,
                "the copy of shard 5 has stopped",
                [false, true, false, true],
            ),
            (
                |facts| facts.views[1].1 = View::Empty,
                "the view of shard 5 serves nothing yet",
                [false, true, false, true],
            ),
            (
                |facts| facts.views[0].1 = View::Stopped,
                "the view of shard 2 has stopped",
                [false, true, false, true],
            ),
            (
                |facts| facts.clock = Clock::Unknown,
                "this node's clock has not been compared with its peers' yet",
                [false, false, false, true],
            ),
            (
                |facts| facts.clock = Clock::Jumped,
                "this node's clock has jumped, and no peer has confirmed it since",
                [false, false, false, true],
            ),
            (
                |facts| {
                    facts.clock = Clock::Compared {
                        compared: 3,
                        beyond: 2,
                    }
                },
                "this node's clock is out of bounds (500ms) with 2 of 3 peers",
                [false, false, false, true],
            ),
        ];
        for (spoil, says, ready) in rows {
            let mut facts = well();
            spoil(&mut facts);
            let found = facts.obstacles();
            let [obstacle] = &found[..] else {
                panic!("{found:?}");
            };
            assert_eq!(obstacle.to_string(), says);
            let parts = Part::ALL.map(|part| !obstacle.is_in_the_way_of(part));
            assert_eq!(parts, ready, "{says}");
        }
    }

    #[test]
    fn a_clock_that_nobody_could_be_asked_about_is_no_obstacle() {
        let mut facts = well();
        facts.clock = Clock::Compared {
            compared: 0,
            beyond: 0,
        };
        assert_eq!(facts.obstacles(), []);
    }
}

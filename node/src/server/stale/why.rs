//! What can hold a view, the cut or a transfer back, in words.

use std::ops::Range;

use ledger_domain::{RegionName, ShardId};

use crate::server::clocks::Doubt;

/// One thing that holds something back. The worst first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    #[error("The log of this node takes no writes since one failed.")]
    LogStopped,
    #[error("The disk of this node is full: copies take in nothing new.")]
    DiskFull,
    #[error("{0}: how old an answer is cannot be told here.")]
    ClockInDoubt(Doubt),
    #[error("The view of shard {shard} has stopped here and is not served: {cause}.")]
    ViewStopped { shard: ShardId, cause: String },
    #[error("The copy of shard {shard} has stopped here for good: {cause}.")]
    CopyHalted { shard: ShardId, cause: String },
    #[error("The replica of shard {shard} waits here until its log is mended: {cause}.")]
    ReplicaMending { shard: ShardId, cause: String },
    #[error("The book of shard {shard} has stopped at {node}: {cause}.")]
    BookStopped {
        shard: ShardId,
        node: String,
        cause: String,
    },
    #[error("Shard {shard} ({home}) has no leader: of its {voters} voters {answered} answered, and none of them leads with a majority{}.", silent(.unanswered))]
    NoLeader {
        shard: ShardId,
        home: RegionName,
        voters: usize,
        answered: usize,
        unanswered: Vec<String>,
    },
    #[error(
        "Nothing comes from region {home}, the home of shard {shard}: none of its nodes answers this one."
    )]
    RegionUnreachable { shard: ShardId, home: RegionName },
    #[error("The copy of shard {shard} is not fed here{}, although nodes of its home {home} answer.", by(.follows))]
    CopySilent {
        shard: ShardId,
        home: RegionName,
        follows: Option<String>,
    },
    #[error("The replica of shard {shard} on this node does not hear {leader}, which leads.")]
    ReplicaSilent { shard: ShardId, leader: String },
    #[error("Indexes {} to {} of shard {shard} came in a snapshot and are still fetched here: the view waits before them.", .missing.start, .missing.end.saturating_sub(1))]
    HistoryMissing { shard: ShardId, missing: Range<u64> },
    #[error("The log of shard {shard} is here up to index {held}, and its home has applied {applied}: {} entries are on their way.", .applied.saturating_sub(*.held))]
    LogBehind {
        shard: ShardId,
        held: u64,
        applied: u64,
    },
    #[error("The view of shard {shard} is folded up to index {folded} of {held} that are here ({} %).", percent(*.folded, *.held))]
    ViewBehind {
        shard: ShardId,
        folded: u64,
        held: u64,
    },
    #[error("Shard {to} has stopped the channel from shard {from}, at {node}: {cause}.")]
    ChannelStopped {
        from: ShardId,
        to: ShardId,
        node: String,
        cause: String,
    },
    #[error("{items} of the transfers from shard {from} to shard {to} are under way; the oldest, number {oldest}, {}{}.", stage(*.taken, *.from, *.to), reason(.because))]
    TransferWaits {
        from: ShardId,
        to: ShardId,
        items: u64,
        oldest: u64,
        taken: bool,
        because: Option<&'static str>,
    },
    #[error("Nothing that this node knows explains why shard {shard} is as old as it is here{}.", silent(.unanswered))]
    Unexplained {
        shard: ShardId,
        unanswered: Vec<String>,
    },
    #[error(
        "Shard {shard} has had nothing to decide: it closes its time every ten seconds while nobody asks for fresh answers, and all it has applied is here."
    )]
    Idle { shard: ShardId },
}

fn silent(nodes: &[String]) -> String {
    match nodes {
        [] => String::new(),
        nodes => format!("; not heard from: {}", nodes.join(", ")),
    }
}

fn by(node: &Option<String>) -> String {
    node.as_ref()
        .map_or_else(String::new, |node| format!(" by {node}"))
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

fn stage(taken: bool, from: ShardId, to: ShardId) -> String {
    match taken {
        false => format!("is not recorded by shard {to} as far as is known here"),
        true => {
            format!(
                "is recorded by shard {to}, and shard {from} has not ended it as far as is known here"
            )
        }
    }
}

fn reason(code: &Option<&'static str>) -> String {
    code.map_or_else(String::new, |code| format!(" (see {code})"))
}

impl Why {
    /// The stable name of its kind, and how bad it is: the least number is the worst.
    pub(super) fn code(&self) -> (u8, &'static str) {
        match self {
            Self::LogStopped => (0, "LOG_STOPPED"),
            Self::DiskFull => (1, "DISK_FULL"),
            Self::ClockInDoubt(_) => (2, "CLOCK_IN_DOUBT"),
            Self::ViewStopped { .. } => (3, "VIEW_STOPPED"),
            Self::CopyHalted { .. } => (4, "COPY_HALTED"),
            Self::ReplicaMending { .. } => (5, "REPLICA_MENDING"),
            Self::BookStopped { .. } => (6, "BOOK_STOPPED"),
            Self::NoLeader { .. } => (7, "NO_LEADER"),
            Self::RegionUnreachable { .. } => (8, "REGION_UNREACHABLE"),
            Self::CopySilent { .. } => (9, "COPY_SILENT"),
            Self::ReplicaSilent { .. } => (10, "REPLICA_SILENT"),
            Self::HistoryMissing { .. } => (11, "HISTORY_MISSING"),
            Self::LogBehind { .. } => (12, "LOG_BEHIND"),
            Self::ViewBehind { .. } => (13, "VIEW_BEHIND"),
            Self::ChannelStopped { .. } => (14, "CHANNEL_STOPPED"),
            Self::TransferWaits { .. } => (15, "TRANSFER_WAITS"),
            Self::Unexplained { .. } => (16, "UNEXPLAINED"),
            Self::Idle { .. } => (17, "SHARD_IDLE"),
        }
    }

    /// The shard that it concerns, and the one that a transfer is sent to.
    pub(super) fn shards(&self) -> (Option<ShardId>, Option<ShardId>) {
        match self {
            Self::LogStopped | Self::DiskFull | Self::ClockInDoubt(_) => (None, None),
            Self::ViewStopped { shard, .. }
            | Self::CopyHalted { shard, .. }
            | Self::ReplicaMending { shard, .. }
            | Self::BookStopped { shard, .. }
            | Self::NoLeader { shard, .. }
            | Self::RegionUnreachable { shard, .. }
            | Self::CopySilent { shard, .. }
            | Self::ReplicaSilent { shard, .. }
            | Self::HistoryMissing { shard, .. }
            | Self::LogBehind { shard, .. }
            | Self::ViewBehind { shard, .. }
            | Self::Unexplained { shard, .. }
            | Self::Idle { shard } => (Some(*shard), None),
            Self::ChannelStopped { from, to, .. } | Self::TransferWaits { from, to, .. } => {
                (Some(*from), Some(*to))
            }
        }
    }

    /// What to do.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::LogStopped => "See to the disk, and restart this node.",
            Self::DiskFull => "Make room on the disk: it goes on by itself.",
            Self::ClockInDoubt(_) => "See to this node's clock, or to its way to its peers.",
            Self::ViewStopped { .. } => {
                "Ask another node. Damage is mended from peers by itself; see `status` and the node's log."
            }
            Self::CopyHalted { .. } => {
                "Ask another node. A person must look: see the node's log, and compare `heads`."
            }
            Self::ReplicaMending { .. } => {
                "It is mended from the shard's other replicas: have them running and reachable."
            }
            Self::BookStopped { .. } => "A person must look: see that node's log.",
            Self::NoLeader { .. } => {
                "Bring voters back, or the links between them: a majority must hear each other."
            }
            Self::RegionUnreachable { .. } => {
                "See to the link to the region, or to its nodes. What is missing comes by itself then."
            }
            Self::CopySilent { .. } => {
                "Another source is tried by itself; see this node's log for what the sources said."
            }
            Self::ReplicaSilent { .. } => "See to the link between the two nodes.",
            Self::HistoryMissing { .. } => "Wait: it is fetched from other nodes that hold it.",
            Self::LogBehind { .. } => {
                "Wait. If the number does not fall, the link or this node's disk is too slow."
            }
            Self::ViewBehind { .. } => {
                "Wait: it is folded as fast as this node can. Other nodes may be ahead."
            }
            Self::ChannelStopped { .. } => {
                "A person must look: an item is not what it had been. Compare `heads`, and run `verify`."
            }
            Self::TransferWaits { .. } => {
                "Nothing is lost: it ends when both shards hear of each other. See to what holds either back."
            }
            Self::Unexplained { .. } => {
                "See the log, the disk and the status of the node that leads it, and ask those that were not heard from."
            }
            Self::Idle { .. } => {
                "Nothing is wrong. Read with a bound, and it closes its time every half second."
            }
        }
    }
}

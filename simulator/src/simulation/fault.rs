use std::{fmt, time::Duration};

use replication::world::{Mishap, Store};
use serde::{Deserialize, Serialize};

use super::Disturbance;

/// Something done to the world from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The machine loses power: peers hear nothing more from it, and its disk loses a seeded
    /// suffix of the unsynced writes.
    PowerCut {
        /// The host.
        node: String,
    },
    /// The machine loses power in the middle of what it does.
    PowerCutAt {
        /// The host.
        node: String,
        /// During which kind of operation.
        during: Operation,
        /// Which of them from now on, from 1.
        nth: u64,
        /// How long it is down.
        down: Duration,
    },
    /// The process is killed. Its operating system lives on: it closes the connections and keeps
    /// what was written.
    Kill {
        /// The host.
        node: String,
    },
    /// The process is started, again, if it is not running.
    Start {
        /// The host.
        node: String,
    },
    /// Something begins to be wrong with the network.
    Disturb(Disturbance),
    /// Undoes [`Fault::Disturb`].
    Calm(Disturbance),
    /// The wall clock jumps to this distance from the truth.
    SetSkew {
        /// The host.
        node: String,
        /// How far ahead, or behind where negative.
        nanos: i64,
    },
    /// The wall clock runs fast or slow from now on.
    SetDrift {
        /// The host.
        node: String,
        /// By how many parts in a million; negative for slow.
        ppm: i64,
    },
    /// The next writes to a store fail, until power is cut; each may be stored all the same.
    FailWrites {
        /// The host.
        node: String,
        /// The store.
        store: Store,
        /// How many.
        count: u32,
    },
    /// Syncs take so long from now on, roughly; no time at all where it is 0.
    SlowSyncs {
        /// The host.
        node: String,
        /// How long.
        millis: u64,
    },
    /// The machine loses power, and a bit of its read models.
    SpoilViews {
        /// The host.
        node: String,
    },
    /// The disk is full: no write succeeds.
    FillDisk {
        /// The host.
        node: String,
    },
    /// There is room on the disk again.
    MakeRoom {
        /// The host.
        node: String,
    },
    /// A bit flips in one of the records of a shard.
    FlipBit {
        /// The host.
        node: String,
        /// Whose record.
        shard: u32,
    },
    /// The machine loses power, and all that is on its disk.
    LoseDisk {
        /// The host.
        node: String,
        /// Whether somebody starts it again with the empty disk: it must see for itself that it is
        /// not who it was.
        comes_back: bool,
    },
    /// The next records that a node copies of a shard are changed between their check and its disk,
    /// and as many that it passes on.
    Rot {
        /// The host.
        node: String,
        /// Whose records.
        shard: u32,
        /// How many; none to end it.
        count: u32,
    },
    /// The node takes so long before it applies anything, in milliseconds.
    SetHoldUp {
        /// The host.
        node: String,
        /// How long; zero to end it.
        millis: u64,
    },
    /// What unlikely thing befalls the node's proposals now and then from now on; or that nothing
    /// does any more.
    SetMishap {
        /// The host.
        node: String,
        /// What.
        mishap: Option<Mishap>,
    },
    /// From now on the disk calls synced what a power cut can still take.
    Lie {
        /// The host.
        node: String,
    },
}

/// What a node does to the outside world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// Writing to its disk.
    Write,
    /// Sending data, or making a connection.
    Send,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::PowerCut { node } => write!(f, "power cut {node}"),
            Fault::PowerCutAt {
                node,
                during,
                nth,
                down,
            } => {
                let what = match during {
                    Operation::Write => "write",
                    Operation::Send => "send",
                };
                write!(f, "power of {node} will fail at {what} {nth} for {down:?}")
            }
            Fault::Kill { node } => write!(f, "kill {node}"),
            Fault::Start { node } => write!(f, "start {node}"),
            Fault::Disturb(disturbance) => f.write_str(&disturbance.beginning()),
            Fault::Calm(disturbance) => f.write_str(&disturbance.end()),
            Fault::SetSkew { node, nanos } => {
                let direction = if *nanos < 0 { "behind" } else { "ahead" };
                let skew = Duration::from_nanos(nanos.unsigned_abs());
                write!(f, "clock of {node} {skew:?} {direction}")
            }
            Fault::SetDrift { node, ppm } => write!(f, "clock of {node} drifts by {ppm} ppm"),
            Fault::FailWrites { node, store, count } => {
                write!(f, "fail {count} writes to {store:?} of {node}")
            }
            Fault::SlowSyncs { node, millis } => write!(f, "syncs of {node} take {millis} ms"),
            Fault::SpoilViews { node } => write!(f, "spoil the read models of {node}"),
            Fault::FillDisk { node } => write!(f, "fill the disk of {node}"),
            Fault::MakeRoom { node } => write!(f, "make room on the disk of {node}"),
            Fault::FlipBit { node, shard } => {
                write!(f, "flip a bit of shard {shard} on {node}")
            }
            Fault::LoseDisk { node, .. } => write!(f, "lose the disk of {node}"),
            Fault::Rot { node, shard, count } => {
                write!(f, "{count} records of shard {shard} rot on {node}")
            }
            Fault::SetHoldUp { node, millis } => write!(f, "{node} applies {millis} ms late"),
            Fault::SetMishap { node, mishap } => match mishap {
                Some(mishap) => write!(f, "proposals of {node} suffer: {mishap:?}"),
                None => write!(f, "proposals of {node} suffer nothing"),
            },
            Fault::Lie { node } => write!(f, "the disk of {node} lies about syncs"),
        }
    }
}

use std::{fmt, time::Duration};

use replication::world::Store;

/// Something done to the world from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The machine loses power: peers hear nothing more from it, and its disk loses a seeded
    /// suffix of the unsynced writes.
    PowerCut {
        /// The host.
        node: String,
    },
    /// The process is killed. Its operating system lives on: it closes the connections and keeps
    /// what was written.
    Kill {
        /// The host.
        node: String,
    },
    /// The process is started, again.
    Start {
        /// The host.
        node: String,
    },
    /// The region can no longer talk to any other; inside of it all is well.
    CutOff {
        /// The region.
        region: String,
    },
    /// Undoes [`Fault::CutOff`].
    Heal {
        /// The region.
        region: String,
    },
    /// The host can no longer talk to any other.
    Isolate {
        /// The host, which may be a client's.
        node: String,
    },
    /// Undoes [`Fault::Isolate`].
    Rejoin {
        /// The host.
        node: String,
    },
    /// The host can no longer talk to any other node, and clients can still talk to it: a leader
    /// among them does not know that it leads nobody.
    Estrange {
        /// The host.
        node: String,
    },
    /// Undoes [`Fault::Estrange`].
    Reconcile {
        /// The host.
        node: String,
    },
    /// The wall clock jumps to this distance from the truth.
    SetSkew {
        /// The host.
        node: String,
        /// How far ahead, or behind where negative.
        nanos: i64,
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
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::PowerCut { node } => write!(f, "power cut {node}"),
            Fault::Kill { node } => write!(f, "kill {node}"),
            Fault::Start { node } => write!(f, "start {node}"),
            Fault::CutOff { region } => write!(f, "cut off {region}"),
            Fault::Heal { region } => write!(f, "heal {region}"),
            Fault::Isolate { node } => write!(f, "isolate {node}"),
            Fault::Rejoin { node } => write!(f, "rejoin {node}"),
            Fault::Estrange { node } => write!(f, "estrange {node}"),
            Fault::Reconcile { node } => write!(f, "reconcile {node}"),
            Fault::SetSkew { node, nanos } => {
                let direction = if *nanos < 0 { "behind" } else { "ahead" };
                let skew = Duration::from_nanos(nanos.unsigned_abs());
                write!(f, "clock of {node} {skew:?} {direction}")
            }
            Fault::FailWrites { node, store, count } => {
                write!(f, "fail {count} writes to {store:?} of {node}")
            }
        }
    }
}

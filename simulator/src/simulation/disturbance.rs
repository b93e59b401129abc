use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that is wrong with the network for a while. Several may be at once, and one may be
/// twice: a link is well when the last of them has ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Disturbance {
    /// The region can no longer talk to any other; inside of it all is well.
    CutOff {
        /// The region.
        region: String,
        /// Which way nothing passes.
        way: Way,
    },
    /// Two regions can no longer talk to each other.
    Parted {
        /// The regions.
        regions: [String; 2],
    },
    /// The host can no longer talk to any other.
    Isolated {
        /// The host, which may be a client's.
        host: String,
        /// Which way nothing passes.
        way: Way,
    },
    /// The host can no longer talk to any other node, and clients can still talk to it: a leader
    /// among them does not know that it leads nobody.
    Estranged {
        /// The host.
        node: String,
    },
    /// What the host sends and what is sent to it waits, and arrives when this ends.
    Held {
        /// The host.
        host: String,
    },
    /// Of what the host sends and what is sent to it, some is lost. Connections do not survive it:
    /// the simulated network sends nothing again.
    Lossy {
        /// The host.
        host: String,
        /// How much of a thousand pieces.
        per_mille: u16,
    },
    /// What the host sends and what is sent to it takes longer.
    Slow {
        /// The host.
        host: String,
        /// How much longer, in milliseconds.
        millis: u64,
    },
}

/// Which way nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// Both.
    Both,
    /// Nothing gets out; what comes in arrives.
    Out,
    /// Nothing gets in; what goes out arrives.
    In,
}

impl Way {
    /// Whether nothing passes away from whom it befalls.
    #[must_use]
    pub fn is_out(self) -> bool {
        self != Way::In
    }

    /// Whether nothing passes towards whom it befalls.
    #[must_use]
    pub fn is_in(self) -> bool {
        self != Way::Out
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Both => "",
            Way::Out => " outwards",
            Way::In => " inwards",
        })
    }
}

impl Disturbance {
    /// What is said when it begins.
    #[must_use]
    pub fn beginning(&self) -> String {
        match self {
            Disturbance::CutOff { region, way } => format!("cut off {region}{way}"),
            Disturbance::Parted { regions: [a, b] } => format!("part {a} from {b}"),
            Disturbance::Isolated { host, way } => format!("isolate {host}{way}"),
            Disturbance::Estranged { node } => format!("estrange {node}"),
            Disturbance::Held { host } => format!("hold {host}"),
            Disturbance::Lossy { host, per_mille } => {
                format!("lose {per_mille} per mille of {host}")
            }
            Disturbance::Slow { host, millis } => format!("slow {host} by {millis} ms"),
        }
    }

    /// What is said when it ends.
    #[must_use]
    pub fn end(&self) -> String {
        match self {
            Disturbance::CutOff { region, .. } => format!("heal {region}"),
            Disturbance::Parted { regions: [a, b] } => format!("join {a} to {b}"),
            Disturbance::Isolated { host, .. } => format!("rejoin {host}"),
            Disturbance::Estranged { node } => format!("reconcile {node}"),
            Disturbance::Held { host } => format!("release {host}"),
            Disturbance::Lossy { host, .. } => format!("lose nothing of {host}"),
            Disturbance::Slow { host, .. } => format!("hurry {host}"),
        }
    }
}

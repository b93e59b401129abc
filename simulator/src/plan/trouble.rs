use std::time::Duration;

use replication::world::{Mishap, Store};
use serde::{Deserialize, Serialize};

use crate::simulation::{Disturbance, Fault, Operation, Way};

/// Something that goes wrong, and is over after a while. It is one thing to a reader and to whoever
/// leaves out what is not needed, and becomes several [`Fault`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// When it begins, in milliseconds after the bank has opened, or after the world has begun where
    /// the plan says so.
    pub at_ms: u64,
    /// How long it lasts.
    pub lasts_ms: u64,
    /// What it is.
    pub what: What,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(
    missing_docs,
    reason = "the fields are nodes, regions, and what `Fault` says of them"
)]
pub enum What {
    /// A node hears or is heard by nobody.
    CutNode { node: String, way: Way },
    /// A node hears no other node, and goes on among its clients.
    EstrangeNode { node: String },
    /// A region hears or is heard by no other.
    CutRegion { region: String, way: Way },
    /// Two regions do not hear each other.
    PartRegions { regions: [String; 2] },
    /// A node is cut off and comes back so many times.
    Flap { node: String, times: u64 },
    /// Some of what a node sends and is sent is lost.
    Lossy { node: String, per_mille: u16 },
    /// A node's links are slow, or it is.
    Slow { node: String, millis: u64 },
    /// What a node sends and is sent waits, and comes all at once.
    Hold { node: String },
    /// Nodes are clogged one by one, and released one by one in another order.
    Swizzle {
        clogged: Vec<String>,
        released: Vec<String>,
    },
    /// A machine loses power.
    PowerCut { node: String },
    /// A machine loses power in the middle of the n-th operation from the beginning on.
    PowerCutAt {
        node: String,
        during: Operation,
        nth: u64,
    },
    /// A process is killed.
    Kill { node: String },
    /// All machines of a region lose power at once.
    PowerCutRegion { region: String, nodes: Vec<String> },
    /// The processes of a region are stopped and started one after the other.
    RollingRestart { region: String, nodes: Vec<String> },
    /// A node sleeps: nothing gets out or in, and its clock stands still.
    Sleep { node: String },
    /// A clock jumps, and back.
    Jump { node: String, millis: i64 },
    /// A clock is fast or slow, and is set right.
    Drift { node: String, ppm: i64 },
    /// Writes fail; then the machine loses power, for a second.
    FailWrites { node: String, count: u32 },
    /// Syncs take long.
    SlowSyncs { node: String, millis: u64 },
    /// A machine loses power, and finds its read models damaged when it is back.
    SpoilViews { node: String },
    /// The disk is full; then there is room, and the node is started again.
    FullDisk { node: String },
    /// A bit of a record flips.
    FlipBit { node: String, shard: u32 },
    /// A machine loses power, and a bit of a record flips while it is down.
    Rot { node: String, shard: u32 },
    /// The machines of a region are busy, and apply late what is decided; meanwhile their leaders are
    /// killed in turn, so that others come to lead that are behind.
    Busy {
        region: String,
        nodes: Vec<String>,
        millis: u64,
    },
    /// Memory rots: records of another region's shard are changed on their way to a node's disk and
    /// to other nodes, and the checksums that are made of them afterwards are right.
    RottenMemory {
        node: String,
        shard: u32,
        count: u32,
    },
    /// Now and then a proposal of the leaders in a region goes wrong in an unlikely way.
    Mishaps {
        region: String,
        nodes: Vec<String>,
        mishap: Unlikely,
    },
    /// The disk is lost.
    LoseDisk { node: String, comes_back: bool },
}

/// What may befall a proposal: [`Mishap`], as plans are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlikely {
    /// [`Mishap::RefusedLate`].
    RefusedLate,
    /// [`Mishap::AnswerLost`].
    AnswerLost,
    /// [`Mishap::Twice`].
    Twice,
    /// [`Mishap::AnotherEpoch`].
    AnotherEpoch,
}

impl From<Unlikely> for Mishap {
    fn from(unlikely: Unlikely) -> Self {
        match unlikely {
            Unlikely::RefusedLate => Mishap::RefusedLate,
            Unlikely::AnswerLost => Mishap::AnswerLost,
            Unlikely::Twice => Mishap::Twice,
            Unlikely::AnotherEpoch => Mishap::AnotherEpoch,
        }
    }
}

/// How long a machine is down between two things that befall it.
const SHORT_MS: u64 = 1_000;

impl What {
    /// Its name, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            What::CutNode { way: Way::Both, .. } => "node cut off",
            What::CutNode { .. } => "node cut off one way",
            What::EstrangeNode { .. } => "node estranged",
            What::CutRegion { way: Way::Both, .. } => "region cut off",
            What::CutRegion { .. } => "region cut off one way",
            What::PartRegions { .. } => "regions parted",
            What::Flap { .. } => "node flapping",
            What::Lossy { .. } => "lossy node",
            What::Slow { .. } => "slow node",
            What::Hold { .. } => "node held",
            What::Swizzle { .. } => "nodes swizzle-clogged",
            What::PowerCut { .. } => "power cut",
            What::PowerCutAt {
                during: Operation::Write,
                ..
            } => "power cut during a write",
            What::PowerCutAt { .. } => "power cut during a send",
            What::Kill { .. } => "process killed",
            What::PowerCutRegion { .. } => "power cut of a region",
            What::RollingRestart { .. } => "rolling restart",
            What::Sleep { .. } => "node asleep",
            What::Jump { .. } => "clock jump",
            What::Drift { .. } => "clock drift",
            What::FailWrites { .. } => "failed writes",
            What::SlowSyncs { .. } => "slow syncs",
            What::SpoilViews { .. } => "damaged read models",
            What::FullDisk { .. } => "full disk",
            What::FlipBit { .. } => "flipped bit",
            What::Rot { .. } => "flipped bit while down",
            What::Busy { .. } => "busy region",
            What::RottenMemory { .. } => "rotten memory",
            What::Mishaps { mishap, .. } => match mishap {
                Unlikely::RefusedLate => "proposals refused late",
                Unlikely::AnswerLost => "proposals unanswered",
                Unlikely::Twice => "proposals twice",
                Unlikely::AnotherEpoch => "proposals of another epoch",
            },
            What::LoseDisk { .. } => "lost disk",
        }
    }

    /// The nodes that are started again because of it.
    #[must_use]
    pub fn restarts(&self) -> Vec<&str> {
        match self {
            What::PowerCut { node }
            | What::PowerCutAt { node, .. }
            | What::Kill { node }
            | What::FailWrites { node, .. }
            | What::SpoilViews { node }
            | What::FullDisk { node }
            | What::Rot { node, .. }
            | What::LoseDisk { node, .. } => vec![node],
            What::PowerCutRegion { nodes, .. }
            | What::RollingRestart { nodes, .. }
            | What::Busy { nodes, .. } => nodes.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// All names of [`What::kind`], for reports that tell of what never came.
    pub const KINDS: [&str; 33] = [
        "node cut off",
        "node cut off one way",
        "node estranged",
        "region cut off",
        "region cut off one way",
        "regions parted",
        "node flapping",
        "lossy node",
        "slow node",
        "node held",
        "nodes swizzle-clogged",
        "power cut",
        "power cut during a write",
        "power cut during a send",
        "process killed",
        "power cut of a region",
        "rolling restart",
        "node asleep",
        "clock jump",
        "clock drift",
        "failed writes",
        "slow syncs",
        "damaged read models",
        "full disk",
        "flipped bit",
        "flipped bit while down",
        "busy region",
        "rotten memory",
        "proposals refused late",
        "proposals unanswered",
        "proposals twice",
        "proposals of another epoch",
        "lost disk",
    ];
}

impl Trouble {
    /// The faults it becomes, each with its time in the same milliseconds.
    #[must_use]
    pub fn faults(&self) -> Vec<(u64, Fault)> {
        let (start, end) = (self.at_ms, self.at_ms + self.lasts_ms);
        let while_it_lasts = |disturbance: Disturbance| {
            vec![
                (start, Fault::Disturb(disturbance.clone())),
                (end, Fault::Calm(disturbance)),
            ]
        };
        let down = |fault: fn(String) -> Fault, node: &String, from: u64, until: u64| {
            let node = node.clone();
            [(from, fault(node.clone())), (until, Fault::Start { node })]
        };
        let power_cut = |node| Fault::PowerCut { node };
        let kill = |node| Fault::Kill { node };
        match self.what.clone() {
            What::CutNode { node: host, way } => {
                while_it_lasts(Disturbance::Isolated { host, way })
            }
            What::EstrangeNode { node } => while_it_lasts(Disturbance::Estranged { node }),
            What::CutRegion { region, way } => while_it_lasts(Disturbance::CutOff { region, way }),
            What::PartRegions { regions } => while_it_lasts(Disturbance::Parted { regions }),
            What::Lossy {
                node: host,
                per_mille,
            } => while_it_lasts(Disturbance::Lossy { host, per_mille }),
            What::Slow { node: host, millis } => while_it_lasts(Disturbance::Slow { host, millis }),
            What::Hold { node: host } => while_it_lasts(Disturbance::Held { host }),
            What::Flap { node: host, times } => {
                let way = Way::Both;
                let cut = Disturbance::Isolated { host, way };
                let at = |half: u64| start + self.lasts_ms * half / (2 * times.max(1));
                (0..times)
                    .flat_map(|time| {
                        [
                            (at(2 * time), Fault::Disturb(cut.clone())),
                            (at(2 * time + 1), Fault::Calm(cut.clone())),
                        ]
                    })
                    .collect()
            }
            What::Swizzle { clogged, released } => {
                let step = self.lasts_ms / (2 * clogged.len().max(1) as u64);
                let held = |host| Disturbance::Held { host };
                let begin = (0..).zip(clogged);
                let begin = begin.map(|(n, host)| (start + n * step, Fault::Disturb(held(host))));
                let middle = start + self.lasts_ms / 2;
                let finish = (1..).zip(released);
                let finish = finish.map(|(n, host)| (middle + n * step, Fault::Calm(held(host))));
                begin.chain(finish).collect()
            }
            What::PowerCut { node } => down(power_cut, &node, start, end).into(),
            What::Kill { node } => down(kill, &node, start, end).into(),
            What::PowerCutAt { node, during, nth } => {
                let down = Duration::from_millis(self.lasts_ms);
                let fault = Fault::PowerCutAt {
                    node,
                    during,
                    nth,
                    down,
                };
                vec![(start, fault)]
            }
            What::PowerCutRegion { nodes, .. } => nodes
                .iter()
                .flat_map(|node| down(power_cut, node, start, end))
                .collect(),
            What::RollingRestart { nodes, .. } => {
                let turn = self.lasts_ms / nodes.len().max(1) as u64;
                (0..)
                    .zip(&nodes)
                    .flat_map(|(n, node)| {
                        let from = start + n * turn;
                        down(kill, node, from, from + turn * 2 / 3)
                    })
                    .collect()
            }
            What::Sleep { node } => {
                let behind = i64::try_from(self.lasts_ms).unwrap_or(i64::MAX) * 1_000_000;
                let host = node.clone();
                let held = Disturbance::Held { host };
                let skew = |nanos| Fault::SetSkew {
                    node: node.clone(),
                    nanos,
                };
                vec![
                    (start, Fault::Disturb(held.clone())),
                    // It wakes with the time at which it fell asleep, and learns better later.
                    (end, skew(-behind)),
                    (end, Fault::Calm(held)),
                    (end + SHORT_MS, skew(0)),
                ]
            }
            What::Jump { node, millis } => {
                let skew = |nanos| {
                    let node = node.clone();
                    Fault::SetSkew { node, nanos }
                };
                vec![(start, skew(millis * 1_000_000)), (end, skew(0))]
            }
            What::Drift { node, ppm } => {
                let drift = |ppm| {
                    let node = node.clone();
                    Fault::SetDrift { node, ppm }
                };
                let right = Fault::SetSkew {
                    node: node.clone(),
                    nanos: 0,
                };
                vec![(start, drift(ppm)), (end, drift(0)), (end, right)]
            }
            What::FailWrites { node, count } => {
                let store = Store::Log;
                let fail = Fault::FailWrites {
                    node: node.clone(),
                    store,
                    count,
                };
                let mut faults = vec![(start, fail)];
                faults.extend(down(power_cut, &node, end, end + SHORT_MS));
                faults
            }
            What::SlowSyncs { node, millis } => {
                let slow = |millis| {
                    let node = node.clone();
                    Fault::SlowSyncs { node, millis }
                };
                vec![(start, slow(millis)), (end, slow(0))]
            }
            What::SpoilViews { node } => {
                let spoil = |node| Fault::SpoilViews { node };
                down(spoil, &node, start, end).into()
            }
            What::FullDisk { node } => {
                let fill = Fault::FillDisk { node: node.clone() };
                let room = Fault::MakeRoom { node: node.clone() };
                let mut faults = vec![(start, fill), (end, room)];
                faults.extend(down(kill, &node, end, end + SHORT_MS));
                faults
            }
            What::FlipBit { node, shard } => vec![(start, Fault::FlipBit { node, shard })],
            What::Busy { nodes, millis, .. } => {
                let hold_up = |at: u64, millis: u64| {
                    let set = move |node: &String| {
                        let node = node.clone();
                        (at, Fault::SetHoldUp { node, millis })
                    };
                    nodes.iter().map(set)
                };
                let turn = self.lasts_ms / nodes.len().max(1) as u64;
                let kills = (0..).zip(&nodes).flat_map(|(n, node)| {
                    let from = start + n * turn + turn / 3;
                    down(kill, node, from, from + turn / 3)
                });
                let begin = hold_up(start, millis);
                begin.chain(kills).chain(hold_up(end, 0)).collect()
            }
            What::RottenMemory { node, shard, count } => {
                let rot = |count| Fault::Rot {
                    node: node.clone(),
                    shard,
                    count,
                };
                vec![(start, rot(count)), (end, rot(0))]
            }
            What::Mishaps { nodes, mishap, .. } => {
                let set = |mishap| {
                    move |node: &String| Fault::SetMishap {
                        node: node.clone(),
                        mishap,
                    }
                };
                let begin = nodes.iter().map(set(Some(mishap.into())));
                let finish = nodes.iter().map(set(None));
                let begin = begin.map(|fault| (start, fault));
                begin.chain(finish.map(|fault| (end, fault))).collect()
            }
            What::Rot { node, shard } => {
                let mut faults = Vec::from(down(power_cut, &node, start, end));
                faults.insert(1, (start, Fault::FlipBit { node, shard }));
                faults
            }
            What::LoseDisk { node, comes_back } => {
                let lose = Fault::LoseDisk {
                    node: node.clone(),
                    comes_back,
                };
                vec![(start, lose), (end, Fault::Start { node })]
            }
        }
    }
}

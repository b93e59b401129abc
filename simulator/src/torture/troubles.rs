//! What will go wrong, out of a seed, in the words of the simulator's [plans](crate::plan); and what
//! each of them means for real processes.

use std::time::Duration;

use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use crate::{
    Seed,
    plan::{
        Client, Plan, Region, Trouble, What,
        generate::round_trips,
        redundancy::{covers, losers},
    },
    simulation::{Fault, Way},
};

const ACCOUNTS_PER_SHARD: usize = 4;
const SHARDS_PER_REGION: u32 = 2;
const CUSTOMERS: u32 = 8;
/// How long something is wrong, in milliseconds.
const LASTS_MS: std::ops::RangeInclusive<u64> = 200..=6_000;
/// Time for the bank to work between two troubles, in milliseconds.
const GAP_MS: std::ops::RangeInclusive<u64> = 200..=2_500;
/// How many of a hundred troubles begin before the one before has ended.
const TOGETHER: u32 = 35;
/// A disk that is full is looked at, which takes time.
const FULL_MS: std::ops::RangeInclusive<u64> = 4_000..=8_000;

/// What can go wrong on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Able {
    /// There is a network that obeys.
    pub(super) network: bool,
    /// Nodes have file systems of their own.
    pub(super) disks: bool,
}

/// Something that is done to the real thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// As in the simulation. A power cut kills the process and takes the end of its log.
    Fault(Fault),
    /// SIGSTOP.
    Stop(String),
    /// SIGCONT.
    Continue(String),
    /// The file system is filled: to the last byte, or so far that the node takes nothing new.
    Fill { node: String, is_brim: bool },
}

/// Two regions; the fourth node of the second votes nowhere and has copies only.
fn regions() -> Vec<Region> {
    let region = |name: &str, nodes| Region {
        name: name.to_owned(),
        nodes,
        shards: SHARDS_PER_REGION,
    };
    vec![region("eu-west", 3), region("us-east", 4)]
}

/// The plan of a seed. It asks no more of the ledger than it promises.
pub(super) fn plan(seed: Seed, length: Duration, able: Able) -> Plan {
    let mut rng = seed.derive("torture").rng();
    let rng = &mut rng;
    let regions = regions();
    let zipf = *[0, 700, 1_000, 1_500].choose(rng).expect("some");
    let mut plan = Plan {
        troubled_founding: false,
        seed,
        length_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        round_trips: round_trips(&regions),
        tail_per_mille: 300,
        decay: 10,
        accounts_per_shard: ACCOUNTS_PER_SHARD,
        clients: (1..=CUSTOMERS)
            .map(|number| Client::draw(number, &regions, zipf, rng))
            .collect(),
        regions,
        troubles: Vec::new(),
        lying_disks: Vec::new(),
    };
    let voters = plan.voters();
    // Dealt like cards: in a few minutes everything comes up.
    let mut deck = Vec::new();
    let mut at_ms = rng.random_range(GAP_MS);
    while at_ms < plan.length_ms {
        if deck.is_empty() {
            deck = self::deck(able);
            deck.shuffle(rng);
        }
        let card = deck.pop().expect("a deck");
        let is_alone = card.is_alone;
        if is_alone {
            at_ms = at_ms.max(end(&plan) + rng.random_range(GAP_MS));
        }
        let lasts_ms = match is_alone {
            true => rng.random_range(FULL_MS),
            false => rng.random_range(LASTS_MS),
        };
        for what in (card.draw)(&plan, rng) {
            plan.troubles.push(Trouble {
                at_ms,
                lasts_ms,
                what,
            });
            if covers(&voters, &losers(&plan, voters.keys().copied())).is_err() {
                plan.troubles.pop();
            }
        }
        at_ms = match !is_alone && rng.random_range(0..100) < TOGETHER {
            true => at_ms + rng.random_range(0..=lasts_ms),
            false => end(&plan) + rng.random_range(GAP_MS),
        };
    }
    plan
}

/// When all is over that has begun: some troubles do their last act before their time is up, some after.
fn end(plan: &Plan) -> u64 {
    let acts = plan.troubles.iter().flat_map(acts_of).map(|(at, _)| at);
    let times = plan.troubles.iter().map(|it| it.at_ms + it.lasts_ms);
    acts.chain(times).max().unwrap_or_default()
}

/// Everything that is done, in the order of its time in milliseconds.
pub(super) fn acts(plan: &Plan) -> Vec<(u64, Act)> {
    let mut acts: Vec<_> = plan.troubles.iter().flat_map(acts_of).collect();
    acts.sort_by_key(|(at, _)| *at);
    acts
}

fn acts_of(trouble: &Trouble) -> Vec<(u64, Act)> {
    let (start, end) = (trouble.at_ms, trouble.at_ms + trouble.lasts_ms);
    let room = |node: &String| Act::Fault(Fault::MakeRoom { node: node.clone() });
    let fill = |node: &String, is_brim| {
        let node = node.clone();
        Act::Fill { node, is_brim }
    };
    match &trouble.what {
        What::Sleep { node } => vec![
            (start, Act::Stop(node.clone())),
            (end, Act::Continue(node.clone())),
        ],
        // Nobody needs to start it again.
        What::FullDisk { node } => vec![(start, fill(node, false)), (end, room(node))],
        What::FailWrites { node, .. } => vec![
            (start, fill(node, true)),
            (end, room(node)),
            (end, Act::Fault(Fault::Kill { node: node.clone() })),
            (end, Act::Fault(Fault::Start { node: node.clone() })),
        ],
        _ => {
            let faults = trouble.faults().into_iter();
            faults.map(|(at, fault)| (at, Act::Fault(fault))).collect()
        }
    }
}

/// A kind of trouble.
struct Card {
    draw: fn(&Plan, &mut SmallRng) -> Vec<What>,
    /// Nothing else is wrong meanwhile.
    is_alone: bool,
}

fn deck(able: Able) -> Vec<Card> {
    let card = |draw| Card {
        draw,
        is_alone: false,
    };
    let alone = |draw| Card {
        draw,
        is_alone: true,
    };
    let mut deck = vec![
        card(kill),
        card(kill),
        card(cut_power),
        card(cut_power),
        card(|plan, rng| {
            two_of_a_region(plan, rng)
                .map(|node| What::Kill { node })
                .into()
        }),
        card(|plan, rng| vec![power_cut(plan, &region(plan, rng))]),
        card(everybody_without_power),
        card(rolling_restart),
        card(|plan, rng| {
            vec![What::Sleep {
                node: node(plan, rng),
            }]
        }),
        card(|plan, rng| {
            two_of_a_region(plan, rng)
                .map(|node| What::Sleep { node })
                .into()
        }),
    ];
    if able.network {
        deck.extend([
            card(|plan, rng| cut_node(plan, rng, Way::Both)),
            card(|plan, rng| cut_node(plan, rng, Way::In)),
            card(|plan, rng| cut_node(plan, rng, Way::Out)),
            card(|plan, rng| {
                vec![What::EstrangeNode {
                    node: node(plan, rng),
                }]
            }),
            card(|plan, rng| cut_region(plan, rng, Way::Both)),
            card(|plan, rng| {
                let way = *[Way::In, Way::Out].choose(rng).expect("two");
                cut_region(plan, rng, way)
            }),
            card(flap),
            card(lossy),
            card(slow),
            card(|plan, rng| {
                vec![What::Hold {
                    node: node(plan, rng),
                }]
            }),
            card(swizzle),
        ]);
    }
    if able.disks {
        deck.extend([
            alone(|plan, rng| {
                vec![What::FullDisk {
                    node: node(plan, rng),
                }]
            }),
            alone(|plan, rng| {
                let nodes = plan.nodes_of(&region(plan, rng)).into_iter();
                nodes.map(|node| What::FullDisk { node }).collect()
            }),
            alone(|plan, rng| {
                let node = node(plan, rng);
                vec![What::FailWrites { node, count: 0 }]
            }),
        ]);
    }
    deck
}

fn kill(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let node = node(plan, rng);
    vec![What::Kill { node }]
}

fn cut_power(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let node = node(plan, rng);
    vec![What::PowerCut { node }]
}

fn node(plan: &Plan, rng: &mut SmallRng) -> String {
    plan.nodes().choose(rng).expect("a node").clone()
}

fn region(plan: &Plan, rng: &mut SmallRng) -> String {
    plan.regions.choose(rng).expect("a region").name.clone()
}

fn two_of_a_region(plan: &Plan, rng: &mut SmallRng) -> [String; 2] {
    let nodes = plan.nodes_of(&region(plan, rng));
    let two: Vec<String> = nodes.choose_multiple(rng, 2).cloned().collect();
    two.try_into().expect("a region has two nodes")
}

fn power_cut(plan: &Plan, region: &str) -> What {
    What::PowerCutRegion {
        region: region.to_owned(),
        nodes: plan.nodes_of(region),
    }
}

fn everybody_without_power(plan: &Plan, _: &mut SmallRng) -> Vec<What> {
    let regions = plan.regions.iter();
    regions
        .map(|region| power_cut(plan, &region.name))
        .collect()
}

fn rolling_restart(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let region = region(plan, rng);
    let nodes = plan.nodes_of(&region);
    vec![What::RollingRestart { region, nodes }]
}

fn cut_node(plan: &Plan, rng: &mut SmallRng, way: Way) -> Vec<What> {
    let node = node(plan, rng);
    vec![What::CutNode { node, way }]
}

fn cut_region(plan: &Plan, rng: &mut SmallRng, way: Way) -> Vec<What> {
    let region = region(plan, rng);
    vec![What::CutRegion { region, way }]
}

fn flap(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let (node, times) = (node(plan, rng), rng.random_range(2..=6));
    vec![What::Flap { node, times }]
}

fn lossy(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let (node, per_mille) = (node(plan, rng), rng.random_range(10..=300));
    vec![What::Lossy { node, per_mille }]
}

fn slow(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let (node, millis) = (node(plan, rng), rng.random_range(5..=400));
    vec![What::Slow { node, millis }]
}

fn swizzle(plan: &Plan, rng: &mut SmallRng) -> Vec<What> {
    let nodes = plan.nodes();
    let count = rng.random_range(2..=nodes.len());
    let clogged: Vec<String> = nodes.choose_multiple(rng, count).cloned().collect();
    let mut released = clogged.clone();
    released.shuffle(rng);
    vec![What::Swizzle { clogged, released }]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Able = Able {
        network: true,
        disks: true,
    };
    const MINUTES: Duration = Duration::from_secs(10 * 60);

    #[test]
    fn a_seed_is_a_plan_and_no_plan_crosses_the_redundancy() {
        let mut plans = Vec::new();
        for seed in (0..50).map(Seed) {
            let plan = plan(seed, MINUTES, ALL);
            assert_eq!(plan, self::plan(seed, MINUTES, ALL));
            let voters = plan.voters();
            covers(&voters, &losers(&plan, voters.keys().copied())).expect("it is covered");
            assert!(!plans.contains(&plan), "{seed:?} is like another");
            plans.push(plan);
        }
    }

    #[test]
    fn everything_comes_up_in_two_minutes_of_a_few_seeds() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in (0..3).map(Seed) {
            kinds.extend(plan(seed, MINUTES / 5, ALL).kinds().into_keys());
        }
        for kind in ["process killed", "node asleep", "node cut off one way"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
        for kind in ["region cut off", "full disk", "failed writes"] {
            assert!(kinds.contains(kind), "{kinds:?}");
        }
    }

    #[test]
    fn what_a_machine_cannot_do_is_in_no_plan() {
        let plan = plan(Seed(1), MINUTES, Able::default());
        let acts = acts(&plan);
        assert!(acts.len() > 100, "{}", acts.len());
        for (_, act) in acts {
            let is_possible = match &act {
                Act::Fault(fault) => matches!(
                    fault,
                    Fault::Kill { .. } | Fault::PowerCut { .. } | Fault::Start { .. }
                ),
                Act::Stop(_) | Act::Continue(_) => true,
                Act::Fill { .. } => false,
            };
            assert!(is_possible, "{act:?}");
        }
    }

    #[test]
    fn nothing_else_is_wrong_while_a_disk_is_full() {
        for seed in (0..20).map(Seed) {
            let plan = plan(seed, MINUTES, ALL);
            let is_full =
                |what: &What| matches!(what, What::FullDisk { .. } | What::FailWrites { .. });
            let over = |trouble: &Trouble| trouble.at_ms + trouble.lasts_ms;
            for full in plan.troubles.iter().filter(|it| is_full(&it.what)) {
                let meanwhile = plan.troubles.iter().filter(|it| {
                    !is_full(&it.what) && it.at_ms < over(full) && full.at_ms < over(it)
                });
                assert_eq!(meanwhile.count(), 0, "{full:?}");
            }
        }
    }
}

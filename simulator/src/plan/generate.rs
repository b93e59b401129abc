use std::collections::{BTreeMap, BTreeSet};

use rand::{
    Rng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::{
    Client, Consumed, Consumes, Habits, Plan, Region, RoundTrip, Trouble, Unlikely, What,
    distances,
    redundancy::{self, covers},
};
use crate::{
    Seed,
    simulation::{Operation, Way},
};

/// Clients ask and things go wrong for so long, in milliseconds.
const LENGTH_MS: std::ops::RangeInclusive<u64> = 15_000..=45_000;
/// One trouble in so many milliseconds, at the worst and at the best.
const TROUBLE_EVERY_MS: std::ops::RangeInclusive<u64> = 1_500..=6_000;
const MAX_SHARDS: u32 = 8;

impl Plan {
    /// The plan of a seed. It asks no more of the ledger than it promises.
    #[must_use]
    pub fn generate(seed: Seed) -> Plan {
        let mut rng = seed.derive("plan").rng();
        let rng = &mut rng;
        let regions = regions(rng);
        let length_ms = rng.random_range(LENGTH_MS);
        let clients = clients(&regions, rng);
        let mut plan = Plan {
            seed,
            length_ms,
            round_trips: round_trips(&regions),
            tail_per_mille: *[0, 100, 300, 1_000].choose(rng).expect("some"),
            decay: *[5, 10, 20].choose(rng).expect("some"),
            accounts_per_shard: rng.random_range(1..=4),
            regions,
            clients,
            troubles: Vec::new(),
            troubled_founding: rng.random_bool(0.25),
            lying_disks: Vec::new(),
        };
        let voters = plan.voters();
        let many = length_ms / rng.random_range(TROUBLE_EVERY_MS);
        for _ in 0..many {
            let at_ms = rng.random_range(0..length_ms * 9 / 10);
            // Most are short; some last until long after the clients have lost their patience.
            let longest = (length_ms / 2).min(*[1_000, 4_000, 15_000].choose(rng).expect("some"));
            let trouble = Trouble {
                at_ms,
                lasts_ms: rng.random_range(100..=longest),
                what: what(&plan, &voters, rng),
            };
            plan.troubles.push(trouble);
            let losers = redundancy::losers(&plan, voters.keys().copied());
            if covers(&voters, &losers).is_err() {
                plan.troubles.pop();
            }
        }
        let mut rng = seed.derive("consumers").rng();
        let consumers = consumers(&plan.regions, &mut rng);
        plan.clients.extend(consumers);
        let mut rng = seed.derive("operators").rng();
        plan.clients.extend(operator(&plan.regions, &mut rng));
        let mut rng = seed.derive("clerks").rng();
        let clerks = clerks(&plan.regions, &mut rng);
        plan.clients.extend(clerks);
        let mut rng = seed.derive("mishaps").rng();
        plan.troubles.extend(mishaps(&plan, &mut rng));
        plan.troubles.extend(busy(&plan, &mut rng));
        plan.troubles.extend(rot(&plan, &voters, &mut rng));
        plan.troubles.sort_by_key(|trouble| trouble.at_ms);
        plan
    }

    /// The names of the nodes that vote in each shard.
    #[must_use]
    pub fn voters(&self) -> BTreeMap<u32, Vec<String>> {
        let topology = self.topology();
        topology.voters(&|region| self.shards_of(region))
    }

    pub(crate) fn nodes(&self) -> Vec<String> {
        let places = self.topology().places();
        places.into_iter().map(|place| place.name).collect()
    }

    pub(crate) fn nodes_of(&self, region: &str) -> Vec<String> {
        let places = self.topology().places().into_iter();
        let of_region = places.filter(|place| place.region == region);
        of_region.map(|place| place.name).collect()
    }
}

/// Small worlds more often than large ones: they take less time, and most mistakes need few nodes.
fn regions(rng: &mut SmallRng) -> Vec<Region> {
    let count = [1, 2, 2, 2, 3, 3, 3, 3, 4, 5].choose(rng).expect("some");
    let mut shards_left = rng.random_range(*count..=MAX_SHARDS).min(*count + 3);
    let known = distances::REGIONS.choose_multiple(rng, *count as usize);
    let known: Vec<_> = known.copied().collect();
    let mut regions = Vec::new();
    for (place, known) in (0..).zip(known) {
        let regions_left = count - place;
        let shards = match regions_left {
            1 => shards_left,
            _ => rng.random_range(1..=shards_left - (regions_left - 1)),
        };
        shards_left -= shards;
        regions.push(Region {
            name: known.name.to_owned(),
            nodes: *[1, 3, 3, 3, 3, 5].choose(rng).expect("some"),
            shards,
        });
    }
    regions
}

pub(crate) fn round_trips(regions: &[Region]) -> Vec<RoundTrip> {
    let mut trips = Vec::new();
    for (n, a) in regions.iter().enumerate() {
        for b in &regions[n + 1..] {
            let millis = distances::round_trip_millis(&a.name, &b.name);
            trips.push(RoundTrip {
                between: [a.name.clone(), b.name.clone()],
                millis: millis.expect("regions are drawn from the table"),
            });
        }
    }
    trips
}

fn clients(regions: &[Region], rng: &mut SmallRng) -> Vec<Client> {
    let zipf = *[0, 700, 1_000, 1_500].choose(rng).expect("some");
    (1..=rng.random_range(2..=8))
        .map(|number| Client::draw(number, regions, zipf, rng))
        .collect()
}

/// A consumer group in every fourth plan, and now and then another.
fn consumers(regions: &[Region], rng: &mut SmallRng) -> Vec<Client> {
    let count = *[0, 0, 0, 0, 0, 0, 1, 2].choose(rng).expect("some");
    (1..=count)
        .map(|number| Client::consuming(number, regions, rng))
        .collect()
}

/// Somebody who has read models made again, in every third plan.
fn operator(regions: &[Region], rng: &mut SmallRng) -> Option<Client> {
    let region = regions.choose(rng).expect("a region").name.clone();
    let operator = Client {
        name: "operator".to_owned(),
        region,
        habits: Habits {
            rebuilds: true,
            ..Habits::default()
        },
    };
    rng.random_ratio(1, 3).then_some(operator)
}

/// Two who open accounts that are to be known by the same references, in every third plan.
fn clerks(regions: &[Region], rng: &mut SmallRng) -> Vec<Client> {
    let count = if rng.random_ratio(1, 3) { 2 } else { 0 };
    let clerks = (1..=count).map(|number| Client {
        name: format!("clerk-{number}"),
        region: regions.choose(rng).expect("a region").name.clone(),
        habits: Habits {
            opens: true,
            ..Habits::default()
        },
    });
    clerks.collect()
}

/// What befalls proposals of the leaders in a region: in most plans once, in some not at all.
fn mishaps(plan: &Plan, rng: &mut SmallRng) -> Vec<Trouble> {
    use Unlikely::{AnotherEpoch, AnswerLost, RefusedLate, Twice};
    let trouble = |rng: &mut SmallRng| {
        let region = plan.regions.choose(rng).expect("a region").name.clone();
        let mishap = [RefusedLate, AnswerLost, Twice, AnotherEpoch].choose(rng);
        Trouble {
            at_ms: rng.random_range(0..plan.length_ms * 9 / 10),
            lasts_ms: rng.random_range(1_000..=10_000),
            what: What::Mishaps {
                nodes: plan.nodes_of(&region),
                region,
                mishap: *mishap.expect("some"),
            },
        }
    };
    (0..rng.random_range(0..=3)).map(|_| trouble(rng)).collect()
}

/// Busy machines, in every second plan.
fn busy(plan: &Plan, rng: &mut SmallRng) -> Option<Trouble> {
    let region = plan.regions.choose(rng).expect("a region").name.clone();
    let what = What::Busy {
        nodes: plan.nodes_of(&region),
        region,
        millis: rng.random_range(5..=60),
    };
    let trouble = Trouble {
        at_ms: rng.random_range(0..plan.length_ms * 2 / 3),
        lasts_ms: rng.random_range(6_000..=12_000),
        what,
    };
    rng.random_bool(0.5).then_some(trouble)
}

/// Memory that rots on the node that passes a shard's records on to the others of its region, if
/// there is one: they must not believe it, and go to an honest one.
fn rot(plan: &Plan, voters: &BTreeMap<u32, Vec<String>>, rng: &mut SmallRng) -> Option<Trouble> {
    let places = plan.topology().places();
    let mut relays = Vec::new();
    for region in plan.regions.iter().filter(|region| region.nodes > 1) {
        let of_region = places.iter().filter(|place| place.region == region.name);
        let nodes: BTreeMap<u64, &str> = of_region
            .map(|place| (place.node_id, place.name.as_str()))
            .collect();
        let is_abroad = |voters: &[String]| !voters.iter().any(|v| nodes.values().any(|n| n == v));
        let abroad = voters.iter().filter(|(_, voters)| is_abroad(voters));
        let ids: Vec<u64> = nodes.keys().copied().collect();
        let relay = |shard: u32| nodes[&replication::copy::order(shard, &ids)[0]].to_owned();
        relays.extend(abroad.map(|(shard, _)| (relay(*shard), *shard)));
    }
    // A known weakness: a node that starts over a copy whose newest record is another than was written,
    // in a right frame, waits for it to be mended, and nobody mends it. While it runs, it is mended.
    let restarts = plan
        .troubles
        .iter()
        .flat_map(|trouble| trouble.what.restarts());
    let restarted: BTreeSet<&str> = restarts.collect();
    relays.retain(|(node, _)| !restarted.contains(&node[..]));
    let (node, shard) = relays.choose(rng)?.clone();
    Some(Trouble {
        at_ms: rng.random_range(0..plan.length_ms / 2),
        lasts_ms: plan.length_ms / 3,
        what: What::RottenMemory {
            node,
            shard,
            count: rng.random_range(1..=5),
        },
    })
}

impl Client {
    /// A consumer group, somewhere.
    pub(crate) fn consuming(number: u32, regions: &[Region], rng: &mut SmallRng) -> Self {
        let region = &regions.choose(rng).expect("there is a region").name;
        let orders = [Consumed::Account, Consumed::Shard, Consumed::Cut];
        let consumes = Consumes {
            order: *orders.choose(rng).expect("some"),
            narrow: rng.random_bool(0.3),
            abroad: rng.random_bool(0.3),
            members: rng.random_range(1..=3),
        };
        Client {
            name: format!("group-{number}"),
            region: region.clone(),
            habits: Habits {
                consumes: Some(consumes),
                ..Habits::default()
            },
        }
    }

    /// Somebody, somewhere.
    pub(crate) fn draw(number: u32, regions: &[Region], zipf: u16, rng: &mut SmallRng) -> Self {
        let region = &regions.choose(rng).expect("there is a region").name;
        let mut often = |most: u16| rng.random_range(0..=most);
        let habits = Habits {
            think_ms: 20 + u64::from(often(200)),
            near: often(1_000),
            zipf,
            far_nodes: often(2),
            looks: often(400),
            looks_again: often(600),
            closes: often(15),
            batches: often(200),
            looks_up: often(150),
            stale_looks: often(700),
            abandons: often(150),
            gives_up: often(500),
            asks_again: often(200),
            nonsense: often(60),
            conditions: often(250),
            dry_runs: often(100),
            freezes: often(60),
            holds: often(300),
            overrides: often(60),
            groups: often(120),
            // Nothing is drawn for these: the plans of before stay as they were but for them.
            days: if number % 5 == 4 { 400 } else { 0 },
            channels: if number % 5 == 3 { 500 } else { 0 },
            journals: if number % 5 == 2 { 500 } else { 60 },
            customers: if number.is_multiple_of(5) { 300 } else { 20 },
            groups_among: 300,
            reversals: if number % 5 == 1 { 150 } else { 30 },
            limits: if number % 5 == 3 { 100 } else { 20 },
            references: if number % 5 == 1 { 200 } else { 20 },
            ..Habits::default()
        };
        Client {
            name: format!("client-{number}"),
            region: region.clone(),
            habits,
        }
    }
}

fn what(plan: &Plan, voters: &BTreeMap<u32, Vec<String>>, rng: &mut SmallRng) -> What {
    let region = plan.regions.choose(rng).expect("a region").name.clone();
    let of_region = plan.nodes_of(&region);
    let node = of_region.choose(rng).expect("a node").clone();
    let way = *[Way::Both, Way::Out, Way::In].choose(rng).expect("some");
    let has_more = plan.regions.len() > 1;
    match rng.random_range(0..24) {
        0 => What::CutNode { node, way },
        1 => What::EstrangeNode { node },
        2 if has_more => What::CutRegion { region, way },
        3 if has_more => {
            let two = plan.regions.choose_multiple(rng, 2);
            let two: Vec<String> = two.map(|region| region.name.clone()).collect();
            let regions = two.try_into().expect("there are two");
            What::PartRegions { regions }
        }
        4 => What::Flap {
            node,
            times: rng.random_range(2..=6),
        },
        5 => What::Lossy {
            node,
            per_mille: rng.random_range(1..=30),
        },
        6 => What::Slow {
            node,
            millis: rng.random_range(5..=400),
        },
        7 => What::Hold { node },
        8 => {
            let nodes = plan.nodes();
            let count = rng.random_range(1..=nodes.len());
            let clogged: Vec<String> = nodes.choose_multiple(rng, count).cloned().collect();
            let mut released = clogged.clone();
            released.shuffle(rng);
            What::Swizzle { clogged, released }
        }
        9 | 10 => What::PowerCut { node },
        11 | 12 => What::PowerCutAt {
            node,
            during: *[Operation::Write, Operation::Send]
                .choose(rng)
                .expect("some"),
            nth: rng.random_range(1..=150),
        },
        13 => What::Kill { node },
        14 => What::PowerCutRegion {
            region,
            nodes: of_region,
        },
        15 => What::RollingRestart {
            region,
            nodes: of_region,
        },
        16 => What::Sleep { node },
        17 => What::Jump {
            node,
            // Within the bound, and far beyond it.
            millis: match rng.random_bool(0.5) {
                true => rng.random_range(-400..=400),
                false => rng.random_range(-5_000..=5_000),
            },
        },
        18 => What::Drift {
            node,
            ppm: rng.random_range(-20_000..=20_000),
        },
        19 => What::FailWrites {
            node,
            count: rng.random_range(1..=3),
        },
        20 => What::FullDisk { node },
        21 => What::SlowSyncs {
            node,
            // From what nobody notices to what makes a leader hand over.
            millis: *[5, 40, 200, 400, 800].choose(rng).expect("some"),
        },
        22 => What::SpoilViews { node },
        // The rarest last: the line is crossed soon.
        _ => match rng.random_bool(0.7) {
            true => {
                let shard = voters.keys().copied().collect::<Vec<_>>();
                let shard = *shard.choose(rng).expect("there are shards");
                let node = plan.nodes().choose(rng).expect("a node").clone();
                match rng.random_bool(0.5) {
                    true => What::FlipBit { node, shard },
                    false => What::Rot { node, shard },
                }
            }
            false => What::LoseDisk {
                node,
                comes_back: rng.random_bool(0.5),
            },
        },
    }
}

//! The bank that a scenario plays in: its nodes as they ship, with keys out of the seed, and the
//! accounts it will have.

use std::{collections::BTreeMap, future, num::NonZeroU32, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use ledger_domain::{AccountId, Format, RegionName, ShardId};
use node::{
    config::{Archiving, Config, Limits},
    secrets::{Secrets, hex},
    server,
};
use tokio::time::sleep;

use replication::topology::{self, Directory as _, FileDirectory};

use super::{inspector, keys::SharedKeys};
use crate::{
    Seed,
    simulation::{HostContext, StartNode, start_with},
    topology::{Place, Topology},
    world::SimEntropy,
};

/// Where every node listens.
const PORT: u16 = 7000;

/// Who looks after the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Nobody: no node should need it.
    None,
    /// Somebody starts a node that has ended, after a while, as systemd does.
    StartsAgain,
}

/// How long a node that has ended is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// A bank in a simulated world: what its nodes are started with, and which accounts it will have.
#[derive(Clone)]
pub struct Bank(Arc<Founded>);

struct Founded {
    directory: FileDirectory,
    secrets: BTreeMap<String, Secrets>,
    keys: BTreeMap<String, SharedKeys>,
    accounts: Vec<Account>,
    nobodies: Vec<String>,
}

/// An account, as clients name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// What its id is made from.
    pub name: String,
    /// Its home region.
    pub region: String,
    /// Its home shard.
    pub shard: u32,
}

/// The scope of all names that ids are made from.
pub const SCOPE: &str = "simulation";

/// Snapshots are so frequent, and replicate so little before them, that a minute has many and a
/// node that was away for a while is given one.
fn limits() -> Limits {
    Limits {
        snapshot_bytes: 4 << 10,
        snapshot_seconds: 3,
        snapshot_entries: 10,
        scrub_seconds: 10,
        ..Limits::default()
    }
}

/// Where there is an archive, what is purged is moved there at once.
fn archiving() -> Archiving {
    Archiving {
        after_days: 0,
        segment_bytes: 4 << 10,
        scrub_days: 0,
        look_seconds: NonZeroU32::MIN,
        ..Archiving::default()
    }
}

/// What a node is started with, wherever it runs.
pub(crate) fn config(node: u64) -> Config {
    // In the middle of an upgrade, for ever: neighbours write different versions.
    let version = usize::try_from(node).expect("small") % Format::ALL.len();
    Config {
        node,
        // So that somebody is erased who had an account this very day.
        retention_years: 0,
        privileged: (0..64).map(|number| format!("client-{number}")).collect(),
        limits: limits(),
        archive: Some(archiving()),
        write_version: Format::ALL[version],
        ..Config::default()
    }
}

impl Bank {
    /// Every region gets keys out of the seed and so many shards; every shard gets so many accounts.
    ///
    /// # Panics
    ///
    /// When no node could be started in such a world.
    #[must_use]
    pub fn found(
        seed: Seed,
        world: &Topology,
        shards_of: &dyn Fn(&str) -> u32,
        accounts: usize,
    ) -> Self {
        let address = |place: &Place| format!("{}:{PORT}", place.name);
        Self::found_at(seed, world, shards_of, accounts, &address)
    }

    /// The same, with nodes that listen at addresses of the caller's choice.
    ///
    /// # Panics
    ///
    /// When no node could be started in such a world.
    #[must_use]
    pub fn found_at(
        seed: Seed,
        world: &Topology,
        shards_of: &dyn Fn(&str) -> u32,
        accounts: usize,
        address: &dyn Fn(&Place) -> String,
    ) -> Self {
        let secrets: BTreeMap<String, Secrets> = world
            .regions()
            .iter()
            .map(|region| {
                let seed = seed.derive("secrets").derive(&region.name);
                (
                    region.name.clone(),
                    Secrets::generate(&SimEntropy::new(seed)),
                )
            })
            .collect();
        let keys = secrets
            .keys()
            .map(|region| (region.clone(), SharedKeys::default()));
        let keys = keys.collect();
        let directory = directory(world, &secrets, shards_of, address);
        let homes: Vec<_> = directory.topology().shards.clone();
        let accounts = homes
            .iter()
            .flat_map(|home| {
                names_at(&directory, home.region, ShardId(home.id))
                    .take(accounts)
                    .map(|(name, id)| Account {
                        id: id.to_string(),
                        name,
                        region: home.region.to_string(),
                        shard: home.id,
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        let nobodies = world
            .regions()
            .iter()
            .map(|region| AccountId::derive(region_name(&region.name), SCOPE, "nobody").to_string())
            .collect();
        Bank(Arc::new(Founded {
            directory,
            secrets,
            keys,
            accounts,
            nobodies,
        }))
    }

    /// How its nodes start: the server that ships, over a simulated world. A node that ends by
    /// itself fails the run, unless somebody looks after it: then it is started again.
    #[must_use]
    pub fn start(&self, care: Care) -> StartNode {
        let bank = self.clone();
        start_with(move |host: HostContext| {
            let directory = bank.0.directory.clone();
            let secrets = bank.0.secrets[&host.region].clone();
            let keys = bank.0.keys[&host.region].clone();
            async move {
                host.trace.record(format!("boot {}", host.boot));
                let config = Config {
                    metrics_listen: Some(inspector::address(&host.name)),
                    ..config(host.node_id)
                };
                loop {
                    let ended = server::serve(
                        directory.clone(),
                        secrets.clone(),
                        Arc::new(keys.clone()),
                        &config,
                        host.world.clone(),
                        future::pending(),
                    )
                    .await;
                    match (care, ended) {
                        (Care::None, ended) => return Ok(ended?),
                        (Care::StartsAgain, Ok(())) => host.trace.record("ended"),
                        (Care::StartsAgain, Err(error)) => {
                            host.trace.record(format!("ended: {error}"));
                        }
                    }
                    sleep(PAUSE).await;
                }
            }
        })
    }

    /// All accounts, in the order of their shards.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.0.accounts
    }

    /// Ids, one in each region, under which no account is ever opened.
    #[must_use]
    pub fn nobodies(&self) -> &[String] {
        &self.0.nobodies
    }

    /// The shard where an account lives, or would if somebody opened it.
    ///
    /// # Panics
    ///
    /// When it is no account's id.
    #[must_use]
    pub fn home(&self, account: &str) -> u32 {
        let id: AccountId = account.parse().expect("an account's id");
        let home = self.0.directory.home(&id);
        home.expect("every account has a home").0
    }

    /// The region of an account that the bank has; nothing of any other.
    #[must_use]
    pub fn home_region(&self, account: &str) -> String {
        let known = self.0.accounts.iter().find(|known| known.id == account);
        known.map_or_else(String::new, |account| account.region.clone())
    }

    /// The shards of all accounts, and of those that nobody opens.
    #[must_use]
    pub fn homes(&self) -> BTreeMap<String, u32> {
        let accounts = self.0.accounts.iter().map(|account| &account.id);
        let all = accounts.chain(&self.0.nobodies);
        all.map(|id| (id.clone(), self.home(id))).collect()
    }

    /// The residency domain of a region.
    #[must_use]
    pub fn domain(&self, region: &str) -> String {
        let regions = &self.topology().regions;
        let known = regions.iter().find(|known| known.name.as_str() == region);
        known.map(|known| known.domain.clone()).unwrap_or_default()
    }

    /// Where the nodes of a region listen.
    #[must_use]
    pub fn addresses(&self, region: &str) -> Vec<String> {
        let nodes = self.0.directory.topology().nodes.iter();
        nodes
            .filter(|node| node.region.as_str() == region)
            .map(|node| node.address.clone())
            .collect()
    }

    /// The same, and where accounts live.
    pub(crate) fn directory(&self) -> &FileDirectory {
        &self.0.directory
    }

    /// Who is where, as the nodes read it.
    #[must_use]
    pub fn topology(&self) -> &topology::Topology {
        self.0.directory.topology()
    }

    /// The keys of a region's customers.
    #[must_use]
    pub fn keys(&self, region: &str) -> &SharedKeys {
        &self.0.keys[region]
    }

    /// What a region's nodes know and nobody else.
    #[must_use]
    pub fn secrets(&self, region: &str) -> &Secrets {
        &self.0.secrets[region]
    }

    /// The shards, each with the names of the nodes that vote in it.
    pub fn shards(&self) -> impl Iterator<Item = (u32, Vec<String>)> {
        let topology = self.0.directory.topology();
        topology.shards.iter().map(|shard| {
            let voters = shard.voters.iter().filter_map(|id| topology.node(*id));
            (shard.id, voters.map(|node| node.name.clone()).collect())
        })
    }

    /// By which the region of a shard counts days.
    ///
    /// # Panics
    ///
    /// When the bank has no such shard.
    #[must_use]
    pub fn zone(&self, shard: u32) -> TimeZone {
        let topology = self.topology();
        let shard = topology.shard(ShardId(shard));
        let shard = shard.expect("only shards of the bank are asked for");
        let zone = time_zone(shard.region.as_str());
        TimeZone::get(zone).expect("the zones of regions are known")
    }

    /// The reign of a shard's home.
    #[must_use]
    pub fn epoch(&self, shard: u32) -> u64 {
        let epoch = self.0.directory.epoch(ShardId(shard));
        epoch.expect("only shards of the bank are asked for")
    }
}

fn directory(
    world: &Topology,
    secrets: &BTreeMap<String, Secrets>,
    shards_of: &dyn Fn(&str) -> u32,
    address: &dyn Fn(&Place) -> String,
) -> FileDirectory {
    let places = world.places();
    let regions = world.regions().iter().map(|region| {
        let secrets = &secrets[&region.name];
        topology::Region {
            name: region_name(&region.name),
            time_zone: time_zone(&region.name).to_owned(),
            domain: region.name.clone(),
            domain_key: hex(&secrets.domain_key(&region.name).public().key),
            token_key: hex(secrets.token_key().verifying_key().as_bytes()),
        }
    });
    let nodes = places.iter().map(|place| topology::Node {
        id: place.node_id,
        name: place.name.clone(),
        region: region_name(&place.region),
        address: address(place),
    });
    let number: BTreeMap<&str, u64> = places
        .iter()
        .map(|place| (place.name.as_str(), place.node_id))
        .collect();
    let shards = world.voters(shards_of).into_iter().map(|(id, voters)| {
        let first = places.iter().find(|place| place.name == voters[0]);
        topology::Shard {
            id,
            region: region_name(&first.expect("voters are nodes").region),
            voters: voters.iter().map(|voter| number[voter.as_str()]).collect(),
            replicas: Vec::new(),
        }
    });
    FileDirectory::new(topology::Topology {
        ledger: "simulation".to_owned(),
        regions: regions.collect(),
        nodes: nodes.collect(),
        shards: shards.collect(),
        // The simulated network is as slow as the world is wide.
        dev: topology::Dev::default(),
    })
    .expect("a simulated world makes a topology without faults")
}

/// Names whose accounts live in a shard.
fn names_at(
    directory: &FileDirectory,
    region: RegionName,
    shard: ShardId,
) -> impl Iterator<Item = (String, AccountId)> {
    (1..)
        .map(move |number: u32| {
            let name = format!("customer {number}");
            let id = AccountId::derive(region, SCOPE, &name);
            (name, id)
        })
        .filter(move |(_, id)| directory.home(id) == Some(shard))
}

fn region_name(name: &str) -> RegionName {
    name.parse()
        .expect("simulated regions are named like real ones")
}

/// Where it is already tomorrow when it is still today elsewhere.
fn time_zone(region: &str) -> &'static str {
    match region {
        "eu-west" => "Europe/Dublin",
        "us-east" => "America/New_York",
        "us-west" => "America/Los_Angeles",
        "ap-south" => "Asia/Kolkata",
        "ap-northeast" => "Asia/Tokyo",
        "ap-southeast" => "Australia/Sydney",
        "sa-east" => "America/Sao_Paulo",
        _ => "UTC",
    }
}

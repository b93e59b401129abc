//! Which regions, nodes and shards there are, and where everything lives.
//!
//! Read from a file for now; everything else asks a [`Directory`], so that a replicated one can
//! take the file's place.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::{AccountId, RegionName, ShardId};
use serde::{Deserialize, Serialize};

/// The whole ledger's layout, as its file says it. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The ledger's name. A data directory belongs to one ledger for ever.
    pub ledger: String,
    /// The regions.
    pub regions: Vec<Region>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The shards.
    pub shards: Vec<Shard>,
    /// For trying things out on one machine.
    #[serde(default)]
    pub dev: Dev,
}

/// A failure domain with a name, a time zone and a residency domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: RegionName,
    /// Its IANA time zone: decides its business date.
    pub time_zone: String,
    /// The residency domain whose nodes may read its personal data.
    pub domain: String,
    /// The domain's X25519 public key, 64 hexadecimal digits.
    pub domain_key: String,
    /// The region's Ed25519 public key for tokens, 64 hexadecimal digits.
    pub token_key: String,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// A number that is never used again for another disk.
    pub id: u64,
    /// A name for people.
    pub name: String,
    /// Its region.
    pub region: RegionName,
    /// Where clients and peers reach it, `host:port`.
    pub address: String,
}

/// One Raft group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// A number unique in the ledger.
    pub id: u32,
    /// Where it is decided.
    pub region: RegionName,
    /// The nodes that it is founded with. Who votes later, its log says.
    pub voters: Vec<u64>,
    /// Further nodes of its region that hold a replica: each waits until it is added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<u64>,
}

impl Shard {
    /// The nodes that hold a replica, or would once they are added.
    pub fn holders(&self) -> Vec<u64> {
        self.voters.iter().chain(&self.replicas).copied().collect()
    }
}

/// Settings for one machine that plays the world.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dev {
    /// Round trips between regions, added by the sender to whatever crosses.
    pub round_trips: Vec<RoundTrip>,
}

/// How far two regions are apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTrip {
    /// The two regions.
    pub between: [RegionName; 2],
    /// Milliseconds there and back.
    pub millis: u64,
}

/// What is wrong with a topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not the file that is expected.
    #[error("the topology cannot be read: {0}")]
    Syntax(String),
    /// Two things have one name or number.
    #[error("the topology names {0} twice")]
    Twice(String),
    /// Something is named that is not there.
    #[error("the topology has no {0}, which {1} names")]
    Missing(String, String),
    /// A value that cannot be.
    #[error("in the topology, {0}")]
    Value(String),
}

/// Where everything lives.
pub trait Directory: Send + Sync + 'static {
    /// The layout.
    fn topology(&self) -> &Topology;
    /// The shard an account is decided in; `None` where its region is not of this ledger.
    fn home(&self, account: &AccountId) -> Option<ShardId>;
    /// The reign of a shard's home.
    fn epoch(&self, shard: ShardId) -> Option<u64>;
}

/// A topology that was checked, and what can be derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDirectory {
    topology: Topology,
    shards_of: BTreeMap<RegionName, Vec<ShardId>>,
}

/// Every home is in its first reign: moving homes is not built yet.
const FIRST_EPOCH: u64 = 1;

impl FileDirectory {
    /// From the text of a topology file.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        toml::from_str(text)
            .map_err(|e| Invalid::Syntax(e.to_string()))
            .and_then(Self::new)
    }

    /// From a topology, after checking it.
    pub fn new(topology: Topology) -> Result<Self, Invalid> {
        check(&topology)?;
        let mut shards_of: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for shard in &topology.shards {
            shards_of
                .entry(shard.region)
                .or_default()
                .push(ShardId(shard.id));
        }
        shards_of
            .values_mut()
            .for_each(|shards| shards.sort_unstable());
        Ok(Self {
            topology,
            shards_of,
        })
    }
}

impl Directory for FileDirectory {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn home(&self, account: &AccountId) -> Option<ShardId> {
        let shards = self.shards_of.get(&account.region())?;
        let place = account.spread() % u64::try_from(shards.len()).ok()?;
        shards.get(usize::try_from(place).ok()?).copied()
    }

    fn epoch(&self, shard: ShardId) -> Option<u64> {
        self.topology.shard(shard).map(|_| FIRST_EPOCH)
    }
}

impl Topology {
    /// A region by name.
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.iter().find(|r| r.name == *name)
    }

    /// A node by number.
    pub fn node(&self, id: u64) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }

    /// A shard by number.
    pub fn shard(&self, id: ShardId) -> Option<&Shard> {
        self.shards.iter().find(|s| s.id == id.0)
    }

    /// The round trip between two regions in milliseconds, as the dev settings have it.
    pub fn round_trip_millis(&self, a: &RegionName, b: &RegionName) -> u64 {
        let between = |r: &&RoundTrip| r.between == [*a, *b] || r.between == [*b, *a];
        self.dev
            .round_trips
            .iter()
            .find(between)
            .map_or(0, |r| r.millis)
    }
}

fn unique<T: Ord + ToString>(
    what: &str,
    all: impl Iterator<Item = T>,
) -> Result<BTreeSet<T>, Invalid> {
    let mut seen = BTreeSet::new();
    for one in all {
        let name = format!("{what} {}", one.to_string());
        if !seen.insert(one) {
            return Err(Invalid::Twice(name));
        }
    }
    Ok(seen)
}

fn check(t: &Topology) -> Result<(), Invalid> {
    let regions = unique("region", t.regions.iter().map(|r| r.name))?;
    unique("node", t.nodes.iter().map(|n| n.id))?;
    unique("node", t.nodes.iter().map(|n| n.name.as_str()))?;
    unique("address", t.nodes.iter().map(|n| n.address.as_str()))?;
    unique("shard", t.shards.iter().map(|s| s.id))?;
    for region in &t.regions {
        if jiff::tz::TimeZone::get(&region.time_zone).is_err() {
            let zone = &region.time_zone;
            return Err(Invalid::Value(format!(
                "`{zone}` is not a time zone of IANA"
            )));
        }
        for (name, key) in [
            ("domain_key", &region.domain_key),
            ("token_key", &region.token_key),
        ] {
            if key_bytes(key).is_none() {
                let region = region.name;
                return Err(Invalid::Value(format!(
                    "{name} of region {region} is not 64 hexadecimal digits"
                )));
            }
        }
        if !t.shards.iter().any(|s| s.region == region.name) {
            return Err(Invalid::Value(format!(
                "region {} has no shard",
                region.name
            )));
        }
    }
    for node in &t.nodes {
        if !regions.contains(&node.region) {
            let by = format!("node {}", node.name);
            return Err(Invalid::Missing(format!("region {}", node.region), by));
        }
    }
    for shard in &t.shards {
        let by = format!("shard {}", shard.id);
        if !regions.contains(&shard.region) {
            return Err(Invalid::Missing(format!("region {}", shard.region), by));
        }
        if shard.voters.is_empty() || shard.voters.len().is_multiple_of(2) {
            return Err(Invalid::Value(format!(
                "{by} needs an odd number of voters"
            )));
        }
        unique("voter", shard.voters.iter().copied())?;
        for holder in unique("replica", shard.holders().into_iter())? {
            match t.node(holder) {
                Some(node) if node.region == shard.region => {}
                Some(node) => {
                    return Err(Invalid::Value(format!(
                        "{by} of {} has a replica on {}, which is in {}",
                        shard.region, node.name, node.region
                    )));
                }
                None => return Err(Invalid::Missing(format!("node {holder}"), by)),
            }
        }
    }
    Ok(())
}

/// 32 bytes from 64 hexadecimal digits.
pub fn key_bytes(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let key = "0".repeat(64);
        format!(
            r#"
ledger = "test"
[[regions]]
name = "eu-west"
time_zone = "Europe/Dublin"
domain = "eu"
domain_key = "{key}"
token_key = "{key}"
[[nodes]]
id = 1
name = "eu-1"
region = "eu-west"
address = "127.0.0.1:7400"
[[shards]]
id = 1
region = "eu-west"
voters = [1]
[[shards]]
id = 2
region = "eu-west"
voters = [1]
"#
        )
    }

    #[test]
    fn accounts_are_spread_over_their_regions_shards() {
        let directory = FileDirectory::parse(&text()).unwrap();
        let eu = "eu-west".parse().unwrap();
        let homes: Vec<_> = (0..200)
            .map(|i| {
                directory
                    .home(&AccountId::derive(eu, "t", &i.to_string()))
                    .unwrap()
                    .0
            })
            .collect();
        let first = homes.iter().filter(|shard| **shard == 1).count();
        assert!((60..140).contains(&first), "{first} of 200 in shard 1");
        let mars = AccountId::derive("mars".parse().unwrap(), "t", "x");
        assert_eq!(directory.home(&mars), None);
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (from, to, message) in [
            ("voters = [1]", "voters = [1, 1, 1]", "voter 1 twice"),
            ("voters = [1]", "voters = [7]", "no node 7"),
            ("voters = [1]", "voters = []", "odd number"),
            (
                "voters = [1]",
                "voters = [1]\nreplicas = [1]",
                "replica 1 twice",
            ),
            ("voters = [1]", "voters = [1]\nreplicas = [7]", "no node 7"),
            ("id = 2", "id = 1", "shard 1 twice"),
            ("Europe/Dublin", "Europe/Nowhere", "not a time zone"),
            ("ledger =", "leger =", "unknown field `leger`"),
            ("domain_key = \"0", "domain_key = \"x", "64 hexadecimal"),
        ] {
            let error = FileDirectory::parse(&text().replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}

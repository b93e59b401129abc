//! Who may sign a head, and whether they did.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

use super::stored::{self, Hash, Read, peer};

/// The regions' public keys and the homes of shards, out of a topology's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    keys: BTreeMap<String, VerifyingKey>,
    homes: BTreeMap<u32, String>,
}

/// A text that is no topology.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not a topology with regions and their keys: {0}")]
pub struct InvalidTopology(String);

#[derive(Deserialize)]
struct Topology {
    regions: Vec<Region>,
    shards: Vec<Shard>,
}

#[derive(Deserialize)]
struct Region {
    name: String,
    token_key: String,
}

#[derive(Deserialize)]
struct Shard {
    id: u32,
    region: String,
}

impl Signers {
    /// Reads what matters here of a topology's file.
    pub fn parse(topology: &str) -> Result<Self, InvalidTopology> {
        let topology: Topology = toml::from_str(topology)
            .map_err(|error| InvalidTopology(error.message().to_owned()))?;
        let mut keys = BTreeMap::new();
        for region in topology.regions {
            let key = replication::topology::key_bytes(&region.token_key);
            let key = key.and_then(|key| VerifyingKey::from_bytes(&key).ok());
            let wrong = || InvalidTopology(format!("region {} has no key", region.name));
            keys.insert(region.name.clone(), key.ok_or_else(wrong)?);
        }
        let homes = topology.shards.into_iter();
        let homes = homes.map(|shard| (shard.id, shard.region)).collect();
        Ok(Self { keys, homes })
    }

    /// Did the home of the shard sign this head?
    pub(super) fn signed(&self, told: &Told) -> bool {
        let home = self.homes.get(&told.shard);
        let home = home.filter(|home| **home == told.region);
        let Some(key) = home.and_then(|home| self.keys.get(home)) else {
            return false;
        };
        // As `replication/proto/peer.proto` says what is signed.
        let signed = [
            b"meridian head 1\0",
            told.region.as_bytes(),
            b"\0",
            &told.shard.to_be_bytes(),
            &told.index.to_be_bytes(),
            &told.head,
        ]
        .concat();
        let signature = Signature::from_bytes(&told.signature);
        key.verify_strict(&signed, &signature).is_ok()
    }
}

/// A head that a region has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) shard: u32,
    pub(super) index: u64,
    pub(super) head: Hash,
    pub(super) region: String,
    pub(super) signature: [u8; 64],
}

impl Told {
    /// Reads a head as it is stored.
    pub(super) fn read(head: &peer::SignedHead) -> Read<Self> {
        let bytes = head.signature.len();
        let signature = head.signature[..].try_into();
        Ok(Self {
            shard: head.shard,
            index: head.index,
            head: stored::hash(&head.head)?,
            region: head.region.clone(),
            signature: signature.map_err(|_| format!("a signature of {bytes} bytes"))?,
        })
    }
}

//! What a node does so that its history stays what was written, and everybody's: it scrubs its own
//! store, signs the heads of its shards, and compares those that other regions have signed.

use std::{collections::BTreeMap, time::Duration};

use ed25519_dalek::VerifyingKey;
use ledger_domain::{ShardId, SignedHead};
use replication::{
    heads::{Comparison, Exchange, Homes},
    scrub::{Fault, Scrub, ScrubOptions, Scrubbed},
    topology::{Directory as _, Node, Topology, key_bytes},
};
use tokio::sync::watch;

use super::Server;
use crate::{api::admin::v1 as pb, config::Config};

impl Server {
    /// Starts to scrub and to exchange heads.
    pub(super) fn keep_integrity(
        &self,
        applied: BTreeMap<ShardId, watch::Receiver<u64>>,
        config: &Config,
    ) {
        let limits = &config.limits;
        let days = config.archive.as_ref().map_or(0, |it| it.scrub_days);
        let scrubbed = applied.iter().map(|(id, served)| Scrubbed {
            shard: id.0,
            served: served.clone(),
            sources: self.sources(*id),
        });
        let scrub = Scrub {
            shards: scrubbed.collect(),
            hub: self.hub.clone(),
            peers: self.peers.clone(),
            options: ScrubOptions {
                bytes_per_second: limits.scrub_bytes_per_second,
                interval: Duration::from_secs(limits.scrub_seconds.into()),
                archive_interval: Duration::from_secs(24 * 3600 * u64::from(days)),
                begin: self.world.entropy.next_u64(),
                ..ScrubOptions::default()
            },
            findings: self.scrubbed.clone(),
        };
        let topology = self.directory.topology();
        let mut nodes: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        let me = &self.joining.node;
        for node in topology.nodes.iter().filter(|node| node.id != me.id) {
            nodes.entry(node.region).or_default().push(node.id);
        }
        let exchange = Exchange {
            hub: self.hub.clone(),
            peers: self.peers.clone(),
            region: self.region,
            key: self.secrets.token_key(),
            votes: applied
                .into_iter()
                .filter(|(id, _)| !self.copies.contains_key(id))
                .collect(),
            homes: homes(topology),
            nodes,
            interval: Duration::from_secs(limits.heads_seconds.get().into()),
            told: self.told.clone(),
        };
        self.spawn(scrub.run());
        self.spawn(exchange.run());
    }

    /// Who else may hold a shard, as far as it is known here.
    pub(super) fn sources(&self, shard: ShardId) -> Vec<u64> {
        let (topology, me) = (self.directory.topology(), &self.joining.node);
        sources(topology, me, &self.holders(shard))
    }

    /// What scrubbing and comparing have come to here.
    pub(super) fn integrity(&self) -> pb::Integrity {
        let scrubbed = self.scrubbed.status();
        let told = self.told.status();
        let lately = scrubbed.lately_mended.iter();
        let unreadable = scrubbed.unreadable.iter();
        pb::Integrity {
            passes: scrubbed.passes,
            indexes: scrubbed.indexes,
            bytes: scrubbed.bytes,
            found: scrubbed.found,
            mended: scrubbed.mended,
            standing: scrubbed
                .standing
                .values()
                .map(|it| fault(it, it.tried.clone()))
                .chain(unreadable.map(|(shard, why)| pb::Fault {
                    shard: *shard,
                    part: "store".to_owned(),
                    what: why.clone(),
                    ..pb::Fault::default()
                }))
                .collect(),
            lately_mended: lately
                .map(|(it, by)| fault(it, format!("mended from {}", self.name_of(*by))))
                .collect(),
            heads_signed: told.signed,
            heads_told: told.told,
            heads_refused: told.refused,
            heads_compared: told.compared,
            forks: told.forks.iter().map(ToString::to_string).collect(),
        }
    }

    fn name_of(&self, node: u64) -> String {
        let node = self.directory.topology().node(node);
        node.map_or_else(String::new, |node| node.name.clone())
    }

    /// The heads that this node signed, and those that others have told it, by shard and index.
    pub(super) fn heads(&self) -> Vec<pb::SignedHead> {
        let mine = self.told.mine().into_iter();
        let mine = mine.map(|head| signed(head, pb::Comparison::Mine));
        let told = self.told.told().into_iter().map(|(head, comparison)| {
            let comparison = match comparison {
                Comparison::Waits => pb::Comparison::Waits,
                Comparison::Agrees => pb::Comparison::Agrees,
                Comparison::Differs => pb::Comparison::Differs,
            };
            signed(head, comparison)
        });
        let mut all: Vec<_> = mine.chain(told).collect();
        all.sort_by_key(|head| (head.shard, head.index));
        // Nodes of one region sign with one key: what another replica told may be what this one did.
        all.dedup_by(|told, mine| (told.shard, &told.signature) == (mine.shard, &mine.signature));
        all
    }
}

/// Who else may hold a shard: the nodes of this region, then the others; of each, its members and
/// those who may become it first. What comes from this region crosses no ocean.
pub(super) fn sources(topology: &Topology, me: &Node, holders: &[u64]) -> Vec<u64> {
    let others = topology.nodes.iter().filter(|node| node.id != me.id);
    let mut others: Vec<_> = others.collect();
    others.sort_by_key(|node| (node.region != me.region, !holders.contains(&node.id)));
    others.into_iter().map(|node| node.id).collect()
}

fn signed(head: SignedHead, comparison: pb::Comparison) -> pb::SignedHead {
    pb::SignedHead {
        shard: head.shard.0,
        index: head.index,
        head: head.head.to_vec(),
        region: head.region.to_string(),
        signature: head.signature.to_vec(),
        comparison: comparison.into(),
    }
}

fn fault(fault: &Fault, mending: String) -> pb::Fault {
    pb::Fault {
        shard: fault.shard,
        index: Some(fault.index),
        part: fault.part.to_string(),
        what: fault.what.clone(),
        mending,
    }
}

fn homes(topology: &Topology) -> Homes {
    let key = |text: &str| VerifyingKey::from_bytes(&key_bytes(text)?).ok();
    let shards = topology.shards.iter();
    let regions = topology.regions.iter();
    Homes {
        regions: shards.map(|it| (ShardId(it.id), it.region)).collect(),
        keys: regions
            .filter_map(|it| Some((it.name, key(&it.token_key)?)))
            .collect(),
    }
}

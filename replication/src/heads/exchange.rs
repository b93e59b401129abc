use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use ledger_domain::{RegionName, ShardId, SignedHead};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Told, wire};
use crate::log::{Head, LogHub};
use crate::peer::Peers;
use crate::proto::HeadsRequest;
use crate::proto::heads_client::HeadsClient;

/// How long a node may take to tell its heads.
const PATIENCE: Duration = Duration::from_secs(3);

/// Who may sign for a shard: its home, with the region's key.
#[derive(Debug, Clone, Default)]
pub struct Homes {
    /// The home of each shard.
    pub regions: BTreeMap<ShardId, RegionName>,
    /// Every region's public key.
    pub keys: BTreeMap<RegionName, VerifyingKey>,
}

impl Homes {
    fn may_sign(&self, head: &SignedHead) -> bool {
        let home = self.regions.get(&head.shard);
        let key = home.filter(|home| **home == head.region);
        let key = key.and_then(|home| self.keys.get(home));
        key.is_some_and(|key| head.is_signed_by(key))
    }
}

/// Signs the heads of a node's shards now and then, asks others for theirs, and compares.
pub struct Exchange {
    /// This node's log.
    pub hub: LogHub,
    /// The way to the others.
    pub peers: Peers,
    /// The region of this node, and its key.
    pub region: RegionName,
    /// Signs for the region.
    pub key: SigningKey,
    /// Shards that vote here, and how far each is applied.
    pub votes: BTreeMap<ShardId, watch::Receiver<u64>>,
    /// Whose signature counts.
    pub homes: Homes,
    /// The other nodes, by region. One of each region is asked at a time, this one's own included:
    /// a replica may drift as well.
    pub nodes: BTreeMap<RegionName, Vec<u64>>,
    /// How often.
    pub interval: Duration,
    /// Where it is told what was heard.
    pub told: Told,
}

impl Exchange {
    /// Goes on for as long as the node runs.
    pub async fn run(mut self) {
        for shard in self.homes.regions.keys() {
            match self.hub.told_heads(shard.0) {
                Ok(heads) => {
                    let heads = heads.iter().filter_map(wire::received);
                    self.told.restore(*shard, heads);
                }
                Err(error) => tracing::error!(%shard, %error, "heads told before are lost"),
            }
        }
        loop {
            self.compare().await;
            tokio::time::sleep(self.interval).await;
            self.sign();
            self.ask().await;
            if let Err(error) = self.save().await {
                tracing::error!(%error, "heads that were told cannot be kept");
                return;
            }
        }
    }

    fn sign(&self) {
        for (shard, applied) in &self.votes {
            let applied = *applied.borrow();
            if applied == 0 || self.told.signed(*shard) == Some(applied) {
                continue;
            }
            match self.hub.head(shard.0, applied) {
                Ok(Some(head)) => {
                    let place = (*shard, applied, head);
                    let signed = SignedHead::sign(place, self.region, &self.key);
                    self.told.sign(signed);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%shard, applied, %error, "no head to be signed"),
            }
        }
    }

    /// Asks one node of each region, the next one the next time.
    async fn ask(&mut self) {
        let asked: Vec<u64> = self
            .nodes
            .values_mut()
            .filter_map(|nodes| {
                let asked = nodes.first().copied();
                let others = nodes.len() > 1;
                nodes.rotate_left(usize::from(others));
                asked
            })
            .collect();
        for node in asked {
            let Ok(line) = self.peers.line(node) else {
                continue;
            };
            let limit = self.peers.options().message_limit;
            let mut client = HeadsClient::new(line.channel()).max_decoding_message_size(limit);
            match timeout(PATIENCE, client.heads(HeadsRequest {})).await {
                Ok(Ok(reply)) => {
                    for head in reply.into_inner().heads {
                        self.hear(node, wire::received(&head));
                    }
                }
                // The next one is asked the next time.
                Ok(Err(status)) => tracing::debug!(node, %status, "no heads are told"),
                Err(_) => self.peers.suspect(&line),
            }
        }
    }

    fn hear(&self, node: u64, head: Option<SignedHead>) {
        match head.filter(|head| self.homes.may_sign(head)) {
            Some(head) => self.told.keep(head),
            None => {
                tracing::warn!(node, "a head was told that its home has not signed");
                self.told.refuse();
            }
        }
    }

    /// Compares what has waited for its index.
    async fn compare(&self) {
        for head in self.told.waiting() {
            let here = match self.head_of(head.shard.0, head.index).await {
                Ok(Some(here)) => here,
                Ok(None) => continue,
                Err(error) => {
                    let (shard, index) = (head.shard, head.index);
                    tracing::warn!(%shard, index, %error, "a told head cannot be compared");
                    continue;
                }
            };
            if let Some(fork) = self.told.compare(head, here) {
                let (shard, index) = (fork.told.shard, fork.told.index);
                tracing::error!(%shard, index, %fork, "A FORK: a shard has two histories");
            }
        }
    }

    /// The head of an index, which may be in the archive.
    async fn head_of(&self, shard: u32, index: u64) -> io::Result<Option<Head>> {
        if let Some(head) = self.hub.head(shard, index)? {
            return Ok(Some(head));
        }
        let archived = self.hub.archived(shard)?;
        if archived
            .last()
            .is_none_or(|newest| index > newest.segment.last)
        {
            return Ok(None);
        }
        let found = self.hub.read_audited(shard, index..index + 1, 1).await?;
        Ok(found.first().map(|(_, head)| *head))
    }

    async fn save(&self) -> io::Result<()> {
        let unsaved = self.told.take_unsaved().into_iter();
        let unsaved =
            unsaved.map(|(shard, heads)| (shard.0, heads.iter().map(wire::sent).collect()));
        self.hub.keep_told_heads(unsaved.collect()).await
    }
}

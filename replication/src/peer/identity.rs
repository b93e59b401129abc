use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::lines::Peers;
use crate::hex::hex;
use crate::log::LogHub;
use crate::proto::raft_client::RaftClient;
use crate::proto::{IntroduceReply, IntroduceRequest};
use crate::world::Entropy;

/// What names a disk: drawn when a node first starts on it.
pub(crate) type DiskId = [u8; 16];

/// How long a peer may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(3);
/// How soon a peer that did not answer is called again.
const AGAIN: Duration = Duration::from_millis(200);
const FROM: &str = "meridian-from";
const TO: &str = "meridian-to";

/// Which disk this node has, and which its peers have.
///
/// A vote and an acknowledged append are promises of a disk, not of a number. A node that comes
/// back under its number with another disk, because the old one was lost or because two processes
/// were given one number, has forgotten what it promised: a majority that counts it is none. So
/// every disk has a name of its own, peers remember by what name they first met a number, and no
/// call of Raft's goes to or comes from another. The new disk needs a new number.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    node: u64,
    disk: DiskId,
    hub: LogHub,
    met: Mutex<BTreeMap<u64, DiskId>>,
    rejected: watch::Sender<Option<String>>,
}

impl Identity {
    /// Reads who this node is and whom it has met; a disk that has no name yet gets one.
    pub async fn open(hub: LogHub, node: u64, entropy: &dyn Entropy) -> io::Result<Self> {
        let mut met = hub.disks()?;
        let disk = match met.remove(&node) {
            Some(disk) => disk,
            None => {
                let mut disk = DiskId::default();
                for half in disk.chunks_mut(8) {
                    half.copy_from_slice(&entropy.next_u64().to_be_bytes());
                }
                hub.put_disk(node, &disk).await?;
                disk
            }
        };
        Ok(Self(Arc::new(Inner {
            node,
            disk,
            hub,
            met: Mutex::new(met),
            rejected: watch::Sender::new(None),
        })))
    }

    /// Resolves when a peer knows this node with another disk, to what it says. This node must not
    /// go on under its number.
    pub async fn rejected(&self) -> String {
        let mut rejected = self.0.rejected.subscribe();
        let said = rejected.wait_for(Option::is_some).await;
        let said = said.ok().and_then(|said| said.clone());
        // The sender lives in this very handle.
        said.unwrap_or_default()
    }

    /// The shards of which this disk has any log, a copy included.
    pub(crate) fn begun(&self) -> io::Result<Vec<u32>> {
        self.0.hub.begun()
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<u64, DiskId>> {
        self.0.met.lock().expect("nobody panics while holding this")
    }

    /// What makes calls to a peer known as this node's, once the two have met.
    pub fn signature(&self, to: u64) -> Option<Signature> {
        let disk = *self.met().get(&to)?;
        let from = format!("{} {}", self.0.node, hex(&self.0.disk));
        Some(Signature {
            from: from.parse().expect("digits are a header"),
            to: hex(&disk).parse().expect("digits are a header"),
        })
    }

    /// Tells a peer who this node is and remembers who the peer is. The answer says of which shards
    /// it has any log.
    pub(crate) async fn introduce(
        &self,
        channel: Channel,
        to: u64,
    ) -> Result<IntroduceReply, Status> {
        let request = IntroduceRequest {
            node: self.0.node,
            disk: Bytes::copy_from_slice(&self.0.disk),
        };
        let answer = timeout(INTRODUCTION, RaftClient::new(channel).introduce(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no introduction")));
        let reply = answer.inspect_err(|status| {
            if status.code() == Code::AlreadyExists {
                let said = status.message().to_owned();
                self.0.rejected.send_replace(Some(said));
            }
        })?;
        let reply = reply.into_inner();
        self.meet(to, &reply.disk).await?;
        Ok(reply)
    }

    /// Remembers, durably, with which disk a peer is met for the first time.
    pub(crate) async fn meet(&self, node: u64, disk: &[u8]) -> Result<DiskId, Status> {
        let disk = DiskId::try_from(disk);
        let disk = disk.map_err(|_| Status::invalid_argument("a disk's name has 16 bytes"))?;
        let known = match node == self.0.node {
            true => Some(self.0.disk),
            false => self.met().get(&node).copied(),
        };
        match known {
            Some(known) if known != disk => {
                return Err(Status::already_exists(format!(
                    "node {node} is known to node {} with another disk ({} instead of {}): what it \
                     promised there is lost. Give the node with the new disk a number of its own",
                    self.0.node,
                    hex(&known),
                    hex(&disk)
                )));
            }
            Some(_) => {}
            None => {
                let stored = self.0.hub.put_disk(node, &disk).await;
                stored.map_err(|error| Status::unavailable(error.to_string()))?;
                self.met().insert(node, disk);
            }
        }
        Ok(self.0.disk)
    }

    /// Whether a call comes from a disk that was met, and is for this one.
    pub(crate) fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
        let unknown = || Status::unavailable("the caller has not introduced itself");
        let (from, to) = text(FROM).zip(text(TO)).ok_or_else(unknown)?;
        let (node, disk) = from.split_once(' ').ok_or_else(unknown)?;
        let node = node.parse().map_err(|_| unknown())?;
        let known = self.met().get(&node).copied().ok_or_else(unknown)?;
        if hex(&known) == disk && to == hex(&self.0.disk) {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "the call of node {node} is between other disks than these"
        )))
    }
}

impl Peers {
    /// Introduces this node to others, for as long as it takes to have met them all. One that comes
    /// back with another disk learns here that it must not go on.
    pub async fn introduce(self, others: Vec<u64>) {
        let mut waiting = others;
        loop {
            let mut unmet = Vec::new();
            for node in waiting {
                if self.meet(node).await.is_none() {
                    unmet.push(node);
                }
            }
            if unmet.is_empty() {
                return;
            }
            waiting = unmet;
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Introduces this node to another, once. `None` where the two have not met.
    pub(crate) async fn meet(&self, node: u64) -> Option<IntroduceReply> {
        let line = self.line(node).ok()?;
        let met = self.identity()?.introduce(line.channel(), node).await;
        met.ok()
    }
}

/// What a call of Raft's carries of its sender and its receiver.
#[derive(Debug, Clone)]
pub struct Signature {
    from: MetadataValue<Ascii>,
    to: MetadataValue<Ascii>,
}

impl Interceptor for Signature {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(FROM, self.from.clone());
        metadata.insert(TO, self.to.clone());
        Ok(request)
    }
}

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::audit::Audit;
use super::follower::Follower;
use super::relay::Relay;
use super::{CopyOptions, CopyStatus, Halt, Received};
use crate::feed::Origin;
use crate::log::LogHub;
use crate::peer::Peers;
use crate::proto::Relayed;
use crate::world::Entropy;

/// Where a shard is decided, as seen from the node that keeps a copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The home's nodes, at least one.
    pub home: Vec<u64>,
    /// Whether the home is another region than this node's.
    pub is_abroad: bool,
    /// This node.
    pub node: u64,
    /// The nodes of this region that keep a copy too, with or without this one. They pass it on to
    /// each other.
    pub region: Vec<u64>,
}

/// The copy of one shard on this node. Cheap to clone; it is kept until the last clone is gone.
#[derive(Clone)]
pub struct ShardCopy(Arc<Handle>);

struct Handle {
    shard: u32,
    shared: Arc<Shared>,
    task: AbortHandle,
}

pub(super) struct Shared {
    pub(super) copied: watch::Sender<u64>,
    pub(super) status: watch::Sender<CopyStatus>,
    pub(super) received: Received,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ShardCopy {
    /// Goes on with the copy where it ends on this disk.
    pub fn start(
        shard: u32,
        places: Places,
        hub: LogHub,
        peers: Peers,
        entropy: Arc<dyn Entropy>,
        options: CopyOptions,
    ) -> io::Result<Self> {
        if places.home.is_empty() {
            let what = format!("shard {shard} has no node to be copied from");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let last = hub.copy_last(shard)?;
        let audit = match last {
            None => Audit::from_genesis(shard),
            Some(last) => {
                let head = hub.head(shard, last.index)?.ok_or_else(|| {
                    let index = last.index;
                    let what = format!("the copy of shard {shard} has no head of index {index}");
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })?;
                Audit::after(last.index, head)
            }
        };
        let shared = Arc::new(Shared {
            copied: watch::Sender::new(last.map_or(0, |last| last.index)),
            status: watch::Sender::new(CopyStatus::default()),
            received: Received::default(),
        });
        let follower = Follower {
            shard,
            relay: Relay::new(shard, places.node, &places.region),
            places,
            hub,
            peers,
            entropy,
            options,
            audit,
            shared: shared.clone(),
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        Ok(Self(Arc::new(Handle {
            shard,
            shared,
            task,
        })))
    }

    /// The shard.
    pub fn shard(&self) -> u32 {
        self.0.shard
    }

    /// The last index that is checked and durable here, from now on; 0 also before there is any.
    pub fn copied(&self) -> watch::Receiver<u64> {
        self.0.shared.copied.subscribe()
    }

    /// How the copy fares, from now on.
    pub fn status(&self) -> watch::Receiver<CopyStatus> {
        self.0.shared.status.subscribe()
    }

    /// What was received, since this start.
    pub fn received(&self) -> &Received {
        &self.0.shared.received
    }

    /// What those are told to whom the copy is passed on.
    pub(crate) fn origin(&self) -> Origin {
        let status = self.status();
        Arc::new(move || {
            let status = status.borrow();
            let heard = status.last_heard.map(|heard| heard.elapsed());
            Relayed {
                heard_millis: heard.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
                home_applied: status.home_applied,
                through: status.through.clone(),
            }
        })
    }

    /// When a node of the home was last heard, since this start.
    pub fn last_heard(&self) -> Option<Instant> {
        self.0.shared.status.borrow().last_heard
    }

    /// Why the copy has stopped for good, if it has.
    pub fn halt(&self) -> Option<Halt> {
        self.0.shared.status.borrow().halt.clone()
    }
}

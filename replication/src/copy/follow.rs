use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::audit::Audit;
use super::{CopyOptions, CopyStatus, Halt};
use crate::feed::{Failure, Pull};
use crate::log::LogHub;
use crate::peer::Peers;
use crate::proto::{FeedBatch, FeedRequest};
use crate::world::Entropy;

/// The copy of one shard on this node. Cheap to clone; it is kept until the last clone is gone.
#[derive(Clone)]
pub struct ShardCopy(Arc<Handle>);

struct Handle {
    shard: u32,
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    copied: watch::Sender<u64>,
    status: watch::Sender<CopyStatus>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ShardCopy {
    /// Goes on with the copy where it ends on this disk. `sources` are the home's nodes, at least
    /// one.
    pub fn start(
        shard: u32,
        sources: Vec<u64>,
        hub: LogHub,
        peers: Peers,
        entropy: Arc<dyn Entropy>,
        options: CopyOptions,
    ) -> io::Result<Self> {
        if sources.is_empty() {
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
        });
        let follower = Follower {
            shard,
            sources,
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

    /// When a node of the home was last heard, since this start.
    pub fn last_heard(&self) -> Option<Instant> {
        self.0.shared.status.borrow().last_heard
    }

    /// Why the copy has stopped for good, if it has.
    pub fn halt(&self) -> Option<Halt> {
        self.0.shared.status.borrow().halt.clone()
    }
}

/// Why a feed was left.
enum Left {
    /// It works, and has had nothing new for a while.
    Quiet,
    /// It does not work now.
    Failed(Failure),
    /// No feed can help.
    Halted(Halt),
}

impl From<Failure> for Left {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Follower {
    shard: u32,
    sources: Vec<u64>,
    hub: LogHub,
    peers: Peers,
    entropy: Arc<dyn Entropy>,
    options: CopyOptions,
    audit: Audit,
    shared: Arc<Shared>,
}

impl Follower {
    async fn run(mut self) {
        // Copies of one shard on many nodes should not all pull from the same node.
        let first = self.entropy.next_u64() % self.sources.len() as u64;
        self.sources
            .rotate_left(usize::try_from(first).unwrap_or(0));
        let mut failures = 0;
        loop {
            let node = self.sources[0];
            let begun_at = self.audit.next;
            let left = self.follow(node).await;
            self.shared.status.send_modify(|status| status.node = None);
            if self.audit.next > begun_at {
                failures = 0;
            }
            match left {
                Left::Quiet => failures = 0,
                Left::Failed(failure) => {
                    failures += 1;
                    let (shard, next) = (self.shard, self.audit.next);
                    tracing::warn!(shard, node, next, failures, %failure, "left a feed");
                    let wait = self.options.backoff(failures, self.entropy.next_u64());
                    tokio::time::sleep(wait).await;
                }
                Left::Halted(halt) => {
                    let (shard, index) = (self.shard, self.audit.next);
                    tracing::error!(shard, index, node, %halt, "a copy has stopped for good");
                    self.shared
                        .status
                        .send_modify(|status| status.halt = Some(halt));
                    return;
                }
            }
            self.sources.rotate_left(1);
        }
    }

    async fn follow(&mut self, node: u64) -> Left {
        let request = FeedRequest {
            shard: self.shard,
            from: self.audit.next,
        };
        let (begin, silence) = (self.options.begin, self.options.silence);
        let pull = Pull::begin(&self.peers, node, request, begin, silence).await;
        let mut pull = match pull {
            Ok(pull) => pull,
            Err(failure) => return failure.into(),
        };
        let mut news = Instant::now();
        loop {
            let batch = match pull.next().await {
                Ok(batch) => batch,
                Err(failure) => return failure.into(),
            };
            self.heard(node, &batch);
            if !batch.records.is_empty() {
                self.hub.pace().space().room().await;
                if let Err(halt) = self.take(node, batch).await {
                    return Left::Halted(halt);
                }
                news = Instant::now();
            } else if news.elapsed() > self.options.patience && self.sources.len() > 1 {
                return Left::Quiet;
            }
        }
    }

    fn heard(&self, node: u64, batch: &FeedBatch) {
        self.shared.status.send_modify(|status| {
            status.node = Some(node);
            status.last_heard = Some(Instant::now());
            status.home_applied = status.home_applied.max(batch.applied);
        });
    }

    /// Checks a batch and stores it. Of one that does not fit, what comes before is stored too.
    async fn take(&mut self, node: u64, batch: FeedBatch) -> Result<(), Halt> {
        let shard = self.shard;
        let mut audit = self.audit;
        let mut fit = Vec::with_capacity(batch.records.len());
        let mut unfit = None;
        for record in batch.records {
            match audit.admit(record) {
                Ok(record) => fit.push(record),
                Err(cause) => {
                    let index = audit.next;
                    unfit = Some(Halt::Unfit {
                        shard,
                        index,
                        node,
                        cause,
                    });
                    break;
                }
            }
        }
        if !fit.is_empty() {
            let stored = self.hub.append_copy(shard, fit).await;
            stored.map_err(|error| Halt::Log {
                shard,
                cause: error.to_string(),
            })?;
            self.audit = audit;
            self.shared.copied.send_replace(audit.next - 1);
        }
        unfit.map_or(Ok(()), Err)
    }
}

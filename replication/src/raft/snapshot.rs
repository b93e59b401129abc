//! A shard's snapshots: taken here, sent and fetched, installed.
//!
//! A snapshot is a shortcut through the log, never a replacement: the log is kept. A node that
//! starts goes on from its newest one, and a follower that lacks more of the log than its leader
//! replicates is given one; the history it skipped then comes from any peer ([`crate::backfill`]).

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use ledger_domain::frame;
use openraft::errors::Fatal;
use openraft::raft::SnapshotResponse;
use tokio::time::timeout;
use tonic::Status;

use super::group::Group;
use super::machine::{Adapter, Frozen, Machine};
use super::types::{LogId, SnapshotMeta, SnapshotOf, StoredMembership, Types, Vote};
use crate::log::{
    AppliedMark, ChunkHash, Damage, LogHub, Malformed, Place, ShardLog, record, snapshot_marker,
};
use crate::peer::Peers;
use crate::proto;
use crate::proto::raft_client::RaftClient;
use crate::world::Batch;

/// How much is queued for the disk before the next part is made.
const PART_BYTES: usize = 1 << 20;
/// How long the sender of chunks may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotTaken {
    /// The last index it covers.
    pub index: u64,
    /// Bytes of all its chunks.
    pub bytes: u64,
    /// Bytes of those that the one before did not have: what was written.
    pub new_bytes: u64,
}

/// Why no snapshot was taken. The shard goes on without.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Nothing is applied yet.
    #[error("nothing is applied yet")]
    Nothing,
    /// The group has stopped.
    #[error("the shard has stopped: {0}")]
    Stopped(String),
    /// It cannot be stored.
    #[error("it cannot be stored: {0}")]
    Disk(#[from] io::Error),
}

/// A state with its place in the log.
pub(super) struct Moment {
    pub(super) last: LogId,
    pub(super) membership: StoredMembership,
    pub(super) state: Box<dyn Frozen>,
}

/// A snapshot by reference: its place and the hashes of its chunks.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    /// As stored and sent: a `Snapshot` in its frame.
    pub(super) stored: Bytes,
    pub(super) meta: SnapshotMeta,
    last: LogId,
    chunks: Vec<ChunkHash>,
}

impl Manifest {
    pub(super) fn parse(shard: u32, stored: Bytes) -> Result<Self, Malformed> {
        let message: proto::Snapshot = record::message(&stored)?;
        if message.shard != shard {
            return Err(Malformed::Missing("the shard"));
        }
        let last = record::parsed_id(message.last.ok_or(Malformed::Missing("last"))?)?;
        let last = record::log_id(last);
        let membership_id = message.membership_id.map(record::parsed_id).transpose()?;
        let membership = message.membership.ok_or(Malformed::Missing("membership"))?;
        let membership = record::parsed_membership(membership)?;
        let hashes = message.chunks.iter().map(|chunk| chunk.hash[..].try_into());
        let chunks = hashes.collect::<Result<_, _>>();
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            last_membership: StoredMembership::new(membership_id.map(record::log_id), membership),
        };
        Ok(Self {
            stored,
            meta,
            last,
            chunks: chunks.map_err(|_| Malformed::Missing("the hash of a chunk"))?,
        })
    }

    fn of(&self) -> SnapshotOf {
        SnapshotOf {
            meta: self.meta.clone(),
            snapshot: self.stored.clone(),
        }
    }
}

/// A shard's snapshots in its node's log store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Snapshots {
    hub: LogHub,
    log: Arc<ShardLog>,
    current: Arc<Mutex<Option<Arc<Manifest>>>>,
    /// Held by whoever stores chunks: nobody sweeps them away meanwhile.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Snapshots {
    pub(super) fn open(hub: LogHub, log: Arc<ShardLog>) -> io::Result<Self> {
        let shard = log.shard();
        let stored = hub.snapshot(shard)?;
        let current = stored.map(|stored| Manifest::parse(shard, stored));
        let current = current.transpose().map_err(|cause| {
            let name = "snapshot";
            Damage::from(cause).at(Place::Marker { shard, name })
        })?;
        Ok(Self {
            hub,
            log,
            current: Arc::new(Mutex::new(current.map(Arc::new))),
            turn: Arc::default(),
        })
    }

    pub(super) fn mark(&self) -> AppliedMark {
        self.log.applied()
    }

    pub(super) fn shard(&self) -> u32 {
        self.log.shard()
    }

    fn current(&self) -> Option<Arc<Manifest>> {
        self.current
            .lock()
            .expect("nobody panics while holding this")
            .clone()
    }

    /// Whether a part of the newest was found to be damaged.
    fn is_damaged(&self) -> bool {
        !self.log.damaged_chunks().is_empty()
    }

    /// The newest whole one, as openraft knows it.
    pub(super) fn newest(&self) -> Option<SnapshotOf> {
        self.current().map(|manifest| manifest.of())
    }

    pub(super) fn chunk(&self, hash: &ChunkHash) -> io::Result<Option<Bytes>> {
        self.hub.chunk(self.shard(), hash)
    }

    /// Stores a moment's state as the newest snapshot.
    async fn store(&self, moment: Moment) -> Result<SnapshotTaken, SnapshotError> {
        let _turn = self.turn.lock().await;
        let before = self.current();
        let damaged = self.log.damaged_chunks();
        let known: BTreeSet<_> = before
            .iter()
            .flat_map(|it| it.chunks.iter().copied())
            .filter(|chunk| !damaged.contains(chunk))
            .collect();
        let mut taken = SnapshotTaken {
            index: moment.last.index,
            bytes: 0,
            new_bytes: 0,
        };
        let mut chunks = Vec::new();
        let mut part = Part::default();
        for content in moment.state.chunks() {
            let hash = *blake3::hash(&content).as_bytes();
            let length = content.len() as u64;
            taken.bytes += length;
            if !known.contains(&hash) {
                taken.new_bytes += length;
                part.add(self, hash, content).await?;
            }
            let hash = Bytes::copy_from_slice(&hash);
            chunks.push(proto::SnapshotChunk { hash, length });
            // Making a chunk takes a while; what serves callers comes between two.
            tokio::task::yield_now().await;
        }
        part.flush(self).await?;
        let membership_id = moment.membership.log_id().as_ref().map(record::record_id);
        let message = proto::Snapshot {
            shard: self.shard(),
            last: Some(record::stored_id(record::record_id(&moment.last))),
            membership_id: membership_id.map(record::stored_id),
            membership: Some(record::stored_membership(moment.membership.membership())),
            chunks,
        };
        let stored = frame::seal_message(&message);
        let manifest = Manifest::parse(self.shard(), stored).map_err(io::Error::other)?;
        // One that came from the leader meanwhile may be newer. It is written all the same where
        // nothing was applied since: the chunks that are stored again are durable once what is
        // behind them in the queue is.
        let newest = match self.current() {
            Some(now) if now.last.index >= manifest.last.index => now,
            _ => Arc::new(manifest),
        };
        let marker = snapshot_marker(self.shard(), newest.stored.clone());
        self.hub.write(vec![marker]).await?;
        self.replace(newest);
        self.sweep(before).await?;
        self.log.release_chunks(&damaged);
        Ok(taken)
    }

    fn replace(&self, manifest: Arc<Manifest>) {
        let mut current = self
            .current
            .lock()
            .expect("nobody panics while holding this");
        *current = Some(manifest);
    }

    /// Deletes the chunks that neither the newest snapshot nor the one before it has: a follower
    /// may still be fetching those of the latter.
    async fn sweep(&self, before: Option<Arc<Manifest>>) -> io::Result<()> {
        let kept = before.into_iter().chain(self.current());
        let kept = kept.flat_map(|it| it.chunks.clone()).collect();
        self.hub.sweep_chunks(self.shard(), &kept).await
    }

    /// Fetches from a node what is not here of a snapshot.
    async fn fetch(&self, manifest: &Manifest, peers: &Peers, from: u64) -> Result<(), Status> {
        let mut wanted = BTreeSet::new();
        for hash in &manifest.chunks {
            // A damaged one is fetched again.
            if !matches!(self.chunk(hash), Ok(Some(_))) {
                wanted.insert(*hash);
            }
        }
        let (shard, last) = (self.shard(), manifest.last.index);
        let (all, missing) = (manifest.chunks.len(), wanted.len());
        tracing::info!(shard, last, all, missing, from, "a snapshot is fetched");
        if wanted.is_empty() {
            return Ok(());
        }
        let unavailable = |cause: String| Status::unavailable(cause);
        let line = peers
            .line(from)
            .map_err(|cause| unavailable(cause.to_string()))?;
        let limit = peers.options().message_limit;
        let stranger = || unavailable(format!("node {from} was never met"));
        let signature = peers.identity().and_then(|me| me.signature(from));
        let signature = signature.ok_or_else(stranger)?;
        let mut client = RaftClient::with_interceptor(line.channel(), signature)
            .max_decoding_message_size(limit);
        let hashes = wanted.iter().map(|hash| Bytes::copy_from_slice(hash));
        let request = proto::ChunksRequest {
            shard,
            hashes: hashes.collect(),
        };
        let silent = |_| unavailable(format!("node {from} sends no chunk"));
        let sent = timeout(SILENCE, client.chunks(request)).await;
        let mut sent = sent.map_err(silent)??.into_inner();
        let mut part = Part::default();
        let full = |cause: io::Error| Status::resource_exhausted(cause.to_string());
        for expected in wanted {
            let chunk = timeout(SILENCE, sent.next()).await.map_err(silent)?;
            let chunk = chunk.ok_or_else(|| unavailable("chunks are missing".to_owned()))??;
            let found = blake3::hash(&chunk.content);
            if *found.as_bytes() != expected {
                let what = format!("node {from} sent another chunk than was asked for");
                return Err(Status::data_loss(what));
            }
            part.add(self, expected, chunk.content)
                .await
                .map_err(full)?;
        }
        part.flush(self).await.map_err(full)?;
        // What is queued cannot be read yet. This is behind it in the queue.
        self.hub.write(Batch::new()).await.map_err(full)
    }

    /// Makes a machine what a snapshot says.
    ///
    /// Where its chunks cannot be read but the log holds all it covers, it is applied again from
    /// the log: slower, and just as true.
    pub(super) fn restore(&self, manifest: &Manifest, machine: &dyn Machine) -> io::Result<()> {
        let shard = self.shard();
        let chunks = manifest.chunks.iter();
        let mut chunks = chunks.map(|hash| self.hub.chunk_of_snapshot(shard, hash));
        let last = record::record_id(&manifest.last);
        let Err(unreadable) = machine.restore(last, &mut chunks) else {
            return Ok(());
        };
        tracing::error!(shard, %unreadable, "the snapshot cannot be read");
        let is_elsewhere = self.log.missing().is_some() || self.log.archived_end() > 0;
        if is_elsewhere || !self.log.holds(last)? {
            return Err(unreadable);
        }
        tracing::warn!(shard, "the log is applied from its beginning instead");
        let mut next = 0;
        while next <= last.index {
            for record in self.hub.read(shard, next..last.index + 1, PART_BYTES)? {
                next = record.id.index + 1;
                machine.apply(record.id, record.content());
            }
        }
        Ok(())
    }

    /// Makes a snapshot that is restored the newest, and begins the log after it, in one write.
    pub(super) async fn install(&self, manifest: Manifest) -> io::Result<()> {
        let last = record::record_id(&manifest.last);
        let mark = self.mark();
        if self.log.holds(last)? {
            mark.advance(last.index);
        }
        if self
            .current()
            .is_none_or(|now| now.stored != manifest.stored)
        {
            let (mut batch, forget_through) = self.log.purge(last);
            batch.push(snapshot_marker(self.shard(), manifest.stored.clone()));
            self.hub.write(batch).await?;
            if let Some(index) = forget_through {
                self.log.forget_through(index);
            }
            self.replace(Arc::new(manifest));
        }
        mark.advance(last.index);
        Ok(())
    }
}

/// Chunks on their way to the disk.
#[derive(Default)]
struct Part {
    chunks: Vec<(ChunkHash, Bytes)>,
    bytes: usize,
}

impl Part {
    async fn add(&mut self, to: &Snapshots, hash: ChunkHash, content: Bytes) -> io::Result<()> {
        self.bytes += content.len();
        self.chunks.push((hash, content));
        if self.bytes >= PART_BYTES {
            self.flush(to).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, to: &Snapshots) -> io::Result<()> {
        self.bytes = 0;
        let chunks = std::mem::take(&mut self.chunks);
        to.hub.put_chunks(to.shard(), chunks).await
    }
}

impl Group {
    /// Whether a part of the newest snapshot was found to be damaged, so that another is due.
    #[must_use]
    pub fn needs_snapshot(&self) -> bool {
        self.snapshots().is_damaged()
    }

    /// How the newest snapshot here is referred to, if one was taken.
    #[must_use]
    pub fn newest_snapshot(&self) -> Option<Bytes> {
        self.snapshots().newest().map(|it| it.snapshot)
    }

    /// A chunk of a snapshot by its hash, if it is still kept here.
    ///
    /// # Errors
    ///
    /// Where it is damaged or cannot be read.
    pub fn snapshot_chunk(&self, hash: &[u8; 32]) -> io::Result<Option<Bytes>> {
        self.snapshots().chunk(hash)
    }

    /// Takes a snapshot of what is applied now, while more is applied, and begins Raft's view of
    /// the log some way before it.
    pub async fn snapshot(&self) -> Result<SnapshotTaken, SnapshotError> {
        let stopped = |fatal: Fatal<Types>| SnapshotError::Stopped(fatal.to_string());
        let moment = self
            .raft()
            .with_state_machine(|adapter: &mut Adapter| {
                let moment = adapter.freeze();
                Box::pin(std::future::ready(moment))
            })
            .await
            .map_err(stopped)?;
        let taken = self
            .snapshots()
            .store(moment.ok_or(SnapshotError::Nothing)?)
            .await?;
        let told = self.raft().trigger().snapshot().await;
        told.map_err(stopped)?;
        Ok(taken)
    }

    /// Fetches a leader's snapshot from it and installs it.
    pub(super) async fn receive_snapshot(
        &self,
        vote: Vote,
        stored: Bytes,
    ) -> Result<SnapshotResponse<Types>, Status> {
        let manifest = Manifest::parse(self.shard(), stored)
            .map_err(|cause| Status::invalid_argument(format!("no snapshot: {cause}")))?;
        if manifest.last.leader_id > vote.leader_id {
            return Err(Status::invalid_argument(
                "a snapshot of a later reign than its sender's",
            ));
        }
        let snapshots = self.snapshots();
        let _turn = snapshots.turn.lock().await;
        let from = vote.leader_id.node_id;
        snapshots.fetch(&manifest, self.peers(), from).await?;
        let installed = self.raft().install_full_snapshot(vote, manifest.of()).await;
        installed.map_err(|fatal| Status::unavailable(fatal.to_string()))
    }
}

//! Making a backup out of what running nodes serve.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use ledger_domain::{ShardId, chain};
use replication::{
    archive::{
        backup::{Backup, BackupShard, SegmentRef},
        segment::{self, Gathering, Sealed},
    },
    proto::SignedHead,
};
use tokio::time::{Instant, timeout_at};

use super::{Catalog, Error, Found, catalog::object_of, shortcut};
use crate::{api::admin::v1 as pb, client::Client, secrets::hex};

/// For so long a node may be behind what was applied when a backup was begun, without a record that
/// is new.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// The ledger's.
    pub ledger: String,
    /// By number.
    pub shards: Vec<MadeShard>,
}

/// What was made of a shard.
#[derive(Debug, Clone, Default)]
pub struct MadeShard {
    /// Which.
    pub shard: u32,
    /// Its home.
    pub region: String,
    /// Whether its home said how much there was when the backup was begun. Otherwise it has what a copy
    /// had.
    pub home_heard: bool,
    /// The last index; `None` where it has none.
    pub last: Option<u64>,
    /// How many segments there are, and how many were written now.
    pub segments: usize,
    /// Of them, new.
    pub new_segments: usize,
    /// What all segments take, and those that were written now, in bytes.
    pub bytes: u64,
    /// Of them, new.
    pub new_bytes: u64,
    /// The bytes of all records, as logs have them.
    pub record_bytes: u64,
    /// The index after which a restored node folds its log, where a snapshot was to be had.
    pub snapshot: Option<u64>,
    /// Why there is none that is new.
    pub no_snapshot: Option<String>,
}

/// Makes a backup of the ledger that a client reaches, on top of the newest in the catalog: full
/// segments of that are kept, as far as they are there still. It is named by when it was begun, `wall_nanos` since 1970, and comes after that one whatever the clock says. `progress` is told how many of how many indexes are in it.
///
/// Every record is checked against the audited chain from the first index on before it is kept.
///
/// # Errors
///
/// Where the place has another ledger's backups, or another history of this one; where no node
/// answers, or those that do have not all that had been applied when it was begun; where objects cannot be written. What was written until then is named by nothing, and
/// found by the next attempt.
pub async fn make(
    client: &Client,
    catalog: &Catalog,
    wall_nanos: u64,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Made, Error> {
    let status = client.status().await?;
    let before = catalog.newest().await?;
    if let Some(Found { backup, .. }) = &before
        && backup.ledger != status.ledger
    {
        return Err(Error::OtherLedger {
            place: catalog.place().to_owned(),
            found: backup.ledger.clone(),
            wanted: status.ledger,
        });
    }
    // First, and then again how much there is: segments go at least as far as what the snapshots cover,
    // and as what they have read of each other's logs.
    let mut snapshots = BTreeMap::new();
    for shard in &status.shards {
        let kept = shortcut::keep(client, catalog, shard.number).await?;
        snapshots.insert(shard.number, kept);
    }
    let status = client.status().await?;
    // A clock that was set back must not make an older one of it.
    let newest = before.as_ref().map(|it| it.backup.wall_nanos);
    let wall_nanos = newest.map_or(wall_nanos, |newest| {
        wall_nanos.max(newest.saturating_add(1))
    });
    let total = status
        .shards
        .iter()
        .map(|shard| shard.applied_index + 1)
        .sum();
    let (mut shards, mut made) = (Vec::new(), Vec::new());
    let mut done = 0;
    for shard in &status.shards {
        let known = before.iter().flat_map(|it| &it.backup.shards);
        let kept_before = known.into_iter().find(|it| it.shard == shard.number);
        let known = kept_before.map(|it| it.segments.clone());
        let known = known.unwrap_or_default();
        let said = known.iter().map(|it| (it.last, it.after)).collect();
        let known = catalog.there(shard.number, known).await?;
        let mut going = Going::on(client, catalog, shard, known, said);
        going.run(&|index| progress(done + index, total)).await?;
        done += going.kept.last().map_or(0, |it| it.last + 1);
        let (mut kept, mut report) = going.finish();
        let new = snapshots.remove(&shard.number);
        let new = new.unwrap_or_else(|| Err("the shard is new".to_owned()));
        let last = kept.last();
        kept.snapshot = shortcut::chosen(catalog, &new, kept_before, last).await?;
        report.no_snapshot = new.err();
        report.snapshot = kept.snapshot.map(|it| it.index);
        shards.push(kept);
        made.push(report);
    }
    // Asked for last: of as much as there is now.
    let heads = client.heads().await?.heads;
    for shard in &mut shards {
        shard.heads = signed(&heads, shard);
    }
    let backup = Backup {
        ledger: status.ledger.clone(),
        wall_nanos,
        shards,
    };
    Ok(Made {
        name: catalog.write(&backup).await?,
        ledger: status.ledger,
        shards: made,
    })
}

/// What a shard's home has signed of the indexes that are in a backup.
fn signed(heads: &[pb::SignedHead], shard: &BackupShard) -> Vec<SignedHead> {
    let of_it = heads.iter().filter(|head| {
        head.shard == shard.shard && shard.last().is_some_and(|last| head.index <= last)
    });
    of_it
        .map(|head| SignedHead {
            shard: head.shard,
            index: head.index,
            head: head.head.clone().into(),
            region: head.region.clone(),
            signature: head.signature.clone().into(),
        })
        .collect()
}

/// A shard's history on its way into segments.
struct Going<'a> {
    client: &'a Client,
    catalog: &'a Catalog,
    shard: u32,
    region: String,
    kept: Vec<SegmentRef>,
    /// The short segment that the backup before ended with.
    tail: Option<SegmentRef>,
    /// What the backup before says the chain comes to after some indexes, whether or not its segments
    /// are there still.
    said: BTreeMap<u64, [u8; 32]>,
    /// All before this index had been applied when the backup was begun, as far as is known.
    applied: u64,
    report: MadeShard,
}

impl<'a> Going<'a> {
    fn on(
        client: &'a Client,
        catalog: &'a Catalog,
        shard: &pb::Shard,
        mut kept: Vec<SegmentRef>,
        said: BTreeMap<u64, [u8; 32]>,
    ) -> Self {
        let tail = kept.pop_if(|last| !last.is_full());
        Self {
            client,
            catalog,
            shard: shard.number,
            region: shard.region.clone(),
            kept,
            tail,
            said,
            // Index 0 counts as applied before it is there.
            applied: match shard.applied_index {
                0 => 0,
                applied => applied.saturating_add(1),
            },
            report: MadeShard {
                home_heard: shard.voters_reachable > 0,
                ..MadeShard::default()
            },
        }
    }

    async fn run(&mut self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), Error> {
        let shard = self.shard;
        let (mut next, mut head) = match self.kept.last() {
            Some(last) => (last.last + 1, last.after),
            None => (0, chain::audit_genesis(ShardId(shard))),
        };
        let (mut gathering, begun) = (Gathering::default(), head);
        let mut said: Option<Bytes> = None;
        let mut history = self.client.history(shard, next, self.applied);
        let mut news = None;
        loop {
            let heard = match news {
                // Whoever answers at all is waited for by the client.
                None => history.next().await,
                Some(news) => {
                    let heard = timeout_at(news + PATIENCE, history.next()).await;
                    heard.map_err(|_| Error::Behind {
                        shard,
                        next,
                        applied: self.applied.max(next + 1) - 1,
                    })?
                }
            };
            let Some(records) = heard else {
                break;
            };
            let records = records?;
            if !records.is_empty() || news.is_none() {
                news = Some(Instant::now());
            }
            for record in records {
                self.goes_on(next, &record.head)?;
                next += 1;
                let is_full = gathering.add(record.record);
                said = Some(record.head);
                if is_full {
                    self.ends_nowhere_else(begun, next - 1, said.as_ref())
                        .await?;
                    head = self.keep(head, gathering.take(), said.take()).await?;
                }
            }
            progress(next);
        }
        // A node that is behind may not have all that an earlier backup has.
        let index = next.saturating_sub(1);
        self.ends_nowhere_else(begun, index, said.as_ref()).await?;
        if let Some(tail) = self.tail.take_if(|tail| tail.last >= index) {
            self.kept.push(tail);
            return Ok(());
        }
        if gathering.is_empty() {
            return Ok(());
        }
        self.keep(head, gathering.take(), said).await?;
        Ok(())
    }

    /// Whether the node says what the backup before did, where that says anything.
    fn goes_on(&self, index: u64, said: &Bytes) -> Result<(), Error> {
        match self
            .said
            .get(&index)
            .filter(|before| said[..] != before[..])
        {
            Some(before) => Err(self.differs(index, before, said)),
            None => Ok(()),
        }
    }

    /// Whether the node says the same head after an index as what the backup before ended with, where
    /// that goes further. It follows the head `before`.
    async fn ends_nowhere_else(
        &self,
        before: [u8; 32],
        index: u64,
        said: Option<&Bytes>,
    ) -> Result<(), Error> {
        let further = self.tail.as_ref().filter(|tail| tail.last > index);
        let (Some(tail), Some(said)) = (further, said) else {
            return Ok(());
        };
        let opened = self.catalog.open(self.shard, tail, before).await?;
        let mut records = opened.records.iter();
        let there = records.find(|(record, _)| record.id.index == index);
        match there.filter(|(_, computed)| said[..] != computed[..]) {
            Some((_, computed)) => Err(self.differs(index, computed, said)),
            None => Ok(()),
        }
    }

    fn differs(&self, index: u64, computed: &[u8; 32], said: &[u8]) -> Error {
        Error::Differs {
            shard: self.shard,
            index,
            computed: hex(computed),
            who: "the node".to_owned(),
            said: hex(said),
        }
    }

    /// Seals records that follow the head `before` and writes them. The node has said that their chain
    /// arrives at `said`. The head after them.
    async fn keep(
        &mut self,
        before: [u8; 32],
        records: Vec<Bytes>,
        said: Option<Bytes>,
    ) -> Result<[u8; 32], Error> {
        let shard = self.shard;
        let first = self.kept.last().map_or(0, |last| last.last + 1);
        let sealing = tokio::task::spawn_blocking(move || segment::seal(shard, before, &records));
        let sealed = sealing
            .await
            .map_err(|ended| Error::Broken(ended.to_string()))?;
        let sealed = sealed.map_err(|cause| Error::Segment {
            shard,
            first,
            object: "that is not written".to_owned(),
            cause,
        })?;
        let Sealed { about, object, .. } = &sealed;
        let it = SegmentRef::of(&sealed);
        if let Some(said) = said.filter(|said| said[..] != about.after) {
            return Err(self.differs(it.last, &about.after, &said));
        }
        if it.first != first {
            return Err(Error::Segment {
                shard,
                first,
                object: object_of(shard, &it),
                cause: segment::Damage::Index {
                    found: it.first,
                    expected: first,
                },
            });
        }
        if self.catalog.put(shard, &it, object.clone()).await? {
            self.report.new_segments += 1;
            self.report.new_bytes += it.bytes;
        }
        self.kept.push(it);
        Ok(about.after)
    }

    fn finish(self) -> (BackupShard, MadeShard) {
        let shard = BackupShard {
            shard: self.shard,
            region: self.region.clone(),
            segments: self.kept,
            heads: Vec::new(),
            snapshot: None,
        };
        let report = MadeShard {
            shard: self.shard,
            region: self.region,
            last: shard.last(),
            segments: shard.segments.len(),
            bytes: shard.segments.iter().map(|it| it.bytes).sum(),
            record_bytes: shard.segments.iter().map(|it| it.record_bytes).sum(),
            ..self.report
        };
        (shard, report)
    }
}

//! A backup taken back: the data directories of a new ledger.
//!
//! Every record up to where a shard is ended is checked against the audited chain and written as it was.
//! After it comes a change of the voters under a later epoch, the same on every node: with it the new
//! ledger parts from the old one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ledger_domain::{Entry, Fence, HybridTime, ShardId, chain};
use replication::{
    archive::backup::{BackupShard, SnapshotRef},
    log::{CopyRecord, Head, Kind, LogHub},
    raft::RecordId,
    rocks::RocksDisk,
    topology::{Node, Shard, Topology},
    world::{Disk as _, Store},
};

use super::{
    Catalog, Error, Found,
    cut::{self, Mark, Marks},
    point::{self, To},
    shortcut,
};
use crate::server::data::mark_restored;

/// What is to be restored, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// How far.
    pub to: To,
    /// Also where a shard's part of the backup ends before that time: as much as there is.
    pub incomplete: bool,
    /// The epoch that the new ledger's logs go on in, greater than all that are in the backup. Otherwise
    /// each goes on in the one after its last there.
    pub epoch: Option<u64>,
    /// The new ledger's topology.
    pub topology: &'a Topology,
    /// The nodes of it that a directory is made for.
    pub nodes: &'a [&'a Node],
    /// Where.
    pub data: &'a Path,
    /// Whether the nodes are to begin with the backup's snapshots.
    pub snapshots: bool,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Of which backup.
    pub backup: String,
    /// The old ledger's name.
    pub ledger: String,
    /// The time that was asked for, or that of the position.
    pub time: Option<HybridTime>,
    /// By number.
    pub shards: Vec<RestoredShard>,
    /// The directories, by name of the node.
    pub directories: BTreeMap<String, PathBuf>,
}

/// What was restored of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredShard {
    /// Which.
    pub shard: u32,
    /// The last index that was kept.
    pub last: u64,
    /// How many indexes of the backup were not.
    pub cut_off: u64,
    /// The time of the last entry that was kept; `None` where there is none.
    pub time: Option<HybridTime>,
    /// The new epoch: it begins at the index after the last.
    pub epoch: u64,
    /// The audited chain's head after the first index of the new epoch.
    pub head: [u8; 32],
    /// The index after which its voters fold their logs when they are started; `None` where they fold all.
    pub begins_after: Option<u64>,
    /// Why not with the snapshot that the backup has.
    pub begins_before: Option<String>,
}

/// Restores a backup for some nodes of a new ledger, each into a directory of its name. They
/// are there when this returns, or none is. The same backup, point, epoch and topology give the same logs,
/// wherever and whenever it is done.
///
/// # Errors
///
/// Where the topology is not that of a new ledger with the same shards; where a directory is there
/// already; where the backup ends before what is wanted; where anything in the backup is not as it was.
pub async fn restore(
    catalog: &Catalog,
    found: &Found,
    wanted: Wanted<'_>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Restored, Error> {
    let Wanted {
        to,
        incomplete,
        epoch,
        topology,
        nodes,
        data,
        snapshots,
    } = wanted;
    fits(found, topology)?;
    let segments = found
        .backup
        .shards
        .iter()
        .map(|shard| shard.segments.len() as u64);
    let total = 2 * segments.sum::<u64>();
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(done, total);
    };
    let floor = point::floor(to, &found.backup.shards);
    let mut logs = BTreeMap::new();
    for shard in &found.backup.shards {
        let marks = marks(catalog, shard, floor, &mut step).await?;
        logs.insert(shard.shard, marks);
    }
    let time = point::time_of(to, &logs)?;
    if !incomplete && let Some(time) = time {
        point::covers(&logs, time)?;
    }
    let ends = cut::ends(&logs, time);
    let epochs = point::epochs(&logs, epoch)?;

    let mut targets = Vec::new();
    for node in nodes {
        Target::is_free(node, data)?;
    }
    for node in nodes {
        targets.push(Target::begin(node, data)?);
    }
    let (mut shards, mut places) = (Vec::new(), Vec::new());
    for (kept, home) in found.backup.shards.iter().zip(homes(found, topology)) {
        let marks = &logs[&kept.shard];
        let Some(end) = ends.get(&kept.shard).copied() else {
            return Err(Error::NothingLeft { shard: kept.shard });
        };
        let epoch = epochs[&kept.shard];
        let snapshot = kept.snapshot.filter(|it| snapshots && it.index <= end);
        let writing = Writing {
            catalog,
            kept,
            home,
            topology,
            end,
            epoch,
            snapshot,
            targets: &targets,
        };
        let Written { head, at } = writing.run(&mut step).await?;
        if let (Some(snapshot), Some(at)) = (snapshot, at) {
            places.push((home, kept.shard, snapshot, at));
        }
        shards.push(RestoredShard {
            shard: kept.shard,
            last: end,
            cut_off: marks.last - end,
            time: marks.time_at(end),
            epoch,
            head,
            begins_after: None,
            begins_before: None,
        });
    }
    for (home, shard, snapshot, at) in places {
        let begun = begin_with(catalog, home, (shard, snapshot), at, &ends, &targets).await;
        if let Err(Error::Directory { .. }) = begun {
            begun?;
        } else if let Some(it) = shards.iter_mut().find(|it| it.shard == shard) {
            it.begins_after = begun.is_ok().then_some(snapshot.index);
            it.begins_before = begun.err().map(|error| error.to_string());
        }
    }
    let mut directories = BTreeMap::new();
    for target in targets {
        let name = target.node.name.clone();
        directories.insert(name, target.finish(topology).await?);
    }
    // Their names, too, are there after a loss of power.
    let synced = std::fs::File::open(data).and_then(|data| data.sync_all());
    synced.map_err(|cause| Error::Directory {
        path: data.to_owned(),
        cause,
    })?;
    Ok(Restored {
        backup: found.name.clone(),
        ledger: found.backup.ledger.clone(),
        time,
        shards,
        directories,
    })
}

/// The shards of the topology, in the order of the backup's.
fn homes<'a>(found: &Found, topology: &'a Topology) -> Vec<&'a Shard> {
    let shards = found.backup.shards.iter();
    shards
        .filter_map(|kept| topology.shard(ShardId(kept.shard)))
        .collect()
}

/// Is it a new ledger, with the shards of the old one?
fn fits(found: &Found, topology: &Topology) -> Result<(), Error> {
    if topology.ledger == found.backup.ledger {
        return Err(Error::SameLedger(topology.ledger.clone()));
    }
    let name = |shard: u32, region: &str| format!("{shard} of {region}");
    let mut had: Vec<_> = found
        .backup
        .shards
        .iter()
        .map(|it| name(it.shard, &it.region))
        .collect();
    let mut has: Vec<_> = topology
        .shards
        .iter()
        .map(|it| name(it.id, it.region.as_str()))
        .collect();
    had.sort_unstable();
    has.sort_unstable();
    match had == has {
        true => Ok(()),
        false => Err(Error::OtherShards {
            had: had.join(", "),
            has: has.join(", "),
        }),
    }
}

/// Reads a shard's history for what a cut must know of it.
async fn marks(
    catalog: &Catalog,
    shard: &BackupShard,
    floor: u64,
    step: &mut impl FnMut(),
) -> Result<Marks, Error> {
    let mut head = chain::audit_genesis(ShardId(shard.shard));
    let mut marks = Marks::default();
    let mut fence = Fence::new(ShardId(shard.shard), 1);
    for segment in &shard.segments {
        let opened = catalog.open(shard.shard, segment, head).await?;
        head = opened.about.after;
        for (record, _) in opened.records {
            marks.goes_on(record.id.index, record.id.epoch);
            fence.under(record.id.epoch);
            if record.kind != Kind::Entry {
                continue;
            }
            let entry = Entry::decode(&record.payload).map_err(|cause| Error::Entry {
                shard: shard.shard,
                index: record.id.index,
                cause: cause.to_string(),
            })?;
            if fence.admit(&entry, &record.payload) {
                let mark = Mark {
                    index: record.id.index,
                    time: entry.time,
                    causes: entry.causes,
                };
                marks.add(mark, floor);
            }
        }
        step();
    }
    Ok(marks)
}

/// What a shard's log is written from, and to.
struct Writing<'a> {
    catalog: &'a Catalog,
    kept: &'a BackupShard,
    home: &'a Shard,
    topology: &'a Topology,
    end: u64,
    epoch: u64,
    snapshot: Option<SnapshotRef>,
    targets: &'a [Target],
}

/// What was written of a shard.
struct Written {
    /// The audited chain's head after the first index of the new epoch.
    head: Head,
    /// What the log has where the snapshot ends.
    at: Option<(RecordId, Head)>,
}

impl Writing<'_> {
    /// Writes the log up to its end into all directories, and the beginning of the new epoch.
    async fn run(self, step: &mut impl FnMut()) -> Result<Written, Error> {
        let (shard, end) = (self.kept.shard, self.end);
        let mut before = chain::audit_genesis(ShardId(shard));
        let (mut head, mut at) = (before, None);
        let segments = self.kept.segments.iter();
        for segment in segments.filter(|segment| segment.first <= end) {
            let opened = self.catalog.open(shard, segment, before).await?;
            before = opened.about.after;
            let wanted = opened.records.into_iter();
            let wanted = wanted.filter(|(record, _)| record.id.index <= end);
            let mut records = Vec::new();
            for (record, after) in wanted {
                head = after;
                if self.snapshot.is_some_and(|it| it.index == record.id.index) {
                    at = Some((record.id, after));
                }
                records.push(CopyRecord {
                    record: record.record,
                    head: after,
                });
            }
            for target in self.targets {
                let written = target.hub.append_copy(shard, records.clone());
                written.await.map_err(|cause| target.failed(cause))?;
            }
            step();
        }
        let address = |id: &u64| {
            let node = self.topology.node(*id);
            let address = node.map(|node| node.address.clone());
            (*id, address.unwrap_or_default())
        };
        let voters: BTreeMap<u64, String> = self.home.voters.iter().map(address).collect();
        let mut after = head;
        for target in self.targets {
            let votes = self.home.voters.contains(&target.node.id);
            let hub = &target.hub;
            let refounded = hub.refound(shard, self.epoch, &voters, head, votes);
            after = refounded.await.map_err(|cause| target.failed(cause))?;
        }
        Ok(Written { head: after, at })
    }
}

/// Gives a shard's voters the backup's snapshot to begin with. It must be of the log: `at` is what that has
/// there; and it must not have read more of another shard's log than what is kept of that.
async fn begin_with(
    catalog: &Catalog,
    home: &Shard,
    (shard, it): (u32, SnapshotRef),
    at: (RecordId, Head),
    ends: &BTreeMap<u32, u64>,
    targets: &[Target],
) -> Result<(), Error> {
    let voters = targets.iter();
    let voters: Vec<_> = voters
        .filter(|target| home.voters.contains(&target.node.id))
        .collect();
    let Some(first) = voters.first() else {
        return Ok(());
    };
    let snapshot = shortcut::open(catalog, shard, &it, async |hash, content| {
        for target in &voters {
            let brought = target.hub.bring_chunks(shard, [(hash, content.clone())]);
            brought.await.map_err(|cause| target.failed(cause))?;
        }
        Ok(())
    });
    let snapshot = snapshot.await?;
    let index = it.index;
    let contents = first.hub.look_into(&snapshot);
    let contents = contents.map_err(|_| Error::NotOfThisLog { shard, index })?;
    if (snapshot.last, contents.head) != at {
        return Err(Error::NotOfThisLog { shard, index });
    }
    let is_kept = |(of, next): &(u32, u64)| ends.get(of).is_some_and(|end| *next <= end + 1);
    if !contents.follows.iter().all(is_kept) {
        return Err(Error::AheadOfCut { shard, index });
    }
    for target in &voters {
        let begun = target.hub.begin_with(&snapshot).await;
        begun.map_err(|cause| target.failed(cause))?;
    }
    Ok(())
}

/// A directory on its way.
struct Target {
    node: Node,
    directory: PathBuf,
    unfinished: PathBuf,
    hub: LogHub,
}

impl Target {
    /// Where a node's directory is to be, and where until then.
    fn paths(node: &Node, data: &Path) -> [PathBuf; 2] {
        let unfinished = format!("{}.unfinished", node.name);
        [data.join(&node.name), data.join(unfinished)]
    }

    fn is_free(node: &Node, data: &Path) -> Result<(), Error> {
        match Self::paths(node, data).into_iter().find(|it| it.exists()) {
            Some(path) => Err(Error::IsThere(path)),
            None => Ok(()),
        }
    }

    fn begin(node: &Node, data: &Path) -> Result<Self, Error> {
        let [directory, unfinished] = Self::paths(node, data);
        let failed = |cause| Error::Directory {
            path: unfinished.clone(),
            cause,
        };
        let engine = RocksDisk::new(unfinished.clone())
            .open(Store::Log)
            .map_err(failed)?;
        let hub = LogHub::open(engine).map_err(failed)?;
        Ok(Self {
            node: node.clone(),
            directory,
            unfinished,
            hub,
        })
    }

    fn failed(&self, cause: std::io::Error) -> Error {
        Error::Directory {
            path: self.unfinished.clone(),
            cause,
        }
    }

    /// Closes the store, marks the directory as the node's and gives it its name.
    async fn finish(self, topology: &Topology) -> Result<PathBuf, Error> {
        let marked = mark_restored(&self.unfinished, topology, &self.node);
        marked.map_err(|cause| self.failed(cause))?;
        let Self {
            directory,
            unfinished,
            hub,
            ..
        } = self;
        let moving = tokio::task::spawn_blocking(move || {
            drop(hub);
            std::fs::rename(&unfinished, &directory)
                .map_err(|cause| Error::Directory {
                    path: unfinished,
                    cause,
                })
                .map(|()| directory)
        });
        moving
            .await
            .map_err(|ended| Error::Broken(ended.to_string()))?
    }
}

//! Looking at all of a backup: that every object is there and what it was, and that each shard's
//! history follows the audited chain from its beginning to its end.

use futures_util::StreamExt as _;
use ledger_domain::{ShardId, chain};
use replication::{
    archive::backup::{Backup, BackupShard, SnapshotRef},
    log::Head,
    proto::SignedHead,
    raft::RecordId,
};
use tokio::time::timeout;

use super::{Catalog, Error, Found, make::PATIENCE, shortcut};
use crate::{client::Client, secrets::hex};

/// A backup in which everything holds.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// The ledger's.
    pub ledger: String,
    /// By number.
    pub shards: Vec<CheckedShard>,
}

/// A shard in which everything holds.
#[derive(Debug, Clone)]
pub struct CheckedShard {
    /// Which.
    pub shard: u32,
    /// Its home.
    pub region: String,
    /// The last index; `None` where it has none.
    pub last: Option<u64>,
    /// The audited chain's head after it.
    pub head: [u8; 32],
    /// The time of its last entry, in nanoseconds since 1970; 0 where it has none.
    pub last_wall_nanos: u64,
    /// How many segments were opened.
    pub segments: usize,
    /// What they take, in bytes.
    pub bytes: u64,
    /// The heads that were compared: what the backup has, and what nodes say now.
    pub compared: u64,
    /// The last index that the snapshot covers, where there is one.
    pub snapshot: Option<u64>,
}

/// Opens everything that a backup names. `told` is what a running ledger says now ([`said_now`]); of
/// indexes that are in the backup that must be its own. `progress` is told how many of how many segments
/// were opened.
///
/// # Errors
///
/// At the first object that is missing, damaged, or of another history, with its name and index.
pub async fn check(
    catalog: &Catalog,
    found: &Found,
    told: &[Claim],
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Checked, Error> {
    let all = found
        .backup
        .shards
        .iter()
        .map(|shard| shard.segments.len() as u64);
    let (total, mut done) = (all.sum(), 0);
    let mut shards = Vec::new();
    for shard in &found.backup.shards {
        let mut claims = claims(shard, told);
        let mut head = chain::audit_genesis(ShardId(shard.shard));
        let mut compared = 0;
        let mut snapshot = match &shard.snapshot {
            Some(it) => Some(looked_into(catalog, shard.shard, it).await?),
            None => None,
        };
        for segment in &shard.segments {
            let opened = catalog.open(shard.shard, segment, head).await?;
            for (record, computed) in &opened.records {
                let index = record.id.index;
                if let Some(is) = snapshot.take_if(|(last, _)| last.index == index)
                    && is != (record.id, *computed)
                {
                    return Err(not_of_it(shard.shard, index));
                }
                let here: Vec<_> = claims
                    .extract_if(.., |claim| claim.index == index)
                    .collect();
                for claim in here {
                    compared += 1;
                    if claim.head != computed[..] {
                        return Err(Error::Differs {
                            shard: shard.shard,
                            index,
                            computed: hex(computed),
                            who: claim.who,
                            said: hex(&claim.head),
                        });
                    }
                }
            }
            head = opened.about.after;
            done += 1;
            progress(done, total);
        }
        if let Some((last, _)) = snapshot {
            return Err(not_of_it(shard.shard, last.index));
        }
        shards.push(CheckedShard {
            shard: shard.shard,
            region: shard.region.clone(),
            last: shard.last(),
            head,
            last_wall_nanos: last_time(shard),
            segments: shard.segments.len(),
            bytes: shard.segments.iter().map(|it| it.bytes).sum(),
            compared,
            snapshot: shard.snapshot.map(|it| it.index),
        });
    }
    Ok(Checked {
        name: found.name.clone(),
        ledger: found.backup.ledger.clone(),
        shards,
    })
}

/// The place of a snapshot, and the audited chain's head there as it says.
async fn looked_into(
    catalog: &Catalog,
    shard: u32,
    it: &SnapshotRef,
) -> Result<(RecordId, Head), Error> {
    let mut chunks = Vec::new();
    let snapshot = shortcut::open(catalog, shard, it, async |_, content| {
        chunks.push(content);
        Ok(())
    });
    let snapshot = snapshot.await?;
    let contents = snapshot.read(&mut chunks.into_iter().map(Ok));
    let contents = contents.map_err(|_| not_of_it(shard, it.index))?;
    Ok((snapshot.last, contents.head))
}

fn not_of_it(shard: u32, index: u64) -> Error {
    Error::NotOfThisLog { shard, index }
}

/// The time of a shard's last entry: its last segments may have none.
fn last_time(shard: &BackupShard) -> u64 {
    let times = shard.segments.iter().map(|segment| segment.last_wall_nanos);
    times.max().unwrap_or_default()
}

/// What somebody says that a shard's chain comes to after an index.
#[derive(Debug, Clone)]
pub struct Claim {
    shard: u32,
    index: u64,
    head: Vec<u8>,
    who: String,
}

fn claims(shard: &BackupShard, told: &[Claim]) -> Vec<Claim> {
    let kept = shard.heads.iter().map(|head: &SignedHead| Claim {
        shard: shard.shard,
        index: head.index,
        head: head.head.to_vec(),
        who: format!("what {} signed when the backup was made", head.region),
    });
    let told = told.iter().filter(|claim| claim.shard == shard.shard);
    kept.chain(told.cloned()).collect()
}

/// What the ledger that a client reaches says now of the history that is in a backup: the heads that are
/// signed, and, of every shard, what a node has at the backup's last index. With that all before it is
/// compared.
///
/// # Errors
///
/// Where it is another ledger, or a shard's last index is not to be had.
pub async fn said_now(
    client: &Client,
    catalog: &Catalog,
    backup: &Backup,
) -> Result<Vec<Claim>, Error> {
    let wanted = client.status().await?.ledger;
    if wanted != backup.ledger {
        return Err(Error::OtherLedger {
            place: catalog.place().to_owned(),
            found: backup.ledger.clone(),
            wanted,
        });
    }
    let heads = client.heads().await?.heads.into_iter();
    let signed = heads.map(|head| Claim {
        shard: head.shard,
        index: head.index,
        head: head.head,
        who: format!("what {} signs now", head.region),
    });
    let mut said: Vec<_> = signed.collect();
    for shard in &backup.shards {
        if let Some(last) = shard.last() {
            said.push(Claim {
                shard: shard.shard,
                index: last,
                head: head_at(client, shard.shard, last).await?,
                who: "a node".to_owned(),
            });
        }
    }
    Ok(said)
}

/// What a node's chain comes to after an index.
async fn head_at(client: &Client, shard: u32, index: u64) -> Result<Vec<u8>, Error> {
    let mut history = client.history(shard, index, index.saturating_add(1));
    let first = async {
        while let Some(records) = history.next().await {
            if let Some(record) = records?.into_iter().next() {
                return Ok(Some(record.head.to_vec()));
            }
        }
        Ok::<_, Error>(None)
    };
    let behind = Error::Behind {
        shard,
        next: index,
        applied: index,
    };
    match timeout(PATIENCE, first).await {
        Ok(found) => found?.ok_or(behind),
        Err(_) => Err(behind),
    }
}

//! Looking at all of a backup: that every object is there and what it was, and that each shard's
//! history follows the audited chain from its beginning to its end.

use ledger_domain::{ShardId, chain};
use replication::{archive::backup::BackupShard, proto::SignedHead};

use super::{Catalog, Error, Found};
use crate::{api::admin::v1 as pb, secrets::hex};

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
}

/// Opens everything that a backup names. `told` are heads that a running ledger says now; those of
/// indexes that are in the backup must be its own. `progress` is told how many of how many segments
/// were opened.
///
/// # Errors
///
/// At the first object that is missing, damaged, or of another history, with its name and index.
pub async fn check(
    catalog: &Catalog,
    found: &Found,
    told: &[pb::SignedHead],
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
        for segment in &shard.segments {
            let opened = catalog.open(shard.shard, segment, head).await?;
            for (record, computed) in &opened.records {
                let index = record.id.index;
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
        shards.push(CheckedShard {
            shard: shard.shard,
            region: shard.region.clone(),
            last: shard.last(),
            head,
            last_wall_nanos: last_time(shard),
            segments: shard.segments.len(),
            bytes: shard.segments.iter().map(|it| it.bytes).sum(),
            compared,
        });
    }
    Ok(Checked {
        name: found.name.clone(),
        ledger: found.backup.ledger.clone(),
        shards,
    })
}

/// The time of a shard's last entry: its last segments may have none.
fn last_time(shard: &BackupShard) -> u64 {
    let times = shard.segments.iter().map(|segment| segment.last_wall_nanos);
    times.max().unwrap_or_default()
}

/// What somebody says the chain comes to.
struct Claim {
    index: u64,
    head: Vec<u8>,
    who: String,
}

fn claims(shard: &BackupShard, told: &[pb::SignedHead]) -> Vec<Claim> {
    let kept = shard.heads.iter().map(|head: &SignedHead| Claim {
        index: head.index,
        head: head.head.to_vec(),
        who: format!("what {} signed when the backup was made", head.region),
    });
    let told = told.iter().filter(|head| head.shard == shard.shard);
    let told = told.map(|head| Claim {
        index: head.index,
        head: head.head.to_vec(),
        who: format!("what {} signs now", head.region),
    });
    kept.chain(told).collect()
}

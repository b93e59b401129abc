//! `meridian backup` and `meridian restore`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use ledger_domain::{HybridTime, Position, ShardId};
use replication::{
    topology::{Directory as _, FileDirectory, Node, Topology},
    world::{Clock as _, SystemClock},
};
use serde_json::json;

use super::exit::Failure;
use super::output::Output;
use super::{moment, progress};
use crate::api::v1;
use crate::backup::{
    Catalog, Checked, CheckedShard, Made, MadeShard, Restored, To, Wanted, check, make, restore,
    said_now,
};
use crate::client::Client;
use crate::config;
use crate::objects::Objects;
use crate::secrets::hex;

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArguments {
    /// Look at backups that were made.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    /// Where to: a directory, or `s3://bucket/prefix`. What is there already is not sent again.
    #[arg(long, value_name = "PLACE", required = true)]
    pub to: Option<String>,
}

/// What to do with backups that were made.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// List the backups in a place, the oldest first.
    List {
        /// Where they are: a directory, or `s3://bucket/prefix`.
        #[arg(long, value_name = "PLACE")]
        from: String,
    },
    /// Open everything that a backup names, and name what is not as it was.
    Verify {
        /// Where it is, and which.
        #[command(flatten)]
        which: Which,
        /// Compare with what the ledger's nodes have and sign now, up to the backup's last index of every shard.
        #[arg(long)]
        compare: bool,
    },
}

/// Which backup.
#[derive(Debug, Args)]
pub struct Which {
    /// Where it is: a directory, or `s3://bucket/prefix`.
    #[arg(long, value_name = "PLACE")]
    pub from: String,
    /// Its name, as `backup list` shows it. Default: the newest.
    #[arg(long, value_name = "NAME")]
    pub backup: Option<String>,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// Where the backup is, and which.
    #[command(flatten)]
    pub which: Which,
    /// Up to where: `latest`, an instant (2026-11-21T10:00:00Z), the hlc of an answer, or a position
    /// (shard:epoch:index): all shards are ended at its time.
    #[arg(long, value_name = "POINT", value_parser = point)]
    pub to: To,
    /// Also where a shard's part of the backup ends before that time: as much as there is.
    #[arg(long)]
    pub incomplete: bool,
    /// Leave out the backup's snapshots: the nodes fold their whole logs when they are first started.
    #[arg(long)]
    pub without_snapshots: bool,
    /// The epoch that the new ledger's logs go on in: greater than all that this ledger's logs have
    /// had, also in what was restored from them before. Default: by shard, the one after the last in the backup.
    #[arg(long)]
    pub epoch: Option<u64>,
    /// The new ledger's topology: another name, the same shards.
    #[arg(long, value_name = "FILE")]
    pub topology: PathBuf,
    /// In which directory to make the nodes' data directories, each of a node's name.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Only for these nodes, by name. Default: for all of the topology.
    #[arg(long = "only", value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
}

fn point(text: &str) -> Result<To, String> {
    if text == "latest" {
        return Ok(To::Latest);
    }
    if let Ok(v1::Position {
        shard,
        epoch,
        index,
    }) = moment::position(text)
    {
        let shard = ShardId(shard);
        return Ok(To::Position(Position {
            shard,
            epoch,
            index,
        }));
    }
    let time = moment::time(text)
        .map_err(|_| "latest, an instant such as 2026-11-21T10:00:00Z, an hlc, or a position")?;
    if !time.hlc.is_empty() {
        let bytes = (0..32)
            .step_by(2)
            .map(|at| u8::from_str_radix(&time.hlc[at..at + 2], 16));
        let bytes = bytes
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let time = bytes.try_into().ok().and_then(HybridTime::from_bytes);
        return time
            .map(To::Time)
            .ok_or_else(|| "an hlc of an answer".to_owned());
    }
    // The whole of that nanosecond.
    let wall_nanos = u64::try_from(time.unix_nanos).map_err(|_| "an instant since 1970")?;
    let count = u32::MAX;
    Ok(To::Time(HybridTime { wall_nanos, count }))
}

pub async fn backup(client: &Client, given: BackupArguments) -> Result<Output, Failure> {
    match given {
        BackupArguments {
            command: Some(BackupCommand::List { from }),
            ..
        } => list(&from).await,
        BackupArguments {
            command: Some(BackupCommand::Verify { which, compare }),
            ..
        } => verify(client, which, compare).await,
        BackupArguments { to, .. } => {
            let catalog = catalog(&to.unwrap_or_default())?;
            let bar = Bar::new("reading logs");
            let now = SystemClock.wall_nanos();
            let made = make(client, &catalog, now, &|done, of| bar.show(done, of)).await;
            bar.0.finish_and_clear();
            Ok(made_output(catalog.place(), &made?))
        }
    }
}

async fn list(from: &str) -> Result<Output, Failure> {
    let names = catalog(from)?.names().await?;
    let text = names.iter().map(|name| format!("{name}\n")).collect();
    Ok(Output::ok(text, json!({ "backups": names })))
}

async fn verify(client: &Client, which: Which, compare: bool) -> Result<Output, Failure> {
    let catalog = catalog(&which.from)?;
    let found = catalog.find(which.backup.as_deref()).await?;
    let told = match compare {
        true => said_now(client, &catalog, &found.backup).await?,
        false => Vec::new(),
    };
    let bar = Bar::new("opening segments");
    let checked = check(&catalog, &found, &told, &|done, of| bar.show(done, of)).await;
    bar.0.finish_and_clear();
    Ok(checked_output(&checked?))
}

pub async fn restored(given: RestoreArguments) -> Result<Output, Failure> {
    let text = config::read(&given.topology).map_err(|error| Failure::Usage(error.to_string()))?;
    let directory = FileDirectory::parse(&text)
        .map_err(|error| Failure::Usage(format!("{}: {error}", given.topology.display())))?;
    let topology = directory.topology();
    let nodes = chosen(topology, &given.only)?;
    let catalog = catalog(&given.which.from)?;
    let found = catalog.find(given.which.backup.as_deref()).await?;
    let bar = Bar::new("restoring");
    let show = |done, of| bar.show(done, of);
    let wanted = Wanted {
        to: given.to,
        incomplete: given.incomplete,
        epoch: given.epoch,
        topology,
        nodes: &nodes,
        data: &given.data,
        snapshots: !given.without_snapshots,
    };
    let restored = restore(&catalog, &found, wanted, &show).await;
    bar.0.finish_and_clear();
    Ok(restored_output(topology, &restored?))
}

fn chosen<'a>(topology: &'a Topology, only: &[String]) -> Result<Vec<&'a Node>, Failure> {
    let stranger = |name: &&String| !topology.nodes.iter().any(|node| node.name == **name);
    if let Some(name) = only.iter().find(stranger) {
        return Err(Failure::Usage(format!("the topology has no node {name}")));
    }
    let nodes = topology.nodes.iter();
    Ok(nodes
        .filter(|node| only.is_empty() || only.contains(&node.name))
        .collect())
}

fn catalog(place: &str) -> Result<Catalog, Failure> {
    let objects = Objects::open(place).map_err(crate::backup::Error::from)?;
    Ok(Catalog::new(objects))
}

struct Bar(ProgressBar);

impl Bar {
    fn new(what: &'static str) -> Self {
        let bar = progress::bar(0);
        bar.set_message(what);
        Self(bar)
    }

    fn show(&self, done: u64, of: u64) {
        self.0.set_length(of.max(done));
        self.0.set_position(done);
    }
}

/// Such as `2026-11-21T10:00:00.5Z`; nothing where there is no time.
fn instant(wall_nanos: u64) -> Option<String> {
    let time = jiff::Timestamp::from_nanosecond(wall_nanos.into()).ok()?;
    (wall_nanos > 0).then(|| time.to_string())
}

fn made_output(place: &str, made: &Made) -> Output {
    let mut text = format!(
        "Backup {} of the ledger {} in {place}\n",
        made.name, made.ledger
    );
    for shard in &made.shards {
        let MadeShard {
            home_heard,
            segments,
            new_segments,
            bytes,
            new_bytes,
            record_bytes,
            ..
        } = shard;
        let through = shard
            .last
            .map_or("nothing".to_owned(), |last| format!("0 to {last}"));
        text.push_str(&format!(
            "Shard {} ({}): {through}; {segments} segments with {bytes} bytes for {record_bytes} in \
             the log; {new_segments} new with {new_bytes} bytes\n",
            shard.shard, shard.region
        ));
        if let Some(index) = shard.snapshot {
            text.push_str(&format!("  A snapshot covers it up to {index}.\n"));
        }
        if let Some(why) = &shard.no_snapshot {
            text.push_str(&format!("  There is no new snapshot: {why}.\n"));
        }
        if !home_heard {
            text.push_str(
                "  Its home does not answer: it may have applied more than this copy has.\n",
            );
        }
    }
    let shards = made.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard, "region": shard.region, "home_heard": shard.home_heard, "last": shard.last,
            "segments": shard.segments, "bytes": shard.bytes, "record_bytes": shard.record_bytes,
            "new_segments": shard.new_segments, "new_bytes": shard.new_bytes, "snapshot": shard.snapshot,
            "no_snapshot": shard.no_snapshot,
        })
    });
    let json = json!({
        "backup": made.name,
        "ledger": made.ledger,
        "shards": shards.collect::<Vec<_>>(),
    });
    Output::ok(text, json)
}

fn checked_output(checked: &Checked) -> Output {
    let mut text = format!("Backup {} of the ledger {}\n", checked.name, checked.ledger);
    for shard in &checked.shards {
        let CheckedShard {
            segments,
            bytes,
            compared,
            ..
        } = shard;
        let until = instant(shard.last_wall_nanos).unwrap_or_else(|| "no entry".to_owned());
        let through = shard
            .last
            .map_or("nothing".to_owned(), |last| format!("0 to {last}"));
        text.push_str(&format!(
            "Shard {} ({}): {through}, until {until}; {segments} segments with {bytes} bytes; {compared} \
             heads compared\n",
            shard.shard, shard.region
        ));
    }
    text.push_str("\nHeads (shard, index, hash):\n");
    for shard in &checked.shards {
        if let Some(last) = shard.last {
            text.push_str(&format!("{} {last} {}\n", shard.shard, hex(&shard.head)));
        }
    }
    text.push_str("\nEverything holds.\n");
    let shards = checked.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard, "region": shard.region, "last": shard.last,
            "head": hex(&shard.head), "until": instant(shard.last_wall_nanos),
            "segments": shard.segments, "bytes": shard.bytes, "compared": shard.compared,
            "snapshot": shard.snapshot,
        })
    });
    let json = json!({
        "holds": true,
        "backup": checked.name,
        "ledger": checked.ledger,
        "shards": shards.collect::<Vec<_>>(),
    });
    Output::ok(text, json)
}

fn restored_output(topology: &Topology, restored: &Restored) -> Output {
    let mut text = format!(
        "Backup {} of the ledger {}, as the new ledger {}\n",
        restored.backup, restored.ledger, topology.ledger
    );
    for shard in &restored.shards {
        let until = shard.time.and_then(|time| instant(time.wall_nanos));
        text.push_str(&format!(
            "Shard {}: 0 to {}, until {}; {} indexes cut off; epoch {} begins at {} with the head {}\n",
            shard.shard,
            shard.last,
            until.as_deref().unwrap_or("no entry"),
            shard.cut_off,
            shard.epoch,
            shard.last + 1,
            hex(&shard.head)
        ));
        if let Some(index) = shard.begins_after {
            text.push_str(&format!(
                "  Its voters begin with a snapshot of index {index}.\n"
            ));
        }
        if let Some(why) = &shard.begins_before {
            text.push_str(&format!(
                "  Its voters fold their whole logs when they are started: {why}.\n"
            ));
        }
    }
    for (node, directory) in &restored.directories {
        text.push_str(&format!("{node}: {}\n", directory.display()));
    }
    let shards = restored.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard, "last": shard.last, "cut_off": shard.cut_off,
            "until": shard.time.and_then(|time| instant(time.wall_nanos)),
            "epoch": shard.epoch, "head": hex(&shard.head), "begins_after": shard.begins_after,
            "begins_before": shard.begins_before,
        })
    });
    let json = json!({
        "backup": restored.backup,
        "ledger": topology.ledger,
        "restored_ledger": restored.ledger,
        "shards": shards.collect::<Vec<_>>(),
        "directories": restored.directories,
    });
    Output::ok(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_what_people_write() {
        assert_eq!(point("latest"), Ok(To::Latest));
        let at = Position {
            shard: ShardId(2),
            epoch: 1,
            index: 42,
        };
        assert_eq!(point("2:1:42"), Ok(To::Position(at)));
        let time = HybridTime {
            wall_nanos: 1_000_000_000,
            count: u32::MAX,
        };
        assert_eq!(point("1970-01-01T00:00:01Z"), Ok(To::Time(time)));
        let hlc = HybridTime::from_millis(5);
        assert_eq!(point(&hex(&hlc.to_bytes())), Ok(To::Time(hlc)));
        assert!(point("yesterday").is_err() && point("1960-01-01T00:00:00Z").is_err());
    }
}

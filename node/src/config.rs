//! What a node is started with.

use std::{collections::BTreeSet, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use ledger_domain::Format;
use replication::{
    archive::segment::Size,
    raft::ENTRIES_BEFORE_SNAPSHOT,
    rocks::DEFAULT_MEMORY,
    scrub::ScrubOptions,
    shard::SnapshotRules,
    topology::{self, FileDirectory, Topology},
    world::Archive,
};
use serde::{Deserialize, Serialize};

use crate::{
    objects::{self, Objects},
    secrets::Secrets,
};

/// A node's configuration file. Unknown keys are errors; everything has a default, and the
/// defaults are a ledger of one node in one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which node of the topology this is.
    pub node: u64,
    /// Where its data is kept.
    pub data: PathBuf,
    /// The topology's file; absent for one node in one region.
    pub topology: Option<PathBuf>,
    /// The file of this region's secrets; absent for one inside the data directory.
    pub secrets: Option<PathBuf>,
    /// Where one node alone listens. With a topology, that has the address.
    pub listen: String,
    /// Where `/metrics`, `/livez` and `/readyz` are answered, `host:port`. Not encrypted, and for
    /// monitoring only. Default: nowhere.
    pub metrics_listen: Option<String>,
    /// The region's name, where there is no topology.
    pub region: String,
    /// The region's IANA time zone, where there is no topology.
    pub time_zone: String,
    /// How many threads run the node's tasks; zero for one on each core.
    pub threads: usize,
    /// About how much memory the stores may use for their caches and what is not on disk yet, in
    /// MiB.
    pub memory_mb: usize,
    /// The version of the stored format that this node writes while it leads: 1 or 2. All are
    /// read. While a cluster is upgraded, that of its oldest program. Default: the newest.
    #[serde(with = "write_version")]
    pub write_version: Format,
    /// The directory of the keys of this region's customers, made by `meridian keys prepare`: the same
    /// files for all its nodes, on a disk of which no backup is made that outlives the right to be
    /// forgotten. Not inside the data directory. Without it no profiles are kept.
    pub customer_keys: Option<PathBuf>,
    /// For how many years after its last account was detached a customer of this region is remembered.
    /// The same on all nodes of the region. Default: 10.
    pub retention_years: u16,
    /// Who may give privileged commands to accounts that this node decides for: names, as callers
    /// give them. The same on all nodes of a region. Default: nobody.
    pub privileged: BTreeSet<String>,
    /// Where the old part of logs is moved. Default: nowhere.
    pub archive: Option<Archiving>,
    /// How much a node takes on.
    pub limits: Limits,
}

/// Where the old part of a node's logs is moved, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Archiving {
    /// A directory, or `s3://bucket/prefix`. The same for all nodes of a region; regions may share it.
    pub to: String,
    /// An entry stays in the log for at least so many days. Default: 30.
    pub after_days: u32,
    /// A segment is full from so many bytes of records on. The same for all that share an archive.
    /// Default: 8 MiB.
    pub segment_bytes: u64,
    /// In how many days every segment is fetched and opened once, to see whether it is whole; zero: in
    /// every pass through the log. Default: 30.
    pub scrub_days: u32,
    /// How often a node looks whether something is old enough, in seconds. Default: 60.
    pub look_seconds: NonZeroU32,
}

impl Default for Archiving {
    fn default() -> Self {
        Self {
            to: String::new(),
            after_days: 30,
            segment_bytes: Size::default().bytes,
            scrub_days: 30,
            look_seconds: const { NonZeroU32::new(60).unwrap() },
        }
    }
}

mod write_version {
    use ledger_domain::Format;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(format: &Format, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(format.number())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Format, D::Error> {
        let number = u8::deserialize(from)?;
        Format::from_number(number).ok_or_else(|| {
            let known = Format::ALL.map(|it| it.number().to_string()).join(" and ");
            D::Error::custom(format!(
                "this program writes the versions {known}, not {number}"
            ))
        })
    }
}

/// The bounds of what a node has in its hands. Beyond them a caller is refused at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests worked on at a time, whoever sent them. As many, each command of a batch counted,
    /// may be on their way to other nodes. Default: 4096.
    pub requests: NonZeroU32,
    /// Commands that wait for one shard's writer. Default: 16384.
    pub queue: NonZeroU32,
    /// How long calls under way may take to end when the node stops, in seconds; those that are
    /// left are cut. Default: 10.
    pub stop_seconds: u32,
    /// A shard's book is stored as a snapshot after so many bytes of entries: what a node has to
    /// apply again when it starts. Default: 256 MiB.
    pub snapshot_bytes: u64,
    /// But not sooner after the one before than this, in seconds. Default: 60.
    pub snapshot_seconds: u32,
    /// Entries before a snapshot that a follower still gets one by one; one that lacks more is
    /// given the snapshot. Default: 10000.
    pub snapshot_entries: u64,
    /// Below so many free bytes on its disk a node takes nothing new, until there is room again.
    /// Zero: it does not look. Default: 256 MiB.
    pub disk_reserve_bytes: u64,
    /// How much of its log a node reads again in a second, to see whether it still is what was
    /// written, in bytes. Zero: it does not. Default: 4 MiB.
    pub scrub_bytes_per_second: u64,
    /// From the beginning of a pass through all of it to that of the next, at least, in seconds.
    /// Default: 600.
    pub scrub_seconds: u32,
    /// How often a node signs the heads of its shards and asks others for theirs, in seconds.
    /// Default: 30.
    pub heads_seconds: NonZeroU32,
}

impl Limits {
    pub(crate) fn snapshot_rules(&self) -> SnapshotRules {
        let rules = SnapshotRules::default();
        let spacing = Duration::from_secs(self.snapshot_seconds.into());
        SnapshotRules {
            bytes: self.snapshot_bytes,
            spacing,
            interval: rules.interval.min(spacing.max(Duration::from_secs(1))),
            ..rules
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let rules = SnapshotRules::default();
        let scrub = ScrubOptions::default();
        Self {
            requests: const { NonZeroU32::new(4_096).unwrap() },
            queue: const { NonZeroU32::new(16_384).unwrap() },
            stop_seconds: 10,
            snapshot_bytes: rules.bytes,
            snapshot_seconds: u32::try_from(rules.spacing.as_secs()).unwrap_or(u32::MAX),
            snapshot_entries: ENTRIES_BEFORE_SNAPSHOT,
            disk_reserve_bytes: 256 << 20,
            scrub_bytes_per_second: scrub.bytes_per_second,
            scrub_seconds: u32::try_from(scrub.interval.as_secs()).unwrap_or(u32::MAX),
            heads_seconds: const { NonZeroU32::new(30).unwrap() },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: 1,
            data: PathBuf::from("data"),
            topology: None,
            secrets: None,
            listen: "127.0.0.1:7400".to_owned(),
            metrics_listen: None,
            region: "home".to_owned(),
            time_zone: "UTC".to_owned(),
            threads: 0,
            memory_mb: DEFAULT_MEMORY >> 20,
            write_version: Format::NEWEST,
            customer_keys: None,
            retention_years: 10,
            privileged: BTreeSet::new(),
            archive: None,
            limits: Limits::default(),
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file does not say what it should.
    #[error("{path}: {cause}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The topology contradicts itself.
    #[error(transparent)]
    Topology(#[from] topology::Invalid),
    /// What is copied with the data is kept with it.
    #[error(
        "`customer_keys` is {0}, inside the data directory: keys would be copied with the data. Set it to another"
    )]
    KeysInsideData(PathBuf),
    /// The topology has no such node.
    #[error("the topology has no node {0}: set `node` to one that it has")]
    NoSuchNode(u64),
}

impl Config {
    /// Reads a configuration file.
    pub fn read(path: &std::path::Path) -> Result<Self, Error> {
        toml::from_str(&read(path)?).map_err(|e| Error::Syntax {
            path: path.to_owned(),
            cause: e.to_string(),
        })
    }

    /// Where the old part of logs is moved, if anywhere.
    pub fn archive(&self) -> Result<Option<Arc<dyn Archive>>, objects::Error> {
        let Some(archiving) = &self.archive else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Objects::open(&archiving.to)?)))
    }

    /// The file of the region's secrets.
    pub fn secrets_file(&self) -> PathBuf {
        let given = self.secrets.clone();
        given.unwrap_or_else(|| self.data.join("secrets.toml"))
    }

    /// The directory that the topology's file gives, or that of one node alone.
    pub fn directory(&self, secrets: &Secrets) -> Result<FileDirectory, Error> {
        let directory = match &self.topology {
            Some(path) => FileDirectory::parse(&read(path)?)?,
            None => FileDirectory::new(self.alone(secrets)?)?,
        };
        Ok(directory)
    }

    fn alone(&self, secrets: &Secrets) -> Result<Topology, Error> {
        let name = self
            .region
            .parse()
            .map_err(|e: ledger_domain::InvalidRegion| {
                Error::Topology(topology::Invalid::Value(e.to_string()))
            })?;
        Ok(Topology {
            ledger: "meridian".to_owned(),
            regions: vec![topology::Region {
                name,
                time_zone: self.time_zone.clone(),
                domain: self.region.clone(),
                domain_key: crate::secrets::hex(&secrets.domain_key(&self.region).public().key),
                token_key: crate::secrets::hex(secrets.token_key().verifying_key().as_bytes()),
            }],
            nodes: vec![topology::Node {
                id: self.node,
                name: format!("{}-{}", self.region, self.node),
                region: name,
                address: self.listen.clone(),
            }],
            shards: vec![topology::Shard {
                id: 1,
                region: name,
                voters: vec![self.node],
                replicas: Vec::new(),
            }],
            dev: topology::Dev::default(),
        })
    }
}

pub(crate) fn read(path: &std::path::Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|cause| Error::File {
        path: path.to_owned(),
        cause,
    })
}

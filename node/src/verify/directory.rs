//! A stopped node's data directory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use replication::rocks::{RocksDisk, Stopped};
use replication::world::{Engine, Store};
use serde::Deserialize;

/// The newest format of a directory that is known here: that of a restored one.
const FORMAT: u32 = 2;

/// Why a directory cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no node's marker, or no log, in it.
    #[error("{path} is not a node's data directory: {why}")]
    NotADirectory {
        /// Which.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Its node is running.
    #[error("{0} is in use by a running node: stop it first")]
    InUse(PathBuf),
    /// Its logs go on in an archive.
    #[error(
        "{path} is not the whole history: shard {shard} is in the archive before index {until}. Say where that \
         is (`--archive`)"
    )]
    Archived {
        /// Which directory.
        path: PathBuf,
        /// A shard.
        shard: u32,
        /// Its first index that is here.
        until: u64,
    },
    /// The store itself is broken, or the disk under it.
    #[error("the log store in {path} cannot be read: {cause}")]
    Store {
        /// Which directory.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// What is read of a directory.
pub(super) struct Directory {
    pub(super) node: u64,
    pub(super) region: String,
    /// The shards that the directory was begun with, and their regions.
    pub(super) homes: BTreeMap<u32, String>,
    /// Those of them that were founded to vote here. Others may have been added since.
    pub(super) founded: BTreeSet<u32>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) torn_end: bool,
}

#[derive(Deserialize)]
struct Marker {
    format: u32,
    node: u64,
    region: String,
    shards: Vec<String>,
}

impl Directory {
    /// Opens a directory for reading only. No node can start on it until this is dropped.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let not = |why: String| Error::NotADirectory {
            path: path.to_owned(),
            why,
        };
        let file = path.join("node.toml");
        let text =
            std::fs::read_to_string(&file).map_err(|cause| not(format!("node.toml: {cause}")))?;
        let marker: Marker = toml::from_str(&text)
            .map_err(|cause| not(format!("node.toml: {}", cause.message())))?;
        if marker.format > FORMAT {
            return Err(not(format!(
                "its format {} is newer than {FORMAT}",
                marker.format
            )));
        }
        let mut homes = BTreeMap::new();
        let mut founded = BTreeSet::new();
        for line in &marker.shards {
            let listed = listed(line);
            let (shard, region, is_founded) =
                listed.ok_or_else(|| not(format!("node.toml: `{line}` is no shard")))?;
            homes.insert(shard, region.to_owned());
            if is_founded {
                founded.insert(shard);
            }
        }
        let opened = RocksDisk::new(path.to_owned()).open_stopped(Store::Log);
        let Stopped { engine, torn_end } = opened.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => not(cause.to_string()),
            io::ErrorKind::ResourceBusy => Error::InUse(path.to_owned()),
            _ => Error::Store {
                path: path.to_owned(),
                cause,
            },
        })?;
        Ok(Self {
            node: marker.node,
            region: marker.region,
            homes,
            founded,
            engine,
            torn_end,
        })
    }
}

/// Reads `1 of eu-west`, `1 of eu-west, founded here`, and what was written for the latter before:
/// `1 of eu-west on [1, 2, 3]`.
fn listed(line: &str) -> Option<(u32, &str, bool)> {
    let (shard, rest) = line.split_once(" of ")?;
    let founded = rest.split_once(" on ").or(rest.split_once(", "));
    let region = founded.map_or(rest, |(region, _)| region);
    Some((shard.parse().ok()?, region, founded.is_some()))
}

//! A stopped node's data directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use replication::rocks::{RocksDisk, Stopped};
use replication::world::{Engine, Store};
use serde::Deserialize;

/// The newest format of a directory that is known here.
const FORMAT: u32 = 1;

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
    /// The shards that vote here.
    pub(super) votes: BTreeMap<u32, String>,
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
        let votes = marker
            .shards
            .iter()
            .map(|line| vote(line).ok_or_else(|| not(format!("node.toml: `{line}` is no shard"))))
            .collect::<Result<_, _>>()?;
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
            votes,
            engine,
            torn_end,
        })
    }
}

/// Reads `1 of eu-west on [1, 2, 3]`.
fn vote(line: &str) -> Option<(u32, String)> {
    let (shard, rest) = line.split_once(" of ")?;
    let (region, _) = rest.split_once(" on ")?;
    Some((shard.parse().ok()?, region.to_owned()))
}

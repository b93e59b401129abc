//! Whose a data directory is.

use std::path::{Path, PathBuf};

use replication::topology::{Node, Topology};
use serde::{Deserialize, Serialize};

/// The version of the directory's layout that this program writes.
const FORMAT: u32 = 1;
const FILE: &str = "node.toml";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("the data directory {path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Its marker is no marker.
    #[error("{path} is not a node's marker: {cause}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Another's.
    #[error("{path} belongs to {what} `{found}`, not `{wanted}`: nothing was changed")]
    Belongs {
        /// The directory.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// Written by a newer program.
    #[error("{path} has format {found}; this program knows {FORMAT}: use a newer one")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    format: u32,
    ledger: String,
    node: u64,
    region: String,
    /// The shards that vote here, with their voters.
    shards: Vec<String>,
}

/// Checks that a directory is this node's, or marks a new one.
pub(super) fn claim(dir: &Path, topology: &Topology, node: &Node) -> Result<(), Error> {
    let path = dir.join(FILE);
    let file_error = |cause| Error::File {
        path: path.clone(),
        cause,
    };
    let shards = topology
        .shards
        .iter()
        .filter(|s| s.voters.contains(&node.id))
        .map(|s| format!("{} of {} on {:?}", s.id, s.region, s.voters))
        .collect();
    let wanted = Marker {
        format: FORMAT,
        ledger: topology.ledger.clone(),
        node: node.id,
        region: node.region.to_string(),
        shards,
    };
    if !path.exists() {
        std::fs::create_dir_all(dir).map_err(file_error)?;
        let text = toml::to_string(&wanted).expect("numbers and texts are TOML");
        return std::fs::write(&path, text).map_err(file_error);
    }
    let text = std::fs::read_to_string(&path).map_err(file_error)?;
    let syntax = |cause: toml::de::Error| Error::Syntax {
        path: path.clone(),
        cause: cause.message().to_owned(),
    };
    // The format alone first: a newer program may have written keys that are unknown here.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let format = toml::from_str::<Format>(&text).map_err(syntax)?.format;
    if format > FORMAT {
        return Err(Error::Newer {
            path: dir.to_owned(),
            found: format,
        });
    }
    let found: Marker = toml::from_str(&text).map_err(syntax)?;
    for (what, found, wanted) in [
        ("ledger", found.ledger, wanted.ledger),
        ("node", found.node.to_string(), wanted.node.to_string()),
        ("region", found.region, wanted.region),
        ("shards", found.shards.join(", "), wanted.shards.join(", ")),
    ] {
        if found != wanted {
            return Err(Error::Belongs {
                path: dir.to_owned(),
                what,
                found,
                wanted,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(ledger: &str) -> Topology {
        Topology {
            ledger: ledger.to_owned(),
            regions: vec![],
            nodes: vec![],
            shards: vec![],
            dev: Default::default(),
        }
    }

    fn node(id: u64) -> Node {
        let (name, address) = ("n".to_owned(), "127.0.0.1:1".to_owned());
        Node {
            id,
            name,
            region: "eu-west".parse().unwrap(),
            address,
        }
    }

    #[test]
    fn a_directory_is_one_nodes_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path(), &topology("a"), &node(1)).unwrap();
        let before = std::fs::read(dir.path().join(FILE)).unwrap();
        claim(dir.path(), &topology("a"), &node(1)).unwrap();
        let other = claim(dir.path(), &topology("a"), &node(2)).unwrap_err();
        assert!(
            other.to_string().contains("belongs to node `1`, not `2`"),
            "{other}"
        );
        let other = claim(dir.path(), &topology("b"), &node(1)).unwrap_err();
        assert!(
            other.to_string().contains("belongs to ledger `a`, not `b`"),
            "{other}"
        );
        assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), before);
    }

    #[test]
    fn a_newer_format_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "format = 2\nnews = true\n").unwrap();
        let newer = claim(dir.path(), &topology("a"), &node(1)).unwrap_err();
        assert!(newer.to_string().contains("has format 2"), "{newer}");
    }
}

//! Whose a data directory is.
//!
//! A topology changes over the life of a directory: nodes come and go, addresses change, shards get
//! other replicas, new regions join. What must not change is whose the directory is (ledger, node,
//! region), and which shards a region has: accounts are spread over them, and would be looked for
//! where they are not.

use std::{
    io,
    path::{Path, PathBuf},
};

use replication::topology::{Node, Topology};
use serde::{Deserialize, Serialize};

use crate::durable;

/// The version of the directory's layout in a directory that a node has begun.
const FORMAT: u32 = 1;
/// In one that was restored: its logs go on in a later epoch than the first, which programs that know
/// only [`FORMAT`] would judge by the first.
const RESTORED: u32 = 2;
/// The last that this program knows.
const NEWEST: u32 = RESTORED;
const FILE: &str = "node.toml";
/// Who may read it: it has no secrets.
const MODE: u32 = 0o644;
const FOUNDED_HERE: &str = ", founded here";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read or written.
    #[error("the data directory {path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
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
    /// Begun with other shards.
    #[error(
        "{path} was begun with the shards `{found}`, and the topology has `{wanted}`: a region keeps \
         the shards it began with. Nothing was changed"
    )]
    Shards {
        /// The directory.
        path: PathBuf,
        /// What the directory says of a region's shards.
        found: String,
        /// What the topology says of them.
        wanted: String,
    },
    /// Written by a newer program.
    #[error("{path} has format {found}; this program knows {NEWEST}: use a newer one")]
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
    /// The shards of the ledger when the directory was begun, as `1 of eu-west`, or, of those that
    /// are founded with a vote of this node, `1 of eu-west, founded here`. Older programs wrote the
    /// latter only, with their voters, as `1 of eu-west on [1, 2, 3]`.
    shards: Vec<String>,
}

impl Marker {
    fn of(format: u32, topology: &Topology, node: &Node) -> Self {
        let shards = topology.shards.iter();
        let shards = shards.map(|shard| {
            let here = shard.voters.contains(&node.id);
            let founded = if here { FOUNDED_HERE } else { "" };
            format!("{} of {}{founded}", shard.id, shard.region)
        });
        Self {
            format,
            ledger: topology.ledger.clone(),
            node: node.id,
            region: node.region.to_string(),
            shards: shards.collect(),
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).expect("numbers and texts are TOML");
        durable::write_new(path, &text, MODE)
    }
}

/// Marks a directory that was restored for a node, before it is first started.
pub(crate) fn mark_restored(dir: &Path, topology: &Topology, node: &Node) -> io::Result<()> {
    Marker::of(RESTORED, topology, node).write(&dir.join(FILE))
}

/// Checks that a directory is this node's, or marks a new one.
pub(super) fn claim(dir: &Path, topology: &Topology, node: &Node) -> Result<(), Error> {
    let path = dir.join(FILE);
    let file_error = |cause| Error::File {
        path: path.clone(),
        cause,
    };
    let wanted = Marker::of(FORMAT, topology, node);
    if !path.exists() {
        return wanted.write(&path).map_err(file_error);
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
    if format > NEWEST {
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
    match moved(&found.shards, &wanted.shards) {
        Some((found, wanted)) => Err(Error::Shards {
            path: dir.to_owned(),
            found,
            wanted,
        }),
        None => Ok(()),
    }
}

/// The first shards of one region that are not what they were, then and now. What a directory does
/// not know of may be new.
fn moved(found: &[String], wanted: &[String]) -> Option<(String, String)> {
    let plain = |shard: &String| shard.trim_end_matches(FOUNDED_HERE).to_owned();
    let region = |shard: &str| shard.split_once(" of ").map(|(_, it)| it.to_owned());
    let wanted: Vec<String> = wanted.iter().map(plain).collect();
    for listed in found {
        // Of an older program: only this shard is known.
        if let Some((shard, _)) = listed.split_once(" on ") {
            if !wanted.iter().any(|wanted| wanted == shard) {
                return Some((shard.to_owned(), wanted.join(", ")));
            }
            continue;
        }
        let home = region(&plain(listed));
        let of = |shards: &[String]| {
            let shards = shards.iter().map(plain);
            let mut shards: Vec<_> = shards.filter(|it| region(it) == home).collect();
            shards.sort_unstable();
            shards.join(", ")
        };
        let (found, wanted) = (of(found), of(&wanted));
        if found != wanted {
            return Some((found, wanted));
        }
    }
    None
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

    fn shard(id: u32, region: &str, voters: &[u64]) -> replication::topology::Shard {
        replication::topology::Shard {
            id,
            region: region.parse().unwrap(),
            voters: voters.to_vec(),
            replicas: Vec::new(),
        }
    }

    #[test]
    fn addresses_nodes_voters_and_other_regions_may_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut topology = topology("a");
        topology.shards = vec![shard(1, "eu-west", &[1, 2, 3]), shard(2, "eu-west", &[1])];
        claim(dir.path(), &topology, &node(1)).unwrap();
        topology.nodes.push(node(4));
        topology.shards[0].voters = vec![1, 2, 4];
        topology.shards[1].replicas = vec![4];
        topology.shards.reverse();
        topology.shards.push(shard(3, "us-east", &[9]));
        let moved = Node {
            address: "10.0.0.1:7400".to_owned(),
            name: "another".to_owned(),
            ..node(1)
        };
        claim(dir.path(), &topology, &moved).unwrap();
    }

    #[test]
    fn a_node_keeps_its_region() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path(), &topology("a"), &node(1)).unwrap();
        let moved = Node {
            region: "us-east".parse().unwrap(),
            ..node(1)
        };
        let error = claim(dir.path(), &topology("a"), &moved).unwrap_err();
        let says = "belongs to region `eu-west`, not `us-east`";
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn a_region_keeps_its_shards() {
        let two = [shard(1, "eu-west", &[1]), shard(2, "eu-west", &[1])];
        for (now, says) in [
            (vec![two[0].clone()], "has `1 of eu-west`"),
            (
                vec![two[0].clone(), shard(2, "us-east", &[1])],
                "has `1 of eu-west`",
            ),
            (
                [&two[..], &[shard(3, "eu-west", &[1])]].concat(),
                "has `1 of eu-west, 2 of eu-west, 3 of eu-west`",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut topology = topology("a");
            topology.shards = two.to_vec();
            claim(dir.path(), &topology, &node(1)).unwrap();
            topology.shards = now;
            let error = claim(dir.path(), &topology, &node(1)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn a_marker_of_an_older_program_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let old = "format = 1\nledger = \"a\"\nnode = 1\nregion = \"eu-west\"\n\
                   shards = [\"1 of eu-west on [1, 2, 3]\"]\n";
        std::fs::write(dir.path().join(FILE), old).unwrap();
        let mut topology = topology("a");
        topology.shards = vec![shard(1, "eu-west", &[1, 2, 4]), shard(2, "eu-west", &[2])];
        claim(dir.path(), &topology, &node(1)).unwrap();
        topology.shards[0].region = "us-east".parse().unwrap();
        let error = claim(dir.path(), &topology, &node(1)).unwrap_err();
        assert!(
            error.to_string().contains("with the shards `1 of eu-west`"),
            "{error}"
        );
    }

    #[test]
    fn a_restored_directory_is_its_nodes_and_says_that_it_is_restored() {
        let dir = tempfile::tempdir().unwrap();
        let mut restored = topology("new");
        restored.shards = vec![shard(1, "eu-west", &[1]), shard(2, "eu-west", &[1])];
        mark_restored(dir.path(), &restored, &node(1)).unwrap();
        claim(dir.path(), &restored, &node(1)).unwrap();
        let marker = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(marker.contains("format = 2"), "{marker}");
        let other = claim(dir.path(), &restored, &node(2)).unwrap_err();
        assert!(
            other.to_string().contains("belongs to node `1`, not `2`"),
            "{other}"
        );
        let other = claim(dir.path(), &topology("old"), &node(1)).unwrap_err();
        assert!(
            other
                .to_string()
                .contains("belongs to ledger `new`, not `old`"),
            "{other}"
        );
        restored.shards.pop();
        let other = claim(dir.path(), &restored, &node(1)).unwrap_err();
        assert!(matches!(other, Error::Shards { .. }), "{other}");
    }

    #[test]
    fn a_newer_format_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "format = 3\nnews = true\n").unwrap();
        let newer = claim(dir.path(), &topology("a"), &node(1)).unwrap_err();
        assert!(newer.to_string().contains("has format 3"), "{newer}");
    }
}

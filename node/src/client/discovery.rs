//! Where a client begins to look for nodes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use replication::{
    topology::{Directory as _, FileDirectory},
    world::Network,
};

use super::Error;

/// How an address says that it is a name with several addresses.
const DNS: &str = "dns:///";
/// How an address says that it is a file.
const TOPOLOGY: &str = "topology:";

/// A place where addresses of nodes are found. Any node tells of all others, so one that answers is
/// enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seed {
    /// `host:port`, or `dns:///host:port`: every address that the name stands for.
    Name(String),
    /// `topology:FILE`: the nodes in a topology file.
    Topology(PathBuf),
}

impl Seed {
    /// Whether this names one node, rather than something in which nodes are found.
    pub fn is_address(text: &str) -> bool {
        !text.starts_with(DNS) && !text.starts_with(TOPOLOGY)
    }

    /// Whether there is something to find: a file that is not there, or is none, is told at once.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Name(_) => Ok(()),
            Self::Topology(file) => listed(file).map(drop).map_err(Error::Options),
        }
    }

    /// The addresses there now, `host:port`.
    async fn addresses(&self, network: &Arc<dyn Network>) -> Result<Vec<String>, String> {
        match self {
            Self::Name(name) => {
                let found = network.resolve(name).await;
                found.map_err(|error| format!("look up {name}: {error}"))
            }
            Self::Topology(file) => listed(file),
        }
    }
}

/// The addresses in a topology file.
fn listed(file: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string());
    let directory = text.and_then(|text| FileDirectory::parse(&text).map_err(|e| e.to_string()));
    let directory = directory.map_err(|what| format!("{}: {what}", file.display()))?;
    let nodes = directory.topology().nodes.iter();
    Ok(nodes.map(|node| node.address.clone()).collect())
}

impl FromStr for Seed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(file) = text.strip_prefix(TOPOLOGY) {
            return Ok(Self::Topology(file.into()));
        }
        let name = text.strip_prefix(DNS).unwrap_or(text);
        super::node::endpoint(name)?;
        Ok(Self::Name(name.to_owned()))
    }
}

/// The addresses of all seeds, each once, in their order. A seed that gives none is passed over, as
/// long as another does.
pub(super) async fn resolve(
    seeds: &[Seed],
    network: &Arc<dyn Network>,
) -> Result<Vec<String>, String> {
    let mut known = BTreeSet::new();
    let mut addresses = Vec::new();
    let mut trouble = None;
    for seed in seeds {
        match seed.addresses(network).await {
            Ok(found) => {
                addresses.extend(found.into_iter().filter(|a| known.insert(a.clone())));
            }
            Err(error) => trouble = Some(error),
        }
    }
    match trouble {
        Some(error) if addresses.is_empty() => Err(error),
        _ if addresses.is_empty() => Err("the seeds stand for no address".to_owned()),
        _ => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::world::{Connecting, Listening, Resolving};
    use std::io;

    /// A network in which one name has two addresses, and another none.
    struct Names;

    impl Network for Names {
        fn listen(&self, _: &str) -> Listening {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn connect(&self, _: &str) -> Connecting {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn resolve(&self, name: &str) -> Resolving {
            let found = match name {
                "bank:1" => Ok(vec!["10.0.0.1:1".to_owned(), "10.0.0.2:1".to_owned()]),
                "10.0.0.2:1" => Ok(vec!["10.0.0.2:1".to_owned()]),
                _ => Err(io::Error::other("no such name")),
            };
            Box::pin(async { found })
        }
    }

    async fn resolved(seeds: &[&str]) -> Result<Vec<String>, String> {
        let seeds: Vec<Seed> = seeds.iter().map(|seed| seed.parse().unwrap()).collect();
        let network: Arc<dyn Network> = Arc::new(Names);
        resolve(&seeds, &network).await
    }

    #[tokio::test]
    async fn a_name_gives_all_its_addresses_and_each_counts_once() {
        let found = resolved(&["gone:1", "dns:///bank:1", "10.0.0.2:1"]).await;
        assert_eq!(found.unwrap(), ["10.0.0.1:1", "10.0.0.2:1"]);
        let nothing = resolved(&["gone:1"]).await.unwrap_err();
        assert!(
            nothing.contains("look up gone:1: no such name"),
            "{nothing}"
        );
    }

    #[tokio::test]
    async fn a_topology_file_gives_its_nodes_or_says_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("topology.toml");
        let seed = format!("topology:{}", file.display());
        let check = || seed.parse::<Seed>().unwrap().check();
        assert!(matches!(check(), Err(Error::Options(why)) if why.contains("topology.toml")));
        fs::write(&file, "ledger = 1").unwrap();
        assert!(matches!(check(), Err(Error::Options(_))));
        assert!(resolved(&[&seed]).await.is_err());
        let text = r#"
            ledger = "t"
            shards = [{ id = 1, region = "eu", voters = [1] }]
            [[regions]]
            name = "eu"
            time_zone = "UTC"
            domain = "eu"
            domain_key = "KEY"
            token_key = "KEY"
            [[nodes]]
            id = 1
            name = "eu-1"
            region = "eu"
            address = "10.0.0.9:7"
        "#;
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        fs::write(&file, text.replace("KEY", key)).unwrap();
        assert!(check().is_ok());
        assert_eq!(resolved(&[&seed]).await.unwrap(), ["10.0.0.9:7"]);
    }

    #[test]
    fn what_is_neither_a_name_nor_a_file_is_refused() {
        for wrong in ["", "7400", "dns:///bank", "http://bank:1"] {
            assert!(wrong.parse::<Seed>().is_err(), "{wrong}");
        }
        assert!(Seed::is_address("bank:1") && !Seed::is_address("dns:///bank:1"));
    }
}

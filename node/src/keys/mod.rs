//! The keys of customers, kept beside the log: what is destroyed here is forgotten for ever.
//!
//! Every customer whose profile is kept has a key of its own. It is in no log, snapshot or backup, so that
//! destroying it makes unreadable every copy of the profile, wherever and whenever it was made. All nodes
//! of the customer's home region reach the same keys. [`FileKeys`] keeps them as files; a service that
//! keeps keys for a living can stand behind the same trait.

mod files;

use std::{io, path::PathBuf, sync::Arc};

use ledger_domain::{CustomerId, profile::CustomerKey};
use replication::{
    topology::{Directory, FileDirectory},
    world::Entropy,
};

pub use files::{FileKeys, Rewrapped};

use crate::{
    config::{self, Config},
    secrets::Secrets,
};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No keys are kept by this node: it is not configured.
    #[error(
        "this node keeps no customers' keys: configure `customer_keys` on all nodes of the region"
    )]
    None,
    /// The directory is not the one that was prepared: it is not mounted, or never was made.
    #[error(
        "{path} is not there: mount the directory of the customers' keys; only where none was ever used, \
         make it with `meridian keys prepare`, as a new one has none of the keys of an old one"
    )]
    NotPrepared {
        /// The file that every directory of keys has.
        path: PathBuf,
    },
    /// The directory is another residency domain's.
    #[error(
        "{path}: these are the keys of the residency domain {theirs}, and this node is in {ours}"
    )]
    OtherDomain {
        /// The file that says it.
        path: PathBuf,
        /// Whose they are.
        theirs: String,
        /// Whose the node is.
        ours: String,
    },
    /// The place where they are kept cannot be read or written.
    #[error("{path}: {cause}")]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// Some keys are not sealed under the newest wrapping key, and all others are.
    #[error(
        "{} of the keys are not sealed anew, and need the older wrapping keys still; {} are: {}",
        .failures.len(), .done.rewrapped, told(.failures)
    )]
    NotRewrapped {
        /// What was done.
        done: Rewrapped,
        /// Why each was not.
        failures: Vec<KeyError>,
    },
    /// A key is there, and cannot be opened.
    #[error("{path}: {why}")]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

fn told(failures: &[KeyError]) -> String {
    let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
    failures.join("; ")
}

/// Where the keys of customers are kept.
#[tonic::async_trait]
pub trait Keys: Send + Sync {
    /// Whether keys can be had and destroyed.
    async fn ready(&self) -> Result<(), KeyError>;
    /// The key of a customer; a fresh one where there is none. Of several that make one at a time all
    /// get the same.
    async fn create(
        &self,
        customer: CustomerId,
        fresh: CustomerKey,
    ) -> Result<CustomerKey, KeyError>;
    /// The key of a customer; `None` where there is none, or none any more.
    async fn get(&self, customer: CustomerId) -> Result<Option<CustomerKey>, KeyError>;
    /// Destroys the key of a customer. Where it was there it returns when it would be gone after a loss of
    /// power.
    async fn destroy(&self, customer: CustomerId) -> Result<(), KeyError>;
}

/// The keys that a node's configuration names.
///
/// # Errors
///
/// When they are in the data directory, with which they would be copied and kept.
pub fn configured(
    config: &Config,
    directory: &FileDirectory,
    secrets: &Secrets,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<dyn Keys>, config::Error> {
    match files(config, directory, secrets, entropy)? {
        Some(files) => Ok(Arc::new(files)),
        None => Ok(Arc::new(NoKeys)),
    }
}

/// The directory of keys that a node's configuration names, if it names one.
///
/// # Errors
///
/// As of [`configured`].
pub fn files(
    config: &Config,
    directory: &FileDirectory,
    secrets: &Secrets,
    entropy: Arc<dyn Entropy>,
) -> Result<Option<FileKeys>, config::Error> {
    let Some(path) = config.customer_keys.clone() else {
        return Ok(None);
    };
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    if absolute(&path).starts_with(absolute(&config.data)) {
        return Err(config::Error::KeysInsideData(path));
    }
    let topology = directory.topology();
    let node = topology.node(config.node);
    let node = node.ok_or(config::Error::NoSuchNode(config.node))?;
    let domain = topology.region(&node.region);
    let domain = domain.map(|it| it.domain.clone()).unwrap_or_default();
    let keys = FileKeys::new(path, node.region, domain, secrets.wrapping_keys(), entropy);
    Ok(Some(keys))
}

/// Keeps none.
#[derive(Debug)]
struct NoKeys;

#[tonic::async_trait]
impl Keys for NoKeys {
    async fn ready(&self) -> Result<(), KeyError> {
        Err(KeyError::None)
    }

    async fn create(&self, _: CustomerId, _: CustomerKey) -> Result<CustomerKey, KeyError> {
        Err(KeyError::None)
    }

    async fn get(&self, _: CustomerId) -> Result<Option<CustomerKey>, KeyError> {
        Err(KeyError::None)
    }

    async fn destroy(&self, _: CustomerId) -> Result<(), KeyError> {
        Err(KeyError::None)
    }
}

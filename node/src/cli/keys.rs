//! `meridian keys`: the directory of customers' keys, beside the nodes that use it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Subcommand;
use replication::world::SystemEntropy;
use serde_json::json;

use super::{
    exit::Failure,
    output::{Output, fields},
};
use crate::{
    config::Config,
    keys::{self, FileKeys, KeyError},
    secrets::Secrets,
};

/// What to do with the customers' keys of a region.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make the directory that a node's configuration names as `customer_keys`. One that is there stays
    /// as it is.
    Prepare {
        /// The configuration file of a node of the region.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Seal every key of the region under the first of the secrets' wrapping keys, so that the others can
    /// be taken out. While nodes run, too.
    Rewrap {
        /// The configuration file of a node of the region.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Does it: with files, not over the network.
pub(super) fn keys(command: &KeysCommand) -> Result<Output, Failure> {
    match command {
        KeysCommand::Prepare { config } => {
            let (path, keys) = directory(config)?;
            keys.prepare()?;
            let path = path.display().to_string();
            let text = fields(&[("customer keys", path.clone())]);
            Ok(Output::ok(text, json!({ "customer_keys": path })))
        }
        KeysCommand::Rewrap { config } => {
            let (path, keys) = directory(config)?;
            let done = keys.rewrap()?;
            let path = path.display().to_string();
            let text = fields(&[
                ("customer keys", path.clone()),
                ("keys", done.keys.to_string()),
                ("rewrapped", done.rewrapped.to_string()),
            ]);
            let json = json!({
                "customer_keys": path,
                "keys": done.keys,
                "rewrapped": done.rewrapped,
            });
            Ok(Output::ok(text, json))
        }
    }
}

/// The directory that a configuration names.
fn directory(file: &Path) -> Result<(PathBuf, FileKeys), Failure> {
    let usage = |error: crate::config::Error| Failure::Usage(error.to_string());
    let config = Config::read(file).map_err(usage)?;
    let secrets_file = config.secrets_file();
    let secrets = Secrets::read(&secrets_file).map_err(usage)?;
    let secrets = secrets.ok_or_else(|| {
        let file = secrets_file.display();
        Failure::Usage(format!("{file}: there are no secrets to seal keys with"))
    })?;
    let topology = config.directory(&secrets).map_err(usage)?;
    let keys = keys::files(&config, &topology, &secrets, Arc::new(SystemEntropy)).map_err(usage)?;
    let path = config.customer_keys.clone().unwrap_or_default();
    let keys = keys.ok_or(KeyError::None)?;
    Ok((path, keys))
}

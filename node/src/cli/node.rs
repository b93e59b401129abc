//! `meridian node`: runs a node until it is told to stop.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use replication::{
    rocks::RocksDisk,
    world::{SystemClock, SystemEntropy, TcpNetwork, World},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{exit::Failure, output::Output};
use crate::{config::Config, server};

/// How to run a node. Flags win over the file.
#[derive(Debug, Args)]
pub struct NodeArguments {
    /// The configuration file. Default: one node in one region, its data in ./data.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data is kept.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where one node alone listens, host:port.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where /metrics, /livez and /readyz are answered, host:port. Default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen: Option<String>,
    /// The region's name, where there is no topology.
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Stop when standard input closes: whoever started this node is gone then.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

pub(super) async fn node(arguments: NodeArguments) -> Result<Output, Failure> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,openraft=warn,tonic=warn,h2=warn"));
    // Only a program that has set up logging before can be refused here.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
    let mut config = match &arguments.config {
        Some(path) => Config::read(path).map_err(server::Error::from)?,
        None => Config::default(),
    };
    config.data = arguments.data.unwrap_or(config.data);
    config.listen = arguments.listen.unwrap_or(config.listen);
    config.metrics_listen = arguments.metrics_listen.or(config.metrics_listen);
    config.region = arguments.region.unwrap_or(config.region);
    let world = World {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        network: Arc::new(TcpNetwork),
        disk: Arc::new(RocksDisk::with_memory(
            config.data.clone(),
            config.memory_mb << 20,
        )),
        archive: config.archive().map_err(server::Error::Archive)?,
    };
    let stop_with_stdin = arguments.stop_with_stdin;
    let stop = async move {
        tokio::select! {
            () = told_to_stop() => {}
            () = stdin_closed(), if stop_with_stdin => {}
        }
        tracing::info!("stopping");
    };
    server::run(config, world, stop).await?;
    Ok(Output::ok(
        String::new(),
        serde_json::json!({ "stopped": true }),
    ))
}

/// Resolves at Ctrl-C, or when the service manager says so.
pub(super) async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

async fn stdin_closed() {
    // Whatever comes in is of no interest, and an error is an end as well.
    let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}

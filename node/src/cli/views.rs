//! `meridian views`: the read models of nodes, and making them again while the old ones serve.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::Output;
use super::progress;
use crate::api::admin::v1::{NodeViews, RebuildViewsRequest, ViewsBuilding};
use crate::client::Client;

/// How soon it is asked again how far they are.
const AGAIN: Duration = Duration::from_millis(200);

/// What to do with read models.
#[derive(Debug, Subcommand)]
pub enum ViewsCommand {
    /// Show which serve on each node, and how far those are that are made beside them.
    List,
    /// Make a node's again from the beginning of the log, and wait until they serve. The old ones
    /// serve until then.
    Rebuild {
        /// The node's name; the one that is asked if it is left out.
        node: Option<String>,
        /// Why, for the node's log.
        #[arg(long, default_value = "")]
        reason: String,
        /// Begin it, and do not wait.
        #[arg(long)]
        no_wait: bool,
    },
}

pub async fn views(client: &Client, command: ViewsCommand) -> Result<Output, Failure> {
    match command {
        ViewsCommand::List => {
            let nodes = client.views().await?.nodes;
            Ok(output(&nodes))
        }
        ViewsCommand::Rebuild {
            node,
            reason,
            no_wait,
        } => {
            let node = node.unwrap_or_default();
            let request = RebuildViewsRequest { node, reason };
            let begun = client.rebuild_views(request).await?;
            let begun = begun.views.unwrap_or_default();
            if no_wait {
                return Ok(output(&[begun]));
            }
            Ok(output(&[finished(client, begun).await?]))
        }
    }
}

/// Waits until others serve than when it was begun.
async fn finished(client: &Client, begun: NodeViews) -> Result<NodeViews, Failure> {
    let bar = progress::bar(0);
    bar.set_message("folding the log");
    let mut now = begun.clone();
    while now.generation == begun.generation {
        if let Some(building) = &now.building {
            bar.set_length(building.records);
            bar.set_position(building.folded);
        }
        tokio::time::sleep(AGAIN).await;
        let nodes = client.views().await?.nodes;
        // A node that does not answer for a while is asked again: what was begun is gone on with.
        let found = nodes.into_iter().find(|it| it.node == begun.node);
        now = found.filter(|it| it.reachable).unwrap_or(now);
    }
    bar.finish_and_clear();
    Ok(now)
}

fn output(nodes: &[NodeViews]) -> Output {
    let nodes_json: Vec<_> = nodes.iter().map(node_json).collect();
    Output::ok(table(nodes), json!({ "nodes": nodes_json }))
}

fn table(nodes: &[NodeViews]) -> String {
    let mut text = format!(
        "{:12} {:16} {:>10} {:>22} {:>9}\n",
        "REGION", "NODE", "GENERATION", "BUILDING", "LEFT"
    );
    for node in nodes {
        let (generation, building, left) = match (node.reachable, &node.building) {
            (false, _) => ("-".to_owned(), "unreachable !".to_owned(), "-".to_owned()),
            (true, None) => (node.generation.to_string(), "-".to_owned(), "-".to_owned()),
            (true, Some(building)) => (
                node.generation.to_string(),
                format!("{} of {}", building.folded, building.records),
                left(building),
            ),
        };
        text.push_str(&format!(
            "{:12} {:16} {generation:>10} {building:>22} {left:>9}\n",
            node.region, node.node
        ));
        let Some(building) = &node.building else {
            continue;
        };
        text.push_str(&format!("  because {}\n", building.why));
        for stopped in &building.stopped {
            text.push_str(&format!("  shard {}: {} !\n", stopped.shard, stopped.cause));
        }
    }
    text
}

fn left(building: &ViewsBuilding) -> String {
    let seconds = building.remaining_ms.map(|millis| millis.div_ceil(1000));
    match seconds {
        None => "unknown".to_owned(),
        Some(seconds) if seconds < 120 => format!("{seconds} s"),
        Some(seconds) => format!("{} min", seconds.div_ceil(60)),
    }
}

fn node_json(node: &NodeViews) -> Value {
    let building = node.building.as_ref().map(|building| {
        let stopped = building.stopped.iter();
        let stopped = stopped.map(|it| json!({ "shard": it.shard, "cause": it.cause }));
        json!({
            "why": building.why,
            "running_ms": building.running_ms,
            "folded": building.folded,
            "records": building.records,
            "remaining_ms": building.remaining_ms,
            "stopped": stopped.collect::<Vec<_>>(),
        })
    });
    json!({
        "region": node.region,
        "node": node.node,
        "reachable": node.reachable,
        "generation": node.generation,
        "building": building,
    })
}

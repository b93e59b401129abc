//! Somebody who reads every node's metrics now and then, as monitoring does.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::customer::{Hours, Lobby};
use crate::{
    oracle::bounded::{QUEUES, Shown},
    simulation::ClientContext,
};

/// Where every node shows its metrics.
const PORT: u16 = 7001;
/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one round to the next.
const PAUSE: Duration = Duration::from_secs(2);

/// Where a node shows its metrics.
pub(super) fn address(node: &str) -> String {
    format!("{node}:{PORT}")
}

/// Reads all that nodes show, until everybody has left and all is at rest.
///
/// # Errors
///
/// Never: a node that does not answer shows nothing.
pub(super) async fn inspector(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    let topology = lobby.bank.topology().clone();
    loop {
        let is_last = lobby.hours.get() == Hours::Audit;
        for node in &topology.nodes {
            let at_rest = lobby.at_rest.get();
            let page = timeout(PATIENCE, page(&context, &node.name)).await;
            if let Ok(Ok(page)) = page {
                lobby.shown.borrow_mut().push(Shown {
                    node: node.name.clone(),
                    at_rest,
                    sizes: sizes(&page),
                });
            }
        }
        if is_last {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

async fn page(context: &ClientContext, node: &str) -> std::io::Result<String> {
    let mut connection = context.network.connect(&address(node)).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {node}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    connection.read_to_string(&mut page).await?;
    Ok(page)
}

/// The largest size that a page shows of each queue.
fn sizes(page: &str) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for line in page.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let name = series.split('{').next().unwrap_or_default();
        let is_queue = QUEUES.iter().any(|queue| queue.name == name);
        if let (true, Ok(value)) = (is_queue, value.parse::<u64>()) {
            let size: &mut u64 = sizes.entry(name.to_owned()).or_default();
            *size = value.max(*size);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_each_queue_is_read() {
        let page = "# HELP x\nmeridian_channel_items{shard=\"1\",peer=\"2\"} 3\n\
                    meridian_channel_items{shard=\"2\",peer=\"1\"} 2\nother 9\n";
        let sizes = sizes(page);
        assert_eq!(sizes, [("meridian_channel_items".to_owned(), 3)].into());
    }
}

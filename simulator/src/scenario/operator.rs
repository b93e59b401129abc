//! Somebody who has nodes make their read models again now and then, while everything else goes on.

use std::{sync::Arc, time::Duration};

use node::{
    api::admin::v1::RebuildViewsRequest,
    client::{Client, Options},
};
use rand::{Rng, seq::IndexedRandom};
use tokio::time::sleep;

use super::customer::{Hours, Lobby};
use crate::{simulation::ClientContext, world::SimEntropy};

/// Asks any node, again and again, until the bank closes. Whether it does is not waited for.
///
/// # Errors
///
/// When no client can be made.
pub(super) async fn operator(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    lobby.wait_for(Hours::Open).await;
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
        network: context.network.clone(),
        ..Options::new(&context.name)
    };
    let mut rng = context.seed.rng();
    let client = Client::new(lobby.bank.addresses(&context.region), options)?;
    let nodes = lobby.bank.topology().nodes.iter();
    let names: Vec<_> = nodes.map(|node| node.name.clone()).collect();
    while lobby.hours.get() == Hours::Open {
        sleep(Duration::from_millis(rng.random_range(1_000..8_000))).await;
        let node = names.choose(&mut rng).cloned().unwrap_or_default();
        let reason = "somebody wants it".to_owned();
        let request = RebuildViewsRequest { node, reason };
        if client.rebuild_views(request).await.is_ok() {
            lobby.note_aside("read models asked to be made again");
        }
    }
    Ok(())
}

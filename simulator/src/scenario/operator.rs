//! Somebody who has nodes make their read models again now and then, while everything else goes on.

use std::{sync::Arc, time::Duration};

use node::{
    api::admin::v1::RebuildViewsRequest,
    client::{Client, Error, Options},
};
use rand::{Rng, seq::IndexedRandom};
use tokio::time::sleep;

use super::customer::{Hours, Lobby};
use crate::{simulation::ClientContext, world::SimEntropy};

/// How long a request may take, and one try of it.
const DEADLINE: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Asks any node by way of another, again and again, until the bank closes.
///
/// # Errors
///
/// When an answer makes no sense.
pub(super) async fn operator(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    lobby.inside.set(lobby.inside.get() + 1);
    lobby.wait_for(Hours::Open).await;
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
        network: context.network.clone(),
        deadline: DEADLINE,
        attempt: ATTEMPT,
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
        // Whoever is not told does not know that nothing was begun.
        lobby.rebuilds.set(lobby.rebuilds.get() + 1);
        match client.rebuild_views(request).await {
            Ok(_) => lobby.note_aside("read models asked to be made again"),
            Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error.into()),
            Err(error) => {
                context.trace.record(format!("rebuild: {error}"));
                lobby.note_aside("read models not made again now");
            }
        }
    }
    lobby.inside.set(lobby.inside.get() - 1);
    Ok(())
}

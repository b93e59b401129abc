//! Somebody who watches all accounts from the opening to the end, whatever happens to the nodes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use node::{
    api::atm::v1::{WatchReply, WatchRequest},
    client::{Client, Error, Options},
};
use tokio::time::{sleep, timeout};

use super::customer::{Hours, Lobby};
use crate::{oracle::watched::Told, simulation::ClientContext, world::SimEntropy};

/// How often somebody looks whether the books are closed.
const LOOK: Duration = Duration::from_millis(100);
/// Before it is tried again what no other attempt was to help.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches until the books are closed and every shard has said what it had then.
///
/// # Errors
///
/// When no client can be made, or what is told makes no sense.
pub(super) async fn watcher(context: ClientContext, lobby: Lobby) -> turmoil::Result {
    lobby.wait_for(Hours::Open).await;
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
        network: context.network.clone(),
        ..Options::new(&context.name)
    };
    let client = Client::new(lobby.bank.addresses(&context.region), options)?;
    let accounts = lobby.bank.accounts().iter();
    let mut request = WatchRequest {
        account_ids: accounts.map(|account| account.id.clone()).collect(),
        ..WatchRequest::default()
    };
    let mut replies = client.watch(request.clone());
    let shards: BTreeSet<u32> = lobby.bank.shards().map(|(shard, _)| shard).collect();
    let mut left = shards;
    while !left.is_empty() {
        let Ok(reply) = timeout(LOOK, replies.next()).await else {
            continue;
        };
        let Some(Ok(reply)) = reply else {
            lobby.note_aside("watches begun again");
            sleep(PAUSE).await;
            replies = client.watch(request.clone());
            continue;
        };
        let shard = note(&lobby, &reply)?;
        if lobby.hours.get() == Hours::Audit && !reply.has_more {
            left.remove(&shard);
        }
        request.resume_token = reply.resume_token;
    }
    Ok(())
}

/// Remembers what was told. Returns of which shard.
fn note(lobby: &Lobby, reply: &WatchReply) -> Result<u32, Error> {
    let missing = |what: &str| Error::Malformed(format!("a reply lacks {what}"));
    let place = reply.position.ok_or_else(|| missing("its place"))?;
    let mut watched = lobby.watched.borrow_mut();
    for change in &reply.changes {
        let posted = change.posted.as_ref();
        let balance = posted.ok_or_else(|| missing("a balance"))?.minor_units;
        let told = watched.entry(change.account_id.clone());
        let told = told.or_insert_with(|| Told::since(place.shard, place.index, balance));
        let Some(line) = &change.line else {
            continue;
        };
        let (at, by) = (line.position, line.amount.as_ref());
        let at = at.ok_or_else(|| missing("a line's place"))?;
        let by = by.ok_or_else(|| missing("a line's amount"))?;
        told.lines.push((at.index, by.minor_units, balance));
    }
    if !reply.has_more {
        let of_shard = watched.values_mut().filter(|it| it.shard == place.shard);
        of_shard.for_each(|told| told.until = told.until.max(place.index));
    }
    Ok(place.shard)
}

//! A last look at a world at rest: every region takes a command and tells its balances at the very
//! truth, and every node tells what its views have.

use std::sync::Arc;

use futures_util::future::{try_join, try_join_all};
use node::client::{Client, Error, Options};

use super::{
    customer::Lobby,
    desk::Desk,
    glance::{self, Look},
};
use crate::{
    history::Request, oracle::live::Service, plan::Habits, simulation::ClientContext,
    world::SimEntropy,
};

/// How often somebody asks a region that does not answer.
const PATIENCE: u32 = 5;

/// Looks into everything, and notes it.
///
/// # Errors
///
/// When an answer makes no sense, or something is refused.
pub(super) async fn audit(context: &ClientContext, lobby: &Lobby) -> turmoil::Result {
    let regions = lobby.bank.topology().regions.iter();
    let regions: Vec<String> = regions.map(|region| region.name.to_string()).collect();
    let tries = regions
        .iter()
        .map(|region| try_region(context, lobby, region));
    try_join_all(tries).await?;
    let audited = lobby.audited.borrow().clone();
    let nodes = lobby.bank.topology().nodes.iter();
    let looks = nodes
        .filter(|node| audited.contains(&node.name))
        .map(|node| {
            look_into(
                context,
                lobby,
                (&node.name, node.region.as_str(), &node.address),
            )
        });
    try_join_all(looks).await?;
    Ok(())
}

/// Pays something in, and reads the balances of the accounts that live there.
async fn try_region(context: &ClientContext, lobby: &Lobby, region: &str) -> turmoil::Result {
    let context = ClientContext {
        name: format!("auditor-{region}"),
        region: region.to_owned(),
        seed: context.seed.derive(region),
        ..context.clone()
    };
    let habits = Habits {
        gives_up: 1_000,
        asks_again: 0,
        ..Habits::default()
    };
    let mut rng = context.seed.rng();
    let mut desk = Desk::new(&context, lobby.clone(), &habits)?;
    let accounts = lobby.bank.accounts().iter();
    let of_region: Vec<String> = accounts
        .filter(|account| account.region == region)
        .map(|account| account.id.clone())
        .collect();
    if let Some(account) = of_region.first().cloned() {
        let request = Request::Deposit { account, amount: 1 };
        for _ in 0..PATIENCE {
            if desk.serve(request.clone(), &mut rng).await? {
                served(lobby, region, |service| service.commands += 1);
                break;
            }
        }
    }
    for account in of_region {
        let request = Request::StrongRead { account };
        for _ in 0..PATIENCE {
            if desk.serve(request.clone(), &mut rng).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Asks one node for every balance and every statement that its views have.
async fn look_into(
    context: &ClientContext,
    lobby: &Lobby,
    (node, region, address): (&str, &str, &str),
) -> turmoil::Result {
    let seed = context.seed.derive(node);
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(seed)),
        network: context.network.clone(),
        ..Options::new("auditor")
    };
    let client = Client::new(vec![address.to_owned()], options)?;
    let mut answered = 0;
    for account in lobby.bank.accounts() {
        let balance = Look::local().at(&account.id, &client, "auditor", &lobby.history);
        let lines = glance::statement(&client, &account.id, (node, region), &lobby.history);
        match try_join(balance, lines).await {
            Ok(_) => answered += 1,
            Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error.into()),
            // A node whose disk has failed its views has stopped them and called for help. It has
            // no more to tell of the next account.
            Err(error) => {
                context.trace.record(format!("{node}: {error}"));
                lobby.note_aside("views that are not served");
                break;
            }
        }
    }
    served(lobby, region, |service| {
        service.views = service.views.max(answered);
    });
    Ok(())
}

fn served(lobby: &Lobby, region: &str, note: impl FnOnce(&mut Service)) {
    let mut served = lobby.served.borrow_mut();
    note(served.entry(region.to_owned()).or_default());
}

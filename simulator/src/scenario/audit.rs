//! A last look at a world at rest: every region takes a command and tells its balances at the very
//! truth, and every node tells what its views have.

use std::sync::Arc;

use futures_util::future::{try_join, try_join_all};
use node::{
    api::teller::v1::{
        ListJournalsRequest, ListSuspenseRequest, list_journals_request::Of as OfJournals,
        list_suspense_request::Of,
    },
    client::{Client, Error, Options},
};

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
    for region in &regions {
        list_suspense(context, lobby, region).await?;
        list_journals(context, lobby, region).await?;
    }
    balance_all(context, lobby).await
}

/// Asks a region for all it has in suspense, a few at a time, until somebody tells.
async fn list_suspense(context: &ClientContext, lobby: &Lobby, region: &str) -> turmoil::Result {
    /// Few, so that there are several pages.
    const PAGE: u32 = 2;
    let client = auditor(context, lobby.bank.addresses(region), "suspense")?;
    let mut request = ListSuspenseRequest {
        of: Some(Of::Region(region.to_owned())),
        page_size: PAGE,
        ..ListSuspenseRequest::default()
    };
    let (mut items, mut since) = (Vec::new(), String::new());
    let mut tried = 0;
    while tried < PATIENCE {
        match client.suspense(request.clone()).await {
            Ok(reply) => {
                for item in reply.items {
                    let put = item.since.unwrap_or_default().hlc;
                    if put < since {
                        return Err(format!("{region} lists suspense out of its order").into());
                    }
                    since = put;
                    let units = item.amount.map_or(0, |amount| amount.minor_units);
                    items.push((item.transaction_id, (item.account_id, units)));
                }
                request.page_token = reply.next_page_token;
                if request.page_token.is_empty() {
                    lobby.in_suspense.borrow_mut().extend(items);
                    lobby.told_suspense.borrow_mut().insert(region.to_owned());
                    return Ok(());
                }
            }
            Err(error) if error.retryable() => {
                tried += 1;
                context
                    .trace
                    .record(format!("no list of suspense: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Asks a region for all journals that are not decided, until somebody tells.
async fn list_journals(context: &ClientContext, lobby: &Lobby, region: &str) -> turmoil::Result {
    let client = auditor(context, lobby.bank.addresses(region), "journals")?;
    for _ in 0..PATIENCE {
        let request = ListJournalsRequest {
            of: Some(OfJournals::Region(region.to_owned())),
            ..ListJournalsRequest::default()
        };
        match client.journals(request).await {
            Ok(reply) => {
                let ids = reply.journals.into_iter().map(|it| it.journal_id);
                lobby.open_journals.borrow_mut().extend(ids);
                lobby.note_aside("lists of journals");
                return Ok(());
            }
            Err(error) if error.retryable() => {
                let said = format!("no list of journals: {error}");
                context.trace.record(said);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Asks for the trial balance, until somebody has it: all shards' time is closed for that.
async fn balance_all(context: &ClientContext, lobby: &Lobby) -> turmoil::Result {
    let audited = lobby.audited.borrow().clone();
    let nodes = lobby.bank.topology().nodes.iter();
    let whole = nodes.filter(|node| audited.contains(&node.name));
    let addresses = whole.map(|node| node.address.clone()).collect();
    let client = auditor(context, addresses, "trial balance")?;
    let mut tried = 0;
    while tried < PATIENCE {
        match client.trial_balance("").await {
            Ok(reply) if reply.balanced => {
                lobby.note_aside("trial balances");
                return Ok(());
            }
            Ok(reply) => return Err(format!("the books do not balance: {reply:?}").into()),
            Err(error) if error.retryable() => {
                tried += 1;
                let said = format!("no trial balance: {error}");
                context.trace.record(said);
            }
            Err(error) => return Err(error.into()),
        }
    }
    lobby.note_aside("trial balances that nobody gave");
    Ok(())
}

/// A client that asks these nodes.
fn auditor(context: &ClientContext, addresses: Vec<String>, seed: &str) -> Result<Client, Error> {
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive(seed))),
        network: context.network.clone(),
        ..Options::new("auditor")
    };
    Client::new(addresses, options)
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

/// Asks one node for every balance and every statement that its views have, and for every refusal.
async fn look_into(
    context: &ClientContext,
    lobby: &Lobby,
    (node, region, address): (&str, &str, &str),
) -> turmoil::Result {
    let client = auditor(context, vec![address.to_owned()], node)?;
    let mut answered = 0;
    let mut homes_answer = true;
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
        // Answered at home, wherever it is asked: a region that is lost has nothing to tell.
        if homes_answer {
            let told = glance::refusals(&client, &account.id, node, &lobby.history).await;
            match told {
                Ok(()) => {}
                Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error.into()),
                Err(error) => {
                    context.trace.record(format!("{node}: {error}"));
                    lobby.note_aside("refusals that are not told");
                    homes_answer = false;
                }
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

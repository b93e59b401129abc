//! Somebody who reads the events of a region, from the first to the last, at whatever node answers.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use node::{
    api::events::v1::{
        Event, Order, ReadReply, ReadRequest,
        read_request::{Of, Start},
    },
    client::{Client, Error, Options},
};
use rand::{
    Rng,
    seq::{IndexedRandom, SliceRandom},
};
use tokio::time::{sleep, timeout};

use super::{
    Played, Run,
    customer::{Hours, Lobby},
    generated::generated,
};
use crate::{
    oracle::told::{Stream, Told},
    plan::{Client as Planned, Habits, Plan, Reads},
    simulation::{ClientContext, Failure},
    world::SimEntropy,
};

/// How often it looks whether all is over.
const LOOK: Duration = Duration::from_secs(1);
/// After so many replies, at most, it goes on at another node.
const REPLIES: u32 = 12;

/// The world of a plan, with two more who read events, each in another order.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn events(run: &Run) -> Result<Played, Failure> {
    let mut plan = run.plan.clone().unwrap_or_else(|| Plan::generate(run.seed));
    let regions: Vec<_> = plan.regions.iter().map(|it| it.name.clone()).collect();
    let is_there = |plan: &Plan| plan.clients.iter().any(|it| it.habits.reads.is_some());
    if !is_there(&plan) {
        for (name, reads) in [("reader-1", Reads::Shard), ("reader-2", Reads::Cut)] {
            plan.clients.push(Planned {
                name: name.to_owned(),
                region: regions[0].clone(),
                habits: Habits {
                    reads: Some(reads),
                    ..Habits::default()
                },
            });
        }
    }
    generated(&Run {
        plan: Some(plan),
        ..run.clone()
    })
}

/// Reads until everything is over, and then up to the end.
///
/// # Errors
///
/// When it is told what makes no sense.
pub(super) async fn reader(context: ClientContext, lobby: Lobby, reads: Reads) -> turmoil::Result {
    let mut rng = context.seed.rng();
    let options = Options {
        clock: context.clock.clone(),
        entropy: Arc::new(SimEntropy::new(context.seed.derive("entropy"))),
        network: context.network.clone(),
        ..Options::new(&context.name)
    };
    let topology = lobby.bank.topology();
    let homes: Vec<_> = topology
        .shards
        .iter()
        .map(|it| it.region.to_string())
        .collect();
    let region = homes.choose(&mut rng).cloned().unwrap_or_default();
    let mut addresses: Vec<_> = topology.nodes.iter().map(|it| it.address.clone()).collect();
    let order = match reads {
        Reads::Shard => Order::Shard,
        Reads::Cut => Order::Cut,
    };
    let mut notes = Stream {
        reader: context.name.clone(),
        by_time: reads == Reads::Cut,
        ..Stream::default()
    };
    let mut start = None;
    loop {
        let is_last = lobby.hours.get() == Hours::Audit;
        addresses.shuffle(&mut rng);
        let client = Client::new(addresses.clone(), options.clone())?;
        let mut stream = client.read_events(ReadRequest {
            of: Some(Of::Region(region.clone())),
            order: order.into(),
            start: start.clone(),
            until_now: is_last,
            ..ReadRequest::default()
        });
        let mut left = rng.random_range(1..=REPLIES);
        while left > 0 && is_last == (lobby.hours.get() == Hours::Audit) {
            match timeout(LOOK, stream.next()).await {
                Ok(Some(Ok(reply))) => {
                    note(&mut notes, &reply)?;
                    start = Some(Start::Cursor(reply.cursor));
                    if reply.is_last {
                        lobby.told.borrow_mut().push(notes);
                        return Ok(());
                    }
                    left -= u32::from(!is_last);
                }
                Ok(Some(Err(error @ (Error::Malformed(_) | Error::Options(_))))) => {
                    return Err(error.into());
                }
                Ok(Some(Err(error))) => {
                    context.trace.record(format!("events: {error}"));
                    lobby.note_aside("streams of events that ended");
                    sleep(LOOK).await;
                    break;
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }
}

fn note(notes: &mut Stream, reply: &ReadReply) -> Result<(), Error> {
    for event in &reply.events {
        let told = told(event);
        let told = told.ok_or_else(|| Error::Malformed("an event has no place".to_owned()))?;
        notes.told.push(told);
    }
    let positions = reply.watermarks.iter().filter_map(|it| it.position);
    notes.through = positions.map(|it| (it.shard, it.index)).collect();
    Ok(())
}

/// An event, as its place names it.
pub(super) fn told(event: &Event) -> Option<Told> {
    let position = event.position.as_ref()?;
    let time = event.time.as_ref()?;
    Some(Told {
        shard: position.shard,
        index: position.index,
        time: u128::from_str_radix(&time.hlc, 16).ok()?,
        transaction: event.transaction_id.clone(),
        place: event.place,
    })
}

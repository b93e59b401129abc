//! Somebody who reads a region as a consumer group whose members come and go, at whatever node answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use node::{
    api::consumers::v1::{
        Consumer as Shown, CreateConsumerRequest, Delivery, Join, Order, Share,
        create_consumer_request::Of,
    },
    client::{Client, Consumer, Error, Options},
};
use rand::{Rng, seq::IndexedRandom};
use tokio::time::{sleep, timeout};

use super::{
    Played, Run,
    customer::{Hours, Lobby},
    generated::generated,
    reader::told,
};
use crate::{
    oracle::told::{Stream, Told},
    plan::{Client as Planned, Habits, Plan, Reads},
    simulation::{ClientContext, Failure},
    world::SimEntropy,
};

/// How often it looks whether all is over, and how long it waits for an event.
const LOOK: Duration = Duration::from_secs(1);
/// The most members of a group at a time.
const MEMBERS: usize = 2;
/// Of a thousand events: how many are refused, and after how many a member goes away.
const REFUSED: u32 = 20;
const GONE: u32 = 15;
/// So many entries may close times while nobody is told anything.
const QUIET: u64 = 50;
/// So often it looks whether the group has come to the end, at most.
const PATIENCE: u32 = 300;

/// The world of a plan, with two groups more, each in another order.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn consumers(run: &Run) -> Result<Played, Failure> {
    let mut plan = run.plan.clone().unwrap_or_else(|| Plan::generate(run.seed));
    let region = plan.regions[0].name.clone();
    let is_group = |reads| matches!(reads, Some(Reads::Group | Reads::GroupCut));
    if !plan.clients.iter().any(|it| is_group(it.habits.reads)) {
        for (name, reads) in [("group-1", Reads::Group), ("group-2", Reads::GroupCut)] {
            plan.clients.push(Planned {
                name: name.to_owned(),
                region: region.clone(),
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

/// A group, and what its members were told.
struct Party {
    context: ClientContext,
    options: Options,
    addresses: Vec<String>,
    region: String,
    members: Vec<Consumer>,
    seen: BTreeSet<(String, u32)>,
    told: Vec<Told>,
}

/// Reads until everything is over, and then up to the end.
///
/// # Errors
///
/// When it is told what makes no sense, or does not come to the end.
pub(super) async fn members(context: ClientContext, lobby: Lobby, reads: Reads) -> turmoil::Result {
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
    let near = topology.nodes.iter().map(|it| it.address.clone());
    let mut party = Party {
        addresses: near.collect(),
        context,
        options,
        region,
        members: Vec::new(),
        seen: BTreeSet::new(),
        told: Vec::new(),
    };
    let order = match reads {
        Reads::GroupCut => Order::Cut,
        _ => Order::Shard,
    };
    party.create(order).await?;
    while lobby.hours.get() != Hours::Audit {
        party.turn(&mut rng, &lobby).await?;
    }
    let shown = party.finish(&mut rng, &lobby).await?;
    let mut through = BTreeMap::new();
    for share in &shown.shares {
        for place in share.cursor.split('~') {
            let fields: Vec<_> = place.split('_').collect();
            let number = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok());
            let (Some(shard), Some(next)) = (number(0), number(2)) else {
                return Err(format!("`{place}` is no place").into());
            };
            through.insert(u32::try_from(shard)?, next.saturating_sub(1));
        }
    }
    let is_recorded = |it: &Told| through.get(&it.shard).is_some_and(|last| it.index <= *last);
    party.told.retain(is_recorded);
    lobby.told.borrow_mut().push(Stream {
        reader: party.context.name.clone(),
        by_time: order == Order::Cut,
        is_group: true,
        told: party.told,
        through,
    });
    Ok(())
}

impl Party {
    fn client(&self, rng: &mut impl Rng) -> Result<Client, Error> {
        let one = self.addresses.choose(rng).cloned();
        Client::new(one.into_iter().collect(), self.options.clone())
    }

    async fn create(&self, order: Order) -> Result<(), Error> {
        let client = Client::new(self.addresses.clone(), self.options.clone())?;
        loop {
            let created = client.create_consumer(CreateConsumerRequest {
                region: self.region.clone(),
                name: self.context.name.clone(),
                of: Some(Of::OfRegion(self.region.clone())),
                order: order.into(),
                ..CreateConsumerRequest::default()
            });
            match created.await {
                Ok(_) => return Ok(()),
                Err(error) if error.to_string().contains("CONSUMER_EXISTS") => return Ok(()),
                Err(error @ (Error::Malformed(_) | Error::Options(_))) => return Err(error),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Has one of the members process an event, if there is one.
    async fn turn(&mut self, rng: &mut impl Rng, lobby: &Lobby) -> Result<bool, Error> {
        if self.members.is_empty() || self.members.len() < MEMBERS && rng.random_ratio(1, 20) {
            let consumer = self.client(rng)?.consume(Join {
                region: self.region.clone(),
                name: self.context.name.clone(),
                retries: 100,
                window: 8,
                ..Join::default()
            });
            self.members.push(consumer);
        }
        let at = rng.random_range(0..self.members.len());
        let next = timeout(LOOK, self.members[at].next()).await;
        let delivery = match next {
            Err(_) => return Ok(false),
            Ok(Some(Ok(delivery))) => delivery,
            Ok(Some(Err(error @ (Error::Malformed(_) | Error::Options(_))))) => return Err(error),
            Ok(Some(Err(error))) => {
                self.context.trace.record(format!("consumer: {error}"));
                lobby.note_aside("members that were sent away");
                self.members.remove(at);
                sleep(LOOK).await;
                return Ok(true);
            }
            Ok(None) => {
                self.members.remove(at);
                return Ok(true);
            }
        };
        if rng.random_ratio(REFUSED, 1_000) {
            lobby.note_aside("events that were refused");
            self.members[at].refuse(&delivery, "not today");
            return Ok(true);
        }
        self.note(&delivery)?;
        self.members[at].acknowledge(&delivery);
        if rng.random_ratio(GONE, 1_000) {
            lobby.note_aside("members that went away");
            self.members.remove(at);
        }
        Ok(true)
    }

    /// What is told a second time is known.
    fn note(&mut self, delivery: &Delivery) -> Result<(), Error> {
        let told = delivery.event.as_ref().and_then(told);
        let told = told.ok_or_else(|| Error::Malformed("an event has no place".to_owned()))?;
        if self.seen.insert((told.transaction.clone(), told.place)) {
            self.told.push(told);
        }
        Ok(())
    }

    /// Reads up to the end, and tells what is recorded then.
    async fn finish(
        &mut self,
        rng: &mut impl Rng,
        lobby: &Lobby,
    ) -> Result<Shown, Box<dyn std::error::Error>> {
        let client = Client::new(self.addresses.clone(), self.options.clone())?;
        for _ in 0..PATIENCE {
            if self.turn(rng, lobby).await? {
                continue;
            }
            let shown = client.consumer(&self.region, &self.context.name).await;
            let Ok(Some(shown)) = shown.map(|it| it.consumer) else {
                continue;
            };
            let is_told =
                |share: &Share| share.unacknowledged == 0 && share.entries_behind <= QUIET;
            if shown.shares.iter().all(is_told) {
                return Ok(shown);
            }
        }
        Err("the group does not come to the end".into())
    }
}

//! Whoever looks after a group: makes it, has parked shares go on, moves it, and removes it for another.

use std::time::Duration;

use ledger_domain::ShardId;
use node::{
    api::{
        consumers::v1::{
            Consumer as Shown, CreateConsumerRequest, MoveConsumerRequest, Order,
            RemoveConsumerRequest, ResumeConsumerRequest, Share, create_consumer_request::Of,
            create_consumer_request::Start, move_consumer_request::To,
        },
        events::v1::{End, Filter},
    },
    client::{Client, Error},
};
use rand::{Rng, rngs::SmallRng, seq::IndexedRandom};
use tokio::time::{Instant, sleep};

use super::Party;
use crate::{determinism::simulated_elapsed, plan::Consumed, scenario::customer::Hours};

/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(1_500);
/// Of a thousand looks: how often the group is moved, and removed.
const MOVES: u32 = 60;
const REMOVES: u32 = 30;
/// How long nobody is told anything when there is nothing more.
const QUIET: Duration = Duration::from_secs(3);
/// So many entries may close times while nobody is told anything.
const IDLE: u64 = 40;
/// How long a group has for the rest once all is at rest.
const LAST: Duration = Duration::from_secs(45);

impl Party {
    /// Looks after the group until it has come to the end.
    pub(super) async fn look_after(&self) -> Result<(), Error> {
        let mut rng = self.rng("operator");
        let client = self.client("operator", &mut rng)?;
        let mut is_made = false;
        let mut has_all_since = None;
        let mut end = None;
        self.begin();
        loop {
            self.pause().await;
            if !is_made {
                is_made = self.make(&client, &mut rng).await?;
            }
            let shown = client.consumer(&self.context.region, &self.context.name);
            match shown.await {
                Ok(reply) => {
                    let shown = reply.consumer.unwrap_or_default();
                    self.diary.borrow_mut().last_shown = format!("{:?}", shown.shares);
                    self.resume(&client, &shown, &mut rng).await?;
                    let is_audit = self.lobby.hours.get() == Hours::Audit;
                    if is_audit && shown.shares.iter().all(has_all) {
                        let now = simulated_elapsed();
                        let since = *has_all_since.get_or_insert(now);
                        if now.saturating_sub(self.last_told.get().max(since)) >= QUIET {
                            break;
                        }
                    } else {
                        has_all_since = None;
                    }
                    if !self.is_peace() {
                        is_made = self.disturb(&client, &shown, &mut rng).await?;
                    }
                }
                Err(error) => {
                    // It was removed though nobody was told so in time.
                    is_made &= error.code() != Some("CONSUMER_NOT_FOUND");
                    has_all_since = None;
                    self.heard(error, "consumer")?;
                }
            }
            if self.lobby.hours.get() == Hours::Audit {
                let end = *end.get_or_insert_with(|| Instant::now() + LAST);
                if Instant::now() > end {
                    // The judge says what is missing.
                    break;
                }
            }
            sleep(PAUSE).await;
        }
        self.is_over.set(true);
        self.end();
        Ok(())
    }

    /// Makes the group. Whether it is there.
    async fn make(&self, client: &Client, rng: &mut SmallRng) -> Result<bool, Error> {
        let request = self.asked(rng);
        match client.create_consumer(request).await {
            Ok(_) => {
                self.aside("groups made");
                Ok(true)
            }
            Err(error) => {
                let is_there = error.code() == Some("CONSUMER_EXISTS");
                self.heard(error, "create")?;
                Ok(is_there)
            }
        }
    }

    fn asked(&self, rng: &mut SmallRng) -> CreateConsumerRequest {
        let bank = &self.lobby.bank;
        let topology = bank.topology();
        let own = &self.context.region;
        let others = topology.regions.iter().map(|it| it.name.to_string());
        let others: Vec<_> = others.filter(|it| it != own).collect();
        let others = others.choose(rng).cloned().filter(|_| self.consumes.abroad);
        let region = others.unwrap_or_else(|| own.clone());
        let shards = topology.shards.iter();
        let shards: Vec<_> = shards
            .filter(|it| it.region.as_str() == region)
            .map(|it| ShardId(it.id))
            .collect();
        let accounts = bank.accounts().iter();
        let accounts: Vec<_> = accounts.filter(|it| it.region == region).collect();
        let mut of = Of::OfRegion(region);
        if self.consumes.narrow {
            match (self.consumes.order, accounts.choose(rng)) {
                (Consumed::Account, Some(account)) => of = Of::AccountId(account.id.clone()),
                _ => {
                    if let Some(shard) = shards.choose(rng) {
                        of = Of::Shard(shard.0);
                    }
                }
            }
        }
        let order = match self.consumes.order {
            Consumed::Account => Order::Account,
            Consumed::Shard => Order::Shard,
            Consumed::Cut => Order::Cut,
        };
        let spread = match (&of, order) {
            (Of::OfRegion(_) | Of::Shard(_), Order::Account) => rng.random_range(1..=2),
            _ => 0,
        };
        let kinds = ["FundsDeposited", "FundsTransferred", "TransferReceived"];
        let filter = rng.random_bool(0.2).then(|| Filter {
            kinds: kinds.map(ToOwned::to_owned).to_vec(),
            ..Filter::default()
        });
        CreateConsumerRequest {
            region: own.clone(),
            name: self.context.name.clone(),
            of: Some(of),
            order: order.into(),
            spread,
            filter,
            start: rng.random_bool(0.3).then_some(Start::End(End {})),
            ..CreateConsumerRequest::default()
        }
    }

    /// Has parked shares go on: after the event, or with it once it can be processed.
    async fn resume(
        &self,
        client: &Client,
        shown: &Shown,
        rng: &mut SmallRng,
    ) -> Result<(), Error> {
        for share in &shown.shares {
            let Some(parked) = &share.parked else {
                continue;
            };
            let id = (parked.transaction_id.clone(), parked.place);
            let told = (share.number, id.clone(), parked.reason.clone());
            self.diary.borrow_mut().parked.push(told);
            self.aside("parked shares of groups that somebody saw");
            let skip = rng.random_bool(0.3);
            if !skip {
                self.mended.borrow_mut().insert(id);
            }
            let request = ResumeConsumerRequest {
                region: self.context.region.clone(),
                name: self.context.name.clone(),
                share: share.number,
                skip,
                ..ResumeConsumerRequest::default()
            };
            match client.resume_consumer(request).await {
                Ok(_) => self.aside("parked shares of groups that went on"),
                Err(error) => self.heard(error, "resume")?,
            }
        }
        Ok(())
    }

    /// Now and then moves the group, or removes it. Whether it is still there.
    async fn disturb(
        &self,
        client: &Client,
        shown: &Shown,
        rng: &mut SmallRng,
    ) -> Result<bool, Error> {
        if rng.random_ratio(MOVES, 1_000) {
            let cursors = shown.shares.iter().map(|it| it.cursor.clone());
            let cursors: Vec<_> = cursors.collect();
            let to = match rng.random_range(0..4) {
                0 => None,
                1 => Some(To::End(End {})),
                _ => cursors.choose(rng).cloned().map(To::Cursor),
            };
            let request = MoveConsumerRequest {
                region: self.context.region.clone(),
                name: self.context.name.clone(),
                to,
                ..MoveConsumerRequest::default()
            };
            match client.move_consumer(request).await {
                Ok(_) => self.aside("groups moved"),
                Err(error) => self.heard(error, "move")?,
            }
        }
        if rng.random_ratio(REMOVES, 1_000) {
            let request = RemoveConsumerRequest {
                region: self.context.region.clone(),
                name: self.context.name.clone(),
                ..RemoveConsumerRequest::default()
            };
            match client.remove_consumer(request).await {
                Ok(_) => self.aside("groups removed"),
                Err(error) => self.heard(error, "remove")?,
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn heard(&self, error: Error, of: &str) -> Result<(), Error> {
        match error {
            Error::Malformed(_) | Error::Options(_) => Err(error),
            error => {
                self.context.trace.record(format!("{of}: {error}"));
                Ok(())
            }
        }
    }
}

/// Whether a share has come to the end of what is there, as far as can be seen. Of one that nobody has
/// only what is recorded can be seen.
fn has_all(share: &Share) -> bool {
    !share.member.is_empty()
        && share.parked.is_none()
        && share.unacknowledged == 0
        && share.failing.is_empty()
        && share.entries_behind <= IDLE
}

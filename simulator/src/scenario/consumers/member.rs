//! A member of a group: it processes what it is told, as well as it can.

use std::{collections::BTreeMap, time::Duration};

use node::{
    api::consumers::v1::{Delivery, Join},
    client::{Consumer, Error},
};
use rand::{Rng, rngs::SmallRng};
use tokio::time::{sleep, timeout};

use super::{LOOK, Party, RETRIES};
use crate::{determinism::simulated_elapsed, oracle::consumed::Word};

/// After an error, before it joins again.
const PAUSE: Duration = Duration::from_millis(500);

/// How a member behaves.
struct Temper {
    /// It acknowledges every so many events, and when it is told nothing.
    batch: u32,
    /// It takes so long for an event.
    slow: Duration,
    /// Of a thousand events it refuses so many, for no reason that stays.
    refuses: u32,
    /// It goes after so many events.
    stays: u32,
    /// It says nothing when it goes.
    crashes: bool,
    /// It never acknowledges what it is told before it goes.
    silent: bool,
}

impl Temper {
    /// One that does what it should.
    fn good() -> Self {
        Self {
            batch: 1,
            slow: Duration::ZERO,
            refuses: 0,
            stays: u32::MAX,
            crashes: false,
            silent: false,
        }
    }

    fn draw(rng: &mut SmallRng) -> Self {
        // Who takes longer than it is waited for acknowledges under a lease that is over.
        let slow = match rng.random_range(0..10) {
            0 => 6_500,
            1..3 => rng.random_range(100..1_500),
            _ => rng.random_range(0..20),
        };
        Self {
            batch: rng.random_range(1..=12),
            slow: Duration::from_millis(slow),
            refuses: rng.random_range(0..40),
            stays: rng.random_range(1..150),
            crashes: rng.random_bool(0.5),
            silent: rng.random_bool(0.1),
        }
    }
}

impl Party {
    /// Takes part again and again, until all is over.
    pub(super) async fn member(&self, number: u32) -> Result<(), Error> {
        let who = format!("member {number}");
        let mut rng = self.rng(&who);
        self.begin();
        while !self.is_over.get() {
            self.pause().await;
            let temper = match self.is_peace() {
                true => Temper::good(),
                false => Temper::draw(&mut rng),
            };
            if !self.is_peace() {
                sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
            }
            let consumer = self.client(&who, &mut rng)?.consume(Join {
                region: self.context.region.clone(),
                name: self.context.name.clone(),
                member: who.replace(' ', "-"),
                retries: RETRIES,
                window: rng.random_range(1..=32),
            });
            let crashes = temper.crashes;
            let left = self.take_part(number, consumer, temper, &mut rng).await?;
            match left {
                Some(consumer) if !crashes => {
                    self.aside("members of groups that left");
                    consumer.leave().await;
                }
                Some(_) => self.aside("members of groups that crashed"),
                None => sleep(PAUSE).await,
            }
        }
        self.end();
        Ok(())
    }

    /// Processes events until it goes, or the group sends it away.
    async fn take_part(
        &self,
        number: u32,
        mut consumer: Consumer,
        mut temper: Temper,
        rng: &mut SmallRng,
    ) -> Result<Option<Consumer>, Error> {
        let mut waiting: BTreeMap<u32, Delivery> = BTreeMap::new();
        let mut since = 0;
        loop {
            if self.is_over.get() || self.lobby.nobody_asks.get() {
                return Ok(Some(consumer));
            }
            if self.is_peace() {
                temper = Temper::good();
            }
            let delivery = match timeout(LOOK, consumer.next()).await {
                Err(_) => {
                    self.acknowledge(number, &consumer, &mut waiting, &temper);
                    since = 0;
                    continue;
                }
                Ok(None) => return Ok(None),
                Ok(Some(Ok(delivery))) => delivery,
                Ok(Some(Err(error @ (Error::Malformed(_) | Error::Options(_))))) => {
                    return Err(error);
                }
                Ok(Some(Err(error))) => {
                    let trace = &self.context.trace;
                    trace.record(format!("member {number}: {error}"));
                    self.aside("members of groups that were sent away");
                    return Ok(None);
                }
            };
            self.last_told.set(simulated_elapsed());
            let Some(event) = &delivery.event else {
                return Err(Error::Malformed("there is no event".to_owned()));
            };
            let id = (event.transaction_id.clone(), event.place);
            let told = Word::Told {
                number: delivery.number,
                again: delivery.again,
                id: id.clone(),
            };
            self.note(number, delivery.share, &delivery.lease, told);
            sleep(temper.slow).await;
            let reason = match () {
                () if !self.can_process(&id) => Some("it cannot be processed"),
                () if rng.random_ratio(temper.refuses, 1_000) => Some("not today"),
                () => None,
            };
            let (share, lease) = (delivery.share, delivery.lease.clone());
            if let Some(reason) = reason {
                self.aside("events of groups that were refused");
                let word = Word::Refused(delivery.number, reason.to_owned());
                self.note(number, share, &lease, word);
                consumer.refuse(&delivery, reason);
                waiting.remove(&share);
            } else {
                self.aside("events told to groups");
                waiting.insert(share, delivery);
                since += 1;
            }
            if since >= temper.batch {
                self.acknowledge(number, &consumer, &mut waiting, &temper);
                since = 0;
            }
            temper.stays -= 1;
            if temper.stays == 0 {
                return Ok(Some(consumer));
            }
        }
    }

    /// What was told last of each share is processed, and all before it.
    fn acknowledge(
        &self,
        number: u32,
        consumer: &Consumer,
        waiting: &mut BTreeMap<u32, Delivery>,
        temper: &Temper,
    ) {
        if temper.silent {
            return;
        }
        for (share, delivery) in std::mem::take(waiting) {
            let word = Word::Acknowledged(delivery.number);
            self.note(number, share, &delivery.lease, word);
            consumer.acknowledge(&delivery);
        }
    }
}

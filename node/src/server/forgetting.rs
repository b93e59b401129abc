//! Destroying the keys of erased customers: at once by who decided it, and again and again by every node of
//! the region, as whoever decided it may have lost its power, or its caller, before it came to that.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, Weak},
    time::Duration,
};

use ledger_domain::{
    CustomerId, Event, Outcome, command::Command, customer::CustomerChange, state::State as _,
};
use replication::{shard::Shard, topology::Directory as _};
use tokio::time::sleep;
use tonic::Status;

use super::{Server, opening::is_known, refusal};
use crate::keys::KeyError;

/// How often a node looks for customers whose erasing was asked of it.
const LOOK: Duration = Duration::from_secs(5);
/// How many times it does before it takes the erasing for refused.
const LOOKS: u32 = 24;
/// How many looks there are from a node's first sweep of all its books to the next; ever more later.
const SWEEP_FIRST: u32 = 2;
const SWEEP_LAST: u32 = 120;

/// Customers whose erasing was asked of a node, and how often it has looked for each.
pub(super) type Erasing = std::sync::Mutex<BTreeMap<CustomerId, u32>>;

impl Server {
    /// Refuses to erase a customer whose key cannot be reached: it is to be destroyed at once. What was
    /// decided before stays so.
    pub(super) async fn can_forget(
        &self,
        shard: &Shard,
        command: &Command,
        id: CustomerId,
        dry_run: bool,
    ) -> Result<(), Status> {
        let read = shard.strong(|book| book.customer(&id)).await;
        let (known, _) = read.map_err(|error| refusal::read(&error))?;
        let Some(known) = known else {
            return Ok(());
        };
        let ready = self.keys.ready().await;
        if let Err(error) = &ready
            && known.profile.is_some()
            && !is_known(shard, command).await?
        {
            return Err(refusal::no_key(error));
        }
        if !dry_run && !matches!(ready, Err(KeyError::None)) {
            let mut erasing = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
            erasing.insert(id, 0);
        }
        Ok(())
    }

    /// Destroys the key of a customer whose erasing an outcome says. It is durable by then.
    pub(super) async fn forget(&self, outcome: &Outcome) {
        for event in outcome.result.as_deref().unwrap_or_default() {
            if let Event::Customer(event) = event
                && event.change == CustomerChange::Erased
            {
                self.destroy(event.customer).await;
            }
        }
    }

    /// Destroys a key. Returns whether there is nothing left to destroy.
    pub(super) async fn destroy(&self, customer: CustomerId) -> bool {
        match self.keys.destroy(customer).await {
            // It has no profile: whoever has could not be erased here.
            Ok(()) | Err(KeyError::None) => true,
            Err(error) => {
                tracing::error!(%customer, %error, "the key of an erased customer is not destroyed yet");
                false
            }
        }
    }

    /// Destroys the keys of those whose erasing was asked here and has been decided since.
    async fn look(&self) {
        let asked = {
            let mut erasing = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = erasing.iter_mut().map(|(customer, looks)| {
                *looks = looks.saturating_add(1);
                (*customer, *looks)
            });
            asked.collect::<Vec<_>>()
        };
        for (customer, looks) in asked {
            let shard = self.directory.home(&customer.place());
            let shard = shard.and_then(|shard| self.shards.get(shard));
            let known = shard.and_then(|shard| shard.book().customer(&customer));
            let is_done = match known.is_some_and(|known| known.erased) {
                true => self.destroy(customer).await,
                false => looks >= LOOKS,
            };
            let mut erasing = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
            // Unless it was asked again meanwhile.
            if is_done && erasing.get(&customer) == Some(&looks) {
                erasing.remove(&customer);
            }
        }
    }

    /// Destroys the keys of all customers that the books here know to be erased.
    async fn sweep(&self) {
        for (shard, local) in self.shards.all() {
            if self.region_of(shard) != self.region {
                continue;
            }
            let erased: Vec<_> = local.book().erased_customers().collect();
            for customer in erased {
                self.destroy(customer).await;
            }
        }
    }

    /// Looks from a node's start to its end.
    pub(super) async fn keep_forgetting(server: Weak<Self>) {
        while let Some(server) = server.upgrade() {
            match server.keys.ready().await {
                Ok(()) => server.look().await,
                Err(KeyError::None) => return,
                // Whoever sweeps says so.
                Err(_) => {}
            }
            drop(server);
            sleep(LOOK).await;
        }
    }

    /// Sweeps from a node's start to its end: beside the looks, as it can take long.
    pub(super) async fn keep_sweeping(server: Weak<Self>) {
        let (mut pause, mut left, mut silent) = (SWEEP_FIRST, 0, 0);
        while let Some(server) = server.upgrade() {
            match server.keys.ready().await {
                Ok(()) => {
                    if left == 0 {
                        server.sweep().await;
                        left = pause;
                        pause = SWEEP_LAST.min(pause * 4);
                    }
                    (left, silent) = (left - 1, 0);
                }
                Err(KeyError::None) => return,
                Err(error) => {
                    if silent == 0 {
                        tracing::error!(%error, "the keys of customers cannot be reached");
                        silent = SWEEP_LAST;
                    }
                    // Once they can be, nobody waits.
                    (left, silent) = (0, silent - 1);
                }
            }
            drop(server);
            sleep(LOOK).await;
        }
    }
}

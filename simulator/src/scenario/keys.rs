//! The keys of a region's customers, which all its nodes reach whatever becomes of them: no files, as
//! nothing in a simulated world may wait for a real disk.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ledger_domain::{CustomerId, profile::CustomerKey};
use node::keys::{KeyError, Keys};

/// Keys in memory. Every clone has the same.
#[derive(Clone, Default)]
pub struct SharedKeys(Arc<Mutex<BTreeMap<CustomerId, CustomerKey>>>);

impl SharedKeys {
    /// Whose keys are there.
    #[must_use]
    pub fn customers(&self) -> Vec<CustomerId> {
        self.all().keys().copied().collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<CustomerId, CustomerKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl Keys for SharedKeys {
    async fn ready(&self) -> Result<(), KeyError> {
        Ok(())
    }

    async fn create(
        &self,
        customer: CustomerId,
        fresh: CustomerKey,
    ) -> Result<CustomerKey, KeyError> {
        Ok(self.all().entry(customer).or_insert(fresh).clone())
    }

    async fn get(&self, customer: CustomerId) -> Result<Option<CustomerKey>, KeyError> {
        Ok(self.all().get(&customer).cloned())
    }

    async fn destroy(&self, customer: CustomerId) -> Result<(), KeyError> {
        self.all().remove(&customer);
        Ok(())
    }
}

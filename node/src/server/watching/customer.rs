//! Which accounts a customer has, asked for again and again while they are watched.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use ledger_domain::AccountId;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use tonic::{Request, Status};

use crate::{
    api::{atm::v1 as pb, teller::v1::GetCustomerRequest, v1},
    server::{
        Server,
        deadline::{Call, Deadline},
        prepare,
    },
};

/// How often the customer's home is asked.
const AGAIN: Duration = Duration::from_secs(5);

/// What its home has said of a customer.
#[derive(Clone, Default)]
pub(super) struct Had {
    pub(super) accounts: BTreeSet<AccountId>,
    position: Option<v1::Position>,
    pub(super) true_at: Option<v1::Time>,
}

/// A customer whose accounts are watched.
pub(super) struct Customer {
    heard: watch::Receiver<Had>,
    /// What is being told of.
    pub(super) now: Had,
    /// Whether whoever listens has been told which accounts these are.
    pub(super) is_told: bool,
    /// Asks for as long as this is here.
    _asking: JoinSet<()>,
}

impl Customer {
    /// Asks the customer's home, and goes on asking.
    pub(super) async fn ask(
        server: &Arc<Server>,
        id: &str,
        deadline: Deadline,
    ) -> Result<Self, Status> {
        let now = server.had_by(id, deadline).await?;
        let (told, heard) = watch::channel(now.clone());
        let (server, id) = (server.clone(), id.to_owned());
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            loop {
                sleep(AGAIN).await;
                // Until its home answers again it has what it had; how old that is is told.
                if let Ok(had) = server.had_by(&id, Deadline::of_one()).await {
                    told.send_replace(had);
                }
            }
        });
        Ok(Self {
            heard,
            now,
            is_told: false,
            _asking: asking,
        })
    }

    /// Waits until its home was heard again. Dropped, it misses nothing.
    pub(super) async fn changed(&mut self) {
        if self.heard.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes up what was heard last, where anything was, and gives what was told of before.
    pub(super) fn take_up(&mut self) -> Option<BTreeSet<AccountId>> {
        let new = self.heard.borrow_and_update().clone();
        if new.position == self.now.position && new.true_at == self.now.true_at {
            return None;
        }
        let before = std::mem::replace(&mut self.now, new).accounts;
        self.is_told &= before == self.now.accounts;
        Some(before)
    }

    /// Which accounts it has, once.
    pub(super) fn tell(&mut self) -> Option<pb::WatchedCustomer> {
        if std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        let accounts = self.now.accounts.iter();
        Some(pb::WatchedCustomer {
            account_ids: accounts.map(ToString::to_string).collect(),
            position: self.now.position,
        })
    }
}

impl Server {
    /// Which accounts a customer has, as its home knows them.
    async fn had_by(&self, id: &str, deadline: Deadline) -> Result<Had, Status> {
        let request = Request::new(GetCustomerRequest {
            customer_id: id.to_owned(),
            without_profile: true,
        });
        let asking = self.customer(request, deadline);
        let found = deadline.keep(Call::Read, asking).await?.into_inner();
        let ids = found.account_ids.iter();
        Ok(Had {
            accounts: ids
                .map(|id| prepare::account(id))
                .collect::<Result<_, _>>()?,
            position: found.position,
            true_at: found.true_at,
        })
    }
}

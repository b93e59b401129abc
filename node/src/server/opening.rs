//! What comes before an account is opened: its customer has it, and references stand for it.
//!
//! Both are kept elsewhere, and each is a command of its own under the opening's key, so that whatever
//! is asked again is done once. An opening that is refused, or never asked again, leaves them behind:
//! an account that is attached and not there, references that stand for nobody who is.

use ledger_domain::{Account, AccountId, Command, CustomerId, Reference, state::State as _};
use replication::shard::Shard;
use tonic::Status;

use super::{Server, deadline::Deadline, prepare::Prepared, refusal};
use crate::api::v1;

/// What an account is opened with besides its own substance.
#[derive(Default)]
pub(super) struct Beforehand {
    pub(super) customer: Option<CustomerId>,
    pub(super) references: Vec<Reference>,
}

impl Beforehand {
    pub(super) fn is_empty(&self) -> bool {
        self.customer.is_none() && self.references.is_empty()
    }
}

impl Server {
    /// Does what comes before an opening, unless the account is there already: then it was done
    /// before, or the opening is refused.
    pub(super) async fn before_opening(
        &self,
        shard: &Shard,
        opening: &Prepared,
        caller: &str,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let account = opening.action.account();
        let before = &opening.before;
        if before.is_empty() || known(shard, account).await?.is_some() {
            return Ok(());
        }
        let given = &opening.context;
        let context = v1::CommandContext {
            idempotency_key: given.idempotency_key.clone(),
            first_attempt_unix_ms: given.first_attempt_unix_ms,
            correlation_id: given.correlation_id.clone(),
            reason: given.reason.clone(),
            channel: given.channel,
            dry_run: given.dry_run,
            ..v1::CommandContext::default()
        };
        if let Some(customer) = before.customer {
            self.attach(customer, account, context.clone(), caller, deadline)
                .await?;
        }
        for reference in &before.references {
            self.claim_for(reference, account, context.clone(), caller, deadline)
                .await?;
        }
        Ok(())
    }
}

/// Whether a command's key is known in a shard that is led here: then it is answered from its record.
pub(super) async fn is_known(shard: &Shard, command: &Command) -> Result<bool, Status> {
    let key = command.info.key;
    let read = shard.strong(|book| book.key(&key).is_some()).await;
    let (is_known, _) = read.map_err(|error| refusal::read(&error))?;
    Ok(is_known)
}

/// An account of a shard that is led here.
pub(super) async fn known(shard: &Shard, id: AccountId) -> Result<Option<Account>, Status> {
    let read = shard.strong(|book| book.account(&id)).await;
    let (account, _) = read.map_err(|error| refusal::read(&error))?;
    Ok(account)
}

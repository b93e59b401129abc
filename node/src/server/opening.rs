//! What comes before an account is opened: its customer has it, and references stand for it.
//!
//! Both are kept elsewhere, and each is a command of its own under the opening's key, so that whatever
//! is asked again is done once. So nothing is done before it is known that the opening would be accepted
//! and everything else is free; and where it is refused all the same, what was new is undone. Only an
//! opening whose answer is lost, and that nobody asks for again, leaves something behind: an account that
//! is attached and not there, references that stand for nobody who is.

use futures_util::future::try_join_all;
use ledger_domain::{
    Account, AccountId, Code, Command, CustomerId, HybridTime, Reference, customer::CustomerAction,
    state::State as _,
};
use replication::shard::Shard;
use tonic::{Request, Status};

use super::{
    Server,
    deadline::Deadline,
    prepare::{self, Prepared},
    receipt, refusal,
};
use crate::{
    api::{teller::v1 as pb, v1},
    secrets::hex,
};

/// What an account is opened with besides its own substance.
#[derive(Default)]
pub(super) struct Beforehand {
    pub(super) customer: Option<CustomerId>,
    pub(super) references: Vec<Reference>,
}

/// An opening with something before it.
pub(super) struct Opening<'a> {
    account: AccountId,
    before: Beforehand,
    /// Of what comes before.
    context: v1::CommandContext,
    caller: &'a str,
    deadline: Deadline,
}

impl<'a> Opening<'a> {
    /// Takes out of a command what comes before it, if anything does.
    pub(super) fn of(prepared: &mut Prepared, caller: &'a str, deadline: Deadline) -> Option<Self> {
        let before = std::mem::take(&mut prepared.before);
        if before.customer.is_none() && before.references.is_empty() {
            return None;
        }
        let given = &prepared.context;
        let context = v1::CommandContext {
            idempotency_key: given.idempotency_key.clone(),
            first_attempt_unix_ms: given.first_attempt_unix_ms,
            correlation_id: given.correlation_id.clone(),
            reason: given.reason.clone(),
            channel: given.channel,
            dry_run: given.dry_run,
            ..v1::CommandContext::default()
        };
        Some(Self {
            account: prepared.action.account(),
            before,
            context,
            caller,
            deadline,
        })
    }

    /// A refusal of what comes before, which says of which account.
    pub(super) fn refused(&self, refusal: Status) -> Status {
        refusal::not_opened(refusal, &self.account)
    }

    fn refuse(&self, code: Code, help: &str) -> Status {
        let key = &self.context.idempotency_key;
        refusal::not_yet_done(&code.into(), key, help)
    }
}

/// What was done before an opening.
#[derive(Default)]
pub(super) struct Done {
    /// When the last of it was. The opening is later.
    pub(super) at: Option<HybridTime>,
    // A customer that has the account since.
    customer: Option<CustomerId>,
    /// Whether references may be claimed, by this attempt or an earlier one.
    claims: bool,
    /// References that stood for the account before this key claimed them: another opening of it may be
    /// under way.
    others: Vec<Reference>,
}

impl Done {
    fn saw(&mut self, receipt: &v1::Receipt) {
        let time = receipt.time.as_ref();
        let time = time.and_then(|time| receipt::parse_time(&time.hlc));
        self.at = self.at.max(time);
    }
}

const CORRECT: &str = "Nothing was changed or recorded: correct the command.";
const UNDONE: &str =
    "What this key did is undone since: look at the account, and use a new key if it is not there.";

impl Server {
    /// Does what comes before an opening, unless the account or the key is there already: then it was
    /// done before, or the opening is refused.
    pub(super) async fn before_opening(
        &self,
        shard: &Shard,
        command: &Command,
        opening: &Opening<'_>,
    ) -> Result<Done, Status> {
        let is_dry = opening.context.dry_run;
        if known(shard, opening.account).await?.is_some() {
            return Ok(Done::default());
        }
        if !is_dry && is_known(shard, command).await? {
            // It was refused, and what came before it may not be undone yet.
            return Ok(Done {
                claims: !opening.before.references.is_empty(),
                ..Done::default()
            });
        }
        let would = shard.dry_run(command, &[], |outcomes, _| {
            let mut refused = outcomes.into_iter().filter_map(|it| it.result.err());
            refused.next()
        });
        let would = would.await.map_err(|error| refusal::read(&error))?;
        if let Some(rejection) = would.answer {
            let key = &opening.context.idempotency_key;
            let refused = refusal::not_yet_done(&rejection, key, CORRECT);
            // It may have been begun when it would have been accepted.
            let claims = !opening.before.references.is_empty();
            let done = Done {
                claims,
                ..Done::default()
            };
            self.undo(shard, opening, done).await?;
            return Err(opening.refused(refused));
        }
        let mut done = Done::default();
        match self.attach_and_claim(opening, &mut done).await {
            Ok(()) => Ok(done),
            Err(status) => {
                if !refusal::leaves_open(&status) {
                    self.undo(shard, opening, done).await?;
                }
                Err(opening.refused(status))
            }
        }
    }

    async fn attach_and_claim(&self, opening: &Opening<'_>, done: &mut Done) -> Result<(), Status> {
        let (before, account) = (&opening.before, opening.account);
        let references = before.references.iter();
        let standing = try_join_all(references.map(|it| self.holder(it, opening)));
        let standing = standing.await?;
        let is_begun = standing.contains(&Some(account)) && !opening.context.dry_run;
        let is_taken = standing.iter().flatten().any(|holder| *holder != account);
        // One that was begun before goes on, so that it is refused for good where a reference is taken,
        // and whoever is still at it is refused as well before anything is undone.
        if is_taken && !is_begun {
            return Err(opening.refuse(Code::ReferenceTaken, CORRECT));
        }
        done.claims = !before.references.is_empty();
        if let Some(customer) = before.customer {
            let had = self.has(customer, opening).await?;
            let change = CustomerAction::Attach(account);
            let context = opening.context.clone();
            let attached =
                self.change_customer(customer, change, context, opening.caller, opening.deadline);
            let receipt = attached.await?;
            done.saw(&receipt);
            if receipt.duplicate && !self.has(customer, opening).await? {
                return Err(opening.refuse(Code::AccountNotAttached, UNDONE));
            }
            if !had && !receipt.duplicate {
                done.customer = Some(customer);
            }
        }
        for (reference, holder) in before.references.iter().zip(standing) {
            let context = opening.context.clone();
            let claimed = self.claim_for(
                reference,
                account,
                context,
                false,
                opening.caller,
                opening.deadline,
            );
            let receipt = claimed.await?;
            done.saw(&receipt);
            if receipt.duplicate {
                match self.holder(reference, opening).await? {
                    Some(holder) if holder == account => {}
                    Some(_) => return Err(opening.refuse(Code::ReferenceTaken, UNDONE)),
                    None => return Err(opening.refuse(Code::ReferenceNotClaimed, UNDONE)),
                }
            } else if holder.is_some() {
                done.others.push(reference.clone());
            }
        }
        Ok(())
    }

    /// The references that this opening has claimed, now or in an earlier attempt, and still has.
    async fn claimed(
        &self,
        opening: &Opening<'_>,
        others: &[Reference],
    ) -> Result<Vec<Reference>, Status> {
        let (references, account) = (&opening.before.references, opening.account);
        let standing = references.iter().map(|it| self.holder(it, opening));
        let standing = try_join_all(standing).await?;
        let mut claimed = Vec::new();
        for (reference, holder) in references.iter().zip(standing) {
            if holder != Some(account) || others.contains(reference) {
                continue;
            }
            // Changes nothing, and tells whether it was this key: an opening of the same account under
            // another may be under way.
            let context = opening.context.clone();
            let (caller, deadline) = (opening.caller, opening.deadline);
            let again = self.claim_for(reference, account, context, false, caller, deadline);
            match again.await {
                Ok(receipt) if receipt.duplicate => claimed.push(reference.clone()),
                Err(status) if refusal::leaves_open(&status) => return Err(status),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(claimed)
    }

    /// Undoes what is new before an opening that was refused, unless another has opened the account.
    ///
    /// # Errors
    ///
    /// `OUTCOME_UNKNOWN` where it is not known that all references are given back: whoever asks for the
    /// opening again has that done. An attached customer that cannot be detached now stays so.
    pub(super) async fn undo(
        &self,
        shard: &Shard,
        opening: &Opening<'_>,
        done: Done,
    ) -> Result<(), Status> {
        let nothing = done.customer.is_none() && !done.claims;
        let account = opening.account;
        let key = &opening.context.idempotency_key;
        if nothing || opening.context.dry_run {
            return Ok(());
        }
        let unknown = |status: Status| refusal::outcome_unknown(status.message(), key);
        if known(shard, account).await.map_err(unknown)?.is_some() {
            return Ok(());
        }
        let claimed = match done.claims {
            true => self.claimed(opening, &done.others).await.map_err(unknown)?,
            false => Vec::new(),
        };
        // Only nodes of the region can make this key, so nobody has used it.
        let name = account.to_string();
        let parts: [&[u8]; 4] = [
            b"undo",
            opening.caller.as_bytes(),
            name.as_bytes(),
            key.as_bytes(),
        ];
        let proof = self.secrets.digest_key().proof(&parts);
        let context = v1::CommandContext {
            idempotency_key: format!("undo-{}", hex(&proof)),
            ..opening.context.clone()
        };
        let (caller, deadline) = (opening.caller, opening.deadline);
        let mut left = None;
        for reference in &claimed {
            let released =
                self.claim_for(reference, account, context.clone(), true, caller, deadline);
            if let Err(status) = released.await {
                tracing::warn!(%account, %status, "a reference stands for an account that was not opened");
                if refusal::leaves_open(&status) {
                    left = Some(status);
                }
            }
        }
        if let Some(customer) = done.customer {
            let change = CustomerAction::Detach(account);
            let detached = self.change_customer(customer, change, context, caller, deadline);
            if let Err(status) = detached.await {
                tracing::warn!(%account, %status, "an account is attached that was not opened");
            }
        }
        match left {
            Some(status) => Err(unknown(status)),
            None => Ok(()),
        }
    }

    /// For whom a reference stands, linearizably.
    async fn holder(
        &self,
        reference: &Reference,
        opening: &Opening<'_>,
    ) -> Result<Option<AccountId>, Status> {
        let key = &opening.context.idempotency_key;
        let found = self.stands_for(reference, opening.deadline).await;
        let found = found.map_err(|status| refusal::on_the_way(status, key))?;
        match found.account_id.as_str() {
            "" => Ok(None),
            id => prepare::account(id).map(Some),
        }
    }

    /// Whether a customer has the account, linearizably.
    async fn has(&self, customer: CustomerId, opening: &Opening<'_>) -> Result<bool, Status> {
        let key = &opening.context.idempotency_key;
        let request = Request::new(pb::GetCustomerRequest {
            customer_id: customer.to_string(),
            without_profile: true,
        });
        let found = self.customer(request, opening.deadline).await;
        let found = found.map_err(|status| refusal::on_the_way(status, key))?;
        let account = opening.account.to_string();
        Ok(found.into_inner().account_ids.contains(&account))
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

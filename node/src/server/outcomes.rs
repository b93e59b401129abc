//! Outcomes, out of the log.

use ledger_domain::{Entry, Outcome, Position, TransactionId};
use replication::shard::entry_at;
use tonic::Status;

use super::{Server, deadline::Deadline, refusal};

impl Server {
    /// An outcome, with its entry, in a shard that was read up to `now`.
    pub(super) async fn outcome_at(
        &self,
        id: TransactionId,
        now: Position,
        deadline: Deadline,
    ) -> Result<(Entry, Outcome), Status> {
        let at = id.position;
        if at.index > now.index || at.epoch > now.epoch {
            return Err(refusal::transaction_not_found());
        }
        let entry = entry_at(&self.hub, at).await.map_err(refusal::no_entry)?;
        let entry = entry.filter(|entry| entry.epoch == at.epoch);
        let ordinal = usize::try_from(id.ordinal).unwrap_or(usize::MAX);
        let outcome = entry.as_ref().and_then(|it| it.outcomes.get(ordinal));
        let outcome = outcome.cloned();
        let found = entry.zip(outcome);
        let found = found.ok_or_else(refusal::transaction_not_found)?;
        self.viewed(at, deadline).await?;
        match self.views().is_void(at).map_err(refusal::unreadable)? {
            true => Err(refusal::transaction_not_found()),
            false => Ok(found),
        }
    }

    /// An outcome that a view knows of, with the causes of its entry.
    pub(super) async fn outcome(
        &self,
        at: TransactionId,
    ) -> Result<(Outcome, Vec<Position>), Status> {
        let (entry, outcome) = self.entry_of(at).await?;
        Ok((outcome, entry.causes))
    }

    /// An outcome that a view knows of, and the entry that had it.
    pub(super) async fn entry_of(&self, at: TransactionId) -> Result<(Entry, Outcome), Status> {
        let entry = entry_at(&self.hub, at.position)
            .await
            .map_err(refusal::no_entry)?;
        let found = entry.and_then(|mut entry| {
            let ordinal = usize::try_from(at.ordinal).ok()?;
            let outcome =
                (ordinal < entry.outcomes.len()).then(|| entry.outcomes.swap_remove(ordinal))?;
            Some((entry, outcome))
        });
        found.ok_or_else(|| refusal::damaged(format!("the log has no outcome {at}")))
    }
}

//! One command, on the leader of its shard: what comes before it, the decision, and what follows.

use replication::shard::{Shard, Submission, SubmitError};
use tonic::Status;

use super::{
    Server,
    deadline::Deadline,
    opening::{Done, Opening},
    prepare::Prepared,
    refusal,
    settlement::Progress,
};
use crate::api::v1;

impl Server {
    /// Decides a checked command on the shard's leader, which is here.
    pub(super) async fn decide(
        &self,
        shard: &Shard,
        mut prepared: Prepared,
        caller: &str,
        deadline: Deadline,
    ) -> Result<v1::Receipt, Status> {
        let (key, waits) = (prepared.context.idempotency_key.clone(), prepared.waits);
        if prepared.is_privileged() && !self.privileged.contains(caller) {
            return Err(refusal::not_privileged(caller));
        }
        let opening = Opening::of(&mut prepared, caller, deadline);
        let dry_run = prepared.context.dry_run;
        let mut command = prepared.command(self, caller)?;
        let alone = std::slice::from_mut(&mut command);
        self.look_up(shard, alone, dry_run, deadline).await?;
        let may_be = self.may_change(shard, &command, &key, dry_run, deadline);
        may_be.await?;
        let mut done = Done::default();
        if let Some(opening) = &opening {
            done = self.before_opening(shard, &command, opening).await?;
        }
        if dry_run {
            let receipts = self.dry_run(shard, &command, &[], &key).await?;
            return Ok(receipts.into_iter().next().unwrap_or_default());
        }
        let submission = Submission {
            command,
            rest: Vec::new(),
            after: done.at,
        };
        let answer = shard.submit(submission).await;
        let answer = answer.map_err(|error| match &error {
            // What came before it may be done.
            error if opening.is_some() && !matches!(error, SubmitError::NotLeader { .. }) => {
                refusal::on_the_way(refusal::submit(error, &key), &key)
            }
            error => refusal::submit(error, &key),
        })?;
        if let Some(opening) = &opening
            && answer.outcome.result.is_err()
        {
            self.undo(shard, opening, done).await?;
            let refused = self.receipt(shard, &answer, &key, &Progress::Decided);
            return refused.map_err(|refused| opening.refused(refused));
        }
        self.forget(&answer.outcome).await;
        let progress = match waits {
            true => self.wait(shard, &answer.outcome, deadline).await,
            false => Progress::Decided,
        };
        self.receipt(shard, &answer, &key, &progress)
    }
}

//! Several commands in one call, each as if it had come alone.

use futures_util::StreamExt as _;
use tonic::{Extensions, Request, Response, Status, metadata::MetadataMap};

use super::{deadline::Deadline, refusal, teller::Service};
use crate::api::{
    rejection,
    teller::v1::{self as pb, batch_outcome::Outcome, teller_server::Teller as _},
    v1,
};

/// The most commands of a batch, those of groups counted one by one.
const MAX_BATCH: usize = 1_000;
/// How many commands of one batch are on their way at a time; a group is one of them.
const BATCH_WIDTH: usize = 256;

impl Service {
    /// Does the commands of a batch, as many at a time as may be, and answers them in their order.
    pub(super) async fn batch(
        &self,
        request: Request<pb::SubmitBatchRequest>,
    ) -> Result<Response<pb::SubmitBatchReply>, Status> {
        let (deadline, metadata) = (Deadline::of(&request), request.metadata().clone());
        let commands = request.into_inner().commands;
        let n: usize = commands.iter().map(pb::BatchCommand::count).sum();
        if n > MAX_BATCH {
            return Err(refusal::invalid(format!(
                "{n} commands; a batch has at most {MAX_BATCH}"
            )));
        }
        let outcomes = futures_util::stream::iter(commands)
            .map(|command| {
                let (service, metadata) = (self.clone(), metadata.clone());
                async move { service.one_of_batch(command, metadata, deadline).await }
            })
            .buffered(BATCH_WIDTH)
            .collect()
            .await;
        Ok(Response::new(pb::SubmitBatchReply { outcomes }))
    }

    async fn one_of_batch(
        &self,
        command: pb::BatchCommand,
        metadata: MetadataMap,
        deadline: Deadline,
    ) -> pb::BatchOutcome {
        match self.one(command, metadata, deadline).await {
            Ok(outcome) => outcome,
            Err(status) => refused(rejection::from_status(&status).unwrap_or_else(|| {
                let help = "It may have happened. Ask again under the same key.";
                refusal::detail("OUTCOME_UNKNOWN", status.message(), true, help)
            })),
        }
    }

    /// Does one command of several, as if it had come alone.
    pub(super) async fn one(
        &self,
        command: pb::BatchCommand,
        metadata: MetadataMap,
        deadline: Deadline,
    ) -> Result<pb::BatchOutcome, Status> {
        use pb::batch_command::Command as C;
        /// However late their turn comes, several commands may share one deadline.
        fn request<T>(metadata: MetadataMap, deadline: Deadline, body: T) -> Request<T> {
            let mut extensions = Extensions::default();
            extensions.insert(deadline);
            Request::from_parts(metadata, extensions, body)
        }
        let mut account_id = String::new();
        let receipt = match command.command {
            Some(C::OpenAccount(body)) => self
                .open_account(request(metadata, deadline, body))
                .await
                .map(|reply| {
                    let reply = reply.into_inner();
                    account_id = reply.account_id;
                    reply.receipt
                }),
            Some(C::CloseAccount(body)) => self
                .close_account(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::FreezeAccount(body)) => self
                .freeze_account(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::ClearSuspense(body)) => self
                .clear_suspense(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Reverse(body)) => self
                .reverse(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::SetLimit(body)) => self
                .set_limit(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::SubmitJournal(body)) => self
                .submit_journal(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::SetSpendingLimit(body)) => self
                .set_spending_limit(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::UnfreezeAccount(body)) => self
                .unfreeze_account(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Deposit(body)) => self
                .deposit(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Withdraw(body)) => self
                .withdraw(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::Transfer(body)) => self
                .transfer(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::PlaceHold(body)) => self
                .place_hold(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::RaiseHold(body)) => self
                .raise_hold(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::CaptureHold(body)) => self
                .capture_hold(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::ReleaseHold(body)) => self
                .release_hold(request(metadata, deadline, body))
                .await
                .map(|r| r.into_inner().receipt),
            Some(C::SubmitGroup(body)) => {
                let done = self.submit_group(request(metadata, deadline, body));
                return Ok(pb::BatchOutcome {
                    outcome: Some(Outcome::Group(done.await?.into_inner())),
                    account_id: String::new(),
                });
            }
            None => Err(refusal::invalid("the batch has an empty command")),
        }?;
        let receipt = receipt.unwrap_or_default();
        Ok(pb::BatchOutcome {
            outcome: Some(Outcome::Receipt(receipt)),
            account_id,
        })
    }
}

/// What became of a command that was refused.
pub(super) fn refused(detail: v1::RejectionDetail) -> pb::BatchOutcome {
    pb::BatchOutcome {
        outcome: Some(Outcome::Rejection(detail)),
        account_id: String::new(),
    }
}

//! Refused commands: what a caller gets to see of them.

use replication::view::Declined;
use tonic::{Request, Response, Status};

use super::{Server, deadline::Deadline, prepare, receipt, refusal, transaction};
use crate::api::teller::v1::{self as pb, teller_client::TellerClient};

impl Server {
    /// Answers from the account's home, out of a view that holds all that was acknowledged.
    pub(super) async fn list_declined(
        &self,
        request: Request<pb::ListDeclinedRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListDeclinedReply>, Status> {
        let home = self.home(&prepare::account(&request.get_ref().account_id)?)?;
        let answer =
            self.at_leader(
                home,
                request,
                deadline,
                |shard, body| async move {
                    let id = prepare::account(&body.account_id)?;
                    let asked = prepare::page(body.page_size, &body.page_token, "commands")?;
                    self.viewed_as_acknowledged(&shard, deadline).await?;
                    let page = self
                        .views()
                        .declined(&id, asked.from, asked.limit)
                        .map_err(refusal::unreadable)?
                        .ok_or_else(refusal::unknown_account)?;
                    Ok(pb::ListDeclinedReply {
                        commands: page.commands.iter().map(command).collect(),
                        next_page_token: prepare::token(page.next),
                        all: page.all,
                        served_by: Some(self.served_by()),
                        position: Some(receipt::position(page.account.watermark.position)),
                    })
                },
                |channel, request| async move {
                    TellerClient::new(channel).list_declined(request).await
                },
            );
        answer.await
    }
}

fn command(declined: &Declined) -> pb::DeclinedCommand {
    let rejection = &declined.rejection;
    let meanings = rejection.code.figures();
    let figures = meanings.into_iter().zip(&rejection.figures);
    pb::DeclinedCommand {
        number: declined.number,
        transaction_id: declined.transaction.to_string(),
        position: Some(receipt::position(declined.transaction.position)),
        time: Some(receipt::time(declined.time)),
        kind: transaction::kind(declined.kind).into(),
        rejection: Some(refusal::recorded(rejection)),
        figures: figures
            .map(|(meaning, value)| pb::Figure {
                meaning: meaning.to_owned(),
                value: *value,
            })
            .collect(),
        effective_date: declined.effective_date.to_string(),
        channel: declined.channel as i32,
        actor: declined.actor.clone(),
        privileged: declined.privileged,
        reason: declined.reason.clone(),
        correlation_id: declined.correlation_id.clone(),
    }
}

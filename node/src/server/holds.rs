//! Holds: what a caller gets to see of them.

use ledger_domain::{Currency, Hold, HybridTime, hold::Status as HoldStatus};
use tonic::{Request, Response, Status};

use super::{Server, deadline::Deadline, prepare, receipt, refusal};
use crate::api::{
    teller::v1::{self as pb, teller_client::TellerClient},
    v1,
};

/// The answer to a hold that was placed: the transaction names it.
pub(super) fn placed(receipt: v1::Receipt) -> pb::HoldReply {
    let hold_id = receipt.transaction_id.clone();
    changed(receipt, &hold_id)
}

/// The answer to what was done with a hold.
pub(super) fn changed(receipt: v1::Receipt, hold_id: &str) -> pb::HoldReply {
    pb::HoldReply {
        receipt: Some(receipt),
        hold_id: hold_id.to_owned(),
    }
}

impl Server {
    /// Answers from the account's home, out of a view that holds all that was acknowledged.
    pub(super) async fn list_holds(
        &self,
        request: Request<pb::ListHoldsRequest>,
        deadline: Deadline,
    ) -> Result<Response<pb::ListHoldsReply>, Status> {
        let home = self.home(&prepare::account(&request.get_ref().account_id)?)?;
        let answer = self.at_leader(
            home,
            request,
            deadline,
            |shard, body| async move {
                let id = prepare::account(&body.account_id)?;
                let asked = prepare::page(body.page_size, &body.page_token, "holds")?;
                self.viewed_as_acknowledged(&shard, deadline).await?;
                let page = self
                    .views()
                    .holds(&id, body.include_ended, asked.from, asked.limit)
                    .map_err(refusal::unreadable)?
                    .ok_or_else(refusal::unknown_account)?;
                let currency = page.account.account.currency;
                Ok(pb::ListHoldsReply {
                    holds: page.holds.iter().map(|h| hold(h, currency)).collect(),
                    next_page_token: prepare::token(page.next),
                    served_by: Some(self.served_by()),
                    position: Some(receipt::position(page.account.watermark.position)),
                })
            },
            |channel, request| async move { TellerClient::new(channel).list_holds(request).await },
        );
        answer.await
    }
}

fn hold(hold: &Hold, currency: Currency) -> pb::Hold {
    let money = |units| Some(receipt::money(units, currency));
    let status = match hold.status {
        HoldStatus::Open => pb::HoldStatus::Open,
        HoldStatus::Captured => pb::HoldStatus::Captured,
        HoldStatus::Released => pb::HoldStatus::Released,
        HoldStatus::Expired => pb::HoldStatus::Expired,
    };
    let held = match hold.status {
        HoldStatus::Open => hold.rest(),
        _ => 0,
    };
    let expires = HybridTime {
        wall_nanos: hold.expires,
        count: 0,
    };
    pb::Hold {
        hold_id: hold.placed.map(|id| id.to_string()).unwrap_or_default(),
        status: status.into(),
        amount: money(hold.amount),
        captured: money(hold.captured),
        late: money(hold.late),
        held: money(held),
        expires_at: Some(receipt::time(expires)),
    }
}

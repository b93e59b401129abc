//! The command that takes something out of suspense.

use ledger_domain::{Action, Field, TransactionId};
use replication::topology::Directory;
use tonic::Status;

use super::{Prepared, account, payee, prepare};
use crate::{
    api::teller::v1::{self as pb, clear_suspense_request::To},
    server::refusal,
};

pub(in crate::server) fn clear_suspense(
    directory: &dyn Directory,
    r: &pb::ClearSuspenseRequest,
) -> Result<Prepared, Status> {
    let owner = account(&r.account_id)?;
    let put: TransactionId = r.transaction_id.parse().map_err(refusal::invalid)?;
    let mut fields = vec![(Field::Suspended, put.to_string().into_bytes())];
    let to = match &r.to {
        Some(To::ToAccountId(to)) => payee::account(directory, to, &mut fields)?,
        Some(To::ToHouseAccount(code)) => payee::house(code, &mut fields)?,
        None => {
            let what = "name who gets it: to_account_id or to_house_account";
            return Err(refusal::invalid(what));
        }
    };
    let action = Action::ClearSuspense { owner, put, to };
    let prepared = prepare(action, r.context.clone().unwrap_or_default(), fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

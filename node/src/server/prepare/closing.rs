//! The command that closes an account.

use ledger_domain::Action;
use replication::topology::Directory;
use tonic::Status;

use super::{Prepared, account, payee, prepare};
use crate::api::teller::v1::{self as pb, close_account_request::Sweep};

pub(in crate::server) fn close(
    directory: &dyn Directory,
    r: &pb::CloseAccountRequest,
) -> Result<Prepared, Status> {
    let (account, mut fields) = (account(&r.account_id)?, Vec::new());
    let sweep = match &r.sweep {
        Some(Sweep::ToAccountId(to)) => Some(payee::account(directory, to, &mut fields)?),
        Some(Sweep::ToHouseAccount(code)) => Some(payee::house(code, &mut fields)?),
        None => None,
    };
    if let Some(payee) = &sweep {
        payee::is_another(payee, &account)?;
    }
    let action = Action::Close { account, sweep };
    let prepared = prepare(action, r.context.clone().unwrap_or_default(), fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

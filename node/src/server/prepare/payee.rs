//! Whom a command pays that is no transfer: an account anywhere, or a house account.

use ledger_domain::{AccountId, Action, Field, HoldAction, Sealed, hold::Payee};
use replication::topology::Directory;
use tonic::Status;

use crate::server::refusal;

type Fields = Vec<(Field, Vec<u8>)>;

/// An account, by its id.
pub(super) fn account(
    directory: &dyn Directory,
    to: &str,
    fields: &mut Fields,
) -> Result<Payee, Status> {
    let to = super::account(to)?;
    let to_shard = directory
        .home(&to)
        .ok_or_else(|| refusal::unknown_region(to.region().as_str()))?;
    fields.push((Field::Counterparty, to.to_string().into_bytes()));
    let memo = None;
    Ok(Payee::Account { to, to_shard, memo })
}

/// A house account, by its code; `cash` where none is said.
pub(super) fn house(code: &str, fields: &mut Fields) -> Result<Payee, Status> {
    let code = super::house(code)?;
    fields.push((Field::House, code.to_string().into_bytes()));
    Ok(Payee::House(code))
}

/// Refuses one who would pay itself.
pub(super) fn is_another(payee: &Payee, payer: &AccountId) -> Result<(), Status> {
    match payee {
        Payee::Account { to, .. } if to == payer => Err(refusal::same_account()),
        _ => Ok(()),
    }
}

/// The account that an action pays, and its memo.
pub(super) fn paid(action: &mut Action) -> Option<(&AccountId, &mut Option<Sealed>)> {
    let payee = match action {
        Action::Hold {
            action: HoldAction::Capture { payee, .. },
            ..
        } => payee,
        Action::Close { sweep, .. } => sweep.as_mut()?,
        Action::ClearSuspense { to, .. } => to,
        _ => return None,
    };
    match payee {
        Payee::Account { to, memo, .. } => Some((to, memo)),
        Payee::House(_) => None,
    }
}

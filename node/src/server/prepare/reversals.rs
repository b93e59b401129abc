//! The command that moves back what a transaction moved.

use ledger_domain::{Action, Field, TransactionId};
use replication::topology::Directory;
use tonic::Status;

use super::{Prepared, account, money, prepare};
use crate::{api::teller::v1 as pb, server::refusal};

/// What the original moved is looked up where this is decided.
pub(in crate::server) fn reverse(
    directory: &dyn Directory,
    r: &pb::ReverseRequest,
) -> Result<Prepared, Status> {
    let account = account(&r.account_id)?;
    let original: TransactionId = r.transaction_id.parse().map_err(refusal::invalid)?;
    let home = directory
        .home(&account)
        .ok_or_else(|| refusal::unknown_region(account.region().as_str()))?;
    if home != original.position.shard {
        return Err(refusal::reversed_elsewhere(original.position.shard, home));
    }
    let mut fields = vec![(Field::Original, original.to_string().into_bytes())];
    let money = match &r.amount {
        Some(_) => {
            let (amount, currency) = money(r.amount.as_ref())?;
            let units = amount.minor_units().to_be_bytes().to_vec();
            fields.push((Field::Amount, units));
            fields.push((Field::Currency, currency.code().as_bytes().to_vec()));
            Some((currency, amount))
        }
        None => None,
    };
    let action = Action::Reverse {
        account,
        original,
        moved: None,
        money,
    };
    let prepared = prepare(action, r.context.clone().unwrap_or_default(), fields)?;
    Ok(Prepared {
        waits: r.wait() != pb::Wait::Accepted,
        ..prepared
    })
}

//! From a decided outcome to what the caller keeps.

use ledger_domain::{
    Account, Currency, Event, HybridTime, Position, event::After, state::State as _,
};
use replication::shard::{Answer, Shard};
use tonic::Status;

use super::{Server, refusal};
use crate::api::v1;

pub(super) fn time(time: HybridTime) -> v1::Time {
    let unix_nanos = i64::try_from(time.wall_nanos).unwrap_or(i64::MAX);
    let hlc = time.to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    v1::Time { unix_nanos, hlc }
}

/// A time out of the `hlc` of [`time`].
pub(super) fn parse_time(hlc: &str) -> Option<HybridTime> {
    let digits = hlc.len() == 32 && hlc.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(hlc, 16).ok())??;
    HybridTime::from_bytes(number.to_be_bytes())
}

pub(super) fn position(p: Position) -> v1::Position {
    v1::Position {
        shard: p.shard.0,
        epoch: p.epoch,
        index: p.index,
    }
}

pub(super) fn money(minor_units: i64, currency: Currency) -> v1::Money {
    v1::Money {
        minor_units,
        currency: currency.to_string(),
    }
}

/// The status of an accepted outcome, as far as its own entry tells.
fn status(events: &[Event]) -> v1::TransactionStatus {
    match events
        .iter()
        .any(|e| matches!(e, Event::TransferSent { .. }))
    {
        true => v1::TransactionStatus::Accepted,
        false => v1::TransactionStatus::Settled,
    }
}

fn afters(events: &[Event]) -> Vec<After> {
    events
        .iter()
        .flat_map(|event| match event {
            Event::FundsDeposited { after, .. } | Event::FundsWithdrawn { after, .. } => {
                vec![*after]
            }
            Event::FundsTransferred { payer, payee, .. } => vec![*payer, *payee],
            Event::TransferSent { payer, .. } => vec![*payer],
            _ => Vec::new(),
        })
        .collect()
}

impl Server {
    /// The receipt of an accepted command, or the status of a rejected one.
    pub(super) fn receipt(
        &self,
        shard: &Shard,
        answer: &Answer,
        key: &str,
    ) -> Result<v1::Receipt, Status> {
        let events = match &answer.outcome.result {
            Ok(events) => events,
            Err(rejection) => return Err(refusal::rejected(rejection, key)),
        };
        let at = answer.transaction.position;
        let book = shard.book();
        let balances_after = afters(events)
            .into_iter()
            .filter_map(|after| Some(balance_after(&after, &book.account(&after.account)?, at)))
            .collect();
        Ok(v1::Receipt {
            transaction_id: answer.transaction.to_string(),
            position: Some(position(at)),
            time: Some(time(answer.time)),
            balances_after,
            token: self.token(at),
            served_by: Some(self.served_by()),
            status: status(events).into(),
            idempotency_key: key.to_owned(),
            duplicate: answer.repeated,
            rejection: None,
        })
    }
}

/// `account` gives what never changes, currency and limit; the event gives the balance.
fn balance_after(after: &After, account: &Account, at: Position) -> v1::BalanceAfter {
    let then = Account {
        posted: after.posted,
        ..*account
    };
    v1::BalanceAfter {
        account_id: after.account.to_string(),
        posted: Some(money(then.posted, then.currency)),
        held: Some(money(then.held, then.currency)),
        available: then.available().map(|units| money(units, then.currency)),
        position: Some(position(at)),
    }
}

//! Who gains and who loses by what is stored, in the words of the oracle of conservation.

use ledger_domain::{Amount, Currency, Event};

use crate::oracle::conservation::{Item, Posting};

/// The customers' accounts that a command moved in its own entry.
pub(super) fn touched(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .flat_map(|event| match event {
            Event::FundsDeposited { after, .. }
            | Event::FundsWithdrawn { after, .. }
            | Event::AccountFrozen { after, .. }
            | Event::AccountThawed { after, .. }
            | Event::LimitChanged { after, .. } => vec![after.account.to_string()],
            Event::FundsTransferred { payer, payee, .. } => {
                vec![payer.account.to_string(), payee.account.to_string()]
            }
            Event::TransferSent { payer, .. } => vec![payer.account.to_string()],
            _ => Vec::new(),
        })
        .collect()
}

pub(super) fn item_of(number: u64, currency: Currency, amount: Amount) -> Item {
    Item {
        number,
        currency: currency.to_string(),
        amount: amount.minor_units(),
    }
}

pub(super) fn moved(
    from: impl ToString,
    to: impl ToString,
    currency: Currency,
    amount: Amount,
) -> Vec<Posting> {
    both(
        from.to_string(),
        to.to_string(),
        &currency.to_string(),
        amount.minor_units(),
    )
}

pub(super) fn both(from: String, to: String, currency: &str, amount: i64) -> Vec<Posting> {
    [(from, -amount), (to, amount)]
        .map(|(account, delta)| Posting {
            account,
            currency: currency.to_owned(),
            delta,
        })
        .into()
}

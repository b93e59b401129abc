//! Beancount's spelling of a journal.

use std::collections::BTreeMap;

use ledger_domain::{Currency, Money};

use super::journal::{Account, Transaction};

pub(super) fn write(transactions: &[Transaction], accounts: &BTreeMap<String, Account>) -> String {
    let mut text = String::new();
    for (name, account) in accounts {
        let currencies: Vec<_> = account.currencies.iter().map(Currency::code).collect();
        let currencies = currencies.join(",");
        text.push_str(&format!("{} open {name} {currencies}\n", account.opened));
    }
    for transaction in transactions {
        let pays = transaction.pays.map(|id| format!(" ^{id}"));
        text.push_str(&format!(
            "\n{} * \"{}\" ^{}{}\n",
            transaction.date,
            transaction.what,
            transaction.id,
            pays.unwrap_or_default()
        ));
        for (name, leg) in &transaction.legs {
            let money = Money {
                minor_units: leg.units,
                currency: leg.currency,
            };
            text.push_str(&format!("  {name}  {money}\n"));
        }
    }
    text.push('\n');
    for (name, account) in accounts {
        if let Some(closed) = account.closed {
            text.push_str(&format!("{closed} close {name}\n"));
        }
    }
    text
}

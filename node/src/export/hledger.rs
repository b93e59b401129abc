//! hledger's spelling of a journal.

use std::collections::{BTreeMap, BTreeSet};

use ledger_domain::Money;

use super::journal::{Account, Transaction};

pub(super) fn write(transactions: &[Transaction], accounts: &BTreeMap<String, Account>) -> String {
    let mut text = String::new();
    // How amounts are written is said once, so that `hledger check --strict` is content.
    let currencies: BTreeSet<_> = accounts.values().flat_map(|it| &it.currencies).collect();
    for currency in currencies {
        let (places, code) = (usize::from(currency.decimals()), currency.code());
        text.push_str(&format!("commodity 1000.{:0<places$} {code}\n", ""));
    }
    for name in accounts.keys() {
        text.push_str(&format!("account {name}\n"));
    }
    for transaction in transactions {
        let pays = transaction.pays.map(|id| format!("  ; pays:{id}"));
        text.push_str(&format!(
            "\n{} * ({}) {}{}\n",
            transaction.date,
            transaction.id,
            transaction.what,
            pays.unwrap_or_default()
        ));
        for (name, leg) in &transaction.legs {
            let money = Money {
                minor_units: leg.units,
                currency: leg.currency,
            };
            text.push_str(&format!("    {name}  {money}\n"));
        }
    }
    text
}

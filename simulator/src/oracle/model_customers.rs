//! Customers, on the same page.

use std::collections::BTreeSet;

use super::Bank;
use crate::history::Person;

/// What is known of a customer.
#[derive(Clone, Default)]
pub(super) struct Known<'a> {
    accounts: BTreeSet<&'a str>,
    is_held: bool,
    is_erased: bool,
}

impl<'a> Bank<'a> {
    /// Why a customer cannot be made known.
    pub(super) fn against_registering(&self, customer: &str) -> Option<&'static str> {
        let is_known = self.customers.contains_key(customer);
        is_known.then_some("CUSTOMER_EXISTS")
    }

    /// Why a customer cannot have an account, or lose it.
    pub(super) fn against_attaching(
        &self,
        customer: &str,
        account: &str,
        detaches: bool,
    ) -> Option<&'static str> {
        match self.customers.get(customer) {
            None => Some("CUSTOMER_NOT_FOUND"),
            Some(known) if known.is_erased => Some("CUSTOMER_ERASED"),
            Some(known) if detaches && !known.accounts.contains(account) => {
                Some("ACCOUNT_NOT_ATTACHED")
            }
            Some(_) => None,
        }
    }

    pub(super) fn register(&mut self, customer: &'a str) -> i64 {
        self.customers.insert(customer, Known::default());
        0
    }

    /// Gives a customer an account, or takes it away. Nothing of the account is told with it.
    pub(super) fn attach(&mut self, customer: &'a str, account: &'a str, detaches: bool) -> i64 {
        let accounts = &mut self.customers.entry(customer).or_default().accounts;
        match detaches {
            false => accounts.insert(account),
            true => accounts.remove(account),
        };
        0
    }

    /// Why nothing can be said of a customer, or it cannot be forgotten.
    pub(super) fn against_person(&self, customer: &str, asks: Person) -> Option<&'static str> {
        let Some(known) = self.customers.get(customer) else {
            return Some("CUSTOMER_NOT_FOUND");
        };
        match asks {
            _ if known.is_erased => Some("CUSTOMER_ERASED"),
            Person::Lift if !known.is_held => Some("NO_LEGAL_HOLD"),
            Person::Erase if !known.accounts.is_empty() => Some("ACCOUNTS_ATTACHED"),
            Person::Erase if known.is_held => Some("LEGAL_HOLD"),
            _ => None,
        }
    }

    /// What is said stays with the customer: nothing of an account is told with it.
    pub(super) fn person(&mut self, customer: &'a str, asks: Person) -> i64 {
        let known = self.customers.entry(customer).or_default();
        match asks {
            Person::Profile => {}
            Person::Hold => known.is_held = true,
            Person::Lift => known.is_held = false,
            Person::Erase => known.is_erased = true,
        }
        0
    }
}

#[cfg(test)]
#[path = "model_customers_tests.rs"]
mod tests;

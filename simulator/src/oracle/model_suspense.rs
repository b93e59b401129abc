//! What stays with the bank, and what is left in accounts that close, on the same page.

use std::collections::BTreeMap;

use super::{Bank, Step, Violation};

/// Money that stayed with the bank.
#[derive(Debug, Clone)]
pub(super) struct Suspended {
    owner: String,
    amount: i64,
    is_cleared: bool,
}

impl<'a> Bank<'a> {
    pub(super) fn suspend(&mut self, item: &'a str, owner: &str, amount: i64) {
        let item_of = Suspended {
            owner: owner.to_owned(),
            amount,
            is_cleared: false,
        };
        self.suspense.insert(item, item_of);
    }

    /// How much an item of an account is, while the bank has it.
    pub(super) fn of_suspense(&self, owner: &str, item: &str) -> Option<i64> {
        let found = self.suspense.get(item);
        let found = found.filter(|it| it.owner == owner && !it.is_cleared);
        found.map(|it| it.amount)
    }

    pub(super) fn is_in_suspense(&self, owner: &str, item: &str) -> bool {
        self.of_suspense(owner, item).is_some()
    }

    /// What the bank has at the end.
    pub(super) fn left_in_suspense(&self) -> BTreeMap<String, (String, i64)> {
        let left = self.suspense.iter().filter(|(_, it)| !it.is_cleared);
        left.map(|(item, it)| ((*item).to_owned(), (it.owner.clone(), it.amount)))
            .collect()
    }

    /// Gives an item to somebody. The balance of its owner, where that is who gets it.
    pub(super) fn clear(
        &mut self,
        step: &Step,
        key: &'a str,
        (owner, item): (&str, &str),
        to: &str,
    ) -> Result<i64, Violation> {
        let amount = self.of_suspense(owner, item);
        let amount = amount.ok_or_else(|| Violation::NobodyAsked(step.clone()))?;
        if let Some(cleared) = self.suspense.get_mut(item) {
            cleared.is_cleared = true;
        }
        self.captured.insert(key, amount);
        if self.homes.get(to) == self.homes.get(owner) {
            let balance = self.change(step, step.day, to, amount);
            return Ok(if to == owner { balance } else { 0 });
        }
        Ok(0)
    }

    /// Gives what is left in an account to somebody.
    pub(super) fn sweep(&mut self, step: &Step, key: &'a str, account: &str, to: Option<&str>) {
        let left = self.balance(account);
        let Some(to) = to.filter(|_| left > 0) else {
            return;
        };
        self.captured.insert(key, left);
        self.change(step, step.day, account, -left);
        if self.homes.get(to) == self.homes.get(account) {
            self.change(step, step.day, to, left);
        }
    }
}

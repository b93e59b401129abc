//! What is moved back, on the same page.

use super::{Bank, Step, Violation};
use crate::history::Request;

/// Something that was paid within a shard.
#[derive(Debug, Clone)]
pub(super) struct Paid {
    amount: i64,
    /// How much of it was moved back.
    back: i64,
}

impl<'a> Bank<'a> {
    pub(super) fn note_paid(&mut self, key: &'a str, amount: i64) {
        self.paid.insert(key, Paid { amount, back: 0 });
    }

    /// How much a reversal is to move back, or why it may not.
    pub(super) fn reversible(&self, request: &Request) -> Result<i64, &'static str> {
        let (paid, asked) = self.asked_back(request).ok_or("NOT_REVERSIBLE")?;
        let rest = paid.amount - paid.back;
        match asked.unwrap_or(rest) {
            amount if amount > 0 && amount <= rest => Ok(amount),
            _ => Err("REVERSAL_EXCEEDED"),
        }
    }

    fn asked_back(&self, request: &Request) -> Option<(&Paid, Option<i64>)> {
        let Request::Reverse {
            original, amount, ..
        } = request.bare()
        else {
            return None;
        };
        Some((self.paid.get(original.key.as_str())?, *amount))
    }

    /// What a reversal would add to the account that it names, allowed or not.
    pub(super) fn reversed_to(&self, request: &Request) -> i64 {
        let Some((paid, asked)) = self.asked_back(request) else {
            return 0;
        };
        let amount = asked.unwrap_or(paid.amount - paid.back);
        match request.bare() {
            Request::Reverse {
                account,
                to: Some(to),
                ..
            } if to == account => amount,
            _ => -amount,
        }
    }

    /// Moves back. The balance of the account that it names.
    pub(super) fn reverse(
        &mut self,
        step: &Step,
        key: &'a str,
        request: &'a Request,
    ) -> Result<i64, Violation> {
        let amount = self.reversible(request);
        let amount = amount.map_err(|_| Violation::NobodyAsked(step.clone()))?;
        let Request::Reverse {
            account,
            original,
            from,
            to,
            ..
        } = request.bare()
        else {
            return Err(Violation::NobodyAsked(step.clone()));
        };
        if let Some(paid) = self.paid.get_mut(original.key.as_str()) {
            paid.back += amount;
        }
        self.captured.insert(key, amount);
        for (account, by) in [(from, -amount), (to, amount)] {
            if let Some(account) = account {
                self.change(step, step.day, account, by);
            }
        }
        Ok(self.balance(account))
    }
}

//! What is moved back, on the same page. What went to another shard is, once it has arrived there,
//! by a journal; a journal is, once it is posted, by its opposite: whole, and once.

use super::{Bank, Step, Violation};
use crate::history::Request;

/// Something that was paid, or a journal.
#[derive(Debug, Clone)]
pub(super) struct Paid {
    /// How much; of a journal, what its first leg is about.
    amount: i64,
    /// How much of it was moved back.
    back: i64,
    /// Whether its payee has it, or it is posted.
    is_there: bool,
}

impl<'a> Bank<'a> {
    /// Something was paid, and its payee has it at once.
    pub(super) fn note_paid(&mut self, key: &'a str, amount: i64) {
        self.note_sent(key, amount);
        self.note_arrived(key);
    }

    /// Something was paid to another shard.
    pub(super) fn note_sent(&mut self, key: &'a str, amount: i64) {
        let paid = Paid {
            amount,
            back: 0,
            is_there: false,
        };
        self.paid.insert(key, paid);
    }

    /// A journal is booked; or opened, and not moved back before it is posted.
    pub(super) fn note_journal(&mut self, key: &'a str, request: &Request, is_booked: bool) {
        if let Request::Journal { legs, .. } = request.bare()
            && let Some(first) = legs.first()
        {
            self.note_sent(key, first.units.abs());
            if is_booked {
                self.note_arrived(key);
            }
        }
    }

    /// It is there.
    pub(super) fn note_arrived(&mut self, key: &str) {
        if let Some(paid) = self.paid.get_mut(key) {
            paid.is_there = true;
        }
    }

    /// A reversal between shards is cancelled: it moves nothing back after all.
    pub(super) fn reverse_no_more(&mut self, request: &Request) {
        if let Request::Reverse {
            original, amount, ..
        } = request.bare()
            && let Some(paid) = self.paid.get_mut(original.key.as_str())
        {
            // A journal was to be moved back whole.
            paid.back -= amount.unwrap_or(paid.amount);
        }
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
        let paid = self.paid.get(original.key.as_str());
        Some((paid.filter(|it| it.is_there)?, *amount))
    }

    /// What a reversal would add to the account that it names, allowed or not.
    pub(super) fn reversed_to(&self, request: &Request) -> i64 {
        let Some((paid, asked)) = self.asked_back(request) else {
            return 0;
        };
        let amount = asked.unwrap_or(paid.amount - paid.back);
        if request.reverses_a_journal() {
            let effects = request.effects();
            let effect = effects.get(request.named_first()).copied();
            return effect.filter(|_| amount > 0).unwrap_or(0);
        }
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
        step: &'a Step,
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
        if !request.legs().is_empty() {
            return self.open_journal(step, key, request);
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

#[cfg(test)]
#[path = "model_reversals_tests.rs"]
mod tests;

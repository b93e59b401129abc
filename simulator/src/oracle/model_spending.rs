//! What is spent by channels, on the same page.

use std::collections::BTreeSet;

use super::Bank;
use crate::history::Request;

/// The most at once, and on one day.
pub(super) type Most = (Option<i64>, Option<i64>);

/// Of which account a request spends, and how much.
fn spends(request: &Request) -> Option<(&str, i64)> {
    if request.is_forced() {
        return None;
    }
    match request.bare() {
        Request::Withdraw { account, amount }
        | Request::Hold {
            account, amount, ..
        }
        | Request::Raise {
            account, amount, ..
        } => Some((account, *amount)),
        Request::Transfer { payer, amount, .. } => Some((payer, *amount)),
        _ => None,
    }
}

impl<'a> Bank<'a> {
    /// What limits of spending say against a request.
    pub(super) fn spending_reasons_against(&self, request: &Request) -> BTreeSet<&'static str> {
        let Some((account, amount)) = spends(request) else {
            return BTreeSet::new();
        };
        let channel = request.channel();
        let limits = self.may_spend.get(&(account, channel));
        let (at_once, a_day) = limits.copied().unwrap_or_default();
        let spent = self.spent.get(&(account, channel, self.today));
        let sum = spent.copied().unwrap_or(0) + amount;
        let reasons = [
            (
                at_once.is_some_and(|most| amount > most),
                "TRANSACTION_LIMIT_EXCEEDED",
            ),
            (a_day.is_some_and(|most| sum > most), "DAILY_LIMIT_EXCEEDED"),
        ];
        let reasons = reasons.into_iter().filter(|(speaks, _)| *speaks);
        reasons.map(|(_, reason)| reason).collect()
    }

    /// Counts what a request that is done spends.
    pub(super) fn spend(&mut self, request: &'a Request) {
        if let Some((account, amount)) = spends(request) {
            let by = (account, request.channel(), self.today);
            *self.spent.entry(by).or_default() += amount;
        }
    }
}

#[cfg(test)]
#[path = "model_spending_tests.rs"]
mod tests;

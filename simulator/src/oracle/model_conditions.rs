//! Conditions of commands, on the same page.

use super::Bank;
use crate::history::Request;

impl Bank<'_> {
    /// The first condition that does not hold.
    pub(super) fn unmet(&self, request: &Request) -> Option<&'static str> {
        let asked = request.conditions();
        let account = request.named_first();
        let version = self.version(account);
        if asked.version.is_some_and(|expected| expected != version) {
            return Some("VERSION_MISMATCH");
        }
        if version == 0 {
            return None;
        }
        let by = match request.bare() {
            Request::Deposit { amount, .. } => *amount,
            Request::Withdraw { amount, .. } | Request::Transfer { amount, .. } => -amount,
            Request::Capture {
                account,
                hold,
                amount,
                ..
            } => -amount.unwrap_or_else(|| self.open_rest(account, hold)),
            Request::Close { sweep: Some(_), .. } => -self.balance(account).max(0),
            Request::Clear { account, item, to } if to == account => {
                self.of_suspense(account, item).unwrap_or(0)
            }
            Request::Reverse { .. } => self.reversed_to(request),
            Request::Journal { .. } => request.effects().get(account).copied().unwrap_or(0),
            _ => 0,
        };
        let after = self.balance(account) + by;
        if asked.minimum.is_some_and(|minimum| after < minimum) {
            return Some("BALANCE_BELOW_MINIMUM");
        }
        let is_above = asked.maximum.is_some_and(|maximum| after > maximum);
        is_above.then_some("BALANCE_ABOVE_MAXIMUM")
    }
}

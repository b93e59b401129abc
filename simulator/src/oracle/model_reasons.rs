//! Why a request may be refused, on the same page.

use std::collections::BTreeSet;

use super::Bank;
use crate::history::{Freeze, Request};

impl Bank<'_> {
    /// The codes under which a request may be refused now; none if it must be done.
    pub(super) fn reasons_against(&self, request: &Request) -> BTreeSet<&'static str> {
        let mut reasons: BTreeSet<_> = self.unmet(request).into_iter().collect();
        if !reasons.is_empty() {
            return reasons;
        }
        let mut needs = |account: &str| {
            if self.closed.contains(account) {
                reasons.insert("ACCOUNT_CLOSED");
            } else if !self.is_open(account) {
                reasons.insert("ACCOUNT_NOT_FOUND");
            }
        };
        let mut excess = false;
        let mut covers = |account: &str, amount: i64| {
            let left = self.balance(account) - self.held(account) + self.limit(account);
            excess = left < 0;
            request.is_forced() || left >= amount
        };
        let mut frozen = None;
        let mut stops = |account: &str, stops: fn(&Freeze) -> bool| {
            if self.is_frozen(account, stops) {
                frozen = Some("ACCOUNT_FROZEN");
            }
        };
        let is_covered = match request.bare() {
            Request::Freeze { account, freeze } => {
                needs(account);
                if !self.is_in_force(freeze) {
                    reasons.insert("FREEZE_OVER");
                }
                true
            }
            Request::Unfreeze { account } => {
                needs(account);
                if !self.is_frozen(account, |_| true) {
                    reasons.insert("NOT_FROZEN");
                }
                true
            }
            Request::Hold {
                account, amount, ..
            }
            | Request::Raise {
                account, amount, ..
            } => {
                needs(account);
                stops(account, |it| it.debits);
                covers(account, *amount)
            }
            Request::Capture { account, payee, .. } => {
                needs(account);
                stops(account, |it| it.debits);
                if let Some(payee) = payee
                    && self.homes.get(payee) == self.homes.get(account)
                {
                    needs(payee);
                    stops(payee, |it| it.credits);
                }
                true
            }
            Request::Release { account, .. } => {
                needs(account);
                true
            }
            Request::Close { account, sweep } => {
                needs(account);
                stops(account, |_| true);
                if let Some(payee) = sweep
                    && self.homes.get(payee) == self.homes.get(account)
                {
                    needs(payee);
                    stops(payee, |it| it.credits);
                }
                let is_swept = sweep.is_some() && self.balance(account) > 0;
                if self.balance(account) != 0 && !is_swept {
                    reasons.insert("BALANCE_NOT_ZERO");
                }
                true
            }
            Request::Clear { account, item, to } => {
                if !self.is_in_suspense(account, item) {
                    reasons.insert("SUSPENSE_ITEM_NOT_FOUND");
                } else if self.homes.get(to) == self.homes.get(account) {
                    needs(to);
                    stops(to, |it| it.credits);
                }
                true
            }
            Request::Reverse { from, to, .. } => match self.reversible(request) {
                Err(reason) => {
                    reasons.insert(reason);
                    true
                }
                // Its legs say the rest.
                Ok(_) if !request.legs().is_empty() => true,
                Ok(amount) => {
                    if let Some(to) = to {
                        needs(to);
                        stops(to, |it| it.credits);
                    }
                    from.as_ref().is_none_or(|from| {
                        needs(from);
                        stops(from, |it| it.debits);
                        covers(from, amount)
                    })
                }
            },
            Request::Deposit { account, .. } => {
                needs(account);
                stops(account, |it| it.credits);
                true
            }
            Request::SetLimit { account, .. } | Request::LimitSpending { account, .. } => {
                needs(account);
                true
            }
            Request::Refer {
                account,
                reference,
                releases,
            } => {
                reasons.extend(self.against_reference(account, reference, *releases));
                true
            }
            Request::Register { customer } => {
                reasons.extend(self.against_registering(customer));
                true
            }
            Request::Attach {
                customer,
                account,
                detaches,
            } => {
                reasons.extend(self.against_attaching(customer, account, *detaches));
                true
            }
            Request::Person { customer, asks } => {
                reasons.extend(self.against_person(customer, *asks));
                true
            }
            Request::StrongRead { .. }
            | Request::CloseDay { .. }
            | Request::Journal { .. }
            | Request::Provided { .. }
            | Request::Forced { .. }
            | Request::Dated { .. }
            | Request::Through { .. }
            | Request::Grouped { .. } => true,
            Request::Withdraw { account, amount } => {
                needs(account);
                stops(account, |it| it.debits);
                covers(account, *amount)
            }
            Request::Transfer {
                payer,
                payee,
                amount,
            } => {
                needs(payer);
                stops(payer, |it| it.debits);
                if self.homes.get(payee) == self.homes.get(payer) {
                    needs(payee);
                    stops(payee, |it| it.credits);
                }
                covers(payer, *amount)
            }
        };
        if !is_covered {
            reasons.insert(match excess {
                true => "ACCOUNT_IN_EXCESS",
                false => "INSUFFICIENT_FUNDS",
            });
        }
        reasons.extend(frozen);
        reasons.extend(self.hold_reasons_against(request));
        reasons.extend(self.journal_reasons_against(request));
        reasons.extend(self.day_reasons_against(request));
        reasons.extend(self.spending_reasons_against(request));
        reasons
    }

    /// How far below zero an account may go.
    pub(super) fn limit(&self, account: &str) -> i64 {
        self.limits.get(account).copied().unwrap_or(0)
    }

    /// Whether an account is frozen now, in a way.
    pub(super) fn is_frozen(&self, account: &str, way: impl Fn(&Freeze) -> bool) -> bool {
        let freeze = self.frozen.get(account);
        freeze.is_some_and(|it| self.is_in_force(it) && way(it))
    }

    pub(super) fn is_in_force(&self, freeze: &Freeze) -> bool {
        let now_ms = self.now.0 / 1_000_000;
        freeze.until_ms.is_none_or(|until| now_ms < until)
    }
}

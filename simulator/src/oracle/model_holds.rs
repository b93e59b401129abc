//! Holds, on the same page.

use std::collections::BTreeSet;

use super::{Bank, Noted, Step, Violation};
use crate::history::{Aside, Name, Request};

/// How long a hold lasts of which it is not said: a week, in nanoseconds.
const USUAL: u64 = 7 * 24 * 3_600 * 1_000_000_000;

/// Money that is set aside.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    account: String,
    shard: u32,
    /// What was not captured.
    rest: i64,
    /// Nanoseconds since 1970.
    expires: u64,
    /// Why it is over: the code under which it is captured no more.
    over: Option<&'static str>,
}

impl<'a> Bank<'a> {
    /// What is held of an account, by holds and by journals.
    pub(super) fn held(&self, account: &str) -> i64 {
        self.by_holds(account) + self.set_aside(account).0
    }

    fn by_holds(&self, account: &str) -> i64 {
        let holds = self.holds.values();
        let open = holds.filter(|hold| hold.account == account && hold.over.is_none());
        open.map(|hold| hold.rest).sum()
    }

    fn hold_of(&self, account: &str, name: &Name) -> Option<&Hold> {
        let hold = self.holds.get(name.key.as_str());
        hold.filter(|hold| hold.account == account)
    }

    /// What a hold itself says against a request.
    pub(super) fn hold_reasons_against(&self, request: &Request) -> BTreeSet<&'static str> {
        let (account, name, asked) = match request.bare() {
            Request::Close { account, .. } => {
                let held = (self.by_holds(account) > 0).then_some("HOLDS_OPEN");
                return held.into_iter().collect();
            }
            Request::Raise { account, hold, .. } | Request::Release { account, hold } => {
                (account, hold, None)
            }
            Request::Capture {
                account,
                hold,
                amount,
                ..
            } => (account, hold, *amount),
            _ => return BTreeSet::new(),
        };
        let Some(hold) = self.hold_of(account, name) else {
            return ["HOLD_NOT_FOUND"].into();
        };
        if is_late(request, hold) {
            return BTreeSet::new();
        }
        let exceeds = asked.is_some_and(|asked| asked > hold.rest);
        let exceeded = (exceeds && hold.over.is_none()).then_some("HOLD_EXCEEDED");
        hold.over.into_iter().chain(exceeded).collect()
    }

    /// Does what nothing speaks against, and gives the balance of its account.
    pub(super) fn decide_hold(
        &mut self,
        step: &'a Step,
        key: &'a str,
        request: &'a Request,
    ) -> Result<i64, Violation> {
        match request.bare() {
            Request::Hold {
                account,
                amount,
                life_ms,
            } => {
                let life = match life_ms {
                    0 => USUAL,
                    life_ms => life_ms * 1_000_000,
                };
                let hold = Hold {
                    account: account.clone(),
                    shard: step.shard,
                    rest: *amount,
                    expires: step.time.0 + life,
                    over: None,
                };
                self.holds.insert(key, hold);
            }
            Request::Raise { hold, amount, .. } => self.found(step, hold)?.rest += amount,
            Request::Release { hold, .. } => self.found(step, hold)?.over = Some("HOLD_ENDED"),
            Request::Capture {
                account,
                hold,
                amount,
                payee,
                is_last,
            } => {
                let hold = self.found(step, hold)?;
                let amount = amount.unwrap_or(hold.rest);
                if !is_late(request, hold) {
                    hold.rest -= amount;
                }
                if hold.over.is_none() && (*is_last || hold.rest == 0) {
                    hold.over = Some("HOLD_ENDED");
                }
                self.captured.insert(key, amount);
                self.change(step, step.day, account, -amount);
                if let Some(payee) = payee
                    && self.homes.get(payee) == self.homes.get(account)
                {
                    self.change(step, step.day, payee, amount);
                }
            }
            _ => return Err(Violation::NobodyAsked(step.clone())),
        }
        let account = request.named_first();
        self.note_held(step, account);
        Ok(self.balance(account))
    }

    fn found(&mut self, step: &Step, name: &Name) -> Result<&mut Hold, Violation> {
        let hold = self.holds.get_mut(name.key.as_str());
        hold.ok_or_else(|| Violation::NobodyAsked(step.clone()))
    }

    /// The time of a hold is up: now, and not before.
    pub(super) fn expire(&mut self, step: &Step, key: &str) -> Result<(), Violation> {
        let out_of_time = || Violation::HoldOutOfTime {
            step: step.clone(),
            key: key.to_owned(),
        };
        let hold = self.holds.get_mut(key).ok_or_else(out_of_time)?;
        if hold.over.is_some() || hold.expires > step.time.0 || hold.shard != step.shard {
            return Err(out_of_time());
        }
        hold.over = Some("HOLD_EXPIRED");
        let account = hold.account.clone();
        self.note_held(step, &account);
        Ok(())
    }

    /// Nothing happens, not even nothing, before holds are over whose time is up.
    pub(super) fn none_is_overdue(&self, step: &Step) -> Result<(), Violation> {
        let overdue = self.holds.iter().find(|(_, hold)| {
            hold.shard == step.shard && hold.over.is_none() && hold.expires <= step.time.0
        });
        match overdue {
            None => Ok(()),
            Some((key, _)) => Err(Violation::HoldOutOfTime {
                step: step.clone(),
                key: (*key).to_owned(),
            }),
        }
    }

    /// What an open hold of an account holds.
    pub(super) fn open_rest(&self, account: &str, name: &Name) -> i64 {
        let hold = self.hold_of(account, name);
        let open = hold.filter(|hold| hold.over.is_none());
        open.map_or(0, |hold| hold.rest)
    }

    fn note_held(&mut self, step: &Step, account: &str) {
        self.treat(account);
        self.note_what_is_aside(step, account);
    }

    pub(super) fn note_what_is_aside(&mut self, step: &Step, account: &str) {
        let (reserved, incoming) = self.set_aside(account);
        let aside = Aside {
            held: self.held(account),
            reserved,
            incoming,
            limit: self.limit(account),
        };
        let noted = Noted {
            index: step.index,
            time: step.time,
            day: step.day,
            aside,
        };
        let known = self.timeline.accounts.entry(account.to_owned());
        known.or_default().aside.push(noted);
    }
}

/// Whether a capture is presented late: after the hold's end, and to be paid whatever is left.
fn is_late(request: &Request, hold: &Hold) -> bool {
    let says_how_much = matches!(
        request.bare(),
        Request::Capture {
            amount: Some(_),
            ..
        }
    );
    says_how_much && request.is_forced() && hold.over.is_some()
}

#[cfg(test)]
#[path = "model_holds_tests.rs"]
mod tests;

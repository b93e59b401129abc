//! A bank as a banker would write it on one page: accounts with balances, and what may be done to
//! them. It decides by itself what must become of every command, and it is what the oracles of
//! balances compare the ledger with.
//!
//! It is given what customers asked, in the order in which the logs put it, and what the ledger
//! says became of it. Of the product it knows neither code nor types: ids are text, money is an
//! integer of the smallest unit.
//!
//! Its rules, all of them:
//!
//! - A command may depend on how often its account has changed before, and on what it has after:
//!   where that is not so, it is refused for that, whatever else speaks against it.
//! - The commands of a group are done one after the other; where one is refused, none was done.
//! - A deposit needs an account. A withdrawal and a transfer need one that covers them, unless they
//!   are forced: nobody has an overdraft here before it is given one. An account that is below its
//!   limit takes only credits.
//! - A transfer within a shard needs both accounts, and moves the money at once.
//! - An account is closed only if it is empty and none of its transfers is under way; then it is as
//!   if it were not there, for ever. What is left may go to somebody first, as by a transfer.
//! - A freeze stops what goes out of an account, what comes in, or both, and its closing, until its
//!   time by the log or until it is lifted; another takes its place. What arrives from elsewhere
//!   meanwhile goes back or stays with the bank, as the freeze says; what comes back to a payer
//!   who may get nothing, or is gone, stays with the bank. What stays with the bank is the account's
//!   until it is given to somebody, once and as a whole, as by a transfer.
//! - A transfer to another shard takes the money from the payer at once. It arrives there later,
//!   once, if there is such an account; otherwise it is given back, once.
//! - What a deposit, a withdrawal or a transfer within a shard has moved may be moved back, in parts
//!   that never come to more; whoever was paid must cover it, unless it is forced. A journal that is
//!   posted may be moved back by its opposite, whole and once; where that is cancelled, again.
//! - A hold needs an account that covers it, and takes nothing from it: but what is held covers
//!   nothing else. It can be raised like that, too.
//! - A capture needs a hold of the account that holds so much. It pays like a withdrawal or a
//!   transfer. The last one, and one that leaves nothing, ends the hold.
//! - A hold is over at its time: nothing that happens then or later finds it open. That its time is
//!   up stands in the log, once, before all else that happens.
//! - An account of which something is held is not closed.
//! - A journal whose legs are all of one shard is booked at once. Another is opened in the shard of the
//!   first account that it names, which sets its own legs aside; each shard that has others sets those
//!   aside, or refuses. Where all have, it is booked in each of them; where one refuses, what was set
//!   aside is given back. What is set aside of a debit is held. Until then the account is not closed,
//!   nor, where it is to get something, frozen for credits.
//! - What goes out of an account, or is held of it, is counted by the channel by which it was asked, on
//!   the day for business on which it was, whatever comes back later. There may be a limit to what is
//!   asked at once, and to what is on one day. What is forced, captured or swept is not counted, nor is
//!   what a journal takes.
//! - What is done counts on the day on which it is done, or on an earlier one that it names. A transfer
//!   counts everywhere on the day on which the payer gave it, but at no account before its first day.
//! - Within a region a reference stands for one account at most, whether it is there or closed, until
//!   that gives it back. That changes nothing of the account.
//! - A customer is known once it is registered, and then has whatever accounts it is given, until they are
//!   taken from it. That changes nothing of the accounts. One that has none, and on whom no legal hold
//!   stands, can be erased; then nothing happens to it any more.
//! - A shard closes a day that has begun, once, with all before it. Then it is the day after, until the
//!   calendar is further. What names a closed day is refused, unless it asks for just that.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Channel, Freeze, Request};

const UNDER_WAY: &str = "TRANSFERS_UNDER_WAY";

/// Follows what the logs say, shard by shard, each in the order of its log; where there are journals
/// between shards, all in the order of time. `homes` has the shard
/// of every account, also of those that are never opened; `requests` what customers asked under
/// which key.
///
/// # Errors
///
/// The first step that does not follow.
pub fn follow(
    homes: &BTreeMap<String, u32>,
    requests: &BTreeMap<String, Request>,
    steps: &[Step],
) -> Result<Timeline, Violation> {
    let steps = &days::dated(requests, steps)[..];
    let mut bank = Bank {
        homes,
        requests,
        sent: sent(requests, steps),
        timeline: Timeline::default(),
        opened: BTreeMap::new(),
        settled: BTreeSet::new(),
        decided: BTreeSet::new(),
        closed: BTreeSet::new(),
        frozen: BTreeMap::new(),
        treated: BTreeMap::new(),
        limits: BTreeMap::new(),
        may_spend: BTreeMap::new(),
        spent: BTreeMap::new(),
        days: BTreeMap::new(),
        today: 0,
        now: (0, 0),
        holds: BTreeMap::new(),
        captured: BTreeMap::new(),
        suspense: BTreeMap::new(),
        references: BTreeMap::new(),
        customers: BTreeMap::new(),
        paid: BTreeMap::new(),
        journals: BTreeMap::new(),
    };
    for step in steps {
        bank.follow(step)?;
        bank.timeline.steps += 1;
    }
    bank.timeline.in_suspense = bank.left_in_suspense();
    bank.timeline.open_journals = bank.open_journals();
    Ok(bank.timeline)
}

/// When and on which day each command that was done was: shards are followed one after the other,
/// so the cause of an arrival may be met after it.
fn sent<'a>(
    requests: &BTreeMap<String, Request>,
    steps: &'a [Step],
) -> BTreeMap<&'a str, (Time, i32)> {
    let done = steps.iter().filter_map(|step| match &step.what {
        What::Decided {
            key,
            verdict: Verdict::Done(_),
        } => {
            let day = requests.get(key).map(|it| days::counts_from(it, step.day));
            Some((key.as_str(), (step.time, day.unwrap_or(step.day))))
        }
        _ => None,
    });
    done.collect()
}

#[derive(Clone)]
struct Bank<'a> {
    homes: &'a BTreeMap<String, u32>,
    requests: &'a BTreeMap<String, Request>,
    sent: BTreeMap<&'a str, (Time, i32)>,
    /// Accounts are those that have a line here.
    timeline: Timeline,
    /// The first day of each account.
    opened: BTreeMap<&'a str, i32>,
    decided: BTreeSet<&'a str>,
    closed: BTreeSet<&'a str>,
    frozen: BTreeMap<&'a str, Freeze>,
    /// How often something has happened to accounts that moved no money.
    treated: BTreeMap<String, u64>,
    /// How far below zero accounts may go, where that was changed.
    limits: BTreeMap<&'a str, i64>,
    /// How much may be spent of an account by a channel: at once, and on one day.
    may_spend: BTreeMap<(&'a str, Channel), spending::Most>,
    /// What was, on a day.
    spent: BTreeMap<(&'a str, Channel, i32), i64>,
    /// Up to which day each shard has closed all.
    days: BTreeMap<u32, i32>,
    /// The day of the step, before anything names another.
    today: i32,
    now: Time,
    settled: BTreeSet<(&'a str, bool)>,
    holds: BTreeMap<&'a str, Hold>,
    /// What each capture, sweep, clearing and reversal has paid, by its key.
    captured: BTreeMap<&'a str, i64>,
    /// What may be moved back, by its key.
    paid: BTreeMap<&'a str, Paid>,
    /// For whom references stand, by region.
    references: BTreeMap<(&'a str, &'a str), &'a str>,
    /// Which accounts customers have, and what is said of them.
    customers: BTreeMap<&'a str, customers::Known<'a>>,
    /// By what the ledger calls them.
    suspense: BTreeMap<&'a str, Suspended>,
    /// Those between shards, by the keys of their commands.
    journals: BTreeMap<&'a str, Journal<'a>>,
}

impl<'a> Bank<'a> {
    fn follow(&mut self, step: &'a Step) -> Result<(), Violation> {
        (self.now, self.today) = (step.time, step.day);
        if let What::Expired { key } = &step.what {
            return self.expire(step, key);
        }
        self.none_is_overdue(step)?;
        match &step.what {
            What::Expired { .. } | What::Passed => Ok(()),
            What::Opened { account } => {
                let is_new = !self.timeline.accounts.contains_key(account);
                self.opened.insert(account, step.day);
                self.timeline
                    .accounts
                    .insert(account.clone(), Changes::default());
                is_new
                    .then_some(())
                    .ok_or_else(|| Violation::Twice(step.clone()))
            }
            What::Decided { key, verdict } => self.decide(step, key, verdict),
            What::Journal { key, did } => self.follow_journal(step, key, did),
            What::Arrived { key, balance_after } => {
                let (_, payee, amount, given) = self.crossing(step, key, true)?;
                self.note_arrived(key);
                let is_there = self.is_open(payee) && self.homes.get(payee) == Some(&step.shard);
                let first = self.opened.get(payee).copied();
                let day = first.map_or(given, |first| given.max(first));
                let balance = self.change(step, day, payee, amount);
                let is_stopped = self.is_frozen(payee, |it| it.credits);
                let is_right = is_there && !is_stopped && balance == *balance_after;
                self.expect(step, key, is_right, || format!("{balance} for {payee}"))
            }
            What::Kept { key, item } => {
                let (_, payee, amount, _) = self.crossing(step, key, true)?;
                self.suspend(item, payee, amount);
                let may_be =
                    self.is_open(payee) && self.is_frozen(payee, |it| it.credits && it.keeps);
                self.expect(step, key, may_be, || "not to be kept".to_owned())
            }
            What::TurnedAway { key } => {
                let (_, payee, ..) = self.crossing(step, key, true)?;
                let may_be =
                    !self.is_open(payee) || self.is_frozen(payee, |it| it.credits && !it.keeps);
                self.expect(step, key, may_be, || "an arrival".to_owned())
            }
            What::GivenBack {
                key,
                balance_after,
                item,
            } => {
                let (payer, _, amount, given) = self.crossing(step, key, false)?;
                if !self.is_open(payer) || self.is_frozen(payer, |it| it.credits) {
                    self.suspend(item, payer, amount);
                    let is_right = balance_after.is_none();
                    return self.expect(step, key, is_right, || "nothing for the payer".to_owned());
                }
                let balance = self.change(step, given, payer, amount);
                let is_right = *balance_after == Some(balance);
                self.expect(step, key, is_right, || format!("{balance} for {payer}"))
            }
        }
    }

    fn decide(&mut self, step: &'a Step, key: &'a str, verdict: &Verdict) -> Result<(), Violation> {
        let request = self.request(step, key)?;
        if !self.decided.insert(key) {
            return Err(Violation::Twice(step.clone()));
        }
        // What is kept elsewhere than its account is not refused there.
        let is_elsewhere = matches!(request.bare(), Request::Refer { .. });
        if let Verdict::Refused(code) = verdict
            && !is_elsewhere
        {
            let account = request.named_first().to_owned();
            let refused = self.timeline.refused.entry(account).or_default();
            refused.push((step.index, code.clone()));
        }
        if let (Request::Grouped { before, .. }, Verdict::Refused(_)) = (request, verdict) {
            // What came before it in its group was undone.
            let mut would_be = self.clone();
            for (key, request) in before {
                would_be.precede(step, key, request)?;
            }
            return would_be.judge(step, key, request, verdict);
        }
        self.judge(step, key, request, verdict)
    }

    /// Does a command of a refused group, of which nothing is left.
    fn precede(
        &mut self,
        step: &'a Step,
        key: &'a str,
        request: &'a Request,
    ) -> Result<(), Violation> {
        let reasons = self.reasons_against(request);
        let expected = || format!("a refusal of the one before: {reasons:?}");
        self.expect(step, key, reasons.is_empty(), expected)?;
        // What it has sent is under way for those after it.
        self.decided.insert(key);
        self.carry_out(step, key, request).map(drop)
    }

    /// What must become of a command is nobody's to choose: it is done, or there is a reason.
    fn judge(
        &mut self,
        step: &'a Step,
        key: &'a str,
        request: &'a Request,
        verdict: &Verdict,
    ) -> Result<(), Violation> {
        // When the payer's shard hears of an end is not in the steps.
        if let Request::Close { account, .. } = request.bare()
            && *verdict == Verdict::Refused(UNDER_WAY.to_owned())
            && self.may_be_under_way(account)
        {
            return Ok(());
        }
        let reasons = self.reasons_against(request);
        if !reasons.is_empty() {
            let is_right =
                matches!(verdict, Verdict::Refused(code) if reasons.contains(code.as_str()));
            return self.expect(step, key, is_right, || format!("a refusal: {reasons:?}"));
        }
        let balance = self.carry_out(step, key, request)?;
        let is_right = *verdict == Verdict::Done(balance);
        self.expect(step, key, is_right, || format!("a balance of {balance}"))
    }

    /// Does what nothing speaks against, and gives the balance of the account that it names first.
    fn carry_out(
        &mut self,
        step: &'a Step,
        key: &'a str,
        request: &'a Request,
    ) -> Result<i64, Violation> {
        let day = days::counts_from(request, step.day);
        self.spend(request);
        Ok(match request.bare() {
            Request::Close { account, sweep } => {
                self.sweep(step, key, account, sweep.as_deref());
                self.closed.insert(account);
                0
            }
            Request::Clear { account, item, to } => self.clear(step, key, (account, item), to)?,
            Request::Freeze { account, freeze } => {
                self.frozen.insert(account, *freeze);
                self.treat(account);
                self.balance(account)
            }
            Request::SetLimit { account, limit } => {
                self.limits.insert(account, *limit);
                self.treat(account);
                self.note_what_is_aside(step, account);
                self.balance(account)
            }
            Request::LimitSpending {
                account,
                channel,
                at_once,
                a_day,
            } => {
                self.may_spend
                    .insert((account, *channel), (*at_once, *a_day));
                self.treat(account);
                self.balance(account)
            }
            Request::Unfreeze { account } => {
                self.frozen.remove(account.as_str());
                self.treat(account);
                self.balance(account)
            }
            Request::Hold { .. }
            | Request::Raise { .. }
            | Request::Capture { .. }
            | Request::Release { .. } => self.decide_hold(step, key, request)?,
            Request::Refer {
                account,
                reference,
                releases,
            } => self.refer(account, reference, *releases),
            Request::Register { customer } => self.register(customer),
            Request::Attach {
                customer,
                account,
                detaches,
            } => self.attach(customer, account, *detaches),
            Request::Person { customer, asks } => self.person(customer, *asks),
            Request::CloseDay { shard, day, .. } => self.close_day(step, *shard, *day)?,
            Request::Reverse { .. } => self.reverse(step, key, request)?,
            Request::Journal { .. } => self.open_journal(step, key, request)?,
            Request::Deposit { account, amount } => {
                self.note_paid(key, *amount);
                self.change(step, day, account, *amount)
            }
            Request::Withdraw { account, amount } => {
                self.note_paid(key, *amount);
                self.change(step, day, account, -amount)
            }
            Request::Transfer {
                payer,
                payee,
                amount,
            } => {
                let balance = self.change(step, day, payer, -amount);
                if self.homes.get(payee) == self.homes.get(payer) {
                    self.note_paid(key, *amount);
                    self.change(step, day, payee, *amount);
                } else {
                    self.note_sent(key, *amount);
                }
                balance
            }
            Request::StrongRead { .. }
            | Request::Provided { .. }
            | Request::Forced { .. }
            | Request::Through { .. }
            | Request::Dated { .. }
            | Request::Grouped { .. } => {
                return Err(Violation::NobodyAsked(step.clone()));
            }
        })
    }

    fn treat(&mut self, account: &str) {
        *self.treated.entry(account.to_owned()).or_default() += 1;
    }

    /// How often an account has changed, its beginning and its end included.
    fn version(&self, account: &str) -> u64 {
        match self.timeline.accounts.get(account) {
            None => 0,
            Some(changes) => {
                let treated = self.treated.get(account).copied().unwrap_or(0);
                1 + changes.all.len() as u64 + treated + u64::from(self.closed.contains(account))
            }
        }
    }

    /// Whether a transfer of an account may be under way. When the payer's shard hears that it has
    /// ended is not in the steps, so this is asked of whoever has ever sent one away.
    fn may_be_under_way(&self, account: &str) -> bool {
        let has_sent = |key: &&str| match self.requests.get(*key).map(Request::bare) {
            Some(
                Request::Transfer { payer, payee, .. }
                | Request::Capture {
                    account: payer,
                    payee: Some(payee),
                    ..
                }
                | Request::Clear {
                    account: payer,
                    to: payee,
                    ..
                },
            ) => payer == account && self.homes.get(payer) != self.homes.get(payee),
            _ => false,
        };
        self.decided.iter().any(has_sent)
    }

    /// The second half of a transfer to another shard: at the payee's end, or back at the payer's.
    /// Gives payer and payee, the amount, and the day on which the payer gave it.
    fn crossing(
        &mut self,
        step: &Step,
        key: &'a str,
        is_at_payee: bool,
    ) -> Result<(&'a str, &'a str, i64, i32), Violation> {
        let (payer, payee, amount) = match self.request(step, key)?.bare() {
            Request::Transfer {
                payer,
                payee,
                amount,
            } => (payer, payee, *amount),
            Request::Capture {
                account,
                payee: Some(payee),
                ..
            }
            | Request::Close {
                account,
                sweep: Some(payee),
            }
            | Request::Clear {
                account, to: payee, ..
            } => {
                let captured = self.captured.get(key).copied();
                let amount = captured.ok_or_else(|| Violation::WithoutCause(step.clone()))?;
                (account, payee, amount)
            }
            _ => return Err(Violation::NobodyAsked(step.clone())),
        };
        if !self.settled.insert((key, is_at_payee)) {
            return Err(Violation::Twice(step.clone()));
        }
        let crosses = self.homes.get(payer) != self.homes.get(payee);
        match self.sent.get(key) {
            Some((sent, day)) if crosses && *sent < step.time => Ok((payer, payee, amount, *day)),
            _ => Err(Violation::WithoutCause(step.clone())),
        }
    }

    fn request(&self, step: &Step, key: &str) -> Result<&'a Request, Violation> {
        let request = self.requests.get(key);
        request.ok_or_else(|| Violation::NobodyAsked(step.clone()))
    }

    fn expect(
        &self,
        step: &Step,
        key: &str,
        is_right: bool,
        expected: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        if is_right {
            return Ok(());
        }
        Err(Violation::Otherwise {
            step: step.clone(),
            request: self.request(step, key)?.clone(),
            expected: expected(),
        })
    }

    fn is_open(&self, account: &str) -> bool {
        self.timeline.accounts.contains_key(account) && !self.closed.contains(account)
    }

    fn balance(&self, account: &str) -> i64 {
        let last = self.timeline.changes(account).last();
        last.map_or(0, |change| change.balance)
    }

    fn change(&mut self, step: &Step, day: i32, account: &str, by: i64) -> i64 {
        let balance = self.balance(account) + by;
        let changed = Changed {
            index: step.index,
            time: step.time,
            day,
            by,
            balance,
        };
        let known = self.timeline.accounts.entry(account.to_owned());
        known.or_default().all.push(changed);
        balance
    }
}

#[path = "model_conditions.rs"]
mod conditions;
#[path = "model_customers.rs"]
mod customers;
#[path = "model_days.rs"]
mod days;
#[path = "model_holds.rs"]
mod holds;
#[path = "model_journals.rs"]
mod journals;
#[path = "model_reasons.rs"]
mod reasons;
#[path = "model_references.rs"]
mod references;
#[path = "model_reversals.rs"]
mod reversals;
#[path = "model_spending.rs"]
mod spending;
#[path = "model_suspense.rs"]
mod suspense;
#[path = "model_timeline.rs"]
mod timeline;
#[path = "model_words.rs"]
mod words;

use holds::Hold;
use journals::Journal;
pub use journals::{Did, Left};
use reversals::Paid;
use suspense::Suspended;
pub use timeline::{Changed, Changes, Noted, Timeline};
pub use words::{Step, Time, Verdict, Violation, What};

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;

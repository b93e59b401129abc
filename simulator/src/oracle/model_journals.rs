//! Journals, on the same page.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bank, Step, Time, Violation, days};
use crate::history::{Leg, Request};

/// What a log says has happened to a journal between shards, after it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// A shard that was asked has set its legs aside.
    SetAside {
        /// What that leaves.
        left: Vec<Left>,
    },
    /// A shard that was asked will not.
    Refused {
        /// The place of the leg that it names, from 1.
        leg: u32,
        /// Why.
        code: String,
    },
    /// The shard that opened it has heard that another has set its legs aside.
    Heard {
        /// Which.
        shard: u32,
    },
    /// The legs of this shard are booked.
    Posted {
        /// What that leaves.
        left: Vec<Left>,
    },
    /// The legs of this shard are given back.
    Cancelled {
        /// Who has refused it.
        by: u32,
        /// Why.
        code: String,
        /// What that leaves.
        left: Vec<Left>,
    },
}

/// What the log says that an account has after one of its legs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Whose.
    pub account: String,
    /// Its balance.
    pub balance: i64,
    /// What is held of it.
    pub held: i64,
}

/// How a journal ended in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Posted,
    Cancelled { by: u32, code: String },
}

/// What became of a journal in a shard that was asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    SetAside,
    Refused { code: String },
}

/// A journal between shards.
#[derive(Debug, Clone)]
pub(super) struct Journal<'a> {
    legs: &'a [Leg],
    /// Whether debits are set aside whatever is available.
    is_forced: bool,
    opened: Time,
    by: u32,
    /// From which day it counts.
    day: i32,
    /// All shards that have legs.
    shards: BTreeSet<u32>,
    answers: BTreeMap<u32, (Answer, Time)>,
    /// Of whom its opener has heard.
    heard: BTreeSet<u32>,
    ends: BTreeMap<u32, (End, Time)>,
}

impl Journal<'_> {
    /// Whether the legs of a shard are set aside now.
    fn is_aside(&self, shard: u32) -> bool {
        let was = match self.answers.get(&shard) {
            Some((answer, _)) => *answer == Answer::SetAside,
            None => shard == self.by,
        };
        was && !self.ends.contains_key(&shard)
    }

    /// Whether a shard has something to do about it.
    fn is_open_in(&self, shard: u32) -> bool {
        let has_answered = shard == self.by || self.answers.contains_key(&shard);
        !has_answered || self.is_aside(shard)
    }
}

impl<'a> Bank<'a> {
    /// What journals have set aside of an account: of its debits, and of its credits.
    pub(super) fn set_aside(&self, account: &str) -> (i64, i64) {
        let (mut debits, mut credits) = (0, 0);
        let Some(home) = self.homes.get(account) else {
            return (0, 0);
        };
        for journal in self.journals.values().filter(|it| it.is_aside(*home)) {
            let legs = journal.legs.iter();
            for leg in legs.filter(|leg| leg.house.is_none() && leg.account == account) {
                match leg.units < 0 {
                    true => debits -= leg.units,
                    false => credits += leg.units,
                }
            }
        }
        (debits, credits)
    }

    /// What journals say against a request; and what speaks against the legs of one that are of the
    /// shard where it is asked for.
    pub(super) fn journal_reasons_against(&self, request: &Request) -> BTreeSet<&'static str> {
        let open = match request.bare() {
            Request::Close { account, .. } => self.set_aside(account) != (0, 0),
            Request::Freeze { account, freeze } => freeze.credits && self.set_aside(account).1 != 0,
            Request::Journal { legs, .. } | Request::Reverse { legs, .. } => {
                let home = self.homes.get(request.named_first()).copied();
                let day = days::counts_from(request, self.today);
                let own = legs.iter().filter(|leg| leg.shard(self.homes) == home);
                let is_forced = request.is_forced();
                return own
                    .flat_map(|leg| self.leg_reasons(leg, day, is_forced))
                    .collect();
            }
            _ => false,
        };
        open.then_some("JOURNALS_OPEN").into_iter().collect()
    }

    fn leg_reasons(&self, leg: &Leg, day: i32, is_forced: bool) -> BTreeSet<&'static str> {
        let account = leg.account.as_str();
        if leg.house.is_some() {
            return BTreeSet::new();
        }
        if self.closed.contains(account) {
            return ["ACCOUNT_CLOSED"].into();
        }
        let Some(first) = self.opened.get(account) else {
            return ["ACCOUNT_NOT_FOUND"].into();
        };
        let is_debit = leg.units < 0;
        let is_bound = is_debit && !is_forced;
        let stops = self.is_frozen(account, |it| if is_debit { it.debits } else { it.credits });
        let left = self.balance(account) - self.held(account) + self.limit(account);
        let reasons = [
            (day < *first, "DATE_BEFORE_OPENING"),
            (stops, "ACCOUNT_FROZEN"),
            (is_bound && left < 0, "ACCOUNT_IN_EXCESS"),
            (
                is_bound && left >= 0 && left < -leg.units,
                "INSUFFICIENT_FUNDS",
            ),
        ];
        let reasons = reasons.into_iter().filter(|(speaks, _)| *speaks);
        reasons.map(|(_, reason)| reason).collect()
    }

    /// Books a journal whose legs are all of this shard; or opens one, and sets this shard's aside.
    /// The balance of the account that it names first.
    pub(super) fn open_journal(
        &mut self,
        step: &'a Step,
        key: &'a str,
        request: &'a Request,
    ) -> Result<i64, Violation> {
        let (first, legs) = (request.named_first(), request.legs());
        let shards = legs.iter().map(|leg| leg.shard(self.homes));
        let shards: Option<BTreeSet<u32>> = shards.collect();
        let shards = shards.ok_or_else(|| Violation::NobodyAsked(step.clone()))?;
        let day = days::counts_from(request, step.day);
        if self.homes.get(first) != Some(&step.shard) {
            return Err(Violation::NobodyAsked(step.clone()));
        }
        if shards.len() == 1 {
            self.note_journal(key, request, true);
            self.book(step, day, legs);
            return Ok(self.balance(first));
        }
        self.note_journal(key, request, false);
        let journal = Journal {
            legs,
            is_forced: request.is_forced(),
            opened: step.time,
            by: step.shard,
            day,
            shards,
            answers: BTreeMap::new(),
            heard: BTreeSet::new(),
            ends: BTreeMap::new(),
        };
        self.journals.insert(key, journal);
        self.note_aside(step, legs);
        Ok(self.balance(first))
    }

    /// What happens to a journal after it was opened.
    pub(super) fn follow_journal(
        &mut self,
        step: &'a Step,
        key: &'a str,
        did: &'a Did,
    ) -> Result<(), Violation> {
        let without_cause = || Violation::WithoutCause(step.clone());
        let journal = self.journals.get(key).ok_or_else(without_cause)?;
        let is_own = journal.by == step.shard;
        let may_act = journal.shards.contains(&step.shard)
            && (is_own || journal.opened < step.time)
            && journal.is_open_in(step.shard);
        if !may_act {
            return Err(without_cause());
        }
        match did {
            Did::SetAside { .. } | Did::Refused { .. } => self.answer(step, key, did),
            Did::Heard { shard } => {
                let has_set_aside = journal.has_set_aside(*shard, step.time);
                let is_new = is_own && !journal.heard.contains(shard);
                if !(is_new && has_set_aside) {
                    return Err(without_cause());
                }
                let journal = self.journals.get_mut(key).ok_or_else(without_cause)?;
                journal.heard.insert(*shard);
                Ok(())
            }
            Did::Posted { .. } | Did::Cancelled { .. } => self.end_journal(step, key, did),
        }
    }

    /// A shard that was asked sets its legs aside, or says why it cannot: that is nobody's to choose.
    fn answer(&mut self, step: &'a Step, key: &'a str, did: &'a Did) -> Result<(), Violation> {
        let without_cause = || Violation::WithoutCause(step.clone());
        let journal = self.journals.get(key).ok_or_else(without_cause)?;
        if journal.by == step.shard || journal.answers.contains_key(&step.shard) {
            return Err(Violation::Twice(step.clone()));
        }
        let (all, legs) = (journal.legs, self.legs_here(journal, step.shard));
        let is_forced = journal.is_forced;
        let day = self.day_here(journal.day, &legs);
        let against = |leg: &Leg| self.leg_reasons(leg, day, is_forced);
        let reasons = legs.iter().flat_map(|leg| against(leg));
        let reasons: BTreeSet<_> = reasons.collect();
        let answer = match did {
            Did::Refused { leg, code } => {
                let place = (*leg as usize).checked_sub(1);
                let named = place.and_then(|place| all.get(place));
                let named = named.filter(|leg| leg.shard(self.homes) == Some(step.shard));
                let speaks = named.map(against);
                let is_right = speaks.is_some_and(|it| it.contains(code.as_str()));
                self.expect(step, key, is_right, || format!("{reasons:?} in its leg"))?;
                Answer::Refused { code: code.clone() }
            }
            _ => {
                let expected = || format!("a refusal: {reasons:?}");
                self.expect(step, key, reasons.is_empty(), expected)?;
                Answer::SetAside
            }
        };
        let journal = self.journals.get_mut(key).ok_or_else(without_cause)?;
        journal.answers.insert(step.shard, (answer, step.time));
        if let Did::SetAside { left } = did {
            self.note_aside(step, all);
            self.compare(step, key, left)?;
        }
        Ok(())
    }

    /// It ends in a shard: as it was decided where it was opened, and there as all have answered.
    fn end_journal(&mut self, step: &'a Step, key: &'a str, did: &'a Did) -> Result<(), Violation> {
        let without_cause = || Violation::WithoutCause(step.clone());
        let journal = self.journals.get(key).ok_or_else(without_cause)?;
        let (end, left) = match did {
            Did::Cancelled { by, code, left } => {
                let (by, code) = (*by, code.clone());
                (End::Cancelled { by, code }, left)
            }
            Did::Posted { left } => (End::Posted, left),
            _ => return Err(without_cause()),
        };
        let has_cause = match (journal.by == step.shard, &end) {
            (true, End::Posted) => {
                let mut others = journal.shards.iter().filter(|it| **it != journal.by);
                others.all(|it| journal.has_set_aside(*it, step.time))
            }
            (true, End::Cancelled { by, code }) => {
                let code = code.clone();
                let refused = journal.answers.get(by);
                refused.is_some_and(|(answer, then)| {
                    *answer == Answer::Refused { code } && *then < step.time
                })
            }
            (false, end) => {
                let decided = journal.ends.get(&journal.by);
                decided.is_some_and(|(decided, then)| decided == end && *then < step.time)
            }
        };
        if !has_cause || !journal.is_aside(step.shard) {
            return Err(without_cause());
        }
        let (all, day) = (journal.legs, journal.day);
        let legs = self.legs_here(journal, step.shard);
        let is_own = journal.by == step.shard;
        let is_posted = end == End::Posted;
        let day = match journal.by == step.shard {
            true => day,
            false => self.day_here(day, &legs),
        };
        let journal = self.journals.get_mut(key).ok_or_else(without_cause)?;
        journal.ends.insert(step.shard, (end, step.time));
        match is_posted {
            true => {
                if is_own {
                    self.note_arrived(key);
                }
                self.book(step, day, all);
                self.note_held_of(step, &legs);
            }
            false => {
                if is_own {
                    self.reverse_no_more(self.request(step, key)?);
                }
                self.note_aside(step, all);
            }
        }
        self.compare(step, key, left)
    }

    /// The journals that some shard has something to do about.
    pub(super) fn open_journals(&self) -> Vec<String> {
        let open = self.journals.iter().filter(|(_, journal)| {
            let mut shards = journal.shards.iter();
            shards.any(|shard| journal.is_open_in(*shard))
        });
        open.map(|(key, _)| (*key).to_owned()).collect()
    }

    fn legs_here(&self, journal: &Journal<'a>, shard: u32) -> Vec<&'a Leg> {
        let legs = journal.legs.iter();
        legs.filter(|leg| leg.shard(self.homes) == Some(shard))
            .collect()
    }

    /// From which day a journal counts in a shard that was asked: where it is tomorrow already, not
    /// before the first day of an account that began there today.
    fn day_here(&self, day: i32, legs: &[&Leg]) -> i32 {
        let legs = legs.iter().filter(|leg| leg.house.is_none());
        let first = legs.filter_map(|leg| self.opened.get(leg.account.as_str()));
        let ahead = first.copied().filter(|it| (1..=2).contains(&(it - day)));
        ahead.max().unwrap_or(day)
    }

    /// Books the legs of a shard, in their order.
    fn book(&mut self, step: &Step, day: i32, legs: &[Leg]) {
        for leg in legs {
            if leg.house.is_none() && leg.shard(self.homes) == Some(step.shard) {
                self.change(step, day, &leg.account, leg.units);
            }
        }
    }

    /// Legs of a shard were set aside, or given back.
    fn note_aside(&mut self, step: &Step, legs: &'a [Leg]) {
        let here: Vec<_> = legs
            .iter()
            .filter(|leg| leg.shard(self.homes) == Some(step.shard))
            .collect();
        for leg in here.iter().filter(|leg| leg.house.is_none()) {
            self.treat(&leg.account);
        }
        self.note_held_of(step, &here);
    }

    fn note_held_of(&mut self, step: &Step, legs: &[&Leg]) {
        for leg in legs.iter().filter(|leg| leg.house.is_none()) {
            self.note_what_is_aside(step, &leg.account);
        }
    }

    /// What the log says that accounts have after their last leg is what they have.
    fn compare(&self, step: &Step, key: &str, left: &[Left]) -> Result<(), Violation> {
        let last: BTreeMap<&str, &Left> = left.iter().map(|it| (&it.account[..], it)).collect();
        for (account, left) in last {
            let (balance, held) = (self.balance(account), self.held(account));
            let is_right = (left.balance, left.held) == (balance, held);
            let expected = || format!("{balance} for {account}, and {held} of it held");
            self.expect(step, key, is_right, expected)?;
        }
        Ok(())
    }
}

impl Journal<'_> {
    /// Whether a shard that was asked had set its legs aside before.
    fn has_set_aside(&self, shard: u32, now: Time) -> bool {
        let answer = self.answers.get(&shard);
        answer.is_some_and(|(answer, then)| *answer == Answer::SetAside && *then < now)
    }
}

#[cfg(test)]
#[path = "model_journals_tests.rs"]
mod tests;

//! Business days, on the same page.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bank, Step, Verdict, Violation, What};
use crate::history::Request;

/// The steps with the day that it was for business when they were decided. A close itself, which
/// counts from no day, keeps the calendar's.
pub(super) fn dated(requests: &BTreeMap<String, Request>, steps: &[Step]) -> Vec<Step> {
    let mut closed: BTreeMap<u32, i32> = BTreeMap::new();
    let mut dated = Vec::with_capacity(steps.len());
    for step in steps {
        if let What::Decided { key, verdict } = &step.what
            && let Some(Request::CloseDay { day, .. }) = requests.get(key).map(Request::bare)
        {
            if let Verdict::Done(_) = verdict {
                closed.insert(step.shard, *day);
            }
            dated.push(step.clone());
            continue;
        }
        let next = closed.get(&step.shard).map_or(step.day, |day| day + 1);
        let day = step.day.max(next);
        dated.push(Step {
            day,
            ..step.clone()
        });
    }
    dated
}

/// The day from which a request counts that is done today.
pub(super) fn counts_from(request: &Request, today: i32) -> i32 {
    request.dated().map_or(today, |(day, _)| day)
}

impl Bank<'_> {
    /// What days say against a request.
    pub(super) fn day_reasons_against(&self, request: &Request) -> BTreeSet<&'static str> {
        let is_closed = |shard: u32, day: i32| self.days.get(&shard).is_some_and(|it| day <= *it);
        let (account, first) = (request.named_first(), &self.opened);
        let reasons = match (request.bare(), request.dated()) {
            (Request::CloseDay { shard, day, .. }, _) => [
                (*day > self.today, "DATE_IN_FUTURE"),
                (is_closed(*shard, *day), "DAY_CLOSED"),
                (false, ""),
            ],
            (_, Some((day, may_be_closed))) => {
                let home = self.homes.get(account).copied().unwrap_or_default();
                // Other legs of a journal are looked at one by one.
                let of_both = [Some(account), paid_beside(self.homes, request)];
                let mut of_both = of_both.into_iter().flatten();
                let is_before = of_both.any(|it| first.get(it).is_some_and(|first| day < *first));
                [
                    (day > self.today, "DATE_IN_FUTURE"),
                    (is_closed(home, day) && !may_be_closed, "DAY_CLOSED"),
                    (is_before, "DATE_BEFORE_OPENING"),
                ]
            }
            _ => return BTreeSet::new(),
        };
        let reasons = reasons.into_iter().filter(|(speaks, _)| *speaks);
        reasons.map(|(_, reason)| reason).collect()
    }

    /// Closes a day; there is no balance to it.
    pub(super) fn close_day(
        &mut self,
        step: &Step,
        shard: u32,
        day: i32,
    ) -> Result<i64, Violation> {
        if step.shard != shard {
            return Err(Violation::NobodyAsked(step.clone()));
        }
        self.days.insert(shard, day);
        Ok(0)
    }
}

/// Who is paid by a transfer within a shard.
fn paid_beside<'a>(homes: &BTreeMap<String, u32>, request: &'a Request) -> Option<&'a str> {
    match request.bare() {
        Request::Transfer { payer, payee, .. } if homes.get(payer) == homes.get(payee) => {
            Some(payee)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "model_days_tests.rs"]
mod tests;

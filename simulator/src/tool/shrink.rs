//! Makes a failing plan small: leaves out whatever the failure does not need.
//!
//! What is tried are halves, then quarters, and so on, of each list in turn (Zeller and
//! Hildebrandt's delta debugging, 2002), then shorter and plainer values. Leaving something out of a
//! plan moves everything after it in the world's chance, so a failure that needs luck can get lost:
//! what is kept is what failed in the same way when it was played.

use crate::plan::{Habits, Plan};

/// Makes a plan smaller for as long as `fails` says of what is left that it does, and `goes_on` that
/// there is time. Calls `fails` with nothing that it has not changed.
#[must_use]
pub fn shrink(
    plan: Plan,
    mut fails: impl FnMut(&Plan) -> bool,
    goes_on: impl Fn() -> bool,
) -> Plan {
    let mut smallest = plan;
    let mut try_it = |smallest: &mut Plan, smaller: Plan| -> bool {
        let is_smaller = smaller != *smallest && goes_on() && fails(&smaller);
        if is_smaller {
            *smallest = smaller;
        }
        is_smaller
    };
    loop {
        let before = smallest.clone();
        shorten(&mut smallest, &mut try_it);
        less_of(&mut smallest, &mut try_it, |plan| &mut plan.troubles);
        less_of(&mut smallest, &mut try_it, |plan| &mut plan.lying_disks);
        less_of(&mut smallest, &mut try_it, |plan| &mut plan.clients);
        fewer_steps(&mut smallest, &mut try_it);
        plainer(&mut smallest, &mut try_it);
        if smallest == before {
            return smallest;
        }
    }
}

type Try<'a> = dyn FnMut(&mut Plan, Plan) -> bool + 'a;

/// Leaves out as much of a list as can be.
fn less_of<T: Clone>(
    smallest: &mut Plan,
    try_it: &mut Try<'_>,
    list: impl Fn(&mut Plan) -> &mut Vec<T>,
) {
    let mut size = list(smallest).len();
    while size > 0 {
        let mut start = 0;
        while start < list(smallest).len() {
            let mut smaller = smallest.clone();
            let items = list(&mut smaller);
            let end = (start + size).min(items.len());
            items.drain(start..end);
            if !try_it(smallest, smaller) {
                start += size;
            }
        }
        size /= 2;
    }
}

/// Ends sooner: after the last trouble, and after half of the time.
fn shorten(smallest: &mut Plan, try_it: &mut Try<'_>) {
    let ends = smallest.troubles.iter().map(|t| t.at_ms + t.lasts_ms);
    let last = ends.max().unwrap_or(0) + 1;
    if last < smallest.length_ms {
        let length_ms = last;
        let smaller = Plan {
            length_ms,
            ..smallest.clone()
        };
        try_it(smallest, smaller);
    }
    while smallest.length_ms > 1 {
        let mut smaller = smallest.clone();
        smaller.length_ms /= 2;
        let length_ms = smaller.length_ms;
        smaller.troubles.retain(|trouble| trouble.at_ms < length_ms);
        if !try_it(smallest, smaller) {
            break;
        }
    }
}

/// Fewer requests of each client.
fn fewer_steps(smallest: &mut Plan, try_it: &mut Try<'_>) {
    for client in 0..smallest.clients.len() {
        // More than this nobody makes in the time there is.
        let mut requests = smallest.clients[client].habits.requests.min(2_048);
        while requests > 1 {
            requests /= 2;
            let mut smaller = smallest.clone();
            smaller.clients[client].habits.requests = requests;
            if !try_it(smallest, smaller) {
                break;
            }
        }
    }
}

/// Ordinary clients, a network without surprises, troubles that are soon over.
fn plainer(smallest: &mut Plan, try_it: &mut Try<'_>) {
    for client in 0..smallest.clients.len() {
        let mut smaller = smallest.clone();
        let requests = smaller.clients[client].habits.requests;
        smaller.clients[client].habits = Habits {
            requests,
            ..Habits::default()
        };
        try_it(smallest, smaller);
    }
    let smaller = Plan {
        tail_per_mille: 0,
        ..smallest.clone()
    };
    try_it(smallest, smaller);
    for trouble in 0..smallest.troubles.len() {
        while smallest.troubles[trouble].lasts_ms > 100 {
            let mut smaller = smallest.clone();
            smaller.troubles[trouble].lasts_ms /= 2;
            if !try_it(smallest, smaller) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Seed,
        plan::{Trouble, What},
    };

    fn power_cut(at_ms: u64, node: &str) -> Trouble {
        let node = node.to_owned();
        Trouble {
            at_ms,
            lasts_ms: 4_000,
            what: What::PowerCut { node },
        }
    }

    #[test]
    fn what_a_failure_does_not_need_is_left_out() {
        let mut plan = (1..).map(|seed| Plan::generate(Seed(seed)));
        let mut plan = plan.find(|plan| plan.troubles.len() > 8).unwrap();
        plan.length_ms = 40_000;
        plan.troubles.insert(3, power_cut(5_000, "first"));
        plan.troubles.push(power_cut(9_000, "second"));
        let cuts = |plan: &Plan, wanted: &str| {
            let is = |trouble: &Trouble| matches!(&trouble.what, What::PowerCut { node } if node == wanted);
            plan.troubles.iter().any(is)
        };
        let mut played = 0;
        let fails = |plan: &Plan| {
            played += 1;
            cuts(plan, "first") && cuts(plan, "second") && !plan.clients.is_empty()
        };
        let smallest = shrink(plan, fails, || true);
        assert_eq!(smallest.troubles.len(), 2);
        assert_eq!(smallest.clients.len(), 1);
        assert_eq!(smallest.clients[0].habits.requests, 1);
        assert!(smallest.length_ms <= 20_000 && smallest.length_ms > 9_000);
        assert!(smallest.troubles.iter().all(|t| t.lasts_ms <= 125));
        assert!(played < 200, "{played}");
    }

    #[test]
    fn what_is_smallest_stays_when_there_is_no_time() {
        let plan = Plan::generate(Seed(1));
        let unchanged = shrink(plan.clone(), |_| true, || false);
        assert_eq!(unchanged, plan);
    }
}

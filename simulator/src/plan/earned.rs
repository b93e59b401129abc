//! What a plan excuses: which calls for help a node may make, given what befell it (any other fails
//! the run, as an ERROR asks a person to get up), and when no answer can be asked to say how old
//! it is.

use std::collections::BTreeSet;

use super::{Plan, What};
use crate::oracle::quiet::Excuse;

/// What a node says whose disk fails it.
const DISK_FAILS: &[&str] = &[
    "a write to the log failed: this node writes no more",
    "the log takes no more writes since one failed",
    "the views' store: no storage space",
];

/// What a node says that reads something else than was written.
const DAMAGED: &[&str] = &[
    "what is stored is not what was written",
    "what is stored here is damaged",
    "a log cannot be scrubbed any further",
    "a feed cannot go on",
    "a book cannot be folded",
    "a view has stopped and is not served",
    "a replica waits until its log is mended",
    "a channel is stopped: its log cannot be read",
];

/// What a node says that has lost its disk and finds that others knew it with another.
const ANOTHER: &[&str] = &["this node stops: its number is another's"];

/// What each node may say, given what befalls it in the plan.
#[must_use]
pub fn excuses(plan: &Plan) -> Vec<Excuse> {
    let each = plan.troubles.iter().flat_map(|trouble| {
        let (node, says) = match &trouble.what {
            What::FailWrites { node, .. } | What::FullDisk { node } => (node, DISK_FAILS),
            What::FlipBit { node, .. } | What::Rot { node, .. } => (node, DAMAGED),
            What::LoseDisk { node, .. } => (node, ANOTHER),
            _ => return Vec::new(),
        };
        let excuse = |says: &&'static str| Excuse {
            node: node.clone(),
            says,
        };
        says.iter().map(excuse).collect()
    });
    let each: BTreeSet<Excuse> = each.collect();
    each.into_iter().collect()
}

/// What each of two clocks may be off by, so that they are as far apart as the ledger allows.
const CLOCK_MS: u64 = 250;

/// For so long a node that has slept goes by the time at which it fell asleep.
const AWAKE_MS: u64 = 1_000;

/// When clocks are further apart than the ledger asks of them: from when until when, in
/// milliseconds after the bank has opened. What a clock that is ahead has stamped stays ahead for
/// as long afterwards.
///
/// Known defect: a node whose clock is beyond the bound is to refuse whatever rests on it, once it
/// has compared it with its peers'. It goes on to state the age of its views by that clock
/// (`node::server::freshness`), and to meet bounds by it. When it refuses, this is to end as long
/// after the beginning as a comparison may take.
#[must_use]
pub fn wrong_clocks(plan: &Plan) -> Vec<(u64, u64)> {
    let each = plan.troubles.iter().filter_map(|trouble| {
        let off = match &trouble.what {
            What::Jump { millis, .. } => millis.unsigned_abs(),
            What::Drift { ppm, .. } => ppm.unsigned_abs() * trouble.lasts_ms / 1_000_000,
            What::Sleep { .. } => trouble.lasts_ms,
            _ => 0,
        };
        let until = trouble.at_ms + trouble.lasts_ms + 2 * off + AWAKE_MS;
        (off > CLOCK_MS).then_some((trouble.at_ms, until))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Seed, plan::Trouble};

    #[test]
    fn only_what_befell_a_node_excuses_it() {
        let node = "eu-west-1".to_owned();
        let mut plan = Plan::generate(Seed(1));
        plan.troubles = vec![Trouble {
            at_ms: 0,
            lasts_ms: 1,
            what: What::FullDisk { node: node.clone() },
        }];
        let excuses = excuses(&plan);
        assert_eq!(excuses.len(), DISK_FAILS.len());
        assert!(excuses.iter().all(|excuse| excuse.node == node));
        assert!(excuses.iter().any(|excuse| excuse.says == DISK_FAILS[0]));
    }

    #[test]
    fn clocks_are_wrong_only_beyond_the_bound() {
        let node = || "eu-west-1".to_owned();
        let mut plan = Plan::generate(Seed(1));
        let trouble = |what| Trouble {
            at_ms: 1_000,
            lasts_ms: 10_000,
            what,
        };
        plan.troubles = vec![
            trouble(What::Jump {
                node: node(),
                millis: -200,
            }),
            trouble(What::Drift {
                node: node(),
                ppm: 20_000,
            }),
            trouble(What::FullDisk { node: node() }),
        ];
        assert_eq!(wrong_clocks(&plan), []);
        plan.troubles.push(trouble(What::Jump {
            node: node(),
            millis: -4_000,
        }));
        assert_eq!(wrong_clocks(&plan), [(1_000, 20_000)]);
    }
}

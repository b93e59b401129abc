//! From what is known to what holds something back.

use std::time::Duration;

use ledger_domain::ShardId;

use super::super::freshness::UNASKED;
use super::{
    facts::{About, Facts, Source},
    why::Why,
};

/// A copy that has not heard its home for so long is not fed: it would be, every second.
const SILENT: Duration = Duration::from_secs(3);
/// A view that is older is behind for a reason, if only because nobody asks.
const LATE: Duration = Duration::from_millis(2_500);
/// A transfer between two regions that hear each other takes a part of this.
const WAITS: Duration = Duration::from_secs(5);

/// One thing that holds something back, for how long, and whether that may be longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) why: Why,
    pub(super) for_: Duration,
    pub(super) or_longer: bool,
}

impl Cause {
    fn of(why: Why, for_: Duration) -> Self {
        Self {
            why,
            for_,
            or_longer: false,
        }
    }

    /// Of which it is only known that it is so.
    fn now(why: Why) -> Self {
        Self::at_least(why, Duration::ZERO)
    }

    /// Of which it is not known when it began.
    fn at_least(why: Why, for_: Duration) -> Self {
        Self {
            why,
            for_,
            or_longer: true,
        }
    }

    fn known_for(why: Why, for_: Option<Duration>, otherwise: Duration) -> Self {
        match for_ {
            Some(for_) => Self::of(why, for_),
            None => Self::at_least(why, otherwise),
        }
    }
}

/// What holds something back, the worst first; of the same kind, the oldest first.
pub(super) fn causes(facts: &Facts) -> Vec<Cause> {
    let mut found = of_the_node(facts);
    for (shard, about) in &facts.shards {
        let of_shard = of_a_shard(*shard, about, facts.up);
        found.extend(of_shard);
    }
    for channel in &facts.stopped {
        let why = Why::ChannelStopped {
            from: channel.from,
            to: channel.to,
            node: channel.node.clone(),
            cause: channel.cause.clone(),
        };
        found.push(Cause::now(why));
    }
    found.extend(of_transfers(facts, &found));
    found.sort_by_key(|cause| (cause.why.code().0, std::cmp::Reverse(cause.for_)));
    found
}

fn of_the_node(facts: &Facts) -> Vec<Cause> {
    let mut found = Vec::new();
    if facts.log_stopped {
        found.push(Cause::now(Why::LogStopped));
    }
    if facts.disk_full {
        found.push(Cause::now(Why::DiskFull));
    }
    if let Some(doubt) = facts.clock {
        found.push(Cause::now(Why::ClockInDoubt(doubt)));
    }
    found
}

fn of_a_shard(shard: ShardId, about: &About, up: Duration) -> Vec<Cause> {
    let About { home, here, there } = about;
    let mut found = Vec::new();
    if let Some((cause, for_)) = &here.stopped {
        let cause = cause.clone();
        found.push(Cause::of(Why::ViewStopped { shard, cause }, *for_));
    }
    for (node, cause) in &there.failed {
        let (node, cause) = (node.clone(), cause.clone());
        let why = Why::BookStopped { shard, node, cause };
        found.push(Cause::now(why));
    }
    let is_late = here.age.is_none_or(|age| age > LATE);
    found.extend(of_leading(shard, about));
    let mut known_applied = there.applied.unwrap_or_default();
    match &here.source {
        Source::Mending(cause) => {
            let cause = cause.clone();
            found.push(Cause::at_least(Why::ReplicaMending { shard, cause }, up));
        }
        Source::Spoilt(cause) => {
            let cause = cause.clone();
            found.push(Cause::of(Why::CopyHalted { shard, cause }, up));
        }
        Source::Replica {
            in_quorum,
            silent,
            missing,
        } => {
            if let Some(missing) = missing.clone() {
                found.push(Cause::now(Why::HistoryMissing { shard, missing }));
            }
            if let Some(leader) = there.leader.clone().filter(|_| !in_quorum) {
                let why = Why::ReplicaSilent { shard, leader };
                found.push(Cause::known_for(why, *silent, up));
            }
        }
        Source::Copy {
            follows,
            heard,
            home_applied,
            halted,
        } => {
            known_applied = known_applied.max(*home_applied);
            let is_silent = heard.is_none_or(|heard| heard > SILENT);
            if let Some((cause, for_)) = halted {
                let cause = cause.clone();
                found.push(Cause::of(Why::CopyHalted { shard, cause }, *for_));
            } else if is_silent {
                let (home, follows) = (*home, follows.clone());
                let why = match there.reachable {
                    false => Why::RegionUnreachable { shard, home },
                    true => Why::CopySilent {
                        shard,
                        home,
                        follows,
                    },
                };
                found.push(Cause::known_for(why, *heard, up));
            }
        }
    }
    let folded = here.watermark.map_or(0, |found| found.position.index);
    let held = here.held;
    if is_late && held < known_applied {
        let applied = known_applied;
        let why = Why::LogBehind {
            shard,
            held,
            applied,
        };
        found.push(Cause::of(why, here.age.unwrap_or(here.quiet)));
    }
    if is_late && folded < held && here.stopped.is_none() {
        let why = Why::ViewBehind {
            shard,
            folded,
            held,
        };
        found.push(Cause::of(why, here.age.unwrap_or(here.quiet)));
    }
    // Where the clock is in doubt there is no age, and that is said already.
    if let Some(age) = here.age.filter(|_| is_late && found.is_empty()) {
        let unanswered = there.unanswered.clone();
        let why = match there.applied {
            Some(_) if age <= UNASKED => Why::Idle { shard },
            _ => Why::Unexplained { shard, unanswered },
        };
        found.push(Cause::of(why, age));
    }
    found
}

/// Whether anybody decides for the shard, as far as its voters say.
fn of_leading(shard: ShardId, about: &About) -> Option<Cause> {
    let About { home, there, .. } = about;
    // Where nobody answers it is not known.
    if there.leader.is_some() || there.is_led || !there.reachable && there.answered == 0 {
        return None;
    }
    let why = Why::NoLeader {
        shard,
        home: *home,
        voters: there.voters,
        answered: there.answered,
        unanswered: there.unanswered.clone(),
    };
    Some(Cause::known_for(why, there.silent, Duration::ZERO))
}

/// Transfers that have been under way for too long, and what of the above is in their way.
fn of_transfers(facts: &Facts, found: &[Cause]) -> Vec<Cause> {
    let in_the_way = |channel: (ShardId, ShardId)| {
        let mut known: Vec<_> = found
            .iter()
            .filter(|cause| match cause.why.shards() {
                (Some(from), Some(to)) => (from, to) == channel,
                (Some(shard), None) => shard == channel.0 || shard == channel.1,
                _ => false,
            })
            .map(|cause| cause.why.code())
            .filter(|(_, code)| !matches!(*code, "SHARD_IDLE" | "UNEXPLAINED"))
            .collect();
        known.sort_unstable();
        known.first().map(|(_, code)| *code)
    };
    let late = facts.under_way.iter().filter(|it| it.age > WAITS);
    let causes = late.map(|it| {
        let why = Why::TransferWaits {
            from: it.from,
            to: it.to,
            items: it.items,
            oldest: it.oldest,
            taken: it.taken,
            because: in_the_way((it.from, it.to)),
        };
        Cause::of(why, it.age)
    });
    causes.collect()
}

#[cfg(test)]
#[path = "causes_tests.rs"]
mod tests;

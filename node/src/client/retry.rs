//! When to try again: pure decisions.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tonic::{Code, Status};

use crate::api::{rejection, v1::RejectionDetail};

/// What one attempt tells about the command's fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The request never left: there was no connection.
    NotSent,
    /// The node refused for a reason that passes, and did nothing: overloaded, no leader.
    NotNow,
    /// The node may have acted, or may still. Only asking again under the same key can tell.
    Open,
    /// Refused for good.
    Refused,
}

/// How long to wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The ceiling of the wait after the first attempt. It doubles with each further one.
    pub first: Duration,
    /// The ceiling of every wait.
    pub longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(1),
        }
    }
}

/// Where a call stands when an attempt has failed.
#[derive(Debug, Clone, Copy)]
pub struct Situation {
    /// How many attempts were made, the failed one included.
    pub attempts: u32,
    /// How many nodes the client knows.
    pub nodes: usize,
    /// What is left until the deadline.
    pub left: Duration,
    /// Whether the budget pays for one more.
    pub affordable: bool,
    /// A random number.
    pub jitter: u64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Tell the caller.
    GiveUp,
    /// Try again.
    Again {
        /// Not sooner than this.
        after: Duration,
        /// Through another node.
        elsewhere: bool,
    },
}

/// Reads an attempt's fate from its status.
///
/// What a node says about itself, in a rejection, is believed. A bare status can come from the
/// transport at any moment of the call, so whatever is not clearly a refusal leaves the fate open.
pub fn fate(status: &Status) -> Fate {
    match (rejection::from_status(status), status.code()) {
        (Some(detail), _) if detail.recorded || !detail.retryable => Fate::Refused,
        (_, Code::ResourceExhausted | Code::Aborted) | (Some(_), Code::Unavailable) => Fate::NotNow,
        (
            _,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::DataLoss,
        ) => Fate::Open,
        _ => Fate::Refused,
    }
}

/// Reads the fate of one command of several, or of one question, from its own refusal. What is not
/// clearly done by nobody is open.
pub fn fate_of(detail: &RejectionDetail) -> Fate {
    if detail.recorded || !detail.retryable {
        return Fate::Refused;
    }
    match detail.code.as_str() {
        rejection::AGE_UNKNOWN
        | "NOT_LEADER"
        | "NO_QUORUM"
        | "OVERLOADED"
        | "UNAVAILABLE"
        | "VIEW_NOT_SERVED" => Fate::NotNow,
        rejection::TOO_STALE | "CLOCK_OUT_OF_BOUNDS" => Fate::Refused,
        _ => Fate::Open,
    }
}

/// Whether a status speaks for the node that sent it, or against it; `None` where it tells of
/// others: a shard without a leader, a home that cannot be reached, a request that makes no sense.
pub fn health(status: &Status) -> Option<bool> {
    let said = rejection::from_status(status);
    let is_said = said.is_some();
    match status.code() {
        _ if said.is_some_and(|detail| detail.recorded) => Some(true),
        // Too much to do, or its own disk: whoever can should ask another.
        Code::ResourceExhausted | Code::Internal | Code::DataLoss => Some(false),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            (!is_said).then_some(false)
        }
        _ => is_said.then_some(true),
    }
}

/// Decides what follows a failed attempt.
pub fn decide(policy: &Policy, fate: Fate, now: Situation) -> Decision {
    if fate == Fate::Refused || !now.affordable {
        return Decision::GiveUp;
    }
    // The first round over unreachable nodes costs nobody anything: make it without waiting.
    let first_round = usize::try_from(now.attempts).is_ok_and(|made| made < now.nodes);
    let after = if fate == Fate::NotSent && first_round {
        Duration::ZERO
    } else {
        backoff(policy, now.attempts, now.jitter)
    };
    if after >= now.left {
        return Decision::GiveUp;
    }
    Decision::Again {
        after,
        elsewhere: true,
    }
}

/// Half of the ceiling, and a random part of the other half: clients that failed together do not
/// come back together, and none comes back at once.
fn backoff(policy: &Policy, attempts: u32, jitter: u64) -> Duration {
    let doubled = policy
        .first
        .saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let half = doubled.min(policy.longest) / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(jitter % nanos)
}

/// What all calls of a client may spend on retries.
///
/// A retry costs one coin; every tenth success earns one back. In quiet times the purse is full; in
/// a long outage it empties and calls fail after their first attempt, so the load on a struggling
/// cluster falls back to what callers ask for.
#[derive(Debug)]
pub struct Budget {
    capacity: u32,
    tenths: AtomicU32,
}

impl Budget {
    const COIN: u32 = 10;

    /// A full purse of this many retries.
    pub fn new(retries: u32) -> Self {
        let capacity = retries.saturating_mul(Self::COIN);
        Self {
            capacity,
            tenths: AtomicU32::new(capacity),
        }
    }

    /// Pays for one retry, if it can.
    pub fn spend(&self) -> bool {
        self.change(|tenths| tenths.checked_sub(Self::COIN))
    }

    /// Notes a success.
    pub fn earn(&self) {
        self.change(|tenths| Some((tenths + 1).min(self.capacity)));
    }

    fn change(&self, f: impl FnMut(u32) -> Option<u32>) -> bool {
        self.tenths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, f)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Situation = Situation {
        attempts: 1,
        nodes: 3,
        left: Duration::from_secs(5),
        affordable: true,
        jitter: 0,
    };

    fn again(millis: u64) -> Decision {
        Decision::Again {
            after: Duration::from_millis(millis),
            elsewhere: true,
        }
    }

    #[test]
    fn decisions_as_a_table() {
        let late = Situation {
            left: Duration::from_millis(20),
            ..NOW
        };
        let poor = Situation {
            affordable: false,
            ..NOW
        };
        let round = Situation { attempts: 3, ..NOW };
        let long = Situation {
            attempts: 30,
            ..NOW
        };
        for (fate, now, expected) in [
            (Fate::Refused, NOW, Decision::GiveUp),
            (Fate::NotSent, NOW, again(0)),
            (Fate::NotSent, round, again(100)),
            (Fate::NotNow, NOW, again(25)),
            (Fate::Open, NOW, again(25)),
            (Fate::Open, round, again(100)),
            (Fate::Open, long, again(500)),
            (Fate::Open, late, Decision::GiveUp),
            (Fate::Open, poor, Decision::GiveUp),
            (Fate::NotSent, late, again(0)),
        ] {
            assert_eq!(
                decide(&Policy::default(), fate, now),
                expected,
                "{fate:?} {now:?}"
            );
        }
    }

    #[test]
    fn waits_stay_under_their_ceiling() {
        for attempts in 1..70 {
            for jitter in [0, 1, u64::MAX / 3, u64::MAX] {
                let wait = backoff(&Policy::default(), attempts, jitter);
                assert!(wait >= Duration::from_millis(25) && wait < Duration::from_secs(1));
            }
        }
    }

    #[test]
    fn fates_as_a_table() {
        let detail = |retryable, recorded| RejectionDetail {
            code: "X".into(),
            retryable,
            recorded,
            ..RejectionDetail::default()
        };
        let said = |code, retryable| rejection::to_status(code, &detail(retryable, false));
        let recorded = |code| rejection::to_status(code, &detail(true, true));
        for (status, expected) in [
            (Status::unavailable("connection reset"), Fate::Open),
            (Status::cancelled("Timeout expired"), Fate::Open),
            (Status::deadline_exceeded(""), Fate::Open),
            (Status::internal("h2"), Fate::Open),
            (Status::unknown("transport"), Fate::Open),
            (Status::resource_exhausted("too many"), Fate::NotNow),
            (Status::invalid_argument(""), Fate::Refused),
            (Status::unimplemented(""), Fate::Refused),
            (said(Code::Unavailable, true), Fate::NotNow),
            (said(Code::ResourceExhausted, true), Fate::NotNow),
            (said(Code::DeadlineExceeded, true), Fate::Open),
            (said(Code::FailedPrecondition, false), Fate::Refused),
            (said(Code::FailedPrecondition, true), Fate::Refused),
            (said(Code::Unavailable, false), Fate::Refused),
            (recorded(Code::ResourceExhausted), Fate::Refused),
        ] {
            assert_eq!(fate(&status), expected, "{status:?}");
        }
    }

    #[test]
    fn what_is_said_of_one_of_several_means_what_it_would_mean_alone() {
        let detail = |code: &str, retryable| RejectionDetail {
            code: code.into(),
            retryable,
            ..RejectionDetail::default()
        };
        for (code, grpc) in [
            ("NOT_LEADER", Code::Unavailable),
            ("NO_QUORUM", Code::Unavailable),
            ("VIEW_NOT_SERVED", Code::Unavailable),
            ("OVERLOADED", Code::ResourceExhausted),
            ("OUTCOME_UNKNOWN", Code::DeadlineExceeded),
            ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
            ("NOT_HERE_YET", Code::DeadlineExceeded),
            ("TOO_STALE", Code::FailedPrecondition),
            ("CLOCK_OUT_OF_BOUNDS", Code::FailedPrecondition),
            ("BOOK_STOPPED", Code::DataLoss),
        ] {
            let detail = detail(code, code != "BOOK_STOPPED");
            let alone = fate(&rejection::to_status(grpc, &detail));
            assert_eq!(fate_of(&detail), alone, "{code}");
        }
        let recorded = RejectionDetail {
            recorded: true,
            ..detail("CHANNEL_FULL", true)
        };
        assert_eq!(fate_of(&recorded), Fate::Refused);
    }

    #[test]
    fn only_what_is_a_nodes_own_counts_against_it() {
        let detail = RejectionDetail {
            code: "X".into(),
            ..RejectionDetail::default()
        };
        let recorded = RejectionDetail {
            recorded: true,
            ..detail.clone()
        };
        let said = |code| rejection::to_status(code, &detail);
        for (status, expected) in [
            (Status::unavailable("connection reset"), Some(false)),
            (Status::deadline_exceeded("silence"), Some(false)),
            (Status::unimplemented(""), None),
            (said(Code::ResourceExhausted), Some(false)),
            (said(Code::DataLoss), Some(false)),
            (said(Code::Unavailable), None),
            (said(Code::DeadlineExceeded), None),
            (said(Code::NotFound), Some(true)),
            (
                rejection::to_status(Code::ResourceExhausted, &recorded),
                Some(true),
            ),
        ] {
            assert_eq!(health(&status), expected, "{status:?}");
        }
    }

    #[test]
    fn a_budget_runs_out_and_recovers_slowly() {
        let budget = Budget::new(2);
        assert!(budget.spend() && budget.spend() && !budget.spend());
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
        (0..1_000).for_each(|_| budget.earn());
        assert!(budget.spend() && budget.spend() && !budget.spend());
    }
}

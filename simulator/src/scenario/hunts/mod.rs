//! Hunts for one anomaly each: the worlds of [`generated`](super::generated) plans, with all that goes
//! wrong there, and clients that do nothing but what would show the anomaly.
//!
//! The same clients hunt in the real world: see [`torture`](crate::torture).

mod hunter;

use super::{Played, Run, customer::Lobby, generated::generated};
use crate::{
    history::{Reading, Record},
    oracle::anomalies::{bank, causal_reverse, growing, long_fork, monotonic, writes},
    plan::{Anomaly, Plan},
    simulation::Failure,
};

pub use hunter::{Prey, hunter};

/// Money is moved about, and counted.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn bank(run: &Run) -> Result<Played, Failure> {
    hunt(run, Anomaly::Bank)
}

/// Accounts grow side by side, and are looked at together.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn long_fork(run: &Run) -> Result<Played, Failure> {
    hunt(run, Anomaly::LongFork)
}

/// Accounts grow one after the other, and are looked at together.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn causal_reverse(run: &Run) -> Result<Played, Failure> {
    hunt(run, Anomaly::CausalReverse)
}

/// Accounts grow, and sessions look at them wherever they can.
///
/// # Errors
///
/// The first thing that went wrong.
pub fn monotonic(run: &Run) -> Result<Played, Failure> {
    hunt(run, Anomaly::Monotonic)
}

fn hunt(run: &Run, anomaly: Anomaly) -> Result<Played, Failure> {
    let mut plan = run.plan.clone().unwrap_or_else(|| Plan::generate(run.seed));
    anomaly.set_upon(&mut plan.clients);
    let plan = Some(plan);
    generated(&Run {
        plan,
        ..run.clone()
    })
}

/// What is judged where somebody hunts, by the judges' names; nothing where nobody does.
pub(super) fn judge(
    lobby: &Lobby,
    records: &[Record],
    readings: &[Reading],
) -> Vec<(&'static str, Result<u64, String>)> {
    let prey = lobby.prey.borrow();
    let Some(anomaly) = prey.anomaly else {
        return Vec::new();
    };
    let (cuts, accounts) = (lobby.history.cuts(), lobby.bank.accounts().len());
    let grow = growing(records);
    let judged = match anomaly {
        Anomaly::Bank => vec![counted(bank::money_stays(&cuts, accounts, prey.funds))],
        Anomaly::LongFork => vec![counted(long_fork::all_see_one_order(&cuts, &grow))],
        Anomaly::CausalReverse => {
            let writes = writes(records);
            vec![
                counted(causal_reverse::causes_come_first(&cuts, &writes)),
                counted(causal_reverse::tokens_are_honoured(readings, &writes)),
            ]
        }
        Anomaly::Monotonic => vec![counted(monotonic::sessions_never_go_back(readings, &grow))],
    };
    let named = |outcome| (anomaly.name(), outcome);
    judged.into_iter().map(named).collect()
}

fn counted<E: std::error::Error>(outcome: Result<usize, E>) -> Result<u64, String> {
    outcome.map(|n| n as u64).map_err(|how| how.to_string())
}

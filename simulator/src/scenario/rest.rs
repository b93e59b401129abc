//! A world at rest before all its judges, be it simulated or not.

use std::time::Duration;

use super::{
    customer::Lobby,
    evidence::Evidence,
    judge::{self, Judged},
    world::Excused,
};
use crate::oracle::{
    live::{self, Recovery},
    quiet::{self, Call},
    sealed, settled,
};

/// What is known of a world at rest beside its logs and what its clients were told.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// How long after the last fault no transfer was under way any more.
    pub settled: Duration,
    /// Where memos were found that can be read, though nobody should: stores and logs.
    pub in_the_clear: Vec<String>,
    /// How it came to rest: its stages.
    pub recovery: Recovery,
    /// Calls for help.
    pub calls: Vec<Call>,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A promise is broken.
    #[error("{0}")]
    Promise(String),
    /// A node called for help without cause.
    #[error("{0}")]
    Call(String),
}

/// Calls every oracle.
///
/// # Errors
///
/// The first thing that does not hold.
pub fn judge(
    lobby: &Lobby,
    evidence: &Evidence,
    rest: &Rest,
    excused: &Excused,
    within: Duration,
) -> Result<Judged, Broken> {
    let broken = |oracle, how: String| Broken::Promise(judge::broken(oracle, how));
    let judged = judge::judge(lobby, evidence, &excused.clocks);
    let mut judged = judged.map_err(Broken::Promise)?;

    let channels = judge::channels(evidence);
    let ended = settled::nothing_is_under_way(&channels, rest.settled, within);
    judged.insert(
        "settled",
        ended.map_err(|e| broken("settled", e.to_string()))?,
    );
    let shown = memos(lobby, &rest.in_the_clear);
    judged.insert(
        "sealed",
        shown.map_err(|e| broken("sealed", e.to_string()))?,
    );
    let recovered = live::the_world_recovered(&recovered(lobby, &rest.recovery), within);
    let recovered = recovered.map_err(|e| broken("live", e.to_string()))?;
    judged.insert("live", recovered as u64);
    let earned = quiet::nobody_calls_without_cause(&rest.calls, &excused.calls);
    let earned = earned.map_err(|e| Broken::Call(e.to_string()))?;
    judged.insert("quiet", earned as u64);
    Ok(judged)
}

fn memos(lobby: &Lobby, in_the_clear: &[String]) -> Result<u64, sealed::Violation> {
    let bank = &lobby.bank;
    let home = |id: &str| bank.home_region(id);
    let statements = lobby.history.statements();
    let domain = |region: &str| bank.domain(region);
    Ok(sealed::memos_stay_at_home(in_the_clear, &statements, domain, home)? as u64)
}

/// The stages, and what every region did afterwards.
fn recovered(lobby: &Lobby, recovery: &Recovery) -> Recovery {
    let served = lobby.served.borrow();
    let regions = lobby.bank.topology().regions.iter();
    let regions = regions.map(|region| {
        let name = region.name.to_string();
        let service = served.get(&name).copied().unwrap_or_default();
        (name, service)
    });
    Recovery {
        regions: regions.collect(),
        accounts: lobby.bank.accounts().len(),
        waiting: lobby.inside.get(),
        ..recovery.clone()
    }
}

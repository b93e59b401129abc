//! When faults stop, the world converges, serves, and every queue drains, in bounded simulated
//! time: everybody is told, what was damaged is mended, transfers arrive, every node has all of
//! every history, and every region takes commands and answers for every account.

use std::{collections::BTreeMap, time::Duration};

/// The bound on each stage of a recovery.
pub const WITHIN: Duration = Duration::from_secs(60);

/// How a world came to rest after its last fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// What had to come to be, one after the other, and how long each took.
    pub stages: Vec<(String, Duration)>,
    /// What every region did afterwards.
    pub regions: BTreeMap<String, Service>,
    /// How many accounts there are.
    pub accounts: usize,
    /// Requests whose clients still wait.
    pub waiting: usize,
}

/// What a region did when all was over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Service {
    /// Commands that were done through its nodes.
    pub commands: usize,
    /// The accounts that the best of its nodes answered for out of its own views.
    pub views: usize,
}

/// Something that did not recover.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A stage that took too long.
    #[error("it took {took:?} until {what}, longer than {bound:?}")]
    Late {
        /// The stage.
        what: String,
        /// How long.
        took: Duration,
        /// How long it may take.
        bound: Duration,
    },
    /// A region that does not serve.
    #[error("{region} does not serve: {service:?}")]
    DoesNotServe {
        /// Which.
        region: String,
        /// What it did.
        service: Service,
    },
    /// Somebody waits for ever.
    #[error("{0} requests are still waited for")]
    Waiting(usize),
}

/// Checks how a world came to rest. Returns how many things had to be so.
///
/// # Errors
///
/// The first that was not.
pub fn the_world_recovered(recovery: &Recovery, bound: Duration) -> Result<usize, Violation> {
    for (what, took) in &recovery.stages {
        if *took > bound {
            return Err(Violation::Late {
                what: what.clone(),
                took: *took,
                bound,
            });
        }
    }
    for (region, service) in &recovery.regions {
        if service.commands == 0 || service.views < recovery.accounts {
            return Err(Violation::DoesNotServe {
                region: region.clone(),
                service: *service,
            });
        }
    }
    if recovery.waiting > 0 {
        return Err(Violation::Waiting(recovery.waiting));
    }
    Ok(recovery.stages.len() + recovery.regions.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovered() -> Recovery {
        let service = Service {
            commands: 1,
            views: 4,
        };
        Recovery {
            stages: vec![("all customers have left".to_owned(), WITHIN)],
            regions: ["here", "there"].map(|r| (r.to_owned(), service)).into(),
            accounts: 4,
            waiting: 0,
        }
    }

    #[test]
    fn a_world_that_recovered_passes() {
        assert_eq!(the_world_recovered(&recovered(), WITHIN), Ok(4));
    }

    #[test]
    fn whatever_does_not_recover_is_found() {
        let broken: [fn(&mut Recovery); 4] = [
            |world| world.stages[0].1 += Duration::from_millis(1),
            |world| world.regions.get_mut("there").expect("two").commands = 0,
            |world| world.regions.get_mut("here").expect("two").views = 3,
            |world| world.waiting = 1,
        ];
        for change in broken {
            let mut world = recovered();
            change(&mut world);
            the_world_recovered(&world, WITHIN).unwrap_err();
        }
    }
}

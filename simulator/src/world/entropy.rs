use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngCore, rngs::SmallRng};
use replication::world::{Entropy, Mishap};

use crate::Seed;

/// The random bytes of one host, and its bad luck. The stream goes on over restarts: a node that came back and drew
/// the same identifiers again would be the simulator's mistake, not the node's.
#[derive(Debug)]
pub struct SimEntropy {
    rng: Mutex<SmallRng>,
    luck: Mutex<Luck>,
}

/// What befalls a host's proposals.
#[derive(Debug, Default)]
struct Luck {
    mishap: Option<Mishap>,
    hold_up: Duration,
    proposals: u64,
}

/// One proposal in so many suffers a mishap: there are others before and after it.
const ONE_IN: u64 = 3;

impl SimEntropy {
    /// A stream that is a function of the seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        let rng = Mutex::new(seed.rng());
        let luck = Mutex::default();
        SimEntropy { rng, luck }
    }

    /// From now on this befalls proposals now and then; or nothing does.
    pub fn set_mishap(&self, mishap: Option<Mishap>) {
        self.luck().mishap = mishap;
    }

    /// From now on the machine takes so long before it applies anything.
    pub fn set_hold_up(&self, hold_up: Duration) {
        self.luck().hold_up = hold_up;
    }

    fn luck(&self) -> MutexGuard<'_, Luck> {
        self.luck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fill_bytes(buf);
    }

    fn hold_up(&self) -> Duration {
        self.luck().hold_up
    }

    fn mishap(&self, _shard: u32) -> Option<Mishap> {
        let mut luck = self.luck();
        let mishap = luck.mishap?;
        luck.proposals += 1;
        luck.proposals.is_multiple_of(ONE_IN).then_some(mishap)
    }
}

use std::sync::{Mutex, PoisonError};

use rand::{RngCore, rngs::SmallRng};
use replication::world::Entropy;

use crate::Seed;

/// The random bytes of one host. The stream goes on over restarts: a node that came back and drew
/// the same identifiers again would be the simulator's mistake, not the node's.
#[derive(Debug)]
pub struct SimEntropy {
    rng: Mutex<SmallRng>,
}

impl SimEntropy {
    /// A stream that is a function of the seed.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        let rng = Mutex::new(seed.rng());
        SimEntropy { rng }
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fill_bytes(buf);
    }
}
